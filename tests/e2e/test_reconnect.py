# SPDX-License-Identifier: Apache-2.0
"""A program on libxskd does not have to know that the daemon was restarted."""
import ctypes
import errno
import json
import signal
import subprocess
import threading
import unittest

import tap
from node import BUILD, SANITIZED, TestCase, end, in_netns, wait_for


class Library:
    """libxskd, called from this process."""

    def __init__(self):
        self.lib = ctypes.CDLL(f'{BUILD}/sdk/libxskd.so.0')
        self.lib.xskd_error.restype = ctypes.c_char_p

    def open(self, path, timeout_ms=30000):
        """A connection, for the namespace that this thread is in."""
        x = ctypes.c_void_p()
        r = self.lib.xskd_open(path.encode(), timeout_ms, ctypes.byref(x))
        assert r == 0, self.lib.xskd_error(x)
        return x

    def hand_off(self, x):
        """A hand-off that is given back at once; Return: what xskd_hand_off() did, and its text."""
        h = ctypes.c_void_p()
        r = self.lib.xskd_hand_off(x, b'eth0', None, ctypes.byref(h))
        text = self.lib.xskd_error(x).decode()
        if r == 0:
            self.lib.xskd_handoff_free(h)
        return r, text

    def close(self, x):
        """The end."""
        self.lib.xskd_close(x)


class Reconnect(TestCase):
    """The daemon is killed, and the next call works."""

    check_fds = False

    @unittest.skipIf(SANITIZED, 'Python does not load a sanitized library')
    def test_hand_offs_go_on_whenever_the_daemon_is_killed(self):
        pod = self.ready_pod()
        library = Library()
        results, over = [], threading.Event()

        def work():
            x = library.open(self.node.pod_path)
            while not over.is_set():
                results.append(library.hand_off(x))
            library.close(x)

        thread = threading.Thread(target=in_netns, args=(pod.path, work))
        thread.start()
        try:
            for sig in [signal.SIGKILL] * 12 + [signal.SIGTERM] * 3:
                n = len(results)
                wait_for(lambda n=n: len(results) >= n + 2 or not thread.is_alive(), 'hand-offs', 30)
                self.admin.close()
                self.node.restart(sig)
                self.admin = self.node.admin()
        finally:
            n = len(results)
            wait_for(lambda: len(results) >= n + 2 or not thread.is_alive(), 'hand-offs', 30)
            over.set()
            thread.join()
        self.assertEqual([r for r in results if r[0]], [])
        self.assertEqual([s for s in self.admin.sockets() if s.state == 2], [])

    @unittest.skipIf(SANITIZED, 'Python does not load a sanitized library')
    def test_namespace_is_the_one_that_it_was(self):
        pod, other = self.ready_pod(), self.ready_pod()
        library = Library()
        state = {}

        def begin():
            state['x'] = library.open(self.node.pod_path)
            state['first'] = library.hand_off(state['x'])

        in_netns(pod.path, begin)
        self.admin.close()
        self.node.restart()
        self.admin = self.node.admin()
        in_netns(other.path, lambda: state.update(second=library.hand_off(state['x'])))
        in_netns(pod.path, lambda: state.update(third=library.hand_off(state['x'])))
        library.close(state['x'])
        self.assertEqual(state['first'][0], 0)
        self.assertEqual(state['second'][0], -errno.ESTALE)
        self.assertIn('another network namespace', state['second'][1])
        self.assertEqual(state['third'][0], 0)

    def test_watch_of_xskctl_goes_on(self):
        pod = self.pod()
        p = subprocess.Popen(['nsenter', f'--net={self.node.host.path}', self.node.xskctl,
                              '--run-dir', self.node.run_dir, '-o', 'json', 'watch'],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
        self.addCleanup(end, p)
        events = []
        reader = threading.Thread(target=lambda: [events.append(json.loads(line)['event'])
                                                  for line in p.stdout], daemon=True)
        reader.start()

        def seen():
            """The watch begins some time after the connect; so until something is."""
            self.grant(pod)
            self.admin.call('RevokeLease', container=pod.container)
            return 'lease-granted' in events
        wait_for(seen, 'the events', step=0.02)
        self.admin.close()
        self.node.restart()
        self.admin = self.node.admin()
        wait_for(lambda: 'reconnected' in events, 'the watcher to come back')
        events.clear()
        wait_for(seen, 'the events', step=0.02)
        p.terminate()
        reader.join(10)
        self.assertIn('has closed the connection', p.stderr.read())


class TwoPhases(Reconnect):
    """With a daemon that may end between a hand-off and its bind."""

    config = '{"handOff": "two-phase"}'


if __name__ == '__main__':
    tap.main()
