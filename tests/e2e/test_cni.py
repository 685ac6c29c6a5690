# SPDX-License-Identifier: Apache-2.0
"""xskd-cni by the CNI specification: verbs, versions, environment, configuration.

The runner (cni.py) is made from the specification and looks at each answer; after each test the
node has to be as it was. The daemon, host-local and the namespaces are real.
"""
import json
import os
import re

import tap
from cni import VERSIONS, CniCase, environment, finish, start
from node import pb
from plugins import DEBIAN, XSKD_CNI

MIB = 1 << 20
NEW_MAC = '02:00:00:00:00:99'


class Verbs(CniCase):
    """What each verb does, in each version and mode."""

    def test_device_mode(self):
        for version in VERSIONS:
            with self.subTest(version):
                a = self.attach(self.device(cniVersion=version, ipam=self.plugins.ipam()))
                result = self.life(a)
                interface, = result['interfaces']
                self.assertEqual((interface['name'], interface['sandbox'], interface['mac']),
                                 ('net1', a.netns.path, self.before['nic0: address']))
                self.assert_new_keys(version, interface)
                ip, = result['ips']
                self.assertRegex(ip['address'], r'^10\.66\.0\.\d+/24$')
                self.assertEqual((ip['gateway'], ip['interface']), ('10.66.0.1', 0))
                self.assertEqual(result['routes'], [{'dst': '0.0.0.0/0'}])

    def assert_new_keys(self, version, interface):
        """mtu, socketPath are there from 1.1.0 on; a veth has no PCI address."""
        new = {'mtu': 1500, 'socketPath': self.node.pod_path} if version == '1.1.0' else {}
        self.assertEqual({k: interface.get(k) for k in new}, new)
        self.assertEqual(set(interface) - set(new) - {'name', 'mac', 'sandbox'}, set())

    def test_queue_mode(self):
        for version in VERSIONS:
            with self.subTest(version):
                a = self.attach(self.queue(cniVersion=version, ipam=self.plugins.ipam()))
                result = self.life(a)
                interface, = result['interfaces']
                self.assertEqual((interface['name'], 'sandbox' in interface), ('nic0', False))
                self.assert_new_keys(version, interface)
                ip, = result['ips']
                self.assertNotIn('interface', ip)
                self.assertEqual(ip['gateway'], '10.66.0.1')

    def test_in_a_chain(self):
        for version in VERSIONS:
            with self.subTest(version):
                netns, before = self.in_pod(version=version)
                a = self.attach(self.network(cniVersion=version, prevResult=before), netns)
                result = self.life(a)
                interface, = result['interfaces']
                self.assertEqual(interface['name'], 'net1')
                self.assert_new_keys(version, interface)
                self.assertEqual(result['ips'], before['ips'])
                self.assertEqual(netns.links(), ['net1'])
                self.assertNotIn('xdp', netns.ip('link'))

    def test_the_pod_receives(self):
        a = self.added()
        self.nic.aim(0)
        self.assert_receives(a.netns)
        a.delete()
        self.assert_as_before()

    def test_the_pod_receives_from_its_queue(self):
        a = self.added(self.queue(queues=[1]))
        self.nic.aim(1)
        self.assert_receives(a.netns)
        a.delete()
        self.assert_as_before()

    def test_lease_and_program(self):
        a = self.added(args='IgnoreUnknown=1;K8S_POD_NAMESPACE=blue;K8S_POD_NAME=web-0;'
                            'K8S_POD_UID=0-1-2;OTHER=x')
        lease, = self.admin.leases()
        self.assertEqual((lease.container, lease.interface, lease.mode),
                         (a.container, 'net1', pb.LEASE_MODE_DEVICE))
        self.assertEqual(dict(lease.labels), {'network': 'xnet', 'namespace': 'blue',
                                              'pod': 'web-0', 'uid': '0-1-2'})
        program, = self.admin.programs()
        self.assertEqual((program.interface, program.transient), ('net1', True))
        self.assertEqual(self.records(), ([f'{a.container}@net1'], []))
        a.delete()
        self.assert_as_before()

    def test_queues(self):
        for queues, want in (('0-1', [0, 1]), ('1', [1]), ([1, 0], [0, 1]), ({'count': 2}, [0, 1]),
                             ({'count': 1}, [1]), (None, [1])):
            with self.subTest(queues):
                a = self.added(self.queue(queues=queues))
                lease, = self.admin.leases()
                self.assertEqual((list(lease.queues), lease.device), (want, 'nic0'))
                a.delete()
                self.assert_as_before()

    def test_queues_that_are_not_there(self):
        for config in (self.queue(queues=[7]), self.queue(queues={'count': 3}),
                       self.device(queues=[0, 7], ipam=self.plugins.ipam())):
            with self.subTest(config):
                self.add_fails(102, 'queue', config)

    def test_queues_that_another_pod_has(self):
        a = self.added(self.queue(queues=[1]))
        self.fails(self.attach(self.queue(queues=[1])).try_add(), 102, a.container)
        b = self.added(self.queue())
        self.fails(self.attach(self.queue()).try_add(), 102, 'queue')
        self.assertEqual(sorted(list(x.queues) for x in self.admin.leases()), [[0], [1]])
        a.delete()
        b.check()
        b.delete()
        self.assert_as_before()

    def test_add_twice(self):
        a = self.added(self.device(ipam=self.plugins.ipam()))
        self.fails(a.run('ADD'), 101, 'already')
        a.check()
        a.delete()
        self.assert_as_before()

    def test_two_networks_of_a_pod(self):
        self.add_nic('nic1')
        a = self.added()
        b = self.added(self.network(device='nic1'), netns=a.netns, ifname='net2',
                       containerid=a.container)
        self.assertEqual(sorted(a.netns.links()), ['net1', 'net2'])
        a.delete()
        b.check()
        b.delete()
        self.assert_as_before()

    def test_same_pod_name_in_other_namespaces_and_sandboxes(self):
        self.add_nic('nic1')
        self.add_nic('nic2')
        args = 'K8S_POD_NAMESPACE=%s;K8S_POD_NAME=web-0;K8S_POD_UID=%s'
        pods = [self.added(self.network(device='nic0'), args=args % ('blue', 'u1')),
                self.added(self.network(device='nic1'), args=args % ('green', 'u2')),
                # A new sandbox of the first pod, whose old one has not ended yet.
                self.added(self.network(device='nic2'), args=args % ('blue', 'u1'))]
        labels = sorted((x.labels['namespace'], x.labels['uid']) for x in self.admin.leases())
        self.assertEqual(labels, [('blue', 'u1'), ('blue', 'u1'), ('green', 'u2')])
        pods[0].delete()
        for pod in pods[1:]:
            pod.check()
            pod.delete()
        self.assert_as_before()

    def test_version(self):
        for config in ({'cniVersion': '1.0.0'}, {'cniVersion': '0.4.0', 'foo': 1}, b'', b'nonsense',
                       {'cniVersion': '9.9.9'}):
            with self.subTest(config):
                answer = self.plugin('VERSION', config, containerid='dummy', netns='dummy',
                                     ifname='dummy', path='dummy', args='dummy')
                self.assertTrue(answer.ok, answer)
                self.assertEqual(answer.json['supportedVersions'], list(VERSIONS))

    def test_by_hand(self):
        for args, status, out, err in (
                ((), 0, '', '0.3.1 0.4.0 1.0.0 1.1.0'), (('--version',), 0, r'^xskd-cni \d', ''),
                (('--help',), 0, 'reconcile', ''), (('-h',), 0, 'reconcile', ''),
                (('--nonsense',), 2, '', 'nonsense'), (('nonsense',), 2, '', 'nonsense'),
                (('reconcile', 'more'), 2, '', ''), (('reconcile', '--socket-dir'), 2, '', ''),
                (('reconcile', '--socket-dir', self.node.run_dir), 0, '', ''),
                (('reconcile', '--socket-dir', '/proc/none'), 1, '', '/proc/none')):
            with self.subTest(args):
                done = self.by_hand(*args)
                self.assertEqual(done.returncode, status, done)
                self.assertTrue(re.search(out, done.stdout) if out else not done.stdout, done)
                self.assertRegex(done.stderr, f'({err})')

    def test_unknown_command(self):
        for verb in ('', 'add', 'NONSENSE', 'ADD ', 'A' * 1000):
            with self.subTest(verb):
                self.fails(self.plugin(verb, self.device()), 4, 'CNI_COMMAND')

    def test_log(self):
        path = f'{self.node.dir}/cni.log'
        config = self.device(logFile=path, ipam=self.plugins.ipam())
        a = self.added(config)
        self.fails(a.run('ADD'), 101)
        a.delete(config={**config, 'nonsense': 1})
        lines = open(path, encoding='utf-8').read().splitlines()
        what = f'container={re.escape(a.container)} ifname=net1 pod=default/web-0'
        ends = (rf'info ADD {what} ok ms=\d', f'error ADD {what} failed code=101',
                f'warning DEL {what} .*nonsense', rf'info DEL {what} ok ms=')
        for line, end in zip(lines, ends):
            self.assertRegex(line, rf'^\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ {end}')
        self.assertEqual(len(lines), 4, lines)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o640)
        self.assert_as_before()
        # A pod ends although there is no place for the log; it does not begin.
        config = self.device(logFile='/proc/none/log')
        self.add_fails(5, '/proc/none/log', config)
        self.attach(config).delete()

    def test_streams_that_are_closed(self):
        a = self.attach()
        p = start(self.node.host, ['sh', '-c', f'exec {XSKD_CNI} 2>&-'],
                  environment('ADD', **a.cni))
        self.assertTrue(finish(p, 'ADD', a.config).ok)
        a.delete()
        self.assert_as_before()


