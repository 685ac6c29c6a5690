#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The CNI plugin with PCI devices, the ones that boot() of run.sh plugs in: what no namespace of
# veth devices shows. Hardware has an address on the bus and one burnt in, and outlives the
# namespace that it is in. Prints a result for each test. Wants root, the machine for itself, and
# xskd, xskctl, xskd-cni and sender in PATH.
#
#   cni.sh [TEST...]
set -u
# shellcheck source=SCRIPTDIR/common.sh
. "${0%/*}/common.sh"

mac=52:54:00:00:00:0 bus=0000:00:1 # and then the number of the NIC
packets=1000 # fewer than a ring has entries: what is missing was lost, not late
rate=2000
dir=$(mktemp -d)
chmod 0755 "$dir"
mkfifo "$dir/ready"
daemon=''

# ---- the node ----

ctl() {
    xskctl --run-dir "$dir/run" "$@"
}

start_daemon() {
    xskd --run-dir "$dir/run" --bpf-dir "$dir/bpf" >>"$dir/log" 2>&1 &
    daemon=$!
    echo $daemon >"$dir/daemon" # tests are subshells
    eventually ctl info
}

kill_daemon() {
    kill -9 "$(cat "$dir/daemon")"
    eventually not ctl info
}

not() {
    ! "$@"
}

nic_name() { # NUMBER: what it is called on the host now; "": it is not there
    device=/sys/bus/pci/devices/$bus$1.0
    for place in "$device"/net/* "$device"/virtio*/net/*; do
        [ ! -e "$place" ] || echo "${place##*/}"
    done
}

is_home() { # NUMBER
    [ -n "$(nic_name "$1")" ]
}

has_nic() { # NUMBER
    [ -d /sys/bus/pci/devices/$bus"$1".0 ]
}

