# SPDX-License-Identifier: Apache-2.0
"""xskctl doctor: each thing that can be wrong is made, told with its advice, mended by that, gone."""
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import time

import tap
from nic import Nic, Refused, supported
from node import BUILD, TOP, Link, Netns, Node, TestCase, entries, run, wait_for
from plugins import Plugins, lacking

XSKD_CNI = f'{BUILD}/client/cni/xskd-cni'
KEYS = {'check', 'level', 'subject', 'finding', 'advice'}
LEVELS = ('ok', 'note', 'warning', 'problem')
PASSING = '''
#define SEC(name) __attribute__((section(name), used))
int passing(void *ctx) SEC("xdp");
int passing(void *ctx) { return 2; }
char _license[] SEC("license") = "GPL";
'''


class DoctorCase(TestCase):
    """A doctor who looks at this node alone."""

    def setUp(self):
        super().setUp()
        self.bin_dir, self.conf_dir = f'{self.node.dir}/doc-bin', f'{self.node.dir}/doc-conf'
        for path in (self.bin_dir, self.conf_dir):
            os.makedirs(path)
            self.addCleanup(shutil.rmtree, path)
        os.symlink(XSKD_CNI, f'{self.bin_dir}/xskd-cni')
        self.peer = Netns('s')
        self.namespaces.append(self.peer)

    def argv(self, *args):
        """Its command line."""
        return [self.node.xskctl, '--run-dir', self.node.run_dir, 'doctor', '--cni-bin-dir',
                self.bin_dir, '--cni-conf-dir', self.conf_dir, *args]

    def doctor(self, *args, before=(), start=None):
        """Run it; Return: its findings."""
        argv = ['nsenter', f'--net={self.node.host.path}', *before, *self.argv('-o', 'json', *args)]
        def popen(preexec=None):
            return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    text=True, preexec_fn=preexec)
        p = start(popen) if start else popen()
        out, err = p.communicate(timeout=60)
        self.assertEqual(err, '')
        found = json.loads(out)
        for f in found:
            self.assertEqual(set(f), KEYS)
            self.assertIn(f['level'], LEVELS)
            self.assertRegex(f['check'], r'^[a-z]+\.[a-z-]+$')
            self.assertFalse(f['finding'].endswith('.'), f)
            if f['level'] in ('warning', 'problem'):
                self.assertTrue(f['advice'], f'no advice: {f}')
        bad = any(f['level'] in ('warning', 'problem') for f in found)
        self.assertEqual(p.returncode, 1 if bad else 0, found)
        return found

    def finding(self, check, level, subject=None, text='.', **kw):
        """The one finding of a check that is of this level; it must be there."""
        found = [f for f in self.doctor(**kw) if f['check'] == check and f['level'] == level
                 and (subject is None or f['subject'] == subject)]
        if len(found) != 1:
            self.fail(f'{len(found)} {check}, {level}: {self.doctor(**kw)}')
        self.assertRegex(found[0]['finding'], text)
        return found[0]

    def gone(self, f, **kw):
        """It is not found any more."""
        left = [g for g in self.doctor(**kw)
                if (g['check'], g['subject'], g['level']) == (f['check'], f['subject'], f['level'])]
        self.assertEqual(left, [])

    def commands(self, f):
        """What its advice says to run."""
        return re.findall('`([^`]+)`', f['advice'])

    def apply(self, f, which=0):
        """Run a command of its advice as it stands there."""
        command = self.commands(f)[which]
        env = {**os.environ, 'PATH': f'{self.node.kit}/client:{self.bin_dir}:{os.environ["PATH"]}'
                                     ':/usr/sbin:/sbin'}
        done = subprocess.run(['nsenter', f'--net={self.node.host.path}', 'sh', '-c', command],
                              capture_output=True, text=True, env=env, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, f'{command}: {done.stderr}')

    def nic(self, name='nic0', queues=1, **kw):
        """A device on the host."""
        link = Link(self.node.host, name, self.peer, queues, **kw)
        self.addCleanup(self.node.host.ip, 'link', 'del', name, check=False)
        return link

    def queue_pod(self, device='nic0', program=True, **fields):
        """A pod with queues of a device of the host."""
        pod = self.pod(link=False)
        if program:
            self.admin.call('LoadProgram', interface=device, mode=fields.pop('mode', 0))
        self.grant(pod, interface='net1', device=device, **fields)
        wait_for(lambda: all(x.link_up for x in self.admin.leases()), 'carrier')
        return pod

    def foreign(self, device):
        """Somebody else's program on it."""
        path = f'{self.node.dir}/passing'
        if not os.path.exists(f'{path}.o'):
            with open(f'{path}.c', 'w', encoding='ascii') as f:
                f.write(PASSING)
            run('clang', '-O2', '-g', '-target', 'bpf', '-c', f'{path}.c', '-o', f'{path}.o')
        self.node.host.ip('link', 'set', device, 'xdp', 'obj', f'{path}.o', 'sec', 'xdp')


