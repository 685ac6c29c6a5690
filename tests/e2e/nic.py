# SPDX-License-Identifier: Apache-2.0
"""A driver that can steer packets by rules, in the place of veth's that cannot.

A process that is started with it has its ethtool calls about rules answered from here, by seccomp's
user notification; all its other calls go to the kernel. What is tested is which calls are made, and
what is left of them: no packet is steered.
"""
import array
import ctypes
import errno
import fcntl
import os
import platform
import select
import socket
import struct
import threading

SIOCETHTOOL = 0x8946
# The numbers of ioctl(2) and seccomp(2).
NUMBERS = {'x86_64': (16, 317), 'aarch64': (29, 277)}
# linux/seccomp.h
SET_MODE_FILTER, NEW_LISTENER, RET_NOTIFY, RET_ALLOW = 1, 8, 0x7fc00000, 0x7fff0000
RECV, SEND, CONTINUE = 0xc0502100, 0xc0182101, 1
# linux/ethtool.h
GFLAGS, SFLAGS, COUNT, RULE, ALL, DELETE, INSERT, GRSSH, SRSSH = (
    0x25, 0x26, 0x2e, 0x2f, 0x30, 0x31, 0x32, 0x46, 0x47)
NTUPLE, FLOW_RSS, NEW_GROUP = 1 << 27, 0x20000000, 0xffffffff
FLOWS = {1: 'tcp4', 2: 'udp4', 3: 'sctp4', 5: 'tcp6', 6: 'udp6', 7: 'sctp6', 0xd: 'ip4', 0xe: 'ip6',
         0x12: 'ether'}
# struct ethtool_rxnfc
DATA_AT, FLOW_AT, VALUE_AT, MASK_AT, QUEUE_AT, PLACE_AT, COUNT_AT, PLACES_AT, RXNFC_SIZE = (
    8, 16, 20, 92, 168, 176, 184, 188, 192)


def supported():
    """Whether this machine's numbers are known."""
    return platform.machine() in NUMBERS


def u32(data, at):
    """A number in it."""
    return struct.unpack_from('=I', data, at)[0]


class Refused(Exception):
    """The driver answers an errno."""


