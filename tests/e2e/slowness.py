# SPDX-License-Identifier: Apache-2.0
"""A daemon on a machine that takes its time where it is told to (tests/slow.c), and a bystander."""
import os
import struct
import threading
import time

import node
from node import Node

# In the order of tests/slow.c.
KINDS = ('load attach pin open_pin unpin umem bind close setns write_state rename_state '
         'remove_state look_up tell accept').split()
DELAY = 200  # ms
# A loop that waits for one of them answers nobody for so long; who is not held up, far sooner.
MOST = DELAY * 3 / 4


class SlowNode(Node):
    """A node whose system calls take longer, by kind."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.page = f'{self.dir}/slow'
        self.reset()

    def reset(self):
        """All is as fast as it is, and nothing was counted yet."""
        with open(self.page, 'r+b' if os.path.exists(self.page) else 'wb') as f:
            f.write(bytes(24 * len(KINDS)))

    def slow(self, kind, ms=DELAY):
        """From now on each of that kind takes so long."""
        with open(self.page, 'r+b') as f:
            f.seek(24 * KINDS.index(kind))
            f.write(struct.pack('q', ms))

    def counted(self, what=1):
        """How many of each kind were made; 2: on the loop."""
        with open(self.page, 'rb') as f:
            rows = struct.iter_unpack('3q', f.read())
            return {kind: row[what] for kind, row in zip(KINDS, rows) if row[what]}

    def on_loop(self):
        """Of those that may block."""
        return {kind: n for kind, n in self.counted(2).items() if kind != 'accept'}

    def argv(self):
        """env(1) becomes the daemon, so the pid stays the daemon's."""
        asan = os.environ.get('ASAN_OPTIONS', '')
        return ['env', f'LD_PRELOAD={node.BUILD}/tests/libslow.so', f'XSKD_SLOW={self.page}',
                f'ASAN_OPTIONS={asan}:verify_asan_link_order=0', *super().argv()]


def runnable(path):
    """Milliseconds for which a thread waited for a CPU, as others had all of them."""
    with open(path, encoding='ascii') as f:
        return int(f.read().split()[1]) / 1e6


class Bystander:
    """A client that asks all the time, and is answered.

    What it or the loop waited for a CPU is the machine's doing, and does not count.
    """

    def __init__(self, pod):
        self.loop = f'/proc/{pod.node.process.pid}/schedstat'
        self.client = pod.client(timeout=30)
        self.took = []
        self.error = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.ask)

    def ask(self):
        """GetInfo and GetXskMap, some hundred times a second: a pod has only so many calls."""
        try:
            while not self.stop.is_set():
                noise = runnable(self.loop) + runnable('/proc/thread-self/schedstat')
                began = time.monotonic()
                self.client.call('GetInfo')
                _, fds = self.client.call_fds('GetXskMap', interface='eth0')
                took = (time.monotonic() - began) * 1000
                noise -= runnable(self.loop) + runnable('/proc/thread-self/schedstat')
                self.took.append(max(0, took + noise))
                node.client.close_all(fds)
                time.sleep(0.004)
        except Exception as e:  # for the thread that waits for this one
            self.error = e

    def __enter__(self):
        # The first one has the daemon note that the map is out.
        _, fds = self.client.call_fds('GetXskMap', interface='eth0')
        node.client.close_all(fds)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        if self.error:
            raise self.error

    @property
    def longest(self):
        """Of its waits, in milliseconds."""
        return max(self.took)

    @property
    def p99(self):
        """The same, but for one in a hundred."""
        return sorted(self.took)[int(len(self.took) * 0.99)]
