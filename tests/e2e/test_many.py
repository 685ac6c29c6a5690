# SPDX-License-Identifier: Apache-2.0
"""Many clients, slow ones, hostile ones, and daemons side by side: nobody starves the others."""
import array
import contextlib
import fcntl
import os
import re
import select
import signal
import subprocess
import termios
import threading
import time

import tap
from node import BUILD, Client, Closed, Link, Node, TestCase, client, pb, wait_for


def at_once(jobs):
    """Run the functions in threads; raise the first error."""
    errors = []

    def run(job):
        try:
            job()
        except BaseException as e:  # noqa: B902  handed over below
            errors.append(e)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


class Many(TestCase):
    """Many that behave."""

    def test_two_hundred_clients_at_once(self):
        pods = [self.ready_pod(queues=4) for _ in range(4)]
        umem = client.umem_memfd(1 << 20)
        self.addCleanup(os.close, umem)
        got = []

        def one(pod, n):
            with Client(self.node.pod_path, netns=pod.path, timeout=60) as c:
                info = c.call('GetInfo')
                assert info.netns_cookie == pod.lease.netns_cookie
                _, fds = c.call_fds('GetXskMap', interface='eth0')
                client.close_all(fds)
                assert [lease.id for lease in c.leases()] == [pod.lease.id]
                c.sockets()
                c.call('GetStats', interface='eth0')
                if n < 4:  # one for each queue; more would have to wait for the queue
                    h = c.hand_off('eth0', queues=[n], size=1 << 20)
                    h.map()
                    h.close()
                got.append(n)

        at_once([lambda p=p, n=n: one(p, n) for n in range(50) for p in pods])
        self.assertEqual(len(got), 200)

    def test_thousand_connections_cost_no_thread_and_little_memory(self):
        # From several namespaces with a lease, for one alone may not have so many.
        pods = [self.ready_pod() for _ in range(5)]
        self.admin.pool_filled()
        before = self.memory()
        threads = len(os.listdir(f'/proc/{self.node.process.pid}/task'))
        clients = [pods[i % 5].client() for i in range(1000)]
        for c in clients[::50]:
            c.call('GetInfo')
        wait_for(lambda: self.admin.call('GetInfo').connections == 1001, 'all of them')
        self.assertEqual(len(os.listdir(f'/proc/{self.node.process.pid}/task')), threads)
        self.assertLess(self.memory() - before, 2048, 'KiB for 1000 connections')

    def memory(self):
        """KiB that the daemon has for itself."""
        with open(f'/proc/{self.node.process.pid}/smaps_rollup', encoding='ascii') as f:
            return int(re.search(r'Private_Dirty: +(\d+)', f.read()).group(1))

    def test_first_map_asked_for_by_many_at_once(self):
        # That it has been out is written down first; once.
        for _ in range(5):
            pod = self.ready_pod()
            clients = [pod.client() for _ in range(8)]
            ids = [c.start('GetXskMap', interface='eth0') for c in clients]
            for c, call_id in zip(clients, ids):
                client.close_all(c.wait(call_id, 'GetXskMap')[1])

    def test_hand_offs_in_many_namespaces_at_once(self):
        pods = [self.ready_pod() for _ in range(12)]

        def one(pod):
            with Client(self.node.pod_path, netns=pod.path, timeout=60) as c:
                for _ in range(3):
                    h = c.hand_off('eth0', size=1 << 20)
                    h.map()
                    h.close()

        at_once([lambda p=p: one(p) for p in pods])

    def test_programs_and_leases_come_and_go_in_many_namespaces_at_once(self):
        pods = [self.pod() for _ in range(8)]

        def one(pod):
            with self.node.admin(timeout=60) as admin, open(pod.path, 'rb') as ns:
                for _ in range(3):
                    p = admin.call('LoadProgram', [ns.fileno()], netns_fd=1,
                                   interface='eth0').program
                    admin.call('GrantLease', [ns.fileno()], netns_fd=1, interface='eth0',
                               container=pod.container)
                    with Client(self.node.pod_path, netns=pod.path, timeout=60) as c:
                        c.hand_off('eth0', size=1 << 20).close()
                    admin.call('RevokeLease', container=pod.container)
                    admin.call('UnloadProgram', id=p.id, force=True)

        at_once([lambda p=p: one(p) for p in pods])


