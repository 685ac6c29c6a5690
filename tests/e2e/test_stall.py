#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Nothing that may block runs on the loop: each is made slow, and another client waits for none."""
import contextlib
import os
import signal
import socket
import struct
import subprocess
import time
import unittest

import node
import tap
from client import AF_XDP
from node import Client, Closed, Node, TestCase, in_netns, wait_for
from slowness import DELAY, KINDS, MOST, Bystander, SlowNode


# A daemon that ends where its loop is held: server/hold.h.
with open(f'{node.BUILD}/server/xskd', 'rb') as binary:
    CHECKED = b'the loop was held by' in binary.read()


class StallCase(TestCase):
    """A bystander, whom nothing of what others do holds up."""

    node_class = SlowNode
    check_fds = False

    def setUp(self):
        super().setUp()
        self.addCleanup(self.node.reset)
        self.good = self.ready_pod()
        with Bystander(self.good):
            pass
        self.node.reset()

    def judge(self, what, bystander, most=MOST):
        """What it waited."""
        print(f'# {what:<44} {len(bystander.took):>6} rounds, p99 {bystander.p99:6.2f} ms, '
              f'longest {bystander.longest:6.2f} ms')
        self.assertEqual(self.node.on_loop(), {}, f'{what}: on the loop')
        self.assertGreater(len(bystander.took), 5, what)
        self.assertLess(bystander.longest, most, what)

    def slow(self, kind, what, action, within=5):
        """An action of which calls of that kind are slow; it must make some, and none on the loop."""
        self.assertIn(kind, KINDS)
        self.node.reset()
        self.node.slow(kind)
        with Bystander(self.good) as bystander:
            began = time.monotonic()
            action()
            wait_for(lambda: self.node.counted().get(kind), f'{what} to make a {kind}', within)
            # The client may have its answer before all is done.
            time.sleep(max(0, began + 1.5 * DELAY / 1000 - time.monotonic()))
        self.judge(f'{what}: {kind}', bystander)
        self.node.reset()


class Calls(StallCase):
    """What calls wait for."""

    def test_load_and_unload_program(self):
        for kind in ('load', 'attach', 'pin', 'setns', 'write_state', 'rename_state', 'look_up'):
            pod = self.pod()
            self.slow(kind, 'LoadProgram', lambda pod=pod: self.load(pod))
        for kind in ('unpin', 'remove_state'):
            pod = self.pod()
            self.load(pod)
            self.slow(kind, 'UnloadProgram', lambda pod=pod: self.unload(pod))

    def test_load_where_there_is_one(self):
        pod = self.pod()
        self.load(pod)

        def again():
            with self.refused('ALREADY_EXISTS', "xskd has a program on 'eth0' already"):
                self.load(pod)
        self.slow('open_pin', 'LoadProgram, there is one', again)

    def test_grant_and_revoke_lease(self):
        for kind in ('setns', 'look_up', 'write_state', 'rename_state'):
            pod = self.pod()
            self.load(pod)
            self.slow(kind, 'GrantLease', lambda pod=pod: self.grant(pod))
        pod = self.ready_pod()
        self.slow('remove_state', 'RevokeLease',
                  lambda: self.admin.call('RevokeLease', container=pod.container))

    def test_revoke_lease_of_a_transient_program(self):
        for kind in ('unpin', 'remove_state'):
            pod = self.pod()
            self.load(pod, transient=True)
            self.grant(pod)
            self.slow(kind, 'RevokeLease, transient program', lambda pod=pod: self.admin.call(
                'RevokeLease', container=pod.container))

    def test_hand_off(self):
        for kind in ('setns', 'umem', 'bind'):
            pod = self.ready_pod()
            self.slow(kind, 'HandOffSocket', lambda pod=pod: self.hand_off(pod))

    def test_hand_off_that_fails(self):
        pod = self.ready_pod()
        self.hand_off(pod)

        def again():
            with self.refused('ALREADY_EXISTS'):
                self.hand_off(pod)
        self.slow('close', 'HandOffSocket that fails', again)

    def test_the_copy_that_the_daemon_had_of_a_socket(self):
        pod = self.ready_pod()
        self.slow('close', 'HandOffSocket', lambda: self.hand_off(pod))

    def test_kept_socket(self):
        pod = self.ready_pod()
        h = self.hand_off(pod, keep=True)
        h.close()
        self.slow('close', 'RevokeLease with a kept socket',
                  lambda: self.admin.call('RevokeLease', container=pod.container))
        pod = self.ready_pod()
        h = self.hand_off(pod, keep=True)
        with pod.client() as c:
            self.slow('close', 'ReleaseSocket of a kept one',
                      lambda: c.call('ReleaseSocket', sockets=[h.infos[0].id]))

    def test_statistics(self):
        pod = self.ready_pod()
        self.hand_off(pod, keep=True)
        with pod.client() as c:
            self.slow('open_pin', 'GetStats', lambda: c.call('GetStats', interface='eth0'))

    def test_first_map(self):
        for kind in ('write_state', 'rename_state'):
            pod = self.ready_pod()

            def take(pod=pod):
                with pod.client() as c:
                    node.client.close_all(c.call_fds('GetXskMap', interface='eth0')[1])
            self.slow(kind, 'GetXskMap, the first one', take)


