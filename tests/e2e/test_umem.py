# SPDX-License-Identifier: Apache-2.0
"""The UMEM that a client sends: checked, limited, never trusted."""
import fcntl
import os
import select
import socket

import tap
from node import Refused, TestCase, client, wait_for

MIB = 1 << 20


class Umem(TestCase):
    """Memory that the client sends: checked, never trusted."""

    def refuse_umem(self, fd, text, **fields):
        """A hand-off with that fd is refused, and the connection lives."""
        pod = self.ready_pod()
        c = pod.client()
        try:
            with self.refused('INVALID_ARGUMENT', text):
                c.hand_off('eth0', umem=fd, **fields)
        finally:
            os.close(fd)
        self.hand_off(c)

    def test_unsealed_memfd(self):
        self.refuse_umem(client.memfd(MIB), 'F_SEAL_SHRINK')

    def test_half_sealed_memfd(self):
        for seal in (fcntl.F_SEAL_SHRINK, fcntl.F_SEAL_GROW):
            with self.subTest(seal=seal):
                self.refuse_umem(client.memfd(MIB, seal), 'seal')

    def test_memfd_sealed_against_writing(self):
        pod = self.ready_pod()
        fd = client.memfd(MIB, client.SEALS | fcntl.F_SEAL_WRITE)
        self.addCleanup(os.close, fd)
        with self.assertRaises(Refused) as caught:
            pod.client().hand_off('eth0', umem=fd)
        self.assertIn(caught.exception.code, ('INVALID_ARGUMENT', 'PERMISSION_DENIED'))

    def test_memfd_opened_read_only(self):
        pod = self.ready_pod()
        fd = client.umem_memfd(MIB)
        ro = os.open(f'/proc/self/fd/{fd}', os.O_RDONLY)
        self.addCleanup(os.close, fd)
        self.addCleanup(os.close, ro)
        with self.assertRaises(Refused) as caught:
            pod.client().hand_off('eth0', umem=ro)
        self.assertIn(caught.exception.code, ('INVALID_ARGUMENT', 'PERMISSION_DENIED'))

    def test_empty_memfd(self):
        self.refuse_umem(client.umem_memfd(0), '0 bytes')

    def test_memfd_shorter_than_a_frame(self):
        self.refuse_umem(client.umem_memfd(1024), '1024 bytes')

    def test_memfd_of_no_whole_number_of_frames(self):
        self.refuse_umem(client.umem_memfd(MIB + 100), 'whole number of frames')

    def test_memfd_that_ends_within_a_page(self):
        pod = self.ready_pod()
        h = self.hand_off(pod, size=MIB + 2048).map()
        pod.link.send(50)
        self.assert_sequence(h.receive(50), 50)

    def test_memfd_with_holes(self):
        self.refuse_umem(client.memfd(MIB, client.SEALS, allocate=False), 'holes')

    def test_memfd_with_one_hole(self):
        fd = client.umem_memfd(MIB)
        keep_size, punch = 1, 2
        self.assertEqual(client.libc.fallocate(fd, keep_size | punch, client.ctypes.c_long(8192),
                                               client.ctypes.c_long(4096)), 0)
        self.refuse_umem(fd, 'holes')

    def test_memfd_that_shrank_before_the_seal(self):
        fd = client.memfd(2 * MIB)
        os.ftruncate(fd, 5000)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, client.SEALS)
        self.refuse_umem(fd, '5000 bytes')

    def test_things_that_are_no_memfd(self):
        r, w = os.pipe()
        epoll = select.epoll()
        self.addCleanup(epoll.close)
        kinds = {
            'regular file': os.open(__file__, os.O_RDONLY),
            'pipe': r, 'pipe, other end': w,
            'epoll': os.dup(epoll.fileno()),
            'directory': os.open('/', os.O_RDONLY),
            'socket': socket.socket(socket.AF_UNIX).detach(),
            'device': os.open('/dev/zero', os.O_RDWR),
            'path': os.open('/etc', os.O_PATH),
            'netns': os.open('/proc/self/ns/net', os.O_RDONLY),
        }
        for name, fd in kinds.items():
            with self.subTest(name):
                self.refuse_umem(fd, 'not a memfd')

    def test_socket_of_the_connection_itself(self):
        pod = self.ready_pod()
        c = pod.client()
        with self.refused('INVALID_ARGUMENT', 'not a memfd'):
            c.hand_off('eth0', umem=c.sock.fileno())

    def test_no_umem(self):
        pod = self.ready_pod()
        with self.refused('INVALID_ARGUMENT', 'UMEM'):
            pod.client().call('HandOffSocket', interface='eth0')

    def test_umem_of_more_than_the_limit(self):
        limit = self.admin.call('GetInfo').limits.umem_bytes_per_lease
        pod = self.ready_pod()
        # A hole as large as that is refused for its holes; so ask for what the limit itself allows.
        self.assertGreater(limit, 64 * MIB)
        with self.refused('INVALID_ARGUMENT', 'holes'):
            fd = client.memfd(limit + 4096, client.SEALS, allocate=False)
            self.addCleanup(os.close, fd)
            pod.client().hand_off('eth0', umem=fd)

    def test_client_may_close_its_umem_and_unmap_it(self):
        pod = self.ready_pod()
        h = self.hand_off(pod).map()
        os.close(h.umem_fd)
        h.umem_fd = None
        pod.link.send(20)
        self.assert_sequence(h.receive(20), 20)


class SmallLimit(TestCase):
    """Limits of a lease."""

    config = '{"limits": {"umemBytesPerLease": 3145728, "socketsPerLease": 2}}'

    def test_umem_bytes_of_a_lease_are_limited(self):
        pod = self.ready_pod(queues=4)
        with self.refused('RESOURCE_EXHAUSTED', 'umemBytesPerLease'):
            pod.client().hand_off('eth0', size=4 * MIB)
        self.hand_off(pod, size=2 * MIB, queues=[0])
        with self.refused('RESOURCE_EXHAUSTED', 'umemBytesPerLease'):
            pod.client().hand_off('eth0', size=2 * MIB, queues=[1])
        self.hand_off(pod, size=MIB, queues=[1])

    def test_bytes_come_back_when_a_holder_ends(self):
        pod = self.ready_pod(queues=2)
        h = self.hand_off(pod, size=2 * MIB, queues=[0])
        h.close()
        wait_for(lambda: not self.admin.sockets(), 'the ledger')
        self.hand_off(pod, size=3 * MIB, queues=[1])

    def test_sockets_of_a_hand_off_are_limited(self):
        pod = self.ready_pod(queues=4)
        with self.refused('RESOURCE_EXHAUSTED', 'sockets'):
            pod.client().hand_off('eth0', queues=[0, 1, 2], size=MIB)

    def test_sockets_of_a_lease_are_limited(self):
        pod = self.ready_pod(queues=4)
        for queue in (0, 1):
            self.hand_off(pod, queues=[queue], size=MIB)
        with self.refused('RESOURCE_EXHAUSTED', 'sockets'):
            h = pod.client().hand_off('eth0', queues=[2], size=MIB)
            self.addCleanup(h.close)


if __name__ == '__main__':
    tap.main()
