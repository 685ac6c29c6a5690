# SPDX-License-Identifier: Apache-2.0
"""A daemon that ends or fails where it is told to, and the calls that it is told to at.

The points are counted by tests/killer.c: one before and one behind each system call that changes
something. A case is one call of the protocol, with how to get ready for it, how to go back, and how
the state before and the state after are told from anything else.
"""
import collections
import contextlib
import json
import os
import signal
import struct
import subprocess
import time

import node
from node import Closed, Node, Refused, TestCase, finish, wait_for

# With CI's time in mind a sanitized daemon, three times as slow to start, does every third point.
STEP = 3 if node.SANITIZED and not os.environ.get('XSKD_ALL_POINTS') else 1
SETTLE = 0.02  # seconds
ALL, ALONE, FAIL = 0, 1, 2  # as in killer.c

Case = collections.namedtuple('Case', 'prepare call undo before after')
Row = collections.namedtuple('Row', 'name points ends lost')


def nothing():
    """Where a case needs none."""


class KillNode(Node):
    """A node whose daemon ends, or fails, when it is told to."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.kill_at = f'{self.dir}/kill-at'
        self.write(0)

    def write(self, countdown, what=ALL, error=0):
        """Set the countdown; 0: none."""
        with open(self.kill_at, 'r+b' if os.path.exists(self.kill_at) else 'wb') as f:
            f.write(struct.pack('iiii', countdown, 0, what, error))

    def disarm(self):
        """At no point; how many were passed stays."""
        with open(self.kill_at, 'r+b') as f:
            f.write(struct.pack('i', 0))

    def passed(self):
        """How many points were passed since the countdown was set."""
        with open(self.kill_at, 'rb') as f:
            return struct.unpack('iiii', f.read(16))[1]

    def argv(self):
        """env(1) becomes the daemon, so the pid stays the daemon's."""
        asan = os.environ.get('ASAN_OPTIONS', '')
        return ['env', f'LD_PRELOAD={node.BUILD}/tests/libkiller.so',
                f'XSKD_KILL_AT={self.kill_at}', f'ASAN_OPTIONS={asan}:verify_asan_link_order=0',
                *super().argv()]


