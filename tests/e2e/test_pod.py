# SPDX-License-Identifier: Apache-2.0
"""Pods as a kubelet makes them: containerd, runc, xskd-cni, seccomp, a container without privilege.

Each test has a NIC on the node whose other end sends, and afterwards the node is as it was before.
"""
import json
import os
import signal
import unittest
from concurrent.futures import ThreadPoolExecutor

import tap
from cri import Containerd, lacking_module
from node import pb, wait_for
from plugins import DEBIAN, NicCase, lacking

SUBNET = '10.66.0.'
UNPRIVILEGED = {
    **dict.fromkeys(('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'), '0' * 16),
    'Uid': '\t'.join(['65534'] * 4), 'Gid': '\t'.join(['65534'] * 4),
    'NoNewPrivs': '1', 'Seccomp': '2'}


class Pods(NicCase):
    """A node with a container runtime on it, and one network for its pods."""

    @staticmethod
    def chain(plugins):
        """The plugins of the network."""
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        why = lacking('containerd', 'runc', 'busybox', f'{DEBIAN}/host-local') or lacking_module()
        if why:
            raise unittest.SkipTest(why)
        super().setUpClass()
        cls.containerd = Containerd(cls.node, cls.plugins, cls.chain(cls.plugins))
        cls.addClassCleanup(cls.destroy_containerd)
        cls.containerd.start()

    @classmethod
    def destroy_containerd(cls):
        """End the class's containerd and see that nothing is left of it."""
        left = cls.containerd.destroy()
        if left:
            raise AssertionError('left: ' + '\n'.join(left))

    def setUp(self):
        super().setUp()
        self.addCleanup(self.containerd.end_pods)

    def run_pod(self, name='web-0'):
        """The sandbox of a pod, with its network."""
        try:
            return self.containerd.run_pod(name)
        except Exception:
            tap.comment(f'containerd\'s log:\n{self.containerd.log()[-3000:]}')
            raise

    def receiver(self, pod, count):
        """Start a container that counts packets; Return: it, once it receives."""
        # The newline that says so is the first line of its log.
        c = pod.container('/xskd/client/xskctl', '-o', 'json', 'receive', 'eth0', '--sequence',
                          '--ready-fd', '1', '--count', str(count), '--duration', '60')
        try:
            wait_for(c.lines, 'the container to receive')
        except AssertionError as e:
            raise AssertionError(f'{e}: {c.story()}') from None
        self.assertEqual(c.privileges(), UNPRIVILEGED)
        return c

    def finish(self, container, count):
        """Its end, and what it has counted: all, each once."""
        self.assertEqual(container.await_exit(), 0, container.story())
        # containerd copies what it has written, and may be at it still.
        wait_for(lambda: container.lines()[-1:] == ['}'], 'the end of the log')
        told = json.loads(''.join(container.lines()))
        self.assertEqual((told['sequenced'], told['lost'], told['duplicated'], told['reordered']),
                         (count, 0, 0, 0), told)
        container.remove()

    def assert_receives(self, pod, count=1000):
        """A container of the pod gets each packet that comes in at the NIC."""
        c = self.receiver(pod, count)
        self.aim_at(pod.id)
        self.nic.send(count)
        self.finish(c, count)

    def assert_lease(self, pod, mode, device):
        """The pod has one lease, and it says whose it is."""
        lease = self.lease_of(pod.id)
        self.assertEqual((lease.interface, lease.device, lease.mode), ('eth0', device, mode))
        self.assertEqual(dict(lease.labels), {
            'network': self.containerd.network, 'pod': pod.name, 'namespace': 'default',
            'uid': pod.uid})

    def end(self, pod):
        """Stop and remove it."""
        pod.stop()
        pod.remove()

    def assert_no_pod(self, name, text):
        """The pod cannot be had, and whoever looks at it is told why."""
        with self.assertRaisesRegex(Exception, text):
            self.containerd.run_pod(name)

    def start_daemon(self):
        """Start it over what is there; it collects what has ended meanwhile."""
        self.node.start()
        self.admin.close()
        self.admin = self.node.admin()

    def next_pod(self):
        """Whatever was before, the next pod works, and leaves nothing."""
        pod = self.run_pod('next')
        self.assert_receives(pod)
        self.end(pod)
        self.assert_as_before()

    def assert_as_before(self):
        """Nor is anything of containerd's left."""
        left = self.containerd.left  # a shim ends behind its answer
        wait_for(lambda: not left(), lambda: f'the end of {left()}')
        super().assert_as_before()

    def life_of_a_pod(self, mode, device):
        """Receive, be killed, receive again, go."""
        pod = self.run_pod()
        self.assertTrue(pod.status().network.ip.startswith(SUBNET), pod.info()['cniResult'])
        self.assert_lease(pod, mode, device)
        self.assert_receives(pod)
        killed = self.receiver(pod, 1000)
        self.nic.send(100)
        os.kill(killed.pid(), signal.SIGKILL)
        self.assertEqual(killed.await_exit(), 128 + signal.SIGKILL)
        self.assert_receives(pod)
        self.end(pod)
        self.assert_as_before()


