# SPDX-License-Identifier: Apache-2.0
"""Daemon and gate: who holds what, and how the one ends with the other."""
import contextlib
import ctypes
import errno
import os
import signal
import struct

import node
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
    return {int(fd): what for fd, what in read_links(f'/proc/{pid}/fd', '').items()}


def read_links(top, path):
    """Where TOP/*/PATH lead to: those that are still there."""
    found = {}
    for name in os.listdir(top):
        with contextlib.suppress(FileNotFoundError):
            found[name] = os.readlink(os.path.join(top, name, path).rstrip('/'))
    return found


def spaces(pid):
    """Network namespaces of its threads."""
    return set(read_links(f'/proc/{pid}/task', 'ns/net').values())


def capabilities(pid):
    """A process's sets of capabilities, by the letters of /proc/PID/status."""
    with open(f'/proc/{pid}/status', encoding='ascii') as f:
        fields = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
    sets = {key[3:]: int(value, 16) for key, value in fields.items() if key.startswith('Cap')}
    return sets, int(fields['NoNewPrivs']), int(fields['Seccomp'])


def slice_ns(tid):
    """How long a thread is let run at a time; 0 before Linux 6.12."""
    attr = ctypes.create_string_buffer(48)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(315), tid, attr, 48, 0) < 0:  # sched_getattr(2), x86-64
        raise OSError(ctypes.get_errno(), 'sched_getattr')
    return struct.unpack('IIQiIQQQ', attr.raw)[5]


NET_ADMIN, NET_RAW, IPC_LOCK, SYS_ADMIN, PERFMON, BPF = (
    1 << n for n in (12, 13, 14, 21, 38, 39))
DAEMON = BPF | IPC_LOCK | NET_ADMIN
GATE = NET_ADMIN | NET_RAW | SYS_ADMIN


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
        self.admin.pool_filled()  # or it is at that just now
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
        wait_for(lambda: spaces(gate) == {own}, lambda: f'its return: {spaces(gate)}, not {own}')

    def test_daemon_stays_in_its_namespace(self):
        """No thread of the daemon's is elsewhere, and none can have been: it cannot setns(2)."""
        pod = self.ready_pod()
        self.hand_off(pod).close()
        self.assertEqual(len(spaces(self.node.process.pid)), 1)

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


class Slices(TestCase):
    """Who comes first when several threads of the daemon want the same CPU."""

    def test_loop_comes_before_workers_and_gate(self):
        if os.uname().machine != 'x86_64' or not slice_ns(0):
            self.skipTest('this kernel does not tell slices')
        daemon = self.node.process.pid
        wait_for(lambda: slice_ns(daemon) == 100000, 'the short slice of the loop')
        others = [int(tid) for pid in [daemon] + children(daemon)
                  for tid in os.listdir(f'/proc/{pid}/task') if int(tid) != daemon]
        self.assertGreaterEqual(len(others), 8 + 8)
        for tid in others:
            self.assertGreater(slice_ns(tid), 100000)


class IntruderNode(Node):
    """A node whose daemon and gate have tests/intruder.c in them."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.report, self.elsewhere = f'{self.dir}/report', f'{self.dir}/elsewhere'
        os.mkdir(self.elsewhere)
        self.clear()

    def clear(self):
        """Nothing has been tried."""
        with open(self.report, 'r+b' if os.path.exists(self.report) else 'wb') as f:
            f.write(bytes(64 * 32))

    def argv(self):
        """env(1) becomes the daemon, so the pid stays the daemon's."""
        asan = os.environ.get('ASAN_OPTIONS', '')
        return ['env', f'LD_PRELOAD={node.BUILD}/tests/libintruder.so',
                f'XSKD_INTRUDER={self.report}', f'XSKD_INTRUDER_DIR={self.elsewhere}',
                f'ASAN_OPTIONS={asan}:verify_asan_link_order=0', *super().argv()]

    def attempts(self):
        """What was tried, and the errno of each."""
        with open(self.report, 'rb') as f:
            found = [struct.unpack('28si', f.read(32)) for _ in range(64)]
        return {name.rstrip(b'\0').decode(): err for name, err in found if name[0]}

    def intrude(self, pid, mild=False):
        """Have a process try all, or what does no harm; Return: as attempts()."""
        self.clear()
        os.kill(pid, signal.SIGRTMIN + mild)
        os.kill(pid, signal.SIGCONT)  # so that server/hold.c does not take it for the loop's doing
        wait_for(lambda: 'done' in self.attempts(), 'the intruder')
        return self.attempts()


class Custom(TestCase):
    """Loads an object of which the kernel asks for more than of most."""

    def load_custom(self):
        """The default program's own object, as if it were a custom one."""
        pod = self.pod()
        with open(pod.path, 'rb') as netns, \
                open(f'{node.BUILD}/bpf/xsk_redirect.bpf.o', 'rb') as f:
            return self.admin.call('LoadProgram', [netns.fileno(), f.fileno()], netns_fd=1,
                                   object_fd=2, interface=pod.interface).program


REFUSED = (errno.EPERM, errno.EACCES)
# What reports of sanitizers need, and builds with them may.
SANITIZERS = {'fork', 'execve', 'ptrace', 'kill', 'kill-all', 'code', 'passwd-read', 'list-root'}