class Throttle(TestCase):
    """Calls per second of a pod, over all its connections."""

    config = '{"limits": {"callsPerSecond": 20, "connectionsPerNetns": 200}}'

    def test_calls_beyond_the_second_wait_and_none_is_lost(self):
        pod, other = self.ready_pod(), self.ready_pod()  # without leases they were one stranger
        began = time.monotonic()
        clients = [pod.client() for _ in range(4)]
        ids = [(c, c.start('GetInfo')) for c in clients for _ in range(15)]
        # Another pod does not feel it.
        asked = time.monotonic()
        self.assertFalse(other.client().call('GetInfo').admin)
        self.assertLess(time.monotonic() - asked, 1)
        for c, call in ids:
            c.wait(call)
        self.assertGreater(time.monotonic() - began, 1)  # 60 calls, 20 a second

    def test_connecting_anew_is_no_way_round(self):
        pod = self.pod(link=False)
        began = time.monotonic()
        for _ in range(50):
            with Client(self.node.pod_path, netns=pod.path) as c:
                c.call('GetInfo')
        self.assertGreater(time.monotonic() - began, 1)


class Unread(TestCase):
    """Descriptors on their way to clients that do not take them."""

    config = '{"limits": {"fdsPerNetns": 40, "callsPerNetns": 16}}'

    def ask(self, pod, n):
        """Maps that nobody takes."""
        c = pod.client(timeout=5)
        for _ in range(n):
            c.start('GetXskMap', interface='eth0')
        return c

    def test_they_are_limited_and_none_is_lost(self):
        bad, good = self.ready_pod(), self.ready_pod()
        # More than the limit: they are served in turn, one packet of each.
        held = [self.ask(bad, 3) for _ in range(60)]
        for c in held[:2]:  # it ends these; what is on its way to them is not forgotten by that
            c.send_raw(b'\xff')
        _, fds = good.client().call_fds('GetXskMap', interface='eth0')
        client.close_all(fds)

        def answered():
            n = array.array('i', [0])
            for c in held:
                fcntl.ioctl(c.sock.fileno(), termios.FIONREAD, n)
                yield n[0] > 0
        wait_for(lambda: any(answered()))
        self.assertLess(sum(answered()), 60, 'all were answered')
        for c in held[:2]:
            c.close()
        left = {c.sock: 3 for c in held[2:]}
        while left:
            ready = select.select(list(left), [], [], 10)[0]
            self.assertTrue(ready, f'{sum(left.values())} replies did not come')
            for sock in ready:
                client.close_all(client.recv_packet(sock)[1])
                left[sock] -= 1
                if not left[sock]:
                    del left[sock]


class Slow(TestCase):
    """Clients that do not read, and limits."""

    config = '{"limits": {"connectionsPerNetns": 8, "callsInFlight": 4, "queuedBytes": 65536}}'

    def test_info_tells_the_limits(self):
        limits = self.admin.call('GetInfo').limits
        self.assertEqual((limits.connections_per_netns, limits.calls_in_flight,
                          limits.packet_bytes, limits.packet_fds), (8, 4, 65536, 64))

    def test_client_that_never_reads_is_ended_and_others_are_served(self):
        pods = [self.pod() for _ in range(4)]
        for pod in pods:
            self.grant(pod, labels={str(i): 'x' * 250 for i in range(16)})
        c = self.node.admin()
        self.addCleanup(c.close)
        c.sock.settimeout(1)
        request = c.request('ListLeases').SerializeToString()
        with contextlib.suppress(OSError):
            for _ in range(20000):
                c.send_raw(request)
        self.assert_serves()
        # It is either held back, its packets unread, or ended; its queue in the daemon is bounded.
        wait_for(lambda: self.admin.call('GetInfo').connections <= 2, 'no more than these two')

    def test_watcher_that_never_reads_is_ended(self):
        c = self.node.admin()
        self.addCleanup(c.close)
        c.watch()
        pod = self.pod()

        def spam():
            for _ in range(20):
                self.grant(pod)
                self.admin.call('RevokeLease', container=pod.container)
            return self.admin.call('GetInfo').connections == 1

        wait_for(spam, 'the end of the one that does not read', timeout=20, step=0)

    def test_slow_reader_gets_every_reply(self):
        pod = self.pod()
        self.grant(pod, labels={str(i): 'x' * 250 for i in range(16)})
        c = pod.client()
        got = []
        sent = 300

        def read():
            while len(got) < sent:
                data, _ = client.recv_packet(c.sock)
                got.append(pb.Reply.FromString(data).id)
                if len(got) % 50 == 0:
                    time.sleep(0.02)  # being slow is what is tested

        reader = threading.Thread(target=read)
        reader.start()
        for _ in range(sent):
            c.start('ListLeases')
        reader.join(20)
        self.assertEqual(sorted(got), list(range(1, sent + 1)))

    def test_calls_beyond_the_limit_wait_and_none_is_lost(self):
        pod = self.ready_pod()
        c = pod.client()
        ids = [c.start('GetStats', interface='eth0') for _ in range(100)]
        for i in reversed(ids):
            self.assertEqual(c.wait(i)[0].program_id, pod.program.id)

    def test_connections_of_a_namespace_are_limited(self):
        pod, other = self.ready_pod(), self.ready_pod()
        clients = [pod.client() for _ in range(8)]
        for c in clients:
            c.call('GetInfo')
        ninth = pod.client()
        with self.assertRaises((Closed, BrokenPipeError)):
            ninth.call('GetInfo')
        other.client().call('GetInfo')
        self.admin.call('GetInfo')
        clients[0].close()

        def again():
            with contextlib.suppress(Closed, OSError), \
                    Client(self.node.pod_path, netns=pod.path) as c:
                return c.call('GetInfo')
        wait_for(again, 'a place')

    def test_namespaces_without_a_lease_are_one_user(self):
        pods, good = [self.pod(link=False) for _ in range(4)], self.ready_pod()
        for c in [pod.client() for pod in pods for _ in range(2)]:
            c.call('GetInfo')
        with self.assertRaises((Closed, BrokenPipeError)):
            pods[0].client().call('GetInfo')
        good.client().call('GetInfo')
        out, err = good.start(good.node.xskctl, '--run-dir', good.node.run_dir,
                              'info').communicate(timeout=20)
        self.assertIn('VERSION', out, err)
        # Another user's are others.
        out, err = pods[0].start(good.node.xskctl, '--run-dir', good.node.run_dir,
                                 'info').communicate(timeout=20)
        self.assertIn('VERSION', out, err)

    def test_administrators_are_not_limited_by_a_namespace(self):
        with contextlib.ExitStack() as stack:
            for _ in range(30):
                stack.enter_context(self.node.admin()).call('GetInfo')