class DeviceMode(Pods):
    """The NIC itself is the pod's eth0 for as long as the pod lives."""

    @staticmethod
    def chain(plugins):
        return [plugins.xskd(device='nic0', ipam=plugins.ipam(routes=()))]

    def test_life_of_a_pod(self):
        self.life_of_a_pod(pb.LEASE_MODE_DEVICE, 'eth0')

    def test_one_pod_after_the_other(self):
        for name in ('web-0', 'web-1', 'web-2'):
            pod = self.run_pod(name)
            self.assertEqual(self.node.host.links(), [])
            self.assert_receives(pod)
            self.end(pod)
            self.assertEqual(self.node.host.links(), ['nic0'])
        self.assert_as_before()

    def test_second_pod_is_refused_and_the_first_one_stays(self):
        pod = self.run_pod()
        home, self.before = self.before, self.plugins.state(self.admin)
        self.assert_no_pod('web-1', 'nic0')
        self.assertEqual(self.changes(), {})
        self.before = home
        self.assert_receives(pod)
        self.end(pod)
        self.assert_as_before()

    def test_pod_ends_while_the_daemon_is_down(self):
        pod = self.run_pod()
        self.node.stop()
        self.end(pod)
        self.assertEqual(self.node.host.links(), ['nic0'])
        self.start_daemon()
        self.next_pod()

    def test_pod_comes_while_the_daemon_is_down(self):
        self.node.stop()
        self.assert_no_pod('web-0', 'xskd')
        self.assertEqual(self.node.host.links(), ['nic0'])
        self.start_daemon()
        self.next_pod()

    def test_daemon_is_killed_while_the_pod_receives(self):
        pod = self.run_pod()
        c = self.receiver(pod, 1000)
        self.node.stop(signal.SIGKILL)
        self.start_daemon()
        self.nic.send(1000)
        self.finish(c, 1000)
        self.assert_receives(pod)
        self.end(pod)
        self.assert_as_before()

    def test_containerd_is_killed_while_the_pod_receives(self):
        pod = self.run_pod()
        c = self.receiver(pod, 1000)
        self.containerd.stop(signal.SIGKILL)
        self.containerd.start()
        self.nic.send(1000)
        self.finish(c, 1000)
        self.end(pod)
        self.assert_as_before()

    def test_sandbox_is_killed(self):
        pod = self.run_pod()
        c = self.receiver(pod, 1000)
        os.kill(pod.info()['pid'], signal.SIGKILL)
        os.kill(c.pid(), signal.SIGKILL)
        c.await_exit()
        self.end(pod)
        self.assert_as_before()


class QueueMode(Pods):
    """The NIC stays where it is; each pod has a network of its own, and some queues of the NIC."""

    queues = 2

    @staticmethod
    def chain(plugins):
        return [plugins.ptp(), plugins.xskd(mode='queue', device='nic0')]

    def test_life_of_a_pod(self):
        self.life_of_a_pod(pb.LEASE_MODE_QUEUE, 'nic0')

    def test_two_pods_share_the_nic(self):
        with ThreadPoolExecutor() as both:
            pods = list(both.map(self.run_pod, ('web-0', 'web-1')))
        self.assertEqual(sorted(list(self.lease_of(p.id).queues) for p in pods), [[0], [1]])
        self.assert_no_pod('web-2', 'queue')
        containers = [self.receiver(pod, 500) for pod in pods]
        for pod, c in zip(pods, containers):
            self.aim_at(pod.id)
            self.nic.send(500)
            self.finish(c, 500)
        self.end(pods[0])
        self.assert_receives(pods[1])
        self.end(pods[1])
        self.assert_as_before()


if __name__ == '__main__':
    tap.main()
