#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Shows xskd at work, on Debian 12, as root:
#
#   deploy/demo.sh [--packets N] [--rate PACKETS_PER_SECOND] [--build DIR]
#
# Installs what is missing and builds. Makes a "pod" (a network namespace) and a peer, joined by a
# veth pair; starts a daemon of its own; loads a program and grants a lease as administrator. Then a
# receiver without any privilege takes a socket from the daemon, the peer sends, and each packet is
# accounted for. Everything is undone at the end; the network of the host is not touched.
#
# The last line is "demo: ok ..." and the exit status 0, or "demo: FAILED ..." and not 0.
set -Eeuo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
packets=200000 rate=50000 build=$top/build
why="" work="" daemon="" receiver=""

# ---- how it ends ----

fail() { # REASON...
    why=$*
    exit 1
}

# Ends a process that we started, by force if it does not go within five seconds.
end() { # PID
    local i

    [[ -n $1 ]] && kill -TERM "$1" 2>/dev/null || return 0
    for ((i = 0; i < 50; i++)); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

finish() {
    local status=$?

    trap '' INT TERM HUP
    trap - ERR
    set +e
    end "$receiver"
    end "$daemon"
    if [[ $status -ne 0 && -s $work/log ]]; then
        echo "the daemon's log ends with:"
        tail -n 15 "$work/log"
    fi
    if [[ -n $work ]]; then
        mountpoint -q "$work/bpf" && umount "$work/bpf"
        ip netns del "$pod" 2>/dev/null
        ip netns del "$peer" 2>/dev/null
        rm -rf --one-file-system "$work"
    fi
    if [[ $status -eq 0 ]]; then
        echo "demo: ok $result"
    else
        echo "demo: FAILED ${why:-status $status}"
    fi
    exit "$status"
}

trap finish EXIT
trap 'why="interrupted"; exit 130' INT TERM HUP
trap 'why="line $LINENO: $BASH_COMMAND"' ERR

# ---- what is shown ----

bold="" plain=""
if [[ -t 1 ]]; then
    bold=$'\e[1m' plain=$'\e[0m'
fi

say() { # TEXT...
    printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

# Shows an administrator's command, and runs it.
admin() { # COMMAND...
    echo "# xskctl $*"
    "$work/client/xskctl" --run-dir "$work/run" "$@"
}

number() { # OPTION TEXT
    [[ $2 =~ ^[1-9][0-9]{0,9}$ ]] || fail "$1 wants a number above 0, not '$2'"
}

# ---- the steps ----

options() { # ARGUMENTS...
    while [[ $# -gt 0 ]]; do
        case $1 in
        -h | --help)
            trap - EXIT
            sed -n '3,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        --packets | --rate | --build) [[ $# -ge 2 ]] || fail "$1 wants a value" ;;&
        --packets) number "$1" "$2" && packets=$2 ;;
        --rate) number "$1" "$2" && rate=$2 ;;
        --build) build=$2 ;;
        *) fail "what is '$1'? Try --help" ;;
        esac
        shift 2
    done
    [[ $EUID -eq 0 ]] || fail "this needs root: namespaces, packages, and the daemon itself"
}

prepare() {
    local file

    say "Packages and build"
    # shellcheck source-path=SCRIPTDIR source=packages.sh
    . "$top/deploy/packages.sh"
    install_packages "${build_packages[@]}" libcmocka-dev libseccomp-dev iproute2 util-linux ||
        fail "packages cannot be installed"
    if [[ ! -f $build/build.ninja ]]; then
        meson setup "$build" "$top" >"$work/build" 2>&1 || { tail "$work/build"; fail "meson"; }
    fi
    ninja -C "$build" server/xskd client/xskctl tests/sender tests/unprivileged \
        >"$work/build" 2>&1 || { tail -n 20 "$work/build"; fail "the build"; }
    echo "built in $build"
    # Where uid 65534 can read it, wherever the source is. xskctl finds its library in ../sdk.
    for file in server/xskd client/xskctl sdk/libxskd.so.0 tests/sender tests/unprivileged; do
        install -D "$build/$file" "$work/$file"
    done
}

make_pod() {
    say "A pod and a peer: network namespaces $pod and $peer, joined by a veth pair"
    ip netns add "$pod"
    ip netns add "$peer"
    ip -n "$pod" link add eth0 type veth peer name eth0 netns "$peer"
    ip -n "$pod" link set eth0 up
    ip -n "$peer" link set eth0 up
    ip -n "$pod" -brief link show eth0
}

