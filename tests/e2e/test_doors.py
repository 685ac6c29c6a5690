# SPDX-License-Identifier: Apache-2.0
"""Doors between pods: each way in which one could reach what is another's, tried.

A pod is taken for as strong as it can be: these clients run as root, may use bpf(2) and enter
namespaces where a test says so. What it cannot do here no pod can.
"""
import ctypes
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys

import tap
from node import Link, Refused, TestCase, client, wait_for
from test_access import bind_xdp

MIB = 1 << 20
SYS_BPF = 321
DELETE, UPDATE, FREEZE = 3, 2, 22
SIOCGSKNS = 0x894c


def bpf(command, map_fd, key=0, value=0):
    """bpf(2) on a map of four bytes and four; Return: 0 or the errno."""
    k, v = ctypes.c_uint32(key), ctypes.c_uint32(value)
    attr = struct.pack('=IIQQQ', map_fd, 0, ctypes.addressof(k) if command != FREEZE else 0,
                       ctypes.addressof(v) if command == UPDATE else 0, 0)
    buf = ctypes.create_string_buffer(attr, 128)
    return 0 if client.libc.syscall(SYS_BPF, command, buf, 128) >= 0 else ctypes.get_errno()


def is_in_map(map_fd, queue):
    """Whether a place is taken: tried with a socket of ours, as user space cannot look it up."""
    with socket.socket(client.AF_XDP, socket.SOCK_RAW) as s:
        s.setsockopt(client.SOL_XDP, client.XDP_RX_RING, 64)
        k, v = ctypes.c_uint32(queue), ctypes.c_uint32(s.fileno())
        attr = struct.pack('=IIQQQ', map_fd, 0, ctypes.addressof(k), ctypes.addressof(v), 1)
        buf = ctypes.create_string_buffer(attr, 128)
        if client.libc.syscall(SYS_BPF, UPDATE, buf, 128) < 0:
            return True
        bpf(DELETE, map_fd, queue)
        return False


