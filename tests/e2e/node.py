# SPDX-License-Identifier: Apache-2.0
"""A node for tests: a daemon of its own, in a namespace of its own, with pods that hang off it.

Nothing is mocked: the built binaries, real namespaces, real veth pairs, processes that really have
no privilege. What a test makes is taken away after it, and it is checked that nothing is left.
"""
import atexit
import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get('XSKD_BUILD', os.path.join(TOP, 'build')))
PREFIX = f'xt{os.getpid()}'
# AddressSanitizer keeps freed memory back, and its leak check cannot run under ptrace(2).
SANITIZED = b'__asan_init' in open(f'{BUILD}/server/xskd', 'rb').read() if os.path.exists(
    f'{BUILD}/server/xskd') else False
NOBODY = 65534


def generate():
    """The messages in Python, in a directory that goes with this process."""
    out = tempfile.mkdtemp(prefix='xskd-pb-')
    atexit.register(shutil.rmtree, out, True)
    subprocess.run(['protoc', f'-I{TOP}/proto', f'--python_out={out}', 'xskd.proto'], check=True)
    sys.path.insert(0, out)
    return os.path.join(out, 'xskd_pb2.py')


PB_FILE = generate()

import client  # noqa: E402  it needs what generate() made
import xskd_pb2 as pb  # noqa: E402
from client import Client, Closed, Refused, in_netns  # noqa: E402,F401

numbers = itertools.count()


def wait_for(condition, what='it', timeout=10.0, step=0.005):
    """Wait until condition() is true; Return: what it answered."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            what = what() if callable(what) else what
            raise AssertionError(f'waited {timeout} s in vain for {what}')
        time.sleep(step)


def run(*argv, check=True, **kw):
    """Run a program to its end; Return: its stdout."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(argv)}: {done.returncode}: {done.stderr}")
    return done.stdout


def mounts_below(path):
    """Mount points below a directory, the deepest first."""
    with open('/proc/self/mounts', encoding='utf-8') as f:
        points = [line.split()[1] for line in f]
    return sorted((p for p in points if p.startswith(path + '/')), reverse=True)


