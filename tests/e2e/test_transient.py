# SPDX-License-Identifier: Apache-2.0
"""Transient programs: they go with the last lease that they serve, however that ends."""
import signal
import threading
import time

import tap
from node import Link, Refused, TestCase, client, wait_for

SWEEPS = 2.5  # seconds: the daemon sweeps each second


class TransientCase(TestCase):
    """What the classes below have in common."""

    def share(self, *queues, **kw):
        """A pod with queues of the host's nic0."""
        pod = self.pod(link=False)
        pod.lease = self.grant(pod, device='nic0', queues=queues, **kw)
        return pod

    def nic(self, queues=4):
        """A device on the host, with a transient program."""
        Link(self.node.host, 'nic0', self.pod(link=False).netns, queues)
        return self.load_nic()

    def load_nic(self):
        """The program alone."""
        return self.admin.call('LoadProgram', interface='nic0', transient=True).program

    def revoke(self, pod):
        """End the pod's leases."""
        return self.admin.call('RevokeLease', container=pod.container).revoked

    def program(self):
        """The only one there is, or None."""
        programs = self.admin.programs()
        self.assertLessEqual(len(programs), 1)
        return programs[0] if programs else None

    def restart(self, sig=signal.SIGKILL):
        """End the daemon, start it again, connect anew."""
        self.admin.close()
        self.node.restart(sig)
        self.admin = self.node.admin()

    def assert_gone(self):
        """The daemon has forgotten it, and neither kernel nor disk has anything of it."""
        self.assertEqual(self.admin.programs(), [])
        self.assertEqual(self.node.pins(), [])
        self.assertEqual(self.node.state_files(), [])
        self.assertNotIn('xdp', self.node.host.ip('link', 'show'))

    def await_gone(self, timeout=10.0):
        """It goes within that time."""
        wait_for(lambda: not self.admin.programs(), 'the end of the program', timeout, step=0.05)
        wait_for(lambda: not self.node.state_files(), 'the end of its lease')
        self.assert_gone()


class End(TransientCase):
    """After its last lease."""

    def test_it_is_gone_when_the_revocation_of_its_last_lease_is_answered(self):
        program = self.nic()
        self.assertTrue(program.transient)
        self.assertEqual(program.leases, 0)
        a, b = self.share(1), self.share(2)
        self.assertEqual(a.lease.program_id, program.id)
        self.assertEqual(self.program().leases, 2)
        self.revoke(a)
        self.assertEqual(self.program().leases, 1)
        self.hand_off(b, queues=[2])
        self.revoke(b)
        self.assert_gone()

    def test_any_other_program_stays(self):
        Link(self.node.host, 'nic0', self.pod(link=False).netns)
        program = self.admin.call('LoadProgram', interface='nic0').program
        self.assertFalse(program.transient)
        self.revoke(self.share(0))
        time.sleep(SWEEPS)
        self.assertEqual(self.program(), program)

    def test_device_mode(self):
        pod = self.pod()
        self.load(pod, transient=True)
        self.grant(pod)
        self.hand_off(pod)
        self.revoke(pod)
        self.assert_gone()
        self.assertNotIn('xdp', pod.netns.ip('link', 'show'))
        self.load(pod, transient=True)  # and again, on the same device
        self.grant(pod)
        self.revoke(pod)
        self.assert_gone()

    def test_one_revocation_ends_leases_of_several_programs(self):
        self.nic()
        pod = self.pod()
        self.load(pod, transient=True)
        self.grant(pod)
        self.grant(pod, interface='net1', device='nic0', queues=[1])
        self.grant(pod, interface='net2', device='nic0', queues=[2])
        self.assertEqual(self.revoke(pod), 3)
        self.assert_gone()

    def test_it_goes_with_the_namespace_of_its_last_lease(self):
        self.nic()
        a, b = self.share(1), self.share(2)
        a.netns.delete()
        wait_for(lambda: self.program().leases == 1, 'the end of a lease')
        time.sleep(SWEEPS)
        self.assertEqual(self.program().leases, 1)
        b.netns.delete()
        self.await_gone()

    def test_it_goes_with_a_namespace_that_ended_while_the_daemon_was_down(self):
        self.nic()
        pod = self.share(1)
        self.admin.close()
        self.node.stop(signal.SIGKILL)
        pod.netns.delete()
        wait_for(lambda: len(self.node.host.ip('netns', 'list-id').splitlines()) == 1,
                 'its end: the number of the peer alone is left')
        self.node.start()
        self.admin = self.node.admin()
        self.await_gone()

    def test_it_stays_with_its_lease_over_a_restart(self):
        program = self.nic()
        pod = self.share(1)
        self.restart()
        self.assertEqual((self.program().id, self.program().transient, self.program().leases),
                         (program.id, True, 1))
        time.sleep(SWEEPS)
        self.hand_off(pod, queues=[1])
        self.revoke(pod)
        self.assert_gone()

    def test_a_lease_that_was_granted_first_counts(self):
        Link(self.node.host, 'nic0', self.pod(link=False).netns, 4)
        pod = self.share(1)
        self.assertEqual(pod.lease.program_id, 0)
        self.assertEqual(self.load_nic().leases, 1)
        self.restart()
        self.assertEqual(self.program().leases, 1)
        self.revoke(pod)
        self.assert_gone()