class Hostile(TestCase):
    """One pod that means harm; its neighbours must not feel it."""

    def test_second_hand_offs_of_one_pod_do_not_hold_up_a_neighbour_on_the_same_device(self):
        link_peer = self.pod(link=False).netns
        Link(self.node.host, 'nic0', link_peer, 4)
        self.admin.call('LoadProgram', interface='nic0')
        bad, good = self.pod(link=False), self.pod(link=False)
        self.grant(bad, device='nic0', queues=[0])
        self.grant(good, device='nic0', queues=[1])
        self.hand_off(bad)
        umem = client.umem_memfd(1 << 20)
        self.addCleanup(os.close, umem)
        # Each waits up to a second for a queue that its own pod holds.
        for _ in range(2):
            c = bad.client()
            for _ in range(10):
                c.start('HandOffSocket', [umem], interface='eth0', umem_fd=1)
        began = time.monotonic()
        c = good.client(timeout=60)
        h = c.hand_off('eth0')
        self.addCleanup(h.close)
        took = time.monotonic() - began
        self.assertLess(took, 5, 'seconds that the neighbour waited for its own queue')

    def test_second_hand_offs_of_many_pods_do_not_hold_up_others(self):
        bad = [self.ready_pod() for _ in range(8)]
        good = self.ready_pod()
        umem = client.umem_memfd(1 << 20)
        self.addCleanup(os.close, umem)
        for pod in bad:
            h = self.hand_off(pod)
            for _ in range(5):
                h.client.start('HandOffSocket', [umem], interface='eth0', umem_fd=1)
        began = time.monotonic()
        h = good.client(timeout=60).hand_off('eth0')
        self.addCleanup(h.close)
        self.assertLess(time.monotonic() - began, 4,
                        'seconds, as all workers wait for queues of others')

    def wait_in_vain(self, pod, calls):
        """Calls of a pod that each wait a second for a queue of which it holds the socket."""
        h = self.hand_off(pod)
        h.client.call('ReleaseSocket', sockets=[h.infos[0].id])
        umem = client.umem_memfd(1 << 20)
        self.addCleanup(os.close, umem)
        return [(h.client, h.client.start('HandOffSocket', [umem], interface='eth0', umem_fd=1))
                for _ in range(calls)]

    def best_of_three(self, pod):
        """Seconds of the pod's fastest hand-off; the others may have met a busy machine."""
        took = []
        for _ in range(3):
            began = time.monotonic()
            with pod.client() as c:
                c.hand_off('eth0').close()
            took.append(time.monotonic() - began)
        return min(took)

    def test_who_waits_for_his_own_queue_has_no_worker_meanwhile(self):
        bad, good = [self.ready_pod() for _ in range(9)], self.ready_pod()
        waiting = [w for pod in bad for w in self.wait_in_vain(pod, 4)]
        self.assertLess(self.best_of_three(good), 0.5, 'nine pods wait, eight workers there are')
        for c, call in waiting:
            with self.refused('ALREADY_EXISTS', 'in use by an AF_XDP socket'):
                c.wait(call)

    def test_who_waits_for_his_own_queue_does_not_hold_up_others_of_the_device(self):
        Link(self.node.host, 'nic0', self.pod(link=False).netns, 4)
        self.admin.call('LoadProgram', interface='nic0')
        bad, good = self.pod(link=False), self.pod(link=False)
        self.grant(bad, device='nic0', queues=[0])
        self.grant(good, device='nic0', queues=[1])
        waiting = self.wait_in_vain(bad, 4)
        self.assertLess(self.best_of_three(good), 0.5)
        for c, call in waiting:
            with self.refused('ALREADY_EXISTS'):
                c.wait(call)

    def test_flood_of_calls_does_not_hold_up_a_neighbour(self):
        bad, good = self.ready_pod(queues=4), self.ready_pod()
        stop = threading.Event()

        def flood():
            with Client(self.node.pod_path, netns=bad.path) as c:
                c.sock.settimeout(0.2)
                requests = [c.request(call, **f).SerializeToString() for call, f in (
                    ('GetStats', {'interface': 'eth0'}), ('ListSockets', {}), ('ListLeases', {}))]
                while not stop.is_set():
                    with contextlib.suppress(OSError):
                        for r in requests:
                            c.send_raw(r)
                        client.close_all(client.recv_packet(c.sock)[1])

        threads = [threading.Thread(target=flood) for _ in range(4)]
        for t in threads:
            t.start()
        try:
            for _ in range(5):
                with good.client(timeout=30) as c:
                    c.hand_off('eth0').close()
        finally:
            stop.set()
            for t in threads:
                t.join()

    def test_connections_to_the_last_fd_do_not_lock_the_administrator_out(self):
        # A daemon with few fds; a namespace may have more connections than that.
        node = Node('{"limits": {"connectionsPerNetns": 100000}}')
        self.addCleanup(lambda: self.assertEqual(node.destroy(), []))
        node.start()
        n = node.n_fds() + 40
        subprocess.run(['prlimit', f'--pid={node.process.pid}', f'--nofile={n}:{n}'], check=True)
        held = []
        self.addCleanup(lambda: [s.close() for s in held])
        for _ in range(80):
            with contextlib.suppress(OSError):
                held.append(client.connect(node.pod_path, timeout=2))
        self.assertTrue(node.alive())
        for s in held:
            s.close()

        def answers():
            with contextlib.suppress(Closed, OSError), node.admin(timeout=2) as c:
                return c.call('GetInfo')
        wait_for(answers, 'the daemon to answer again')