class Calls(TestCase):
    """Each call of the protocol with what is another's."""

    def two(self):
        """Two pods of one network, each with a socket."""
        victim, thief = self.ready_pod(), self.ready_pod()
        return victim, thief, self.hand_off(victim, keep=True)

    def assert_receives(self, pod, h, count=40):
        """The victim's socket is what it was."""
        if not h.sockets:
            h.map()
        before = len(h.sequences)
        pod.link.send(count)
        h.receive(before + count)
        self.assertEqual(len(h.sequences), before + count)

    def test_every_call_for_administrators_is_refused(self):
        victim, thief, h = self.two()
        c = thief.client()
        umem = client.umem_memfd(MIB)
        self.addCleanup(os.close, umem)
        with open(victim.path, 'rb') as ns:
            for call, fds, fields in (
                    ('LoadProgram', [ns.fileno()], {'interface': 'eth0', 'netns_fd': 1}),
                    ('UnloadProgram', [ns.fileno()], {'interface': 'eth0', 'netns_fd': 1}),
                    ('UnloadProgram', [], {'id': victim.program.id, 'force': True}),
                    ('ListPrograms', [], {}),
                    ('GetProgram', [], {'id': victim.program.id}),
                    ('GrantLease', [ns.fileno()],
                     {'container': thief.container, 'interface': 'eth0', 'netns_fd': 1}),
                    ('RevokeLease', [], {'container': victim.container}),
                    ('GetXskMap', [], {'program_id': victim.program.id}),
                    ('GetStats', [], {'program_id': victim.program.id}),
                    ('HandOffSocket', [umem],
                     {'interface': 'eth0', 'container': victim.container, 'umem_fd': 1}),
                    ('HandOffSocket', [umem, ns.fileno()],
                     {'interface': 'eth0', 'umem_fd': 1, 'netns_fd': 2}),
                    ('HandOffSocket', [], {'interface': 'eth0', 'container': victim.container,
                                           'keep': True, 'only_resume': True})):
                with self.subTest(call=call, **fields), self.refused('PERMISSION_DENIED'):
                    c.call(call, fds, **fields)
        self.assert_receives(victim, h)

    def test_ids_of_others_are_as_unknown_as_none(self):
        victim, thief, h = self.two()
        c = thief.client()
        texts = set()
        for number in (h.infos[0].id, 1 << 40):
            for call in ('ReleaseSocket', 'BindSocket'):
                with self.assertRaises(Refused) as caught:
                    c.call(call, sockets=[number])
                self.assertEqual(caught.exception.code, 'NOT_FOUND')
                texts.add(caught.exception.text.replace(str(number), 'N'))
        self.assertEqual(len(texts), 2, 'another text for another id')
        mine = self.hand_off(c)
        with self.refused('NOT_FOUND'):
            c.call('ReleaseSocket', sockets=[mine.infos[0].id, h.infos[0].id])
        self.assertEqual(len(self.admin.sockets()), 2)
        self.assert_receives(victim, h)

    def test_kept_sockets_are_not_resumed_by_others(self):
        victim, thief, h = self.two()
        for fields in ({}, {'queues': [0]}):
            with self.refused('NOT_FOUND'):
                thief.client().hand_off('eth0', keep=True, only_resume=True, **fields)
        self.assert_receives(victim, h)

    def test_lists_statistics_and_counts_are_ones_own(self):
        victim, thief, h = self.two()
        self.assert_receives(victim, h)
        c = thief.client()
        info = c.call('GetInfo')
        self.assertEqual((info.leases, info.sockets, info.programs, info.connections),
                         (1, 0, 0, 0))
        for after in (0, victim.lease.id - 1, victim.lease.id, (1 << 64) - 1):
            self.assertNotIn(victim.lease.id, [
                lease.id for lease in c.call('ListLeases', after=after).leases])
            self.assertEqual(list(c.call('ListSockets', after=after).sockets), [])
        stats = c.call('GetStats', interface='eth0')
        self.assertEqual(stats.program_id, thief.program.id)
        self.assertEqual(sum(q.redirected + q.passed for q in stats.queues), 0)

    def test_events_are_ones_own(self):
        victim, thief, _ = self.two()
        c, own = thief.client(), victim.client()
        c.watch()
        own.watch()
        victim.link.peer.ip('link', 'set', victim.link.peer_name, 'down')
        own.next_event('EVENT_LINK_DOWN')
        self.admin.call('RevokeLease', container=victim.container)
        own.next_event('EVENT_LEASE_REVOKED')
        c.call('GetInfo')
        self.assertEqual(c.events, [])

    def test_subject_in_the_denial_names_nobody_else(self):
        victim, thief, _ = self.two()
        with self.assertRaises(Refused) as caught:
            thief.client().hand_off('eth7')
        self.assertNotIn(victim.container, caught.exception.text)


