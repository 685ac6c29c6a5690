# SPDX-License-Identifier: Apache-2.0
"""From one version to the next and back, under traffic: both daemons really run.

The older one is built from the history of the repository; where that is not there, as in a shallow
clone, tests/unit/test_golden.c has to do.
"""
import atexit
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import tap
from node import BUILD, TOP, Node, TestCase, finish, wait_for

OLD = '2a5901c'  # the first with state files of version 1


def build_old():
    """Return: the older daemon; None: it is not in the history."""
    out = tempfile.mkdtemp(prefix='xskd-old-')
    atexit.register(shutil.rmtree, out, True)
    with subprocess.Popen(['git', '-C', TOP, 'archive', OLD], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as archive:
        subprocess.run(['tar', '-x', '-C', out], stdin=archive.stdout, stderr=subprocess.DEVNULL,
                       check=False)
    if archive.returncode:
        return None
    subprocess.run(['meson', 'setup', f'{out}/b', out, '-Dtests=false', '-Ddocs=false'],
                   stdout=subprocess.DEVNULL, check=True)
    subprocess.run(['ninja', '-C', f'{out}/b', 'server/xskd'], stdout=subprocess.DEVNULL, check=True)
    return f'{out}/b/server/xskd'


class Versions(Node):
    """A node whose daemon can be either."""

    daemon = f'{BUILD}/server/xskd'

    def argv(self):
        """The same command line for both."""
        return [self.daemon, *super().argv()[1:]]


class Upgrade(TestCase):
    """Old, new, old, new."""

    node_class = Versions
    check_fds = False

    @classmethod
    def setUpClass(cls):
        cls.old = build_old()
        if not cls.old:
            raise unittest.SkipTest(f'the history has no {OLD}')
        cls.new = Versions.daemon
        super().setUpClass()

    def run_version(self, daemon, sig=signal.SIGKILL):
        """End the one that runs, start this one."""
        self.admin.close()
        self.node.stop(sig)
        self.node.daemon = daemon
        for tries in range(20):
            try:
                self.node.start()
                break
            except AssertionError:
                # The gate of the newer one has the lock for a moment longer than the daemon, which
                # the older one does not wait for: its unit starts it again.
                if tries == 19:
                    raise
                time.sleep(0.1)
        self.admin = self.node.admin()

    def known(self):
        """All that has to outlive the change."""
        programs, leases = self.admin.programs(), self.admin.leases()
        for lease in leases:
            for field in ('id', 'sockets', 'umem_bytes'):  # which the older one forgets
                lease.ClearField(field)
        return programs, sorted(leases, key=lambda m: m.container)

    def test_there_and_back_under_traffic(self):
        self.run_version(self.old)
        pods = [self.ready_pod(queues=2) for _ in range(2)]
        self.grant(pods[0], container='second', interface='eth9', device='lo', queues=[0])
        pods[0].link.aim(0)
        before = self.known()
        p = pods[0].receive('--count', '10000', '--ring-size', '8192', '--duration', '50')
        sender = subprocess.Popen(pods[0].link.sender(10000, 4000), stdout=subprocess.DEVNULL)
        self.addCleanup(sender.wait)
        for daemon, sig in ((self.new, signal.SIGKILL), (self.old, signal.SIGKILL),
                            (self.new, signal.SIGTERM), (self.old, signal.SIGTERM),
                            (self.new, signal.SIGKILL)):
            self.run_version(daemon, sig)
            with self.subTest(daemon='new' if daemon == self.new else 'old'):
                self.assertEqual(self.known(), before)
                h = pods[1].client().hand_off('eth0', queues=[1])
                h.close()
                wait_for(lambda: len([s for s in self.admin.sockets()
                                      if s.container == pods[1].container]) == 0, 'its end')
        out = json.loads(finish(p))
        self.assertEqual((out['sequenced'], out['lost'], out['duplicated']), (10000, 0, 0))

    def test_what_the_new_one_granted_the_old_one_serves(self):
        pod = self.ready_pod()
        self.run_version(self.old)
        h = self.hand_off(pod).map()
        pod.link.send(100)
        self.assert_sequence(h.receive(100), 100)
        self.admin.call('RevokeLease', container=pod.container)
        self.run_version(self.new)
        self.assertEqual(self.admin.leases(), [])
        self.assertEqual(os.listdir(f'{self.node.run_dir}/state/leases'), [])


if __name__ == '__main__':
    tap.main()
