# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at each point of what the daemon does without being asked: start, end, clearing up.

As test_kill.py otherwise.
"""
import contextlib
import os
import signal
import time

import node
import tap
from killing import STEP, KillCase, Row
from node import Closed, wait_for


class ByItself(KillCase):
    """What the daemon does because something has happened."""

    def by_itself(self, name, prepare, cause, after):
        """Points that the daemon passes because something has happened."""
        prepare()
        self.arm(1 << 30)
        cause()
        wait_for(after, name)
        time.sleep(0.1)
        points = self.node.passed()
        self.node.disarm()
        ends = 0
        for at in range(1, points + 1, STEP):
            prepare()
            self.arm(at)
            cause()
            deadline = time.monotonic() + 2.5
            while time.monotonic() < deadline and self.node.alive():
                time.sleep(0.01)
                with contextlib.suppress(Closed, OSError):
                    if after():
                        break
            if self.died(at):
                ends += 1
                self.node.disarm()
                self.node.start()
                self.reconnect()
            wait_for(after, f'{name}, point {at}: {self.state()}')
            self.assert_no_strays(f'{name}, point {at} of {points}')
        self.rows.append(Row(name, points, ends, self.ask_witness()))


class KillItself(ByItself):
    """What the daemon does without being asked: start, end, clearing up."""

    config = '{"pool": 0}'

    def start_until(self, at):
        """A start that is ended at that point. Return: whether it was."""
        self.node.write(at)
        try:
            self.node.start()
            return self.died(at)  # its last points come once it has said that it runs
        except AssertionError:
            self.assertEqual(self.node.process.wait(5), -signal.SIGKILL)
            return True
        finally:
            self.node.disarm()

    def leave_a_mess(self, pod, half):
        """All kinds of things to reconcile, and one that is in order."""
        dead = self.pod(link=False)
        with open(dead.path, 'rb') as ns:
            self.admin.call('GrantLease', [ns.fileno()], netns_fd=1, container=dead.container,
                            interface='net1', device='nic0', queues=[2])
        self.node.write(half)  # in the middle of a load
        with contextlib.suppress(Closed, OSError):
            self.load(pod)
        self.assertEqual(self.node.process.wait(20), -signal.SIGKILL)
        dead.netns.delete()
        state = f'{self.node.run_dir}/state'
        os.makedirs(f'{self.node.bpf_dir}/programs/4242424242', exist_ok=True)
        for name, data in (('programs/4000000000', b'junk'), ('programs/.new-17', b'half'),
                           ('leases/.new-c@eth0', b''), ('leases/x@eth0', b'\0' * 64)):
            with open(f'{state}/{name}', 'wb') as f:
                f.write(data)

    def wait_for_the_dead(self, good, where):
        """The kernel ends a namespace when it comes to it, which may be behind the start."""
        wait_for(lambda: [l.container for l in self.leases()] == [good.container], where)

    def clear_bad(self):
        """What was set aside stays for a person to see."""
        bad = 0
        for sub in ('programs', 'leases'):
            for name in node.entries(f'{self.node.run_dir}/state/{sub}', hidden=True):
                if name.startswith('.bad-'):
                    os.unlink(f'{self.node.run_dir}/state/{sub}/{name}')
                    bad += 1
        return bad

    def test_start(self):
        """Killed while it reconciles, at each point; the next one finishes the work."""
        good, half = self.ready_queue_pod(), self.pod()
        self.grant(good, device='nic0', queues=[1])
        halves = self.count_points(lambda: self.load(half))
        self.unload(half)
        self.leave_a_mess(half, halves // 2)
        self.node.write(1 << 30)
        self.node.start()
        points = self.node.passed()
        self.node.disarm()
        self.reconnect()
        self.wait_for_the_dead(good, 'the first start')
        self.clear_bad()
        ends = 0
        for at in range(1, points + 1, STEP):
            self.leave_a_mess(half, 1 + at % halves)
            ends += self.start_until(at)
            if not self.node.alive():
                self.node.start()
            self.reconnect()
            where = f'start, point {at} of {points}'
            self.assertEqual(self.clear_bad(), 2, where)
            loaded = [p.interface for p in self.programs() if p.interface != 'nic0']
            self.assertIn(loaded, ([], ['eth0']), where)
            self.assertEqual(self.attached(half), bool(loaded), where)
            self.wait_for_the_dead(good, where)
            self.assert_no_strays(where)
            if loaded:
                self.unload(half)
            with good.client() as c:  # what was in order works
                c.hand_off(good.interface, queues=[1], size=1 << 20).close()
        self.assertGreater(ends, points // STEP // 2)
        self.rows.append(Row('start, with all to reconcile', points, ends, self.ask_witness()))

    def test_end_of_a_namespace(self):
        pods = []

        def prepare():
            pods.append(self.ready_pod())
        self.by_itself('a namespace ends', prepare, lambda: pods[-1].netns.delete(), self.empty)

    def test_end_of_a_device(self):
        def prepare():
            self.ready_queue_pod()

        def cause():
            self.node.host.ip('link', 'del', 'nic0')
        self.by_itself('a device goes', prepare, cause, self.empty)

    def test_shutdown(self):
        """SIGTERM while calls are under way."""
        pod = self.ready_pod()
        ends = 0
        for at in range(1, 60, 2 * STEP):
            c = pod.client()
            call = c.start('GetStats', interface='eth0')
            self.node.write(at)
            self.node.process.send_signal(signal.SIGTERM)
            self.assertIn(self.node.process.wait(20), (0, -signal.SIGKILL))
            ends += self.node.process.returncode != 0
            with contextlib.suppress(Closed, OSError):
                c.wait(call)
            points = self.node.passed()
            self.node.disarm()
            self.node.start()
            self.reconnect()
            self.assertEqual([p.id for p in self.programs()], [pod.program.id])
            self.assertEqual(len(self.leases()), 1)
            self.assert_no_strays(f'SIGTERM, point {at}')
            if at > points:
                break
        self.rows.append(Row('SIGTERM', points, ends, self.ask_witness()))


class KillRefill(ByItself):
    """The pool, which fills itself."""

    config = '{"pool": 1}'

    def test_refill(self):
        pod = self.pod()

        def prepare():
            for _ in self.programs():
                self.unload(pod)
            self.admin.pool_filled()

        def cause():
            with contextlib.suppress(Closed, OSError):
                self.load(pod)

        def filled():
            pool = self.admin.pool()
            return pool.ready == 1 and not pool.busy
        self.by_itself('the pool fills itself', prepare, cause, filled)


if __name__ == '__main__':
    tap.main()
