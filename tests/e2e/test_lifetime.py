# SPDX-License-Identifier: Apache-2.0
"""What a process or a pod held is free as soon as it has ended, and nobody has to say so.

Times are printed, and judged by their median: the machine may be busy, but an end that only a tick
once a second notices has a median of half a second.
"""
import json
import os
import shutil
import signal
import statistics
import time

import node
import tap
from node import Node, Pod, TestCase, await_ready, finish, wait_for

SOON = 0.1  # seconds
ROUNDS = 8 if node.SANITIZED else 20
HAND_OFFS = 2000 if node.SANITIZED else 10000


class Timed(TestCase):
    """Median and worst of some rounds."""

    def assert_soon(self, what, times):
        """Most of them are."""
        print(f'# {what}: median {statistics.median(times) * 1000:.0f} ms, '
              f'worst of {len(times)} {max(times) * 1000:.0f} ms')
        self.assertLess(statistics.median(times), SOON, what)

    def held(self, pod):
        """How many sockets the lease has; unlike ListSockets, ListLeases does not look itself."""
        return sum(l.sockets for l in self.admin.leases() if l.container == pod.container)

    def until_free(self, pod):
        """Seconds until the ledger is empty."""
        began = time.monotonic()
        wait_for(lambda: not self.held(pod), 'the end of the socket', step=0.001)
        return time.monotonic() - began


