# SPDX-License-Identifier: Apache-2.0
"""A node whose daemon has a service manager: what systemd does with Type=notify, sockets that it
passes and FileDescriptorStoreMax=, played here over the same protocol, with real descriptors."""
import array
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

from node import Node, wait_for

# Becomes what follows, with the descriptors named from 3 on, as sd_listen_fds(3) wants them.
WRAPPER = '''
import fcntl, os, sys
fds = [int(n) for n in sys.argv[1].split(',') if n]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3 + len(fds)) for fd in fds]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
    os.set_inheritable(3 + i, True)
os.closerange(3 + len(fds), 4096)
os.environ['LISTEN_PID'] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
'''


def same_file(a, b):
    """Whether two descriptors are of one open file: systemd does not store it twice."""
    return os.fstat(a)[:2] == os.fstat(b)[:2]


class Manager:
    """The store, and who reads the datagrams. Reading can be stopped, to have the queue fill."""

    def __init__(self, path):
        self.path = path
        self.store = []  # of (name, fd), in order
        self.seen = []  # words of all messages
        self.lock = threading.Lock()
        self.reading = threading.Event()
        self.reading.set()
        self.over = False
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.sock.settimeout(0.05)
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        """Take messages in, until the end."""
        while not self.over:
            if not self.reading.wait(0.05):
                continue
            with contextlib.suppress(socket.timeout):
                data, ancillary, flags, _ = self.sock.recvmsg(4096, socket.CMSG_SPACE(253 * 4))
                assert not flags & socket.MSG_CTRUNC
                fds = array.array('i')
                for _, kind, body in ancillary:
                    if kind == socket.SCM_RIGHTS:
                        fds.frombytes(body[:len(body) // 4 * 4])
                self.take(data.decode(), list(fds))

    def take(self, text, fds):
        """One message."""
        words = dict(line.split('=', 1) for line in text.splitlines())
        name = words.get('FDNAME', 'stored')
        drop = []
        with self.lock:
            if words.get('FDSTORE') == '1':
                assert words['FDPOLL'] == '0' and len(fds) == 1, text
                if any(same_file(fds[0], fd) for _, fd in self.store):
                    drop = fds
                else:
                    self.store += [(name, fd) for fd in fds]
            else:
                drop = fds
            if words.get('FDSTOREREMOVE') == '1':
                drop = drop + [fd for n, fd in self.store if n == name]
                self.store = [(n, fd) for n, fd in self.store if n != name]
            self.seen.append(text)
        for fd in drop:
            os.close(fd)

    def catch_up(self):
        """Until all is read that was sent by now: who sent it may have ended since."""
        mark = f'MARK={time.monotonic_ns()}'
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(mark.encode(), self.path)
        wait_for(lambda: mark in self.seen, 'the manager')

    def names(self):
        """What is stored, in order of the names."""
        with self.lock:
            return sorted(name for name, _ in self.store)

    def put(self, name, fd):
        """As if the daemon had."""
        with self.lock:
            self.store.append((name, fd))

    def clear(self):
        """Close all of it."""
        with self.lock:
            for _, fd in self.store:
                os.close(fd)
            self.store = []

    def close(self):
        """The end."""
        self.over = True
        self.reading.set()
        self.thread.join()
        self.sock.close()
        self.clear()


class ManagedNode(Node):
    """One daemon, and its service manager, that passes listening sockets and what it stores."""

    def __init__(self, config=None, flags=()):
        super().__init__(config, flags)
        self.manager = Manager(f'{self.dir}/notify')
        self.listeners = []

    def listen(self, path, mode):
        """A listening socket, as of a socket unit."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.bind(path)
        os.chmod(path, mode)
        s.listen(1024)
        self.listeners.append(s)

    def start(self, timeout=20):
        """As systemd does it: descriptors from 3 on, and their names."""
        if not self.listeners:
            os.makedirs(self.run_dir, exist_ok=True)
            self.listen(self.admin_path, 0o600)
            self.listen(self.pod_path, 0o666)
        self.manager.catch_up()
        at = len(self.manager.seen)
        with self.manager.lock:
            passed = [('xskd.socket', s.fileno()) for s in self.listeners] + self.manager.store
        env = {**os.environ, 'NOTIFY_SOCKET': self.manager.path, 'LISTEN_FDS': str(len(passed)),
               'LISTEN_FDNAMES': ':'.join(name for name, _ in passed)}
        argv = [sys.executable, '-c', WRAPPER, ','.join(str(fd) for _, fd in passed), 'nsenter',
                f'--net={self.host.path}', *self.argv()]
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=env, pass_fds=[fd for _, fd in passed])
        deadline = time.monotonic() + timeout
        while 'READY=1' not in self.manager.seen[at:]:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f'the daemon did not start:\n{self.log_since(0)[-3000:]}')
            time.sleep(0.002)
        return self

    def stored(self):
        """Names in the store, once the daemon has told all it had to tell."""
        last = None
        while last != self.manager.names():
            last = self.manager.names()
            time.sleep(0.03)
        return last

    def wait_stored(self, names):
        """Until just these are stored."""
        wait_for(lambda: self.manager.names() == sorted(names),
                 f'{sorted(names)} in the store, not {self.manager.names()}')

    def destroy(self):
        """The manager goes after the daemon."""
        if self.alive():
            status = self.stop()
            assert status == 0, status
        self.manager.close()
        for s in self.listeners:
            s.close()
        return super().destroy()
