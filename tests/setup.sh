#!/bin/sh
# Installs the programs with which some tests look at the real thing: tmux, a real terminal, and Chromium, a real browser.
# Run as root, by `make setup` only: no test installs anything.
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
[ -n "$missing" ] || { echo 'tmux and chromium are installed.'; exit 0; }

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Not installed:$missing. Run make setup as root on Debian or Ubuntu, or install them by other means." >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 - one word a program
apt-get install -y -qq --no-install-recommends $missing
for program in $missing; do
    there "$program" || { echo "$program was installed but is not on the PATH." >&2; exit 1; }
done