class News(StallCase):
    """What the kernel tells of, and what a second brings."""

    def only_the_good_one(self):
        """The rest is cleared up."""
        wait_for(lambda: len(self.admin.programs()) == 1, 'the end of the program')

    def test_namespace_that_goes(self):
        for kind in ('remove_state', 'unpin', 'open_pin'):
            pod = self.ready_pod()
            self.slow(kind, 'a namespace goes', pod.netns.delete)
            self.only_the_good_one()

    def test_device_that_goes(self):
        for kind in ('open_pin', 'unpin'):
            pod = self.ready_pod()
            self.slow(kind, 'a device goes', lambda pod=pod: pod.netns.ip('link', 'del', 'eth0'))
            self.only_the_good_one()

    def test_look_of_every_second(self):
        self.slow('open_pin', 'the look of every second', lambda: None)

    def test_news_that_was_lost(self):
        lines = ''.join(f'link set {self.good.link.peer_name} mtu {1300 + n % 2}\n'
                        for n in range(3000))

        def lose():
            os.kill(self.node.process.pid, signal.SIGSTOP)
            try:
                subprocess.run(['ip', '-n', self.good.peer.name, '-batch', '-'], check=True,
                               text=True, input=lines, stdout=subprocess.DEVNULL)
                subprocess.run(['ip', '-n', self.good.netns.name, '-batch', '-'], check=True,
                               text=True, input=lines.replace(self.good.link.peer_name, 'eth0'),
                               stdout=subprocess.DEVNULL)
            finally:
                os.kill(self.node.process.pid, signal.SIGCONT)
        lose()
        wait_for(lambda: 'news of network devices was lost' in self.node.log_since(self.log_at),
                 'lost news')
        self.node.reset()
        self.node.slow('look_up')
        for _ in range(3):
            lose()
            if self.node.counted().get('look_up'):
                break
        with Bystander(self.good) as bystander:
            wait_for(lambda: self.node.counted().get('look_up'), 'it to look for the device')
            time.sleep(2 * DELAY / 1000)
        self.judge('news was lost: look_up', bystander)


