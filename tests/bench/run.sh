#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Figures of xskd, each beside its floor measured in the same run: one table, one JSON file.
#
#   tests/bench/run.sh [--only SECTION[,SECTION]...] [--seconds N] [--smoke] [--json FILE]
#                      [--plots DIR] [--compare OLD.json] [--rows] [BUILD]
#
# BUILD: a meson build directory (default: build/ beside tests/; take --buildtype=release). FILE:
# default BUILD/bench.json. N: about how long to measure, 110 unless told; then all of it takes
# about three minutes. --only: some of the sections, each for the time that it has in a whole run.
# --smoke: a few samples of each, to see that it runs; its figures say nothing.
#
# --plots: a picture (SVG) of each curve into DIR, see plot.py. --compare: afterwards, what became
# slower or faster since OLD.json beyond the noise, see compare.py. --rows: no table, but rows for
# LIMITS_EXTRA of the harness of floors and peers, see limits.py.
#
# Needs root, two CPUs, iproute2 and Debian's CNI plugins; counts system calls where there is strace,
# and measures xdp-loader beside LoadProgram where that is installed. Runs in network, mount and
# process namespaces of its own, and when these end nothing is left. The section handoff has 80 huge
# pages more while it runs (vm.nr_hugepages).
#
# Exit status: 0, also where a target is missed; 1 where something broke, or where --compare found
# something slower; 2 for wrong usage.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# What there is, in order, and its part of the time.
sections=(calls:18 crowd:13 handoff:15 load:12 pool:10 bystander:8 neighbour:8 packets:12 queues:8 cni:12 memory:0 hostile:13 scale:14 syscalls:0)

if [[ ${1-} == --inside ]]; then
    build=$2 dir=$3 seconds=$4 smoke=$5 only=$6
    mount -t tmpfs tmpfs "$dir"
    mount -t bpf bpf /sys/fs/bpf # for xdp-loader, which knows no other place
    mkdir "$dir/bpf"
    mount -t bpf bpf "$dir/bpf"
    parts=$(printf '%s\n' "${sections[@]#*:}" | awk '{ sum += $1 } END { print sum }')
    for section in "${sections[@]}"; do
        name=${section%:*} trace=()
        [[ -z $only || ,$only, == *,$name,* ]] || continue
        if [[ $name == syscalls ]]; then
            command -v strace >/dev/null || continue
            trace=(strace -f -qq -s 48 -o "$dir/trace")
        fi
        echo -n "$name " >&2
        # A network namespace for each: devices of one that has ended go away when the kernel likes.
        # shellcheck disable=SC2086 # is one word or none
        unshare --net "${trace[@]}" "$build/tests/bench/bench" $smoke "$name" \
            "$(awk "BEGIN { print $seconds * ${section#*:} / $parts }")" "$build" "$dir"
        [[ $name != syscalls ]] || python3 "$here/trace.py" "$dir/trace"
    done
    echo >&2
    exit
fi

usage() {
    sed -n '3,25s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

seconds=110 json='' smoke='' only='' plots='' compare='' rows=no
while [[ ${1-} == --* ]]; do
    case $1 in
    --smoke) smoke=--smoke seconds=0 ;;
    --rows) rows=yes ;;
    --only | --seconds | --json | --plots | --compare)
        [[ $# -ge 2 ]] || usage
        declare "${1#--}=$2"
        shift
        ;;
    *) usage ;;
    esac
    shift
done
names=" ${sections[*]%:*} "
for name in ${only//,/ }; do
    [[ $names == *" $name "* ]] ||
        { echo "tests/bench/run.sh: no section '$name', there are:$names" >&2; exit 2; }
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
[[ -z $compare || -r $compare ]] || { echo "tests/bench/run.sh: cannot read $compare" >&2; exit 1; }

scratch=$(mktemp -d)
child=''
trap '[[ -z $child ]] || kill -KILL "$child" 2>/dev/null || true; rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
mkdir "$scratch/dir"
[[ -z $compare ]] || cp "$compare" "$scratch/old.json" # the new one may go to the same place
# Shared by the whole machine, so it is put back; what is in use then goes when it is freed.
pages=/proc/sys/vm/nr_hugepages
if [[ -z $only || ,$only, == *,handoff,* ]] && [[ -w $pages ]]; then
    had=$(cat $pages)
    trap 'echo "$had" >$pages; [[ -z $child ]] || kill -KILL "$child" 2>/dev/null || true
          rm -rf "$scratch"' EXIT
    echo $((had + 80)) >$pages
fi
load=$(cut -d' ' -f1-3 /proc/loadavg) began=$SECONDS
nice -n -15 unshare --mount --pid --fork --kill-child --mount-proc \
    bash "$0" --inside "$build" "$scratch/dir" "$seconds" "$smoke" "$only" >"$scratch/rows" &
child=$!
wait "$child" || { echo "tests/bench/run.sh: a section failed" >&2; exit 1; }
child=''
if [[ $rows == yes ]]; then
    python3 "$here/limits.py" "$scratch/rows"
    exit
fi
python3 "$here/table.py" --rows "$scratch/rows" --json "$json" --load "$load" \
    --took $((SECONDS - began))
[[ -z $plots ]] || python3 "$here/plot.py" "$json" "$plots"
[[ -z $compare ]] || python3 "$here/compare.py" "$scratch/old.json" "$json"
