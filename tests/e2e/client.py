# SPDX-License-Identifier: Apache-2.0
"""A client of xskd written from xskd-protocol(7) and xskd.proto alone: no libxskd, no C.

As a program it is what a pod runs: it takes a hand-off, receives, and prints one JSON object.
"""
import argparse
import array
import contextlib
import ctypes
import errno
import fcntl
import json
import mmap
import os
import select
import signal
import socket
import struct
import sys
import threading
import time

import xskd_pb2 as pb

PACKET_BYTES = 64 * 1024
KERNEL_FDS = 253  # SCM_MAX_FD
CODES = {v: k for k, v in pb.Code.items()}

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """The daemon answered a status other than OK."""

    def __init__(self, call, status):
        super().__init__(f'{call}: {CODES.get(status.code, status.code)}: {status.message}')
        self.code = CODES.get(status.code, status.code)
        self.text = status.message
        self.errno = status.system_errno
        self.log = status.log


class Closed(Exception):
    """The daemon ended the connection."""


def in_netns(path, fn):
    """Run fn in a thread that is in the namespace, and answer what it answers."""
    result = []

    def run():
        try:
            with open(path, 'rb') as ns:
                if libc.setns(ns.fileno(), CLONE_NEWNET) < 0:
                    raise OSError(ctypes.get_errno(), f'setns {path}')
            result.append((fn(), None))
        except BaseException as e:  # handed over to the caller
            result.append((None, e))

    # The namespace is the thread's own, and ends with it.
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    value, error = result[0]
    if error:
        raise error
    return value


def connect(path, timeout=15, netns=None):
    """A connected socket; the daemon takes the namespace in which it is made for its owner."""
    def make():
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            s.connect(path)  # waits for a place in the backlog, which a socket with a timeout does not
            s.settimeout(timeout)
        except BaseException:
            s.close()
            raise
        return s
    return in_netns(netns, make) if netns else make()


def send_packet(sock, data, fds=(), ancillary=()):
    """One packet: bytes, and fds beside it."""
    anc = list(ancillary)
    if fds:
        anc.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds)))
    return sock.sendmsg([data], anc, socket.MSG_NOSIGNAL)


def recv_packet(sock):
    """One packet as (bytes, fds); Closed at the end of the connection."""
    space = socket.CMSG_SPACE(KERNEL_FDS * 4)
    try:
        data, ancillary, flags, _ = sock.recvmsg(PACKET_BYTES + 1, space,
                                                 socket.MSG_CMSG_CLOEXEC)
    except (ConnectionResetError, BrokenPipeError) as e:
        raise Closed(str(e)) from e
    fds = []
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            whole = array.array('i')
            whole.frombytes(value[:len(value) - len(value) % 4])
            fds += whole
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close_all(fds)
        raise AssertionError(f'the daemon sent a packet that is cut off (flags {flags:#x})')
    if not data:
        raise Closed('end of connection')
    return data, fds


def close_all(fds):
    """Close file descriptors."""
    for fd in fds:
        os.close(fd)


def snake(name):
    """HandOffSocket -> hand_off_socket, as the fields of the envelope are called."""
    return ''.join('_' + c.lower() if c.isupper() else c for c in name).lstrip('_')


