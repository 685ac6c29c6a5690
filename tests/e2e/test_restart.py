# SPDX-License-Identifier: Apache-2.0
"""Killed at any moment, the daemon comes back to what the kernel has, and needs nobody's help."""
import contextlib
import os
import random
import re
import signal
import struct
import threading
import time
import zlib

import tap
from node import Closed, Refused, TestCase, client, entries, run, wait_for


class RestartCase(TestCase):
    """What the classes below have in common."""

    check_fds = False

    def restart(self, sig=signal.SIGKILL):
        """End the daemon, start it again, connect anew."""
        self.admin.close()
        self.node.restart(sig)
        self.admin = self.node.admin()

    def attached(self, pod):
        """Id of the program that the kernel has on the pod's interface."""
        found = re.search(r'prog/xdp id (\d+)', pod.netns.ip('-d', 'link', 'show', pod.interface))
        return int(found.group(1)) if found else None

    def assert_consistent(self, pods):
        """What the daemon lists, the pins, the state files and the kernel say the same."""
        programs = self.admin.programs()
        listed = {p.id for p in programs}
        self.assertEqual({int(i) for i in self.node.pins()}, listed)
        self.assertEqual({int(i) for i in entries(f'{self.node.run_dir}/state/programs')}, listed)
        self.assertEqual(set(entries(f'{self.node.run_dir}/state/leases')),
                         {f'{lease.container}@{lease.interface}' for lease in self.admin.leases()})
        wait_for(lambda: {self.attached(pod) for pod in pods} - {None} == listed,
                 f'the kernel to have {listed} attached')


class Killed(RestartCase):
    """SIGKILL."""

    def test_killed_at_random_moments(self):
        seed = random.randrange(1 << 32)
        rng = random.Random(seed)
        pods = [self.pod() for _ in range(3)]
        for turn in range(25):
            threads = [threading.Thread(target=self.work, args=(pod, rng.random()))
                       for pod in pods]
            for t in threads:
                t.start()
            # At a random moment: that is what this is about.
            time.sleep(rng.random() * 0.06)
            self.node.process.kill()
            for t in threads:
                t.join()
            self.admin.close()
            self.node.process.wait()
            self.node.start()
            self.admin = self.node.admin()
            with self.subTest(seed=seed, turn=turn):
                self.assert_consistent(pods)
                # All that is there can be used and ended.
                pod = pods[turn % 3]
                self.ready(pod)
                h = pod.client().hand_off('eth0', size=1 << 20)
                h.map()
                pod.link.send(10)
                self.assert_sequence(h.receive(10), 10)
                h.close()

    def ready(self, pod):
        """Whatever was half done: a program and a lease."""
        with contextlib.suppress(Refused):
            self.load(pod)
        with contextlib.suppress(Refused):
            self.grant(pod)

    def work(self, pod, start):
        """Rounds of everything, until the daemon goes."""
        steps = [self.step_load, self.step_grant, self.step_hand_off, self.step_revoke,
                 self.step_unload]
        with contextlib.suppress(Closed, OSError), self.node.admin() as admin, \
                open(pod.path, 'rb') as ns:
            i = int(start * 5)
            while True:
                with contextlib.suppress(Refused):
                    steps[i % 5](admin, pod, ns.fileno())
                i += 1

    def step_load(self, admin, pod, ns):
        """One of the five."""
        admin.call('LoadProgram', [ns], netns_fd=1, interface='eth0')

    def step_grant(self, admin, pod, ns):
        """One of the five."""
        admin.call('GrantLease', [ns], netns_fd=1, interface='eth0', container=pod.container)

    def step_hand_off(self, admin, pod, ns):
        """One of the five."""
        with client.Client(self.node.pod_path, netns=pod.path) as c:
            c.hand_off('eth0', size=1 << 20).close()

    def step_revoke(self, admin, pod, ns):
        """One of the five."""
        admin.call('RevokeLease', container=pod.container)

    def step_unload(self, admin, pod, ns):
        """One of the five."""
        admin.call('UnloadProgram', [ns], netns_fd=1, interface='eth0', force=True)

    def test_all_that_was_there_is_there_again(self):
        pod = self.pod(queues=4)
        self.load(pod)
        self.grant(pod, queues=[1, 3], labels={'pod': 'web-0'})
        programs, leases = self.admin.programs(), self.admin.leases()
        for sig in (signal.SIGKILL, signal.SIGTERM):
            self.restart(sig)
            self.assertEqual(self.admin.programs(), programs)
            again = self.admin.leases()
            for lease in again + leases:
                lease.ClearField('id')  # a number for one run of the daemon
                lease.ClearField('program_id')
            self.assertEqual(again, leases)

    def test_lease_outlives_its_program(self):
        pod = self.ready_pod()
        self.unload(pod)
        self.restart()
        self.assertEqual([(m.container, m.program_id) for m in self.admin.leases()],
                         [(pod.container, 0)])
        p = self.load(pod)
        self.restart()
        self.assertEqual([(m.container, m.program_id) for m in self.admin.leases()],
                         [(pod.container, p.id)])
        # Its address is another one now, but there is the program.
        pod.netns.ip('link', 'set', 'eth0', 'address', '02:00:00:00:00:77')
        self.restart()
        h = self.hand_off(pod).map()
        pod.link.send(100)
        self.assert_sequence(h.receive(100), 100)

    def test_restart_without_anything(self):
        for _ in range(3):
            self.restart()
        self.assert_consistent([])


