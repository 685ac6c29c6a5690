# SPDX-License-Identifier: Apache-2.0
"""Who may have what: sockets, shared devices, unbound sockets, the map itself."""
import json
import mmap
import os
import socket
import struct

import tap
from node import Link, TestCase, await_ready, client, finish, wait_for

MIB = 1 << 20


class Who(TestCase):
    """Who may have what."""

    def test_pod_without_lease_is_told_what_to_do(self):
        pod = self.pod()
        self.load(pod)
        cookie = pod.client().call('GetInfo').netns_cookie
        with self.refused('PERMISSION_DENIED', f'cookie {cookie}.*xskctl lease grant'):
            pod.client().hand_off('eth0')

    def test_neighbour_cannot_have_it(self):
        pod, other = self.ready_pod(), self.pod()
        with self.refused('PERMISSION_DENIED', 'no lease'):
            other.client().hand_off('eth0')
        self.hand_off(pod)

    def test_host_namespace_cannot_have_it(self):
        self.ready_pod()
        c = client.Client(self.node.pod_path, netns=self.node.host.path)
        self.addCleanup(c.close)
        with self.refused('PERMISSION_DENIED', 'host'):
            c.hand_off('eth0')

    def test_other_interface_is_refused_and_the_right_one_named(self):
        pod = self.ready_pod()
        with self.refused('PERMISSION_DENIED', "lease on 'eth0', none on 'eth1'"):
            pod.client().hand_off('eth1')

    def test_pod_may_not_name_a_container(self):
        pod = self.ready_pod()
        with self.refused('PERMISSION_DENIED', 'administrators'):
            pod.client().hand_off('eth0', container=pod.container)

    def test_pod_may_not_send_a_foreign_namespace(self):
        pod, other = self.ready_pod(), self.ready_pod()
        umem = client.umem_memfd(MIB)
        self.addCleanup(os.close, umem)
        with open(other.path, 'rb') as ns, self.refused('PERMISSION_DENIED', 'namespace'):
            pod.client().call('HandOffSocket', [umem, ns.fileno()], interface='eth0',
                              umem_fd=1, netns_fd=2)

    def test_socket_made_elsewhere_and_carried_in_gives_nothing(self):
        pod, other = self.ready_pod(), self.pod()
        # The connection's namespace is the one where it was made, whoever uses it.
        carried = other.client()
        with self.refused('PERMISSION_DENIED'):
            client.in_netns(pod.path, lambda: carried.hand_off('eth0'))

    def test_administrator_takes_a_hand_off_for_a_container(self):
        pod = self.ready_pod()
        umem = client.umem_memfd(MIB)
        with open(pod.path, 'rb') as ns:
            reply, fds = self.admin.call_fds(
                'HandOffSocket', [umem, ns.fileno()], interface='eth0', container=pod.container,
                umem_fd=1, netns_fd=2)
        h = client.HandOff(self.admin, reply, fds, umem)
        self.addCleanup(h.close)
        h.map()
        pod.link.send(30)
        self.assert_sequence(h.receive(30), 30)

    def test_administrator_must_name_the_right_namespace(self):
        pod, other = self.ready_pod(), self.pod()
        umem = client.umem_memfd(MIB)
        self.addCleanup(os.close, umem)
        with open(other.path, 'rb') as ns, self.refused('INVALID_ARGUMENT', 'netns_fd'):
            self.admin.call('HandOffSocket', [umem, ns.fileno()], interface='eth0',
                            container=pod.container, umem_fd=1, netns_fd=2)
        with self.refused('NOT_FOUND', 'no lease'):
            self.admin.call('HandOffSocket', [umem], interface='eth0', container='nobody',
                            umem_fd=1)

    def test_lease_without_program(self):
        pod = self.pod()
        self.grant(pod)
        with self.refused('FAILED_PRECONDITION', 'xskctl program load'):
            pod.client().hand_off('eth0')
        self.load(pod)
        self.hand_off(pod)

    def test_after_revocation(self):
        pod = self.ready_pod()
        h = self.hand_off(pod).map()
        self.assertEqual(self.admin.call('RevokeLease', container=pod.container).revoked, 1)
        pod.link.send(20)
        self.assertEqual(h.receive(1, timeout=0.2), [])
        with self.refused('PERMISSION_DENIED'):
            h.client.hand_off('eth0')