def entries(path, hidden=False):
    """Names in a directory; none, where there is no directory."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(n for n in os.listdir(path) if hidden or not n.startswith('.'))
    return []


def netns_path(name):
    """Where `ip netns` keeps it."""
    return f'/run/netns/{name}'


def own_netns():
    """Namespaces that this process has made and not deleted."""
    return [n for n in entries('/run/netns') if n.startswith(PREFIX)]


class Netns:
    """A network namespace. IPv6 is off, for it would send packets by itself."""

    def __init__(self, tag='n'):
        self.name = f'{PREFIX}{tag}{next(numbers)}'
        self.path = netns_path(self.name)
        run('ip', 'netns', 'add', self.name)

        def quiet():
            with contextlib.suppress(FileNotFoundError):
                with open('/proc/sys/net/ipv6/conf/default/disable_ipv6', 'w',
                          encoding='ascii') as f:
                    f.write('1')
        in_netns(self.path, quiet)

    def ip(self, *args, **kw):
        """ip(8) in it."""
        return run('ip', '-n', self.name, *args, **kw)

    def links(self):
        """Names of its devices, without loopback."""
        lines = self.ip('-o', 'link').splitlines()
        return [n for n in (line.split(': ')[1].split('@')[0] for line in lines) if n != 'lo']

    def delete(self):
        """Remove the name; the kernel ends the namespace when nobody holds it."""
        if os.path.exists(self.path):
            run('ip', 'netns', 'del', self.name)


class Link:
    """A veth pair: one end is what leases are about, packets come in at the other."""

    def __init__(self, netns, name, peer, queues=1, mtu=None):
        self.netns, self.name, self.peer, self.queues = netns, name, peer, queues
        self.peer_name = f'p{next(numbers)}'
        q = ['numrxqueues', str(queues), 'numtxqueues', str(queues)]
        # From within: kernels before 6.13 want the name to be free where the call is made.
        netns.ip('link', 'add', name, *q, 'type', 'veth', 'peer', 'name', self.peer_name, 'netns',
                 peer.name, *q)
        if mtu:
            peer.ip('link', 'set', self.peer_name, 'mtu', str(mtu))
        peer.ip('link', 'set', self.peer_name, 'up')
        netns.ip('link', 'set', name, 'up')
        self.await_carrier()

    def await_carrier(self):
        """What is sent before the kernel has seen to it is dropped by the noop qdisc."""
        wait_for(lambda: 'state UP' in self.peer.ip('-o', 'link', 'show', self.peer_name),
                 'the carrier', step=0.001)

    def aim(self, queue):
        """Have all that is sent from now on come in at this queue: XPS sends all CPUs to it."""
        cpus = format((1 << os.cpu_count()) - 1, 'x')
        lines = [f"echo {cpus if q == queue else 0} > "
                 f"/sys/class/net/{self.peer_name}/queues/tx-{q}/xps_cpus"
                 for q in range(self.queues)]
        run('ip', 'netns', 'exec', self.peer.name, 'sh', '-ec', '\n'.join(lines))

    def sender(self, count, rate=None, size=60):
        """Arguments that run tests/sender on the other end."""
        argv = ['nsenter', f'--net={self.peer.path}', f'{BUILD}/tests/sender',
                '--interface', self.peer_name, '--count', str(count), '--size', str(size)]
        return argv + (['--rate', str(rate)] if rate else [])

    def send(self, count, rate=5000, **kw):
        """Send numbered packets, to the end; slowly, for veth drops what it has no room for."""
        out = run(*self.sender(count, rate, **kw))
        assert out == f'sent {count}\n', out


class Node:
    """One daemon: its directories, its host namespace, its log."""

    def __init__(self, config=None, flags=()):
        self.dir = tempfile.mkdtemp(prefix='xskd-e2e-')
        os.chmod(self.dir, 0o755)
        self.run_dir, self.bpf_dir = f'{self.dir}/run', f'{self.dir}/bpf'
        self.log_path = f'{self.dir}/log'
        self.admin_path = f'{self.run_dir}/admin/xskd.sock'
        self.pod_path = f'{self.run_dir}/pod/xskd.sock'
        self.flags = list(flags)
        self.process = None
        self.host = Netns('h')
        if config is not None:
            with open(f'{self.dir}/config.json', 'w', encoding='utf-8') as f:
                f.write(config)
            self.flags += ['--config', f'{self.dir}/config.json']
        nodes.append(self)
        self.make_kit()

    def make_kit(self):
        """What pods run, where uid 65534 can read it (a build directory may be closed to it)."""
        self.kit = f'{self.dir}/kit'
        for sub in ('client', 'sdk'):
            os.makedirs(f'{self.kit}/{sub}')
        shutil.copy(f'{BUILD}/client/xskctl', f'{self.kit}/client')
        shutil.copy(f'{BUILD}/sdk/libxskd.so.0', f'{self.kit}/sdk')
        shutil.copy(f'{HERE}/client.py', self.kit)
        shutil.copy(PB_FILE, self.kit)
        self.xskctl = f'{self.kit}/client/xskctl'

    # ---- the daemon ----

    def argv(self):
        """The daemon's command line."""
        return [f'{BUILD}/server/xskd', '--run-dir', self.run_dir, '--bpf-dir', self.bpf_dir,
                *self.flags]

    def start(self, timeout=20):
        """Start the daemon and wait until it says that it is ready."""
        path = f'{self.dir}/notify'
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, \
                open(self.log_path, 'ab') as log:
            notify.bind(path)
            notify.settimeout(0.2)
            # nsenter becomes the daemon, so the pid is the daemon's.
            self.process = subprocess.Popen(
                ['nsenter', f'--net={self.host.path}', *self.argv()], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env={**os.environ, 'NOTIFY_SOCKET': path})
            deadline = time.monotonic() + timeout
            while True:
                with contextlib.suppress(socket.timeout):
                    if b'READY=1' in notify.recv(256):
                        return self
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f'the daemon did not start:\n{self.log_since(0)[-3000:]}')

    def alive(self):
        """Whether the daemon runs."""
        return self.process is not None and self.process.poll() is None

    def stop(self, sig=signal.SIGTERM, timeout=20):
        """End the daemon; Return: its exit status."""
        if self.alive():
            self.process.send_signal(sig)
        return self.process.wait(timeout)

    def restart(self, sig=signal.SIGKILL):
        """End the daemon and start it again over what is there."""
        status = self.stop(sig)
        assert status == (0 if sig == signal.SIGTERM else -sig), status
        return self.start()

    def log_size(self):
        """For log_since()."""
        return os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0

    def log_since(self, at):
        """What the daemon has logged from there on."""
        if not os.path.exists(self.log_path):
            return ''
        with open(self.log_path, 'rb') as f:
            f.seek(at)
            return f.read().decode('utf-8', 'backslashreplace')

    def n_fds(self):
        """How many file descriptors the daemon has open."""
        return len(os.listdir(f'/proc/{self.process.pid}/fd'))

    def fd_names(self):
        """What they are, for a message."""
        out = []
        for fd in os.listdir(f'/proc/{self.process.pid}/fd'):
            with contextlib.suppress(FileNotFoundError):
                out.append(os.readlink(f'/proc/{self.process.pid}/fd/{fd}'))
        return sorted(out)

    def settled_fds(self):
        """The number of fds, once the pool is full and what others have closed is closed.

        The daemon may be without a CPU for longer than any pause, so it has to answer in between.
        """
        try:
            a = self.admin()
            a.pool_filled()
        except (Closed, OSError):  # no more connections: its limit of files
            return self.unchanged(lambda: None)
        with a:
            return self.unchanged(lambda: a.call('GetInfo')) - 1  # this connection

    def unchanged(self, between):
        """The number of fds, when it has been the same for a while."""
        last, same = self.n_fds(), 0
        while same < 6:
            between()
            time.sleep(0.004)
            now = self.n_fds()
            last, same = now, same + 1 if now == last else 0
        return last

    def pins(self):
        """Ids of programs that are pinned; those that wait in the pool are not counted."""
        return [n for n in entries(f'{self.bpf_dir}/programs') if not n.startswith('pool-')]

    def state_files(self):
        """Names of state files."""
        return [n for kind in ('programs', 'leases', 'sockets')
                for n in entries(f'{self.run_dir}/state/{kind}')]

    def admin(self, **kw):
        """A connection to the admin socket, from the daemon's own namespace."""
        return Client(self.admin_path, netns=self.host.path, **kw)

    # ---- its clients ----

    def ctl(self, *args, pod=None, stdin=None):
        """Run xskctl as root on the host, or in a pod; Return: the finished process."""
        argv = ['nsenter', f'--net={(pod or self.host).path}', self.xskctl,
                '--run-dir', self.run_dir, *args]
        return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=60, stdin=stdin or subprocess.DEVNULL)

    # ---- the end ----

    def destroy(self):
        """Take everything away, whatever state it is in; Return: what should not have been left."""
        left = []
        if self in nodes:
            nodes.remove(self)
        if self.alive():
            status = self.stop()
            if status != 0:
                left.append(f'the daemon ended with {status}')
        log = self.log_since(0)
        for word in ('Sanitizer:', 'runtime error:', 'Assertion'):
            if word in log:
                left.append(f'the daemon\'s log has "{word}":\n{log[log.index(word):][:3000]}')
        for point in mounts_below(self.dir):
            if point != self.bpf_dir:
                left.append(f'mount {point}')
            run('umount', point)
        left += [f'mount {p}' for p in mounts_below(self.dir)]
        self.host.delete()
        shutil.rmtree(self.dir)
        return left