class Environment(CniCase):
    """Each variable: missing, empty, wrong, too long."""

    def test_missing(self):
        of_pod = ('containerid', 'netns', 'ifname')
        needed = {'ADD': of_pod, 'CHECK': of_pod, 'DEL': ('containerid', 'ifname'),
                  'GC': ('path',)}
        config = self.device(cniVersion='1.1.0', **{'cni.dev/valid-attachments': []})
        for verb, names in needed.items():
            for value in (None, ''):
                for name in names:
                    with self.subTest(verb=verb, name=name, value=value):
                        answer = self.attach(config).run(verb, **{name: value})
                        self.fails(answer, 4, f'CNI_{name.upper()}')
                answer = self.attach(config).run(verb, **dict.fromkeys(names, value))
                self.fails(answer, 4)
                for name in names:  # the specification: all that are missing
                    self.assertIn(f'CNI_{name.upper()}', answer.msg)
        self.assert_as_before()

    def test_not_needed(self):
        a = self.attach(args=None, path=None)
        self.life(a)
        a.delete(netns=None)
        answer = self.plugin('STATUS', self.device(cniVersion='1.1.0'))
        self.assertTrue(answer.ok, answer)
        gc = self.device(cniVersion='1.1.0', **{'cni.dev/valid-attachments': []})
        answer = self.plugin('GC', gc, path=DEBIAN)
        self.assertTrue(answer.ok, answer)

    def test_wrong(self):
        bad = {'containerid': ('a/b', '-a', '.', '..', '_x', 'a b', 'a\n', 'ä', 'a' * 129, 'a@b'),
               'ifname': ('.', '..', 'a%d', 'a%', 'a/b', 'a b', 'a:b', 'a' * 16, 'a\t', 'a@b',
                          'a"b', "a'b"),
               'netns': ('/' + 'a' * 4096, '/run/\x01'),
               'args': ('K8S_POD_NAME', '=x', 'a=b;c', 'a' * 8193, 'a=b\n',
                        'K8S_POD_NAME=' + 'a' * 256, 'K8S_POD_NAMESPACE=' + 'a' * 256,
                        'K8S_POD_UID=' + 'a' * 64),
               'path': ('a' * 8193, '/usr\x02')}
        for name, values in bad.items():
            for value in values:
                with self.subTest(name=name, value=value[:40]):
                    answer = self.attach().try_add(**{name: value})
                    self.fails(answer, 4, f'CNI_{name.upper()}')
        self.assert_as_before()

    def test_at_the_limit(self):
        for cni in ({'containerid': 'A' + '_' * 127}, {'ifname': 'a' * 15}, {'ifname': 'a!#.~'},
                    {'args': ';;K8S_POD_NAME=' + 'a' * 255 + ';a=;;'},
                    {'args': 'a=' + 'b' * 8190}):
            with self.subTest({k: v[:20] for k, v in cni.items()}):
                self.life(self.attach(**cni))
        a = self.attach(self.device(ipam=self.plugins.ipam()), path='/a:/a:::' * 1000 + DEBIAN)
        self.life(a)

    def test_args_that_are_no_text(self):
        a = self.attach()
        env = {k.encode(): v.encode() for k, v in environment('ADD', **a.cni).items()}
        env[b'CNI_ARGS'] = b'K8S_POD_NAME=\xff\xfe'
        answer = finish(start(self.node.host, [XSKD_CNI], env), 'ADD', a.config)
        self.fails(answer, 4, 'UTF-8')
        self.assert_as_before()

    def test_namespace(self):
        for path in (self.node.host.path, '/run/netns/none', '/etc/passwd', '/proc/self/ns/pid',
                     '/tmp', '/dev/null'):
            with self.subTest(path):
                self.add_fails(8, re.escape(path), netns=None, cni={'netns': path})
                self.fails(self.attach().run('CHECK', netns=path), 8)
                self.attach().delete(netns=path)
        self.assert_as_before()

    def test_host_network_is_named(self):
        self.add_fails(8, 'hostNetwork', cni={'netns': self.node.host.path})