class QueueMode(TestCase):
    """The device stays on the host; pods share its queues."""

    def nic(self, queues=4):
        """A device in the daemon's namespace."""
        peer = self.pod(link=False).netns
        link = Link(self.node.host, 'nic0', peer, queues)
        program = self.admin.call('LoadProgram', interface='nic0').program
        return link, program

    def shared_pod(self, queues):
        """A pod that has these queues of the device."""
        pod = self.pod(link=False)
        pod.lease = self.grant(pod, device='nic0', queues=queues)
        return pod

    def test_two_pods_share_one_device(self):
        link, _ = self.nic()
        a, b = self.shared_pod([0, 1]), self.shared_pod([2, 3])
        ha = self.hand_off(a, queues=[1]).map()
        hb = self.hand_off(b, queues=[2]).map()
        link.aim(1)
        link.send(300)
        link.aim(2)
        link.send(200)
        self.assert_sequence(ha.receive(300), 300)
        self.assert_sequence(hb.receive(200), 200)

    def test_unprivileged_process_receives_from_the_hosts_device(self):
        link, _ = self.nic()
        pod = self.shared_pod([3])
        p = pod.python('--count', '1000')
        await_ready(p)
        link.aim(3)
        link.send(1000)
        out = json.loads(finish(p))
        self.assert_sequence(out['sequences'], 1000)
        self.assertEqual(out['by_queue'], {'3': 1000})

    def test_queue_of_the_other_pod_is_refused(self):
        self.nic()
        a, _ = self.shared_pod([0, 1]), self.shared_pod([2])
        with self.refused('PERMISSION_DENIED', 'queue 2'):
            a.client().hand_off('eth0', queues=[2])

    def test_map_is_refused(self):
        self.nic()
        a = self.shared_pod([0])
        with self.refused('FAILED_PRECONDITION', 'HandOffSocket'):
            a.client().call('GetXskMap', interface='eth0')

    def test_map_is_refused_even_with_all_queues(self):
        self.nic()
        a = self.shared_pod([])
        self.assertTrue(a.lease.all_queues)
        with self.refused('FAILED_PRECONDITION'):
            a.client().call('GetXskMap', interface='eth0')

    def test_unbound_is_refused(self):
        self.nic()
        a = self.shared_pod([])
        with self.refused('FAILED_PRECONDITION', 'bound one'):
            a.client().hand_off('eth0', unbound=True)

    def test_pod_cannot_name_the_device(self):
        self.nic()
        a = self.shared_pod([0])
        with self.refused('PERMISSION_DENIED', "lease on 'eth0'"):
            a.client().hand_off('nic0')

    def test_socket_is_the_hosts_and_cannot_be_used_for_another_queue(self):
        self.nic()
        a = self.shared_pod([0])
        h = self.hand_off(a)
        with client.view(h.socket_fds[0]) as s, self.assertRaises(OSError):
            s.bind(('nic0', 2))
        with self.assertRaises(OSError):
            bind_xdp(h.socket_fds[0], h.reply.ifindex, 2)

    def test_stats_show_a_pod_its_own_queues(self):
        self.nic()
        a = self.shared_pod([1, 2])
        queues = a.client().call('GetStats', interface='eth0').queues
        self.assertEqual([q.queue for q in queues], [1, 2])


def bind_xdp(fd, ifindex, queue, flags=client.XDP_COPY):
    """bind(2) with a sockaddr_xdp, which Python cannot say."""
    addr = struct.pack('=HHIII', client.AF_XDP, flags, ifindex, queue, 0)
    if client.libc.bind(fd, addr, len(addr)) < 0:
        e = client.ctypes.get_errno()
        raise OSError(e, os.strerror(e))


class Unbound(TestCase):
    """The client does the rest itself, as libxdp and QEMU do."""

    def set_up(self, fd, entries=64):
        """UMEM and rings, by the client, as a process without privileges could."""
        area = mmap.mmap(-1, MIB)
        at = client.ctypes.addressof(client.ctypes.c_char.from_buffer(area))
        with client.view(fd) as s:
            s.setsockopt(client.SOL_XDP, client.XDP_UMEM_REG,
                         struct.pack('=QQIIII', at, MIB, 2048, 0, 0, 0))
            for option in (client.XDP_UMEM_FILL_RING, client.XDP_UMEM_COMPLETION_RING,
                           client.XDP_RX_RING, client.XDP_TX_RING):
                s.setsockopt(client.SOL_XDP, option, entries)
        return area

    def ifindex(self, pod, name):
        """In the pod's namespace."""
        return client.in_netns(pod.path, lambda: socket.if_nametoindex(name))

    def test_client_binds_and_receives(self):
        pod = self.ready_pod()
        h = self.hand_off(pod, unbound=True)
        self.assertEqual(h.infos[0].state, client.pb.SOCKET_UNBOUND)
        fd = h.socket_fds[0]
        area = self.set_up(fd)
        info = client.pb.Socket(rx_size=64, tx_size=64, fill_size=64, completion_size=64)
        s = client.XdpSocket(fd, info, area, list(range(0, MIB, 2048)), 2048)
        self.addCleanup(s.close)
        s.refill()
        bind_xdp(fd, h.reply.ifindex, 0)
        pod.link.send(50, rate=5000)
        wait_for(lambda: [s.drain()] and len(s.sequences) == 50, '50 packets')
        self.assert_sequence(s.sequences, 50)

    def test_it_cannot_be_bound_to_another_device(self):
        if not self.admin.call('GetInfo').features.bind_to_device:
            self.skipTest('this kernel does not honour SO_BINDTODEVICE')
        pod = self.ready_pod()
        pod.netns.ip('link', 'set', 'lo', 'up')
        h = self.hand_off(pod, unbound=True)
        self.set_up(h.socket_fds[0])
        with self.assertRaises(OSError):
            bind_xdp(h.socket_fds[0], self.ifindex(pod, 'lo'), 0)

    def test_second_unbound_on_the_queue_is_refused(self):
        pod = self.ready_pod()
        self.hand_off(pod, unbound=True)
        with self.refused('ALREADY_EXISTS'):
            pod.client().hand_off('eth0', unbound=True)

    def test_lease_with_some_of_the_queues_is_refused(self):
        pod = self.pod(queues=4)
        self.load(pod)
        self.grant(pod, queues=[0, 1])
        with self.refused('FAILED_PRECONDITION'):
            pod.client().hand_off('eth0', unbound=True)