nodes = []


def clean_up():
    """Last resort, when a test file ends early: nothing of it may stay on the machine."""
    for node in list(nodes):
        with contextlib.suppress(Exception):
            if node.alive():
                node.process.kill()
                node.process.wait(10)
            node.destroy()
    for name in own_netns():
        run('ip', 'netns', 'del', name, check=False)


atexit.register(clean_up)
# So that a test run that is ended from outside cleans up too.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


class Pod:
    """A namespace with one veth end in it, and processes that have no privilege there."""

    def __init__(self, test, queues=1, interface='eth0', mtu=None, link=True):
        self.test, self.node, self.interface = test, test.node, interface
        self.netns = Netns('p')
        self.path = self.netns.path
        test.namespaces.append(self.netns)
        self.link = None
        if link:
            self.peer = Netns('s')
            test.namespaces.append(self.peer)
            self.link = Link(self.netns, interface, self.peer, queues, mtu)
        self.container = f'c{next(numbers)}'

    def client(self, **kw):  # noqa: F811
        """A connection to the pod socket from this namespace, closed after the test."""
        c = Client(self.node.pod_path, netns=self.path, **kw)
        self.test.addCleanup(c.close)
        return c

    def argv(self, *argv, bare=True):
        """A command line that runs argv in the namespace, as nobody without any capability."""
        drop = ['setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups',
                '--no-new-privs', '--bounding-set=-all', '--inh-caps=-all']
        return ['nsenter', f'--net={self.path}', *(drop if bare else []), *argv]

    def start(self, *argv, **kw):
        """Start an unprivileged process; it is ended after the test."""
        kw.setdefault('stdout', subprocess.PIPE)
        kw.setdefault('stderr', subprocess.PIPE)
        kw.setdefault('stdin', subprocess.DEVNULL)
        p = subprocess.Popen(self.argv(*argv), text=True, **kw)
        self.test.addCleanup(end, p)
        return p

    def python(self, *args):
        """Start the Python client as an unprivileged process."""
        return self.start(sys.executable, '-B', f'{self.node.kit}/client.py', self.node.pod_path,
                          self.interface, *args)

    def receive(self, *args, before=(), outside=()):
        """Start `xskctl receive` as an unprivileged process; Return: it, once it receives.

        It may have a program before it that becomes it, in the pod or outside (as root).
        """
        ready, theirs = os.pipe()
        argv = [*outside, *self.argv(
            *before, self.node.xskctl, '--run-dir', self.node.run_dir, '-o', 'json', 'receive',
            self.interface, '--sequence', '--ready-fd', str(theirs), *args)]
        p = subprocess.Popen(argv, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, pass_fds=[theirs])
        self.test.addCleanup(end, p)
        os.close(theirs)
        got = os.read(ready, 1)  # the end of the pipe, where it fails
        os.close(ready)
        if got != b'\n':
            out, err = p.communicate(timeout=20)
            raise AssertionError(f'xskctl receive: {p.returncode}: {out} {err}')
        return p


