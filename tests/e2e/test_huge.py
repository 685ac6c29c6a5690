# SPDX-License-Identifier: Apache-2.0
"""Packet memory in huge pages: set aside by the administrator, put together by the kernel, or none."""
import ctypes
import fcntl
import json
import mmap
import os
import signal
import time
import unittest

import tap
from node import TestCase, client, wait_for

HUGE = 2 << 20
POOL = '/sys/kernel/mm/hugepages/hugepages-2048kB'
MFD_HUGETLB = 4
PUNCH_HOLE_KEEP_SIZE = 3
LIBC = ctypes.CDLL(None, use_errno=True)


def pool(what='nr_hugepages'):
    with open(f'{POOL}/{what}', encoding='ascii') as f:
        return int(f.read())


def resize(pages):
    """Set so many aside, beside those in use; Return: how many there are."""
    with open(f'{POOL}/nr_hugepages', 'w', encoding='ascii') as f:
        f.write(str(pages))
    return pool()


def why_not():
    """What keeps this machine from being tested, or None."""
    if not os.path.exists(POOL):
        return 'this kernel has no huge pages of 2 MiB'
    before = pool()
    try:
        got = resize(before + 8)
    except OSError as e:
        return f'huge pages cannot be set aside here: {e.strerror}'
    resize(before)
    return None if got >= before + 8 else 'there is no room for huge pages'


def finish(process):
    """End `xskctl receive`; Return: what it tells, and what it said."""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    return json.loads(out), err


class Huge(TestCase):
    """What there is to share belongs to the machine: it is given back as it was."""

    def set_aside(self, pages):
        """So many are free; the kernel gives those of an ended UMEM back a little later."""
        free, same = pool('free_hugepages'), 0
        while same < 5:
            time.sleep(0.04)
            now = pool('free_hugepages')
            free, same = now, same + 1 if now == free else 0
        before = pool()
        self.addCleanup(resize, before)
        if resize(before - pool('free_hugepages') + pages) < pages:
            self.skipTest('there is no room for huge pages')

    def receives(self, *options):
        """Hand off, receive packets; Return: what xskctl tells, and what it says."""
        pod = self.ready_pod()
        process = pod.receive(*options)
        pod.link.send(50)
        wait_for(lambda: self.admin.call('GetStats', program_id=pod.program.id)
                 .queues[0].redirected >= 50, 'the packets')
        told, said = finish(process)
        self.assertEqual((told['sequenced'], told['lost']), (50, 0))
        return told, said

    def complaint(self, *options):
        """What `xskctl receive` says."""
        done = self.node.ctl('receive', 'eth0', *options, pod=self.ready_pod())
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr


@unittest.skipIf(why_not(), why_not())
class SetAside(Huge):
    """MFD_HUGETLB."""

    def memfd(self, pages, hole=None):
        """A UMEM of huge pages, one of which may be missing."""
        fd = os.memfd_create('huge', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | MFD_HUGETLB)
        os.posix_fallocate(fd, 0, pages * HUGE)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, client.SEALS)
        if hole is not None:
            r = LIBC.fallocate(fd, PUNCH_HOLE_KEEP_SIZE, ctypes.c_long(hole * HUGE),
                               ctypes.c_long(HUGE))
            self.assertEqual(r, 0, os.strerror(ctypes.get_errno()))
        return fd

    def test_packets_come_in_huge_pages(self):
        self.set_aside(8)
        free = pool('free_hugepages')
        told, said = self.receives('--huge-pages')
        self.assertEqual(told['umem_page_size'], HUGE)
        self.assertIn('packet memory of 8192 KiB in pages of 2048 KiB', said)
        wait_for(lambda: pool('free_hugepages') == free, 'the pages, free again')

    def test_part_of_a_page_is_refused(self):
        self.set_aside(8)
        fd = os.memfd_create('huge', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | MFD_HUGETLB)
        self.addCleanup(os.close, fd)
        os.posix_fallocate(fd, 0, 4096)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, client.SEALS)
        with self.refused('INVALID_ARGUMENT', 'no whole number of its huge pages of 2097152'):
            self.ready_pod().client().hand_off('eth0', umem=fd)

    def test_size_is_rounded_up(self):
        self.set_aside(8)
        _, said = self.receives('--huge-pages', '--frames', '1')
        self.assertIn('packet memory of 2048 KiB in pages', said)

    def test_preferred_takes_them(self):
        self.set_aside(8)
        free = pool('free_hugepages')
        pod = self.ready_pod()
        process = pod.receive('--huge-pages=preferred')
        self.assertEqual(pool('free_hugepages'), free - 4)
        self.assertEqual(finish(process)[0]['umem_page_size'], HUGE)

    def test_too_few_free_says_how_many(self):
        self.set_aside(3)
        self.assertRegex(self.complaint('--huge-pages'),
                         r'4 huge pages of 2 MiB are needed for the packet memory; the node has '
                         r'\d+, of which 3 are free: raise `sysctl vm.nr_hugepages`, in a pod also '
                         r'its limit `hugepages-2Mi`')

    def test_none_of_one_gib(self):
        path = '/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages'
        if not os.path.exists(path):
            self.skipTest('this machine has no pages of 1 GiB')
        with open(path, encoding='ascii') as f:
            if int(f.read()):
                self.skipTest('somebody has set pages of 1 GiB aside')
        self.assertRegex(self.complaint('--huge-pages=1G'),
                         r'1 huge pages of 1 GiB are needed .* has 0, of which 0 are free: raise '
                         r'`/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages`.*'
                         r'`hugepages-1Gi`')

    def test_one_with_a_hole_is_refused(self):
        self.set_aside(8)
        c = self.ready_pod().client()
        fd = self.memfd(4, hole=2)
        self.addCleanup(os.close, fd)
        with self.refused('INVALID_ARGUMENT', 'has holes'):
            c.hand_off('eth0', umem=fd)

    def test_limit_counts_them(self):
        self.set_aside(8)
        h = self.ready_pod().client().hand_off('eth0', umem=self.memfd(3))
        self.addCleanup(h.close)
        self.assertEqual(h.reply.sockets[0].umem_bytes, 3 * HUGE)

    def test_kept_ones_come_back(self):
        self.set_aside(8)
        pod = self.ready_pod()
        finish(pod.receive('--huge-pages', '--keep'))
        told, _ = finish(pod.receive('--keep', '--release'))
        self.assertEqual((told['resumed'], told['umem_page_size']), (True, HUGE))


class Preferred(Huge):
    """Without any set aside."""

    def test_put_together_or_small(self):
        if os.path.exists(POOL) and pool('free_hugepages'):
            self.skipTest('somebody has set huge pages aside')
        told, said = self.receives('--huge-pages=preferred')
        page = told['umem_page_size']
        self.assertIn(page, (mmap.PAGESIZE, HUGE))
        self.assertIn(f'packet memory of 8192 KiB in pages of {page // 1024} KiB', said)

    def test_without_the_wish_nothing_is_said(self):
        told, said = self.receives()
        self.assertEqual(told['umem_page_size'], mmap.PAGESIZE)
        self.assertNotIn('packet memory', said)


class Wrong(Huge):
    """What is no choice."""

    def test_a_word_that_is_none(self):
        done = self.node.ctl('receive', 'eth0', '--huge-pages=some', pod=self.ready_pod())
        self.assertEqual(done.returncode, 2)
        self.assertIn('required, preferred', done.stderr)


if __name__ == '__main__':
    tap.main()