class KillCase(TestCase):
    """What tests that kill have in common. A witness receives all the time, and loses nothing."""

    rows = []

    @classmethod
    def setUpClass(cls):
        cls.node = KillNode(cls.config, cls.flags)
        cls.addClassCleanup(cls.destroy_node)
        cls.addClassCleanup(cls.print_rows)
        cls.rows = []
        cls.node.start()

    @classmethod
    def print_rows(cls):
        """The matrix."""
        if not cls.rows:
            return
        print(f"# {'call':<40} {'points':>7} {'ended':>7} {'lost packets':>13}")
        for r in cls.rows + [Row('all', sum(r.points for r in cls.rows),
                                 sum(r.ends for r in cls.rows), sum(r.lost for r in cls.rows))]:
            print(f'# {r.name:<40} {r.points:>7} {r.ends:>7} {r.lost:>13}')

    def setUp(self):
        super().setUp()
        self.witness = self.ready_pod()
        self.receiver = self.witness.receive('--ring-size', '8192', '--duration', '600')
        self.sender = subprocess.Popen(self.witness.link.sender(10**7, rate=2000),
                                       stdout=subprocess.DEVNULL)
        self.addCleanup(node.end, self.sender)

    def ask_witness(self):
        """What the witness lost; it must have received something."""
        self.sender.kill()
        self.sender.wait()
        time.sleep(0.05)
        self.receiver.send_signal(signal.SIGTERM)
        told = json.loads(finish(self.receiver))
        self.assertGreater(told['sequenced'], 0)
        self.assertEqual((told['lost'], told['duplicated']), (0, 0), told)
        return told['lost']

    def nothing_left(self):
        self.node.disarm()
        if not self.node.alive():
            self.node.start()
        super().nothing_left()

    # ---- what there is, but for the witness ----

    def reconnect(self):
        """A fresh connection of the administrator's."""
        self.admin.close()
        self.admin = self.node.admin()

    def programs(self):
        """Programs."""
        return [p for p in self.admin.programs() if p.id != self.witness.program.id]

    def leases(self):
        """Leases."""
        return [l for l in self.admin.leases() if l.container != self.witness.container]

    def sockets(self):
        """Sockets."""
        return [s for s in self.admin.sockets() if s.container != self.witness.container]

    def files(self):
        """Pins, state files."""
        program, lease = str(self.witness.program.id), f'{self.witness.container}@eth0'
        return ([n for n in self.node.pins() if n != program],
                [n for n in self.node.state_files() if n not in (program, lease)])

    def empty(self):
        """Nothing is there."""
        return not self.programs() and not self.leases() and self.files() == ([], [])

    def state(self):
        """For messages."""
        return (sorted((p.interface, p.id) for p in self.programs()),
                sorted((l.container, l.interface, tuple(l.queues)) for l in self.leases()),
                *self.files())

    def attached(self, pod):
        """Whether an XDP program is on the pod's interface."""
        return 'xdp' in pod.netns.ip('link', 'show', pod.interface)

    def strays(self):
        """Pins and state files, where they are not those of what the daemon lists."""
        ids = sorted(str(p.id) for p in self.programs())
        leases = sorted(f'{l.container}@{l.interface}' for l in self.leases())
        hidden = [n for sub in ('programs', 'leases', 'sockets')
                  for n in node.entries(f'{self.node.run_dir}/state/{sub}', hidden=True)
                  if n.startswith('.')]
        return [] if self.files() == (ids, ids + leases) and not hidden else (self.files(), hidden)

    def assert_no_strays(self, where):
        """The file of a lease that has ended by itself goes a little later."""
        wait_for(lambda: not self.strays(), lambda: f'{where}: the end of {self.strays()}')

    # ---- counting and ending ----

    def count_points(self, call, what=ALL):
        """How many points a call passes that is left in peace."""
        self.arm(1 << 30, what)
        call()
        time.sleep(SETTLE)
        passed = self.node.passed()
        self.node.disarm()
        return passed

    def arm(self, countdown, what=ALL, error=0):
        """Behind the last point of the call before, whose reply we have but which goes on a little."""
        time.sleep(SETTLE)
        self.node.write(countdown, what, error)

    def died(self, at, what=ALL):
        """Whether the daemon was ended; not, where this time the call had fewer points."""
        try:
            status = self.node.process.wait(0.5)
        except subprocess.TimeoutExpired:
            self.node.disarm()  # from here on none is reached
            if self.node.passed() < at:
                return False
            status = self.node.process.wait(20)  # what it had open takes time to close
        # Without its gate the daemon ends by itself.
        self.assertIn(status, (-signal.SIGKILL, 1) if what == ALONE else (-signal.SIGKILL,),
                      f'point {at}')
        return True

    def kill_everywhere(self, name, case, what=ALL):
        """End the daemon at each point of the call."""
        case.prepare()
        points = self.count_points(case.call)
        case.undo()
        ends = 0
        for at in range(1, points + 1, STEP):
            where = f'{name}, point {at} of {points}'
            case.prepare()
            self.arm(at, what)
            # Where the gate alone has ended, the daemon says so before it ends, too.
            with contextlib.suppress(Closed, OSError, *([Refused] if what == ALONE else [])):
                case.call()
            if self.died(at, what):
                ends += 1
                self.node.disarm()
                self.node.start()
                self.reconnect()
            # The kernel frees what a dead process had in its own time.
            wait_for(lambda: case.before() or case.after(), f'{where}: {self.state()}')
            self.assert_no_strays(where)
            if not case.after():
                case.call()
                self.assertTrue(case.after(), f'{where}: the next call: {self.state()}')
            case.undo()
        self.assertGreaterEqual(ends, points // STEP // 2)
        self.rows.append(Row(name, points, ends, self.ask_witness()))

    def ready_queue_pod(self, **kw):
        """A pod, and a device of the host's that it may have queues of."""
        pod = self.pod(link=False)
        pod.link = node.Link(self.node.host, 'nic0', pod.netns, 4)
        pod.interface = pod.link.peer_name
        self.addCleanup(self.remove_nic)
        if kw.get('load', True):
            self.admin.call('LoadProgram', interface='nic0')
        return pod

    def revoke(self, pod):
        """The lease ends."""
        self.admin.call('RevokeLease', container=pod.container)

    def remove_nic(self):
        """The host's device, and what was on it."""
        if 'nic0' in self.node.host.links():
            self.node.host.ip('link', 'del', 'nic0')
        if self.node.alive():
            wait_for(lambda: 'nic0' not in [p.interface for p in self.admin.programs()],
                     'the end of its program')

    # ---- the cases ----

    def case_load_program(self, **fields):
        """Default program."""
        pod = self.pod()
        return Case(nothing, lambda: self.load(pod, **fields), lambda: self.unload(pod),
                    lambda: self.empty() and not self.attached(pod),
                    lambda: len(self.programs()) == 1 and self.attached(pod))

    def case_load_program_transient(self):
        """The same, which goes with its last lease."""
        return self.case_load_program(transient=True)

    def case_load_program_custom(self):
        """An object file."""
        pod = self.pod()

        def call():
            with open(pod.path, 'rb') as ns, \
                    open(f'{node.BUILD}/bpf/xsk_redirect.bpf.o', 'rb') as obj:
                self.admin.call('LoadProgram', [ns.fileno(), obj.fileno()], netns_fd=1,
                                object_fd=2, interface='eth0')
        return Case(nothing, call, lambda: self.unload(pod),
                    lambda: self.empty() and not self.attached(pod),
                    lambda: len(self.programs()) == 1 and self.attached(pod))

    def case_load_program_on_the_host(self):
        """No namespace is entered."""
        self.ready_queue_pod(load=False)

        def on():
            return 'xdp' in self.node.host.ip('link', 'show', 'nic0')
        return Case(nothing, lambda: self.admin.call('LoadProgram', interface='nic0'),
                    lambda: self.admin.call('UnloadProgram', interface='nic0'),
                    lambda: self.empty() and not on(),
                    lambda: len(self.programs()) == 1 and on())

    def case_unload_program(self):
        """Default program."""
        pod = self.pod()
        return Case(lambda: self.programs() or self.load(pod), lambda: self.unload(pod), nothing,
                    lambda: len(self.programs()) == 1 and self.attached(pod),
                    lambda: self.empty() and not self.attached(pod))

    def granted(self, pod, call):
        """A grant and its end."""
        return Case(nothing, call, lambda: self.revoke(pod),
                    lambda: not self.leases(), lambda: len(self.leases()) == 1)

    def case_grant_lease_device(self):
        """The whole device."""
        pod = self.pod()
        self.load(pod)
        return self.granted(pod, lambda: self.grant(pod))

    def case_grant_lease_queues(self):
        """Named queues of a device of the host's."""
        pod = self.ready_queue_pod()
        return self.granted(pod, lambda: self.grant(pod, device='nic0', queues=[1, 3]))

    def case_grant_lease_by_count(self):
        """Any two."""
        pod = self.ready_queue_pod()
        return self.granted(pod, lambda: self.grant(pod, device='nic0', queue_count=2))

    def case_revoke_lease(self):
        """Without sockets."""
        pod = self.pod()
        self.load(pod)
        return Case(lambda: self.grant(pod), lambda: self.revoke(pod), nothing,
                    lambda: len(self.leases()) == 1, lambda: not self.leases())

    def case_revoke_lease_with_a_kept_socket(self):
        """That goes with it."""
        pod = self.pod()
        self.load(pod)

        def prepare():
            self.grant(pod)
            with pod.client() as c:
                c.hand_off('eth0', keep=True).close()
        return Case(prepare, lambda: self.revoke(pod), nothing,
                    lambda: len(self.leases()) == 1,
                    lambda: not self.leases() and not self.sockets())

    def last_lease(self, pod, load, **grant):
        """RevokeLease of the last lease of a transient program."""
        def prepare():
            load()
            self.grant(pod, **grant)
        # The program goes first: asked again, the daemon finds a lease and ends that, too.
        return Case(prepare, lambda: self.revoke(pod), nothing,
                    lambda: len(self.leases()) == 1,
                    lambda: self.empty() and not self.attached(pod))

    def case_revoke_last_lease_of_a_transient_program(self):
        """Device mode."""
        pod = self.pod()
        return self.last_lease(pod, lambda: self.load(pod, transient=True))

    def case_revoke_last_lease_of_a_transient_program_queue_mode(self):
        """Queue mode."""
        pod = self.ready_queue_pod(load=False)
        return self.last_lease(pod, lambda: self.admin.call('LoadProgram', interface='nic0',
                                                            transient=True),
                               device='nic0', queue_count=1)

    def case_get_xsk_map(self):
        """Whatever happens, a map that is out is known to be out."""
        pod = self.pod()
        got = []

        def prepare():
            if not self.programs():
                self.load(pod)
                self.grant(pod)

        def call():
            with pod.client() as c:
                _, fds = c.call_fds('GetXskMap', interface=pod.interface)
                node.client.close_all(fds)
                got.append(True)

        def undo():
            self.unload(pod)
            self.revoke(pod)
            got.clear()
        return Case(prepare, call, undo, lambda: not got and len(self.programs()) == 1,
                    lambda: len(self.programs()) == 1 and self.programs()[0].map_given)

    def handed_off(self, pod, queues, **fields):
        """The queues are free again, or held by the client that has the sockets."""
        held = []

        def call():
            c = pod.client()
            held.append((c, c.hand_off(pod.interface, queues=queues, **fields)))

        def undo():
            while held:
                c, h = held.pop()
                h.close()
                if fields.get('keep') and self.sockets():
                    ids = [s.id for s in self.sockets()]
                    with pod.client() as again:
                        again.call('ReleaseSocket', sockets=ids)
                c.close()
            wait_for(lambda: not self.sockets(), 'the end of the sockets')

        def before():
            return not held and (not self.sockets() or all(s.kept for s in self.sockets()))
        return Case(nothing, call, undo, before,
                    lambda: len(held) == 1 and len(self.sockets()) == len(queues))

    def case_hand_off(self):
        """One queue."""
        return self.handed_off(self.ready_pod(), [0])

    def case_hand_off_three_queues(self):
        """That share a UMEM."""
        return self.handed_off(self.ready_pod(queues=4), [0, 2, 3])

    def case_hand_off_queue_mode(self):
        """A queue of the host's device."""
        pod = self.ready_queue_pod()
        self.grant(pod, device='nic0', queues=[1])
        return self.handed_off(pod, [1])

    def case_hand_off_unbound(self):
        """The client does the rest."""
        return self.handed_off(self.ready_pod(), [0], unbound=True)

    def case_hand_off_keep(self):
        """With a copy."""
        return self.handed_off(self.ready_pod(), [0], keep=True)

    def case_resume(self):
        """A kept socket goes out again; a daemon that was killed has none, and says so."""
        pod = self.ready_pod()
        got = []

        def prepare():
            if not self.sockets():
                with pod.client() as c:
                    c.hand_off('eth0', keep=True).close()

        def call():
            with pod.client() as c:
                c.hand_off('eth0', keep=True).close()
            got.append(True)

        def undo():
            got.clear()
        return Case(prepare, call, undo, lambda: not got, lambda: bool(got))

    def case_release_socket(self):
        """The client goes on holding it."""
        pod = self.ready_pod()
        held = []

        def prepare():
            c = pod.client()
            held.append((c, c.hand_off('eth0')))

        def call():
            ids = [s.id for s in self.sockets()]
            if ids:
                with pod.client() as c:
                    c.call('ReleaseSocket', sockets=ids)

        def undo():
            while held:
                c, h = held.pop()
                h.close()
                c.close()
            wait_for(lambda: not self.sockets(), 'the end of the socket')
        return Case(prepare, call, undo, lambda: len(self.sockets()) == 1,
                    lambda: not self.sockets())

    def case_questions(self):
        """Calls that change nothing, but for a socket of ours that looks whether a place is free."""
        pod = self.ready_pod()
        answered = []

        def call():
            with pod.client() as c:
                c.call('GetInfo')
                c.leases()
                c.sockets()
                c.call('GetStats', interface='eth0')
                c.watch()
            with self.node.admin() as a:
                a.programs()
                a.call('GetProgram', id=pod.program.id)
            answered.append(True)

        def as_it_was():
            return len(self.programs()) == len(self.leases()) == 1 and not self.sockets()
        return Case(nothing, call, answered.clear, as_it_was, lambda: answered and as_it_was())


def make_tests(cls, method, prefix='test_'):
    """A test for each case: it calls that method with the name and the case."""
    def make(name):
        return lambda self: getattr(self, method)(name, getattr(self, f'case_{name}')())
    for case in [n for n in dir(cls) if n.startswith('case_')]:
        setattr(cls, prefix + case[5:], make(case[5:]))
