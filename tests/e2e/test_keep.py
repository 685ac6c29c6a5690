# SPDX-License-Identifier: Apache-2.0
"""Sockets that outlive a process, the daemon or their device."""
import json
import os
import signal
import subprocess

import tap
from node import Closed, TestCase, await_ready, client, finish, wait_for

MIB = 1 << 20


class Keep(TestCase):
    """keep: the daemon holds a copy, so that the next process loses nothing."""

    def test_next_process_gets_the_same_socket_and_what_came_meanwhile(self):
        pod = self.ready_pod()
        p = pod.python('--keep')
        await_ready(p)
        p.kill()
        p.wait()
        pod.link.send(500)
        p = pod.python('--resume', '--count', '500')
        await_ready(p)
        out = json.loads(finish(p))
        self.assertTrue(out['resumed'])
        self.assert_sequence(out['sequences'], 500)

    def test_xskctl_loses_no_packet_over_kill_and_resume(self):
        pod = self.ready_pod()
        p = pod.receive('--keep', '--count', '1000')
        pod.link.send(1000)
        first = json.loads(finish(p))
        pod.link.send(1000)  # nobody is there
        p = pod.receive('--keep', '--count', '1000', '--release')
        second = json.loads(finish(p))
        self.assertEqual((first['lost'], first['sequenced']), (0, 1000))
        self.assertEqual((second['resumed'], second['lost'], second['sequenced'],
                          second['lost_frames']), (True, 0, 1000, 0))
        self.assertEqual(self.admin.sockets(), [])

    def test_killed_again_and_again_it_still_receives(self):
        pod = self.ready_pod()
        for _ in range(4):
            p = pod.receive('--keep')
            pod.link.send(700)
            p.send_signal(signal.SIGKILL)
            p.wait()
        # What the killed ones had not printed is gone with them; but no frame is.
        h = self.hand_off(pod, keep=True, only_resume=True).recover()
        self.assertTrue(h.reply.resumed)
        h.receive(quiet=0.2)
        h.sockets[0].sequences.clear()
        pod.link.send(1000)
        self.assert_sequence(h.receive(1000), 1000)

    def test_keep_of_two_queues(self):
        pod = self.ready_pod(queues=2)
        h = pod.client().hand_off('eth0', queues=[0, 1], keep=True)
        h.map()
        h.close()
        pod.link.aim(1)
        pod.link.send(100)
        h = self.hand_off(pod, queues=[0, 1], keep=True).recover()
        self.assertTrue(h.reply.resumed)
        self.assertEqual([i.queue for i in h.infos], [0, 1])
        self.assert_sequence(h.receive(100), 100)

    def test_resume_of_half_a_group_is_refused(self):
        pod = self.ready_pod(queues=2)
        h = pod.client().hand_off('eth0', queues=[0, 1], keep=True)
        h.close()
        with self.refused('NOT_FOUND'):
            pod.client().hand_off('eth0', queues=[0], keep=True, only_resume=True)
        with self.refused('ALREADY_EXISTS'):
            pod.client().hand_off('eth0', queues=[0])

    def test_only_resume_without_kept_sockets(self):
        pod = self.ready_pod()
        with self.refused('NOT_FOUND', 'kept'):
            pod.client().hand_off('eth0', keep=True, only_resume=True)

    def test_neighbour_cannot_resume(self):
        pod, other = self.ready_pod(), self.ready_pod()
        h = pod.client().hand_off('eth0', keep=True)
        h.close()
        with self.refused('NOT_FOUND'):
            other.client().hand_off('eth0', keep=True, only_resume=True)

    def test_release_drops_the_copy(self):
        pod = self.ready_pod()
        h = pod.client().hand_off('eth0', keep=True)
        c = pod.client()
        before = self.node.settled_fds()
        h.close()
        c.call('ReleaseSocket', sockets=[h.infos[0].id])
        wait_for(lambda: self.node.n_fds() == before - 3, 'socket, memfd and pidfd to be closed')
        h = self.hand_off(c).map()
        self.assertFalse(h.reply.resumed)

    def test_kept_goes_with_its_lease(self):
        pod = self.ready_pod()
        h = pod.client().hand_off('eth0', keep=True)
        h.close()
        self.admin.call('RevokeLease', container=pod.container)
        self.grant(pod)
        with self.refused('NOT_FOUND'):
            pod.client().hand_off('eth0', keep=True, only_resume=True)
        self.hand_off(pod)

    def test_stats_of_a_kept_socket(self):
        pod = self.ready_pod()
        h = self.hand_off(pod, keep=True, rx_size=64).map()
        pod.link.send(100)
        wait_for(lambda: self.admin.call(
            'GetStats', program_id=pod.program.id).queues[0].redirected == 100, 'the counter')
        stats = h.client.call('GetStats', interface='eth0').queues[0]
        self.assertTrue(stats.HasField('socket'))
        self.assertEqual(stats.socket.id, h.infos[0].id)
        self.assertEqual(stats.socket.rx_ring_full, 36)
        self.assertEqual(client.socket_statistics(h.socket_fds[0])['ring_full'], 36)

    def test_kept_sockets_do_not_survive_the_daemon_but_the_holder_does(self):
        pod = self.ready_pod()
        h = self.hand_off(pod, keep=True).map()
        self.node.restart()
        self.admin = self.node.admin()
        pod.link.send(100)
        self.assert_sequence(h.receive(100), 100)
        self.assertEqual([s.queue for s in self.admin.sockets()], [0])


