# SPDX-License-Identifier: Apache-2.0
"""xskd-cni and the daemon killed at random, round after round: in the end nothing is left or lost.

Pods come and go at the same time, each as a runtime has it: an ADD that fails or is killed is
followed by a DEL, and a DEL that is killed is done again. XSKD_SEED repeats the draws of a run (not
the times at which things happen), XSKD_ROUNDS has more or fewer of them.
"""
import contextlib
import fcntl
import json
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import node
import tap
from node import Closed, Netns, end, run, wait_for
from plugins import DEBIAN, XSKD_CNI, NicCase, lacking

ROUNDS = int(os.environ.get('XSKD_ROUNDS', 40 if node.SANITIZED else 200))
SECONDS = 60      # no round begins later
SLOW = 5 if node.SANITIZED else 1
KILL_WITHIN = 0.08 * SLOW
ROUNDS_PER_CRASH = 15
GRACE = 3         # of transient programs; shorter, and a slow ADD could lose its own
IFNAME = 'net1'


class Done:
    """How one run of xskd-cni ended."""

    def __init__(self, verb, killed, status, out, err):
        self.verb, self.killed, self.status, self.out, self.err = verb, killed, status, out, err
        self.good = status == 0

    def __str__(self):
        return f'{self.verb}: {"killed, " * self.killed}{self.status}: {self.out} {self.err}'


class RoundPod:
    """A namespace to which one network is attached time and again."""

    def __init__(self, test, number, device, seed, **keys):
        self.test, self.number, self.device = test, number, device
        self.queue_mode = keys.get('mode') == 'queue'
        self.conf = {'name': f'net{number}', 'cniVersion': '1.0.0', 'device': device,
                     **test.plugins.xskd(ipam=test.plugins.ipam(f'10.{70 + number}.0.0/24'),
                                         **keys)}
        self.random = random.Random(f'{seed} {number}')
        self.netns = None
        self.rounds = 0
        self.counts = {'killed': 0, 'down': 0}
        self.new_netns()

    def new_netns(self):
        """Another namespace in the place of the one there was."""
        if self.netns:
            self.netns.delete()
            self.test.namespaces.remove(self.netns)
        self.netns = Netns('p')
        self.test.namespaces.append(self.netns)

    @property
    def container(self):
        """A runtime's ids are new each time."""
        return f'{self.test.prefix}{self.number}-{self.rounds}'

    def cni(self, verb, kill_after=None, **more):
        """Run xskd-cni, and kill it after so many seconds if it still runs."""
        env = {'PATH': os.environ['PATH'], 'CNI_COMMAND': verb, 'CNI_CONTAINERID': self.container,
               'CNI_IFNAME': IFNAME, 'CNI_NETNS': self.netns.path,
               'CNI_PATH': self.test.plugins.path,
               'CNI_ARGS': f'K8S_POD_NAME=p{self.number};K8S_POD_NAMESPACE=rounds;IgnoreUnknown=1',
               **{k: v for k, v in os.environ.items() if k.endswith('SAN_OPTIONS')}}
        # Files and not pipes: an IPAM plugin may live on, and a runtime does not wait for that.
        with tempfile.TemporaryFile('w+') as conf, tempfile.TemporaryFile('w+') as out, \
                tempfile.TemporaryFile('w+') as err:
            json.dump({**self.conf, **more}, conf)
            conf.seek(0)
            # nsenter becomes the plugin, so the pid is the plugin's.
            p = subprocess.Popen(['nsenter', f'--net={self.test.node.host.path}', XSKD_CNI],
                                 stdin=conf, stdout=out, stderr=err, env=env)
            killer = threading.Timer(kill_after or 0, p.kill)
            if kill_after is not None:
                killer.start()
            try:
                p.wait(60)
            finally:
                killer.cancel()
                end(p)
            out.seek(0)
            err.seek(0)
            out, err = out.read(), err.read()
        done = Done(verb, p.returncode == -signal.SIGKILL, p.returncode, out, err)
        for word in ('Sanitizer', 'runtime error:'):
            if word in err:
                raise AssertionError(f'{self.container}: {done}')
        self.counts['killed'] += done.killed
        return done

    def kill_time(self):
        """About a third of the runs is killed: others have ended before that time."""
        return self.random.uniform(0, KILL_WITHIN) if self.random.random() < 0.6 else None

    def add(self, kill_after=None):
        """ADD. It has no excuse but the daemon's death."""
        began = time.monotonic()
        done = self.cni('ADD', kill_after)
        if done.good:
            json.loads(done.out)
        elif not done.killed:
            if not self.test.was_down(began):
                raise AssertionError(f'{self.container}: the daemon was there: {done}')
            self.counts['down'] += 1
            time.sleep(self.random.uniform(0, 0.2))  # a runtime does not try again at once
            error = json.loads(done.out)
            if error['code'] not in (11, 102):
                raise AssertionError(f'{self.container}: {done}')
        return done

    def delete(self, **more):
        """DEL until it succeeds, which it does unless it is killed."""
        while True:
            began = time.monotonic()
            done = self.cni('DEL', self.kill_time(), **more)
            if done.good:
                break
            if not done.killed:
                raise AssertionError(f'{self.container}: {done}')
        if not self.test.was_down(began):
            self.look(done)

    def look(self, done):
        """What a DEL that nothing came between has left of this pod: nothing."""
        test, left = self.test, []
        for place in ('', 'pending/'):
            if os.path.lexists(f'{test.node.run_dir}/cni/{place}{self.container}@{IFNAME}'):
                left.append(f'record {place}')
        for name in node.entries(f'{test.plugins.ipam_dir}/{self.conf["name"]}'):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError), \
                    open(f'{test.plugins.ipam_dir}/{self.conf["name"]}/{name}',
                         encoding='utf-8') as f:
                if f.read().split()[:1] == [self.container]:
                    left.append(f'address {name}')
        # The daemon may die right now.
        with contextlib.suppress(Closed, OSError), test.node.admin() as admin:
            left += [f'lease {x.container}' for x in admin.leases()
                     if x.container == self.container]
        if self.device not in test.node.host.links():
            left.append(f'{self.device} is not on the host')
        if os.path.exists(self.netns.path) and self.netns.links():
            left.append(f'the pod has {self.netns.links()}')
        if left:
            raise AssertionError(f'{self.container}: left after DEL: {left}; {done}')

    def round(self):
        """One life of the pod."""
        self.rounds += 1
        done = self.add(self.kill_time())
        more = {}
        if done.good and self.random.random() < 0.5:
            more['prevResult'] = json.loads(done.out)
        # A device of software ends with its namespace; queues do not care.
        gone = self.queue_mode and self.random.random() < 0.2
        if gone:
            self.netns.delete()
        self.delete(**more)
        if gone:
            self.new_netns()


