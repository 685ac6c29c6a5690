# SPDX-License-Identifier: Apache-2.0
"""xskd-cni under strace(1): its system calls, and what happens when one fails or kills it.

Only the plugin is traced, neither the daemon nor the IPAM plugin.
"""
import json
import os
import re
import unittest

import node
from cni import CniCase
from node import wait_for
from plugins import lacking

# What is sensible to fail with; these are the calls that change something or ask somebody.
ERRORS = {
    'openat': 'ENOSPC', 'write': 'ENOSPC', 'read': 'EIO', 'lseek': 'EIO', 'newfstatat': 'EIO',
    'fstat': 'EIO', 'getdents64': 'EIO', 'faccessat2': 'EACCES', 'faccessat': 'EACCES',
    'access': 'EACCES', 'mkdir': 'EACCES', 'mkdirat': 'EACCES', 'renameat': 'EIO',
    'renameat2': 'EIO', 'unlinkat': 'EIO', 'flock': 'ENOLCK', 'setns': 'EPERM', 'socket': 'EMFILE',
    'setsockopt': 'ENOPROTOOPT', 'getsockopt': 'ENOPROTOOPT', 'connect': 'ECONNREFUSED',
    'sendto': 'ENOBUFS', 'sendmsg': 'ENOBUFS', 'recvfrom': 'ENOBUFS', 'recvmsg': 'ECONNRESET',
    'poll': 'EINVAL', 'ppoll': 'EINVAL', 'ioctl': 'EIO', 'fsopen': 'EPERM', 'fsconfig': 'EPERM',
    'fsmount': 'EMFILE', 'memfd_create': 'EMFILE', 'pipe2': 'EMFILE', 'clone3': 'EAGAIN',
    'clone': 'EAGAIN', 'vfork': 'EAGAIN', 'wait4': 'ECHILD'}
# Of these, the ones that look only.
LOOKING = {'read', 'lseek', 'newfstatat', 'fstat', 'getdents64', 'faccessat2', 'faccessat',
           'access', 'socket', 'setsockopt', 'getsockopt', 'recvfrom', 'recvmsg', 'poll', 'ppoll',
           'wait4', 'memfd_create', 'pipe2', 'fsopen', 'fsconfig', 'fsmount'}
# RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE: strace has no name for them in another namespace.
ASKING = re.compile(r'nlmsg_type=(RTM_GET|0x12 |0x16 |0x1a )')


class Call:
    """One system call of a run: the nth of its name."""

    def __init__(self, name, nth, text):
        self.name, self.nth, self.text = name, nth, text

    def __str__(self):
        return f'{self.name} {self.nth}: {self.text[:150]}'

    @property
    def fd(self):
        """What strace -y says of the first argument."""
        found = re.match(r'\w+\((\d+)', self.text)
        return int(found.group(1)) if found else -1

    @property
    def changes(self):
        """Whether the world is another one behind it."""
        if self.name in LOOKING or 'memfd:' in self.text.split(',')[0]:
            return False
        if self.name == 'openat':
            return 'O_CREAT' in self.text
        if self.name == 'ioctl':
            return 'SIOCETHTOOL' in self.text
        return not (self.name == 'sendto' and ASKING.search(self.text))

    @property
    def leaves_to_others(self):
        """Whether somebody else works on from here: the daemon, the IPAM plugin."""
        return self.name in ('sendmsg', 'clone', 'clone3', 'vfork') or (
            self.name == 'sendto' and 'nlmsg' not in self.text)


def read_trace(path):
    """The calls in it, from the one on that reads the configuration: the rest is libc's."""
    calls, counts, own = [], {}, False
    with open(path, encoding='utf-8', errors='replace') as f:
        for line in f:
            found = re.match(r'(\w+)\(', line)
            if not found or found.group(1) not in ERRORS:
                continue
            name = found.group(1)
            counts[name] = counts.get(name, 0) + 1
            own = own or line.startswith('read(0')
            if own:
                calls.append(Call(name, counts[name], line.strip()))
    return calls


@unittest.skipIf(lacking('strace'), lacking('strace'))
@unittest.skipIf(node.no_ptrace(), 'ptrace(2) is forbidden here')
class StraceCase(CniCase):
    """What tests with an injected failure have in common."""

    queues = 2
    # Programs of killed or failed ADDs go by themselves, after this time at the latest.
    grace = 3
    config = json.dumps({'limits': {'transientGraceSeconds': grace}})

    def setUp(self):
        super().setUp()
        self.trace = f'{self.node.dir}/strace'
        # The leak check of AddressSanitizer needs ptrace(2) for itself.
        was = os.environ.get('ASAN_OPTIONS')
        os.environ['ASAN_OPTIONS'] = f'{was or ""}:detect_leaks=0'
        self.addCleanup(os.environ.__setitem__, 'ASAN_OPTIONS', was or '')
        self.pod = self.pod_netns()
        self.problems = []

    def strace(self, *inject):
        """What runs the plugin."""
        names = ','.join(f'?{n}' for n in ERRORS)
        return ['strace', '-qq', '-y', '-s', '40', '-o', self.trace, '-e', f'trace={names}',
                *(x for i in inject for x in ('-e', f'inject={i}'))]

    def attach_again(self, config):
        """The same attachment each time, in the same namespace."""
        return self.attach(config, self.pod, containerid='c0')

    def both(self, **keys):
        """A configuration of each mode, with all that can be set."""
        ipam = self.plugins.ipam()
        return {'device': self.device(ipam=ipam, mac='02:00:00:00:00:99', mtu=1400, channels=1,
                                      busyPoll=True, **keys),
                'queue': self.queue(ipam=ipam, **keys)}

    def calls_of(self, a, verb, ok=True):
        """What a run does that is left in peace."""
        answer = a.run(verb, before=self.strace())
        self.assertEqual(answer.ok, ok, answer)
        if verb == 'ADD' and ok:
            a.result = answer.json
        return read_trace(self.trace)

    def injected(self):
        """Whether the failure of the last run has taken place."""
        with open(self.trace, encoding='utf-8', errors='replace') as f:
            return '(INJECTED)' in f.read()

    def differences(self):
        """What is not as it was; a carrier takes its time."""
        out = {}
        for key, (was, now) in self.changes().items():
            if key.endswith(': flags'):
                was, now = (set(x or ()) - {'LOWER_UP', 'NO-CARRIER'} for x in (was, now))
            if key == 'files':  # a lock that nobody holds
                was, now = ([n for n in x if '/cni/lock/' not in n] for x in (was, now))
            if was != now and not key.endswith(': operstate'):
                out[key] = (was, now)
        return out

    def left(self):
        """The same; but programs without a lease have their time to go."""
        left = self.differences()
        if left and all(re.match('pins|kept|programs|.*: xdp', k) for k in left):
            try:
                wait_for(lambda: not self.differences(), timeout=self.grace + 15, step=0.2)
            except AssertionError:
                return self.differences()
            return {}
        return left

    def note(self, what, left, answer):
        """Something is wrong. Go on, once the node is as it was again."""
        self.problems.append(f'{what}\n  left: {left}\n  {answer}')
        a = self.attach_again(self.device())
        a.delete()
        self.by_hand('reconcile', '--socket-dir', self.node.run_dir)
        wait_for(lambda: not self.left(), f'the end of {left}, after {what}')

    def report(self, points):
        """At the end of a test."""
        print(f'# {points} points, {len(self.problems)} wrong')
        if self.problems:
            self.fail('\n'.join(self.problems))
        self.assertEqual(self.left(), {})
