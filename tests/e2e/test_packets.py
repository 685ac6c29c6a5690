# SPDX-License-Identifier: Apache-2.0
"""Bad packets of every kind against a living daemon, over both sockets.

A malformed packet ends the connection; a failed call gets a status and the connection lives. After
each, others are served, and no descriptor is kept (node.TestCase looks at that after every test).
"""
import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import termios
import threading
import time

from google.protobuf.message import DecodeError

import tap
from node import SANITIZED, Client, Closed, Refused, TestCase, client, pb, wait_for


def varint(n):
    """Protobuf's encoding of a number."""
    out = b''
    while True:
        out += bytes([n & 0x7f | (0x80 if n > 0x7f else 0)])
        n >>= 7
        if not n:
            return out


def field(number, wire, payload):
    """One field: its key, and for bytes its length."""
    key = varint(number << 3 | wire)
    return key + (varint(len(payload)) if wire == 2 else b'') + payload


def envelope(call, payload, call_id=1):
    """A Request with that call number."""
    return field(1, 0, varint(call_id)) + field(call, 2, payload)


INFO, LOAD, UNLOAD, GRANT, REVOKE, MAP, HANDOFF = 10, 11, 12, 15, 16, 18, 19


class Packets(TestCase):
    """What both sockets have in common."""

    def connections(self, sockets=('admin', 'pod')):
        """One to each socket."""
        for name, path in (('admin', self.node.admin_path), ('pod', self.node.pod_path)):
            if name in sockets:
                c = Client(path)
                self.addCleanup(c.close)
                yield name, c

    def hangs_up(self, data, fds=(), ancillary=()):
        """The packet ends its connection, and nothing else."""
        for name, c in self.connections():
            with self.subTest(socket=name):
                c.call('GetInfo')
                c.send_raw(data, fds, ancillary)
                with self.assertRaises(Closed):
                    c.take()
                self.assert_serves()
                c.close()
                self.assert_fds()

    def answers(self, code, data, fds=(), call_id=1, sockets=('admin', 'pod')):
        """The packet is answered with that code, and its connection lives."""
        for name, c in self.connections(sockets):
            with self.subTest(socket=name):
                c.send_raw(data, fds)
                reply, out = c.wait_reply(call_id)
                self.assertEqual(out, [])
                self.assertEqual(pb.Code.Name(reply.status.code), code, reply.status.message)
                if reply.status.code:
                    self.assertTrue(reply.status.message)
                c.next_id = call_id % 1000 + 1
                c.call('GetInfo')
                c.close()
                self.assert_fds()

    def pipes(self, n):
        """n file descriptors, closed after the test."""
        fds = []
        self.addCleanup(lambda: client.close_all(fds))
        r, w = os.pipe()
        fds += [r, w]
        while len(fds) < n:
            fds.append(os.dup(r))
        return fds[:n]

    # ---- no message at all ----

    def test_empty_packet_ends_the_connection(self):
        self.hangs_up(b'')

    def test_empty_packet_with_fds_ends_the_connection(self):
        self.hangs_up(b'', self.pipes(3))

    def test_garbage_ends_the_connection(self):
        for data in (b'\0', b'\xff' * 100, b'GET / HTTP/1.0\r\n\r\n', bytes(range(256)),
                     b'\xff' * 65536, b'\0' * 65536):
            with self.subTest(data=data[:20], length=len(data)):
                self.hangs_up(data)

    def test_every_truncation_of_a_request_ends_or_answers(self):
        whole = pb.Request(id=7, timeout_ms=1000, hand_off_socket=pb.HandOffSocketRequest(
            interface='eth0', queues=[0, 1, 2], umem_fd=1,
            busy_poll=pb.BusyPoll(timeout_us=1))).SerializeToString()
        for n in range(1, len(whole)):
            c = Client(self.node.pod_path)
            c.send_raw(whole[:n])
            with contextlib.suppress(Closed):
                reply, fds = c.wait_reply(7)
                self.assertTrue(reply.status.code)
                self.assertEqual(fds, [])
            c.close()
        self.assert_serves()

    def test_every_flipped_bit_of_a_request_ends_or_answers(self):
        whole = bytearray(pb.Request(id=7, grant_lease=pb.GrantLeaseRequest(
            container='c', interface='eth0', netns_fd=1, device='nic', queues=[0],
            labels={'a': 'b'})).SerializeToString())
        for bit in range(len(whole) * 8):
            data = bytearray(whole)
            data[bit // 8] ^= 1 << bit % 8
            c = Client(self.node.admin_path)
            c.send_raw(bytes(data))
            with contextlib.suppress(Closed):
                client.close_all(client.recv_packet(c.sock)[1])
            c.close()
        self.assert_serves()

    def test_packet_of_more_than_64_kib_ends_the_connection(self):
        body = pb.Request(id=1, get_info=pb.GetInfoRequest()).SerializeToString()
        self.hangs_up(body + field(1000, 2, b'x' * 65536))

    def test_packet_of_more_than_64_kib_with_fds_ends_the_connection(self):
        self.hangs_up(b'\x08\x01' * 40000, self.pipes(10))

    def test_packet_of_exactly_64_kib_is_taken(self):
        body = pb.Request(id=1, get_info=pb.GetInfoRequest()).SerializeToString()
        fill = 65536 - len(body)
        data = body + field(1000, 2, b'x' * (fill - 5))
        self.assertEqual(len(data), 65536)
        self.answers('OK', data)

    def test_request_without_id_ends_the_connection(self):
        self.hangs_up(field(INFO, 2, b''))
        self.hangs_up(envelope(INFO, b'', call_id=0))

    # ---- descriptors ----

    def test_more_than_64_fds_end_the_connection(self):
        body = pb.Request(id=1, get_info=pb.GetInfoRequest()).SerializeToString()
        for n in (65, 66, 100, 253):
            with self.subTest(n):
                self.hangs_up(body, self.pipes(n))

    def test_64_fds_that_nobody_names_are_refused(self):
        for n in (1, 2, 64):
            with self.subTest(n):
                self.answers('INVALID_ARGUMENT', envelope(INFO, b''), self.pipes(n))

    def test_fds_of_every_call_that_takes_none_are_refused(self):
        for number in range(10, 25):
            with self.subTest(call=number):
                self.answers('INVALID_ARGUMENT', envelope(number, b''), self.pipes(2),
                             sockets=['admin'])

    def test_fds_beside_a_refused_call_are_closed(self):
        self.answers('PERMISSION_DENIED', envelope(LOAD, b''), self.pipes(5), sockets=['pod'])

    def test_fds_beside_garbage_are_closed(self):
        self.hangs_up(b'\xff\xff\xff', self.pipes(64))

    def test_fd_place_out_of_range_is_refused(self):
        ns = os.open('/proc/self/ns/net', os.O_RDONLY)
        self.addCleanup(os.close, ns)
        for place in (1, 2, 64, 65, 0x7fffffff, 0xffffffff):
            req = pb.Request(id=1, grant_lease=pb.GrantLeaseRequest(
                container='c', interface='eth0', netns_fd=place))
            with self.subTest(place):
                self.answers('INVALID_ARGUMENT', req.SerializeToString(),
                             [ns] if place > 1 else [], sockets=['admin'])

    def test_fd_named_twice_is_refused(self):
        ns = os.open('/proc/self/ns/net', os.O_RDONLY)
        self.addCleanup(os.close, ns)
        load = pb.Request(id=1, load_program=pb.LoadProgramRequest(
            interface='eth0', netns_fd=1, object_fd=1))
        self.answers('INVALID_ARGUMENT', load.SerializeToString(), [ns], sockets=['admin'])
        umem = client.umem_memfd(4096)
        self.addCleanup(os.close, umem)
        hand = pb.Request(id=1, hand_off_socket=pb.HandOffSocketRequest(
            interface='eth0', netns_fd=1, umem_fd=1))
        self.answers('INVALID_ARGUMENT', hand.SerializeToString(), [umem], sockets=['admin'])
        # A pod may name no namespace at all.
        self.answers('PERMISSION_DENIED', hand.SerializeToString(), [umem], sockets=['pod'])

    def test_fds_that_are_no_namespace_are_refused(self):
        kinds = {'pipe': self.pipes(1)[0], 'memfd': client.memfd(4096),
                 'mount namespace': os.open('/proc/self/ns/mnt', os.O_RDONLY),
                 'user namespace': os.open('/proc/self/ns/user', os.O_RDONLY),
                 'file': os.open(__file__, os.O_RDONLY),
                 'path': os.open('/proc/self/ns/net', os.O_PATH),
                 'directory': os.open('/proc/self/ns', os.O_RDONLY)}
        self.addCleanup(lambda: client.close_all([fd for k, fd in kinds.items() if k != 'pipe']))
        req = pb.Request(id=1, grant_lease=pb.GrantLeaseRequest(
            container='c', interface='eth0', netns_fd=1)).SerializeToString()
        for name, fd in kinds.items():
            with self.subTest(name):
                self.answers('INVALID_ARGUMENT', req, [fd], sockets=['admin'])

    def test_the_connection_itself_as_an_fd_is_refused_and_does_not_leak(self):
        for _, c in self.connections():
            c.send_raw(envelope(INFO, b''), [c.sock.fileno()] * 3)
            reply, _ = c.wait_reply(1)
            self.assertEqual(reply.status.code, pb.INVALID_ARGUMENT)
            c.close()
        self.assert_fds()

    def test_unread_packets_full_of_fds_are_freed_with_their_connection(self):
        fds = self.pipes(64)
        for _, c in self.connections():
            c.sock.settimeout(0.2)
            with contextlib.suppress(socket.timeout, OSError):
                for i in range(1, 200):
                    c.send_raw(envelope(INFO, b'', i), fds)
            c.close()
        self.assert_fds()

    def test_credentials_beside_a_packet_do_not_change_who_asks(self):
        body = envelope(GRANT, b'')
        ucred = struct.pack('=iII', os.getpid(), 0, 0)
        for name, c in self.connections():
            c.send_raw(envelope(INFO, b''),
                       ancillary=[(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, ucred)])
            with contextlib.suppress(Closed):
                reply, _ = c.wait_reply(1)
                self.assertEqual(reply.get_info.admin, name == 'admin')
            c.close()
        self.answers('PERMISSION_DENIED', body, sockets=['pod'])

    # ---- messages that are odd ----

    def test_unknown_call_is_unimplemented(self):
        for number in (9, 25, 39, 41, 500, 100000):
            with self.subTest(number):
                self.answers('UNIMPLEMENTED', envelope(number, b''))

    def test_unknown_call_with_fds_is_unimplemented_and_keeps_none(self):
        self.answers('UNIMPLEMENTED', envelope(500, b''), self.pipes(64))

    def test_no_call_is_unimplemented(self):
        self.answers('UNIMPLEMENTED', field(1, 0, varint(1)))

    def test_unknown_fields_are_ignored(self):
        more = field(900, 0, varint(5)) + field(901, 2, b'future') + field(902, 5, b'1234') + \
            field(903, 1, b'12345678')
        self.answers('OK', envelope(INFO, more) + more)

    def test_largest_ids_are_echoed(self):
        self.answers('OK', envelope(INFO, b'', 2**64 - 1), call_id=2**64 - 1)

    def test_last_of_two_calls_in_one_packet_counts(self):
        self.answers('OK', envelope(500, b'') + field(INFO, 2, b''))
        self.answers('PERMISSION_DENIED', envelope(INFO, b'') + field(GRANT, 2, b''),
                     sockets=['pod'])

    def test_wrong_wire_types_end_or_answer(self):
        for wire, payload in ((0, varint(3)), (1, b'12345678'), (2, b'abc'), (5, b'1234'),
                              (3, b''), (4, b''), (6, b''), (7, b'')):
            for number in (1, 2, INFO, HANDOFF):
                for _, c in self.connections():
                    c.send_raw(field(1, 0, varint(1)) + field(number, wire, payload))
                    with contextlib.suppress(Closed):
                        c.take()
                    c.close()
        self.assert_serves()

    def test_length_beyond_the_end_ends_the_connection(self):
        self.hangs_up(field(1, 0, varint(1)) + varint(INFO << 3 | 2) + varint(1000) + b'short')
        self.hangs_up(field(1, 0, varint(1)) + varint(INFO << 3 | 2) + b'\xff' * 9 + b'\x01')

    def test_endless_varint_ends_the_connection(self):
        self.hangs_up(b'\x08' + b'\xff' * 1000)

    def test_millions_of_empty_messages_do_not_grow_the_daemon(self):
        labels = field(6, 2, b'') * 32000  # each becomes a struct
        constants = field(6, 2, b'') * 32000
        before = self.rss()
        for _ in range(20):
            for call, payload in ((GRANT, labels), (LOAD, constants)):
                for _, c in self.connections():
                    c.send_raw(envelope(call, payload))
                    with contextlib.suppress(Closed):
                        c.take()
                    c.close()
        self.assert_serves()
        self.assertLess(self.rss() - before, (128 if SANITIZED else 8) << 10, 'KiB')

    def rss(self):
        """Resident KiB of the daemon."""
        with open(f'/proc/{self.node.process.pid}/statm', encoding='ascii') as f:
            return int(f.read().split()[1]) * os.sysconf('SC_PAGESIZE') >> 10

    def test_tens_of_thousands_of_queues_are_refused(self):
        many = list(range(15000))
        hand = pb.Request(id=1, hand_off_socket=pb.HandOffSocketRequest(
            interface='eth0', queues=many))
        self.answers('INVALID_ARGUMENT', hand.SerializeToString())
        ns = os.open('/proc/self/ns/net', os.O_RDONLY)
        self.addCleanup(os.close, ns)
        grant = pb.Request(id=1, grant_lease=pb.GrantLeaseRequest(
            container='c', interface='eth0', netns_fd=1, queues=many))
        self.answers('INVALID_ARGUMENT', grant.SerializeToString(), [ns], sockets=['admin'])

    def test_packed_and_unpacked_lists_are_the_same(self):
        packed = field(1, 2, b'eth0') + field(4, 2, varint(1) + varint(1))
        unpacked = field(1, 2, b'eth0') + field(4, 0, varint(1)) * 2
        for body in (packed, unpacked):
            with Client(self.node.pod_path) as c:
                c.send_raw(envelope(HANDOFF, body))
                reply, _ = c.wait_reply(1)
                self.assertIn('queue 1 is named twice', reply.status.message)

    def test_deep_nesting_in_unknown_fields_is_harmless(self):
        deep = b''
        while len(deep) < 60000:
            deep = field(1, 2, deep) if len(deep) > 1000 else field(1, 2, deep + b'x' * 100)
        self.answers('OK', envelope(INFO, b'') + field(999, 2, deep))
        self.hangs_or_answers(field(1, 0, varint(1)) + varint(999 << 3 | 3) * 20000)

    def hangs_or_answers(self, data):
        """Either is right; nothing else is."""
        for _, c in self.connections():
            c.send_raw(data)
            with contextlib.suppress(Closed):
                c.take()
            c.close()
        self.assert_serves()

    # ---- strings ----

    def test_names_of_every_bad_kind_are_refused(self):
        ns = os.open('/proc/self/ns/net', os.O_RDONLY)
        self.addCleanup(os.close, ns)
        for name in ('', '.', '..', 'a/b', '../../etc', 'a b', 'sixteen-letters!', 'x' * 60000,
                     'tab\t', 'new\nline', '"quoted"', "it's", 'a:b', 'é', '\x7f'):
            req = pb.Request(id=1, hand_off_socket=pb.HandOffSocketRequest(interface=name))
            with self.subTest(interface=name[:20]):
                self.answers('INVALID_ARGUMENT', req.SerializeToString())
        for name in ('', '.hidden', 'a/b', '..', 'x' * 129, 'a b', 'a@b', '\n', 'ü'):
            req = pb.Request(id=1, grant_lease=pb.GrantLeaseRequest(
                container=name, interface='eth0', netns_fd=1))
            with self.subTest(container=name[:20]):
                self.answers('INVALID_ARGUMENT', req.SerializeToString(), [ns], sockets=['admin'])

    def test_format_strings_are_text(self):
        req = pb.Request(id=1, get_xsk_map=pb.GetXskMapRequest(interface='%s%n%s%n'))
        with Client(self.node.pod_path) as c:
            c.send_raw(req.SerializeToString())
            reply, _ = c.wait_reply(1)
        self.assertIn('%s%n%s%n', reply.status.message)

    # The reply's text is a proto3 string: others than C refuse to read it unless it is UTF-8.

    def refusal_of(self, data, path):
        """The status of a refusal, or a failure where it cannot be read."""
        with Client(path) as c:
            c.send_raw(data)
            packet, _ = client.recv_packet(c.sock)
        try:
            reply = pb.Reply.FromString(packet)
        except DecodeError:
            self.fail(f'the reply to {data} is no proto3: {packet}')
        self.assertEqual(reply.status.code, pb.INVALID_ARGUMENT, reply.status.message)

    def test_interface_that_is_no_utf8_is_refused_in_utf8(self):
        for raw in (b'\xff\xfe', b'eth\xc3', b'\xed\xa0\x80', b'\x80' * 10):
            self.refusal_of(envelope(HANDOFF, field(1, 2, raw)), self.node.pod_path)

    def test_container_that_is_no_utf8_is_refused_in_utf8(self):
        for raw in (b'\xff\xfe', b'eth\xc3'):
            self.refusal_of(envelope(REVOKE, field(1, 2, raw)), self.node.admin_path)

    def test_long_names_are_not_cut_within_a_character(self):
        for shift in range(4):
            name = 'x' * shift + '\U0001f680' * 20
            self.refusal_of(envelope(HANDOFF, field(1, 2, name.encode())), self.node.pod_path)

    def test_embedded_nul_ends_a_name_for_everybody_alike(self):
        pod = self.pod()
        ns = os.open(pod.path, os.O_RDONLY)
        self.addCleanup(os.close, ns)
        # For C "abc\0evil" is "abc": then the grant and the list must say so too.
        body = field(1, 2, b'abc\0evil') + field(2, 2, b'eth0\0') + field(3, 0, varint(1))
        with self.node.admin() as c:
            c.send_raw(envelope(GRANT, body), [ns])
            reply, _ = c.wait_reply(1)
        if not reply.status.code:
            self.assertEqual([(lease.container, lease.interface) for lease in self.admin.leases()],
                             [('abc', 'eth0')])
            self.assertEqual(self.admin.call('RevokeLease', container='abc').revoked, 1)

    # ---- connections ----

    def test_half_closed_connection_gets_its_reply_or_ends(self):
        for _, c in self.connections():
            call = c.start('GetInfo')
            c.sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(Closed):
                c.wait(call)
                with self.assertRaises(Closed):
                    c.take()
        self.assert_serves()

    def test_connection_that_reads_no_more_is_let_go(self):
        for _, c in self.connections():
            c.sock.shutdown(socket.SHUT_RD)
            with contextlib.suppress(OSError):
                for i in range(1, 50):
                    c.send_raw(envelope(INFO, b'', i))
            c.close()
        self.assert_serves()

    def test_connection_closed_mid_call(self):
        pod = self.ready_pod(queues=4)
        umem = client.umem_memfd(8 << 20)
        self.addCleanup(os.close, umem)
        for _ in range(5):
            for queue in range(4):
                c = pod.client()
                c.start('HandOffSocket', [umem], interface='eth0', queues=[queue], umem_fd=1)
                c.start('GetStats', interface='eth0')
                c.start('ListSockets')
                c.close()
        self.assert_serves()
        wait_for(lambda: not self.admin.sockets(), 'the ledger')

    def test_calls_overlap_and_keep_their_ids(self):
        with Client(self.node.pod_path) as c:
            ids = [c.start('GetInfo') if i % 2 else c.start('HandOffSocket', interface='eth0')
                   for i in range(200)]
            for i in reversed(ids):
                with contextlib.suppress(Refused):
                    c.wait(i)

    def test_same_id_twice_is_answered_twice_or_refused(self):
        with Client(self.node.pod_path) as c:
            c.send_raw(envelope(INFO, b'', 5))
            c.send_raw(envelope(INFO, b'', 5))
            for _ in range(2):
                data, _ = client.recv_packet(c.sock)
                self.assertEqual(pb.Reply.FromString(data).id, 5)

    def test_passed_deadline_is_answered(self):
        pod = self.ready_pod()
        h = self.hand_off(pod)
        c = h.client
        umem = client.umem_memfd(1 << 20)
        self.addCleanup(os.close, umem)
        # Out of the map but still bound, it makes the first wait a second, and the second behind it.
        c.call('ReleaseSocket', sockets=[h.infos[0].id])
        first = c.start('HandOffSocket', [umem], interface='eth0', umem_fd=1)
        second = c.start('HandOffSocket', [umem], timeout_ms=50, interface='eth0', umem_fd=1)
        with self.refused('DEADLINE_EXCEEDED', '50 ms'):
            c.wait(second)
        with self.refused('ALREADY_EXISTS'):
            c.wait(first)

    def test_ten_thousand_fast_connects(self):
        # From several namespaces' worth of threads; each closes at once, some say a word first.
        body = envelope(INFO, b'')
        errors = []

        def storm(n):
            try:
                for i in range(n):
                    s = client.connect(self.node.pod_path)
                    if i % 3 == 0:
                        s.send(body)
                    if i % 7 == 0:
                        s.send(b'\xff')
                    s.close()
            except OSError as e:
                errors.append(e)

        threads = [threading.Thread(target=storm, args=(2500,)) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        # These are hang-ups: many connections of one namespace are turned away.
        hang_ups = (BrokenPipeError, ConnectionResetError)
        self.assertEqual([e for e in errors if not isinstance(e, hang_ups)], [])
        wait_for(self.serves_pods, 'the daemon to have taken leave of them all')

    def serves_pods(self):
        """Whether a new pod connection is answered."""
        try:
            with Client(self.node.pod_path) as c:
                c.call('GetInfo')
            return True
        except (Closed, OSError):
            return False

    def test_stream_socket_cannot_connect(self):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_UNIX, kind) as s, self.assertRaises(OSError):
                s.connect(self.node.pod_path)


class Knots(TestCase):
    """Connections whose clients have sent the daemon their own end, and gone."""

    def unread(self, c):
        """Bytes that the daemon has not taken from it."""
        return struct.unpack('i', fcntl.ioctl(c.sock, termios.TIOCOUTQ, bytes(4)))[0]

    def deafen(self, c):
        """Ask and never read, until the daemon reads no more either."""
        for _ in range(2000):
            c.start('GetInfo')
            patience = time.monotonic() + 1.5
            while self.unread(c):
                if time.monotonic() > patience:
                    return
                time.sleep(0.002)
        self.fail('the daemon reads on and on')

    def test_one_that_takes_nothing(self):
        """Nobody is there to read its replies, and it does not look ended."""
        pod = self.ready_pod()
        before = self.node.settled_fds()
        c = pod.client()
        self.deafen(c)
        client.send_packet(c.sock, b'\x08\x01', [c.sock.fileno()])
        c.close()
        time.sleep(2)
        self.assertGreater(self.node.n_fds(), before)
        self.assert_serves()
        wait_for(lambda: self.node.n_fds() == before, 'the end of the connection', 60)
        self.assertIn('has taken nothing of what waits for it', self.node.log_since(self.log_at))

    def test_one_that_has_a_descriptor_to_take(self):
        """It is ended for what it sent; what it sent behind that is thrown away."""
        pod = self.ready_pod()
        before = self.node.settled_fds()
        c = pod.client()
        c.start('GetXskMap', interface='eth0')
        select.select([c.sock], [], [])
        self.node.process.send_signal(signal.SIGSTOP)
        try:
            client.send_packet(c.sock, b'\xff')
            client.send_packet(c.sock, b'\x08\x01', [c.sock.fileno()])
            c.close()
        finally:
            self.node.process.send_signal(signal.SIGCONT)
        wait_for(lambda: self.node.n_fds() == before, 'the end of the connection', 60)


class Strangers(TestCase):
    """Who may come to which socket."""

    def test_unprivileged_process_cannot_reach_the_admin_socket(self):
        pod = self.pod(link=False)
        p = pod.start(self.node.xskctl, '--socket', self.node.admin_path, 'info')
        _, err = p.communicate(timeout=20)
        self.assertEqual(p.returncode, 3)
        self.assertIn('ermission', err)

    def test_modes_of_directories_and_sockets(self):
        for path, mode in (('admin', 0o700), ('admin/xskd.sock', 0o600), ('pod', 0o755),
                           ('pod/xskd.sock', 0o666), ('state', 0o700)):
            self.assertEqual(os.stat(f'{self.node.run_dir}/{path}').st_mode & 0o777, mode, path)

    def test_pod_may_make_no_admin_call(self):
        pod = self.ready_pod()
        c = pod.client()
        for call in ('LoadProgram', 'UnloadProgram', 'ListPrograms', 'GetProgram', 'GrantLease',
                     'RevokeLease'):
            with self.subTest(call), self.refused('PERMISSION_DENIED', 'administrators'):
                c.call(call)

    def test_every_refusal_of_an_admin_call_closes_its_fds(self):
        pod = self.pod()
        c = pod.client()
        ns = os.open(pod.path, os.O_RDONLY)
        self.addCleanup(os.close, ns)
        before = self.node.settled_fds()
        for _ in range(50):
            with self.refused('PERMISSION_DENIED'):
                c.call('GrantLease', [ns], container='c', interface='eth0', netns_fd=1)
        wait_for(lambda: self.node.n_fds() == before, 'the end of what was sent')


if __name__ == '__main__':
    tap.main()
