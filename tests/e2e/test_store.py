# SPDX-License-Identifier: Apache-2.0
"""Kept sockets outlive the daemon where a service manager stores them for it."""
import concurrent.futures
import contextlib
import ctypes
import json
import os
import random
import signal
import socket
import struct
import subprocess
import time
import zlib

import tap
from manager import ManagedNode
from node import Closed, Link, Refused, TestCase, await_ready, client, entries, finish, wait_for


class StoreCase(TestCase):
    """What the classes below have in common."""

    node_class = ManagedNode
    check_fds = False  # the daemon of the end is not that of the beginning

    def restart(self, sig=signal.SIGKILL, between=lambda: None):
        """End the daemon, start it again, connect anew. Return: its log."""
        self.admin.close()
        at = self.node.log_size()
        self.node.stop(sig)
        self.node.manager.catch_up()
        between()
        self.node.start()
        self.admin = self.node.admin()
        return self.node.log_since(at)

    def keep(self, pod, **kw):
        """A kept hand-off whose process is gone again."""
        h = pod.client().hand_off('eth0', keep=True, **kw)
        h.map()
        h.close()
        return h

    def names(self, h, *ids):
        """Of a hand-off's descriptors in the store."""
        first = h.infos[0].id
        return [f'xskd-socket-{i.id}' for i in h.infos if not ids or i.id in ids] + [
            f'xskd-umem-{first}']

    def resume(self, pod, **kw):
        """The next process's hand-off."""
        h = self.hand_off(pod, keep=True, only_resume=True, **kw).recover()
        self.assertTrue(h.reply.resumed)
        return h

    def files(self):
        """Ids of which there are state files."""
        return entries(f'{self.node.run_dir}/state/sockets')

    def nothing_left(self):
        """Neither here nor in the store."""
        super().nothing_left()
        self.node.wait_stored([])
        self.assertEqual(self.files(), [])


class Store(StoreCase):
    """From one daemon to the next."""

    def test_pod_and_daemon_are_killed_and_no_packet_is_lost(self):
        pod = self.ready_pod()
        p = pod.python('--keep')
        await_ready(p)
        p.kill()
        p.wait()
        self.restart(between=lambda: pod.link.send(500))
        p = pod.python('--resume', '--count', '500')
        await_ready(p)
        out = json.loads(finish(p))
        self.assertTrue(out['resumed'])
        self.assert_sequence(out['sequences'], 500)

    def test_killed_again_and_again_under_traffic(self):
        pod = self.ready_pod()
        h = self.keep(pod)
        sender = subprocess.Popen(pod.link.sender(1500, 3000), stdout=subprocess.DEVNULL)
        self.addCleanup(sender.wait)
        for sig in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            self.restart(sig)
        sender.wait()
        again = self.resume(pod)
        self.assertEqual([i.id for i in again.infos], [i.id for i in h.infos])
        self.assert_sequence(again.receive(1500), 1500)

    def test_receiver_that_lives_goes_on(self):
        pod = self.ready_pod()
        p = pod.receive('--keep', '--count', '8000', '--ring-size', '8192', '--duration', '50')
        sender = subprocess.Popen(pod.link.sender(8000, 4000), stdout=subprocess.DEVNULL)
        self.addCleanup(sender.wait)
        for _ in range(3):
            self.restart()
        out = json.loads(finish(p))
        self.assertEqual((out['sequenced'], out['lost'], out['duplicated']), (8000, 0, 0))

    def test_all_is_known_of_it_again(self):
        pod = self.ready_pod(queues=2)
        self.keep(pod, queues=[0, 1], rx_size=512, headroom=64)
        before, lease = self.admin.sockets(), self.admin.leases()
        for sig in (signal.SIGKILL, signal.SIGTERM):
            self.restart(sig)
            self.assertEqual(self.admin.sockets(), before)
            self.assertEqual(self.admin.leases(), lease)
            self.assertEqual(self.admin.call('GetInfo').activity.sockets_found, 2)
        self.assertEqual(lease[0].sockets, 2)
        self.assertGreater(lease[0].umem_bytes, 0)

    def test_ids_are_never_given_again(self):
        pod = self.ready_pod()
        seen = set()
        for _ in range(4):
            h = pod.client().hand_off('eth0')
            ids = {h.infos[0].id, self.admin.leases()[0].id}
            h.close()
            self.assertFalse(seen & {h.infos[0].id})
            seen |= ids
            self.restart()
        self.assertEqual(len(seen), 5)  # the lease kept its own

    def test_stored_goes_with_its_lease(self):
        pod = self.ready_pod()
        h = self.keep(pod)
        self.node.wait_stored(self.names(h))
        self.assertEqual(self.files(), [str(h.infos[0].id)])
        self.restart()
        self.admin.call('RevokeLease', container=pod.container)
        self.node.wait_stored([])
        wait_for(lambda: not self.files(), 'its file to go')
        self.grant(pod)
        self.hand_off(pod)  # the queue is free

    def test_released_is_not_stored_any_more(self):
        pod = self.ready_pod(queues=2)
        h = self.keep(pod, queues=[0, 1])
        self.restart()
        c = pod.client()
        c.call('ReleaseSocket', sockets=[h.infos[0].id])
        self.node.wait_stored(self.names(h, h.infos[1].id))
        lease = self.admin.leases()[0]
        self.restart()
        # The one that is left has the UMEM, and accounts for it.
        self.assertEqual(self.admin.leases()[0], lease)
        again = self.resume(pod, queues=[1])
        self.assertEqual([i.id for i in again.infos], [h.infos[1].id])
        pod.link.aim(1)
        pod.link.send(50)
        self.assert_sequence(again.receive(50), 50)
        pod.client().call('ReleaseSocket', sockets=[h.infos[1].id])
        self.node.wait_stored([])

    def test_queue_of_a_shared_device(self):
        pod = self.pod(link=False)
        nic = Link(self.node.host, 'nic0', pod.netns, 4)
        self.admin.call('LoadProgram', interface='nic0')
        self.grant(pod, interface='xdp0', device='nic0', queues=[1])
        c = pod.client()
        h = c.hand_off('xdp0', keep=True)
        h.map()
        h.close()
        self.restart()
        h = pod.client().hand_off('xdp0', keep=True, only_resume=True).recover()
        self.addCleanup(h.close)
        nic.aim(1)
        nic.send(100)
        self.assert_sequence(h.receive(100), 100)

    def test_goes_with_its_device(self):
        pod = self.ready_pod()
        self.keep(pod)
        pod.netns.ip('link', 'del', 'eth0')
        self.node.wait_stored([])

    def test_goes_with_its_device_while_nobody_looks(self):
        pod = self.ready_pod()
        self.keep(pod)
        self.restart(between=lambda: pod.netns.ip('link', 'del', 'eth0'))
        self.node.wait_stored([])
        self.assertEqual(self.admin.sockets(), [])

    def test_listening_sockets_are_the_managers(self):
        before = [os.stat(p).st_ino for p in (self.node.admin_path, self.node.pod_path)]
        self.restart()
        self.assertEqual([os.stat(p).st_ino for p in (self.node.admin_path, self.node.pod_path)],
                         before)


