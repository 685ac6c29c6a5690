#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The units of deploy/systemd under a systemd that is the first process: started by a client that
# comes to a socket, with all of their sandbox; killed and restarted while a pod receives, and while
# nobody has the pod's socket but systemd's descriptor store. Wants root, the units installed, and
# xskctl and sender in PATH.
set -eu
# shellcheck source=SCRIPTDIR/common.sh
. "${0%/*}/common.sh"
PATH=$PATH:/usr/bin

packets=2000 # fewer than a ring has entries: what is missing was lost, not late
rate=2000
dir=$(mktemp -d -p /run) # a unit of systemd may mount a /tmp of its own
chmod 0755 "$dir"
mkfifo "$dir/ready"
receiver=''

cleanup() {
    status=$?
    trap - EXIT
    set +e
    [ -z "$receiver" ] || kill "$receiver"
    if [ $status -ne 0 ]; then
        systemctl --no-pager --full status xskd.service xskd-admin.socket
        journalctl --no-pager --quiet -n 60
    fi
    systemctl stop xskd.service xskd-admin.socket xskd-pod.socket
    exit $status
}
trap cleanup EXIT

property() { # NAME
    systemctl show --value --property "$1" xskd.service
}

receive() { # OPTIONS...: as nobody in the pod; returns when it is ready
    nsenter --net=/run/netns/pod setpriv --reuid 65534 --regid 65534 --clear-groups \
        --inh-caps=-all --bounding-set=-all --no-new-privs \
        xskctl receive eth0 --sequence --keep "$@" -o json --ready-fd 3 \
        3>"$dir/ready" >"$dir/received" 2>"$dir/err" &
    receiver=$!
    read -r _ <"$dir/ready" || fail "no hand-off: $(cat "$dir/err")"
}

send() {
    nsenter --net=/run/netns/peer sender --interface peer0 --count $packets --rate $rate >/dev/null
}

received() { # WHAT: the receiver ends with all of them
    wait $receiver || fail "$1: exit status $?: $(cat "$dir/err")"
    receiver=''
    same "$1: packets" $packets "$(field packets <"$dir/received")"
    same "$1: lost" 0 "$(field lost <"$dir/received")"
    echo "$1: $packets of $packets packets"
}

kill_daemon() { # and wait until systemd has started the next one
    before=$(property MainPID)
    systemctl kill --kill-whom=main --signal=SIGKILL xskd.service
    eventually is_another "$before"
}

is_another() { # PID: that it was
    [ "$(property MainPID)" != "$1" ] && [ "$(property ActiveState)" = active ]
}

for ns in pod peer; do
    ip netns add $ns
    # IPv6 would send packets of its own, and the receiver counts every one.
    # shellcheck disable=SC2016 # the inner shell expands it
    nsenter --net=/run/netns/$ns sh -c \
        'for i in all default; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; done'
done

systemctl start xskd-admin.socket xskd-pod.socket
same "state before a client comes" inactive "$(property ActiveState)"
xskctl info -o json >"$dir/info"
same "state" active "$(property ActiveState)"
same "kind" notify "$(property Type)"
if [ "$(field full_handoff <"$dir/info")" != true ]; then
    echo "sockets are kept from Linux 6.4 on"
    trap - EXIT
    exit 77
fi
echo "$(systemctl --version | head -n 1): started by a client"

systemd-analyze --no-pager security xskd.service >"$dir/security"
score=$(sed -n 's/.*Overall exposure level for xskd.service: \([0-9.]*\).*/\1/p' "$dir/security")
echo "exposure level: $score"
case $score in
[0-2].*) ;;
*) fail "exposure level: $(cat "$dir/security")" ;;
esac

ip link add xd0 type veth peer name peer0 netns peer
xskctl program load xd0
ip link set xd0 netns pod name eth0
ip -n pod link set eth0 up
ip -n peer link set peer0 up
xskctl lease grant --container c1 --netns /run/netns/pod --interface eth0

receive --count $packets --duration 60
same "stored" 2 "$(property NFileDescriptorStore)" # socket and packet memory
send
received "in the units' sandbox"

receive --count $packets --duration 60
(sleep 0.2 && send) &
kill_daemon
received "over SIGKILL of the daemon"

receive --duration 60
kill -KILL $receiver
wait $receiver || true
receiver=''
kill_daemon
same "restarts" 2 "$(property NRestarts)"
same "stored after SIGKILL" 2 "$(property NFileDescriptorStore)"
send
systemctl restart xskd.service
same "stored after a restart" 2 "$(property NFileDescriptorStore)"
receive --count $packets --duration 60
received "while systemd alone had the socket, over SIGKILL and restart"

xskctl lease revoke --container c1
eventually same "stored after the lease" 0 "$(property NFileDescriptorStore)"
systemctl start xskd-cni-reconcile.service
systemctl stop xskd.service xskd-admin.socket xskd-pod.socket
same "result" success "$(property Result)"