class Namespaces(TestCase):
    """Who one is: the namespace in which the connection was made."""

    def test_connection_of_another_namespace_is_that_ones_whoever_holds_it(self):
        victim, thief = self.ready_pod(), self.ready_pod()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            c = victim.client()
            client.send_packet(ours, b'x', [c.sock.fileno()])
            _, fds = client.recv_packet(theirs)
        # What the victim gives away it gives away: the holder acts as the victim, and only so.
        carried = client.Client.__new__(client.Client)
        carried.__dict__.update(c.__dict__, sock=socket.socket(fileno=fds[0]), next_id=1000)
        carried.sock.settimeout(15)  # or it does not wait: that is a property of the open socket
        self.addCleanup(carried.sock.close)
        info = client.in_netns(thief.path, lambda: carried.call('GetInfo'))
        self.assertEqual(info.netns_cookie, victim.lease.netns_cookie)
        self.assertEqual([lease.id for lease in carried.leases()], [victim.lease.id])

    def test_process_that_makes_a_namespace_of_its_own_loses_the_lease_there(self):
        pod = self.ready_pod()
        script = ('import client, os, sys\n'
                  'if client.libc.unshare(0x50000000):\n'  # CLONE_NEWUSER | CLONE_NEWNET
                  '    sys.exit(9)\n'
                  'c = client.Client(sys.argv[1])\n'
                  'print(c.call("GetInfo").netns_cookie, len(c.leases()))\n'
                  'try:\n'
                  '    c.hand_off("eth0")\n'
                  'except client.Refused as e:\n'
                  '    print(e.code)\n')
        p = pod.start(sys.executable, '-B', '-c', script, self.node.pod_path,
                      env={**os.environ, 'PYTHONPATH': self.node.kit})
        out, err = p.communicate(timeout=30)
        if p.returncode == 9:
            self.skipTest('user namespaces are forbidden here')
        cookie, leases, code = out.split()
        self.assertNotEqual(int(cookie), pod.lease.netns_cookie, err)
        self.assertEqual((leases, code), ('0', 'PERMISSION_DENIED'))

    def test_next_namespace_is_not_the_last_one(self):
        pod = self.ready_pod()
        h = pod.client().hand_off('eth0')
        cookie = pod.lease.netns_cookie
        h.close()
        h.client.close()
        pod.netns.delete()
        wait_for(lambda: not self.admin.leases(), 'the end of the lease')
        # Numbers and inodes of namespaces are given again, cookies are not.
        for _ in range(20):
            other = self.pod(link=False)
            with other.client() as c:
                self.assertNotEqual(c.call('GetInfo').netns_cookie, cookie)
                with self.refused('PERMISSION_DENIED'):
                    c.hand_off('eth0')
            other.netns.delete()

    def test_name_of_an_interface_is_only_a_name(self):
        pod = self.pod(queues=2)
        Link(pod.netns, 'eth1', pod.peer)
        self.load(pod)
        self.grant(pod)
        pod.netns.ip('link', 'set', 'eth0', 'down')
        pod.netns.ip('link', 'set', 'eth0', 'name', 'tmp0')
        pod.netns.ip('link', 'set', 'eth1', 'down')
        pod.netns.ip('link', 'set', 'eth1', 'name', 'eth0')
        pod.netns.ip('link', 'set', 'eth0', 'up')
        pod.netns.ip('link', 'set', 'tmp0', 'up')
        h = self.hand_off(pod)
        self.assertEqual(h.reply.ifindex, client.in_netns(
            pod.path, lambda: socket.if_nametoindex('tmp0')), 'the device, not its name')

    def test_namespace_of_a_connection_cannot_be_read_off_a_socket_of_the_hosts(self):
        # In queue mode the socket is of the host's namespace: it must not lead there.
        Link(self.node.host, 'nic0', self.pod(link=False).netns, 2)
        self.admin.call('LoadProgram', interface='nic0')
        pod = self.pod(link=False)
        self.grant(pod, device='nic0', queues=[0])
        h = self.hand_off(pod)
        os.set_inheritable(h.socket_fds[0], True)
        script = ('import fcntl, os, sys\n'
                  'try:\n'
                  f'    print(fcntl.ioctl(int(sys.argv[1]), {SIOCGSKNS}))\n'
                  'except OSError as e:\n'
                  '    print(e.errno)\n')
        out = subprocess.run(pod.argv(sys.executable, '-c', script, str(h.socket_fds[0])),
                             stdout=subprocess.PIPE, text=True, check=True, close_fds=False)
        self.assertEqual(out.stdout, '1\n', 'EPERM')


