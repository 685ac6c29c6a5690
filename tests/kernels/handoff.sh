#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The main job end to end, with the real programs: a device moves into a pod's namespace, a process
# there without any privilege gets a socket from xskd and receives each packet that a peer sends;
# then once more after the daemon was killed and started again. Wants root, and xskd, xskctl and
# sender in PATH.
# On a kernel before 6.4 this is the hand-off in two phases.
set -eu
# shellcheck source=SCRIPTDIR/common.sh
. "${0%/*}/common.sh"

packets=2000 # fewer than a ring has entries: what is missing was lost, not late
rate=2000
pod=xskd-pod-$$ peer=xskd-peer-$$ device=xp$$
dir=$(mktemp -d)
chmod 0755 "$dir"
mkfifo "$dir/ready"
daemon='' receiver=''

cleanup() {
    status=$?
    trap - EXIT
    set +e
    [ -z "$receiver" ] || kill "$receiver"
    [ -z "$daemon" ] || { kill "$daemon"; wait "$daemon"; }
    [ $status -eq 0 ] || { echo "log:"; cat "$dir/log"; }
    ip link del "$device"
    ip netns del $pod
    ip netns del $peer
    umount "$dir/bpf"
    rm -rf "$dir"
    exit $status
} 2>/dev/null
trap cleanup EXIT
trap 'exit 130' INT TERM

ctl() {
    xskctl --run-dir "$dir/run" "$@"
}

start_daemon() {
    xskd --run-dir "$dir/run" --bpf-dir "$dir/bpf" >>"$dir/log" 2>&1 &
    daemon=$!
    eventually ctl info
}

no_privileges() { # PID
    grep -q '^Uid:[[:space:]]*65534[[:space:]]' "/proc/$1/status" &&
        grep -q '^CapEff:[[:space:]]*0*$' "/proc/$1/status" &&
        grep -q '^CapBnd:[[:space:]]*0*$' "/proc/$1/status" &&
        grep -q '^NoNewPrivs:[[:space:]]*1$' "/proc/$1/status"
}

has_no_socket() {
    ctl socket list -o json >"$dir/sockets" && ! grep -q '"id"' "$dir/sockets"
}

receive() {
    nsenter --net=/run/netns/$pod setpriv --reuid 65534 --regid 65534 --clear-groups \
        --inh-caps=-all --bounding-set=-all --no-new-privs \
        xskctl --run-dir "$dir/run" receive eth0 --count $packets --duration 20 --sequence \
        -o json --ready-fd 3 3>"$dir/ready" >"$dir/received" 2>>"$dir/log" &
    receiver=$!
    # The end of the pipe without a line: it ended before it was ready, and the log says why.
    read -r _ <"$dir/ready" || fail "no hand-off"
    no_privileges $receiver || fail "the receiver has privileges: $(cat /proc/$receiver/status)"
    [ "$(ctl socket list -o json | field mode)" = copy ] || fail "xskctl lists no bound socket"
    nsenter --net=/run/netns/$peer sender --interface peer0 --count $packets --rate $rate
    wait $receiver || fail "receive: exit status $?"
    receiver=''
    if [ "$(field packets <"$dir/received")" != $packets ] ||
        [ "$(field lost <"$dir/received")" != 0 ]; then
        fail "received $(cat "$dir/received")"
    fi
}

for ns in $pod $peer; do
    ip netns add "$ns"
    # IPv6 would send packets of its own, and the receiver counts every one.
    # shellcheck disable=SC2016 # the inner shell expands it
    nsenter --net=/run/netns/"$ns" sh -c \
        'for i in all default; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; done'
done
start_daemon

# Linux 6.4 is the first that maps the rings of a bound socket.
release=$(uname -r)
major=${release%%.*} minor=${release#*.}
minor=${minor%%[!0-9]*}
full=true
[ "$major" -gt 6 ] || { [ "$major" -eq 6 ] && [ "$minor" -ge 4 ]; } || full=false
got=$(ctl info -o json | field full_handoff)
[ "$got" = $full ] || fail "xskctl info says full_handoff $got on Linux $release"
echo "Linux $release: full_handoff $got"

# As a CNI plugin does it: program first, then the move, then the lease.
ip link add "$device" type veth peer name peer0 netns $peer
ctl program load "$device"
ip link set "$device" netns $pod name eth0
ip -n $pod link set eth0 up
ip -n $peer link set peer0 up
ctl lease grant --container c1 --netns /run/netns/$pod --interface eth0

receive
echo "received $packets of $packets"
eventually has_no_socket

kill -9 $daemon
wait $daemon || true
start_daemon
receive
echo "received $packets of $packets after the daemon was killed"

ctl lease revoke --container c1
ctl program list