class Healthy(DoctorCase):
    """A node on which nothing is wrong, and how it is told."""

    def test_nothing_is_wrong(self):
        self.nic(queues=2)
        self.queue_pod(queues=[1])
        self.ready_pod()
        found = self.doctor()
        ours = [f for f in found if f['check'].split('.')[0] not in ('kernel', 'node')]
        self.assertEqual([f for f in ours if f['level'] in ('warning', 'problem')], [])
        for check in ('daemon.reachable', 'daemon.handoff', 'daemon.open-files', 'daemon.memlock',
                      'daemon.capabilities', 'files.mode', 'files.state', 'kernel.version',
                      'kernel.af-xdp', 'kernel.bpf-program', 'kernel.xskmap', 'kernel.netns-cookie',
                      'bpffs.mount', 'bpffs.stale', 'device.what', 'device.program', 'lease.what',
                      'cni.plugin', 'node.files', 'node.memory'):
            self.assertIn((check, 'ok'), [(f['check'], f['level']) for f in found])
        mount, = [f for f in found if f['check'] == 'bpffs.mount']
        self.assertEqual(mount['subject'], self.node.bpf_dir, 'it is the daemon that knows')

    def test_text_has_a_line_for_each(self):
        self.nic()
        self.queue_pod()
        p = self.node.ctl('doctor', '--cni-bin-dir', self.bin_dir, '--cni-conf-dir', self.conf_dir)
        lines = p.stdout.splitlines()
        for group in ('daemon', 'files', 'kernel', 'bpffs', 'device', 'lease', 'cni', 'node'):
            self.assertEqual(lines.count(group), 1, group)
        n = {level: sum(line.startswith(f'{level:<7}  ') for line in lines) for level in LEVELS}
        self.assertEqual(lines[-1], f"problems: {n['problem']}, warnings: {n['warning']}, "
                                    f"notes: {n['note']}, ok: {n['ok']}")
        self.assertRegex(p.stdout, r'\nok       nic0: driver veth, .*\.\n')
        quiet = self.node.ctl('doctor', '--quiet', '--cni-bin-dir', self.bin_dir,
                              '--cni-conf-dir', self.conf_dir)
        self.assertEqual(quiet.stdout.splitlines(), [line for line in lines if re.match(
            'note   |warning|problem', line) and not line.startswith('problems:')])
        self.assertEqual(quiet.returncode, p.returncode)

    def test_quiet_json(self):
        found = self.doctor('--quiet')
        self.assertEqual([f for f in found if f['level'] == 'ok'], [])

    def test_wrong_usage(self):
        for args in (('more',), ('--nonsense',), ('--bpf-dir', 'relative'), ('-o', 'xml'),
                     ('--bpf-dir', '/' + 'x' * 5000)):
            with self.subTest(args):
                p = self.node.ctl('doctor', *args)
                self.assertEqual((p.returncode, p.stdout), (2, ''), p.stderr)

    def test_help_and_manual_name_all_options(self):
        p = self.node.ctl('doctor', '--help')
        self.assertEqual((p.returncode, p.stderr), (0, ''))
        with open(f'{TOP}/deploy/man/xskctl.1', encoding='utf-8') as f:
            manual = f.read().replace('\\-', '-')
        with open(f'{TOP}/deploy/xskctl.bash-completion', encoding='utf-8') as f:
            completion = f.read()
        for option in ('--quiet', '--bpf-dir', '--cni-bin-dir', '--cni-conf-dir'):
            for text in (p.stdout, manual, completion):
                self.assertIn(option, text)

    def test_looking_changes_nothing(self):
        self.nic()
        self.queue_pod()
        log, pins, files = self.node.log_size(), self.node.pins(), self.node.state_files()
        fds = self.node.settled_fds()
        for _ in range(3):
            self.doctor()
        self.assertEqual(self.node.settled_fds(), fds)
        self.assertNotIn('warning', self.node.log_since(log))
        self.assertEqual((self.node.pins(), self.node.state_files()), (pins, files))


