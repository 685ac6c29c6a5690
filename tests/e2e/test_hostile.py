# SPDX-License-Identifier: Apache-2.0
"""Sixty-four clients that mean harm, and a good one beside them that must not feel it.

The attackers (tests/hostile.c) are processes of uid 65534 without capabilities, each in a namespace
of its own; every other one has a lease. They run at the lowest priority, so what is measured
is how the daemon shares itself out. That no call fails, that memory and descriptors are what they
were, is asserted; of times, for the machine may be busy, only the order of magnitude. The figures
are those of tests/bench.
"""
import itertools
import shutil
import socket
import subprocess
import time

import tap
from node import BUILD, SANITIZED, TestCase, client, wait_for

ATTACKERS = 64
QUEUES = 16  # in turn: the kernel frees one some time behind its socket's close
FDS = 8192  # of the daemon, at most: twice what may wait to be closed
SECONDS = 6
MIB = 1 << 20


def quantile(values, q):
    """Of values in any order."""
    return sorted(values)[int(q * (len(values) - 1) + 0.5)]


class Hostile(TestCase):
    """All attacks at once, and each alone."""

    def setUp(self):
        super().setUp()
        self.hostile = f'{self.node.kit}/hostile'
        shutil.copy(f'{BUILD}/tests/hostile', self.hostile)

    def attacks(self):
        """Names of what there is."""
        return subprocess.run([self.hostile, '--list'], stdout=subprocess.PIPE, check=True,
                              text=True).stdout.split()

    def attack(self, pod, name, seed=1):
        """Start an attacker."""
        return pod.start(self.hostile, self.node.pod_path, 'eth0', name, str(seed),
                         stderr=subprocess.DEVNULL)

    def pss(self):
        """Memory of the daemon's processes, in KiB; without UMEM that is mapped just now."""
        total = 0
        for pid in self.processes():
            with open(f'/proc/{pid}/smaps_rollup', encoding='ascii') as f:
                total += sum(int(line.split()[1]) for line in f
                             if line.startswith(('Pss_Anon:', 'Pss_File:')))
        return total

    def processes(self):
        """The daemon's, with its children."""
        pid = self.node.process.pid
        with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as f:
            return [pid, *map(int, f.read().split())]

    def good(self, pod, seconds):
        """What a good client does, over and over; Return: how long each call took, by its name."""
        took = {}
        c = pod.client(timeout=30)
        queues = itertools.cycle(range(QUEUES))

        def timed(name, fn):
            began = time.monotonic()
            result = fn()
            took.setdefault(name, []).append((time.monotonic() - began) * 1000)
            return result

        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.assertLess(self.node.n_fds(), FDS, 'descriptors of the daemon')
            for _ in range(10):
                timed('GetInfo', lambda: c.call('GetInfo'))
                client.close_all(timed('GetXskMap',
                                lambda: c.call_fds('GetXskMap', interface='eth0'))[1])
                time.sleep(0.002)
            umem = client.umem_memfd(MIB)
            h = timed('HandOffSocket', lambda: c.hand_off('eth0', umem=umem, queues=[next(queues)]))
            timed('ReleaseSocket', lambda: c.call('ReleaseSocket', sockets=[h.infos[0].id]))
            h.close()
            with pod.client(timeout=30) as other:
                timed('connect and GetInfo', lambda: other.call('GetInfo'))
        c.close()
        return took

    def closed(self, before):
        """Whether all descriptors of attackers are."""
        # The kernel looks for sockets that only keep each other when the next one is closed.
        for sock in socket.socketpair():
            sock.close()
        return self.node.n_fds() <= before

    def test_good_client_feels_nothing_of_sixty_four(self):
        names = self.attacks()
        good = self.ready_pod(queues=QUEUES)
        bad = [self.ready_pod() if i % 2 else self.pod(link=False) for i in range(ATTACKERS)]
        quiet = self.good(good, 2)
        before = self.pss()
        attackers = [self.attack(pod, names[i // 2 % len(names)], i)
                     for i, pod in enumerate(bad)]
        for p in attackers:
            self.assertEqual(p.stdout.readline(), 'ready\n', p.args)
        self.good(good, 1)
        first = self.pss()
        attacked = self.good(good, SECONDS)  # that fails where a call does
        last = self.pss()
        self.assertEqual([p.poll() for p in attackers], [None] * ATTACKERS, 'attackers that ended')
        for p in attackers:
            p.kill()
        wait_for(lambda: self.admin.call('GetInfo').connections == 1, 'the end of all of them', 60)
        self.assert_serves()
        for name, took in attacked.items():
            print(f'# {name}: quiet p50 {quantile(quiet[name], 0.5):.2f} p99 '
                  f'{quantile(quiet[name], 0.99):.2f} ms, attacked p50 '
                  f'{quantile(took, 0.5):.2f} p99 {quantile(took, 0.99):.2f} ms, n={len(took)}')
        print(f'# {before} KiB before, {first} and {last} under attack')
        if not SANITIZED:
            self.assertLess(last - before, 8192, 'KiB more than before')
            self.assertLess(last - first, 4096, 'KiB more at the end of the attack')
            self.assertLess(quantile(attacked['GetInfo'], 0.5), 50, 'ms, half of all calls')

    def test_each_attack_alone_leaves_nothing(self):
        pods = [self.ready_pod(), self.pod(link=False)]
        before = self.node.settled_fds()
        for name in self.attacks():
            with self.subTest(attack=name):
                attackers = [self.attack(pod, name) for pod in pods]
                for p in attackers:
                    self.assertEqual(p.stdout.readline(), 'ready\n', p.args)
                for p in attackers:
                    p.kill()
                    p.wait()
                self.assert_serves()
                wait_for(lambda: self.closed(before), f'the fds of {name} to be closed', 60)


if __name__ == '__main__':
    tap.main()
