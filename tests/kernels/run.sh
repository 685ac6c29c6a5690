#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The kernel matrix: boots Debian's kernels in qemu and runs the tests of the kernel layer in them.
#
#   tests/kernels/run.sh BUILD_DIR [-- FILTER...]
#
# Tests are BUILD_DIR/tests/kernel/test_*, handoff.sh, cni.sh and systemd.sh beside this file, and of ../e2e what
# asks the most of a kernel (below); with filters, those whose name contains one. inside.sh runs
# them, in an initramfs that holds them, what was built, and their libraries. No KVM: a run needs no
# virtualization of the machine.
# What cannot be had (a kernel, qemu) is skipped, aloud. Needs root where packages are missing.
set -euo pipefail

# What it shows, and the package that pulls in the newest such kernel. 6.1 is Debian 12's own, which
# needs the hand-off in two phases (Linux < 6.4).
kernels=(
    "6.1 linux-image-cloud-amd64"
    "6.12 linux-image-6.12-cloud-amd64"
)
# For the NICs of boot(), each after those that it needs; some kernels have a few built in.
modules=(veth virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci
    failover net_failover virtio_net vmxnet3)
timeout_s=900

# Of ../e2e: the first kernel for it, a file, and which of its tests; all, if none is named. Not those
# that judge by the clock. What wants sockets that are bound at once is for Linux 6.4 and later; the
# other way has a file of its own.
e2e=(
    "5.15 bind test_map test_two test_sockets test_xskctl test_zero"
    "5.15 sandbox Ends.test_daemon Ends.test_next Ends.test_no Ends.test_sig Gate.test_daemon
        Gate.test_foreign Gate.test_has Gate.test_is Gate.test_returns Missing Perfmon Sandbox"
    "6.4 lifetime test_child test_one_descriptor test_released test_kept_socket_of"
    "6.4 news"
    "6.4 store test_pod_and_daemon test_killed_again test_listening"
)