class Daemon(DoctorCase):
    """The daemon and its process."""

    check_fds = False  # it is ended
    patience = ()

    def test_none_is_there(self):
        self.node.stop()
        f = self.finding('daemon.reachable', 'problem', text='not there')
        self.assertIn('systemctl start xskd', self.commands(f))
        self.node.start()
        self.gone(f)

    def test_it_hangs(self):
        self.node.process.send_signal(signal.SIGSTOP)
        self.patience = ('--timeout', '0.5')
        try:
            f = self.finding('daemon.reachable', 'problem', None,
                             f'process {self.node.process.pid} does not answer',
                             before=())
        finally:
            self.patience = ()
            self.node.process.send_signal(signal.SIGCONT)
        self.gone(f)

    def doctor(self, *args, **kw):
        return super().doctor(*self.patience, *args, **kw)

    def test_few_open_files(self):
        limit = ['prlimit', '--pid', str(self.node.process.pid)]
        before = run(*limit, '--nofile', '--noheadings', '-o', 'SOFT,HARD').split()
        run(*limit, '--nofile=300:')
        f = self.finding('daemon.open-files', 'warning', text='300 files')
        self.assertIn(f'prlimit --pid {self.node.process.pid}', f['advice'])
        run(*limit, f'--nofile={self.node.n_fds() + 1}:')
        self.finding('daemon.open-files', 'problem', text='of its')
        run(*limit, f'--nofile={before[0]}:')
        self.gone(f)

    def test_other_network_namespace(self):
        self.addCleanup(setattr, self.node.host, 'path', self.node.host.path)
        mine = self.node.host.path
        self.node.host.path = self.peer.path
        try:
            f = self.finding('daemon.netns', 'warning')
        finally:
            self.node.host.path = mine
        self.assertIn(f'/proc/{self.node.process.pid}/ns/net', f['advice'])
        self.gone(f)

    def test_as_nobody(self):
        drop = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups',
                '--bounding-set=-all']
        found = self.doctor(before=drop)
        blind = {f['check'] for f in found if 'could not be looked at' in f['finding']}
        for check in ('daemon.admin', 'kernel.af-xdp', 'kernel.bpf-program', 'bpffs.mount'):
            self.assertIn(check, blind)
        self.assertTrue(all('as root' in f['advice'] for f in found
                            if 'could not be looked at' in f['finding']))
        self.assertFalse([f for f in found if f['level'] == 'problem'], found)


class Poor(DoctorCase):
    """A daemon that may not pin memory."""

    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.destroy_node)
        argv = cls.node.argv()
        cls.node.argv = lambda: ['prlimit', '--memlock=1048576:1048576', 'setpriv',
                                 '--bounding-set=-ipc_lock', '--inh-caps=-ipc_lock', *argv]
        cls.node.start()

    def test_it_may_not_pin(self):
        f = self.finding('daemon.memlock', 'problem', text='1024 KiB')
        self.assertIn('CAP_IPC_LOCK', f['advice'])