class Sockets(TestCase):
    """What was handed out and is not to be had any more."""

    def shared(self):
        """A device with four queues that stays on the host."""
        link = Link(self.node.host, 'nic0', self.pod(link=False).netns, 4)
        self.admin.call('LoadProgram', interface='nic0')
        return link

    def test_socket_that_is_held_on_to_gets_nothing_of_the_next_lease(self):
        link = self.shared()
        first, second = self.pod(link=False), self.pod(link=False)
        self.grant(first, device='nic0', queues=[1])
        old = self.hand_off(first, queues=[1]).map()
        self.admin.call('RevokeLease', container=first.container)
        self.grant(second, device='nic0', queues=[1])
        # The queue is the kernel's to give, and it has not got it back.
        with self.refused('ALREADY_EXISTS', 'in use by an AF_XDP socket'):
            second.client().hand_off('eth0', queues=[1])
        link.aim(1)
        link.send(50)
        self.assertEqual(old.receive(1, timeout=0.3), [])
        for c in (first.client(), old.client):
            with self.refused('NOT_FOUND'):
                c.call('ReleaseSocket', sockets=[old.infos[0].id])
        old.close()
        new = self.hand_off(second, queues=[1]).map()
        link.send(50)
        self.assert_sequence(new.receive(50), 50)

    def test_release_of_an_old_id_takes_no_later_socket_out(self):
        link = self.shared()
        pod = self.pod(link=False)
        self.grant(pod, device='nic0', queues=[2])
        c = pod.client()
        old = c.hand_off('eth0')
        old.close()
        new = self.hand_off(c).map()
        with self.refused('NOT_FOUND'):
            c.call('ReleaseSocket', sockets=[old.infos[0].id])
        link.aim(2)
        link.send(30)
        self.assert_sequence(new.receive(30), 30)

    def test_bound_socket_cannot_move_to_another_queue_or_device(self):
        self.shared()
        pod = self.pod(link=False)
        self.grant(pod, device='nic0', queues=[0])
        h = self.hand_off(pod)
        for ifindex, queue in ((h.reply.ifindex, 1), (1, 0)):
            with self.assertRaises(OSError):
                bind_xdp(h.socket_fds[0], ifindex, queue)

    def test_umem_of_a_socket_cannot_be_shared_to_another_queue(self):
        # XDP_SHARED_UMEM binds a new socket to any queue of the device: it takes CAP_NET_RAW in
        # the socket's own namespace, which is not the pod's.
        self.shared()
        pod = self.pod(link=False)
        self.grant(pod, device='nic0', queues=[0])
        h = self.hand_off(pod)

        def share():
            with socket.socket(client.AF_XDP, socket.SOCK_RAW) as s:
                for option in (client.XDP_UMEM_FILL_RING, client.XDP_UMEM_COMPLETION_RING,
                               client.XDP_RX_RING, client.XDP_TX_RING):
                    s.setsockopt(client.SOL_XDP, option, 64)
                addr = struct.pack('=HHIII', client.AF_XDP, 1, h.reply.ifindex, 3,
                                   h.socket_fds[0])
                if client.libc.bind(s.fileno(), addr, len(addr)) < 0:
                    raise OSError(ctypes.get_errno(), 'bind')
        with self.assertRaises(OSError):
            client.in_netns(pod.path, share)

    def test_unbound_socket_goes_to_no_other_device_and_not_to_the_next_pod(self):
        if not self.admin.call('GetInfo').features.bind_to_device:
            self.skipTest('this kernel does not honour SO_BINDTODEVICE')
        pod, other = self.ready_pod(), self.pod(link=False)
        h = self.hand_off(pod, unbound=True)
        fd = h.socket_fds[0]
        area = mmap.mmap(-1, MIB)
        at = ctypes.addressof(ctypes.c_char.from_buffer(area))
        with client.view(fd) as s:
            s.setsockopt(client.SOL_XDP, client.XDP_UMEM_REG,
                         struct.pack('=QQIIII', at, MIB, 2048, 0, 0, 0))
            for option in (client.XDP_UMEM_FILL_RING, client.XDP_UMEM_COMPLETION_RING,
                           client.XDP_RX_RING, client.XDP_TX_RING):
                s.setsockopt(client.SOL_XDP, option, 64)
        Link(pod.netns, 'eth1', pod.peer)
        with self.assertRaises(OSError):
            bind_xdp(fd, client.in_netns(pod.path, lambda: socket.if_nametoindex('eth1')), 0)
        self.admin.call('RevokeLease', container=pod.container)
        pod.netns.ip('link', 'set', 'eth0', 'netns', other.netns.name)
        with self.assertRaises(OSError):
            bind_xdp(fd, h.reply.ifindex, 0)


