#!/bin/sh
# Sees to it that the programs are here in which some tests look at the real thing: tmux, a real terminal, and
# Chromium, a real browser. Installs them where that needs no question; elsewhere says loudly which tests are skipped.
set -eu

there() {
    case $1 in
        chromium) command -v chromium || command -v chromium-browser || command -v google-chrome ;;
        *) command -v "$1" ;;
    esac >/dev/null
}

missing=''
for program in tmux chromium; do
    there "$program" || missing="$missing $program"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 - one word a program
    apt-get install -y -qq --no-install-recommends $missing
    for program in $missing; do
        there "$program" || { echo "$program was installed and still isn't found." >&2; exit 1; }
    done
    exit 0
fi

cat >&2 <<MESSAGE
+-----------------------------------------------------------------------------+
  Not installed:$missing. The tests that need them will be SKIPPED.
  tmux is the real terminal, chromium the real browser. Install them to run
  these tests too (apt install$missing), then make test again.
+-----------------------------------------------------------------------------+
MESSAGE