class Sandbox(Custom):
    """What is left to whoever takes a process over."""

    @classmethod
    def setUpClass(cls):
        cls.node = IntruderNode(cls.config, cls.flags)
        cls.addClassCleanup(cls.destroy_node)
        cls.node.start()

    def gate(self):
        """Its pid."""
        return children(self.node.process.pid)[0]

    def test_capabilities_are_those_of_xskd_8(self):
        for pid, kept in ((self.node.process.pid, DAEMON), (self.gate(), GATE)):
            for task in os.listdir(f'/proc/{pid}/task'):
                sets, no_new_privileges, seccomp = capabilities(f'{pid}/task/{task}')
                self.assertEqual(sets, {'Inh': 0, 'Prm': kept, 'Eff': kept, 'Bnd': kept, 'Amb': 0})
                self.assertEqual((no_new_privileges, seccomp), (1, 2))

    def test_log_says_what_is_in_force(self):
        self.assertRegex(self.node.log_since(0),
                         'info +confined: CAP_BPF, CAP_NET_ADMIN, CAP_IPC_LOCK; no new privileges; '
                         'system calls filtered; files by Landlock [0-9]')

    def assert_refused(self, attempts, but=()):
        """All failed, of which nothing but the sandbox can be the reason."""
        allowed = set(but) | {'done'} | (SANITIZERS if node.SANITIZED else set())
        went = {name: errno.errorcode.get(err, err) for name, err in attempts.items()
                if err not in REFUSED and name not in allowed}
        self.assertEqual(went, {})
        self.assertGreater(len(attempts), 40)

    def landlock(self):
        """Files are open to the daemon on kernels without it, as far as root's are to root."""
        if 'kernel has none' in self.node.log_since(0):
            return {'create', 'mkdir', 'core-pattern', 'passwd-write', 'passwd-read', 'list-root'}
        return set()

    def test_daemon_can_do_nothing_but_its_work(self):
        attempts = self.node.intrude(self.node.process.pid)
        self.assert_refused(attempts, {'rtnetlink', 'bpf-map', 'bpf-run'} | self.landlock())
        self.assertEqual(attempts['rtnetlink'], 0)
        self.assertEqual(entries(self.node.elsewhere), [])
        pod = self.ready_pod()
        self.hand_off(pod).close()

    def test_gate_can_do_nothing_but_its_work(self):
        attempts = self.node.intrude(self.gate())
        # Of the two arguments that it needs, setns-any has the wrong one; the daemon is its own.
        self.assert_refused(attempts, {'xdp', 'rtnetlink', 'bpf-map', 'bpf-link', 'kill',
                                       'bpf-program-by-id'} |
                            ({'setns'} if node.SANITIZED else set()))
        self.assertEqual((attempts['xdp'], attempts['rtnetlink']), (0, 0))
        self.assertEqual(entries(self.node.elsewhere), [])
        pod = self.ready_pod()
        self.hand_off(pod).close()

    def test_program_that_needs_perfmon_is_refused(self):
        """It computes where in a map it writes; the default program does, but is the gate's."""
        with self.refused('INVALID_ARGUMENT', 'CAP_PERFMON.*"perfmon": true'):
            self.load_custom()


class SandboxOff(Sandbox):
    """For debugging; and the proof that these tests can fail."""

    config = '{ "sandbox": false }'

    def test_capabilities_are_those_of_xskd_8(self):
        sets, _, seccomp = capabilities(self.node.process.pid)
        self.assertTrue(sets['Eff'] & SYS_ADMIN)
        self.assertEqual(seccomp, 0)

    def test_log_says_what_is_in_force(self):
        self.assertRegex(self.node.log_since(0), 'warning the sandbox is OFF')

    def test_daemon_can_do_nothing_but_its_work(self):
        attempts = self.node.intrude(self.node.process.pid, mild=True)
        refused = [name for name, err in attempts.items() if err in REFUSED]
        self.assertEqual(refused, [])
        self.assertGreater(len(attempts), 15)

    test_gate_can_do_nothing_but_its_work = None
    test_program_that_needs_perfmon_is_refused = None


class Perfmon(Custom):
    """For custom programs that the verifier refuses without."""

    config = '{ "perfmon": true, "pool": 0 }'

    def test_daemon_has_it(self):
        sets, _, _ = capabilities(self.node.process.pid)
        self.assertEqual(sets['Eff'], DAEMON | PERFMON)

    def test_program_that_needs_it_loads(self):
        self.assertTrue(self.load_custom().custom)


class Missing(TestCase):
    """A daemon that was not given all capabilities."""

    def start_without(self, *names):
        """Start one; Return: its exit status, None for one that runs, and its log."""
        other = Node()
        drop = ','.join('-' + name for name in names)
        own = other.argv
        other.argv = lambda: ['setpriv', f'--bounding-set={drop}', f'--inh-caps={drop}', *own()]
        self.addCleanup(lambda: self.assertEqual(other.destroy(), []))
        with contextlib.suppress(AssertionError):
            other.start()
        return other.process.poll(), other.log_since(0), other

    def test_the_one_that_is_missing_is_named(self):
        for name in ('bpf', 'net_admin', 'net_broadcast', 'net_raw', 'sys_admin'):
            status, log, _ = self.start_without(name)
            self.assertEqual(status, 1)
            self.assertRegex(log, f'error +cannot start: CAP_{name.upper()} is missing, to ')

    def test_locked_memory_is_only_warned_of(self):
        status, log, _ = self.start_without('ipc_lock')
        self.assertIsNone(status)
        self.assertIn('CAP_IPC_LOCK is missing', log)

    def test_bounding_set_stays_without_setpcap(self):
        """As under systemd or a container runtime: then no new privileges keep it out of reach."""
        status, log, other = self.start_without('setpcap')
        self.assertIsNone(status, log)
        sets, no_new_privileges, _ = capabilities(other.process.pid)
        self.assertEqual((sets['Eff'], sets['Prm'], sets['Inh'], sets['Amb']),
                         (DAEMON, DAEMON, 0, 0))
        self.assertEqual(no_new_privileges, 1)


if __name__ == '__main__':
    tap.main()
