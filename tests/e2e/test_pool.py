# SPDX-License-Identifier: Apache-2.0
"""The pool: programs that are ready when they are asked for, and what becomes of them."""
import json
import os
import signal

import tap
from node import Link, Node, TestCase, wait_for
from test_programs import CONSTANTS, GOOD, HEAD, ProgramCase, REDIRECT, XSKMAP


class PoolCase(ProgramCase):
    """A daemon with a pool of a certain size."""

    size = 4

    @classmethod
    def setUpClass(cls):
        cls.node = Node(json.dumps({'pool': cls.size}))
        cls.addClassCleanup(cls.destroy_node)
        cls.node.start()


class Pool(PoolCase):
    """Of the default program."""

    def test_program_was_ready_and_the_reply_says_so(self):
        before = self.admin.pool()
        pod = self.pod()
        p = self.load(pod)
        self.assertTrue(p.from_pool)
        self.assertTrue(self.admin.programs()[0].from_pool)
        after = self.admin.pool()
        self.assertEqual((after.taken, after.missed), (before.taken + 1, before.missed))
        self.assertEqual(self.attached(pod.netns), (p.id, 'native'))

    def test_generic_and_native(self):
        for mode, name in ((1, 'native'), (2, 'generic')):
            pod = self.pod()
            p = self.load(pod, mode=mode)
            self.assertTrue(p.from_pool)
            self.assertEqual(self.attached(pod.netns), (p.id, name))

    def test_unloaded_program_serves_again(self):
        before = self.admin.pool()
        ids = set()
        pod = self.pod()
        for _ in range(3 * self.size):
            p = self.load(pod)
            self.assertTrue(p.from_pool)
            ids.add(p.id)
            self.unload(pod)
            self.assertIsNone(self.attached(pod.netns))
            self.admin.pool_filled()
        # Where something else was under way, as a sweep is once a second, another one is made.
        self.assertLess(len(ids), 3 * self.size)
        self.assertGreater(self.admin.pool().reused, before.reused + self.size)

    def test_late_unload_by_id_and_link_spares_the_next_one(self):
        """Whoever wrote both down does not unload what has the id now."""
        pod = self.pod()
        before = {}
        for _ in range(10 * self.size):
            p = self.load(pod)
            if p.id in before:
                break
            before[p.id] = p
            self.unload(pod)
            self.admin.pool_filled()
        first = before[p.id]
        self.assertNotEqual(p.link_id, first.link_id)
        with self.refused('NOT_FOUND', f"program {p.id} is not attached by link {first.link_id} "
                                       f"any more: it was unloaded, and that id serves 'eth0' now"):
            self.admin.call('UnloadProgram', id=p.id, link_id=first.link_id)
        self.assertEqual(self.attached(pod.netns), (p.id, 'native'))
        self.admin.call('UnloadProgram', id=p.id, link_id=p.link_id)
        self.assertIsNone(self.attached(pod.netns))

    def next_pod_is_alone(self):
        """Return: whether a second pod had the first one's program, whose socket is still open."""
        first = self.ready_pod()
        a = self.hand_off(first).map()
        p = first.program
        first.link.send(50)
        self.assert_sequence(a.receive(50), 50)
        self.admin.call('UnloadProgram', id=p.id, force=True)
        for _ in range(self.size):
            second = self.ready_pod()
            if second.program.id == p.id:
                break
        else:
            return False
        b = self.hand_off(second).map()
        stats = self.admin.call('GetStats', program_id=p.id).queues
        self.assertEqual([(s.redirected, s.passed) for s in stats], [(0, 0)])
        second.link.send(50)
        self.assert_sequence(b.receive(50), 50)
        first.link.send(50)
        for h in (a, b):
            self.assertEqual(len(h.receive(timeout=0.2, quiet=0.1)), 50)
        return True

    def test_next_pod_gets_its_own_packets_alone(self):
        # Where something else was under way meanwhile, a program is not used again.
        self.assertTrue(any(self.next_pod_is_alone() for _ in range(5)))

    def test_map_that_is_out_serves_nobody_else(self):
        before = self.admin.pool()
        pod = self.ready_pod()
        p = self.admin.programs()[0]
        _, fds = pod.client().call_fds('GetXskMap', interface='eth0')
        self.unload(pod)
        self.admin.pool_filled()
        self.assertEqual(self.admin.pool().reused, before.reused)
        for _ in range(self.size):
            self.assertNotEqual(self.load(self.pod()).map_id, p.map_id)
        for fd in fds:
            os.close(fd)

    def test_map_that_an_administrator_has_serves_nobody_else(self):
        pod = self.pod()
        p = self.load(pod)
        _, fds = self.admin.call_fds('GetXskMap', program_id=p.id)
        for fd in fds:
            os.close(fd)
        self.unload(pod)
        for _ in range(self.size):
            self.assertNotEqual(self.load(self.pod()).map_id, p.map_id)

    def test_more_than_are_ready(self):
        pods = [self.pod() for _ in range(self.size + 2)]
        programs = [self.load(pod) for pod in pods]
        self.assertTrue(programs[0].from_pool)
        self.assertEqual(len({p.id for p in programs}), len(programs))
        for pod, p in zip(pods, programs):
            self.assertEqual(self.attached(pod.netns), (p.id, 'native'))
        self.admin.pool_filled()
        for pod in pods:
            self.unload(pod)
            self.assertIsNone(self.attached(pod.netns))

    def test_device_with_more_queues(self):
        wide = [self.pod(queues=80) for _ in range(2)]
        p = self.load(wide[0])
        self.assertFalse(p.from_pool)
        self.assertEqual((p.queues, p.map_entries), (80, 80))
        self.admin.pool_filled()
        q = self.load(wide[1])
        self.assertTrue(q.from_pool)
        self.assertGreaterEqual(q.map_entries, 80)

    def test_refused_load_costs_nothing(self):
        pod = self.pod()
        pod.netns.ip('link', 'set', 'eth0', 'mtu', '1500')
        self.load(pod)
        before = self.admin.pool()
        with self.refused('ALREADY_EXISTS'):
            self.load(pod)
        with self.refused('NOT_FOUND'):
            self.admin.call('LoadProgram', interface='none0')
        after = self.admin.pool_filled()
        self.assertEqual((after.taken, after.missed), (before.taken, before.missed))

    def test_device_that_goes_gives_its_program_back(self):
        link = Link(self.node.host, 'gone0', self.pod().netns)
        p = self.admin.call('LoadProgram', interface='gone0').program
        self.assertTrue(p.from_pool)
        self.node.host.ip('link', 'del', link.name)
        wait_for(lambda: not self.admin.programs(), 'the end of the program')
        self.admin.pool_filled()

    def test_killed_daemon_leaves_programs_and_nothing_else(self):
        pod = self.ready_pod()
        h = self.hand_off(pod).map()
        p = self.admin.programs()[0]
        self.assertTrue(p.from_pool)
        self.admin.close()
        self.node.stop(signal.SIGKILL)
        # The namespace of those that waited is the kernel's to take away: nothing names it.
        pod.link.send(20)
        self.assert_sequence(h.receive(20), 20)
        self.node.start()
        self.admin = self.node.admin()
        self.assertEqual([q.id for q in self.admin.programs()], [p.id])
        self.admin.pool_filled()
        self.assertEqual(self.node.pins(), [str(p.id)])
        pod.link.send(20)
        self.assertEqual(len(h.receive(40)), 40)
        h.close()
        self.unload(pod, force=True)
        self.assertIsNone(self.attached(pod.netns))

    def test_stopped_daemon_takes_those_that_waited_along(self):
        self.admin.close()
        self.node.stop()
        self.assertEqual(os.listdir(f'{self.node.bpf_dir}/programs'), [])
        self.node.start()
        self.admin = self.node.admin()

    def test_info_tells(self):
        self.admin.pool_filled()
        shown = json.loads(self.node.ctl('-o', 'json', 'info').stdout)['pool']
        self.assertEqual((shown['size'], shown['ready'], shown['busy']), (self.size,) * 2 + (False,))
        self.assertIn('ready=4', self.node.ctl('info').stdout)
        pod = self.pod()
        shown = self.node.ctl('-o', 'json', 'program', 'load', 'eth0', '--netns', pod.path).stdout
        self.assertIs(json.loads(shown)['from_pool'], True)


