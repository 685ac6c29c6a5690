# SPDX-License-Identifier: Apache-2.0
"""HandOffSocket: a process without privileges receives packets through a socket from the daemon."""
import json
import os
import socket
import struct
import time

import tap
from node import TestCase, await_ready, client, finish, wait_for

MIB = 1 << 20


class Main(TestCase):
    """The main job."""

    def test_unprivileged_python_process_receives_every_packet(self):
        pod = self.ready_pod()
        p = pod.python('--count', '2000')  # as many as the ring holds
        await_ready(p)
        pod.link.send(2000)
        out = json.loads(finish(p))
        self.assert_sequence(out['sequences'], 2000)
        self.assertEqual((out['uid'], out['capabilities'], out['permitted'], out['bounding'],
                          out['no_new_privs']), (65534, 0, 0, 0, 1))
        self.assertEqual(out['modes'], ['copy'])

    def test_xskctl_receives_every_packet(self):
        pod = self.ready_pod()
        # The ring holds all of them: a receiver that is without a CPU for a while loses nothing.
        p = pod.receive('--count', '16000', '--ring-size', '16384')
        pod.link.send(16000, rate=10000)
        out = json.loads(finish(p))
        self.assertEqual((out['sequenced'], out['lost'], out['duplicated'], out['reordered']),
                         (16000, 0, 0, 0))
        self.assertEqual((out['uid'], out['no_new_privs'], out['mode']), (65534, 1, 'copy'))

    def test_daemon_keeps_no_fd_of_what_it_handed_off(self):
        pod = self.ready_pod()
        c = pod.client()
        before = self.node.settled_fds()
        self.hand_off(c)
        process = 1  # a pidfd tells of its end
        wait_for(lambda: self.node.n_fds() == before + process, 'no more fds than before')

    def test_reply_tells_what_was_granted(self):
        pod = self.ready_pod()
        h = self.hand_off(pod, frame_size=4096, headroom=128, fill_size=512, completion_size=256,
                          rx_size=1024, tx_size=64, size=2 * MIB)
        s = h.infos[0]
        self.assertEqual((s.frame_size, s.headroom, s.fill_size, s.completion_size, s.rx_size,
                          s.tx_size, s.umem_bytes), (4096, 128, 512, 256, 1024, 64, 2 * MIB))
        self.assertEqual((s.queue, s.state, s.zero_copy, s.kept, s.need_wakeup),
                         (0, 0, False, False, True))
        self.assertFalse(h.reply.resumed)
        self.assertTrue(h.reply.ifindex)
        h.map()
        pod.link.send(100)
        self.assert_sequence(h.receive(100), 100)

    def test_packets_of_large_frames_come_whole(self):
        pod = self.ready_pod()
        h = self.hand_off(pod, frame_size=4096).map()
        pod.link.send(50, size=1514)
        self.assert_sequence(h.receive(50), 50)

    def test_pod_can_send(self):
        pod = self.ready_pod()
        h = self.hand_off(pod, fill_size=64).map()
        s = h.sockets[0]
        frame = b'\xff' * 6 + b'\x02\0\0\0\0\1' + b'\x88\xb5' + b'hello' * 10
        addr = s.frames.pop()
        h.umem[addr:addr + len(frame)] = frame
        with self.packet_socket(pod) as sniffer:
            struct.pack_into('=QII', s.tx.map, s.tx.desc_at, addr, len(frame), 0)
            s.tx._producer.value = 1
            self.kick(s.fd)
            self.assertEqual(sniffer.recv(2048), frame)
        wait_for(lambda: s.completion.producer == 1, 'the frame back in the completion ring')

    def packet_socket(self, pod):
        """What arrives at the other end of the pod's link."""
        def make():
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5))
            s.bind((pod.link.peer_name, 0x88b5))
            s.settimeout(5)
            return s
        return client.in_netns(pod.peer.path, make)

    def kick(self, fd):
        """sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0), which Python cannot say of AF_XDP."""
        self.assertGreaterEqual(client.libc.sendto(fd, None, 0, socket.MSG_DONTWAIT, None, 0), 0)