class Two(TestCase):
    """Daemons side by side."""

    def test_two_daemons_with_their_own_directories(self):
        other = Node()
        self.addCleanup(lambda: self.assertEqual(other.destroy(), []))
        other.start()
        mine, theirs = self.pod(), self.pod()
        p = self.load(mine)
        self.grant(mine)
        with other.admin() as admin, open(theirs.path, 'rb') as ns:
            q = admin.call('LoadProgram', [ns.fileno()], netns_fd=1, interface='eth0').program
            admin.call('GrantLease', [ns.fileno()], netns_fd=1, interface='eth0', container='t')
            self.assertEqual([x.id for x in admin.programs()], [q.id])
            self.assertEqual([x.id for x in self.admin.programs()], [p.id])
            h = self.hand_off(mine).map()
            with Client(other.pod_path, netns=theirs.path) as c:
                k = c.hand_off('eth0')
                self.addCleanup(k.close)
                k.map()
            mine.link.send(100)
            theirs.link.send(100)
            self.assert_sequence(h.receive(100), 100)
            self.assert_sequence(k.receive(100), 100)
            with Client(other.pod_path, netns=mine.path) as c, self.refused('PERMISSION_DENIED'):
                c.hand_off('eth0')
            admin.call('UnloadProgram', id=q.id, force=True)
            admin.call('RevokeLease', container='t')

    def second(self, run_dir, bpf_dir):
        """A daemon that should not start: exit status and what it says."""
        done = subprocess.run([f'{BUILD}/server/xskd', '--run-dir', run_dir, '--bpf-dir', bpf_dir],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30,
                              check=False)
        self.assert_serves()
        return done.returncode, done.stderr

    def test_same_run_dir_is_refused(self):
        status, err = self.second(self.node.run_dir, f'{self.node.dir}/other')
        self.assertEqual(status, 1)
        self.assertRegex(err, f'another xskd uses {self.node.run_dir}: .*--run-dir')

    def test_same_bpf_dir_is_refused(self):
        status, err = self.second(f'{self.node.dir}/other-run', self.node.bpf_dir)
        self.assertEqual(status, 1)
        self.assertRegex(err, f'another xskd uses {self.node.bpf_dir}: .*--bpf-dir')