class Wait(TransientCase):
    """Before its first lease, with a minute to wait."""

    def test_it_waits_also_over_a_restart(self):
        program = self.nic()
        time.sleep(SWEEPS)
        self.restart()
        time.sleep(SWEEPS)
        self.assertEqual(self.program().id, program.id)
        pod = self.share(1)
        self.assertEqual(pod.lease.program_id, program.id)
        self.revoke(pod)
        self.assert_gone()


class Grace(TransientCase):
    """Before its first lease, with little time."""

    config = '{"limits": {"transientGraceSeconds": 5}}'

    def test_one_without_a_lease_goes_after_the_grace(self):
        began = time.monotonic()
        self.nic()
        self.await_gone(20)
        self.assertTrue(4 < time.monotonic() - began < 25)

    def test_the_grace_begins_anew_with_the_daemon(self):
        program = self.nic()
        time.sleep(3)
        began = time.monotonic()
        self.restart()
        self.assertEqual(self.program().id, program.id)
        self.await_gone(20)
        self.assertTrue(4 < time.monotonic() - began < 25)

    def test_a_lease_in_time_ends_it(self):
        self.nic()
        pod = self.share(1)
        time.sleep(6 + SWEEPS)
        self.hand_off(pod, queues=[1])
        self.revoke(pod)
        self.assert_gone()


class Crowd(TransientCase):
    """Pods that come and go on one device at once."""

    def attach(self, admin, pod, queue):
        """What a CNI plugin does: a program, a lease; until the lease has a program."""
        with open(pod.path, 'rb') as ns:
            lease = admin.call('GrantLease', [ns.fileno()], netns_fd=1, container=pod.container,
                               interface='eth0', device='nic0', queues=[queue]).lease
            while not lease.program_id:
                try:
                    admin.call('LoadProgram', interface='nic0', transient=True)
                except Refused as e:
                    if e.code not in ('ALREADY_EXISTS', 'UNAVAILABLE'):
                        raise
                lease, = [x for x in admin.leases() if x.container == pod.container]

    def come_and_go(self, queue, failures):
        """One pod, over and over."""
        pod = self.pods[queue]
        try:
            with self.node.admin() as admin:
                for _ in range(25):
                    self.attach(admin, pod, queue)
                    with client.Client(self.node.pod_path, netns=pod.path) as c:
                        c.hand_off('eth0').close()
                    admin.call('RevokeLease', container=pod.container)
        except Exception as e:  # pylint: disable=broad-except
            failures.append(e)

    def test_each_pod_with_a_lease_has_a_program(self):
        Link(self.node.host, 'nic0', self.pod(link=False).netns, 4)
        self.pods = [self.pod(link=False) for _ in range(4)]
        failures = []
        threads = [threading.Thread(target=self.come_and_go, args=(q, failures)) for q in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.await_gone()  # the last one may have met another call, and is the sweep's


if __name__ == '__main__':
    tap.main()