class Queues(TestCase):
    """Several queues, one UMEM; and whose queue is whose."""

    def test_two_queues_share_one_umem(self):
        pod = self.ready_pod(queues=4)
        h = self.hand_off(pod, queues=[0, 2]).map()
        self.assertEqual([s.queue for s in h.sockets], [0, 2])
        for queue in (0, 2):
            pod.link.aim(queue)
            pod.link.send(500)
        h.receive(1000)
        for s in h.sockets:
            self.assert_sequence(s.sequences, 500)

    def test_sockets_come_in_the_order_asked_for(self):
        pod = self.ready_pod(queues=4)
        h = self.hand_off(pod, queues=[3, 1, 0]).map()
        self.assertEqual([i.queue for i in h.infos], [3, 1, 0])
        pod.link.aim(1)
        pod.link.send(50)
        h.receive(50)
        self.assertEqual([len(s.sequences) for s in h.sockets], [0, 50, 0])

    def test_other_queues_go_to_the_network_stack(self):
        pod = self.ready_pod(queues=2)
        h = self.hand_off(pod, queues=[1]).map()
        pod.link.aim(0)
        pod.link.send(100)
        pod.link.aim(1)
        pod.link.send(100)
        self.assert_sequence(h.receive(100), 100)

        def queues():  # each has packets handled by a thread of its own
            return [(q.queue, q.redirected, q.passed, q.held)
                    for q in h.client.call('GetStats', interface='eth0').queues]
        wait_for(lambda: sum(passed for _, _, passed, _ in queues()) == 100, 'the packets of 0')
        self.assertEqual(queues(), [(0, 0, 100, False), (1, 100, 0, True)])

    def test_without_queues_it_is_the_leases_first(self):
        pod = self.pod(queues=4)
        self.load(pod)
        self.grant(pod, queues=[2, 3])
        h = self.hand_off(pod)
        self.assertEqual([i.queue for i in h.infos], [2])

    def test_sixty_three_queues_fit_one_hand_off(self):
        pod = self.ready_pod(queues=63)
        h = self.hand_off(pod, queues=list(range(63)), size=16 * MIB, fill_size=64,
                          completion_size=64, rx_size=64, tx_size=64)
        self.assertEqual(len(set(h.socket_fds)), 63)
        h.map()
        pod.link.aim(62)
        pod.link.send(50)
        self.assert_sequence(h.receive(50), 50)

    def test_queue_that_does_not_exist_is_refused(self):
        pod = self.ready_pod(queues=2)
        with self.refused('PERMISSION_DENIED', 'queue 2 .*not in this lease'):
            pod.client().hand_off('eth0', queues=[2])
        with self.refused('PERMISSION_DENIED'):
            pod.client().hand_off('eth0', queues=[0xffffffff])

    def test_queue_of_another_lease_is_refused(self):
        pod = self.pod(queues=4)
        self.load(pod)
        self.grant(pod, queues=[0, 1])
        with self.refused('PERMISSION_DENIED', 'queue 3'):
            pod.client().hand_off('eth0', queues=[0, 3])
        self.hand_off(pod, queues=[0, 1])  # and nothing of queue 0 was left from the refusal

    def test_queue_named_twice_is_refused(self):
        pod = self.ready_pod(queues=2)
        with self.refused('INVALID_ARGUMENT', 'queue 1 is named twice'):
            pod.client().hand_off('eth0', queues=[1, 0, 1])

    def test_sixty_four_queues_are_too_many(self):
        pod = self.ready_pod(queues=2)
        with self.refused('INVALID_ARGUMENT', '64 queues'):
            pod.client().hand_off('eth0', queues=list(range(64)))

    def test_failure_at_the_second_queue_gives_the_first_back(self):
        pod = self.ready_pod(queues=2)
        held = self.hand_off(pod, queues=[1])
        with self.refused('ALREADY_EXISTS', 'queue 1'):
            pod.client().hand_off('eth0', queues=[0, 1])
        self.hand_off(pod, queues=[0]).map()
        held.map()