class Gone(TestCase):
    """Clients that do not wait for their answer."""

    def test_what_would_be_kept_goes_with_its_client(self):
        pod = self.ready_pod(queues=2)
        self.hand_off(pod, queues=[0])
        umem = client.umem_memfd(1 << 20)
        self.addCleanup(os.close, umem)
        with pod.client() as c:
            # The first waits for a queue in vain; the second, behind it, would be kept.
            c.start('HandOffSocket', [umem], interface='eth0', queues=[0], umem_fd=1)
            c.start('HandOffSocket', [umem], interface='eth0', queues=[1], umem_fd=1, keep=True)
            c.wait(c.start('GetInfo'))  # so both have arrived
        with pod.client() as c, self.refused('NOT_FOUND', 'no sockets are kept'):
            c.hand_off('eth0', queues=[1], keep=True, only_resume=True)
        self.assertEqual([s.queue for s in self.admin.sockets()], [0])
        self.assertIn('the client has gone before its turn came',
                      self.node.log_since(self.log_at))


class Audience(TestCase):
    """Many who want to be told."""

    def test_each_is_told_all_in_order(self):
        pod = self.ready_pod(queues=8)
        h = self.hand_off(pod, queues=list(range(8)))
        watchers = [pod.client() for _ in range(16)]
        for c in watchers:
            c.watch()
        # 128 events at one go.
        h.client.call('ReleaseSocket', sockets=[i.id for i in h.infos])
        for c in watchers:
            for i in h.infos:
                c.next_event('EVENT_SOCKET_RELEASED', socket=i.id)
            self.assertEqual(list(c.events), [])


class Farewell(TestCase):
    """SIGTERM: no new calls, but the replies that are owed."""

    check_fds = False

    def test_sigterm_finishes_calls_under_way(self):
        pod = self.ready_pod(queues=2)
        held = self.hand_off(pod, queues=[0])
        c = pod.client()
        umem = client.umem_memfd(1 << 20)
        self.addCleanup(os.close, umem)
        # It takes a second, as the queue is held.
        slow = c.start('HandOffSocket', [umem], interface='eth0', queues=[0], umem_fd=1)
        next_ = c.start('HandOffSocket', [umem], interface='eth0', queues=[1], umem_fd=1)
        c.wait(c.start('GetInfo'))  # so the others have arrived
        self.node.process.send_signal(signal.SIGTERM)
        with self.refused('ALREADY_EXISTS'):
            c.wait(slow)
        _, fds = c.wait(next_)
        client.close_all(fds)
        with self.assertRaises(Closed):
            c.take()
        self.assertEqual(self.node.process.wait(20), 0)
        self.node.start()
        self.admin = self.node.admin()
        self.assertEqual([p.id for p in self.admin.programs()], [pod.program.id])
        held.close()

    def test_sigterm_does_not_wait_for_a_client_that_does_not_read(self):
        c = self.node.admin()
        self.addCleanup(c.close)
        c.sock.settimeout(0.5)
        with contextlib.suppress(OSError):
            for _ in range(5000):
                c.start('GetInfo')
        began = time.monotonic()
        self.assertEqual(self.node.stop(), 0)
        self.assertLess(time.monotonic() - began, 15)
        self.node.start()

    def test_second_signal_ends_it_at_once(self):
        pod = self.ready_pod()
        self.hand_off(pod)
        umem = client.umem_memfd(1 << 20)
        self.addCleanup(os.close, umem)
        # Each would wait 200 ms for its queue, one after the other.
        for c in [pod.client() for _ in range(4)]:
            for _ in range(15):
                c.start('HandOffSocket', [umem], interface='eth0', umem_fd=1)
            c.wait(c.start('GetInfo'))
        self.node.process.send_signal(signal.SIGTERM)
        wait_for(lambda: 'finishing' in self.node.log_since(self.log_at), 'the first')
        began = time.monotonic()
        self.node.process.send_signal(signal.SIGTERM)
        status = self.node.process.wait(30)
        took = time.monotonic() - began
        self.node.start()
        self.assertEqual(status, 0)
        self.assertLess(took, 5, 'seconds after the second signal, as sixty calls were queued')


if __name__ == '__main__':
    tap.main()
