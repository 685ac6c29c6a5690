# SPDX-License-Identifier: Apache-2.0
"""The receiver has no privilege and needs none: no capability, no bpf(2), no socket(AF_XDP)."""
import fcntl
import json
import os
import shutil
import struct
import subprocess

import tap
from node import TestCase, await_ready, client, end, finish, wait_for

BPF_NR = {'x86_64': 321, 'aarch64': 280}
SOCKET_NR = {'x86_64': 41, 'aarch64': 198}
AUDIT_ARCH = {'x86_64': 0xc000003e, 'aarch64': 0xc00000b7}


def seccomp_filter(machine):
    """Kills the process on bpf(2) and on socket(AF_XDP, ...)."""
    def jump(code, k, yes, no):
        return struct.pack('=HBBI', code, yes, no, k)

    load, equal, ret = 0x20, 0x15, 0x06
    return b''.join([
        jump(load, 4, 0, 0),                      # the architecture
        jump(equal, AUDIT_ARCH[machine], 0, 5),   # another one: kill
        jump(load, 0, 0, 0),                      # the number of the call
        jump(equal, BPF_NR[machine], 3, 0),
        jump(equal, SOCKET_NR[machine], 0, 3),
        jump(load, 16, 0, 0),                     # its first argument
        jump(equal, client.AF_XDP, 0, 1),
        jump(ret, 0x80000000, 0, 0),              # SECCOMP_RET_KILL_PROCESS
        jump(ret, 0x7fff0000, 0, 0)])             # SECCOMP_RET_ALLOW


# Runs a program under the filter. A process of its own, for a filter cannot be taken off again.
UNDER_FILTER = '''
import ctypes, os, sys
code = bytes.fromhex(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
buf = ctypes.create_string_buffer(code)
class Prog(ctypes.Structure):
    _fields_ = [('len', ctypes.c_ushort), ('filter', ctypes.c_void_p)]
prog = Prog(len(code) // 8, ctypes.addressof(buf))
if libc.prctl(22, 2, ctypes.byref(prog), 0, 0) != 0:
    raise OSError(ctypes.get_errno(), 'seccomp')
os.execvp(sys.argv[2], sys.argv[2:])
'''