class Configuration(CniCase):
    """Each key, with what it cannot be."""

    def test_no_json(self):
        for raw in (b'', b'{', b'nonsense', b'[]', b'1', b'"x"', b'null',
                    b'{"name": "a", "name": "b"}', b'{"name": "\xff"}', b'{} {}',
                    b'{"a": "\\u0000"}', b'[' * 500):
            for verb in ('ADD', 'DEL', 'CHECK', 'STATUS', 'GC'):
                with self.subTest(verb=verb, raw=raw[:30]):
                    self.fails(self.attach().run(verb, config=raw), 6)
        self.assert_as_before()

    def test_size(self):
        config = self.device(args={'x': ''})
        config['args']['x'] = 'a' * (MIB - len(json.dumps(config)))
        a = self.attach(config)
        a.add()
        self.fails(self.attach({**config, 'args': {'x': config['args']['x'] + 'a'}}).try_add(), 6,
                   '1048576')
        a.delete(config=self.device())
        self.assert_as_before()

    def test_wrong_values(self):
        program = {'object': '/x'}
        bad = {
            'name': (1, '', None, '-x', 'a/b', 'a' * 129, []),
            'mode': (1, 'x', {}), 'device': (1, [], 'a\x01', 'a' * 256), 'deviceID': (1, {}),
            'queues': ('a', '', 1, [], [-1], ['0'], [0.5], [1 << 32], {'count': 0}, {'count': -1},
                       {'count': 5000}, {'count': '1'}, '3-1', '0,', '1-', '0-5000'),
            'xdpMode': (1, 'x'),
            'program': ('x', 1, {}, {'object': 'relative'}, {'object': 1}, {**program, 'name': 1},
                        {**program, 'map': []}, {**program, 'constants': 1},
                        {**program, 'constants': {'a': 1.5}}, {**program, 'constants': {'a': 'x'}},
                        {**program, 'constants': {'a': 'hex:0'}}, {**program, 'constants': {'': 1}},
                        {**program, 'constants': {'a': None}}),
            'mac': (1, 'x', '01:00:00:00:00:01', '02:00:00:00:00:0', '02:00:00:00:00:011',
                    '02:00:00:00:00', '02-00-00-00-00-01', ' 2:00:00:00:00:01'),
            'mtu': (67, 65536, '1500', 1.5, -1, True), 'channels': (0, 4097, '1', [], -1),
            'busyPoll': (1, 'x', [], {'napiDeferHardIrqs': -1}, {'napiDeferHardIrqs': 1 << 31},
                         {'groFlushTimeout': 'x'}, {'groFlushTimeout': 1 << 31}),
            'filters': ({}, 'x', [1], [{}], [{'flow': 'x'}], [{'flow': 1}], [{'flow': 'udp4'}] * 65,
                        [{'flow': 'udp4', 'srcIP': 'x'}], [{'flow': 'udp4', 'srcIP': '::1'}],
                        [{'flow': 'udp6', 'srcIP': '10.0.0.1'}], [{'flow': 'udp4', 'srcIP': 'pod'}],
                        [{'flow': 'udp4', 'dstPort': 0}], [{'flow': 'udp4', 'dstPort': 65536}],
                        [{'flow': 'udp4', 'srcPort': '1'}], [{'flow': 'ip4', 'dstPort': 1}],
                        [{'flow': 'ip6', 'srcPort': 1}], [{'flow': 'ether', 'dstIP': '10.0.0.1'}],
                        [{'flow': 'ether', 'dstPort': 1}], [{'flow': 'udp4', 'etherType': 1}],
                        [{'flow': 'udp4', 'dstMAC': NEW_MAC}], [{'flow': 'ether', 'dstMAC': 'x'}],
                        [{'flow': 'ether', 'etherType': 65536}], [{'flow': 'udp4', 'queue': -1}],
                        [{'flow': 'udp4', 'queue': 'x'}]),
            'allowInUse': ('nic0', 1, [1], ['a/b'], [''], {}),
            'ipam': ('x', [], {'type': 1}, {'type': 'a/b'}, {'type': '../x'}), 'dns': ('x', []),
            'socketDir': (1, 'relative'), 'logFile': (1, 'relative', []),
            'runtimeConfig': ('x', [], {'mac': 1}, {'mtu': 'x'}, {'deviceID': 1}, {'mac': 'x'}),
            'prevResult': ('x', [], 1)}
        for key, values in bad.items():
            for value in values:
                a = self.attach({**self.device(), key: value})
                with self.subTest(key=key, value=str(value)[:60]):
                    answer = a.try_add()
                    a.delete(config=self.device())
                    self.fails(answer, 7, key)
        self.assert_as_before()

    def test_no_value(self):
        """null and "" are as good as nothing."""
        keys = ('mode', 'deviceID', 'queues', 'xdpMode', 'program', 'mac', 'mtu', 'channels',
                'busyPoll', 'filters', 'allowInUse', 'ipam', 'dns', 'logFile', 'runtimeConfig',
                'prevResult', 'args', 'capabilities')
        texts = dict.fromkeys(('mode', 'deviceID', 'xdpMode', 'mac', 'logFile'), '')
        for more in (dict.fromkeys(keys), texts):
            a = self.attach({**self.device(), **more})
            self.life(a)

    def test_settings_in_queue_mode(self):
        for key, value in (('mac', NEW_MAC), ('mtu', 1400), ('channels', 1), ('busyPoll', True)):
            with self.subTest(key):
                self.add_fails(7, f'{key}.*on the host', self.queue(**{key: value}))
        for key, value in (('mac', NEW_MAC), ('mtu', 1400)):
            with self.subTest(key):
                self.add_fails(7, key, self.queue(runtimeConfig={key: value}))

    def test_versions(self):
        for version in ('9.9.9', '0.1.0', '0.2.0', '0.3.0', '1.2.0', '', None, ' 1.0.0'):
            with self.subTest(version):
                self.add_fails(1, 'cniVersion', self.device(cniVersion=version))
        self.assertIn(self.attach(self.device(cniVersion=1)).try_add().code, (1, 7))

    def test_unknown_keys(self):
        known = {'queues': {'count': 1}, 'busyPoll': {}, 'program': {'object': '/x'},
                 'filters': [{'flow': 'udp4'}]}
        for path, more in (('mut', {'mut': 1500}),
                           ('queues.foo', {'queues': {'count': 1, 'foo': 1500}}),
                           ('busyPoll.foo', {'busyPoll': {'foo': 1500}}),
                           ('program.foo', {'program': {'object': '/x', 'foo': 1500}}),
                           (r'filters\[0\].foo', {'filters': [{'flow': 'udp4', 'foo': 1500}]})):
            config = self.device(cniVersion='1.1.0', **{**known, **more})
            with self.subTest(path):
                for verb in ('ADD', 'CHECK', 'STATUS'):
                    self.fails(self.attach(config).run(verb), 2, f"'{path}'.*1500")
                for verb in ('DEL', 'GC'):
                    more = {'cni.dev/valid-attachments': []}
                    answer = self.attach({**config, **more}).do(verb)
                    self.assertRegex(answer.err, f"'{path}'.*1500")
        self.assert_as_before()

    def test_keys_of_others(self):
        self.life(self.attach(self.device(
            args={'cni': {'x': 1}}, capabilities={'mac': True}, cniVersions=['1.0.0'],
            disableCheck=False, disableGC=False, ipMasq=True, loadOnlyInlinedPlugins=True,
            pciBusID='0000:00:00.0', resourceName='example.com/x',
            runtimeConfig={'portMappings': []},
            **{'example.com/own': {'x': 1}, 'cni.dev/attachments': []})))

    def test_what_goes_before_what(self):
        self.add_nic('nic1')
        self.add_nic('nic2')
        for keys, want in (({'device': 'nic0'}, 'nic0'), ({'deviceID': 'nic1'}, 'nic1'),
                           ({'runtimeConfig': {'deviceID': 'nic2'}}, 'nic2'),
                           ({'device': 'nic0', 'deviceID': 'nic1'}, 'nic1'),
                           ({'device': 'nic0', 'deviceID': 'nic1',
                             'runtimeConfig': {'deviceID': 'nic2'}}, 'nic2'),
                           ({'device': 'nic0', 'deviceID': '', 'runtimeConfig': {'deviceID': ''}},
                            'nic0')):
            with self.subTest(keys):
                a = self.added(self.network(**keys))
                self.assertEqual({'nic0', 'nic1', 'nic2'} - {want}, set(self.node.host.links()))
                a.delete()
                self.assert_as_before()
        a = self.added(self.device(mac='02:00:00:00:00:01', mtu=1300,
                                   runtimeConfig={'mac': NEW_MAC, 'mtu': 1400}))
        self.assertEqual((a.interface()['address'], a.interface()['mtu']), (NEW_MAC, 1400))
        a.delete()
        self.assert_as_before()


if __name__ == '__main__':
    tap.main()
