# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
#
# What the tests in here say alike: `. "${0%/*}/common.sh"`.

fail() {
    echo "FAIL: $*"
    exit 1
}

skip() {
    echo "SKIP: $*"
    exit 77
}

eventually() { # COMMAND...: within twenty seconds
    tries=200
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || fail "never came true: $*"
        sleep 0.1
    done
}

same() { # WHAT WANTED GOT
    [ "$2" = "$3" ] || fail "$1: want '$2', got '$3'"
}

field() { # NAME: of the JSON object on standard input
    tr '\n' ' ' | sed 's/,/\n/g' |
        sed -n "s/.*\"$1\": *\"\{0,1\}\([^\"},]*\).*/\1/p" | sed -n '1s/ *$//p'
}
