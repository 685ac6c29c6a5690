# SPDX-License-Identifier: Apache-2.0
"""SIGKILL before and behind every system call that changes something, for each call that does.

Enumerated, not sampled: the daemon runs with tests/killer.c, which counts the points and dies at the
one it is told. After each death a new daemon must find the state before the call or the state after
it, a receiver that was there must not have lost a packet, and the next call must work.
"""
import contextlib
import json
import os
import signal
import struct
import subprocess
import time

import node
from node import Closed, Node, TestCase, finish, wait_for

# With CI's time in mind a sanitized daemon, three times as slow to start, does every third point.
STEP = 3 if node.SANITIZED else 1
SETTLE = 0.02  # seconds


class KillNode(Node):
    """A node whose daemon dies when it is told to."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.kill_at = f'{self.dir}/kill-at'
        self.disarm()

    def write(self, countdown):
        """Set the countdown; 0: none."""
        with open(self.kill_at, 'r+b' if os.path.exists(self.kill_at) else 'wb') as f:
            f.write(struct.pack('ii', countdown, 0))

    def disarm(self):
        """No point kills."""
        self.write(0)

    def passed(self):
        """How many points were passed since the countdown was set."""
        with open(self.kill_at, 'rb') as f:
            return struct.unpack('ii', f.read(8))[1]

    def argv(self):
        """env(1) becomes the daemon, so the pid stays the daemon's."""
        asan = os.environ.get('ASAN_OPTIONS', '')
        return ['env', f'LD_PRELOAD={node.BUILD}/tests/libkiller.so', f'XSKD_KILL_AT={self.kill_at}',
                f'ASAN_OPTIONS={asan}:verify_asan_link_order=0', *super().argv()]