class Survival(TestCase):
    """A running receiver does not notice that the daemon goes."""

    def survive(self, sig):
        """Packets flow while the daemon ends and starts again."""
        pod = self.ready_pod()
        p = pod.receive('--count', '8000', '--ring-size', '8192', '--duration', '50')
        sender = subprocess.Popen(pod.link.sender(8000, 4000), stdout=subprocess.DEVNULL)
        self.addCleanup(sender.wait)
        self.node.restart(sig)
        self.node.restart(sig)
        self.admin = self.node.admin()
        out = json.loads(finish(p))
        self.assertEqual((out['sequenced'], out['lost'], out['duplicated']), (8000, 0, 0))

    def test_no_packet_is_lost_over_sigterm(self):
        self.survive(signal.SIGTERM)

    def test_no_packet_is_lost_over_sigkill(self):
        self.survive(signal.SIGKILL)

    def test_second_holder_is_refused_after_restart_too(self):
        pod = self.ready_pod()
        h = self.hand_off(pod).map()
        self.node.restart()
        self.admin = self.node.admin()
        with self.refused('ALREADY_EXISTS'):
            pod.client().hand_off('eth0')
        with self.refused('FAILED_PRECONDITION', 'socket'):
            self.admin.call('UnloadProgram', id=pod.program.id)
        h.close()
        h = self.hand_off(pod).map()
        pod.link.send(100)
        self.assert_sequence(h.receive(100), 100)

    def test_lease_serves_after_restart(self):
        pod = self.ready_pod()
        self.node.restart()
        self.admin = self.node.admin()
        h = self.hand_off(pod).map()
        pod.link.send(100)
        self.assert_sequence(h.receive(100), 100)

    def test_waiting_client_is_hung_up_on(self):
        pod = self.ready_pod()
        c = pod.client()
        self.node.restart(signal.SIGTERM)
        self.admin = self.node.admin()
        with self.assertRaises(Closed):
            c.take()


class Loss(TestCase):
    """The device goes: poll does not tell, the daemon does."""

    def test_deleted_interface_is_an_event(self):
        pod = self.ready_pod()
        h = self.hand_off(pod).map()
        watcher = pod.client()
        watcher.watch()
        pod.netns.ip('link', 'del', 'eth0')
        event = watcher.next_event('EVENT_SOCKET_LOST', socket=h.infos[0].id)
        self.assertEqual((event.interface, event.queue), ('eth0', 0))
        with self.refused('FAILED_PRECONDITION'):
            pod.client().hand_off('eth0')

    def test_moved_interface_is_an_event(self):
        pod, other = self.ready_pod(), self.pod(link=False)
        h = self.hand_off(pod).map()
        watcher = pod.client()
        watcher.watch()
        pod.netns.ip('link', 'set', 'eth0', 'netns', other.netns.name)
        watcher.next_event('EVENT_SOCKET_LOST', socket=h.infos[0].id)

    def test_kept_socket_of_a_deleted_interface_is_let_go(self):
        pod = self.ready_pod()
        h = pod.client().hand_off('eth0', keep=True)
        h.close()
        self.admin.watch()
        pod.netns.ip('link', 'del', 'eth0')
        self.admin.next_event('EVENT_SOCKET_LOST')
        self.assertEqual(self.admin.sockets(), [])

    def test_unloaded_program_is_an_event(self):
        pod = self.ready_pod()
        h = self.hand_off(pod)
        watcher = pod.client()
        watcher.watch()
        self.unload(pod, force=True)
        watcher.next_event('EVENT_SOCKET_LOST', socket=h.infos[0].id)

    def test_interface_that_goes_during_hand_offs(self):
        for _ in range(3):
            pod = self.ready_pod(queues=2)
            clients = [pod.client() for _ in range(4)]
            umem = client.umem_memfd(16 * MIB)
            ids = [c.start('HandOffSocket', [umem], interface='eth0', queues=[i % 2], umem_fd=1)
                   for i, c in enumerate(clients)]
            pod.netns.ip('link', 'del', 'eth0')
            os.close(umem)
            for c, call_id in zip(clients, ids):
                reply, fds = c.wait_reply(call_id)  # an answer, whichever
                client.close_all(fds)
            self.assert_serves()


if __name__ == '__main__':
    tap.main()