class Map(TestCase):
    """GetXskMap: the risky one."""

    def test_pod_that_holds_the_device_gets_it(self):
        pod = self.ready_pod(queues=4)
        reply, fds = pod.client().call_fds('GetXskMap', interface='eth0')
        self.addCleanup(client.close_all, fds)
        self.assertEqual((reply.map_fd, len(fds), reply.entries, reply.program_id),
                         (1, 1, pod.program.map_entries, pod.program.id))
        with open(f'/proc/self/fdinfo/{fds[0]}', encoding='ascii') as f:
            self.assertIn('map_type:\t17', f.read())  # BPF_MAP_TYPE_XSKMAP
        self.assertTrue(self.admin.programs()[0].map_given)

    def test_unprivileged_python_process_gets_it(self):
        pod = self.ready_pod()
        out = json.loads(finish(pod.python('--map')))
        self.assertEqual((out['fds'], out['entries'], out['capabilities']),
                         (1, pod.program.map_entries, 0))

    def test_lease_with_some_of_the_queues_does_not(self):
        pod = self.pod(queues=4)
        self.load(pod)
        self.grant(pod, queues=[0, 1, 2])
        with self.refused('FAILED_PRECONDITION', 'HandOffSocket'):
            pod.client().call('GetXskMap', interface='eth0')

    def test_map_that_was_out_serves_no_other_lease(self):
        pod = self.ready_pod()
        _, fds = pod.client().call_fds('GetXskMap', interface='eth0')
        self.addCleanup(client.close_all, fds)
        self.admin.call('RevokeLease', container=pod.container)
        # The device goes to another pod, with its program on it.
        other = self.pod(link=False)
        pod.netns.ip('link', 'set', 'eth0', 'netns', other.netns.name)
        other.netns.ip('link', 'set', 'eth0', 'up')
        with self.refused('FAILED_PRECONDITION', 'earlier lease'):
            self.grant(other)
        self.admin.call('UnloadProgram', id=pod.program.id)
        self.grant(other)
        self.load(other)
        _, more = other.client().call_fds('GetXskMap', interface='eth0')
        client.close_all(more)

    def test_that_it_was_out_is_remembered_over_a_restart(self):
        pod = self.ready_pod()
        _, fds = pod.client().call_fds('GetXskMap', interface='eth0')
        client.close_all(fds)
        self.node.restart()
        self.admin = self.node.admin()
        self.assertTrue(self.admin.programs()[0].map_given)
        self.admin.call('RevokeLease', container=pod.container)
        other = self.pod(link=False)
        pod.netns.ip('link', 'set', 'eth0', 'netns', other.netns.name)
        with self.refused('FAILED_PRECONDITION', 'earlier lease'):
            self.grant(other)

    def test_administrator_names_the_program(self):
        pod = self.ready_pod()
        reply, fds = self.admin.call_fds('GetXskMap', program_id=pod.program.id)
        client.close_all(fds)
        self.assertEqual(reply.program_id, pod.program.id)
        with self.refused('PERMISSION_DENIED', 'administrators'):
            pod.client().call('GetXskMap', program_id=pod.program.id)
        with self.refused('NOT_FOUND'):
            self.admin.call('GetXskMap', program_id=1)

    def test_thousand_maps_cost_no_fd(self):
        pod = self.ready_pod()
        c = pod.client()
        before = self.node.settled_fds()
        for _ in range(1000):
            _, fds = c.call_fds('GetXskMap', interface='eth0')
            client.close_all(fds)
        wait_for(lambda: self.node.n_fds() <= before, 'no more fds than before')


if __name__ == '__main__':
    tap.main()