class Client:
    """A connection: calls that may overlap, told apart by id, and events."""

    def __init__(self, path, netns=None, timeout=15):
        self.sock = connect(path, timeout, netns)
        self.next_id = 1
        self.replies = {}
        self.events = []
        self.watch_id = None

    def close(self):
        """End the connection, and close what came and nobody asked for."""
        for _, fds in self.replies.values():
            close_all(fds)
        self.replies.clear()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_raw(self, data, fds=(), ancillary=()):
        """Any bytes as a packet."""
        return send_packet(self.sock, data, fds, ancillary)

    def request(self, call, timeout_ms=0, **fields):
        """A Request message for the call, with an id of its own."""
        req = pb.Request(id=self.next_id, timeout_ms=timeout_ms)
        self.next_id += 1
        member = getattr(req, snake(call))
        member.SetInParent()
        member.MergeFrom(getattr(pb, call + 'Request')(**fields))
        return req

    def start(self, call, fds=(), timeout_ms=0, **fields):
        """Send a call; Return: its id, for wait()."""
        req = self.request(call, timeout_ms, **fields)
        self.send_raw(req.SerializeToString(), fds)
        return req.id

    def take(self):
        """Receive one packet and file it."""
        data, fds = recv_packet(self.sock)
        reply = pb.Reply.FromString(data)
        if reply.WhichOneof('result') == 'event':
            assert reply.id == self.watch_id and not fds, reply
            self.events.append(reply.event)
        else:
            assert reply.id not in self.replies, reply
            self.replies[reply.id] = (reply, fds)

    def wait_reply(self, call_id):
        """The whole Reply and its fds, be it a refusal or not."""
        while call_id not in self.replies:
            self.take()
        return self.replies.pop(call_id)

    def wait(self, call_id, call='call'):
        """The result message and the fds of a call that went well; else Refused."""
        reply, fds = self.wait_reply(call_id)
        if reply.HasField('status') and reply.status.code:
            assert not fds and reply.WhichOneof('result') is None, reply
            raise Refused(call, reply.status)
        return getattr(reply, reply.WhichOneof('result')), fds

    def call_fds(self, call, fds=(), timeout_ms=0, **fields):
        """A call and its result with fds."""
        return self.wait(self.start(call, fds, timeout_ms, **fields), call)

    def call(self, call, fds=(), timeout_ms=0, **fields):
        """A call whose result has no fds."""
        result, out = self.call_fds(call, fds, timeout_ms, **fields)
        assert not out, (call, out)
        return result

    def watch(self):
        """Begin to be told events."""
        self.watch_id = self.start('WatchEvents')
        self.wait(self.watch_id, 'WatchEvents')

    def next_event(self, kind, timeout=10, **fields):
        """Wait for an event of that kind with these fields; others are left in self.events."""
        deadline = time.monotonic() + timeout
        before = self.sock.gettimeout()
        try:
            while True:
                for i, event in enumerate(self.events):
                    if pb.EventKind.Name(event.kind) == kind and \
                            all(getattr(event, k) == v for k, v in fields.items()):
                        return self.events.pop(i)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f'no event {kind} {fields}, but {self.events}')
                self.sock.settimeout(left)
                with contextlib.suppress(socket.timeout):
                    self.take()
        finally:
            self.sock.settimeout(before)

    def pages(self, call, field):
        """All pages of a list; Return: the items, and how many pages there were."""
        items, after, pages = [], 0, 0
        while True:
            reply = self.call(call, after=after)
            items += getattr(reply, field)
            pages += 1
            after = reply.next
            if not after:
                return items, pages

    def pool(self):
        """How the daemon's pool of programs is."""
        return self.call('GetInfo').activity.pool

    def pool_filled(self, more=0, timeout=20):
        """Wait until all is ready that shall be, and the rest is gone; Return: how it is then.

        More than its size are ready of custom programs that are loaded repeatedly.
        """
        deadline = time.monotonic() + timeout
        while True:
            pool = self.pool()
            if pool.ready >= pool.size + more and not pool.busy:
                return pool
            assert time.monotonic() < deadline, f'waited {timeout} s for the pool: {pool}'
            time.sleep(0.01)

    def programs(self):
        """All programs."""
        return self.pages('ListPrograms', 'programs')[0]

    def leases(self):
        """All leases that this client may see."""
        return self.pages('ListLeases', 'leases')[0]

    def sockets(self):
        """All sockets that this client may see."""
        return self.pages('ListSockets', 'sockets')[0]

    def hand_off(self, interface, size=0, umem=None, **fields):
        """HandOffSocket with a UMEM; Return: a HandOff."""
        own = umem is None and not fields.get('unbound') and not fields.get('only_resume')
        umem = umem_memfd(size or 4 << 20) if own else umem
        fds = [] if umem is None else [umem]
        try:
            if fds:
                fields['umem_fd'] = 1
            reply, out = self.call_fds('HandOffSocket', fds, interface=interface, **fields)
        except BaseException:
            if own:
                os.close(umem)
            raise
        return HandOff(self, reply, out, umem)