class Holders(TestCase):
    """One queue, one holder."""

    def test_second_holder_is_refused(self):
        pod = self.ready_pod()
        h = self.hand_off(pod).map()
        with self.refused('ALREADY_EXISTS', 'queue 0'):
            pod.client().hand_off('eth0')
        pod.link.send(100)
        self.assert_sequence(h.receive(100), 100)

    def test_next_process_gets_the_queue_of_one_that_was_killed(self):
        pod = self.ready_pod()
        for _ in range(3):
            p = pod.receive()
            p.kill()
            p.wait()
            # At once: the kernel frees the queue some 20 to 60 ms later.
        h = self.hand_off(pod).map()
        pod.link.send(200)
        self.assert_sequence(h.receive(200), 200)

    def test_queue_is_free_again_after_the_holder_closed_it(self):
        pod = self.ready_pod()
        c = pod.client()
        for _ in range(5):
            h = c.hand_off('eth0')
            h.map()
            h.close()
        self.hand_off(c)

    def test_client_that_dies_before_the_reply_leaves_the_queue_free(self):
        pod = self.ready_pod()
        for _ in range(5):
            c = pod.client()
            umem = client.umem_memfd(MIB)
            c.start('HandOffSocket', [umem], interface='eth0', umem_fd=1)
            os.close(umem)
            c.close()
        wait_for(lambda: not self.admin.sockets(), 'the end of what nobody took')
        self.hand_off(pod)

    def test_release_ends_rx_and_next_reads_the_stack(self):
        pod = self.ready_pod()
        h = self.hand_off(pod).map()
        pod.link.send(10)
        self.assert_sequence(h.receive(10), 10)
        h.client.call('ReleaseSocket', sockets=[h.infos[0].id])
        pod.link.send(10)

        def queue():
            return self.admin.call('GetStats', program_id=pod.program.id).queues[0]
        wait_for(lambda: queue().passed >= 10, 'the packets')
        self.assertEqual((queue().redirected, queue().passed, queue().held), (10, 10, False))
        self.assertEqual(h.client.sockets(), [])

    def test_release_of_what_is_not_mine_is_refused(self):
        pod, other = self.ready_pod(), self.ready_pod()
        h = self.hand_off(pod).map()
        with self.refused('NOT_FOUND'):
            other.client().call('ReleaseSocket', sockets=[h.infos[0].id])
        with self.refused('NOT_FOUND'):
            pod.client().call('ReleaseSocket', sockets=[h.infos[0].id, 999999])
        with self.refused('INVALID_ARGUMENT'):
            pod.client().call('ReleaseSocket')
        pod.link.send(10)
        self.assert_sequence(h.receive(10), 10)

    def test_release_by_administrator(self):
        pod = self.ready_pod()
        h = self.hand_off(pod)
        self.admin.call('ReleaseSocket', sockets=[h.infos[0].id, h.infos[0].id])
        self.assertEqual(self.admin.sockets(), [])

    def test_list_says_who_holds_what(self):
        pod = self.ready_pod()
        began = int(time.time())
        p = pod.receive()
        s, = self.admin.sockets()
        self.assertEqual((s.container, s.interface, s.device, s.queue, s.pid, s.uid, s.program_id),
                         (pod.container, 'eth0', 'eth0', 0, p.pid, 65534, pod.program.id))
        self.assertFalse(s.socket_fd)
        self.assertGreaterEqual(s.handed_off_at, began)
        lease, = self.admin.leases()
        self.assertEqual((lease.sockets, lease.umem_bytes), (1, s.umem_bytes))
        p.kill()
        p.wait()
        wait_for(lambda: not self.admin.sockets(), 'the ledger to note the end')
        lease, = self.admin.leases()
        self.assertEqual((lease.sockets, lease.umem_bytes), (0, 0))

    def test_list_shows_a_pod_its_own_alone(self):
        pod, other = self.ready_pod(), self.ready_pod()
        self.hand_off(pod)
        mine = self.hand_off(other)
        self.assertEqual([s.id for s in mine.client.sockets()], [mine.infos[0].id])
        self.assertEqual(len(self.admin.sockets()), 2)

    def test_end_of_holder_is_an_event(self):
        pod = self.ready_pod()
        watcher = pod.client()
        watcher.watch()
        h = self.hand_off(pod)
        h.close()
        event = watcher.next_event('EVENT_SOCKET_RELEASED', interface='eth0')
        self.assertEqual((event.socket, event.queue, event.container),
                         (h.infos[0].id, 0, pod.container))