class Files(DoctorCase):
    """The run directory."""

    def test_modes(self):
        for name, mode in (('', 0o777), ('pod', 0o700), ('pod/xskd.sock', 0o600),
                           ('admin', 0o755), ('admin/xskd.sock', 0o666), ('state', 0o755)):
            path = f'{self.node.run_dir}/{name}'.rstrip('/')
            with self.subTest(path):
                os.chmod(path, mode)
                f = self.finding('files.mode', 'problem', path, f'{mode:04o}')
                self.apply(f)
                self.gone(f)

    def test_socket_that_was_removed(self):
        os.rename(self.node.pod_path, f'{self.node.dir}/aside')
        f = self.finding('files.mode', 'problem', self.node.pod_path, 'not there')
        os.rename(f'{self.node.dir}/aside', self.node.pod_path)
        self.gone(f)

    def test_damaged_state(self):
        pod = self.ready_pod()
        path = f'{self.node.run_dir}/state/leases/{pod.container}@eth0'
        self.assertTrue(os.path.exists(path), self.node.state_files())
        with open(path, 'r+b') as f:
            f.write(b'\xff' * 8)
        self.node.restart()
        f = self.finding('files.state', 'warning', text='damaged')
        self.assertIn('.bad-', f['subject'])
        self.apply(f)
        self.gone(f)

    def test_half_written_state(self):
        path = f'{self.node.run_dir}/state/programs/.new-77'
        with open(path, 'wb') as f:
            f.write(b'half')
        self.assertFalse([f for f in self.doctor() if f['subject'] == path], 'it may be written')
        os.utime(path, (time.time() - 300, ) * 2)
        f = self.finding('files.state', 'note', path)
        self.apply(f)
        self.gone(f)


class Pins(DoctorCase):
    """The bpffs."""

    def test_stale_program(self):
        pod = self.ready_pod()
        stale = f'{self.node.bpf_dir}/programs/4000000'
        os.mkdir(stale, 0o700)
        run('bpftool', 'prog', 'pin', 'id', str(pod.program.id), f'{stale}/prog')
        f = self.finding('bpffs.stale', 'warning', stale)
        self.assertRegex(f['finding'], 'does not know')
        self.apply(f)
        self.gone(f)
        self.assertFalse(os.path.exists(stale))

    def test_restart_tidies_as_the_advice_says(self):
        stale = f'{self.node.bpf_dir}/programs/4000001'
        os.mkdir(stale, 0o700)
        f = self.finding('bpffs.stale', 'warning', stale, 'killed')
        self.assertIn('restart', f['advice'])
        self.node.restart(signal.SIGTERM)
        self.gone(f)

    def test_lost_pin(self):
        self.nic()
        self.queue_pod()
        program, = self.admin.programs()
        os.unlink(f'{self.node.bpf_dir}/programs/{program.id}/map')
        f = self.finding('bpffs.lost', 'problem', 'nic0', str(program.id))
        self.apply(f)
        self.gone(f)

    def test_no_bpffs(self):
        self.node.stop()
        path = f'{self.node.dir}/plain'
        os.mkdir(path)
        f = self.finding('bpffs.mount', 'warning', path, 'not on a bpffs',
                         **{'args': ('--bpf-dir', path)})
        self.apply(f)
        try:
            self.gone(f, args=('--bpf-dir', path))
        finally:
            run('umount', path)
        self.node.start()
        self.check_fds = False

    def test_mounted_where_only_the_daemon_sees_it(self):
        f = self.finding('bpffs.mount', 'warning', self.node.bpf_dir, 'another file system',
                         before=('unshare', '-m', 'sh', '-c',
                                 f'umount {self.node.bpf_dir} && exec "$@"', 'sh'))
        self.assertIn('Bidirectional', f['advice'])
        self.gone(f)

    def doctor(self, *more, args=(), **kw):
        return super().doctor(*more, *args, **kw)