class Custom(PoolCase):
    """Objects of administrators. What one test has loaded repeatedly is none of the next one's."""

    def setUp(self):
        self.node.stop()
        self.node.start()
        super().setUp()
        self.check_fds = False  # what is ready now stays

    def load_all(self, source, n, **fields):
        """It, onto so many new devices."""
        return [self.load_object(self.pod(), source, **fields) for _ in range(n)]

    def test_object_that_is_loaded_again_is_kept_ready(self):
        first, second = self.load_all(GOOD, 2)
        self.assertFalse(first.from_pool or second.from_pool)
        self.admin.pool_filled(more=self.size)
        third, fourth = self.load_all(GOOD, 2)
        self.assertTrue(third.from_pool and fourth.from_pool)
        self.assertEqual((third.name, third.custom, third.map), ('mine', True, 'xsks_map'))
        self.assertEqual(len({p.map_id for p in (first, second, third, fourth)}), 4)

    def test_constants_make_another_program_of_it(self):
        one = [{'name': 'small', 'number': 200}, {'name': 'medium', 'number': 7}]
        other = [{'name': 'small', 'number': 201}, {'name': 'medium', 'number': 7}]
        self.load_all(CONSTANTS, 2, constants=one)
        self.admin.pool_filled(more=1)
        self.assertFalse(self.load_all(CONSTANTS, 1, constants=other)[0].from_pool)
        self.assertTrue(self.load_all(CONSTANTS, 1, constants=one)[0].from_pool)

    def test_custom_program_is_not_used_twice(self):
        """Nobody knows what its maps hold."""
        self.load_all(GOOD, 2)
        self.admin.pool_filled(more=1)
        before = self.admin.pool()
        pod = self.pod()
        p = self.load_object(pod, GOOD)
        self.unload(pod)
        self.assertIsNone(self.attached(pod.netns))
        self.admin.pool_filled(more=1)
        self.assertEqual(self.admin.pool().reused, before.reused)
        self.assertNotEqual(self.load_object(pod, GOOD).id, p.id)

    def test_ready_one_has_its_constants(self):
        """Packets come through only with them."""
        constants = [{'name': 'small', 'number': 200}, {'name': 'medium', 'number': 0xdeadbeef},
                     {'name': 'large', 'number': -5}, {'name': 'key', 'value': b'\xaa2345\xff'}]
        self.load_all(CONSTANTS, 2, constants=constants)
        self.admin.pool_filled(more=1)
        pod = self.pod()
        self.assertTrue(self.load_object(pod, CONSTANTS, constants=constants).from_pool)
        self.grant(pod)
        h = self.hand_off(pod).map()
        pod.link.send(20)
        self.assert_sequence(h.receive(20), 20)
        h.close()

    def test_many_objects_share_the_pool(self):
        for name in ('one', 'two', 'three', 'four', 'five'):
            source = HEAD + XSKMAP % ('', 'xsks_map') + REDIRECT % (name, 'xsks_map')
            for p in self.load_all(source, 2):
                self.assertEqual(p.name, name)
            pool = self.admin.pool_filled(more=1)
            self.assertLessEqual(pool.ready, 2 * self.size)