def map_delete(fd, queue):
    """bpf(2), BPF_MAP_DELETE_ELEM."""
    key = ctypes.c_uint32(queue)
    attr = ctypes.create_string_buffer(struct.pack('=IxxxxQQQ', fd, ctypes.addressof(key), 0, 0))
    assert ctypes.CDLL(None, use_errno=True).syscall(321, 3, attr, 32) == 0, ctypes.get_errno()


class Broken(StoreCase):
    """What a kill, or somebody else, has left in files and store."""

    def test_file_without_descriptor(self):
        pod = self.ready_pod()
        h = self.keep(pod)
        log = self.restart(between=self.node.manager.clear)
        self.assertRegex(log, f'kept socket {h.infos[0].id} is dropped')
        self.assertEqual(self.files(), [])
        self.assertEqual(self.admin.sockets(), [])
        self.hand_off(pod)

    def test_file_without_descriptor_of_a_living_holder(self):
        pod = self.ready_pod()
        h = self.hand_off(pod, keep=True).map()
        self.restart(between=self.node.manager.clear)
        self.assertEqual([(s.queue, s.kept) for s in self.admin.sockets()], [(0, False)])
        pod.link.send(100)
        self.assert_sequence(h.receive(100), 100)

    def test_descriptor_without_file(self):
        pod = self.ready_pod()
        h = self.keep(pod)
        path = f'{self.node.run_dir}/state/sockets/{h.infos[0].id}'
        self.restart(between=lambda: os.unlink(path))
        self.node.wait_stored([])
        self.hand_off(pod)

    def test_half_of_a_hand_off(self):
        # Killed between the first descriptor and the last, which is the UMEM.
        for gone in ('socket', 'umem'):
            pod = self.ready_pod(queues=2)
            h = self.keep(pod, queues=[0, 1])
            name = f'xskd-{gone}-{h.infos[0].id}'

            def forget(name=name):
                self.node.manager.take(f'FDSTOREREMOVE=1\nFDNAME={name}', [])
            self.restart(between=forget)
            left = [] if gone == 'umem' else self.names(h, h.infos[1].id)
            with self.subTest(gone):
                self.node.wait_stored(left)
                self.assertEqual(self.files(), [str(h.infos[1].id)] if left else [])
            self.admin.call('RevokeLease', container=pod.container)
            self.node.wait_stored([])

    def test_lease_that_ended_while_nobody_looked(self):
        pod = self.ready_pod()
        self.keep(pod)
        path = f'{self.node.run_dir}/state/leases/{pod.container}@eth0'
        self.restart(between=lambda: os.unlink(path))
        self.node.wait_stored([])
        self.assertEqual(self.files(), [])

    def test_killed_between_the_map_and_the_rest(self):
        pod = self.ready_pod()
        self.keep(pod)
        _, fds = pod.client().call_fds('GetXskMap', interface='eth0')
        map_delete(fds[0], 0)
        client.close_all(fds)
        self.restart()
        h = self.resume(pod)
        pod.link.send(100)
        self.assert_sequence(h.receive(100), 100)

    def test_strangers_in_the_store(self):
        pod = self.ready_pod(queues=2)
        h, other = self.keep(pod, queues=[0]), self.keep(pod, queues=[1])
        mine, theirs = h.infos[0].id, other.infos[0].id
        manager = self.node.manager

        def swap():
            """The one under the other's name, and whatever else there can be."""
            names = {f'xskd-socket-{mine}': f'xskd-socket-{theirs}',
                     f'xskd-socket-{theirs}': f'xskd-socket-{mine}',
                     f'xskd-umem-{theirs}': 'xskd-umem-5'}
            manager.store = [(names.get(name, name), fd) for name, fd in manager.store]
            for name in (f'xskd-socket-{mine}', f'xskd-umem-{theirs}', 'stored', '',
                         'xskd-socket-', 'xskd-socket-18446744073709551615', 'xskd-later-7',
                         'xskd-socket-7x', 'x' * 255):
                manager.put(name, os.open('/dev/null', os.O_RDWR))
                manager.put(name, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).detach())
                manager.put(name, client.memfd(4096))
                manager.put(name, os.pipe()[0])
            for _ in range(300):
                manager.put('xskd-socket-12', os.open('/', os.O_RDONLY))
        log = self.restart(between=swap)
        self.assertRegex(log, 'descriptors that no state file knows: closing them')
        wait_for(lambda: not self.admin.sockets(), 'them to be closed')
        self.assertEqual(self.files(), [])
        # What is called by no name of ours is not ours to remove.
        wait_for(lambda: not [n for n in manager.names() if n.startswith('xskd-socket-1')
                              or n.startswith('xskd-umem')], 'ours to be removed')
        self.assertIn('stored', manager.names())
        manager.clear()
        self.hand_off(pod, queues=[0, 1])
        self.assertLess(self.node.settled_fds(), 100)  # of more than 300

    def test_umem_that_is_another(self):
        pod = self.ready_pod()
        h = self.keep(pod, size=1 << 20)
        name = f'xskd-umem-{h.infos[0].id}'

        def replace():
            self.node.manager.take(f'FDSTOREREMOVE=1\nFDNAME={name}', [])
            self.node.manager.put(name, client.umem_memfd(1 << 20))
        self.restart(between=replace)
        self.node.wait_stored([])
        with self.refused('NOT_FOUND'):
            pod.client().hand_off('eth0', keep=True, only_resume=True)

    def rewrite(self, path, change):
        """Change the bytes of a state file and make its checksum right."""
        with open(path, 'rb') as f:
            body = change(f.read()[4:])
        with open(path, 'wb') as f:
            f.write(struct.pack('=I', zlib.crc32(body)) + body)

    def test_newer_daemons_sockets_wait_for_it(self):
        pod = self.ready_pod()
        h = self.keep(pod)
        at = f'{self.node.run_dir}/state/sockets'
        path = f'{at}/{h.infos[0].id}'
        self.restart(between=lambda: self.rewrite(path, lambda b: b'\x08\x63' + b[2:]))
        self.assertEqual(self.node.stored(), self.names(h))
        with self.refused('NOT_FOUND'):
            pod.client().hand_off('eth0', keep=True, only_resume=True)
        self.restart(between=lambda: self.rewrite(f'{at}/.later-{h.infos[0].id}',
                                                  lambda b: b'\x08\x01' + b[2:]))
        pod.link.send(100)
        self.assert_sequence(self.resume(pod).receive(100), 100)

    def test_file_from_elsewhere_is_set_aside(self):
        pod = self.ready_pod()
        h = self.keep(pod)
        at = f'{self.node.run_dir}/state/sockets'
        self.restart(between=lambda: os.rename(f'{at}/{h.infos[0].id}', f'{at}/77'))
        self.assertEqual(self.files(), [])
        self.assertEqual(entries(at, hidden=True), ['.bad-77'])
        self.node.wait_stored([])
        os.unlink(f'{at}/.bad-77')

    def test_program_is_another_pods_now(self):
        pod, other = self.ready_pod(), self.ready_pod()
        h = self.keep(pod)
        leases = {l.container: l for l in self.admin.leases()}
        ids = [leases[c.container].program_id for c in (pod, other)]
        old, new = (bytes((i >> s & 0x7f) | (0x80 if i >> s > 0x7f else 0)
                          for s in range(0, max(i.bit_length(), 1), 7)) for i in ids)

        def swap(body):
            self.assertEqual(body.count(old), 1)
            return body.replace(old, new)
        path = f'{self.node.run_dir}/state/sockets/{h.infos[0].id}'
        log = self.restart(between=lambda: self.rewrite(path, swap))
        self.assertRegex(log, f'socket {h.infos[0].id} is dropped: its program has gone')
        self.node.wait_stored([])
        self.hand_off(other)  # whose queue it has not taken

    def test_manager_that_is_gone(self):
        pod = self.ready_pod()
        h = self.keep(pod)
        manager = self.node.manager
        manager.reading.clear()
        try:
            # Fill what it has room for, so that nothing of ours fits.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                s.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        s.sendto(b'X=1', manager.path)
            other = self.ready_pod()
            at = self.node.log_size()
            began = time.monotonic()
            kept = self.keep(other)
            self.assertLess(time.monotonic() - began, 5)
            self.assertRegex(self.node.log_since(at), 'will end with the daemon')
            # And nobody waits for it who has nothing to do with it.
            pod.client().call('ReleaseSocket', sockets=[h.infos[0].id])
            began = time.monotonic()
            self.assert_serves()
            self.assertLess(time.monotonic() - began, 5)
        finally:
            manager.reading.set()
        self.node.wait_stored([])  # what could not be told was told in the end
        self.assertEqual([s.id for s in self.admin.sockets()], [kept.infos[0].id])
        self.restart()
        self.assertEqual(self.admin.sockets(), [])