class Strangers(StallCase):
    """What clients send, and whose last close is the daemon's."""

    def xdp_socket(self, pod):
        """One that only the packet has."""
        def make():
            return socket.socket(AF_XDP, socket.SOCK_RAW, 0)
        return in_netns(pod.path, make)

    def test_descriptor_that_no_call_wants(self):
        pod = self.ready_pod()

        def send():
            with self.xdp_socket(pod) as s, pod.client() as c, \
                    self.refused('INVALID_ARGUMENT', 'named by no field'):
                os.kill(self.node.process.pid, signal.SIGSTOP)
                call = c.start('GetInfo', [s.fileno()])
                s.close()
                os.kill(self.node.process.pid, signal.SIGCONT)
                c.wait(call)
        self.slow('close', 'a descriptor too many', send)

    def test_umem_that_is_none(self):
        pod = self.ready_pod()

        def send():
            with self.xdp_socket(pod) as s, pod.client() as c, self.refused('INVALID_ARGUMENT'):
                os.kill(self.node.process.pid, signal.SIGSTOP)
                call = c.start('HandOffSocket', [s.fileno()], interface='eth0', umem_fd=1)
                s.close()
                os.kill(self.node.process.pid, signal.SIGCONT)
                c.wait(call)
        self.slow('close', 'a UMEM that is none', send)

    def lingering(self):
        """A TCP socket whose last close waits for five seconds, as its peer reads nothing."""
        with socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            listener.listen()
            s = socket.create_connection(listener.getsockname())
            peer, _ = listener.accept()
        self.addCleanup(peer.close)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 5))
        s.setblocking(False)
        try:
            while True:
                s.send(bytes(65536))
        except BlockingIOError:
            s.setblocking(True)
        return s

    def leave(self, what, deliver):
        """What a bystander waits while the daemon alone has a lingering socket left."""
        with self.lingering() as s, Bystander(self.good) as bystander:
            os.kill(self.node.process.pid, signal.SIGSTOP)
            try:
                deliver(s)
                s.close()
            finally:
                os.kill(self.node.process.pid, signal.SIGCONT)
            time.sleep(0.5)
        # The daemon was stopped meanwhile; but it lingers for five seconds.
        self.judge(what, bystander, most=1000)

    def test_packet_that_is_none_or_never_read(self):
        # The first three are read, and are no packets; of the others the last one is not.
        for packets in ((b'',), (b'\xff\xff',), (bytes(70000),), (b'\xff\xff', b'x'), (b'', b''),
                        (b'', b'', b'')):
            with self.pod().client() as c:
                def deliver(s, c=c, packets=packets):
                    for data in packets[:-1]:
                        c.send_raw(data)
                    c.send_raw(packets[-1], [s.fileno()])
                self.leave(f'no packet, or unread: {[p[:2] for p in packets]}', deliver)

    def test_more_than_a_packet_may_have(self):
        with self.pod().client() as c, open('/dev/null', 'rb') as null:
            self.leave('the last of many', lambda s: c.send_raw(
                b'x', [null.fileno()] * 64 + [s.fileno()]))

    def test_in_the_queue_of_a_socket(self):
        a, b = socket.socketpair()
        with self.pod().client() as c, a, b:
            def deliver(s):
                socket.send_fds(a, [b'x'], [s.fileno()])
                c.send_raw(b'x', [b.fileno()])
                a.close()
                b.close()
            self.leave('a socket in the queue of one', deliver)

    def test_connection_that_is_refused(self):
        pod = self.ready_pod()
        with contextlib.ExitStack() as stack:
            for _ in range(256):
                stack.enter_context(pod.client())
            wait_for(lambda: self.admin.call('GetInfo').connections >= 256, 'all connections')
            self.leave('a connection too many', lambda s: stack.enter_context(
                pod.client()).send_raw(b'x', [s.fileno()]))

    def test_end_of_who_has_not_read(self):
        with self.ready_pod().client() as c:
            c.start('GetInfo')
            time.sleep(0.2)  # the answer is there

            def deliver(s):
                c.send_raw(b'x', [s.fileno()])
                c.close()
            self.leave('an end with the answer unread', deliver)

    def test_end_while_there_is_much_to_close(self):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(self.pod().client()) for _ in range(8)]
            lingering = [self.lingering() for _ in clients]
            os.kill(self.node.process.pid, signal.SIGSTOP)
            for c, s in zip(clients, lingering):
                a, b = socket.socketpair()
                socket.send_fds(a, [b'x'], [s.fileno()])
                c.send_raw(b'\xff', [b.fileno()])
                for sock in (s, a, b):
                    sock.close()
            os.kill(self.node.process.pid, signal.SIGCONT)
            began = time.monotonic()
            self.assertEqual(self.node.stop(), 0)
            self.assertLess(time.monotonic() - began, 4)  # each lingers for five
        self.node.start()