class Off(PoolCase):
    """No pool."""

    size = 0

    def test_all_works_without(self):
        for _ in range(2):
            pod = self.ready_pod()
            self.assertFalse(self.admin.programs()[0].from_pool)
            h = self.hand_off(pod).map()
            pod.link.send(20)
            self.assert_sequence(h.receive(20), 20)
            h.close()
            self.unload(pod, force=True)
            self.assertIsNone(self.attached(pod.netns))
        pool = self.admin.pool()
        self.assertEqual((pool.size, pool.ready, pool.taken, pool.missed), (0, 0, 0, 0))
        self.assertEqual(os.listdir(f'{self.node.bpf_dir}/programs'), [])


class Many(PoolCase):
    """The largest pool there is."""

    size = 16

    def test_it_fills_and_empties(self):
        self.assertEqual(self.admin.pool_filled().ready, 16)
        pods = [self.pod() for _ in range(16)]
        self.assertTrue(all(self.load(pod).from_pool for pod in pods))
        for pod in pods:
            self.unload(pod)
            self.assertIsNone(self.attached(pod.netns))


class Configuration(TestCase):
    """What is no size of a pool."""

    def test_sizes_that_cannot_be(self):
        for size in (-1, 17, '"4"', 'null', '1.5'):
            bad = Node(f'{{"pool": {size}}}')
            with self.assertRaises(AssertionError):
                bad.start()
            self.assertIn('"pool" has to be a number from 0 to 16', bad.log_since(0))
            bad.destroy()


if __name__ == '__main__':
    tap.main()