here=$(cd "$(dirname "$0")" && pwd)
cache=${XSKD_KERNEL_CACHE:-${TMPDIR:-/tmp}/xskd-kernels}
[[ $# -ge 1 && -d $1 ]] || { echo "usage: run.sh BUILD_DIR [-- FILTER...]" >&2; exit 2; }
build=$(cd "$1" && pwd)
shift
[[ ${1-} != -- ]] || shift
filters=("$@")

passed=0 failed=0 skipped=0 qemu=
work=$(mktemp -d)

cleanup() {
    [[ -z $qemu ]] || kill "$qemu" 2>/dev/null || true
    rm -rf "$work" "$cache/.fetch.$$"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

skip_kernel() { # VERSION REASON
    echo "SKIP kernel $1: $2"
    skipped=$((skipped + 1))
}

# Package lists are fetched once, and only when something is missing.
apt_lists_fresh=
apt_update() {
    [[ -n $apt_lists_fresh ]] || apt-get update -qq >&2 || return
    apt_lists_fresh=yes
}

install_tools() {
    type -P qemu-system-x86_64 busybox ip nsenter setpriv unshare >/dev/null && return
    apt_update && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        qemu-system-x86 busybox-static iproute2 util-linux >"$work/apt" 2>&1 && return
    tail -n 5 "$work/apt" >&2
    return 1
}

kernel_package() { # META: the package that it depends on
    apt-cache depends --important "$1" 2>/dev/null | awk '$1 == "Depends:" { print $2; exit }'
}

# Puts the kernel and the modules that tests need into the cache, and nothing else of the package.
# Prints its directory, or fails with the reason.
fetch_kernel() { # META
    local package kept dir=$cache/.fetch.$$
    package=$(kernel_package "$1")
    if [[ -z $package ]]; then
        apt_update || true
        package=$(kernel_package "$1")
    fi
    [[ -n $package ]] || { echo "apt knows no $1"; return 1; }
    kept=$cache/$package+$(cksum <<<"${modules[*]}" | cut -d ' ' -f 1)
    if [[ ! -d $kept ]]; then
        mkdir -p "$dir/new"
        # An old list names versions that the archive has no more.
        (cd "$dir" && { apt-get download -qq -o APT::Sandbox::User=root "$package" ||
            { apt_update && apt-get download -qq -o APT::Sandbox::User=root "$package"; }; }) \
            >&2 || { echo "$package cannot be downloaded"; return 1; }
        dpkg-deb --fsys-tarfile "$dir"/*.deb |
            tar -x -C "$dir/new" --wildcards './boot/vmlinuz-*' '*/net/veth.ko*' \
                '*/kernel/drivers/virtio/*' '*/failover.ko*' '*/net_failover.ko*' \
                '*/virtio_net.ko*' '*/vmxnet3.ko*' ||
            { echo "$package cannot be unpacked"; return 1; }
        mv -T "$dir/new" "$kept" # at once: a directory in the cache is whole
        rm -rf "$dir"
    fi
    echo "$kept"
}

# Copies a program and its libraries. These lie flat in the loader's standard directory, where they
# are found even if the program looks for them in its build directory first.
add_program() { # FILE DESTINATION
    local lib
    install -D -m 0755 "$1" "$work/root$2"
    { ldd "$1" 2>/dev/null || true; } >"$work/ldd"
    if grep 'not found' "$work/ldd" >&2; then return 1; fi
    while read -r lib; do
        case $lib in
        /lib64/ld-*) install -D -m 0755 "$lib" "$work/root$lib" ;;
        *) install -D -m 0644 -t "$work/root/lib/x86_64-linux-gnu" "$lib" ;;
        esac
    done < <(grep -o '/[^ ]*' "$work/ldd")
}

# systemd as Debian has it, to be the first process, and xskd's units as they are installed.
add_systemd() {
    local file target
    while read -r file; do
        target=$work/root/${file#/}
        case $file in
        /usr/share/* | /etc/init.d/* | /usr/lib/x86_64-linux-gnu/*.a) ;;
        *)
            if [[ -L $file ]]; then
                mkdir -p "${target%/*}" && cp -P "$file" "$target"
            elif [[ -f $file && -x $file ]]; then
                add_program "$file" "$file"
            elif [[ -f $file ]]; then
                install -D -m 0644 "$file" "$target"
            fi
            ;;
        esac
    done < <(dpkg -L systemd)
    for file in mount umount; do add_program "$(type -P $file)" "/bin/$file"; done
    install -D -m 0644 -t "$work/root/lib/systemd/system" "$build"/deploy/*.service \
        "$here"/../../deploy/systemd/*.socket "$here"/systemd-test.service
    file=$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$build/deploy/xskd.service")
    add_program "$build/server/xskd" "$file"
}

# Python with its standard library, and what ../e2e runs, as the source tree and the build directory
# have it.
add_python() {
    local tool lib top python
    top=$(cd "$here/../.." && pwd)
    python=$(readlink -f /usr/bin/python3)
    lib=/usr/lib/${python##*/}
    add_program "$python" /bin/python3
    for tool in protoc bpftool ethtool; do
        [[ ! -x $(type -P $tool) ]] || add_program "$(type -P $tool)" "/bin/$tool"
    done
    mkdir -p "$work/root/usr/lib/python3/dist-packages" "$work/root/xskd/tests"
    cp -rL --parents "$lib" "$work/root" 2>/dev/null || true # a link into what is not installed
    (cd "$work/root$lib" && rm -rf test ensurepip lib2to3 idlelib pydoc_data config-* ./*/test)
    cp -rL /usr/lib/python3/dist-packages/google "$work/root/usr/lib/python3/dist-packages"
    for tool in "$lib"/lib-dynload/*.so /usr/lib/python3/dist-packages/google/protobuf/*/*.so; do
        add_program "$tool" "$tool"
    done
    cp -r "$top/proto" "$top/deploy" "$work/root/xskd"
    cp -r "$top/tests/e2e" "$work/root/xskd/tests"
    for tool in server/xskd client/xskctl client/cni/xskd-cni sdk/libxskd.so.0 bpf/xsk_redirect.bpf.o \
        tests/sender tests/churn tests/libintruder.so; do
        add_program "$build/$tool" "/xskd/build/$tool"
    done
}

wanted() { # NAME
    local f
    [[ ${#filters[@]} -gt 0 ]] || return 0
    for f in "${filters[@]}"; do [[ $1 != *"$f"* ]] || return 0; done
    return 1
}

# Numbered, as the one that loads them knows no dependencies.
add_modules() { # KERNEL_DIR
    local name file to number=10
    for name in "${modules[@]}"; do
        while read -r file; do
            to=$work/root/lib/modules/$(basename "${file%%/kernel/*}")/$number-${file##*/}
            install -D -m 0644 "$file" "$to"
            [[ $to != *.xz ]] || busybox unxz "$to"
        done < <(find "$1" -name "$name.ko*")
        number=$((number + 1))
    done
}

# One image for all kernels: only the modules differ, and they lie in a directory per release.
build_initramfs() { # KERNEL_DIR...
    local dir tool test words
    mkdir -p "$work/root"/{applets,dev,lib/modules,proc,run,sys,tests,tmp}
    for dir in "$@"; do add_modules "$dir"; done
    # Not busybox's sh, which prefers applets of its own to the real ip, nsenter and setpriv.
    add_program "$(readlink -f /bin/sh)" /bin/sh
    for tool in busybox ip nsenter setpriv; do add_program "$(command -v $tool)" "/bin/$tool"; done
    for tool in server/xskd client/xskctl client/cni/xskd-cni tests/sender; do
        [[ ! -x $build/$tool ]] || add_program "$build/$tool" "/bin/${tool##*/}"
    done
    install -m 0755 "$here/inside.sh" "$work/root/init"
    mkdir -p "$work/root/etc"
    printf '%s\n' root:x:0:0::/:/bin/sh nobody:x:65534:65534::/:/bin/sh >"$work/root/etc/passwd"
    printf '%s\n' root:x:0: nogroup:x:65534: >"$work/root/etc/group"
    mkdir -p "$work/root/tests"
    install -m 0644 "$here/common.sh" "$work/root/tests/" # inside.sh runs what is executable
    for test in "$here"/{handoff,cni,systemd}.sh "$build"/tests/kernel/test_*; do
        if [[ -f $test && -x $test ]] && wanted "${test##*/}"; then
            add_program "$test" "/tests/${test##*/}"
        fi
    done
    [[ ! -x $work/root/tests/systemd.sh ]] || add_systemd
    for test in "${e2e[@]}"; do
        read -r -d '' -a words <<<"$test" || true
        wanted "e2e_${words[1]}" || continue
        [[ -d $work/root/xskd ]] || add_python
        cat >"$work/root/tests/e2e_${words[1]}" <<END
#!/bin/sh
# sort -V: whether this kernel is older than ${words[0]}
[ "\$(printf '%s\\n' ${words[0]} "\$(uname -r)" | sort -V | head -n 1)" = ${words[0]} ] || exit 77
XSKD_BUILD=/xskd/build exec python3 /xskd/tests/e2e/test_${words[1]}.py ${words[@]:2}
END
        chmod 0755 "$work/root/tests/e2e_${words[1]}"
    done
    # Objects that tests load; not executable, so not taken for tests.
    find "$build/tests/kernel" -maxdepth 1 -name '*.o' -exec install -m 0644 -t \
        "$work/root/tests" {} + 2>/dev/null || true
    [[ -n $(ls "$work/root/tests") ]] || { echo "no test of that name" >&2; exit 2; }
    (cd "$work/root" && find . | busybox cpio -o -H newc -R 0:0 2>/dev/null) >"$work/initramfs"
}

# The NICs that cni.sh knows, by their MACs. Three are joined by a hub. The fourth has four pairs of
# queues, which only a backend with as many can give: a tap device, in a namespace that ends with
# qemu; its cable is not plugged in. Where there can be no such thing the others do.
nics=()
nic_start=()
add_nic() { # NUMBER NETDEV DEVICE
    local mac=52:54:00:00:00:0$1
    nics+=(-netdev "$2,id=nic$1" -device "$3,netdev=nic$1,addr=0x1$1,mac=$mac,romfile=")
}

add_nics() {
    local device number=0
    for device in virtio-net-pci virtio-net-pci vmxnet3; do
        number=$((number + 1))
        add_nic $number hubport,hubid=0 $device
    done
    # shellcheck disable=SC2016
    nic_start=(unshare --net sh -c 'ip tuntap add xskd4 mode tap multi_queue && exec "$@"' sh)
    if "${nic_start[@]}" true 2>/dev/null; then
        add_nic 4 tap,ifname=xskd4,queues=4,script=no,downscript=no,vhost=off \
            virtio-net-pci,mq=on,vectors=10
    else
        nic_start=()
    fi
}

# Two serial ports, so that no message of the kernel falls into the middle of a result.
boot() { # KERNEL_DIR
    timeout "$timeout_s" "${nic_start[@]}" \
        qemu-system-x86_64 -accel tcg -cpu max -smp 2 -m 1024 -nodefaults \
        -display none -no-reboot -serial "file:$work/console" -serial "file:$work/results" \
        -kernel "$1"/boot/vmlinuz-* -initrd "$work/initramfs" "${nics[@]}" \
        -append 'console=ttyS0 systemd.firstboot=off systemd.unit=systemd-test.service loglevel=5 oops=panic panic=-1' \
        </dev/null 2> >(grep -v 'hub 0 is not connected' >&2) &
    qemu=$!
    wait "$qemu" || true
    qemu=
    tr -d '\r' <"$work/results" >"$work/lines"
}

# Prints the result of each test after the kernel's version, and what a test said that did not pass.
report() { # RELEASE
    local result
    awk -v release="$1" '
        $1 == "KERNELTEST" { if ($3 != "pass") printf "%s", said
                             print release, $2, $3; said = ""; next }
        NF && $1 != "KERNELTESTS" { said = said "    " $0 "\n" }
        END { printf "%s", said }' "$work/lines"
    while read -r _ _ result; do
        case $result in
        pass) passed=$((passed + 1)) ;;
        skip) skipped=$((skipped + 1)) ;;
        *) failed=$((failed + 1)) ;;
        esac
    done < <(grep '^KERNELTEST ' "$work/lines")
    if ! grep -q '^KERNELTESTS done$' "$work/lines"; then
        tr -d '\r' <"$work/console" >"$work/log"
        grep -E -m 1 -A 25 'BUG:|Oops|Kernel panic' "$work/log" || tail -n 25 "$work/log"
        echo "$1 crashed, or did not end its tests within $timeout_s s"
        failed=$((failed + 1))
    fi
}

dirs=()
if [[ $(dpkg --print-architecture) != amd64 ]]; then
    for k in "${kernels[@]}"; do skip_kernel "${k% *}" "this machine is no amd64"; done
elif ! install_tools; then
    for k in "${kernels[@]}"; do skip_kernel "${k% *}" "qemu and busybox cannot be installed"; done
else
    for k in "${kernels[@]}"; do
        if dir=$(fetch_kernel "${k#* }"); then dirs+=("$dir"); else skip_kernel "${k% *}" "$dir"; fi
    done
fi
if [[ ${#dirs[@]} -gt 0 ]]; then
    build_initramfs "${dirs[@]}"
    add_nics
    for dir in "${dirs[@]}"; do
        boot "$dir"
        report "$(basename "$dir"/boot/vmlinuz-* | sed 's/^vmlinuz-//')"
    done
fi
echo "$passed passed, $failed failed, $skipped skipped"
[[ $failed -eq 0 ]]