class Gate(StallCase):
    """The other process."""

    def test_stopped_gate(self):
        gate = int(subprocess.run(['pgrep', '-P', str(self.node.process.pid)], check=True,
                                  stdout=subprocess.PIPE, text=True).stdout.split()[0])
        pods = [self.pod() for _ in range(3)]
        os.kill(gate, signal.SIGSTOP)
        try:
            with Bystander(self.good) as bystander:
                calls = []
                for pod in pods:
                    with open(pod.path, 'rb') as ns:
                        calls.append(self.admin.start('LoadProgram', [ns.fileno()], netns_fd=1,
                                                      interface='eth0'))
                time.sleep(0.3)
        finally:
            os.kill(gate, signal.SIGCONT)
        for call in calls:
            self.admin.wait(call)
        self.judge('the gate stands still', bystander)


class Farewell(StallCase):
    """The service manager is told that it ends."""

    def test_stopping(self):
        self.node.slow('tell')
        with Bystander(self.good):
            pass
        self.assertEqual(self.node.stop(), 0)
        self.assertEqual(self.node.counted().get('tell'), 1)
        self.assertNotIn('tell', self.node.on_loop())
        self.node.reset()
        self.node.start()
        self.pid_before = self.node.process.pid


class PipeNode(Node):
    """Its log is a pipe that nobody reads."""

    def start(self, timeout=20):
        ours, theirs = os.pipe()
        path, self.log_path = self.log_path, f'/proc/self/fd/{theirs}'
        try:
            super().start(timeout)
        finally:
            self.log_path = path
            os.close(theirs)
        self.pipe = ours
        return self

    def destroy(self):
        left = super().destroy()
        os.close(self.pipe)
        return left


class Log(TestCase):
    """Who reads it, and how fast, is nobody's concern but his."""

    node_class = PipeNode
    check_fds = False

    def read(self):
        """What is in the pipe."""
        os.set_blocking(self.node.pipe, False)
        data = b''
        try:
            while True:
                data += os.read(self.node.pipe, 65536)
        except BlockingIOError:
            return data.decode()

    def test_pipe_that_nobody_reads(self):
        pod = self.ready_pod()
        with Bystander(pod) as bystander:
            # A line each, or two, until 64 KiB are full and much longer.
            for n in range(1500):
                with self.refused('NOT_FOUND'):
                    self.admin.call('UnloadProgram', interface=f'no{n}')
        self.assertLess(bystander.longest, 5000)
        self.assert_serves()
        text = self.read()
        self.assertGreater(len(text), 60000)
        for line in text.splitlines():
            self.assertRegex(line, '^20..-..-..T..:')
        # Those that found no room were kept, and the rest of them counted.
        more = ''
        deadline = time.monotonic() + 5
        while 'lines of this log were lost' not in more and time.monotonic() < deadline:
            more += self.read()
            time.sleep(0.05)
        self.assertRegex(more, r'[1-9]\d* lines of this log were lost')


class Proof(StallCase):
    """The test itself: it does see a loop that waits."""

    @unittest.skipIf(CHECKED, 'this daemon does not let it come so far')
    def test_loop_that_waits_is_seen(self):
        self.node.slow('accept')
        with Bystander(self.good) as bystander:
            for _ in range(5):  # it may begin to wait a little later
                with Client(self.node.pod_path) as c:
                    c.call('GetInfo')
        self.assertGreater(self.node.counted(2).get('accept', 0), 0)
        self.assertGreater(bystander.longest, MOST)
        self.node.reset()

    @unittest.skipUnless(CHECKED, 'this daemon has no such check (meson -Dloop_check=enabled)')
    def test_loop_that_waits_ends_the_daemon(self):
        self.node.slow('accept', DELAY)
        with self.assertRaises((Closed, OSError)), Client(self.node.pod_path) as c:
            for _ in range(3):
                c.call('GetInfo')
                time.sleep(0.01)
        self.assertEqual(self.node.process.wait(10), -signal.SIGABRT)
        self.assertRegex(self.node.log_since(self.log_at), r"the loop was held by 'accept' \(.*\) "
                         r'for [2-9]\d\d\.\d* ms: .* and it slept')
        self.node.reset()
        self.node.start()
        self.admin = self.node.admin()


if __name__ == '__main__':
    tap.main()
