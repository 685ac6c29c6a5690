#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, and runs the tests; needs root.
#
#   tests/run.sh                  all layers, with gcc, and again with clang, ASan and UBSan
#   tests/run.sh --sanitize       only sanitized builds, of both compilers
#   tests/run.sh --kernels        also on Debian's kernels under qemu
#   tests/run.sh --fuzz SECONDS   how long the fuzzers run (default 30; 0: not at all)
#   tests/run.sh --soak MINUTES   how long the soak lasts (default 1; 0: not at all)
#   tests/run.sh --coverage       only what the tests reach, by line and branch: build-coverage/coverage
#   tests/run.sh --build DIR      where to build (default: build)
#
# Closes with one line, `N passed, N failed, N skipped`, and exits 1 if any failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD

sanitize=no kernels=no fuzz=30 soak=1 coverage=no build=$top/build
while (($#)); do
    case $1 in
    --sanitize) sanitize=yes ;;
    --kernels) kernels=yes ;;
    --fuzz) fuzz=${2:?--fuzz needs SECONDS}; shift ;;
    --coverage) coverage=yes ;;
    --soak) soak=${2:?--soak needs MINUTES}; shift ;;
    --build) build=$(realpath -m "${2:?--build needs a directory}"); shift ;;
    -h | --help) sed -n '3,13s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "tests/run.sh: what is '$1'? Try --help" >&2; exit 2 ;;
    esac
    shift
done
[[ $(id -u) == 0 ]] || { echo "tests/run.sh: needs root, for network namespaces and BPF" >&2; exit 2; }

# shellcheck source=deploy/packages.sh
. deploy/packages.sh
install_packages "${build_packages[@]}" "${test_packages[@]}"

passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Runs a program that speaks TAP and counts its lines. One that dies without a "not ok" has failed too.
tap() {
    local name=$1 status=0 ok not_ok skip
    shift
    echo "# $name"
    CMOCKA_MESSAGE_OUTPUT=TAP "$@" </dev/null 2>&1 | tee "$log" || status=$?
    skip=$(grep -ciE '^ok .*# *skip' "$log" || true)
    ok=$(grep -cE '^ok ' "$log" || true)
    not_ok=$(grep -cE '^not ok ' "$log" || true)
    if ((status == 77)); then
        skip=$((skip + 1)) ok=$((ok + 1))
    elif ((status != 0 && not_ok == 0)) || ((status == 0 && ok + not_ok == 0)); then
        echo "not ok - $name ended with status $status"
        not_ok=$((not_ok + 1))
    fi
    passed=$((passed + ok - skip)) failed=$((failed + not_ok)) skipped=$((skipped + skip))
}

# One thing that works or does not.
one() {
    local name=$1
    shift
    if "$@" </dev/null >"$log" 2>&1; then
        echo "ok - $name" && passed=$((passed + 1))
    else
        tail -n 60 "$log" | sed 's/^/# /'
        echo "not ok - $name" && failed=$((failed + 1))
    fi
}

# A unit test under valgrind: memory misused or lost, and descriptors that it has opened and left open.
# What forked children leave is their own business.
memcheck() {
    local status=0
    valgrind -q --child-silent-after-fork=yes --error-exitcode=9 --leak-check=full \
        --errors-for-leak-kinds=definite,indirect --track-fds=yes "$@" >"$log.valgrind" 2>&1 || status=$?
    if awk '/^==[0-9]+== Open /{at = $0; getline; if (!/inherited/) { print at; print; left = 1 }}
        END { exit !left }' "$log.valgrind"; then
        status=1
    fi
    ((status == 0)) || cat "$log.valgrind"
    rm -f "$log.valgrind"
    return $status
}