# All that the plugin may change of the devices, in few processes: they are slow here.
state() {
    cd /sys/class/net || return
    set --
    for place in */device; do
        name=${place%/device}
        set -- "$@" "$name/address" "$name/mtu" "$name/flags" "$name/tx_queue_len" \
            "$name/gro_flush_timeout" "$name/napi_defer_hard_irqs"
        echo "$name" "$name"/queues/*
    done
    grep . "$@" /dev/null
    echo /sys/bus/pci/devices/*/net/* /sys/bus/pci/devices/*/virtio*/net/*
    ip -o link | grep -o '^[0-9]*: .*xdp[a-z]*'
    ip -o address
    ip route show table all
}

in_pod() { # COMMAND...: with the pod's /sys
    ip netns exec pod "$@"
}

pod_value() { # VALUE
    in_pod cat /sys/class/net/eth0/"$1"
}

pod_queues() {
    in_pod ls /sys/class/net/eth0/queues | grep -c rx-
}

receives() { # MODE: the pod's eth0 what the second NIC sends
    ip link set nic2 up
    nsenter --net=/run/netns/pod setpriv --reuid 65534 --regid 65534 --clear-groups \
        --inh-caps=-all --bounding-set=-all --no-new-privs \
        xskctl --run-dir "$dir/run" receive eth0 --count $packets --duration 20 --sequence \
        -o json --ready-fd 3 3>"$dir/ready" >"$dir/received" 2>>"$dir/log" &
    receiver=$!
    read -r _ <"$dir/ready" || fail "no hand-off: $(tail -n 3 "$dir/log")"
    sender --interface nic2 --count $packets --rate $rate >/dev/null
    wait $receiver || fail "receive: exit status $?: $(cat "$dir/received")"
    same packets $packets "$(field packets <"$dir/received")"
    same lost 0 "$(field lost <"$dir/received")"
    same mode "$1" "$(field mode <"$dir/received")"
    ip link set nic2 down
}

# ---- the plugin ----

cni() { # VERB CONTAINER NETNS KEYS...: as a runtime runs it
    verb=$1 container=$2 netns=$3
    shift 3
    config='"cniVersion":"1.1.0","name":"net","type":"xskd-cni"'
    for key in "\"socketDir\":\"$dir/run\"" "$@"; do config=$config,$key; done
    echo "{$config}" | CNI_COMMAND=$verb CNI_CONTAINERID=$container CNI_NETNS=$netns \
        CNI_IFNAME=eth0 CNI_PATH=/bin xskd-cni >"$dir/out" 2>"$dir/err"
}

add() { # KEYS...
    ip netns add pod
    state_before
    cni ADD c1 /run/netns/pod "$@" || fail "ADD: $(cat "$dir/out" "$dir/err")"
    cp "$dir/out" "$dir/result"
    same "warnings of ADD" '' "$(cat "$dir/err")"
    cni CHECK c1 /run/netns/pod "$@" || fail "CHECK: $(cat "$dir/out" "$dir/err")"
}

state_before() {
    (state) >"$dir/before"
}

result() { # KEY
    field "$1" <"$dir/result"
}

refused() { # CODE WORDS ADD's keys...
    code=$1 words=$2
    shift 2
    ip netns add pod
    state_before
    ! cni ADD c1 /run/netns/pod "$@" || fail "ADD was not refused: $(cat "$dir/out")"
    same code "$code" "$(field code <"$dir/out")"
    grep -q "$words" "$dir/out" || fail "no '$words' in $(cat "$dir/out")"
    nothing_left
}

nothing_left() {
    (state) >"$dir/after"
    diff "$dir/before" "$dir/after" || fail "the devices are not as before"
    same records '' "$(find "$dir/run/cni" -name '*@*')"
    no_lease || fail "a lease is left"
    no_program || fail "a program is left"
}

del() { # NETNS KEYS...
    netns=$1
    shift
    cni DEL c1 "$netns" "$@" || fail "DEL: $(cat "$dir/out" "$dir/err")"
    same "warnings of DEL" '' "$(cat "$dir/err")"
    nothing_left
}

no_lease() {
    ! ctl lease list -o json | grep '"container"'
}

no_program() {
    ! ctl program list -o json | grep '"id"'
}

is_pending() {
    [ -e "$dir/run/cni/pending/c1@eth0" ]
}

reconcile() {
    xskd-cni reconcile --socket-dir "$dir/run" || fail "reconcile: exit status $?"
    nothing_left
}

# ---- tests: each begins with all NICs at home and down ----

attached() { # NIC
    same pciID "$bus$1.0" "$(result pciID)"
    same name eth0 "$(result name)"
    same mac "$mac$1" "$(result mac)"
    same sandbox /run/netns/pod "$(result sandbox)"
    is_home "$1" && fail "it is on the host"
    same address "$mac$1" "$(pod_value address)"
    [ $(($(pod_value flags) & 1)) = 1 ] || fail "it is down"
}

test_pci_address() {
    for nic in 1 3; do
        add "\"device\":\"$bus$nic.0\""
        attached $nic
        del /run/netns/pod
        ip netns del pod
        ip link set nic$nic up
        add "\"device\":\"nic1\"" "\"deviceID\":\"$bus$nic.0\""
        attached $nic
        del /run/netns/pod
        ip netns del pod
        ip link set nic$nic down
    done
}

test_mac_address() {
    add "\"device\":\"52:54:00:00:00:01\""
    attached 1
    del /run/netns/pod
    ip netns del pod
    # Once more by the one burnt in, while it has another.
    for nic in 1 3; do
        ip link set nic$nic address 02:00:00:00:00:99
        add "\"device\":\"$mac$nic\""
        same address 02:00:00:00:00:99 "$(pod_value address)"
        del /run/netns/pod
        ip netns del pod
        ip link set nic$nic address $mac$nic
    done
}

test_mac_of_two() {
    ip link set nic2 address ${mac}1
    refused 100 "several devices, 'nic1', 'nic2'" "\"device\":\"${mac}1\""
    ip link set nic2 address ${mac}2
}

test_taken() {
    add '"device":"nic1"'
    ip netns add pod2
    for key in nic1 ${bus}1.0 ${mac}1; do
        ! cni ADD c2 /run/netns/pod2 "\"device\":\"$key\"" || fail "ADD was not refused"
        same code 100 "$(field code <"$dir/out")"
        grep -q "with container 'c1'" "$dir/out" || fail "who has it? $(cat "$dir/out")"
    done
    ! cni STATUS '' '' "\"device\":\"${bus}1.0\"" || fail "STATUS: $(cat "$dir/out")"
    same code 50 "$(field code <"$dir/out")"
    del /run/netns/pod
}

test_settings() {
    for nic in 1 3; do
        ip link set nic$nic up
        add "\"device\":\"nic$nic\"" '"mac":"02:00:00:00:00:77"' '"mtu":1400' '"busyPoll":true'
        same mac 02:00:00:00:00:77 "$(result mac)"
        same mtu 1400 "$(result mtu)"
        same address 02:00:00:00:00:77 "$(pod_value address)"
        same mtu 1400 "$(pod_value mtu)"
        same napi_defer_hard_irqs 2 "$(pod_value napi_defer_hard_irqs)"
        same gro_flush_timeout 200000 "$(pod_value gro_flush_timeout)"
        in_pod ip link set eth0 promisc on
        del /run/netns/pod
        ip netns del pod
        ip link set nic$nic down
    done
}

# By a pod that may do all in its namespace.
test_changed_in_pod() {
    for nic in 1 3; do
        ip link set nic$nic up
        add "\"device\":\"nic$nic\"" '"mac":"02:00:00:00:00:77"' '"mtu":1400'
        in_pod ip link set eth0 down
        in_pod ip link set eth0 name wan0 address 02:00:00:00:00:88 mtu 1300 promisc on
        ! cni CHECK c1 /run/netns/pod || fail "CHECK says nothing"
        same code 103 "$(field code <"$dir/out")"
        del /run/netns/pod
        ip netns del pod
        ip link set nic$nic down
    done
}

test_flags() {
    add '"device":"nic1"'
    in_pod ip link set eth0 allmulticast on arp off
    del /run/netns/pod
    ip netns del pod
    ip link set nic1 allmulticast on
    add '"device":"nic1"'
    in_pod ip link set eth0 allmulticast off
    del /run/netns/pod
    ip link set nic1 allmulticast off
}

# The pod has put it into a namespace within its own.
test_nested() {
    add '"device":"nic1"' '"mac":"02:00:00:00:00:77"'
    ip netns add pod2
    ip -n pod link set eth0 netns pod2
    cni DEL c1 /run/netns/pod || fail "DEL: $(cat "$dir/out" "$dir/err")"
    echo "DEL says: $(cat "$dir/err")"
    ip netns del pod2
    eventually is_home 1
    reconcile
}

# Another pod gets the device that the kernel has brought home, before the DEL of the first one.
test_reused() {
    for first in c1 c2; do
        ip link set nic1 up
        add '"device":"nic1"' '"mac":"02:00:00:00:00:77"' '"mtu":1400'
        ip netns del pod
        eventually is_home 1
        ip netns add pod2
        if cni ADD c2 /run/netns/pod2 "\"device\":\"${bus}1.0\"" '"mtu":1300'; then
            echo "ADD gave it to c2: $(cat "$dir/out")"
            cni DEL $first '' || fail "DEL: $(cat "$dir/out" "$dir/err")"
            echo "DEL of $first says: $(cat "$dir/err")"
            [ $first = c2 ] || cni CHECK c2 /run/netns/pod2 || fail "CHECK: $(cat "$dir/out")"
        else
            echo "ADD refused it: $(cat "$dir/out")"
        fi
        cni DEL c2 /run/netns/pod2
        ip netns del pod2
        eventually is_home 1
        cni DEL c1 '' || fail "DEL: $(cat "$dir/out" "$dir/err")"
        reconcile
        ip link set nic1 down
    done
}

test_address_of_host() {
    ip link set nic1 up
    ip address add 192.0.2.1/24 dev nic1
    ip route add 198.51.100.0/24 via 192.0.2.9
    refused 100 192.0.2.1 "\"device\":\"${bus}1.0\""
    ip netns del pod
    add "\"device\":\"${bus}1.0\"" '"allowInUse":["nic1"]'
    ip netns del pod
    eventually is_home 1
    del ''
    ip address del 192.0.2.1/24 dev nic1
    ip link set nic1 down
}

lone() { # NIC NETNS WAY: the namespace is destroyed with the device in it, and then comes DEL
    ip netns del pod
    # Without any help.
    eventually is_home "$1"
    echo "came home as $(nic_name "$1")"
    [ "$3" != clash ] || [ "$(nic_name "$1")" != eth0 ] || fail "there is no clash"
    eventually no_lease
    del "$2"
}

test_namespace_destroyed() {
    for nic in 1 3; do
        for netns in '' /run/netns/pod; do
            add "\"device\":\"nic$nic\""
            lone $nic "$netns" free
            ip link set nic$nic up
            add "\"device\":\"$bus$nic.0\"" '"mac":"02:00:00:00:00:77"' '"mtu":1400' \
                '"busyPoll":true'
            lone $nic "$netns" free
            ip link set nic$nic down
        done
    done
}

# The pod's name for it is that of another device on the host, which has to keep name and settings.
test_namespace_destroyed_clash() {
    ip link set nic2 name eth0
    for nic in 1 3; do
        ip link set nic$nic up
        add "\"device\":\"nic$nic\"" '"mac":"02:00:00:00:00:77"' '"mtu":1400' '"busyPoll":true'
        lone $nic '' clash
        ip link set nic$nic down
        # Moved by DEL, not by the kernel.
        add "\"device\":\"nic$nic\"" '"mtu":1400' '"busyPoll":true'
        del /run/netns/pod
        ip netns del pod
    done
    ip link set eth0 name nic2
}

# The name that it had is somebody else's by now: that is not taken away.
test_old_name_taken() {
    for netns in '' /run/netns/pod; do
        add '"device":"nic1"' '"mac":"02:00:00:00:00:77"'
        ip link add nic1 type veth peer name other
        [ -n "$netns" ] || ip netns del pod
        cni DEL c1 "$netns" || fail "DEL: $(cat "$dir/out" "$dir/err")"
        is_pending || fail "no record is left: $(cat "$dir/err")"
        echo "DEL says: $(cat "$dir/err")"
        ip link del nic1
        reconcile
        [ -z "$netns" ] || ip netns del pod
    done
}

test_del_at_once() {
    for _ in 1 2 3 4; do
        add '"device":"nic1"' '"mtu":1400'
        ip netns del pod
        del ''
    done
}

# A process keeps the namespace, longer than its name.
test_del_waits() {
    add '"device":"nic1"' '"mtu":1400'
    nsenter --net=/run/netns/pod sleep 2 &
    sleep 0.5
    ip netns del pod
    is_home 1 && fail "it is home already"
    del ''
    wait $!
}

# What is left of one attachment is not to slow down those of all others.
others_do_not_wait() {
    ip netns add pod2
    since=$(date +%s)
    cni ADD c2 /run/netns/pod2 '"device":"nic3"' || fail "ADD: $(cat "$dir/out" "$dir/err")"
    cni CHECK c2 /run/netns/pod2 '"device":"nic3"' || fail "CHECK: $(cat "$dir/out" "$dir/err")"
    cni DEL c2 /run/netns/pod2 '"device":"nic3"' || fail "DEL: $(cat "$dir/out" "$dir/err")"
    since=$(($(date +%s) - since))
    ip netns del pod2
    [ $since -lt 10 ] || slow="ADD, CHECK and DEL of another device took $since s"
}

test_del_waits_in_vain() {
    slow=''
    add '"device":"nic1"' '"mtu":1400'
    nsenter --net=/run/netns/pod sleep 100 &
    sleep 0.5
    ip netns del pod
    cni DEL c1 '' || fail "DEL: $(cat "$dir/out" "$dir/err")"
    is_pending || fail "no record is left: $(cat "$dir/err")"
    echo "DEL says: $(cat "$dir/err")"
    others_do_not_wait
    kill $!
    eventually is_home 1
    reconcile
    same "what went too slow" '' "$slow"
}

test_gc() {
    add '"device":"nic1"' '"mtu":1400'
    ip netns del pod
    cni GC '' '' '"cni.dev/valid-attachments":[]' || fail "GC: $(cat "$dir/out" "$dir/err")"
    nothing_left
}

test_daemon_down() {
    for netns in /run/netns/pod ''; do
        ip link set nic1 up
        add '"device":"nic1"' '"mtu":1400' '"mac":"02:00:00:00:00:77"'
        kill_daemon
        [ -n "$netns" ] || ip netns del pod
        cni DEL c1 "$netns" || fail "DEL: $(cat "$dir/out" "$dir/err")"
        (state) | grep -v xdp >"$dir/home"
        diff "$dir/before" "$dir/home" ||
            fail "it is not as before while the daemon is down: $(cat "$dir/err")"
        is_pending || fail "no record is left: $(cat "$dir/err")"
        start_daemon
        reconcile
        [ -z "$netns" ] || ip netns del pod
        ip link set nic1 down
    done
}

# The driver lets go of it: to us that is as if it were pulled out. Out of the bus itself would be
# more, but qemu 7.2 does not always survive that.
unplug() {
    unplugged=$(basename /sys/bus/pci/devices/${bus}1.0/virtio*)
    echo "$unplugged" >/sys/bus/virtio/drivers/virtio_net/unbind
}

replug() {
    echo "$unplugged" >/sys/bus/virtio/drivers/virtio_net/bind
    eventually is_home 1
}

# What came back is a new device. If there is a record of the old one still, it gets its name.
back_as_new() {
    xskd-cni reconcile --socket-dir "$dir/run" || fail "reconcile: exit status $?"
    [ "$(nic_name 1)" = nic1 ] || ip link set "$(nic_name 1)" name nic1
    nothing_left
}

test_unplugged() {
    add '"device":"nic1"'
    unplug
    cni DEL c1 /run/netns/pod || fail "DEL: $(cat "$dir/out" "$dir/err")"
    echo "DEL says: $(cat "$dir/err")"
    ip netns del pod
    replug
    back_as_new
    # Plugged in again before DEL.
    add '"device":"nic1"' '"mtu":1400' '"busyPoll":true'
    unplug
    replug
    del /run/netns/pod
}

# DEL waits for hardware of a namespace that has gone, and cannot know that this one never comes.
test_unplugged_and_destroyed() {
    slow=''
    add '"device":"nic1"' '"mtu":1400'
    unplug
    ip netns del pod
    cni DEL c1 '' || fail "DEL: $(cat "$dir/out" "$dir/err")"
    echo "DEL says: $(cat "$dir/err")"
    others_do_not_wait
    replug
    back_as_new
    same "what went too slow" '' "$slow"
}

test_receive_virtio() {
    for mode in native generic; do
        add '"device":"nic1"' "\"xdpMode\":\"$mode\""
        same "mode of the program" $mode "$(ctl program list -o json | field mode)"
        receives copy
        del /run/netns/pod
        ip netns del pod
    done
}

test_receive_vmxnet3() {
    add '"device":"nic3"' '"xdpMode":"generic"'
    receives copy
    del /run/netns/pod
    ip netns del pod
    add '"device":"nic3"'
    echo "auto: $(ctl program list -o json | field mode)"
    receives copy
    del /run/netns/pod
}

# All is undone, and what is set before the program is loaded as well. vmxnet3 has XDP since 6.6,
# and never for this MTU.
test_native_refused() {
    ip link set nic3 up
    refused 102 nic3 '"device":"nic3"' '"xdpMode":"native"' '"mtu":9000' \
        '"mac":"02:00:00:00:00:77"' '"busyPoll":true'
    ip link set nic3 down
}

leased() {
    ctl lease list -o json | tr -d ' \n' | sed 's/.*"queues":\[\([^]]*\).*/\1/' | tr ',' '\n' |
        grep -c .
}

