#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# /init of the machine that run.sh boots: runs each program in /tests and powers off. Results go to
# the second serial port. A test passes with exit status 0, is skipped with 77, fails otherwise.
# systemd.sh is the last: for it systemd takes the place of this script, and starts it once more
# (systemd-test.service) as `/init under-systemd`.
PATH=/bin:/applets
export PATH

run_test() { # PROGRAM
    cd /tests || exit
    # A test that hangs must not take the others' time.
    timeout -s KILL 240 "$1" </dev/null
    case $? in
    0) result=pass ;;
    77) result=skip ;;
    *) result=fail ;;
    esac
    # The test's last line may lack its end.
    printf '\nKERNELTEST %s %s\n' "${1##*/}" "$result"
}

finish() {
    echo "KERNELTESTS done"
    poweroff -f
}

if [ "${1-}" = under-systemd ]; then
    exec >/dev/ttyS1 2>&1
    run_test /tests/systemd.sh
    finish
fi

/bin/busybox mkdir -p /applets /dev /proc /sys /run /tmp
/bin/busybox --install -s /applets

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
chmod 1777 /tmp
exec >/dev/ttyS1 2>&1

for module in "/lib/modules/$(uname -r)"/*.ko; do
    insmod "$module"
done
ip link set lo up

for test in /tests/*; do
    [ ! -x "$test" ] || [ "${test##*/}" = systemd.sh ] || run_test "$test"
done
if [ -x /tests/systemd.sh ]; then
    exec /lib/systemd/systemd
fi
finish
