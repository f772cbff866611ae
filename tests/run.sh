#!/bin/sh
# Runs the tests with the arguments of pytest that are given: first, on all cores, those that drive no terminal, then those
# that do, two at a time with the machine to themselves. Fails if there is none of either kind.
# With QUICK=1, only those that need neither the demo model nor a terminal nor long.
set -u
python=$1
shift
unset PYTHONDONTWRITEBYTECODE # dozens of tests start programs: each would compile all that it imports, for twelve seconds

[ -z "${QUICK:-}" ] || exec "$python" -m pytest -n "${WORKERS:-auto}" --dist loadfile -m "not (slow or demo or terminal)" "$@"

PHIER_TESTS_CACHE=$(mktemp -d) || exit 1 # what one test has pruned, the others need not prune again
export PHIER_TESTS_CACHE
trap 'rm -rf "$PHIER_TESTS_CACHE"' EXIT

"$python" -m pytest -n "${WORKERS:-auto}" --dist loadfile --no-loadscope-reorder -m "not terminal" "$@"
parallel=$?
[ "$parallel" = 0 ] || [ "$parallel" = 5 ] || exit "$parallel"

[ $# -gt 0 ] || set -- tests/journeys # all that drive a terminal; the other folders would be imported for nothing
"$python" -m pytest -n 2 --dist loadfile -m terminal "$@" # each waits for one core most of the time
alone=$?
[ "$alone" = 5 ] && exit "$parallel" # none of these: what the others said counts
exit "$alone"