class Maps(TestCase):
    """A map that was handed out and spoilt never reaches the next lease."""

    def spoil(self, pod, how):
        """The pod gets its map and does its worst; Return: the fd, which it keeps."""
        _, fds = pod.client().call_fds('GetXskMap', interface='eth0')
        self.addCleanup(client.close_all, fds)
        if how == 'frozen':
            self.assertEqual(bpf(FREEZE, fds[0]), 0)
        elif how == 'overwritten':
            self.mine = socket.socket(client.AF_XDP, socket.SOCK_RAW)
            self.addCleanup(self.mine.close)
            self.mine.setsockopt(client.SOL_XDP, client.XDP_RX_RING, 64)
            self.assertEqual(bpf(UPDATE, fds[0], 0, self.mine.fileno()), 0)
        elif how == 'emptied':
            h = self.hand_off(pod)
            self.assertTrue(is_in_map(fds[0], 0))
            self.assertEqual(bpf(DELETE, fds[0], 0), 0)
            h.close()
        return fds[0]

    def move(self, pod, other):
        """The device to the next pod, with the program on it."""
        pod.netns.ip('link', 'set', 'eth0', 'netns', other.netns.name)
        other.netns.ip('link', 'set', 'eth0', 'up')
        # The other end sends nothing before it has noticed.
        wait_for(lambda: 'state UP' in pod.link.peer.ip('-o', 'link', 'show', pod.link.peer_name),
                 'carrier')

    def check(self, how, between):
        """Spoil the map, end the lease, let `between` happen: the next lease gets a fresh one."""
        pod, other = self.ready_pod(), self.pod(link=False)
        old = self.spoil(pod, how)
        between(pod)
        self.admin.call('RevokeLease', container=pod.container)
        self.move(pod, other)
        with self.refused('FAILED_PRECONDITION', 'earlier lease'):
            self.grant(other)
        with self.refused('PERMISSION_DENIED'):
            other.client().call('GetXskMap', interface='eth0')
        self.admin.call('UnloadProgram', id=pod.program.id, force=True)
        self.load(other)
        self.grant(other)
        other.link = pod.link
        h = self.hand_off(other).map()
        # What the earlier pod still does to its own map is nothing to this one.
        for command in (DELETE, UPDATE, FREEZE):
            bpf(command, old, 0, self.mine.fileno() if how == 'overwritten' else 0)
        pod.link.send(40)
        self.assert_sequence(h.receive(40), 40)

    def test_spoilt_and_the_next_lease(self):
        for how in ('frozen', 'overwritten', 'emptied'):
            with self.subTest(how=how):
                self.check(how, lambda pod: None)

    def test_also_across_the_daemons_end(self):
        for sig in (signal.SIGTERM, signal.SIGKILL):
            for how in ('frozen', 'overwritten'):
                def restart(_pod, sig=sig):
                    self.admin.close()
                    self.node.restart(sig)
                    self.admin = self.node.admin()
                with self.subTest(how=how, signal=sig):
                    self.check(how, restart)

    def test_program_loaded_for_another_lease_of_the_same_pod_says_so(self):
        pod = self.ready_pod()
        self.spoil(pod, 'frozen')
        with self.refused('FAILED_PRECONDITION', 'frozen'):
            pod.client().hand_off('eth0')

    def test_map_of_a_shared_device_is_never_given(self):
        Link(self.node.host, 'nic0', self.pod(link=False).netns, 2)
        program = self.admin.call('LoadProgram', interface='nic0').program
        pod = self.pod(link=False)
        self.grant(pod, device='nic0')
        for _ in range(2):
            with self.refused('FAILED_PRECONDITION'):
                pod.client().call('GetXskMap', interface='eth0')
        self.assertFalse(self.admin.call('GetProgram', id=program.id).program.map_given)


if __name__ == '__main__':
    tap.main()