class Devices(DoctorCase):
    """NICs."""

    def test_foreign_program(self):
        self.nic()
        self.foreign('nic0')
        f = self.finding('device.foreign', 'note', 'nic0', "'passing'")
        pod = self.queue_pod(program=False)
        self.finding('device.foreign', 'problem', 'nic0', 'leases')
        self.admin.call('RevokeLease', container=pod.container)
        self.apply(f)
        self.gone(f)

    def test_foreign_program_of_a_link(self):
        self.nic()
        other = Node()
        self.addCleanup(lambda: self.assertEqual(other.destroy(), []))
        other.host.delete()
        other.host = self.node.host
        other.start()
        with other.admin() as admin:
            admin.call('LoadProgram', interface='nic0')
        other.host = Netns('h')  # which goes with it
        f = self.finding('device.foreign', 'note', 'nic0')
        self.assertRegex(f['advice'], 'bpf_link')
        self.apply(f)
        self.gone(f)

    def test_large_packets(self):
        self.node.host.ip('tuntap', 'add', 'tap0', 'mode', 'tap', 'multi_queue')
        self.addCleanup(self.node.host.ip, 'link', 'del', 'tap0')
        self.node.host.ip('link', 'set', 'tap0', 'mtu', '9000')
        self.admin.call('LoadProgram', interface='tap0', mode=2)
        f = self.finding('device.mtu', 'note', 'tap0', '9000')
        self.apply(f)
        self.gone(f)

    def test_generic_mode(self):
        self.nic()
        self.queue_pod(mode=2)
        f = self.finding('lease.program', 'warning', text='generic')
        self.apply(f)
        self.gone(f)

    def test_device_is_down(self):
        self.nic()
        self.queue_pod()
        self.node.host.ip('link', 'set', 'nic0', 'down')
        wait_for(lambda: not self.admin.leases()[0].link_up, 'the news')
        f = self.finding('lease.link', 'warning', text='nic0.*down')
        self.apply(f)
        wait_for(lambda: self.admin.leases()[0].link_up, 'the news')
        self.gone(f)

    def test_lease_without_a_program(self):
        self.nic()
        self.queue_pod(program=False)
        f = self.finding('lease.program', 'problem', text='no XDP program')
        self.apply(f)
        self.gone(f)


class Small(DoctorCase):
    """A daemon with small limits."""

    config = '{"limits": {"socketsPerLease": 2, "umemBytesPerLease": 1048576}}'

    def test_limit_of_a_lease(self):
        pod = self.ready_pod(queues=2)
        h = self.hand_off(pod, queues=[0], size=131072)
        self.assertFalse([f for f in self.doctor() if f['check'] == 'lease.limit'])
        more = self.hand_off(pod, queues=[1], size=917504)
        f = self.finding('lease.limit', 'warning', pod.container, '2 of at most 2 sockets')
        self.assertIn('limits.socketsPerLease', f['advice'])
        h.close()
        more.close()
        wait_for(lambda: not self.admin.sockets(), 'their end')
        self.gone(f)
        with self.refused('RESOURCE_EXHAUSTED'):
            pod.client().hand_off('eth0', size=2 << 20)
        self.finding('daemon.limit', 'note', 'umem_bytes_per_lease', 'reached 1 times')


class Driver(Nic):
    """A NIC that spreads packets, and merges them until it is told not to."""

    NAMES = ('rx-checksum', 'rx-lro', 'rx-gro-hw')
    commands = (0x1b, 0x37, 0x38, 0x3a)

    def __init__(self, table, on=()):
        super().__init__()
        self.table, self.on = table, set(on)

    def call(self, data, read, write):
        cmd = struct.unpack_from('=I', data)[0]
        if cmd == 0x37:  # ETHTOOL_GSSET_INFO
            write(16, struct.pack('=I', len(self.NAMES)))
        elif cmd == 0x1b:  # ETHTOOL_GSTRINGS
            write(12, b''.join(n.encode().ljust(32, b'\0') for n in self.NAMES))
        elif cmd == 0x3a:  # ETHTOOL_GFEATURES: available, requested, active, never_changed
            bits = sum(1 << i for i, n in enumerate(self.NAMES) if n in self.on)
            write(8, struct.pack('=IIII', 7, bits, bits, 0))
        elif struct.unpack_from('=I', read(8), 4)[0] == 0:  # ETHTOOL_GRXFHINDIR: its size
            write(4, struct.pack('=I', len(self.table)))
        elif len(self.table) != struct.unpack_from('=I', read(8), 4)[0]:
            raise Refused(22)
        else:
            write(8, struct.pack(f'={len(self.table)}I', *self.table))