class Nic:
    """What a NIC knows: rules by their places, groups of queues, whether it heeds the rules."""

    # What is answered here; all else goes to the kernel's driver.
    commands = (GFLAGS, SFLAGS, COUNT, RULE, ALL, DELETE, INSERT, GRSSH, SRSSH)

    def __init__(self, places=16, groups=True):
        self.places, self.can_group = places, groups
        self.rules, self.groups, self.ntuple = {}, {}, False
        self.fail_insert = None  # how many rules fit in
        self.calls = []

    def described(self):
        """The rules as (flow, values where the mask is set, queue or group)."""
        return [self.describe(self.rules[place]) for place in sorted(self.rules)]

    @staticmethod
    def describe(rule):
        """One of them."""
        flow = u32(rule, FLOW_AT)
        value, mask = rule[VALUE_AT:VALUE_AT + 52], rule[MASK_AT:MASK_AT + 52]
        matched = bytes(v for v, m in zip(value, mask) if m)
        to = ('group', u32(rule, COUNT_AT)) if flow & FLOW_RSS else (
            'queue', struct.unpack_from('=Q', rule, QUEUE_AT)[0])
        return (FLOWS[flow & ~FLOW_RSS], matched.hex(), *to)

    def call(self, data, read, write):
        """One call; data: its first bytes. Raises Refused."""
        cmd = u32(data, 0)
        self.calls.append(cmd)
        if cmd == GFLAGS:
            write(4, struct.pack('=I', NTUPLE if self.ntuple else 0))
        elif cmd == SFLAGS:
            self.ntuple = bool(u32(data, 4) & NTUPLE)
        elif cmd == COUNT:
            write(DATA_AT, struct.pack('=Q', self.places))
            write(COUNT_AT, struct.pack('=I', len(self.rules)))
        elif cmd == ALL:
            places = sorted(self.rules)[:u32(read(RXNFC_SIZE), COUNT_AT)]
            write(COUNT_AT, struct.pack('=I', len(places)))
            write(PLACES_AT, struct.pack(f'={len(places)}I', *places))
        elif cmd == RULE:
            rule = self.rules.get(u32(read(RXNFC_SIZE), PLACE_AT))
            if rule is None:
                raise Refused(errno.ENOENT)
            write(FLOW_AT, rule[FLOW_AT:RXNFC_SIZE])
        elif cmd == INSERT:
            self.insert(bytearray(read(RXNFC_SIZE)))
        elif cmd == DELETE:
            if not self.rules.pop(u32(read(RXNFC_SIZE), PLACE_AT), None):
                raise Refused(errno.ENOENT)
        elif cmd == GRSSH:
            if not self.can_group:
                raise Refused(errno.EOPNOTSUPP)
            write(8, struct.pack('=I', 8))
        else:
            self.group(read(24), read, write)

    def insert(self, rule):
        """A rule; it must say where, as many drivers want it."""
        place, flow = u32(rule, PLACE_AT), u32(rule, FLOW_AT)
        if self.fail_insert is not None and len(self.rules) >= self.fail_insert:
            raise Refused(errno.ENOSPC)
        if place >= self.places or place in self.rules:
            raise Refused(errno.EINVAL)
        if flow & FLOW_RSS and u32(rule, COUNT_AT) not in self.groups:
            raise Refused(errno.EINVAL)
        self.rules[place] = bytes(rule)

    def group(self, head, read, write):
        """A new group, or the end of one, which no rule may send to."""
        number, size = struct.unpack_from('=II', head, 4)
        if number == NEW_GROUP:
            number = max(self.groups, default=0) + 1
            self.groups[number] = list(struct.unpack_from(f'={size}I', read(24 + 4 * size), 24))
            write(4, struct.pack('=I', number))
        elif any(self.describe(r)[2:] == ('group', number) for r in self.rules.values()):
            raise Refused(errno.EBUSY)
        elif size or not self.groups.pop(number, None):
            raise Refused(errno.EINVAL)

    # ---- in the place of the driver ----

    def attend(self, start):
        """start(preexec_fn) starts a process, which this then serves; Return: what that returns."""
        ours, theirs = socket.socketpair()
        number, seccomp = NUMBERS[platform.machine()]
        libc = ctypes.CDLL(None, use_errno=True)
        rules = struct.pack('=' + 'HBBI' * 6, 0x20, 0, 0, 0, 0x15, 0, 3, number, 0x20, 0, 0, 24,
                            0x15, 0, 1, SIOCETHTOOL, 6, 0, 0, RET_NOTIFY, 6, 0, 0, RET_ALLOW)
        text = ctypes.create_string_buffer(rules)
        program = struct.pack('HxxxxxxP', 6, ctypes.addressof(text))

        def install():
            fd = libc.syscall(seccomp, SET_MODE_FILTER, NEW_LISTENER, program)
            if fd < 0:
                raise OSError(ctypes.get_errno(), 'seccomp')
            theirs.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))])
        try:
            process = start(install)
            _, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4))
            listener = struct.unpack('i', ancillary[0][2][:4])[0]
        finally:
            ours.close()
            theirs.close()
        threading.Thread(target=self.serve, args=(listener, ), daemon=True).start()
        return process

    def serve(self, listener):
        """Answer calls until all that make them have ended."""
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        while poll.poll()[0][1] & select.POLLIN:
            asked = bytearray(80)
            try:
                fcntl.ioctl(listener, RECV, asked)
                number, pid = struct.unpack_from('=QI', asked)
                error, flags = self.answer(pid, struct.unpack_from('=Q', asked, 48)[0])
                fcntl.ioctl(listener, SEND, struct.pack('=QqiI', number, 0, error, flags))
            except FileNotFoundError:  # it was killed meanwhile
                continue
        os.close(listener)

    def answer(self, pid, request):
        """One ioctl(2) of the process; Return: (negative errno, flags of the answer)."""
        with open(f'/proc/{pid}/mem', 'r+b', buffering=0) as memory:
            def read(at, size):
                return os.pread(memory.fileno(), size, at)
            data, = struct.unpack('=Q', read(request + 16, 8))
            head = read(data, 8)
            if u32(head, 0) not in self.commands:
                return 0, CONTINUE
            try:
                self.call(head, lambda size: read(data, size),
                          lambda at, what: os.pwrite(memory.fileno(), what, data + at))
            except Refused as e:
                return -e.args[0], 0
        return 0, 0
