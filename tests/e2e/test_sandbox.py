# SPDX-License-Identifier: Apache-2.0
"""Daemon and gate: who holds what, and how the one ends with the other."""
import os
import signal

import tap
from node import Node, TestCase, entries, wait_for


def children(pid):
    """Processes that a process has forked."""
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as f:
        return [int(n) for n in f.read().split()]


def comm(pid):
    """A process's name."""
    with open(f'/proc/{pid}/comm', encoding='ascii') as f:
        return f.read().rstrip('\n')


def runs(pid):
    """Whether there is such a process, and it is no zombie."""
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii') as f:
            return f.read().rpartition(')')[2].split()[0] not in 'ZX'
    except FileNotFoundError:
        return False


def links(pid):
    """What a process has open."""
    return {int(fd): os.readlink(f'/proc/{pid}/fd/{fd}') for fd in os.listdir(f'/proc/{pid}/fd')}


class Gate(TestCase):
    """The process that has CAP_SYS_ADMIN."""

    def gate(self):
        """Its pid."""
        forked = children(self.node.process.pid)
        self.assertEqual(len(forked), 1, forked)
        return forked[0]

    def test_is_one_process_that_ps_tells_apart(self):
        gate = self.gate()
        self.assertEqual(comm(gate), 'xskd-gate')
        with open(f'/proc/{gate}/cmdline', 'rb') as f:
            self.assertRegex(f.read(), b'^xskd: gate ')

    def test_has_its_channels_open_and_no_more(self):
        """Its log, its namespace, the lock of the run directory, and a channel for each worker."""
        pod = self.ready_pod()
        self.hand_off(pod).close()
        gate = links(self.gate())
        sockets = [fd for fd, what in gate.items() if what.startswith('socket:')]
        self.assertEqual(len(sockets), 8 + 1, gate)
        rest = sorted(what for fd, what in gate.items() if fd not in sockets)
        self.assertEqual(rest, sorted([os.path.realpath(self.node.log_path), self.node.run_dir,
                                       os.readlink(f'/proc/{self.node.process.pid}/ns/net')]))
        # None of them is a client's, or leads to one: the other ends are the daemon's.
        self.assertTrue(set(gate[fd] for fd in sockets).isdisjoint(
            links(self.node.process.pid).values()))

    def test_returns_to_its_namespace(self):
        gate = self.gate()
        own = os.readlink(f'/proc/{self.node.process.pid}/ns/net')
        pods = [self.ready_pod() for _ in range(3)]
        for pod in pods:
            self.hand_off(pod).close()
        for task in os.listdir(f'/proc/{gate}/task'):
            self.assertEqual(os.readlink(f'/proc/{gate}/task/{task}/ns/net'), own)

    def test_daemon_stays_in_its_namespace(self):
        """No thread of the daemon's is elsewhere, and none can have been: it cannot setns(2)."""
        pod = self.ready_pod()
        self.hand_off(pod).close()
        pid = self.node.process.pid
        spaces = {os.readlink(f'/proc/{pid}/task/{t}/ns/net') for t in os.listdir(f'/proc/{pid}/task')}
        self.assertEqual(len(spaces), 1)

    def test_many_calls_at_once(self):
        """More calls than channels: each waits for its turn, none for a wrong answer."""
        pods = [self.ready_pod(queues=2) for _ in range(12)]
        clients = [(pod, pod.client()) for pod in pods]
        for _ in range(3):
            hand_offs = [client.hand_off(pod.interface, queues=[0, 1]) for pod, client in clients]
            self.assertTrue(all(len(h.socket_fds) == 2 for h in hand_offs))
            for h in hand_offs:
                h.close()

    def test_foreign_program_is_named(self):
        """By the gate: the daemon cannot look programs up by their ids."""
        pod = self.pod()
        other = Node()
        other.start()
        self.addCleanup(lambda: self.assertEqual(other.destroy(), []))
        with other.admin() as admin, open(pod.path, 'rb') as netns:
            admin.call('LoadProgram', [netns.fileno()], netns_fd=1, interface=pod.interface)
        with self.refused('ALREADY_EXISTS', "already has XDP program 'xsk_redirect' .*bpf_link"):
            self.load(pod)


class Ends(TestCase):
    """The one ends with the other, and pods notice neither."""

    def nothing_left(self):
        if not self.node.alive():
            self.node.start()
            self.admin.close()
            self.admin = self.node.admin()
        super().nothing_left()

    def gate(self):
        """Its pid."""
        return children(self.node.process.pid)[0]

    def test_gate_killed_ends_the_daemon(self):
        pod = self.ready_pod()
        h = self.hand_off(pod).map()
        at = self.node.log_size()
        os.kill(self.gate(), signal.SIGKILL)
        self.assertEqual(self.node.process.wait(20), 1)
        self.assertRegex(self.node.log_since(at), r'error +the gate, .* has ended \(signal 9\)')
        pod.link.send(100)
        self.assert_sequence(h.receive(100), 100)
        self.node.start()
        self.assertEqual(len(self.node.pins()), 1)

    def test_daemon_killed_ends_the_gate(self):
        gate = self.gate()
        self.assertEqual(self.node.stop(signal.SIGKILL), -signal.SIGKILL)
        wait_for(lambda: not runs(gate), 'the end of the gate')

    def test_signals_of_the_terminal_end_the_gate_last(self):
        """They reach the gate as well, which the daemon needs until its own end."""
        gate = self.gate()
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(gate, sig)
        self.load(self.pod())
        self.assertEqual(self.node.stop(signal.SIGTERM), 0)
        self.assertFalse(runs(gate))

    def test_next_daemon_waits_for_the_last_gate(self):
        """A gate that is still in a system call of the last daemon's has the lock."""
        gate = self.gate()
        os.kill(gate, signal.SIGSTOP)  # SIGKILL of its parent's end goes through
        self.node.restart(signal.SIGKILL)
        self.assertFalse(runs(gate))
        self.assertNotEqual(self.gate(), gate)

    def test_no_child_is_left(self):
        pid = self.node.process.pid
        self.node.restart(signal.SIGTERM)
        self.assertEqual(entries(f'/proc/{pid}/task'), [])


if __name__ == '__main__':
    tap.main()
