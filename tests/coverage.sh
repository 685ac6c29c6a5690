#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What ran in a build with -Db_coverage=true, by clang, up to now:
#
#   tests/coverage.sh BUILD all         all of proto/, server/, sdk/ and client/
#   tests/coverage.sh BUILD fuzz        the request path, by the fuzzers alone
#
# Prints the sums; the files, line by line, are in BUILD/coverage. Whoever ends by SIGKILL, or may not
# write in BUILD (programs in pods), is not counted.
set -euo pipefail
build=$(realpath "$1") name=$2
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case $name in
all)
    counters=$build
    filters=('proto/' 'server/' 'sdk/' 'client/')
    ;;
fuzz) # compiled from the sources once more: their counters are their own
    counters=$build/tests/fuzz
    filters=('proto/' 'server/(audit|call|core|do_.*|handoff_shape|index|lease|method|program)\.c'
        'server/(sock|state|sweep|tenant|watch)\.c')
    ;;
*)
    echo "tests/coverage.sh: what is '$name'?" >&2
    exit 2
    ;;
esac
mkdir -p "$build/coverage"
report() {
    gcovr --root . --gcov-executable 'llvm-cov gcov' --object-directory "$counters" \
        "${filters[@]/#/--filter=}" --exclude 'sdk/examples/' "$@" "$counters" \
        2>>"$build/coverage/log"
}
report --txt "$build/coverage/$name.txt" --html-details "$build/coverage/$name.html" --print-summary |
    sed -nE "s/^(lines|branches): /# coverage, $name: \1 /p"
report --branches --txt "$build/coverage/$name-branches.txt"
