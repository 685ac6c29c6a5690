#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Figures of xskd, each beside its floor measured in the same run: one table, one JSON file.
#
#   tests/bench/run.sh [--seconds N] [--json FILE] [--smoke] [BUILD]
#
# BUILD: a meson build directory (default: build/ beside tests/; take --buildtype=release). FILE:
# default BUILD/bench.json. N: about how long to measure, 80 unless told; at 80 all of it takes
# less than two minutes. --smoke: a few samples of each, to see that it runs; its figures say nothing.
#
# Needs root, two CPUs, iproute2 and Debian's CNI plugins; counts system calls where there is strace.
# Runs in network, mount and process namespaces of its own, and when these end nothing is left.
# A target that is missed is no failure: the exit status is not 0 only where something broke.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ ${1-} == --inside ]]; then
    build=$2 dir=$3 seconds=$4 smoke=$5
    mount -t tmpfs tmpfs "$dir"
    mkdir "$dir/bpf"
    mount -t bpf bpf "$dir/bpf"

    # A network namespace for each: devices of one that has ended go away when the kernel likes.
    section() { # NAME PERCENT
        echo -n "$1 " >&2
        # shellcheck disable=SC2086 # is one word or none
        unshare --net ${trace-} "$build/tests/bench/bench" $smoke "$1" \
            "$(awk "BEGIN { print $seconds * $2 / 100 }")" "$build" "$dir"
    }
    section calls 20
    section crowd 12
    section handoff 18
    section load 20
    section packets 14
    section cni 16
    section memory 0
    section hostile 16
    if command -v strace >/dev/null; then
        trace="strace -f -qq -s 48 -o $dir/trace" section syscalls 0
        python3 "$here/table.py" --trace "$dir/trace"
    fi
    echo >&2
    exit
fi

seconds=80 json='' smoke=''
while [[ ${1-} == --* ]]; do
    case $1 in
    --seconds) seconds=$2; shift ;;
    --json) json=$2; shift ;;
    --smoke) smoke=--smoke seconds=0 ;;
    *) sed -n '3,17s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
    shift
done
build=$(realpath "${1:-$here/../../build}")
json=${json:-$build/bench.json}
for program in tests/bench/bench server/xskd client/cni/xskd-cni; do
    [[ -x $build/$program ]] || { echo "$build has no $program: build it first" >&2; exit 1; }
done
[[ $(id -u) == 0 ]] || { echo "tests/bench/run.sh needs root" >&2; exit 1; }
[[ -x /usr/lib/cni/host-device ]] ||
    { echo "tests/bench/run.sh needs the package containernetworking-plugins" >&2; exit 1; }
[[ $(nproc) -ge 2 ]] || { echo "tests/bench/run.sh needs two CPUs" >&2; exit 1; }

scratch=$(mktemp -d)
child=''
trap '[[ -z $child ]] || kill -KILL "$child" 2>/dev/null || true; rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
mkdir "$scratch/dir"
load=$(cut -d' ' -f1-3 /proc/loadavg) began=$SECONDS
nice -n -15 unshare --mount --pid --fork --kill-child --mount-proc \
    bash "$0" --inside "$build" "$scratch/dir" "$seconds" "$smoke" >"$scratch/rows" &
child=$!
wait "$child" || { echo "tests/bench/run.sh: a section failed" >&2; exit 1; }
child=''
python3 "$here/table.py" --rows "$scratch/rows" --json "$json" --load "$load" \
    --took $((SECONDS - began))
