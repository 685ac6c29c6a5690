# SPDX-License-Identifier: Apache-2.0
"""What others do to a device: lists tell the truth, the owner is told, hand-offs work or say why not."""
import contextlib
import os
import signal
import time

import node
import tap
from node import TestCase, in_netns, run, wait_for

OBJECT = f'{node.BUILD}/bpf/xsk_redirect.bpf.o'


class News(TestCase):
    """One pod, one socket, one watcher."""

    def set_up(self, **kw):
        """A pod whose process has a socket and is told what happens."""
        self.p = self.ready_pod(**kw)
        self.c = self.p.client()
        self.c.watch()
        self.h = self.hand_off(self.p).map()
        return self.p

    def event(self, kind, text='.', **fields):
        """The pod is told."""
        e = self.c.next_event(kind, **fields)
        self.assertEqual((e.container, e.interface), (self.p.container, 'eth0'))
        self.assertRegex(e.message, text)

    def lease(self):
        """As it is listed."""
        lease, = self.admin.leases()
        return lease

    def assert_receives(self, h):
        """A packet arrives."""
        self.p.link.await_carrier()
        self.p.link.send(50)
        self.assert_sequence(h.receive(50), 50)

    def again(self):
        """The socket is given back, and another one works."""
        self.h.close()
        self.h = self.hand_off(self.p).map()
        self.assert_receives(self.h)

    @contextlib.contextmanager
    def stopped(self):
        """The daemon learns later of what happens meanwhile."""
        self.node.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.node.process.send_signal(signal.SIGCONT)

    def ethtool(self, netns, *args):
        """ethtool(8) there."""
        return run('ip', 'netns', 'exec', netns.name, 'ethtool', *args)

    # ---- the device ----

    def test_removed(self):
        p = self.set_up()
        p.netns.ip('link', 'del', 'eth0')
        self.event('EVENT_SOCKET_LOST', 'removed or moved', socket=self.h.infos[0].id)
        self.event('EVENT_LINK_DOWN')
        self.assertFalse(self.lease().link_up)
        with self.refused('FAILED_PRECONDITION', 'removed or moved'):
            p.client().hand_off('eth0')
        wait_for(lambda: not self.admin.programs(), 'the end of the program')

    def test_renamed(self):
        p = self.set_up()
        p.netns.ip('link', 'set', 'eth0', 'down')
        p.netns.ip('link', 'set', 'eth0', 'name', 'other')
        p.netns.ip('link', 'set', 'other', 'up')
        self.event('EVENT_DEVICE_CHANGED', "'eth0' is called 'other'")
        self.event('EVENT_LINK_UP')
        self.assertEqual((self.lease().interface, self.lease().device), ('eth0', 'other'))
        self.assertEqual([x.interface for x in self.admin.programs()], ['other'])
        self.assert_receives(self.h)
        self.again()  # the pod's name for it is the lease's
        self.node.restart()
        self.admin = self.node.admin()
        self.assertEqual((self.lease().interface, self.lease().device), ('eth0', 'other'))
        self.again()

    def test_moved_and_back(self):
        p, other = self.set_up(), self.pod(link=False)
        p.netns.ip('link', 'set', 'eth0', 'netns', other.netns.name)
        self.event('EVENT_SOCKET_LOST', 'removed or moved', socket=self.h.infos[0].id)
        self.assertFalse(self.lease().link_up)
        with self.refused('FAILED_PRECONDITION', 'removed or moved'):
            p.client().hand_off('eth0')
        other.netns.ip('link', 'set', 'eth0', 'netns', p.netns.name)
        self.event('EVENT_DEVICE_CHANGED', 'there again')
        p.netns.ip('link', 'set', 'eth0', 'up')
        self.event('EVENT_LINK_UP')
        self.assertTrue(self.lease().link_up)
        self.assertEqual([x.id for x in self.admin.programs()], [p.program.id])
        self.again()

    def test_moved_and_back_with_another_number(self):
        p, other = self.set_up(), self.pod(link=False)
        before = self.lease().ifindex
        p.netns.ip('link', 'set', 'eth0', 'netns', other.netns.name)
        self.event('EVENT_SOCKET_LOST')
        p.netns.ip('link', 'add', 'taken', 'index', str(before), 'type', 'veth', 'peer', 'name',
                   'taken1')
        other.netns.ip('link', 'set', 'eth0', 'netns', p.netns.name)
        self.event('EVENT_DEVICE_CHANGED', 'there again')
        p.netns.ip('link', 'set', 'eth0', 'up')
        self.event('EVENT_LINK_UP')
        self.assertNotEqual(self.lease().ifindex, before)
        self.again()

    def test_moved_into_another_leased_namespace(self):
        """Its program goes with it, and is known to."""
        p, other = self.set_up(), self.ready_pod()
        p.netns.ip('link', 'set', 'eth0', 'netns', other.netns.name, 'name', 'net1')
        self.event('EVENT_SOCKET_LOST')
        wait_for(lambda: 'net1' in [x.interface for x in self.admin.programs()], 'its program')
        moved, = [x for x in self.admin.programs() if x.interface == 'net1']
        self.assertEqual((moved.id, moved.netns_cookie),
                         (p.program.id, other.lease.netns_cookie))

    def test_down_and_up(self):
        p = self.set_up()
        p.netns.ip('link', 'set', 'eth0', 'down')
        self.event('EVENT_LINK_DOWN', 'down')
        self.assertFalse(self.lease().link_up)
        p.netns.ip('link', 'set', 'eth0', 'up')
        self.event('EVENT_LINK_UP', 'up')
        self.assertTrue(self.lease().link_up)
        self.assert_receives(self.h)

    def test_mtu(self):
        p = self.set_up()
        p.netns.ip('link', 'set', 'eth0', 'mtu', '1400')
        self.event('EVENT_DEVICE_CHANGED', 'MTU is 1400 now, and was 1500')
        self.assert_receives(self.h)

    def test_number_of_queues(self):
        p = self.set_up(queues=4)
        self.assertTrue(self.lease().all_queues)
        # First the sender's: a veth with XDP needs a queue for each of its peer's.
        self.ethtool(p.peer, '-L', p.link.peer_name, 'tx', '2', 'rx', '2')
        self.ethtool(p.netns, '-L', 'eth0', 'rx', '2', 'tx', '2')
        self.event('EVENT_DEVICE_CHANGED', '2 queues')
        self.assertTrue(self.lease().all_queues)
        with self.refused('INVALID_ARGUMENT', 'no such queue'):
            p.client().hand_off('eth0', queues=[3])
        self.ethtool(p.netns, '-L', 'eth0', 'rx', '4', 'tx', '4')
        self.event('EVENT_DEVICE_CHANGED', '4 queues')
        p.client().hand_off('eth0', queues=[3]).close()

    def test_queues_that_came_are_nobodys(self):
        """The map reaches them: so a lease that has not all of them does not get it any more."""
        p = self.pod(queues=4)
        self.p = p
        self.ethtool(p.peer, '-L', p.link.peer_name, 'tx', '2', 'rx', '2')
        self.ethtool(p.netns, '-L', 'eth0', 'rx', '2', 'tx', '2')
        self.load(p)
        self.grant(p)
        self.c = p.client()
        self.c.watch()
        self.assertTrue(self.lease().all_queues)
        self.ethtool(p.netns, '-L', 'eth0', 'rx', '4', 'tx', '4')
        self.event('EVENT_DEVICE_CHANGED', '4 queues')
        self.assertFalse(self.lease().all_queues)
        with self.refused('FAILED_PRECONDITION'):
            p.client().call('GetXskMap', interface='eth0')

    # ---- the program ----

    def lost(self, text='detached by somebody else'):
        """The program is not there any more, and all know it."""
        self.event('EVENT_PROGRAM_LOST', text)
        self.event('EVENT_SOCKET_LOST', socket=self.h.infos[0].id)
        self.assertEqual(self.admin.programs(), [])
        self.assertEqual(self.node.pins(), [])
        self.assertEqual(self.lease().program_id, 0)
        self.assertEqual(self.admin.sockets(), [])
        with self.refused('FAILED_PRECONDITION', 'xskctl program load'):
            self.p.client().hand_off('eth0')

    def test_detached(self):
        p = self.set_up()
        run('bpftool', 'link', 'detach', 'id', str(p.program.link_id))
        self.lost()
        p.program = self.load(p)
        self.again()

    def test_pin_of_the_link_removed(self):
        p = self.set_up()
        with self.stopped():  # the kernel detaches it a little later
            os.unlink(f'{self.node.bpf_dir}/programs/{p.program.id}/link')
            wait_for(lambda: 'xdp' not in p.netns.ip('link', 'show', 'eth0'), 'its end')
        self.lost()
        self.load(p)
        self.again()

    def test_replaced(self):
        """By one that is not ours, which stays."""
        p = self.set_up()
        pin = f'{self.node.bpf_dir}/foreign'
        run('bpftool', 'prog', 'load', OBJECT, pin)
        self.addCleanup(os.unlink, pin)
        with self.stopped():  # so that it sees the two as one
            run('bpftool', 'link', 'detach', 'id', str(p.program.link_id))
            in_netns(p.path, lambda: run('bpftool', 'net', 'attach', 'xdp', 'pinned', pin, 'dev',
                                         'eth0'))
        self.lost(r'program \d+ is there now')
        self.assertIn('xdp', p.netns.ip('link', 'show', 'eth0'))
        with self.refused('ALREADY_EXISTS', 'does not replace'):
            self.load(p)
        p.netns.ip('link', 'set', 'eth0', 'xdp', 'off')
        self.load(p)
        self.again()

    def test_netlink_cannot_take_it_away(self):
        """The bpf_link sees to that."""
        p = self.set_up()
        with self.assertRaises(AssertionError):
            p.netns.ip('link', 'set', 'eth0', 'xdp', 'off')
        self.assert_receives(self.h)

    # ---- too much at once ----

    def test_overrun(self):
        """More news than the kernel keeps for us: we ask."""
        p, removed, gone = self.set_up(), self.ready_pod(), self.ready_pod()
        batch = f'{self.node.dir}/batch'
        with open(batch, 'w', encoding='ascii') as f:
            f.write('link set eth0 mtu 1400\nlink set eth0 mtu 1500\n' * 2000)
            f.write('link set eth0 mtu 1300\nlink set eth0 down\n')
        with self.stopped():
            p.netns.ip('-batch', batch)
            removed.netns.ip('link', 'del', 'eth0')
            gone.netns.delete()
            time.sleep(0.5)
        self.event('EVENT_LINK_DOWN')
        # What was not lost is told first, so that the last word is the newest.
        while 'MTU is 1300' not in self.c.next_event('EVENT_DEVICE_CHANGED').message:
            pass
        self.assertIn('was lost', self.node.log_since(self.log_at))
        p.netns.ip('link', 'set', 'eth0', 'up')  # and hear what comes after
        self.event('EVENT_LINK_UP')
        wait_for(lambda: sorted((l.container, l.link_up) for l in self.admin.leases())
                 == sorted([(p.container, True), (removed.container, False)]),
                 lambda: f'two leases, not {self.admin.leases()}')
        wait_for(lambda: [x.id for x in self.admin.programs()] == [p.program.id],
                 'the end of two programs')


if __name__ == '__main__':
    tap.main()
