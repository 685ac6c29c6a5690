# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The Debian 12 packages that xskd needs, in one place. To be sourced:
#
#   . deploy/packages.sh
#   install_packages "${build_packages[@]}"

# To compile daemon, library and xskctl.
# shellcheck disable=SC2034
build_packages=(
    gcc libc6-dev meson ninja-build pkgconf
    clang bpftool                               # the kernel program and its skeleton
    protobuf-c-compiler libprotobuf-c-dev
    libbpf-dev libelf-dev zlib1g-dev libxdp-dev libuv1-dev libjansson-dev libhttp-parser-dev
    libcap-ng-dev libseccomp-dev
)

# To compile and run what is in tests/, and for deploy/demo.sh.
# shellcheck disable=SC2034
test_packages=(
    libcmocka-dev
    g++                                         # <xskd.h> compiles as C++
    iproute2 ethtool util-linux procps
    python3 python3-protobuf protobuf-compiler  # the client in another language
    clang-format libclang-rt-14-dev             # format; sanitizers and fuzzers with clang
    clang-tidy cppcheck shellcheck pyflakes3    # tests/analyse.sh
    llvm gcovr valgrind                         # coverage; memory that the unit tests misuse
    strace git                                  # git: test_upgrade.py builds the daemon of a release
    systemd                                     # systemd-analyze, for the units
    containerd runc busybox-static              # pods as a kubelet makes them
    python3-prometheus-client curl              # the metrics' parser; deploy/prometheus
    python3-grpcio                              # CRI, by which it asks for them
    containernetworking-plugins                 # addresses, and partners in a chain
    golang-go golang-github-appc-cni-dev        # libcni, by which runtimes call plugins
)

# install_packages PACKAGE...: those that are missing. Fetches the lists of packages only where one
# is; needs root only then. Says what it installs, and what apt-get said only if that failed.
install_packages() {
    local package log status=0 missing=()
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)

    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    if ! command -v apt-get >/dev/null; then
        echo "missing: ${missing[*]}; and there is no apt-get: this is written for Debian 12" >&2
        return 1
    fi
    echo "installing ${missing[*]}" >&2
    log=$(mktemp) || return
    { "${apt[@]}" update && "${apt[@]}" install --yes --no-remove --no-install-recommends "${missing[@]}"; } \
        >"$log" 2>&1 || status=$?
    [[ $status -eq 0 ]] || cat "$log" >&2
    rm -f "$log"
    return "$status"
}