make_build() { # DIR COMPILER OPTION...
    local dir=$1 compiler=$2
    shift 2
    if [[ -e $dir/build.ninja ]]; then
        meson configure "$dir" -Dwerror=true "$@" >/dev/null
    else
        CC=$compiler CXX=${compiler/gcc/g++} meson setup "$dir" -Dwerror=true "$@" >/dev/null
    fi
    ninja -C "$dir" >"$log" 2>&1 || { cat "$log"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
}

layers() { # DIR NAME
    local dir=$1 name=$2 t
    for t in "$dir"/tests/unit/test_* "$dir"/tests/kernel/test_*; do
        [[ ! -f $t || ! -x $t ]] || tap "$name: ${t#"$dir/tests/"}" "$t"
    done
    for t in tests/e2e/test_*.py; do
        # These enumerate system calls and allocations, and those of the counters are many.
        [[ $name != coverage || $t != *_@(faults|kill|exhaustion).py ]] || continue
        tap "$name: ${t#tests/}" env XSKD_BUILD="$dir" /usr/bin/python3 "$t"
    done
}

# Leaks of the daemon count as well: it is sanitized, and its exit status is looked at.
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
# shellcheck disable=SC2054 # one word of meson's
sanitizers=(-Db_sanitize=address,undefined -Db_lundef=false)

if [[ $coverage == yes ]]; then
    make_build "$build-coverage" clang -Db_coverage=true -Db_lundef=false -Dfuzzers=true
    find "$build-coverage" -name '*.gcda' -delete
    tap "fuzz, $fuzz s" tests/fuzz/run.sh "$build-coverage" "$fuzz"
    layers "$build-coverage" coverage
    tests/coverage.sh "$build-coverage" fuzz
    tests/coverage.sh "$build-coverage" all
    echo "$passed passed, $failed failed, $skipped skipped"
    exit $((failed != 0))
fi
if [[ $sanitize == no ]]; then
    make_build "$build" gcc
    # shellcheck disable=SC2046 # names without blanks
    one "every C file is formatted" clang-format --dry-run -Werror \
        $(git ls-files '*.c' '*.h' 2>/dev/null || find . -path "./build*" -prune -o -name '*.[ch]' -print)
    for tool in clang-tidy cppcheck gcc shell python; do
        one "tests/analyse.sh $tool" tests/analyse.sh --build "$build-analyse" "$tool"
    done
    one "libxskd exports what xskd.h declares" meson test -C "$build" symbols
    layers "$build" gcc
    for t in "$build"/tests/unit/test_*; do
        [[ ! -f $t || ! -x $t ]] || one "valgrind: ${t##*/}" memcheck "$t"
    done
    one "deploy/demo.sh" deploy/demo.sh --packets 8000 --rate 5000 --build "$build"
    tap "bench/test_figures.py" env XSKD_BUILD="$build" /usr/bin/python3 tests/bench/test_figures.py
    one "tests/bench/run.sh --smoke" tests/bench/run.sh --smoke "$build"
else
    make_build "$build-gcc-asan" gcc "${sanitizers[@]}"
    layers "$build-gcc-asan" gcc-asan
fi
make_build "$build-clang-asan" clang "${sanitizers[@]}" -Dfuzzers=true
layers "$build-clang-asan" clang-asan
((fuzz == 0)) || tap "fuzz, $fuzz s" tests/fuzz/run.sh "$build-clang-asan" "$fuzz"
# Where threads meet. ASLR off: what LLVM 14 knows of it is less than newer kernels do.
make_build "$build-clang-tsan" clang -Db_sanitize=thread -Db_lundef=false
for t in conn calls; do
    tap "tsan: unit/test_$t" setarch -R "$build-clang-tsan/tests/unit/test_$t"
done
tap "tsan: e2e/test_many.py" setarch -R env XSKD_BUILD="$build-clang-tsan" \
    /usr/bin/python3 tests/e2e/test_many.py
[[ $soak == 0 ]] || tap "soak, $soak min" /usr/bin/python3 tests/soak.py --build "$build-clang-asan" \
    --minutes "$soak"
if [[ $kernels == yes ]]; then
    status=0
    tests/kernels/run.sh "$build" 2>&1 | tee "$log" || status=$?
    read -r p f s < <(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p' "$log" | tail -n 1) ||
        { p=0 f=1 s=0; }
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
fi

echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
