# SPDX-License-Identifier: Apache-2.0
"""The command lines of xskd and xskctl: words, exit codes, JSON."""
import json
import os
import signal
import socket
import subprocess
import threading
import time

import tap
from node import BUILD, Link, Node, TestCase, finish, run, wait_for


class Daemon(TestCase):
    """xskd."""

    def xskd(self, *args):
        """Run it where it should not stay; Return: exit status, stdout, stderr."""
        done = subprocess.run([f'{BUILD}/server/xskd', *args], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_help(self):
        for flag in ('--help', '-h'):
            status, out, err = self.xskd(flag)
            self.assertEqual((status, err), (0, ''))
            for word in ('--run-dir', '--bpf-dir', '--config', '--log-level', '--log-format',
                         '--version', '--help'):
                self.assertIn(word, out)

    def test_version(self):
        status, out, _ = self.xskd('--version')
        self.assertEqual(status, 0)
        self.assertRegex(out, r'^xskd \d+\.\d+\.\d+\n$')
        self.assertEqual(out.split()[1], self.admin.call('GetInfo').version)

    def test_wrong_usage(self):
        for args, text in ((['--nonsense'], 'nonsense'), (['word'], "'word'"),
                           (['--run-dir'], 'argument'), (['--run-dir', 'relative'], 'absolute'),
                           (['--bpf-dir', ''], 'absolute'), (['--log-level', 'loud'], 'debug'),
                           (['--log-format', 'xml'], 'text or json'),
                           (['--config', '/nonexistent/file'], 'No such file')):
            with self.subTest(args):
                status, out, err = self.xskd(*args)
                self.assertEqual((status, out), (2, ''), err)
                self.assertIn(text, err)

    def test_bad_configuration(self):
        path = f'{self.node.dir}/bad.json'
        for text, words in (('', ''), ('{', 'line 1'), ('[]', 'object'), ('{"a": 1}', '"a"'),
                            ('{"workers": 0}', '"workers"'), ('{"workers": "8"}', 'number'),
                            ('{"workers": 1.5}', 'number'),
                            ('{"limits": []}', '"limits"'), ('{"limits": {"x": 1}}', '"x"'),
                            ('{"limits": {"callsInFlight": -1}}', 'from 1'),
                            ('{"limits": {"connections": 99999999999999999999}}', ''),
                            ('{"runDir": "x"}', 'absolute'), ('{"runDir": 5}', 'absolute'),
                            ('{"runDir": "/' + 'x' * 5000 + '"}', 'runDir'),
                            ('{"handOff": "three"}', 'two-phase'), ('{"logLevel": 1}', 'debug'),
                            ('{"workers": 1, "workers": 2}', 'duplicate'),
                            ('{"workers": 1} trailing', ''), ('\xff\xfe', ''), ('[' * 10000, '')):
            with open(path, 'w', encoding='latin-1') as f:
                f.write(text)
            with self.subTest(text[:40]):
                status, _, err = self.xskd('--config', path)
                self.assertEqual(status, 2, err)
                self.assertIn(path, err)
                self.assertIn(words, err)

    def test_configuration_that_is_no_file(self):
        status, _, err = self.xskd('--config', '/')
        self.assertEqual(status, 2)
        self.assertIn('/', err)

    def test_flag_overrides_file(self):
        path = f'{self.node.dir}/run.json'
        with open(path, 'w', encoding='ascii') as f:
            json.dump({'runDir': '/nonexistent/a/b'}, f)
        # The directory of the flag is in use: the message tells which one was meant.
        status, _, err = self.xskd('--run-dir', self.node.run_dir, '--config', path,
                                   '--bpf-dir', f'{self.node.dir}/none')
        self.assertEqual(status, 1)
        self.assertIn(f'another xskd uses {self.node.run_dir}', err)

    def test_run_dir_that_cannot_be_made(self):
        status, _, err = self.xskd('--run-dir', '/proc/nonexistent')
        self.assertEqual(status, 1)
        self.assertIn('/proc/nonexistent', err)

    def test_run_dir_that_is_too_long(self):
        long = f'{self.node.dir}/' + 'x' * 100
        status, _, err = self.xskd('--run-dir', long, '--bpf-dir', f'{self.node.dir}/bpf-long')
        run('umount', f'{self.node.dir}/bpf-long', check=False)
        self.assertEqual(status, 1)
        self.assertIn('too long', err)

    def test_without_root(self):
        pod = self.pod(link=False)
        # Below a directory of its own, for where it is is not what is to fail.
        own = f'{self.node.dir}/own'
        os.mkdir(own)
        os.chown(own, 65534, 65534)
        kit = f'{self.node.kit}/xskd'
        run('cp', f'{BUILD}/server/xskd', kit)
        p = pod.start(kit, '--run-dir', f'{own}/run', '--bpf-dir', f'{own}/bpf')
        _, err = p.communicate(timeout=20)
        self.assertEqual(p.returncode, 1)
        self.assertRegex(err, 'cannot|permi')

    def test_log_as_json(self):
        node = Node(flags=['--log-format', 'json', '--log-level', 'debug'])
        self.addCleanup(lambda: self.assertEqual(node.destroy(), []))
        node.start()
        pod = self.pod()
        with node.admin() as admin, open(pod.path, 'rb') as ns:
            admin.call('GrantLease', [ns.fileno()], netns_fd=1, interface='eth0',
                       container='json', labels={'pod': 'with "quotes"'})
            admin.call('RevokeLease', container='json')
        node.stop()
        lines = [json.loads(line) for line in node.log_since(0).splitlines()]
        self.assertTrue(all({'time', 'level', 'msg'} <= set(line) for line in lines))
        audit = [line for line in lines if line['msg'] == 'audit']
        self.assertEqual([(a['call'], a['result'], a['subject']) for a in audit],
                         [('GrantLease', 'granted', 'json@eth0'),
                          ('RevokeLease', 'granted', 'json@*')])

    def test_sockets_passed_by_systemd_are_taken(self):
        node = Node()
        self.addCleanup(lambda: self.assertEqual(node.destroy(), []))
        os.makedirs(f'{node.run_dir}/pod')
        os.makedirs(f'{node.run_dir}/admin')
        socks = []
        for path in (node.admin_path, node.pod_path):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.bind(path)
            s.listen(16)
            socks.append(s)
        os.chmod(node.pod_path, 0o666)
        # As systemd does it: fds 3 and 4, and a pid that matches.
        script = ('exec 3<&{} 4<&{}; export LISTEN_FDS=2 LISTEN_PID=$$; exec "$@"'
                  .format(*[s.fileno() for s in socks]))
        with open(node.log_path, 'ab') as log:
            node.process = subprocess.Popen(
                ['nsenter', f'--net={node.host.path}', 'bash', '-c', script, 'sh', *node.argv()],
                pass_fds=[s.fileno() for s in socks], stderr=log, stdin=subprocess.DEVNULL)
        for s in socks:
            s.close()
        # A client may come before the daemon is up: the socket is there already.
        with node.admin() as c:
            self.assertTrue(c.call('GetInfo').admin)
        self.assertIn('from the service manager', node.log_since(0))


class Ctl(TestCase):
    """xskctl."""

    def ctl(self, *args, status=0, pod=None):
        """Run it; Return: stdout and stderr."""
        done = self.node.ctl(*args, pod=pod)
        self.assertEqual(done.returncode, status, (args, done.stdout, done.stderr))
        return done.stdout, done.stderr

    def json(self, *args, **kw):
        """Its output with -o json, parsed."""
        return json.loads(self.ctl('-o', 'json', *args, **kw)[0])

    def test_help_and_version(self):
        out, err = self.ctl('--help')
        self.assertIn('Exit status', out)
        self.assertEqual(err, '')
        self.ctl('help', 'receive')
        self.ctl('program', 'load', '--help')
        self.ctl('lease', '--help')
        self.assertRegex(self.json('version')['xskctl'], r'^\d+\.\d+\.\d+$')

    def test_wrong_usage_is_2(self):
        for args in ((), ('nonsense',), ('lease',), ('lease', 'nonsense'), ('--nonsense',),
                     ('info', 'more'), ('-o', 'xml', 'info'), ('--timeout', 'soon', 'info'),
                     ('program', 'load'), ('program', 'load', 'a', 'b'),
                     ('program', 'load', 'eth0', '--mode', 'best'),
                     ('program', 'load', 'eth0', '--set', 'novalue'),
                     ('lease', 'grant'), ('lease', 'grant', '--container', 'c'),
                     ('lease', 'grant', '--container', 'c', '--netns', '/proc/self/ns/net',
                      '--interface', 'eth0', '--queues', '1', '--queue-count', '1'),
                     ('lease', 'grant', '--container', 'c', '--queue-count', '0'),
                     ('lease', 'revoke'), ('receive',), ('receive', 'eth0', '--queue', 'x'),
                     ('receive', 'eth0', '--queue', '3-1'), ('receive', 'eth0', '--count', '0'),
                     ('receive', 'eth0', '--zero-copy', 'maybe'), ('exec', 'eth0'),
                     ('exec', 'eth0', '--'), ('help', 'nonsense')):
            with self.subTest(args):
                out, err = self.ctl(*args, status=2)
                self.assertEqual(out, '')
                self.assertTrue(err)

    def test_failed_call_is_1(self):
        for args, text in ((('program', 'unload', '4242424'), 'no program'),
                           (('program', 'load', 'eth99'), 'eth99'),
                           (('program', 'load', 'lo', '--object', '/nonexistent'), 'No such file'),
                           (('program', 'load', 'lo', '--object', '/bin/true'), 'BPF object'),
                           (('lease', 'grant', '--container', 'c', '--netns', '/nonexistent',
                             '--interface', 'eth0'), 'No such file')):
            with self.subTest(args):
                out, err = self.ctl(*args, status=1)
                self.assertEqual(out, '')
                self.assertIn(text, err)

    def test_daemon_that_is_not_there_is_3(self):
        for args in (('--socket', f'{self.node.dir}/none', 'info'),
                     ('--run-dir', '/nonexistent', 'info')):
            with self.subTest(args):
                _, err = self.ctl(*args, status=3)
                self.assertTrue(err)

    def test_life_of_a_program_and_a_lease(self):
        pod = self.pod(queues=2)
        p = self.json('program', 'load', 'eth0', '--netns', pod.path)
        p = p[0] if isinstance(p, list) else p
        self.assertEqual((p['interface'], p['mode']), ('eth0', 'native'))
        self.assertEqual(len(self.json('program', 'list')), 1)
        self.json('program', 'get', str(p['id']))
        self.json('program', 'get', 'eth0', '--netns', pod.netns.name)
        granted = self.json('lease', 'grant', '--container', 'c1', '--netns', pod.path,
                            '--interface', 'eth0', '--queues', '0-1', '--label', 'pod=web-0')
        lease, = self.json('lease', 'list')
        self.assertEqual(lease, granted)
        self.assertEqual((lease['container'], lease['labels'], lease['mode']),
                         ('c1', {'pod': 'web-0'}, 'device'))
        self.assertEqual(len(self.json('lease', 'list', pod=pod)), 1)
        holder = pod.receive('--queue', '1')
        s, = self.json('socket', 'list')
        self.assertEqual((s['queue'], s['pid']), (1, holder.pid))
        self.json('stats', 'eth0', pod=pod)
        self.json('stats', '--program', str(p['id']))
        for words in (('program', 'list'), ('lease', 'list'), ('socket', 'list'), ('info',),
                      ('stats', '--program', str(p['id']))):
            out, _ = self.ctl(*words)  # for people
            self.assertTrue(out)
        _, err = self.ctl('program', 'unload', 'eth0', '--netns', pod.path, status=1)
        self.assertIn('force', err)
        self.ctl('program', 'unload', 'eth0', '--netns', pod.path, '--force')
        self.ctl('lease', 'revoke', '--container', 'c1')
        self.assertEqual((self.json('program', 'list'), self.json('lease', 'list')), ([], []))

    def test_info(self):
        info = self.json('info')
        self.assertEqual(info['kernel'], os.uname().release)
        self.assertTrue(info['admin'])

    def test_queue_mode_and_custom_constants(self):
        Link(self.node.host, 'nic0', self.pod(link=False).netns, 4)
        pod = self.pod(link=False)
        self.ctl('program', 'load', 'nic0', '--mode', 'generic')
        out, _ = self.ctl('lease', 'grant', '--container', 'c', '--netns', pod.path, '--interface',
                          'xdp0', '--device', 'nic0', '--queues', '1,3')
        self.assertRegex(out, r'(?m)^DEVICE +nic0$')
        self.assertRegex(out, r'(?m)^QUEUES +1,3$')
        lease, = self.json('lease', 'list')
        self.assertEqual((lease['device'], lease['mode']), ('nic0', 'queue'))

    def test_transient_program_and_a_number_of_queues(self):
        Link(self.node.host, 'nic0', self.pod(link=False).netns, 4)
        pod = self.pod(link=False)
        p = self.json('program', 'load', 'nic0', '--transient')
        self.assertEqual((p['transient'], p['leases']), (True, 0))
        lease = self.json('lease', 'grant', '--container', 'c', '--netns', pod.path, '--interface',
                          'xdp0', '--device', 'nic0', '--queue-count', '2')
        self.assertEqual((lease['queues'], lease['program_id']), ([1, 2], p['id']))
        self.assertEqual(self.json('program', 'get', 'nic0')['leases'], 1)
        out, _ = self.ctl('program', 'list')
        self.assertRegex(out.splitlines()[0], 'TRANSIENT  LEASES')
        _, err = self.ctl('lease', 'grant', '--container', 'd', '--netns', pod.path, '--interface',
                          'xdp1', '--device', 'nic0', '--queue-count', '3', status=1)
        self.assertIn('2 of the 4 queues', err)
        self.ctl('lease', 'revoke', '--container', 'c')
        self.assertEqual(self.json('program', 'list'), [])

    def test_receive_without_lease(self):
        pod = self.pod()
        _, err = self.ctl('receive', 'eth0', pod=pod, status=1)
        self.assertIn('no lease', err)

    def test_receive_for_people_and_for_a_time(self):
        pod = self.ready_pod()
        out, err = self.ctl('receive', 'eth0', '--duration', '0.2', pod=pod)
        self.assertIn('PACKETS', out)
        self.assertIn('receiving on eth0 queue 0', err)

    def test_receive_ends_by_signal_with_its_summary(self):
        pod = self.ready_pod()
        for sig in (signal.SIGINT, signal.SIGTERM):
            p = pod.receive()
            pod.link.send(50)
            wait_for(lambda: self.admin.call('GetStats', program_id=pod.program.id)
                     .queues[0].redirected >= 50, 'the packets')
            p.send_signal(sig)
            self.assertEqual(json.loads(finish(p))['sequenced'], 50)
            wait_for(lambda: not self.admin.sockets(), 'the ledger')
            pod = self.ready_pod()

    def test_receive_tells_of_a_lost_device(self):
        pod = self.ready_pod()
        p = pod.receive()
        pod.netns.ip('link', 'del', 'eth0')
        _, err = p.communicate(timeout=20)
        self.assertEqual(p.returncode, 1)
        self.assertIn('removed or moved', err)

    def test_receive_zero_copy_required(self):
        pod = self.ready_pod()
        _, err = self.ctl('receive', 'eth0', '--zero-copy', 'required', pod=pod, status=1)
        self.assertIn('zero-copy', err)

    def test_exec_passes_socket_and_umem(self):
        pod = self.ready_pod(queues=2)
        script = ('import json, os, socket\n'
                  'fds = [int(f) for f in os.environ["XSKD_SOCKET_FDS"].split(":")]\n'
                  'kinds = [socket.socket(44, socket.SOCK_RAW, 0, os.dup(f)).getsockopt(1, 39)'
                  ' for f in fds]\n'  # SO_DOMAIN
                  'umem = os.fstat(int(os.environ["XSKD_UMEM_FD"])).st_size\n'
                  'print(json.dumps([kinds, umem, os.environ["XSKD_QUEUES"],\n'
                  '                  os.environ["XSKD_INTERFACE"]]))\n')
        p = pod.start(self.node.xskctl, '--run-dir', self.node.run_dir, 'exec', 'eth0', '--queue',
                      '0-1', '--', '/usr/bin/python3', '-c', script)
        kinds, umem, queues, interface = json.loads(finish(p))
        self.assertEqual((kinds, queues, interface), ([44, 44], '0:1', 'eth0'))
        self.assertGreater(umem, 0)

    def test_exec_unbound(self):
        pod = self.ready_pod()
        p = pod.start(self.node.xskctl, '--run-dir', self.node.run_dir, 'exec', 'eth0',
                      '--unbound', '--', 'sh', '-c',
                      'echo "$XSKD_SOCKET_FDS ${XSKD_UMEM_FD-none} $XSKD_QUEUES"; '
                      'readlink /proc/self/fd/$XSKD_SOCKET_FDS')
        out = finish(p)
        self.assertRegex(out, r'^\d+ none 0\nsocket:')

    def test_exec_answers_as_the_program_does(self):
        pod = self.ready_pod()
        for argv, status in ((['sh', '-c', 'exit 7'], 7), (['/nonexistent'], 127), (['/etc'], 126)):
            with self.subTest(argv):
                self.ctl('exec', 'eth0', '--', *argv, status=status, pod=pod)

    def test_watch_prints_events(self):
        pod = self.pod()
        p = subprocess.Popen(['nsenter', f'--net={self.node.host.path}', self.node.xskctl,
                              '--run-dir', self.node.run_dir, '-o', 'json', 'watch'],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        def stop():
            if p.poll() is None:
                p.kill()
            p.communicate()
        self.addCleanup(stop)
        wait_for(lambda: self.admin.call('GetInfo').connections >= 2, 'the watcher')
        events = []
        reader = threading.Thread(target=lambda: [events.append(json.loads(line))
                                                  for line in p.stdout], daemon=True)
        reader.start()

        def grants():
            # The watch begins some time after its connect; so until it is seen.
            self.grant(pod)
            self.admin.call('RevokeLease', container=pod.container)
            return {'lease-granted', 'lease-revoked'} <= {e['event'] for e in events}
        wait_for(grants, 'the events', step=0.02)
        self.assertEqual({e['container'] for e in events}, {pod.container})
        p.kill()
        reader.join(10)

    def test_timeout(self):
        path = f'{self.node.dir}/deaf.sock'
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as deaf:
            deaf.bind(path)
            deaf.listen(4)
            began = time.monotonic()
            _, err = self.ctl('--socket', path, '--timeout', '0.3', 'info', status=3)
            self.assertLess(time.monotonic() - began, 10)
            self.assertTrue(err)

    def test_environment_names_the_socket(self):
        p = subprocess.run([self.node.xskctl, '-o', 'json', 'info'], check=False, timeout=30,
                           env={**os.environ, 'XSKD_SOCKET': self.node.pod_path},
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertFalse(json.loads(p.stdout)['admin'])

    def test_full_device_is_an_error(self):
        with open('/dev/full', 'w', encoding='ascii') as full:
            p = subprocess.run(['nsenter', f'--net={self.node.host.path}', self.node.xskctl,
                                '--run-dir', self.node.run_dir, 'info'], stdout=full,
                               stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        self.assertEqual(p.returncode, 1)
        self.assertIn('No space', p.stderr)

    def test_closed_standard_fds(self):
        pod = self.ready_pod()
        p = subprocess.run(['bash', '-c', 'exec "$@" <&- >&- 2>&-', 'sh',
                            *pod.argv(self.node.xskctl, '--run-dir', self.node.run_dir, 'receive',
                                      'eth0', '--duration', '0.1')], timeout=30, check=False)
        self.assertEqual(p.returncode, 0)


if __name__ == '__main__':
    tap.main()