class Rounds(NicCase):
    """Two pods with a NIC each, and two with queues of one that they share."""

    queues = 4
    config = json.dumps({'limits': {'transientGraceSeconds': GRACE}})

    @classmethod
    def setUpClass(cls):
        why = lacking(f'{DEBIAN}/host-local')
        if why:
            raise unittest.SkipTest(why)
        super().setUpClass()

    def setUp(self):
        super().setUp()
        self.prefix = f't{next(node.numbers)}-'
        self.seed = int(os.environ.get('XSKD_SEED', 20261122))
        self.add_nic('nic1')
        self.add_nic('nic2', 2)
        self.crash_lock = threading.Lock()
        self.down, self.up = [], [0.0]  # when the daemon was killed, and when it was ready
        self.pods = [
            RoundPod(self, 1, 'nic1', self.seed, mtu=1400, mac='02:00:00:00:00:19'),
            RoundPod(self, 2, 'nic2', self.seed, channels=1, busyPoll=True, cniVersion='0.4.0'),
            RoundPod(self, 3, 'nic0', self.seed, mode='queue', queues={'count': 2}),
            RoundPod(self, 4, 'nic0', self.seed, mode='queue', cniVersion='1.1.0')]

    # ---- the daemon ----

    def was_down(self, since):
        """Whether it was away at any time from then on; a little later it may still be busy."""
        with self.crash_lock:
            return len(self.down) == len(self.up) or self.up[-1] > since

    def crash(self, seconds):
        """Kill the daemon, and start it after that time."""
        with self.crash_lock:
            self.down.append(time.monotonic())
        self.node.stop(signal.SIGKILL)
        time.sleep(seconds)
        self.node.start()
        with self.crash_lock:
            self.up.append(time.monotonic())

    def reconnect(self):
        """A fresh connection of the administrator's."""
        self.admin.close()
        self.admin = self.node.admin()

    def reconcile(self):
        """What a daemon's unit does after it has started."""
        return subprocess.run(
            ['nsenter', f'--net={self.node.host.path}', XSKD_CNI, 'reconcile',
             '--socket-dir', self.node.run_dir],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)

    # ---- all of them at once ----

    def run_all(self, work):
        """work(pod) for each pod, in threads; the first error is the test's."""
        errors = []

        def one(pod):
            try:
                work(pod)
            except BaseException as e:  # handed over to the test
                errors.append(e)
        threads = [threading.Thread(target=one, args=(pod,)) for pod in self.pods]
        for t in threads:
            t.start()
        while any(t.is_alive() for t in threads):
            if not errors:
                self.meanwhile()
            time.sleep(0.01)
        for t in threads:
            t.join()
        if errors:
            raise errors[0]

    def meanwhile(self):
        """What else happens while threads run."""

    def drop_lock_files(self):
        """A killed run leaves these, and whoever comes next uses them; none may be held."""
        for name in node.entries(f'{self.node.run_dir}/cni/lock', hidden=True):
            path = f'{self.node.run_dir}/cni/lock/{name}'
            with open(path, 'rb') as f:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)

    def assert_as_before(self):
        """Nor has any pod a device."""
        self.drop_lock_files()
        super().assert_as_before()
        for pod in self.pods:
            self.assertEqual(pod.netns.links(), [], pod.device)

    # ---- the tests ----

    def test_killed_at_random(self):
        """ROUNDS of them; then all is as it was."""
        chance = random.Random(self.seed)
        began = time.monotonic()
        crashed_at = 0

        def rounds(pod):
            while sum(p.rounds for p in self.pods) < ROUNDS and \
                    time.monotonic() < began + SECONDS and not self.stopping:
                try:
                    pod.round()
                except BaseException:
                    self.stopping = True
                    raise

        def meanwhile():
            nonlocal crashed_at
            n = sum(p.rounds for p in self.pods)
            if n >= crashed_at + ROUNDS_PER_CRASH and not self.stopping:
                crashed_at = n
                self.crash(chance.choice((0, 0, 0.1, 0.3)))
        self.stopping = False
        self.meanwhile = meanwhile
        try:
            self.run_all(rounds)
            self.reconnect()
            done = self.reconcile()
            self.assertEqual(done.returncode, 0, done.stderr)
            with contextlib.suppress(AssertionError):  # assert_as_before() says what is left
                wait_for(lambda: not self.admin.programs() and not self.admin.leases(),
                         'the end of transient programs', GRACE + 15, step=0.05)
            self.assert_as_before()
        finally:
            n = sum(p.rounds for p in self.pods)
            tap.comment(f'XSKD_SEED={self.seed}: {n} rounds in {time.monotonic() - began:.0f} s, '
                        f'{sum(p.counts["killed"] for p in self.pods)} runs killed, '
                        f'{len(self.down)} deaths of the daemon, '
                        f'{sum(p.counts["down"] for p in self.pods)} ADDs without it')
        self.assertGreater(n, ROUNDS // 4)
        self.assertGreater(len(self.down), 0)

    def test_all_end_while_the_daemon_is_down(self):
        """The daemon collects what has ended, reconcile finishes the records."""
        def add(pod):
            pod.rounds += 1
            done = pod.add()
            self.assertTrue(done.good, done)

        def delete(pod):
            done = pod.cni('DEL')
            self.assertTrue(done.good, done)
        self.run_all(add)
        self.assertEqual(len(self.admin.leases()), 4)
        self.admin.close()
        self.node.stop(signal.SIGKILL)
        self.run_all(delete)
        names = [f'{pod.container}@{IFNAME}' for pod in self.pods]
        self.assertEqual(node.entries(f'{self.node.run_dir}/cni/pending'), sorted(names))
        links = self.node.host.links()
        self.assertEqual(sorted(x for x in links if x.startswith('nic')), ['nic0', 'nic1', 'nic2'])
        self.assertNotEqual(self.reconcile().returncode, 0, 'reconcile without a daemon')
        # A namespace that is there still, and a device: that lease goes with its record.
        for pod in self.pods[1:3]:
            pod.new_netns()
        self.node.start()
        self.reconnect()
        wait_for(lambda: [x.container for x in self.admin.leases()] == [self.pods[3].container],
                 'the end of leases whose namespace or device is gone')
        wait_for(lambda: [p.interface for p in self.admin.programs()] == ['nic0'],
                 'the end of programs that serve nobody', GRACE + 15, step=0.05)
        done = self.reconcile()
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assert_as_before()
        self.assertEqual(run(XSKD_CNI, 'reconcile', '--socket-dir', self.node.run_dir), '')

    # ---- what a killed ADD has under way ----

    def slow_ipam(self):
        """host-local, but its ADD takes a while."""
        path = f'{self.plugins.path}/slow-local'
        with open(path, 'w', encoding='ascii') as f:
            f.write(f'#!/bin/sh\n[ "$CNI_COMMAND" != ADD ] || sleep {SLOW}\n'
                    f'exec {DEBIAN}/host-local\n')
        os.chmod(path, 0o755)
        return 'slow-local'

    def test_killed_while_ipam_runs(self):
        """The IPAM plugin lives on: an address that it takes behind the DEL would be lost."""
        for pod in (self.pods[0], self.pods[3]):
            pod.conf['ipam'] = {**pod.conf['ipam'], 'type': self.slow_ipam()}
            for seconds in (0.1, 0.3):
                pod.rounds += 1
                self.assertTrue(pod.add(seconds * SLOW).killed)
                done = pod.cni('DEL')
                self.assertTrue(done.good, done)
                time.sleep(SLOW)
                pod.look(done)
        self.assert_as_before()

    def test_killed_while_the_daemon_is_slow(self):
        """What the daemon gets to only behind the end of the ADD is undone by the DEL."""
        for pod in self.pods:
            pod.rounds += 1
            self.node.process.send_signal(signal.SIGSTOP)
            try:
                self.assertTrue(pod.add(0.3 * SLOW).killed)
                threading.Timer(0.2 * SLOW, self.node.process.send_signal,
                                (signal.SIGCONT,)).start()
                done = pod.cni('DEL')
            finally:
                self.node.process.send_signal(signal.SIGCONT)
            self.assertTrue(done.good, done)
            pod.look(done)
            self.assertTrue(pod.add().good)
            self.assertTrue(pod.cni('DEL').good)
        wait_for(lambda: not self.admin.programs(), 'the end of transient programs',
                 GRACE + 15, step=0.05)
        self.assert_as_before()


if __name__ == '__main__':
    tap.main()