def await_ready(process):
    """Wait for the line 'ready' of client.py; byte by byte, for what follows is communicate()'s."""
    line = b''
    while not line.endswith(b'\n'):
        byte = os.read(process.stdout.fileno(), 1)
        if not byte:
            raise AssertionError(f'{process.args}: {line} {process.communicate(timeout=20)}')
        line += byte
    assert line == b'ready\n', line


def end(process):
    """End a process that a test started, and close its pipes."""
    if process.poll() is None:
        process.kill()
    process.communicate()


def finish(process, timeout=60, status=0):
    """Wait for a process; Return: its stdout."""
    out, err = process.communicate(timeout=timeout)
    if process.returncode != status:
        raise AssertionError(f'{process.args}: {process.returncode}, not {status}: {out} {err}')
    return out


class TestCase(unittest.TestCase):
    """One daemon for the class; before and after each test it is empty, with the same fds open."""

    config = None
    flags = ()
    check_fds = True
    node_class = Node

    @classmethod
    def setUpClass(cls):
        cls.node = cls.node_class(cls.config, cls.flags)
        cls.addClassCleanup(cls.destroy_node)
        cls.node.start()

    @classmethod
    def destroy_node(cls):
        """End the class's daemon and see that nothing is left of it."""
        left = cls.node.destroy()
        left += [f'namespace {n}' for n in own_netns()]
        if left:
            raise AssertionError('left: ' + '\n'.join(left))

    def setUp(self):
        self.namespaces = []
        self.log_at = self.node.log_size()
        self.admin = self.node.admin()
        self.admin.pool_filled()
        self.fds_before = self.node.settled_fds()
        self.pid_before = self.node.process.pid
        # Registered first, so it runs last, when all that the test holds is closed.
        self.addCleanup(self.nothing_left)

    def nothing_left(self):
        """Take back what the test set up, through the daemon, and see that all of it is gone."""
        dead = not self.node.alive()
        try:
            self.admin.close()
            if dead:  # for the tests that follow
                self.node.start()
            self.admin = self.node.admin()
            self.admin.call('GetInfo')
            for program in self.admin.programs():
                self.take_back(program)
            for name in {lease.container for lease in self.admin.leases()}:
                self.admin.call('RevokeLease', container=name)
            self.assertEqual(self.admin.programs(), [])
            self.assertEqual(self.admin.leases(), [])
            self.assertEqual(self.admin.sockets(), [])
            # Those of a load that failed are removed behind its reply.
            wait_for(lambda: not self.node.pins(), lambda: f'the end of pins {self.node.pins()}')
            # Of a lease that has ended by itself it goes a little later.
            wait_for(lambda: self.node.state_files() == [],
                     lambda: f'the end of state files {self.node.state_files()}')
            self.admin.pool_filled()
            self.assert_fds()
            self.assertFalse(dead, 'the daemon had ended')
        finally:
            self.admin.close()
            for ns in self.namespaces:
                ns.delete()
        # A namespace that somebody still holds keeps its number here.
        if self.namespaces:
            wait_for(lambda: not self.node.host.ip('netns', 'list-id').strip(),
                     'the end of the namespaces')
            wait_for(lambda: not self.node.host.links(), 'the end of their devices')

    def take_back(self, program):
        """Unless it goes by itself, with its device or its last lease."""
        def over():
            try:
                self.admin.call('UnloadProgram', id=program.id, force=True)
            except Refused as e:
                if e.code not in ('NOT_FOUND', 'UNAVAILABLE'):
                    raise
                return e.code == 'NOT_FOUND'
            return True
        wait_for(over, f'the end of program {program.id}')

    def assert_fds(self, more=0):
        """The daemon has as many fds open as before the test (it may take some time to close)."""
        if not self.check_fds or self.node.process.pid != self.pid_before:
            return
        deadline = time.monotonic() + 20
        while self.node.n_fds() != self.fds_before + more:
            if time.monotonic() > deadline:
                self.fail(f'{self.node.n_fds()} fds are open, {self.fds_before + more} were: '
                          f'{self.node.fd_names()}')
            time.sleep(0.01)

    # ---- what tests set up ----

    def pod(self, **kw):
        """A pod with nothing granted to it."""
        return Pod(self, **kw)

    def load(self, pod, **fields):
        """Load a program on the pod's interface, in its namespace."""
        with open(pod.path, 'rb') as ns:
            return self.admin.call('LoadProgram', [ns.fileno()], netns_fd=1,
                                   interface=pod.interface, **fields).program

    def unload(self, pod, **fields):
        """Unload the program of the pod's interface."""
        with open(pod.path, 'rb') as ns:
            self.admin.call('UnloadProgram', [ns.fileno()], netns_fd=1,
                            interface=pod.interface, **fields)

    def grant(self, pod, **fields):
        """Grant the pod its interface."""
        fields.setdefault('container', pod.container)
        fields.setdefault('interface', pod.interface)
        with open(pod.path, 'rb') as ns:
            return self.admin.call('GrantLease', [ns.fileno()], netns_fd=1, **fields).lease

    def ready_pod(self, **kw):
        """A pod with a program and a lease: what a pod of an xskd network is."""
        pod = self.pod(**kw)
        pod.program = self.load(pod)
        pod.lease = self.grant(pod)
        return pod

    def hand_off(self, pod_or_client, interface='eth0', **kw):
        """A hand-off that is given back after the test."""
        c = pod_or_client.client() if isinstance(pod_or_client, Pod) else pod_or_client
        h = c.hand_off(interface, **kw)
        self.addCleanup(h.close)
        return h

    @contextlib.contextmanager
    def refused(self, code, text='', errno=None):
        """The block ends with this status, and its text says so."""
        with self.assertRaises(Refused) as caught:
            yield caught
        e = caught.exception
        self.assertEqual(e.code, code, e.text)
        if text:
            self.assertRegex(e.text, text)
        self.assertTrue(e.text, 'a refusal without a word')
        if errno is not None:
            self.assertEqual(e.errno, errno, e.text)

    def assert_serves(self):
        """The daemon still answers others, on both sockets."""
        with self.node.admin() as c:
            self.assertTrue(c.call('GetInfo').admin)
        with Client(self.node.pod_path) as c:
            self.assertFalse(c.call('GetInfo').admin)

    def assert_sequence(self, got, count):
        """All numbers, each once, in order: nothing was lost."""
        if got != list(range(count)):
            missing = sorted(set(range(count)) - set(got))
            self.fail(f'{len(got)} of {count} packets, {len(missing)} missing, from '
                      f'{missing[:5]}; {len(got) - len(set(got))} twice; first {got[:5]}')


def no_ptrace():
    """Whether this kernel or machine forbids ptrace(2) to us (then strace cannot run)."""
    return ctypes.CDLL(None).ptrace(0xffff, 0, 0, 0) == 0