class Privileges(TestCase):
    """What the process is, as the kernel says, and what it calls, as strace says."""

    def status(self, pid):
        """/proc/PID/status as a dict."""
        with open(f'/proc/{pid}/status', encoding='ascii') as f:
            return dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)

    def test_receiver_has_no_capability_and_can_get_none(self):
        pod = self.ready_pod()
        p = pod.receive()
        status = self.status(p.pid)
        for field in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
            self.assertEqual(int(status[field], 16), 0, field)
        self.assertEqual(status['NoNewPrivs'], '1')
        self.assertEqual(status['Uid'].split(), ['65534'] * 4)
        self.assertEqual(status['Gid'].split(), ['65534'] * 4)
        self.assertEqual(status['Groups'].strip(), '')

    def test_receiver_needs_no_locked_memory(self):
        pod = self.ready_pod()
        p = pod.receive('--count', '500', before=['prlimit', '--memlock=0'])
        pod.link.send(500)
        self.assertEqual(json.loads(finish(p))['sequenced'], 500)

    def strace(self):
        """strace with all that the process and its children call, and where it goes."""
        if not shutil.which('strace'):
            self.skipTest('strace is not installed')
        # A machine may forbid ptrace(2): seen by trying.
        if subprocess.run(['strace', '-o', '/dev/null', 'true'], check=False,
                          stderr=subprocess.DEVNULL).returncode:
            self.skipTest('strace cannot trace here')
        trace = f'{self.node.dir}/trace'
        # A sanitized receiver cannot look for leaks while it is traced.
        return ['strace', '-f', '-E', 'ASAN_OPTIONS=detect_leaks=0', '-o', trace], trace

    def read(self, path):
        """A trace."""
        with open(path, encoding='utf-8', errors='replace') as f:
            return f.read()

    def assert_calls_harmless(self, trace):
        """The whole hand-off was seen, without a call that needs privilege."""
        self.assertIn('recvmsg(', trace)
        self.assertIn('AF_UNIX', trace)
        # setpriv and nsenter come first, as root; what follows the last exec is the receiver.
        own = trace[trace.rindex('execve('):]
        self.assertNotRegex(own, r'\bbpf\(')
        self.assertNotRegex(own, r'socket\((AF_XDP|0x2c)')
        self.assertNotRegex(own, r'\b(setns|unshare|mount|ptrace|capset|setuid|mlock)\(')
        self.assertNotRegex(own, r'\b(UMEM_REG|bind\([0-9]+, \{sa_family=AF_XDP)')

    def test_xskctl_makes_no_bpf_call_and_no_af_xdp_socket(self):
        pod = self.ready_pod()
        strace, trace = self.strace()
        p = pod.receive('--count', '100', outside=strace)
        pod.link.send(100)
        self.assertEqual(json.loads(finish(p))['sequenced'], 100)
        self.assert_calls_harmless(self.read(trace))

    def test_python_client_makes_no_bpf_call_and_no_af_xdp_socket(self):
        pod = self.ready_pod()
        strace, trace = self.strace()
        p = subprocess.Popen([*strace, *pod.argv('/usr/bin/python3', '-B',
                                                 f'{self.node.kit}/client.py', self.node.pod_path,
                                                 'eth0', '--count', '100')],
                             text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        self.addCleanup(end, p)
        await_ready(p)
        pod.link.send(100)
        self.assert_sequence(json.loads(finish(p))['sequences'], 100)
        self.assert_calls_harmless(self.read(trace))

    def filtered(self, *argv):
        """A command line under the filter."""
        machine = os.uname().machine
        if machine not in BPF_NR:
            self.skipTest(f'no numbers of system calls for {machine}')
        return ['/usr/bin/python3', '-c', UNDER_FILTER, seccomp_filter(machine).hex(), *argv]

    def test_filter_does_kill(self):
        pod = self.pod(link=False)
        p = pod.start(*self.filtered('/usr/bin/python3', '-c',
                                     'import socket; socket.socket(44, socket.SOCK_RAW)'))
        p.communicate(timeout=20)
        self.assertEqual(p.returncode, -31)  # SIGSYS

    def test_receives_under_a_filter_that_kills_on_bpf_and_af_xdp(self):
        pod = self.ready_pod()
        p = pod.receive('--count', '2000', before=self.filtered())
        self.assertEqual(self.status(p.pid)['Seccomp'], '2')
        pod.link.send(2000)
        out = json.loads(finish(p))
        self.assertEqual((out['sequenced'], out['lost'], out['capabilities'], out['uid']),
                         (2000, 0, 0, 65534))

    def test_python_receives_under_the_filter(self):
        pod = self.ready_pod()
        p = pod.start(*self.filtered('/usr/bin/python3', '-B', f'{self.node.kit}/client.py',
                                     self.node.pod_path, 'eth0', '--count', '500'))
        await_ready(p)
        pod.link.send(500)
        out = json.loads(finish(p))
        self.assert_sequence(out['sequences'], 500)
        self.assertEqual(out['seccomp'], 2)

    def test_holder_of_the_socket_cannot_touch_program_or_map(self):
        pod = self.ready_pod()
        h = self.hand_off(pod).map()
        # What came is sockets alone: no program, no link, no map.
        names = [os.readlink(f'/proc/self/fd/{fd}') for fd in h.fds]
        self.assertEqual([n.split(':')[0] for n in names], ['socket'])

    def test_what_is_handed_out_is_close_on_exec_and_nonblocking_is_untouched(self):
        pod = self.ready_pod()
        h = self.hand_off(pod)
        umem_flags = fcntl.fcntl(h.umem_fd, fcntl.F_GETFL)
        self.assertFalse(umem_flags & os.O_NONBLOCK)
        self.assertFalse(fcntl.fcntl(h.socket_fds[0], fcntl.F_GETFL) & os.O_NONBLOCK)

    def test_daemon_leaves_no_fd_to_children_and_no_writable_directory(self):
        mode = os.stat(self.node.run_dir + '/pod').st_mode & 0o777
        self.assertEqual(mode & 0o022, 0)
        pod = self.pod(link=False)
        p = pod.start('rm', '-f', self.node.pod_path)
        p.communicate(timeout=20)
        self.assertNotEqual(p.returncode, 0)
        self.assertTrue(os.path.exists(self.node.pod_path))

    def test_audit_line_for_every_grant_and_denial(self):
        pod, other = self.ready_pod(), self.pod(link=False)
        at = self.node.log_size()
        self.hand_off(pod)
        with self.refused('PERMISSION_DENIED'):
            other.client().hand_off('eth0')

        def told():
            log = self.node.log_since(at)
            return log if 'result=denied' in log and 'result=granted' in log else None
        log = wait_for(told, 'the audit lines')  # they are written behind the reply
        self.assertRegex(log, f'audit call=HandOffSocket result=granted '
                              f'subject={pod.container}@eth0 peer=pod')
        self.assertRegex(log, 'audit call=HandOffSocket result=denied .*reason=')


if __name__ == '__main__':
    tap.main()