test_channels() {
    has_nic 4 || skip "no tap device with several queues"
    for mode in native generic auto; do
        for queues in 4 1; do
            add '"device":"nic4"' "\"channels\":$queues" "\"xdpMode\":\"$mode\""
            # A native program of virtio_net takes more, to send by them, and receives by all.
            [ "$queues $mode" = "1 native" ] || [ "$queues $mode" = "1 auto" ] ||
                same "queues of the device" $queues "$(pod_queues)"
            same "queues of the lease" "$(pod_queues)" "$(leased)"
            del /run/netns/pod
            ip netns del pod
        done
        add '"device":"nic4"' '"channels":3' "\"xdpMode\":\"$mode\""
        lone 4 '' free
    done
    refused 102 channels '"device":"nic4"' '"channels":5' '"mtu":1400'
    ip netns del pod
    refused 102 channels '"device":"nic3"' '"channels":2' '"mtu":1400'
}

# The driver refuses it while a native program is attached, which the dead daemon's still is.
test_channels_daemon_down() {
    has_nic 4 || skip "no tap device with several queues"
    ip link set nic4 up
    add '"device":"nic4"' '"channels":4' '"xdpMode":"native"'
    kill_daemon
    cni DEL c1 /run/netns/pod || fail "DEL: $(cat "$dir/out" "$dir/err")"
    echo "DEL says: $(cat "$dir/err")"
    is_pending || fail "no record is left"
    start_daemon
    reconcile
    ip link set nic4 down
}