class Strays(RestartCase):
    """What does not belong together is cleared away, or set aside and said."""

    def state(self, kind):
        """A directory of state files."""
        return f'{self.node.run_dir}/state/{kind}'

    def broken_restart(self, break_it):
        """Stop, break something, start; Return: what the log says of it."""
        self.admin.close()
        self.node.stop(signal.SIGKILL)
        at = self.node.log_size()
        break_it()
        self.node.start()
        self.admin = self.node.admin()
        return self.node.log_since(at)

    def test_pins_without_state_are_removed(self):
        pod = self.pod()
        p = self.load(pod)
        log = self.broken_restart(lambda: os.unlink(f'{self.state("programs")}/{p.id}'))
        self.assertRegex(log, f'program {p.id} was left half made')
        self.assert_consistent([pod])
        self.assertEqual(self.node.pins(), [])
        wait_for(lambda: self.attached(pod) is None, 'the kernel to detach it')
        self.load(pod)

    def test_state_without_pins_is_removed(self):
        pod = self.pod()
        p = self.load(pod)

        def remove():
            for name in os.listdir(f'{self.node.bpf_dir}/programs/{p.id}'):
                os.unlink(f'{self.node.bpf_dir}/programs/{p.id}/{name}')
            os.rmdir(f'{self.node.bpf_dir}/programs/{p.id}')
        self.assertRegex(self.broken_restart(remove), f'program {p.id} is not attached')
        self.assert_consistent([pod])

    def test_each_missing_pin_rolls_the_program_back(self):
        for name in ('link', 'map', 'prog'):
            pod = self.pod()
            p = self.load(pod)
            with self.subTest(name):
                self.broken_restart(
                    lambda n=name, i=p.id: os.unlink(f'{self.node.bpf_dir}/programs/{i}/{n}'))
                self.assertEqual(self.admin.programs(), [])
                self.assertEqual(self.node.pins(), [])
                wait_for(lambda pod=pod: self.attached(pod) is None, 'the kernel to detach it')

    def test_empty_pin_directory_is_removed(self):
        self.broken_restart(lambda: os.mkdir(f'{self.node.bpf_dir}/programs/999999999'))
        self.assertEqual(self.node.pins(), [])

    def test_pin_directory_of_somebody_else_is_left_alone(self):
        path = f'{self.node.bpf_dir}/programs/not-a-number'
        self.broken_restart(lambda: os.mkdir(path))
        self.assertTrue(os.path.isdir(path))
        os.rmdir(path)

    def test_damaged_files_are_set_aside_and_said(self):
        pods = [self.pod() for _ in range(4)]
        for pod in pods:
            self.grant(pod)
        files = [f'{self.state("leases")}/{pod.container}@eth0' for pod in pods]

        def damage():
            whole = open(files[0], 'rb').read()
            for path, data in zip(files, (whole[:len(whole) // 2], b'',
                                          whole[:20] + b'\xff' + whole[21:])):
                with open(path, 'wb') as f:
                    f.write(data)
        log = self.broken_restart(damage)
        for pod in pods[:3]:
            self.assertRegex(log, f"state file 'leases/{pod.container}@eth0' is damaged: set ")
        self.assertEqual([lease.container for lease in self.admin.leases()], [pods[3].container])
        bad = [n for n in os.listdir(self.state('leases')) if n.startswith('.bad-')]
        self.assertEqual(len(bad), 3)
        # Nothing of it stands in the way of granting anew.
        for pod in pods:
            self.grant(pod)
        self.assert_consistent(pods)
        for name in bad:
            os.unlink(f'{self.state("leases")}/{name}')

    def test_strangers_in_the_state_directory(self):
        other = f'{self.state("leases")}/README'

        def litter():
            with open(other, 'w', encoding='ascii') as f:
                f.write('hello, this is a text and no state file')
            os.mkdir(f'{self.state("leases")}/directory')
            os.symlink('/etc/passwd', f'{self.state("leases")}/link')
            with open(f'{self.state("leases")}/.new-half@eth0', 'wb') as f:
                f.write(b'half')
            with open(f'{self.state("programs")}/{"x" * 250}', 'wb') as f:
                f.write(b'name too long to be set aside')
        log = self.broken_restart(litter)
        self.assertRegex(log, "'leases/README' is damaged")
        self.assertEqual(self.admin.leases(), [])
        self.assertEqual(self.node.state_files(), [])
        self.assertFalse(os.path.exists(f'{self.state("leases")}/.new-half@eth0'))
        self.assertTrue(os.path.getsize('/etc/passwd'))
        for name in os.listdir(self.state('leases')):
            path = f'{self.state("leases")}/{name}'
            if os.path.isdir(path):
                os.rmdir(path)
            else:
                os.unlink(path)

    def test_fifo_in_the_state_directory_does_not_hang_the_start(self):
        path = f'{self.state("leases")}/fifo'
        self.admin.close()
        self.node.stop(signal.SIGKILL)
        os.mkfifo(path)
        try:
            self.node.start(timeout=15)
        except AssertionError:
            self.node.stop(signal.SIGKILL)
            os.unlink(path)
            self.node.start()
            self.fail('the daemon waits for somebody to write into the FIFO')
        finally:
            for name in ('fifo', '.bad-fifo'):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f'{self.state("leases")}/{name}')

    def rewrite(self, path, change):
        """Change the bytes of a state file and make its checksum right."""
        with open(path, 'rb') as f:
            body = change(f.read()[4:])
        with open(path, 'wb') as f:
            f.write(struct.pack('=I', zlib.crc32(body)) + body)

    def test_state_of_another_boot_is_ignored(self):
        pod = self.pod()
        p = self.load(pod)
        self.grant(pod)
        with open('/proc/sys/kernel/random/boot_id', encoding='ascii') as f:
            boot = f.read().strip().encode()

        def other_boot():
            for kind in ('programs', 'leases'):
                for name in entries(self.state(kind)):
                    self.rewrite(f'{self.state(kind)}/{name}',
                                 lambda body: body.replace(boot, b'0' * len(boot)))
        self.broken_restart(other_boot)
        self.assertEqual(self.admin.leases(), [])
        self.assertEqual(self.admin.programs(), [])
        self.assertEqual(self.node.state_files(), [])
        self.assertNotIn(str(p.id), self.node.pins())
        self.assert_consistent([pod])

    def test_state_of_a_newer_version_is_set_aside(self):
        pod = self.pod()
        self.grant(pod)
        path = f'{self.state("leases")}/{pod.container}@eth0'
        log = self.broken_restart(lambda: self.rewrite(path, lambda b: b'\x08\x63' + b[2:]))
        self.assertRegex(log, 'is of a newer xskd')
        self.assertEqual(self.admin.leases(), [])
        os.unlink(f'{self.state("leases")}/.later-{pod.container}@eth0')

    def test_program_of_a_newer_version_is_left_alone(self):
        pod = self.ready_pod()
        h = self.hand_off(pod).map()
        path = f'{self.state("programs")}/{pod.program.id}'
        log = self.broken_restart(lambda: self.rewrite(path, lambda b: b'\x08\x63' + b[2:]))
        self.assertRegex(log, f'program {pod.program.id} is of a newer xskd: leaving it alone')
        self.assertEqual(self.admin.programs(), [])
        pod.link.send(100)  # and its pod goes on
        self.assert_sequence(h.receive(100), 100)
        # Back with the newer one, which this one here now is.
        self.broken_restart(lambda: self.rewrite(f'{self.state("programs")}/.later-'
                                                 f'{pod.program.id}', lambda b: b'\x08\x01' + b[2:]))
        self.assertEqual([p.id for p in self.admin.programs()], [pod.program.id])
        self.assert_consistent([pod])

    def test_state_with_unknown_fields_is_read(self):
        pod = self.pod()
        self.grant(pod)
        path = f'{self.state("leases")}/{pod.container}@eth0'
        # A newer daemon wrote it: field 900.
        self.broken_restart(lambda: self.rewrite(path, lambda b: b + b'\xa2\x38\x03abc'))
        self.assertEqual([lease.container for lease in self.admin.leases()], [pod.container])

    def test_lease_of_a_dead_namespace_does_not_live_on_by_another(self):
        # The kernel gives out the number of a dead namespace again, to any other, and one eth0
        # looks like the next: with a program at the time of the grant, without, or none any more.
        for twin in (False, True):
            for loaded in ('never', 'unloaded', 'still'):
                with self.subTest(twin=twin, loaded=loaded):
                    self.bury(twin, loaded)

    def bury(self, twin, loaded):
        """A lease whose namespace dies while the daemon is away; another one gets its number."""
        pod = self.pod() if loaded == 'never' else self.ready_pod()
        other = self.pod(link=twin)
        if loaded == 'never':
            self.grant(pod)
        if loaded == 'unloaded':
            self.unload(pod)
        self.admin.close()
        self.node.stop()
        number = re.search(rf'nsid (\d+) .*: {pod.netns.name}\)', self.numbers()).group(1)
        pod.netns.delete()
        wait_for(lambda: not re.search(rf'nsid {number}\b', self.numbers()), 'its end')
        self.node.host.ip('netns', 'set', other.netns.name, number)
        self.node.start()
        self.admin = self.node.admin()
        self.assertEqual([lease.container for lease in self.admin.leases()], [])

    def numbers(self):
        """What the daemon's namespace calls the others."""
        return self.node.host.ip('netns', 'list-id')

    def test_run_directory_removed_while_running(self):
        pod = self.ready_pod()
        os.rename(f'{self.node.run_dir}/pod', f'{self.node.run_dir}/gone')
        self.restart()
        os.unlink(f'{self.node.run_dir}/gone/xskd.sock')
        os.rmdir(f'{self.node.run_dir}/gone')
        self.hand_off(pod)

    def test_stale_socket_file_does_not_stand_in_the_way(self):
        self.node.stop(signal.SIGKILL)
        self.assertTrue(os.path.exists(self.node.pod_path))
        os.unlink(self.node.pod_path)
        with open(self.node.pod_path, 'w', encoding='ascii') as f:
            f.write('a regular file')
        self.node.start()
        self.assert_serves()

    def test_map_given_is_kept_by_its_state_file(self):
        pod = self.ready_pod()
        _, fds = pod.client().call_fds('GetXskMap', interface='eth0')
        client.close_all(fds)
        self.restart()
        self.assertTrue(self.admin.programs()[0].map_given)
        _, fds = pod.client().call_fds('GetXskMap', interface='eth0')  # it is still its own
        client.close_all(fds)

    def test_state_that_cannot_be_written_fails_the_call_and_rolls_back(self):
        pod = self.pod()
        run('mount', '-t', 'tmpfs', '-o', 'size=4k,nr_inodes=2', 'xskd-test',
            self.state('programs'))
        try:
            # The daemon has the directory open from before; so have it opened anew.
            self.restart()
            with open(f'{self.state("programs")}/.full', 'wb') as f, \
                    contextlib.suppress(OSError):
                f.write(b'x' * 4096)
            with self.assertRaises(Refused):
                self.load(pod)
            self.assertEqual(self.admin.programs(), [])
            wait_for(lambda: not self.node.pins(), 'the pins to be removed')
            wait_for(lambda: self.attached(pod) is None, 'the kernel to detach it')
        finally:
            self.admin.close()
            self.node.stop()
            run('umount', self.state('programs'))
            self.node.start()
            self.admin = self.node.admin()


if __name__ == '__main__':
    tap.main()
