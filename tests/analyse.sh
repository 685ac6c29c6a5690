#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Static analysis: what compilers do not see. Needs what deploy/packages.sh lists.
#
#   tests/analyse.sh [--build DIR] [clang-tidy | cppcheck | gcc | shell | python]...
#
# All of them unless some are named; exits 1 if one has found something. Configured in .clang-tidy,
# tests/.clang-tidy, tests/cppcheck.txt and, for gcc -fanalyzer, here. An exception stands beside the
# code that it is for, or there, with its reason.
# shellcheck disable=SC2317 # the functions are called by the names of their tools
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD build=$PWD/build-analyse jobs=$(nproc)

# All files of a kind, in a checkout as in a tarball.
files() {
    find . -path './build*' -prune -o -path './.git' -prune -o -type f "$@" -print | sort
}

# A build directory in which headers are generated, and nothing is compiled.
compile_commands() {
    local dir=$build/clang
    [[ -e $dir/build.ninja ]] ||
        CC=clang meson setup "$dir" -Dfuzzers=true -Db_lundef=false >/dev/null || return
    ninja -C "$dir" build.ninja >/dev/null || return
    # Its phony targets would be run, too: install, dist.
    # shellcheck disable=SC2046
    ninja -C "$dir" $(ninja -C "$dir" -t targets rule CUSTOM_COMMAND | grep -E '\.(h|c|o)$') >/dev/null
}

# Generated code is protobuf-c's and bpftool's to check.
run_clang_tidy() {
    compile_commands || return
    if ! run-clang-tidy -quiet -j"$jobs" -p "$build/clang" '^((?!\.pb-c\.).)*$' \
        >"$build/clang-tidy.log" 2>/dev/null; then
        grep -vE '^(clang-tidy|[0-9]+ warnings?) ' "$build/clang-tidy.log"
        return 1
    fi
}

run_cppcheck() {
    compile_commands || return
    local part filters=()
    for part in proto server sdk client; do
        filters+=(--file-filter="$top/$part/*")
    done
    mkdir -p "$build/cppcheck"
    cppcheck --project="$build/clang/compile_commands.json" "${filters[@]}" -j"$jobs" --quiet \
        --enable=warning,performance,portability --library=posix --library=gnu \
        --include=tests/cppcheck.h --inline-suppr --suppressions-list=tests/cppcheck.txt \
        --cppcheck-build-dir="$build/cppcheck" 2>&1 | tee "$build/cppcheck.log"
    # Its exit status does not tell of what it finds across files.
    [[ ! -s $build/cppcheck.log ]]
}

# Of what is installed. Without optimisation, which hides from gcc 12 what was initialised; and not
# for leaks: it takes what only a member points to (container_of) for lost.
run_gcc() {
    local dir=$build/gcc
    [[ -e $dir/build.ninja ]] ||
        CC=gcc meson setup "$dir" -Dwerror=true -Dbuildtype=plain -Dtests=false -Ddocs=false \
            -Dc_args='-fanalyzer -Wno-analyzer-malloc-leak' >/dev/null
    ninja -C "$dir" >"$build/gcc.log" || { grep -v '^\[' "$build/gcc.log"; return 1; }
}

run_shell() {
    local scripts
    mapfile -t scripts < <(files -name '*.sh'; files -perm -u+x ! -name '*.*' | xargs -r grep -lE '^#!.*sh$')
    shellcheck --external-sources "${scripts[@]}"
}

# pyflakes has no comments of its own for exceptions: where Python wants "noqa", it means this, too.
run_python() {
    local found at file line status=0
    mapfile -t found < <(files -name '*.py' | xargs pyflakes3 || true)
    for at in "${found[@]}"; do
        IFS=: read -r file line _ <<<"$at"
        sed -n "${line}p" "$file" | grep -q 'noqa' || { echo "$at"; status=1; }
    done
    return "$status"
}

wanted=()
while (($#)); do
    case $1 in
    --build) build=$(realpath -m "${2:?--build needs a directory}"); shift ;;
    clang-tidy | cppcheck | gcc | shell | python) wanted+=("$1") ;;
    -h | --help) sed -n '3,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "tests/analyse.sh: what is '$1'? Try --help" >&2; exit 2 ;;
    esac
    shift
done
((${#wanted[@]})) || wanted=(clang-tidy cppcheck gcc shell python)
mkdir -p "$build"
status=0
for one in "${wanted[@]}"; do
    if "run_${one//-/_}"; then
        echo "$one: clean"
    else
        echo "$one: see above"
        status=1
    fi
done
exit $status