# ---- packet memory -----------------------------------------------------------------------------

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def memfd(size, seals=0, allocate=True, name='umem'):
    """A memfd of that size; without holes, unless told so."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    if size and allocate:
        os.posix_fallocate(fd, 0, size)
    elif size:
        os.ftruncate(fd, size)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def umem_memfd(size):
    """What HandOffSocket wants: sealed, without holes."""
    return memfd(size, SEALS)


# ---- AF_XDP: <linux/if_xdp.h> ------------------------------------------------------------------

AF_XDP = 44
SOL_XDP = 283
XDP_MMAP_OFFSETS, XDP_RX_RING, XDP_TX_RING, XDP_UMEM_REG = 1, 2, 3, 4
XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_STATISTICS, XDP_OPTIONS = 5, 6, 7, 8
PGOFF_RX, PGOFF_TX, PGOFF_FILL, PGOFF_COMPLETION = 0, 0x80000000, 0x100000000, 0x180000000
XDP_COPY = 1 << 1
XDP_USE_NEED_WAKEUP = 1 << 3


def view(fd):
    """A Python socket on a duplicate of the fd, for getsockopt and bind."""
    return socket.socket(AF_XDP, socket.SOCK_RAW, 0, fileno=os.dup(fd))


def ring_offsets(fd):
    """XDP_MMAP_OFFSETS as {'rx': (producer, consumer, desc, flags), ...}."""
    with view(fd) as s:
        raw = s.getsockopt(SOL_XDP, XDP_MMAP_OFFSETS, 128)
    numbers = struct.unpack('<16Q', raw)
    return {name: numbers[4 * i:4 * i + 4] for i, name in enumerate(('rx', 'tx', 'fill', 'comp'))}


def socket_mode(fd):
    """'zero-copy' or 'copy', as the kernel says."""
    with view(fd) as s:
        return 'zero-copy' if struct.unpack('=I', s.getsockopt(SOL_XDP, XDP_OPTIONS, 4))[0] & 1 \
            else 'copy'


def socket_statistics(fd):
    """XDP_STATISTICS."""
    with view(fd) as s:
        raw = s.getsockopt(SOL_XDP, XDP_STATISTICS, 48)
    return dict(zip(('rx_dropped', 'rx_invalid', 'tx_invalid', 'ring_full', 'fill_empty',
                     'tx_empty'), struct.unpack('=6Q', raw)))


class Ring:
    """One ring, mapped. x86 keeps stores in order; a port to others wants barriers here."""

    def __init__(self, fd, where, offsets, entries, width):
        self.producer_at, self.consumer_at, self.desc_at, self.flags_at = offsets
        self.entries, self.mask, self.width = entries, entries - 1, width
        self.map = mmap.mmap(fd, self.desc_at + entries * width,
                             mmap.MAP_SHARED | mmap.MAP_POPULATE,
                             mmap.PROT_READ | mmap.PROT_WRITE, offset=where)
        self._producer = ctypes.c_uint32.from_buffer(self.map, self.producer_at)
        self._consumer = ctypes.c_uint32.from_buffer(self.map, self.consumer_at)

    def close(self):
        """Unmap."""
        # The ctypes views have to go first, or mmap refuses to close.
        self._producer = self._consumer = None
        self.map.close()

    @property
    def producer(self):
        """How many entries were ever put in, modulo 2^32."""
        return self._producer.value

    @property
    def consumer(self):
        """How many were ever taken out."""
        return self._consumer.value

    def pending(self):
        """Entries that wait for the consumer."""
        return (self.producer - self.consumer) & 0xffffffff

    def push(self, addrs):
        """Put addresses in, as far as there is room; Return: how many."""
        at = self.producer
        n = min(len(addrs), self.entries - self.pending())
        for i in range(n):
            struct.pack_into('=Q', self.map, self.desc_at + ((at + i) & self.mask) * 8, addrs[i])
        self._producer.value = (at + n) & 0xffffffff
        return n

    def pop(self, most=64):
        """Take descriptors out: (address, length) each."""
        at = self.consumer
        n = min(self.pending(), most)
        out = [struct.unpack_from('=QI', self.map, self.desc_at + ((at + i) & self.mask) * 16)
               for i in range(n)]
        self._consumer.value = (at + n) & 0xffffffff
        return out


SEQUENCE_AT = 14 + 20 + 8  # Ethernet, IPv4, UDP: where tests/sender puts its number


class XdpSocket:
    """A socket with its rings mapped, which receives numbered packets."""

    def __init__(self, fd, info, umem, frames, frame_size):
        self.fd, self.id, self.queue, self.umem = fd, info.id, info.queue, umem
        self.frame_size = frame_size
        self.info = info
        off = ring_offsets(fd)
        self.rings = []
        try:
            self.rx = self.add(PGOFF_RX, off['rx'], info.rx_size, 16)
            self.tx = self.add(PGOFF_TX, off['tx'], info.tx_size, 16)
            self.fill = self.add(PGOFF_FILL, off['fill'], info.fill_size, 8)
            self.completion = self.add(PGOFF_COMPLETION, off['comp'], info.completion_size, 8)
        except BaseException:
            self.close()
            raise
        self.frames = frames  # those that are ours now, not the kernel's
        self.sequences = []

    def add(self, where, offsets, entries, width):
        """Map one ring."""
        ring = Ring(self.fd, where, offsets, entries, width)
        self.rings.append(ring)
        return ring

    def refill(self):
        """Give the kernel all frames that it can take."""
        n = self.fill.push(self.frames)
        del self.frames[:n]

    def drain(self):
        """Take in what is there; Return: how many packets."""
        descs = self.rx.pop()
        for addr, length in descs:
            if length >= SEQUENCE_AT + 8 and self.umem[addr + 12:addr + 14] == b'\x08\x00':
                self.sequences.append(
                    struct.unpack_from('>Q', self.umem, addr + SEQUENCE_AT)[0])
            self.frames.append(addr - addr % self.frame_size)
        if descs:
            self.refill()
        return len(descs)

    def close(self):
        """Unmap the rings."""
        for ring in self.rings:
            ring.close()
        self.rings = []


class HandOff:
    """What a hand-off brought: sockets and the UMEM that they share."""

    def __init__(self, client, reply, fds, umem_fd):
        self.client, self.reply, self.fds = client, reply, fds
        self.infos = list(reply.sockets)
        # Each fd of the packet is named by exactly one field.
        named = [s.socket_fd for s in self.infos] + ([reply.umem_fd] if reply.umem_fd else [])
        assert sorted(named) == list(range(1, len(fds) + 1)), (reply, fds)
        if reply.umem_fd:
            if umem_fd is not None:
                os.close(umem_fd)
            umem_fd = fds[reply.umem_fd - 1]
        self.umem_fd, self.umem, self.sockets = umem_fd, None, []

    @property
    def socket_fds(self):
        """In the order of the queues."""
        return [self.fds[s.socket_fd - 1] for s in self.infos]

    def map(self, fresh=True):
        """Map UMEM and rings; the frames of a fresh hand-off are dealt out to the sockets."""
        size = os.fstat(self.umem_fd).st_size
        self.umem = mmap.mmap(self.umem_fd, size, mmap.MAP_SHARED,
                              mmap.PROT_READ | mmap.PROT_WRITE)
        step = self.infos[0].frame_size
        frames = list(range(0, size, step)) if fresh else []
        for i, info in enumerate(self.infos):
            s = XdpSocket(self.fds[info.socket_fd - 1], info, self.umem,
                          frames[i::len(self.infos)], step)
            self.sockets.append(s)
            s.refill()
        return self

    def recover(self):
        """A resumed hand-off, copy mode, nothing under way: frames that are in no ring are ours."""
        self.map(fresh=False)
        size, step = len(self.umem), self.infos[0].frame_size
        known = set()
        for s in self.sockets:
            for ring in s.rings:
                at = ring.consumer
                for i in range(ring.pending()):
                    known.add(struct.unpack_from(
                        '=Q', ring.map, ring.desc_at + ((at + i) & ring.mask) * ring.width)[0]
                              // step * step)
        free = [a for a in range(0, size, step) if a not in known]
        for i, s in enumerate(self.sockets):
            s.frames = free[i::len(self.sockets)]
            s.refill()
        return self

    @property
    def sequences(self):
        """The numbers of all packets so far, in order for each socket."""
        return [n for s in self.sockets for n in s.sequences]

    def receive(self, count=None, timeout=20.0, quiet=None, stop=None):
        """Until `count` numbered packets are there, or `quiet` seconds nothing came."""
        poll = select.poll()
        for s in self.sockets:
            poll.register(s.fd, select.POLLIN)
        deadline = time.monotonic() + timeout
        last = time.monotonic()
        while not (stop and stop()):
            now = time.monotonic()
            if sum(s.drain() for s in self.sockets):
                last = now
                continue
            if count is not None and sum(len(s.sequences) for s in self.sockets) >= count:
                break
            if now > deadline or (quiet and now - last > quiet):
                break
            poll.poll(20)
        return self.sequences

    def close(self):
        """Give everything back."""
        for s in self.sockets:
            s.close()
        self.sockets = []
        if self.umem is not None:
            self.umem.close()
            self.umem = None
        if self.umem_fd is not None and self.umem_fd not in self.fds:
            os.close(self.umem_fd)
        self.umem_fd = None
        close_all(self.fds)
        self.fds = []


# ---- the program that pods run -----------------------------------------------------------------

def privileges():
    """What /proc says of this process."""
    with open('/proc/self/status', encoding='ascii') as f:
        status = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
    return {'uid': os.getuid(), 'capabilities': int(status['CapEff'], 16),
            'permitted': int(status['CapPrm'], 16), 'bounding': int(status['CapBnd'], 16),
            'no_new_privs': int(status['NoNewPrivs']), 'seccomp': int(status['Seccomp'])}


def main():
    """Receive in a pod: 'ready' on stdout when packets may come, JSON at the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument('socket')
    parser.add_argument('interface')
    parser.add_argument('--queue', type=int, action='append', default=[])
    parser.add_argument('--count', type=int)
    parser.add_argument('--keep', action='store_true')
    parser.add_argument('--resume', action='store_true')
    parser.add_argument('--map', action='store_true', help='ask for the map alone')
    args = parser.parse_args()
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    with Client(args.socket) as client:
        if args.map:
            reply, fds = client.call_fds('GetXskMap', interface=args.interface)
            print(json.dumps({'entries': reply.entries, 'fds': len(fds), **privileges()}))
            return
        began = time.monotonic()
        h = client.hand_off(args.interface, queues=args.queue, keep=args.keep or args.resume,
                            only_resume=args.resume)
        took = time.monotonic() - began
        if h.reply.resumed:
            h.recover()
        else:
            h.map()
        print('ready', flush=True)
        h.receive(args.count, timeout=60, stop=lambda: stopped)
        print(json.dumps({
            'sequences': h.sequences, 'handoff_us': int(took * 1e6), 'resumed': h.reply.resumed,
            'modes': [socket_mode(fd) for fd in h.socket_fds],
            'by_queue': {s.queue: len(s.sequences) for s in h.sockets}, **privileges()}),
            flush=True)
        h.close()


if __name__ == '__main__':
    try:
        main()
    except Refused as e:
        print(json.dumps({'refused': e.code, 'text': e.text, 'errno': e.errno}))
        sys.exit(1)
    except OSError as e:
        print(json.dumps({'error': errno.errorcode.get(e.errno), 'text': str(e)}))
        sys.exit(1)