class Rounds(StoreCase):
    """SIGKILL while hand-offs are under way."""

    def setUp(self):
        super().setUp()
        self.threads = concurrent.futures.ThreadPoolExecutor()
        self.addCleanup(self.threads.shutdown)

    def test_hand_off_that_was_cut_off_works_at_once_afterwards(self):
        seed = random.randrange(1 << 32)
        rng = random.Random(seed)
        pods = [self.ready_pod(queues=2) for _ in range(2)]
        for turn in range(30):
            clients = [pod.client() for pod in pods]
            work = [self.threads.submit(self.work, c, bool((turn + i) % 3))
                    for i, c in enumerate(clients)]
            time.sleep(rng.random() * 0.05)  # at a random moment: that is what this is about
            self.node.process.kill()
            for c in clients:  # of whom the next daemon would hear, if they went on waiting
                c.sock.shutdown(socket.SHUT_RDWR)
            with self.subTest(seed=seed, turn=turn):
                for w in work:
                    w.result()
                for c in clients:
                    c.close()
                self.restart()
                self.check(pods)

    def check(self, pods):
        """Files, store and ledger say the same, and the next hand-off is whole."""
        kept = sorted(str(s.id) for s in self.admin.sockets() if s.kept)
        # A manager that is busy may be told of what is dropped a little later.
        wait_for(lambda: sorted(self.files()) == kept, f'files of {kept}, not {self.files()}')
        wait_for(lambda: [n for n in self.node.stored() if 'socket' in n]
                 == [f'xskd-socket-{i}' for i in kept],
                 lambda: f'{kept} in the store, not {self.node.stored()}')
        for pod in pods:
            c = pod.client()
            try:
                h = c.hand_off('eth0', queues=[0, 1], keep=True, only_resume=True)
            except Refused:  # none was kept
                c.hand_off('eth0', queues=[0, 1], size=1 << 20).close()
            else:
                self.release(c, h)

    def work(self, c, keep):
        """Hand-offs, until the daemon goes."""
        with contextlib.suppress(Closed, OSError):
            while True:
                self.release(c, c.hand_off('eth0', queues=[0, 1], keep=keep, size=1 << 20))

    def release(self, c, h):
        """They are closed; whether the daemon has seen that yet or not."""
        h.close()
        with contextlib.suppress(Refused):
            c.call('ReleaseSocket', sockets=[i.id for i in h.infos])


if __name__ == '__main__':
    tap.main()
