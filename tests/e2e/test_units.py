# SPDX-License-Identifier: Apache-2.0
"""The systemd units: how much they leave open, and whether what they run can work in them."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import tap
from node import SANITIZED, TOP, Node, TestCase, run

UNITS = f'{TOP}/deploy/systemd'
SERVICES = ('xskd.service', 'xskd-cni-reconcile.service')


def unit_text(name):
    """A unit, as it is installed."""
    with open(f'{UNITS}/{name}.in', encoding='utf-8') as f:
        return f.read().replace('@sbindir@', '/usr/sbin').replace('@cnidir@', '/usr/lib/cni')


def settings(name, key):
    """The words of all lines of a setting, as systemd reads them: `~` takes away."""
    return [line.partition('=')[2].split() for line in unit_text(name).splitlines()
            if line.startswith(key + '=')]


def groups():
    """systemd's groups of system calls."""
    found, current = {}, None
    for line in run('systemd-analyze', 'syscall-filter', '--no-pager').splitlines():
        if line.startswith('@'):
            current = found.setdefault(line.strip(), [])
        elif current is not None and line.startswith('    ') and '#' not in line:
            current.append(line.strip())
    return found


def allowed_calls(name):
    """What a unit's SystemCallFilter= lets through."""
    known = groups()

    def expand(word):
        return set().union(*map(expand, known[word])) if word.startswith('@') else {word}
    calls = expand('@default')
    for words in settings(name, 'SystemCallFilter'):
        negative = words[0].startswith('~')
        named = set().union(*(expand(w.lstrip('~')) for w in words))
        calls = calls - named if negative else calls | named
    return calls


@unittest.skipUnless(shutil.which('systemd-analyze'), 'systemd-analyze is not installed')
class Units(unittest.TestCase):
    """By systemd's own tool; no systemd has to run."""

    def test_exposure_is_under_3(self):
        with tempfile.TemporaryDirectory() as at:
            for name in SERVICES:
                with open(f'{at}/{name}', 'w', encoding='utf-8') as f:
                    f.write(unit_text(name))
                out = run('systemd-analyze', 'security', '--offline=true', '--no-pager',
                          f'{at}/{name}')
                level = re.search(r'Overall exposure level for \S+: ([0-9.]+)', out)
                print(f'# {name}: {level[1]}')
                self.assertLess(float(level[1]), 3.0, out)

    def test_units_are_well_formed(self):
        with tempfile.TemporaryDirectory() as at:
            for name in os.listdir(UNITS):
                text = unit_text(name[:-3]) if name.endswith('.in') else \
                    open(f'{UNITS}/{name}', encoding='utf-8').read()
                with open(f"{at}/{name.removesuffix('.in')}", 'w', encoding='utf-8') as f:
                    f.write(text.replace('/usr/sbin/xskd ', '/bin/true ')
                            .replace('/usr/lib/cni/xskd-cni', '/bin/true'))
            done = subprocess.run(['systemd-analyze', 'verify', '--man=no', '--recursive-errors=no',
                                   *(f'{at}/{n}' for n in os.listdir(at))], text=True,
                                  check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            lines = [line for line in done.stdout.splitlines() if 'xskd' in line]
            self.assertEqual((done.returncode, lines), (0, []))


@unittest.skipUnless(shutil.which('systemd-analyze'), 'systemd-analyze is not installed')
@unittest.skipIf(SANITIZED, 'calls of sanitizers are not in the unit')
class Calls(TestCase):
    """The daemon, from start to end, makes no call that its unit forbids."""

    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.trace = f'{cls.node.dir}/trace'
        own = cls.node.argv
        cls.node.argv = lambda: ['strace', '-D', '-f', '-o', cls.trace, *own()]
        cls.addClassCleanup(cls.destroy_node)
        cls.node.start()

    def test_unit_lets_the_daemon_work(self):
        pod = self.ready_pod()
        self.hand_off(pod).close()
        self.unload(pod, force=True)
        self.assertEqual(self.node.stop(), 0)
        with open(self.trace, encoding='utf-8', errors='replace') as f:
            text = f.read()
        made = set(re.findall(r'^\d+ +(?:<\.\.\. )?(\w+)[( ]', text, re.M))
        self.assertGreater(made, {'bpf', 'setns', 'seccomp', 'capset', 'landlock_restrict_self'})
        # The unit starts it by no other program, and asserts that a bpffs is there.
        self.assertEqual(made - allowed_calls('xskd.service') - {'execve', 'mount', 'resumed'},
                         set())
        self.node.start()
        self.admin.close()
        self.admin = self.node.admin()

    def test_unit_gives_the_capabilities_that_are_needed(self):
        capabilities = ','.join('+' + c.removeprefix('CAP_').lower()
                                for c in settings('xskd.service', 'CapabilityBoundingSet')[0])
        other = Node()
        own = other.argv
        other.argv = lambda: ['setpriv', f'--bounding-set=-all,{capabilities}', '--inh-caps=-all',
                              '--no-new-privs', *own()]
        other.start()
        self.assertNotIn('is missing', other.log_since(0))
        self.assertEqual(other.destroy(), [])


if __name__ == '__main__':
    tap.main()