test_queue_mode() {
    has_nic 4 || skip "no tap device with several queues"
    ip netns add pod2
    ip link set nic4 up
    add "\"device\":\"${bus}4.0\"" '"mode":"queue"' '"queues":[1]'
    same pciID ${bus}4.0 "$(result pciID)"
    same name nic4 "$(result name)"
    same sandbox '' "$(result sandbox)"
    cni ADD c2 /run/netns/pod2 "\"device\":\"${mac}4\"" '"mode":"queue"' '"queues":{"count":1}' \
        '"filters":[{"flow":"udp4","dstPort":4789}]' || fail "ADD: $(cat "$dir/out")"
    grep -q nic4 "$dir/err" || fail "no warning of filters: $(cat "$dir/err")"
    ! cni ADD c3 /run/netns/pod2 "\"device\":\"${mac}4\"" '"mode":"queue"' \
        '"queues":{"count":1}' || fail "a queue too many"
    cni DEL c2 '' || fail "DEL: $(cat "$dir/out" "$dir/err")"
    ip netns del pod
    cni DEL c1 '' || fail "DEL: $(cat "$dir/out" "$dir/err")"
    # A shared program goes behind the last lease, which ended with its namespace.
    eventually no_program
    nothing_left
    ip link set nic4 down
}

# ---- all of them ----