class Wishes(TestCase):
    """Sizes and modes: a contract, with no silent fallback."""

    def test_bad_sizes(self):
        pod = self.ready_pod()
        c = pod.client()
        for fields in ({'fill_size': 3}, {'completion_size': 1000}, {'rx_size': 65536},
                       {'tx_size': 0xffffffff}, {'rx_size': 1 << 31}, {'frame_size': 1024},
                       {'frame_size': 8192}, {'frame_size': 2047}, {'headroom': 2048},
                       {'headroom': 0xffffffff}, {'headroom': 1900}, {'zero_copy': 9},
                       {'busy_poll': {'timeout_us': 0xffffffff}},
                       {'busy_poll': {'timeout_us': 20, 'budget': 100000}}):
            with self.subTest(**fields), self.refused('INVALID_ARGUMENT'):
                c.hand_off('eth0', size=MIB, **fields)

    def test_every_ring_size_works(self):
        pod = self.ready_pod()
        c = pod.client()
        for size in (1, 2, 64, 32768):
            with self.subTest(size):
                h = c.hand_off('eth0', size=MIB, fill_size=size, completion_size=size,
                               rx_size=size, tx_size=size)
                h.map()
                h.close()

    def test_copy_required_is_granted(self):
        pod = self.ready_pod()
        h = self.hand_off(pod, zero_copy=client.pb.ZERO_COPY_NO)
        self.assertFalse(h.infos[0].zero_copy)
        self.assertEqual(client.socket_mode(h.socket_fds[0]), 'copy')

    def test_zero_copy_required_is_refused_on_veth(self):
        pod = self.ready_pod()
        with self.refused('UNIMPLEMENTED', 'zero-copy', errno=95):
            pod.client().hand_off('eth0', zero_copy=client.pb.ZERO_COPY_REQUIRED)
        self.hand_off(pod)  # and the queue is free

    def test_busy_poll_is_set(self):
        pod = self.ready_pod()
        h = self.hand_off(pod, busy_poll={'timeout_us': 20, 'budget': 32}).map()
        so_busy_poll, so_prefer_busy_poll = 46, 69  # SO_BUSY_POLL_BUDGET cannot be read back
        with client.view(h.socket_fds[0]) as s:
            self.assertEqual([s.getsockopt(socket.SOL_SOCKET, o)
                              for o in (so_busy_poll, so_prefer_busy_poll)], [20, 1])
        pod.link.send(50)
        self.assert_sequence(h.receive(50), 50)

    def test_without_need_wakeup(self):
        pod = self.ready_pod()
        h = self.hand_off(pod, no_need_wakeup=True).map()
        self.assertFalse(h.infos[0].need_wakeup)
        pod.link.send(50)
        self.assert_sequence(h.receive(50), 50)

    def test_multi_buffer(self):
        if not self.admin.call('GetInfo').features.multi_buffer:
            self.skipTest('this kernel has no multi-buffer AF_XDP')
        pod = self.ready_pod()
        h = self.hand_off(pod, multi_buffer=True).map()
        pod.link.send(50)
        self.assert_sequence(h.receive(50), 50)

    def test_fields_that_contradict_each_other(self):
        pod = self.ready_pod()
        c = pod.client()
        umem = client.umem_memfd(MIB)
        self.addCleanup(os.close, umem)
        for fds, fields in (([umem], {'unbound': True}), ([], {'unbound': True, 'keep': True}),
                            ([], {'only_resume': True}),
                            ([umem], {'only_resume': True, 'keep': True})):
            with self.subTest(**fields), self.refused('INVALID_ARGUMENT'):
                c.call('HandOffSocket', fds, interface='eth0', umem_fd=len(fds), **fields)


if __name__ == '__main__':
    tap.main()