class Kill(TestCase):
    """One call after the other, killed at each of its points."""

    @classmethod
    def setUpClass(cls):
        cls.node = KillNode(cls.config, cls.flags)
        cls.addClassCleanup(cls.destroy_node)
        cls.node.start()

    def nothing_left(self):
        self.node.disarm()
        if not self.node.alive():
            self.node.start()
        super().nothing_left()

    def reconnect(self):
        """A fresh connection of the administrator's."""
        self.admin.close()
        self.admin = self.node.admin()

    def state(self):
        """What the daemon says there is, and what the node shows."""
        return (sorted((p.interface, p.id) for p in self.admin.programs()),
                sorted((l.container, l.interface, tuple(l.queues)) for l in self.admin.leases()),
                self.node.pins(), self.node.state_files())

    def count_points(self, call):
        """How many points a call passes that is left in peace."""
        self.arm(1 << 30)
        call()
        time.sleep(SETTLE)
        passed = self.node.passed()
        self.node.disarm()
        return passed

    def arm(self, countdown):
        """Behind the last point of the call before, whose reply we have but which goes on a little."""
        time.sleep(SETTLE)
        self.node.write(countdown)

    def died(self, at):
        """Whether the daemon was killed; not, where this time the call had fewer points."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.assertEqual(self.node.process.wait(0.5), -signal.SIGKILL, f'point {at}')
            return True
        self.assertLess(self.node.passed(), at, 'a point was reached, but did not kill')
        self.node.disarm()
        return False

    def kill_everywhere(self, prepare, call, undo, before, after):
        """before() and after() say whether the state is that; undo() goes back to before."""
        prepare()
        points = self.count_points(call)
        self.assertGreater(points, 1)
        undo()
        kills = 0
        for at in range(1, points + 1, STEP):
            prepare()
            self.arm(at)
            with contextlib.suppress(Closed, OSError):
                call()
            if self.died(at):
                kills += 1
                self.node.disarm()
                self.node.start()
                self.reconnect()
            self.assertTrue(before() or after(), f'point {at} of {points}: {self.state()}')
            self.assert_no_strays(f'point {at} of {points}')
            if not after():
                call()
                self.assertTrue(after(), f'point {at}: the next call did not work: {self.state()}')
            undo()
        self.assertGreater(kills, points // STEP // 2)
        print(f'# {points} points, {kills} kills')

    def assert_no_strays(self, where):
        """Pins and state files are those of what the daemon lists, and no others."""
        ids = sorted(str(p.id) for p in self.admin.programs())
        leases = sorted(f'{l.container}@{l.interface}' for l in self.admin.leases())
        self.assertEqual(self.node.pins(), ids, where)
        self.assertEqual(self.node.state_files(), ids + leases, where)
        hidden = [n for sub in ('programs', 'leases')
                  for n in node.entries(f'{self.node.run_dir}/state/{sub}', hidden=True)
                  if n.startswith('.')]
        self.assertEqual(hidden, [], where)

    # ---- the calls ----

    def test_load_program(self):
        pod = self.pod()
        self.kill_everywhere(
            prepare=lambda: None,
            call=lambda: self.load(pod),
            undo=lambda: self.unload(pod),
            before=lambda: self.state() == ([], [], [], []) and not self.attached(pod),
            after=lambda: len(self.admin.programs()) == 1 and self.attached(pod))

    def test_unload_program(self):
        pod = self.pod()

        def prepare():
            if not self.admin.programs():
                self.load(pod)
        self.kill_everywhere(
            prepare=prepare,
            call=lambda: self.unload(pod),
            undo=lambda: None,
            before=lambda: len(self.admin.programs()) == 1 and self.attached(pod),
            after=lambda: self.state() == ([], [], [], []) and not self.attached(pod))

    def test_grant_lease(self):
        pod = self.pod()
        self.load(pod)
        self.kill_everywhere(
            prepare=lambda: None,
            call=lambda: self.grant(pod),
            undo=lambda: self.admin.call('RevokeLease', container=pod.container),
            before=lambda: not self.admin.leases(),
            after=lambda: len(self.admin.leases()) == 1)

    def test_revoke_lease(self):
        pod = self.pod()
        self.load(pod)

        def prepare():
            self.grant(pod)  # idempotent
        self.kill_everywhere(
            prepare=prepare,
            call=lambda: self.admin.call('RevokeLease', container=pod.container),
            undo=lambda: None,
            before=lambda: len(self.admin.leases()) == 1,
            after=lambda: not self.admin.leases())

    def revoke_last(self, pod, load, **grant):
        """RevokeLease of the last lease of a transient program."""
        def prepare():
            load()
            self.grant(pod, **grant)
        self.kill_everywhere(
            prepare=prepare,
            call=lambda: self.admin.call('RevokeLease', container=pod.container),
            undo=lambda: None,
            # The program goes first: asked again, the daemon finds a lease and ends that, too.
            before=lambda: len(self.admin.leases()) == 1,
            after=lambda: self.state() == ([], [], [], []) and not self.attached(pod))

    def test_revoke_last_lease_of_a_transient_program(self):
        pod = self.pod()
        self.revoke_last(pod, lambda: self.load(pod, transient=True))

    def test_revoke_last_lease_of_a_transient_program_queue_mode(self):
        pod = self.pod(link=False)
        pod.link = node.Link(self.node.host, 'nic0', pod.netns, 2)
        pod.interface = pod.link.peer_name
        self.revoke_last(pod, lambda: self.admin.call('LoadProgram', interface='nic0',
                                                      transient=True),
                         device='nic0', queue_count=1)

    def test_get_xsk_map(self):
        """Whatever happens, a map that is out is known to be out."""
        pod = self.pod()
        got = []

        def prepare():
            if not self.admin.programs():
                self.load(pod)
                self.grant(pod)

        def call():
            with pod.client() as c:
                _, fds = c.call_fds('GetXskMap', interface=pod.interface)
                node.client.close_all(fds)
                got.append(True)

        def undo():
            self.unload(pod)
            self.admin.call('RevokeLease', container=pod.container)
            got.clear()

        def given():
            programs = self.admin.programs()
            return len(programs) == 1 and programs[0].map_given
        self.kill_everywhere(prepare, call, undo,
                             before=lambda: not got and len(self.admin.programs()) == 1,
                             after=given)

    def test_hand_off(self):
        """The queue is free again, or held by the client that has the socket."""
        pod = self.ready_pod()
        held = []

        def call():
            held.append(pod.client().hand_off(pod.interface))

        def undo():
            while held:
                held.pop().close()
            wait_for(lambda: not self.admin.sockets(), 'the end of the socket')
        self.kill_everywhere(lambda: None, call, undo,
                             before=lambda: not held and not self.admin.sockets(),
                             after=lambda: len(held) == len(self.admin.sockets()) == 1)

    def test_a_receiver_loses_nothing(self):
        """While other calls die at all their points, a running receiver gets every packet."""
        pod, other = self.ready_pod(), self.pod()
        rounds = range(1, 60, 7 * STEP)
        count = 3000 * len(rounds)
        receiver = pod.receive('--count', str(count), '--duration', '100')
        sender = subprocess.Popen(pod.link.sender(count, rate=6000), stdout=subprocess.PIPE,
                                  text=True)
        self.addCleanup(node.end, sender)
        for at in rounds:
            self.arm(at)
            with contextlib.suppress(Closed, OSError):
                self.load(other)
                self.grant(other)
                self.unload(other)
                self.admin.call('RevokeLease', container=other.container)
            if self.died(at):
                self.node.disarm()
                self.node.start()
            self.reconnect()
            for program in self.admin.programs():
                if program.id != pod.program.id:
                    self.admin.call('UnloadProgram', id=program.id)
            self.admin.call('RevokeLease', container=other.container)
        self.assertEqual(finish(sender, 100), f'sent {count}\n')
        told = json.loads(finish(receiver, 100))
        self.assertEqual((told['sequenced'], told['lost']), (count, 0), told)

    def attached(self, pod):
        """Whether an XDP program is on the pod's interface."""
        return 'xdp' in pod.netns.ip('link', 'show', pod.interface)


if __name__ == '__main__':
    import tap
    tap.main()