# What a test has left, so that the next one is not to blame for it.
clean() {
    ctl info >/dev/null 2>&1 || start_daemon
    for container in c1 c2 c3; do cni DEL $container ''; done
    ip netns del pod
    ip netns del pod2
    ip link del other
    is_home 1 || { unplug; replug; } # whichever it is, in a namespace or without a driver
    for n in 1 2 3 4; do
        name=$(nic_name $n)
        [ -n "$name" ] || continue
        ip link set "$name" down
        ip address flush dev "$name"
        ip link set "$name" name nic$n address $mac$n mtu 1500 promisc off allmulticast off arp on
    done
} >/dev/null 2>&1

for every in all default; do echo 1 >/proc/sys/net/ipv6/conf/$every/disable_ipv6; done
echo 1 >/proc/sys/net/core/devconf_inherit_init_net
[ -n "$(nic_name 1)" ] || skip "there are no NICs"
start_daemon
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(sed -n 's/^test_\([a-z0-9_]*\)() {$/\1/p' "$0")
clean
for test; do
    start=$(date +%s)
    # In a shell of its own, so that it may end at once.
    (test_"$test")
    case $? in
    0) result=pass ;;
    77) result=skip ;;
    *) result=fail
       tail -n 5 "$dir/log"
       clean ;;
    esac
    echo "took $(($(date +%s) - start)) s"
    printf '\nKERNELTEST cni:%s %s\n' "$test" $result
    ip netns del pod 2>/dev/null
    ip netns del pod2 2>/dev/null
done
kill "$(cat "$dir/daemon")"