class Processes(Timed):
    """A process ends, or its connection."""

    def ends(self, sig):
        """Receivers that are ended by a signal."""
        pod, times = self.ready_pod(), []
        for _ in range(ROUNDS):
            p = pod.receive()
            self.assertEqual(self.held(pod), 1)
            p.send_signal(sig)
            p.wait()
            times.append(self.until_free(pod))
        self.assert_soon(signal.Signals(sig).name, times)

    def test_killed(self):
        self.ends(signal.SIGKILL)

    def test_terminated(self):
        self.ends(signal.SIGTERM)

    def test_queues_right_behind_a_kill(self):
        """Its sockets are closed one after another: who comes meanwhile waits for the last."""
        queues = list(range(8))
        pod = self.ready_pod(queues=len(queues))
        for _ in range(ROUNDS // 4):
            p = pod.receive('--queue', '0-7')
            p.kill()
            with pod.client() as c:
                c.hand_off('eth0', queues=queues, size=8 << 20).close()
            p.wait()

    def test_connection_that_is_closed_behind_its_sockets(self):
        pod, times = self.ready_pod(), []
        for _ in range(ROUNDS):
            c = pod.client()
            c.hand_off('eth0').close()
            seen = self.held(pod)  # unless the second's tick was just now
            c.close()
            if seen:
                times.append(self.until_free(pod))
        self.assertGreater(len(times), ROUNDS / 2)
        self.assert_soon('close', times)

    def test_socket_that_is_closed_and_nothing_else(self):
        pod = self.ready_pod()
        c = pod.client()
        c.hand_off('eth0').close()
        self.until_free(pod)  # of this nobody tells: the daemon looks once a second

    def test_child_that_goes_on_with_the_sockets(self):
        """An end is a reason to look, and no more."""
        pod = self.ready_pod()
        h = self.hand_off(pod).map()
        child = os.fork()
        if not child:  # it holds the sockets, and is not who asked for them
            time.sleep(60)
            os._exit(0)
        try:
            h.client.close()
            h.close()
            time.sleep(1.5)
            self.assertEqual(self.held(pod), 1)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        self.until_free(pod)

    def test_one_descriptor_for_each_process(self):
        pod = self.ready_pod(queues=4)
        before = self.node.settled_fds()
        with pod.client() as a, pod.client() as b:
            h = [(a, b)[q % 2].hand_off('eth0', queues=[q]) for q in range(4)]
            # Two connections and one pidfd.
            wait_for(lambda: self.node.n_fds() == before + 3, 'no more than these')
            for x in h:
                x.close()
        wait_for(lambda: self.node.n_fds() == before, 'the pidfd to be closed')

    def test_released_sockets_leave_no_descriptor(self):
        pod = self.ready_pod()
        c = pod.client()
        before = self.node.settled_fds()
        for _ in range(10):
            h = c.hand_off('eth0')
            c.call('ReleaseSocket', sockets=[h.infos[0].id])
            h.close()
        wait_for(lambda: self.node.n_fds() == before, 'the pidfd to be closed')


class Elsewhere(Timed):
    """The daemon in a PID namespace of its own, as in a pod without hostPID."""

    class ContainedNode(Node):
        """The daemon is unshare's only child."""

        def argv(self):
            return ['unshare', '--pid', '--fork', '--kill-child', *super().argv()]

        def stop(self, sig=signal.SIGTERM, timeout=20):
            path = f'/proc/{self.process.pid}/task/{self.process.pid}/children'
            with open(path, encoding='ascii') as f:
                os.kill(int(f.read()), sig)
            return self.process.wait(timeout)

    # The descriptors that are counted are those of unshare(1).
    check_fds = False

    @classmethod
    def setUpClass(cls):
        cls.node = cls.ContainedNode(cls.config, cls.flags)
        cls.addClassCleanup(cls.destroy_node)
        cls.node.start()

    def test_killed(self):
        pod, times = self.ready_pod(), []
        for _ in range(ROUNDS):
            p = pod.receive()
            self.assertEqual([s.pid for s in self.admin.sockets()], [0])
            p.kill()
            p.wait()
            times.append(self.until_free(pod))
        self.assert_soon('SIGKILL, seen from another PID namespace', times)


class Pods(Timed):
    """The end of the namespace, without a CNI DEL."""

    config = '{"limits": {"keptSeconds": 1}}'

    def queue_pod(self):
        """A pod with all queues of the host's device."""
        pod = Pod(self, link=False)
        with open(pod.path, 'rb') as ns:
            self.admin.call('GrantLease', [ns.fileno()], netns_fd=1, container=pod.container,
                            interface='net1', device='nic0')
        return pod

    def end_of(self, pod, process):
        """SIGKILL of the last process of a namespace that has lost its name already."""
        pod.netns.delete()
        process.kill()
        process.wait()
        return time.monotonic()

    def test_queue_is_the_next_pods(self):
        peer = node.Netns('s')
        self.namespaces.append(peer)
        node.Link(self.node.host, 'nic0', peer)
        self.addCleanup(peer.delete)
        self.admin.call('LoadProgram', interface='nic0')
        self.admin.watch()
        noticed, granted = [], []
        for _ in range(ROUNDS):
            pod = self.queue_pod()
            pod.interface = 'net1'
            began = self.end_of(pod, pod.receive())
            self.admin.next_event('EVENT_LEASE_REVOKED', container=pod.container)
            noticed.append(time.monotonic() - began)
            following = self.queue_pod()
            h = following.client().hand_off('net1')
            granted.append(time.monotonic() - began)
            h.close()
            self.admin.call('RevokeLease', container=following.container)
        self.assert_soon('namespace, lease ended', noticed)
        print(f'# namespace, the next pod has a socket: median '
              f'{statistics.median(granted) * 1000:.0f} ms, worst {max(granted) * 1000:.0f} ms')

    def test_program_on_a_dead_namespace(self):
        times = []
        for _ in range(ROUNDS):
            pod = self.ready_pod()
            p = pod.receive()
            began = self.end_of(pod, p)
            wait_for(lambda: not self.node.pins(), 'the end of the program', step=0.001)
            times.append(time.monotonic() - began)
            self.assertEqual(self.admin.leases(), [])
        print(f'# namespace, program collected: median {statistics.median(times) * 1000:.0f} ms, '
              f'worst {max(times) * 1000:.0f} ms')
        # The kernel ends a namespace in several steps of its own, one namespace after another.
        self.assertLess(statistics.median(times), 0.5)

    def test_socket_that_left_its_pod_does_not_keep_the_queue(self):
        """In queue mode another process may have the socket; its place is the next pod's."""
        peer = node.Netns('s')
        self.namespaces.append(peer)
        node.Link(self.node.host, 'nic0', peer)
        self.addCleanup(peer.delete)
        self.admin.call('LoadProgram', interface='nic0')
        self.admin.watch()
        pod = self.queue_pod()
        with pod.client() as c:
            h = c.hand_off('net1')  # and this process, which is not in the pod, has it
        self.addCleanup(h.close)
        pod.netns.delete()
        self.admin.next_event('EVENT_LEASE_REVOKED', container=pod.container)
        following = self.queue_pod()
        with self.refused('ALREADY_EXISTS', 'not in xskd\'s map'):
            following.client().hand_off('net1')
        h.close()
        following.client().hand_off('net1').close()

    def test_kept_socket_of_a_pod_that_has_ended(self):
        """Our own copy keeps the namespace alive: nobody comes, so we let go."""
        self.admin.watch()
        pod = self.ready_pod()
        p = pod.receive('--keep')
        pod.netns.delete()
        p.kill()
        p.wait()
        self.admin.next_event('EVENT_LEASE_REVOKED', container=pod.container)
        self.assertEqual(self.admin.sockets(), [])
        wait_for(lambda: not self.node.pins(), 'the end of the program')

    def test_kept_socket_waits_while_somebody_is_there(self):
        pod = self.ready_pod()
        with pod.client():  # another process of the pod's
            p = pod.receive('--keep')
            p.kill()
            p.wait()
            time.sleep(2.5)
            p = pod.python('--resume', '--count', '1')
            await_ready(p)
            pod.link.send(1)
            self.assertTrue(json.loads(finish(p))['resumed'])
        wait_for(lambda: not self.held(pod), 'the end of the copy')

    def test_holder_of_a_kept_socket_may_take_its_time(self):
        pod = self.ready_pod()
        p = pod.receive('--keep', '--count', '10')
        time.sleep(2.5)
        self.assertTrue(self.admin.sockets()[0].kept)
        pod.link.send(10)
        finish(p)


class Churn(Timed):
    """Many, one after another and at once."""

    def churn(self, pod, *args):
        """tests/churn as an unprivileged process."""
        return pod.start(f'{self.node.kit}/client/churn', self.node.pod_path, 'eth0', *args)

    def setUp(self):
        super().setUp()
        shutil.copy(f'{node.BUILD}/tests/churn', f'{self.node.kit}/client')

    def test_same_queue_two_hundred_times_after_SIGKILL(self):
        told = json.loads(finish(self.churn(self.ready_pod(), '1', '200', 'always'), 100))
        self.assertEqual((told['handoffs'], told['killed']), (200, 200))
        print(f'# hand-off of the same queue, 200 times at once after SIGKILL: {told}')

    def test_ten_thousand_hand_offs_leave_nothing(self):
        pods = [self.ready_pod(queues=16) for _ in range(8)]
        before = self.node.settled_fds()
        running = [self.churn(pod, '16', str(HAND_OFFS // len(pods)), 'random') for pod in pods]
        told = [json.loads(finish(p, 200)) for p in running]
        print(f"# {sum(t['handoffs'] for t in told)} hand-offs to "
              f"{sum(t['processes'] for t in told)} processes, {sum(t['killed'] for t in told)} "
              f"killed, {max(t['seconds'] for t in told)} s, "
              f"p99 {max(t['p99_us'] for t in told) / 1000:.0f} ms")
        for pod in pods:
            self.until_free(pod)
        self.assertEqual([l.umem_bytes for l in self.admin.leases()], [0] * len(pods))
        wait_for(lambda: self.node.n_fds() == before, f'{before} fds: {self.node.fd_names()}')
        for pod in pods:  # and each place in each map is free
            self.hand_off(pod, queues=list(range(16)))


if __name__ == '__main__':
    tap.main()