class Hardware(DoctorCase):
    """What veth has not: the driver is nic.py, between xskctl and the kernel."""

    def setUp(self):
        super().setUp()
        if not supported():
            self.skipTest('no numbers of system calls for this machine')
        self.nic(queues=4)
        self.queue_pod(queues=[2, 3])

    def test_spreading_over_leased_queues(self):
        f = self.finding('device.rss', 'warning', 'nic0', '4 of 8 entries',
                         start=Driver([0, 1, 2, 3] * 2).attend)
        self.assertEqual(self.commands(f), ['ethtool -X nic0 weight 1 1 0 0'])
        self.gone(f, start=Driver([0, 1] * 4).attend)

    def test_merging(self):
        for name in ('rx-lro', 'rx-gro-hw'):
            f = self.finding('device.merging', 'warning', 'nic0', name,
                             start=Driver([0], [name]).attend)
            self.assertEqual(self.commands(f), [f'ethtool -K nic0 {name} off'])
            self.gone(f, start=Driver([0], ['rx-checksum']).attend)


class Cni(DoctorCase):
    """The plugin."""

    def write(self, name, text):
        """A file of the runtime."""
        with open(f'{self.conf_dir}/{name}', 'w', encoding='ascii') as f:
            f.write(text)
        return f'{self.conf_dir}/{name}'

    def test_plugin_that_is_not_installed(self):
        os.unlink(f'{self.bin_dir}/xskd-cni')
        self.finding('cni.plugin', 'note')
        self.write('10-x.conflist', '{"name": "x", "plugins": [{"type": "xskd-cni"}]}')
        f = self.finding('cni.plugin', 'problem')
        self.assertIn(self.bin_dir, f['advice'])
        os.symlink(XSKD_CNI, f'{self.bin_dir}/xskd-cni')
        self.gone(f)
        self.finding('cni.configuration', 'ok', f'{self.conf_dir}/10-x.conflist')

    def test_file_that_does_not_parse(self):
        path = self.write('20-y.conf', '{"type": "bridge",\n}')
        f = self.finding('cni.configuration', 'warning', path, 'line 2')
        os.unlink(path)
        self.gone(f)
        self.write('README', 'no configuration')
        self.gone(f)

    def test_half_done_attachment(self):
        why = lacking('/usr/lib/cni/host-local')
        if why:
            self.skipTest(why)
        self.nic()
        plugins = Plugins(self.node)
        self.addCleanup(shutil.rmtree, f'{self.node.dir}/cni')
        self.addCleanup(shutil.rmtree, f'{self.node.run_dir}/cni', True)
        pod = self.pod(link=False)
        config = json.dumps({'cniVersion': '1.0.0', 'name': 'n', 'device': 'nic0',
                             **plugins.xskd()})
        def cni(verb):
            env = {**os.environ, 'CNI_COMMAND': verb, 'CNI_CONTAINERID': 'half',
                   'CNI_NETNS': pod.path, 'CNI_IFNAME': 'net1', 'CNI_PATH': plugins.path}
            return subprocess.run(['nsenter', f'--net={self.node.host.path}', XSKD_CNI],
                                  input=config, text=True, env=env, capture_output=True,
                                  timeout=60, check=False)
        done = cni('ADD')
        self.assertEqual(done.returncode, 0, done.stdout)
        self.node.stop()
        cni('DEL')
        self.check_fds = False
        record, = entries(f'{self.node.run_dir}/cni/pending')
        os.utime(f'{self.node.run_dir}/cni/pending/{record}', (time.time() - 300, ) * 2)
        self.node.start()
        f = self.finding('cni.pending', 'warning', 'half@net1')
        self.apply(f)
        self.gone(f)


if __name__ == '__main__':
    tap.main()
