# SPDX-License-Identifier: Apache-2.0
"""BindSocket: the two-phase way of kernels before Linux 6.4."""
import json

import tap
from node import Refused, TestCase, client, finish, wait_for


class TwoPhase(TestCase):
    """Before Linux 6.4: rings are mapped first, BindSocket comes second."""

    config = '{"handOff": "two-phase"}'

    def bind(self, h, **kw):
        """The second half."""
        return h.client.call('BindSocket', sockets=[i.id for i in h.infos], **kw)

    def test_info_says_so(self):
        self.assertFalse(self.admin.call('GetInfo').features.full_handoff)

    def test_map_then_bind_then_receive(self):
        pod = self.ready_pod()
        h = self.hand_off(pod)
        self.assertEqual(h.infos[0].state, client.pb.SOCKET_AWAITS_BIND)
        h.map()
        reply = self.bind(h)
        self.assertEqual((reply.sockets[0].state, reply.sockets[0].id),
                         (client.pb.SOCKET_BOUND, h.infos[0].id))
        pod.link.send(200)
        self.assert_sequence(h.receive(200), 200)

    def test_two_queues(self):
        pod = self.ready_pod(queues=2)
        h = self.hand_off(pod, queues=[0, 1]).map()
        self.bind(h)
        pod.link.aim(1)
        pod.link.send(100)
        h.receive(100)
        self.assertEqual([len(s.sequences) for s in h.sockets], [0, 100])

    def test_xskctl_hides_the_difference(self):
        pod = self.ready_pod()
        p = pod.receive('--count', '2000')  # as many as the ring holds
        pod.link.send(2000)
        out = json.loads(finish(p))
        self.assertEqual((out['sequenced'], out['lost']), (2000, 0))

    def test_keep_is_refused_and_says_why(self):
        # Nobody could map the rings of a bound socket again.
        pod = self.ready_pod()
        with self.refused('UNIMPLEMENTED', 'Linux 6.4'):
            self.hand_off(pod, keep=True)
        with self.refused('UNIMPLEMENTED', 'Linux 6.4'):
            self.hand_off(pod, keep=True, only_resume=True)
        self.bind(self.hand_off(pod))

    def test_other_connection_may_not_bind(self):
        pod = self.ready_pod()
        h = self.hand_off(pod)
        with self.refused('NOT_FOUND'):
            pod.client().call('BindSocket', sockets=[h.infos[0].id])
        with self.refused('NOT_FOUND'):
            self.admin.call('BindSocket', sockets=[h.infos[0].id])
        self.bind(h)

    def test_bind_twice_is_refused(self):
        pod = self.ready_pod()
        h = self.hand_off(pod)
        self.bind(h)
        with self.refused('NOT_FOUND'):
            self.bind(h)

    def test_bind_of_nothing_and_of_strangers(self):
        pod = self.ready_pod()
        c = pod.client()
        with self.refused('INVALID_ARGUMENT'):
            c.call('BindSocket')
        with self.refused('INVALID_ARGUMENT'):
            c.call('BindSocket', sockets=list(range(1, 100)))
        with self.refused('NOT_FOUND'):
            c.call('BindSocket', sockets=[12345])

    def test_bind_of_the_same_socket_twice_in_one_call(self):
        pod = self.ready_pod()
        h = self.hand_off(pod)
        with self.assertRaises(Refused):
            h.client.call('BindSocket', sockets=[h.infos[0].id, h.infos[0].id])
        self.assert_serves()

    def test_sockets_of_two_hand_offs_in_one_call(self):
        pod = self.ready_pod(queues=2)
        c = pod.client()
        a, b = self.hand_off(c, queues=[0]), self.hand_off(c, queues=[1])
        with self.refused('INVALID_ARGUMENT'):
            c.call('BindSocket', sockets=[a.infos[0].id, b.infos[0].id])

    def test_end_of_connection_gives_the_sockets_back(self):
        pod = self.ready_pod()
        c = pod.client()
        h = c.hand_off('eth0')
        c.close()
        wait_for(lambda: not self.admin.sockets(), 'the ledger')
        h.close()
        h = self.hand_off(pod).map()
        self.bind(h)

    def test_deadline_of_the_bind(self):
        pod = self.ready_pod()
        h = self.hand_off(pod)
        self.assertEqual(len(self.admin.sockets()), 1)
        wait_for(lambda: not self.admin.sockets(), 'the deadline', timeout=20, step=0.2)
        with self.refused('NOT_FOUND', 'within 10 seconds'):
            self.bind(h)

    def test_half_of_a_hand_off_is_refused(self):
        pod = self.ready_pod(queues=2)
        h = self.hand_off(pod, queues=[0, 1])
        with self.refused('INVALID_ARGUMENT'):
            h.client.call('BindSocket', sockets=[h.infos[0].id])
        self.bind(h)

    def test_second_holder_is_refused_while_the_first_maps(self):
        pod = self.ready_pod()
        h = self.hand_off(pod)
        with self.refused('ALREADY_EXISTS', 'queue 0'):
            self.hand_off(pod)
        self.bind(h)
        with self.refused('ALREADY_EXISTS', 'queue 0'):
            self.bind(self.hand_off(pod))
        h.map()
        pod.link.send(50)
        self.assert_sequence(h.receive(50), 50)

    def test_zero_copy_wish_is_honoured_at_bind(self):
        pod = self.ready_pod()
        h = self.hand_off(pod, zero_copy=client.pb.ZERO_COPY_REQUIRED)
        with self.refused('UNIMPLEMENTED', 'zero-copy'):
            self.bind(h)

    def test_client_that_goes_while_its_bind_waits(self):
        pod = self.ready_pod(queues=2)
        held = self.hand_off(pod, queues=[1]).map()
        self.bind(held)
        held.client.call('ReleaseSocket', sockets=[held.infos[0].id])  # still bound: it is busy
        with pod.client() as c:
            h = c.hand_off('eth0', queues=[0, 1])
            c.start('BindSocket', sockets=[i.id for i in h.infos])
            c.wait(c.start('GetInfo'))
            h.close()
        # The first of the two was bound, and the last close of it is the daemon's.
        self.bind(self.hand_off(pod, queues=[0]))

    def test_unbound_is_as_ever(self):
        pod = self.ready_pod()
        h = self.hand_off(pod, unbound=True)
        self.assertEqual(h.infos[0].state, client.pb.SOCKET_UNBOUND)


if __name__ == '__main__':
    tap.main()