start_daemon() {
    local i

    say "The daemon"
    echo "# xskd --run-dir $work/run --bpf-dir $work/bpf"
    "$work/server/xskd" --run-dir "$work/run" --bpf-dir "$work/bpf" 2>"$work/log" &
    daemon=$!
    for ((i = 0; i < 100; i++)); do
        kill -0 "$daemon" 2>/dev/null || fail "xskd has ended"
        if [[ -S $work/run/pod/xskd.sock ]]; then
            break
        fi
        sleep 0.1
    done
    admin info
}

grant() {
    say "The administrator attaches a program to the pod's eth0, and grants the pod a lease on it"
    admin program load eth0 --netns "$pod"
    admin lease grant --container demo --netns "$pod" --interface eth0 --label pod=demo
}

# The rings are large, because the machine may be busy with other things for a while: at the default
# rate they hold 160 milliseconds.
start_receiver() {
    local i ready=""

    say "In the pod: a receiver as uid 65534, no capabilities, no_new_privs, seccomp against bpf(2)"
    echo "\$ xskctl receive eth0 --sequence --count $packets"
    mkfifo "$work/ready"
    exec 8<>"$work/ready"
    # Its standard error stays: on a terminal the receiver shows its rate there. No function, for $!
    # has to be the receiver itself.
    nsenter --net="/run/netns/$pod" -- "$work/tests/unprivileged" --kill -- "$work/client/xskctl" \
        --run-dir "$work/run" -o json receive eth0 --sequence --count "$packets" \
        --ring-size 8192 --frames 8192 --ready-fd 9 9>&8 8>&- >"$work/summary" &
    receiver=$!
    for ((i = 0; i < 100; i++)); do
        if read -r -t 0.2 -u 8; then
            ready=yes
            break
        fi
        kill -0 "$receiver" 2>/dev/null || break
    done
    exec 8>&-
    [[ -n $ready ]] || fail "the receiver got no socket"
    # Not what it says of itself, but what the kernel says of it.
    grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' "/proc/$receiver/status" >"$work/status"
    cat "$work/status"
    grep -Eq '^CapEff:\s*0+$' "$work/status" || fail "the receiver has capabilities"
    grep -Eq '^NoNewPrivs:\s*1$' "$work/status" || fail "the receiver may gain privileges"
    grep -Eq '^Seccomp:\s*2$' "$work/status" || fail "the receiver has no seccomp filter"
}

send() {
    local mac sent

    say "The peer sends $packets packets, $rate a second"
    mac=$(ip -n "$pod" -brief link show eth0 | awk '{ print $3 }')
    sent=$(nsenter --net="/run/netns/$peer" -- "$work/tests/sender" --interface eth0 --count "$packets" \
        --rate "$rate" --dst-mac "$mac")
    echo "$sent"
    [[ $sent == "sent $packets" ]] || fail "the peer $sent of $packets packets"
}

# What is on its way arrives in microseconds; a receiver that has not got all of it never will.
await_receiver() {
    local i status=0

    for ((i = 0; i < 30; i++)); do
        kill -0 "$receiver" 2>/dev/null || break
        sleep 0.1
    done
    kill -TERM "$receiver" 2>/dev/null || true
    wait "$receiver" || status=$?
    receiver=
    [[ $status -eq 0 ]] || fail "the receiver ended with status $status"
}

judge() {
    say "What it received"
    cat "$work/summary"
    say "What the daemon noted of it"
    grep audit "$work/log"
    # Python is there: meson is written in it.
    result=$(python3 - "$work/summary" "$packets" <<'END'
import json, sys

s, sent = json.load(open(sys.argv[1])), int(sys.argv[2])
wanted = {"sequenced": sent, "lost": 0, "duplicated": 0, "uid": 65534, "capabilities": 0,
          "no_new_privs": True, "seccomp": "filter"}
print(f"sent={sent} received={s['sequenced']} lost={sent - s['sequenced']} uid={s['uid']} "
      f"capabilities={s['capabilities']} mode={s['mode']} handoff_us={s['handoff_us']}")
wrong = [f"{k} is {s.get(k)}, not {v}" for k, v in wanted.items() if s.get(k) != v]
if wrong:
    print("; ".join(wrong), file=sys.stderr)
    sys.exit(1)
END
    ) || fail "$result"
}

options "$@"
work=$(mktemp -d "${TMPDIR:-/tmp}/xskd-demo.XXXXXX")
pod=pod-${work##*.} peer=peer-${work##*.}
chmod 755 "$work"
prepare
make_pod
start_daemon
grant
start_receiver
send
await_receiver
judge
