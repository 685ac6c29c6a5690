# SPDX-License-Identifier: Apache-2.0
"""xskd-cni under libcni, the library that containerd, CRI-O, podman and multus run plugins with.

It filters capabilities, caches results, converts them between versions and chains plugins. libcni/
has the driver, in Go: real libcni, no copy of what it does.
"""
import atexit
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import tap
from node import HERE, finish, numbers, pb, run, wait_for
from plugins import DEBIAN, NicCase, lacking

GOPATH = '/usr/share/gocode'
LIBCNI = f'{GOPATH}/src/github.com/containernetworking/cni/libcni'
VERSIONS = ('0.3.1', '0.4.0', '1.0.0')  # those of Debian's libcni that xskd-cni speaks


def build_driver():
    """The driver, in a directory that goes with this process."""
    out = tempfile.mkdtemp(prefix='xskd-libcni-')
    atexit.register(shutil.rmtree, out, True)
    # Without modules: Debian's packages are a GOPATH. No network, nothing outside of `out`.
    env = {**os.environ, 'GO111MODULE': 'off', 'GOPATH': GOPATH, 'GOCACHE': f'{out}/cache',
           'GOENV': 'off', 'GOFLAGS': '', 'GOTMPDIR': out, 'CGO_ENABLED': '0'}
    done = subprocess.run(['go', 'build', '-o', f'{out}/libcni', '.'], cwd=f'{HERE}/libcni',
                          env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=300, check=False)
    if done.returncode:
        raise AssertionError(f'go build: {done.stdout}')
    return f'{out}/libcni'


class Attachment:
    """One pod on one network, and the calls that a runtime makes about it."""

    def __init__(self, test, chain, version, ifname='eth0', pod=None, **capabilities):
        self.test, self.ifname, self.version = test, ifname, version
        self.pod = pod or test.pod(link=False, interface=ifname)
        self.name = f'net{next(numbers)}'
        self.request = {
            'list': {'cniVersion': version, 'name': self.name, 'plugins': chain},
            'containerID': self.pod.container, 'netns': self.pod.path, 'ifname': ifname,
            'args': [['IgnoreUnknown', '1'], ['K8S_POD_NAMESPACE', 'default'],
                     ['K8S_POD_NAME', 'web-0'], ['K8S_POD_UID', 'u-1']],
            'capabilityArgs': capabilities, 'path': [test.plugins.path],
            'cacheDir': f'{test.node.dir}/cni/cache'}

    def ask(self, verb, **changes):
        """Run the driver in the host's namespace; Return: what it prints."""
        done = subprocess.run(
            ['nsenter', f'--net={self.test.node.host.path}', self.test.driver, verb],
            input=json.dumps({**self.request, **changes}), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=90, check=False)
        if done.returncode:
            raise AssertionError(f'libcni {verb}: {done.returncode}: {done.stderr}')
        if done.stderr:
            tap.comment(f'{verb}: {done.stderr}')
        return json.loads(done.stdout)

    def do(self, verb, **changes):
        """A call that goes well."""
        reply = self.ask(verb, **changes)
        if 'error' in reply:
            raise AssertionError(f'libcni {verb}: {reply}')
        return reply

    def fail(self, verb, **changes):
        """A call that does not; Return: its error."""
        reply = self.ask(verb, **changes)
        if 'error' not in reply:
            raise AssertionError(f'libcni {verb} went well: {reply}')
        return reply

    def cached(self):
        """Name of libcni's file about it."""
        return f"{self.request['cacheDir']}/results/{self.name}-{self.pod.container}-{self.ifname}"


class Libcni(NicCase):
    """Pods that come and go as libcni is told."""

    queues = 2

    @classmethod
    def setUpClass(cls):
        why = lacking('go', f'{DEBIAN}/host-local')
        if not why and not os.path.exists(LIBCNI):
            why = 'not installed: golang-github-appc-cni-dev (deploy/packages.sh)'
        if why:
            raise unittest.SkipTest(why)
        cls.driver = build_driver()
        super().setUpClass()

    def setUp(self):
        super().setUp()
        self.attachments = []
        self.addCleanup(self.detach_all)

    def attach(self, chain, version, **kw):
        """A pod on a network."""
        self.attachments.append(Attachment(self, chain, version, **kw))
        return self.attachments[-1]

    def detach_all(self):
        """Where a test failed half-way."""
        while self.attachments:
            self.attachments.pop().ask('del')

    def assert_check(self, a):
        """CHECK goes well; before 0.4.0 there was none."""
        if a.version == '0.3.1':
            self.assertIn('does not support the CHECK', a.fail('check')['error'])
        else:
            a.do('check')

    def assert_receives(self, a):
        """An unprivileged process in the pod gets what comes in at the NIC."""
        self.aim_at(a.pod.container)
        p = a.pod.receive('--count', '200', '--duration', '10')
        self.nic.await_carrier()
        self.nic.send(200)
        self.assertEqual(json.loads(finish(p))['sequenced'], 200)
        wait_for(lambda: not self.admin.sockets(), 'the ledger')

    def life(self, chain, version, look=None, traffic=True, **kw):
        """All that a runtime asks in the life of a pod; look(result, attachment) while it lives."""
        a = self.attach(chain, version, **kw)
        log_at = self.node.log_size()
        a.do('validate')
        result = a.do('add')['result']
        self.assertEqual(result['cniVersion'], version)
        self.assert_check(a)
        self.assert_check(a)
        cached = a.do('cached')
        self.assertEqual(cached['result'], result)
        self.assertEqual({v: r['cniVersion'] for v, r in cached['as'].items()},
                         {v: v for v in cached['as']})
        self.assertLessEqual(set(VERSIONS), set(cached['as']))
        if look:
            look(result, a)
        if traffic:
            self.assert_receives(a)
            self.assert_check(a)
        a.do('del')
        self.assertFalse(os.path.exists(a.cached()))
        self.assert_as_before()
        a.do('del')
        self.assert_as_before()
        self.assertNotIn('denied', self.node.log_since(log_at))

    def for_each_version(self, chain, **kw):
        """The life of a pod in each version that libcni and xskd-cni have in common."""
        for version in VERSIONS:
            with self.subTest(version=version):
                self.life(chain, version, **kw)
            self.detach_all()

    def assert_lease(self, a, mode, device):
        """It is the only one, and the lease says whose it is."""
        lease, = self.admin.leases()
        self.assertEqual((lease.container, lease.interface, lease.mode, lease.device),
                         (a.pod.container, a.ifname, mode, device))
        self.assertEqual(dict(lease.labels), {'network': a.name, 'namespace': 'default',
                                              'pod': 'web-0', 'uid': 'u-1'})

    def link_of(self, a, ifname=None):
        """What ip(8) says about the pod's interface."""
        return json.loads(a.pod.netns.ip('-j', '-d', 'link', 'show', ifname or a.ifname))[0]

    # ---- the modes, alone ----

    def test_versions(self):
        known = json.loads(run(self.driver, 'versions'))['versions']
        self.assertLessEqual(set(VERSIONS), set(known))
        self.assertNotIn('1.1.0', known, 'this libcni knows it: it belongs into VERSIONS')

    def test_device_mode(self):
        def look(result, a):
            self.assert_lease(a, pb.LEASE_MODE_DEVICE, 'eth0')
            self.assertEqual(self.node.host.links(), [])
            self.assertEqual(a.pod.netns.links(), ['eth0'])
            mac = self.before['nic0: address']
            self.assertEqual([(i['name'], i['mac'], i['sandbox']) for i in result['interfaces']],
                             [('eth0', mac, a.pod.path)])
            address, = result['ips']
            self.assertEqual(address['interface'], 0)
            self.assertIn(f"inet {address['address']} ", a.pod.netns.ip('-o', 'address'))
            self.assertIn('10.77.0.0/16', a.pod.netns.ip('route'))
        self.for_each_version(
            [self.plugins.xskd(device='nic0', ipam=self.plugins.ipam(routes=['10.77.0.0/16']))],
            look=look)

    def test_device_mode_with_settings(self):
        def look(_, a):
            self.assertEqual(self.link_of(a)['mtu'], 1400)
            knob = run('ip', 'netns', 'exec', a.pod.netns.name, 'cat',
                       '/sys/class/net/eth0/gro_flush_timeout')
            self.assertEqual(knob, '300000\n')
        self.for_each_version(
            [self.plugins.xskd(device='nic0', ipam=self.plugins.ipam(), mtu=1400,
                               busyPoll={'napiDeferHardIrqs': 3, 'groFlushTimeout': 300000})],
            look=look)

    def test_device_that_the_host_uses(self):
        host = self.node.host
        for words in ('address add 192.0.2.1/24 dev nic0', 'address add 192.0.2.9/24 dev nic0',
                      'address add 10.1.0.1 peer 10.1.0.2 dev nic0',
                      'address add 203.0.113.1/24 brd + noprefixroute dev nic0',
                      'route add default via 192.0.2.2 proto dhcp src 192.0.2.1',
                      'route add 198.51.100.0/24 via 192.0.2.3 metric 7 mtu 1400',
                      'route add 100.64.0.0/10 dev nic0 table 100'):
            host.ip(*words.split())
        self.remember()
        a = self.attach([self.plugins.xskd(device='nic0')], '1.0.0')
        self.assertEqual(a.fail('add')['plugin']['code'], 100)
        self.assertEqual(self.changes(), {})
        self.for_each_version([self.plugins.xskd(device='nic0', allowInUse=['nic0'],
                                                 ipam=self.plugins.ipam())])

    def test_queue_mode(self):
        def look(result, a):
            self.assert_lease(a, pb.LEASE_MODE_QUEUE, 'nic0')
            self.assertEqual(len(self.lease_of(a.pod.container).queues), 1)
            self.assertEqual(a.pod.netns.links(), [])
            self.assertEqual([(i['name'], i.get('sandbox', '')) for i in result['interfaces']],
                             [('nic0', '')])
        self.for_each_version([self.plugins.xskd(mode='queue', device='nic0')], look=look)

    # ---- in a chain ----

    def look_at_chain(self, result, a):
        """A pod with a network of its own and queues of the NIC."""
        self.assert_lease(a, pb.LEASE_MODE_QUEUE, 'nic0')
        self.assertIn('nic0', self.node.host.links())
        eth0, = [i for i, x in enumerate(result['interfaces']) if x['name'] == 'eth0']
        self.assertEqual([x['interface'] for x in result['ips']], [eth0])
        self.assertEqual(result['interfaces'][-1]['name'], 'nic0')
        self.assertIn(f"inet {result['ips'][0]['address']} ", a.pod.netns.ip('-o', 'address'))

    def test_queue_mode_after_ptp(self):
        self.for_each_version([self.plugins.ptp(), self.queue_of_nic()], look=self.look_at_chain)

    def test_queue_mode_after_bridge(self):
        # The plugin leaves the bridge behind; so it is there before.
        self.node.host.ip('link', 'add', 'br0', 'address', '02:00:00:00:66:00', 'type', 'bridge')
        self.addCleanup(self.node.host.ip, 'link', 'del', 'br0')
        self.node.host.ip('link', 'set', 'br0', 'up')
        self.remember()
        self.for_each_version([self.plugins.bridge('br0'), self.queue_of_nic()],
                              look=self.look_at_chain)

    def queue_of_nic(self, **keys):
        """One queue of the NIC."""
        return self.plugins.xskd(mode='queue', device='nic0', **keys)

    def test_queue_mode_between_others(self):
        def look(result, a):
            self.look_at_chain(result, a)
            self.assertEqual(self.link_of(a)['mtu'], 1300)
        self.for_each_version([self.plugins.ptp(), self.queue_of_nic(),
                               self.plugins.tuning(mtu=1300)], look=look)

    def test_device_mode_before_tuning(self):
        mac = '02:00:00:00:66:01'

        def look(_, a):
            link = self.link_of(a)
            self.assertEqual((link['mtu'], link['address'], link['promiscuity']), (1400, mac, 1))
        self.for_each_version(
            [self.plugins.xskd(device='nic0', ipam=self.plugins.ipam(routes=())),
             self.plugins.tuning(mtu=1400, mac=mac, promisc=True,
                                 sysctl={'net.ipv4.conf.eth0.arp_filter': '1'})], look=look)

    def test_on_the_interface_of_the_plugin_before(self):
        def look(result, a):
            self.assert_lease(a, pb.LEASE_MODE_DEVICE, 'eth0')
            self.assertEqual(self.link_of(a)['xdp']['mode'], 1)
            self.assertEqual([i['name'] for i in result['interfaces'] if i.get('sandbox')],
                             ['eth0'])
        self.for_each_version([self.plugins.ptp(), self.plugins.xskd()], look=look, traffic=False)

    # ---- what runtimes add ----

    def test_capabilities(self):
        mac = '02:00:00:00:66:02'

        def look(result, a):
            self.assertEqual(self.link_of(a)['address'], mac)
            self.assertEqual(result['interfaces'][0]['mac'], mac)
        xskd = self.plugins.xskd(device='none0', ipam=self.plugins.ipam(routes=()),
                                 capabilities={'mac': True, 'deviceID': True, 'mtu': False})
        a = self.attach([xskd], '1.0.0')
        self.assertEqual(a.do('validate')['capabilities'], ['deviceID', 'mac'])
        self.for_each_version([xskd], look=look, mac=mac, deviceID='nic0', mtu=1234)

    def test_capability_that_is_not_declared_does_not_arrive(self):
        self.life([self.plugins.xskd(device='nic0', capabilities={'deviceID': True})], '1.0.0',
                  lambda _, a: self.assertEqual(self.link_of(a)['address'],
                                                self.before['nic0: address']),
                  mac='02:00:00:00:66:03')

    def test_two_networks_of_a_pod(self):
        other = self.add_nic('nic1')
        first = self.attach([self.plugins.xskd(device='nic0')], '1.0.0')
        second = self.attach([self.plugins.xskd(device='nic1')], '1.0.0', ifname='net1',
                             pod=first.pod)
        for a in (first, second):
            a.do('add')
        self.assertEqual(first.pod.netns.links(), ['eth0', 'net1'])
        first.do('del')
        second.do('check')
        self.assertEqual((first.pod.netns.links(), self.node.host.links()), (['net1'], ['nic0']))
        second.pod.interface = 'net1'
        p = second.pod.receive('--count', '50')
        other.await_carrier()
        other.send(50)
        finish(p)
        second.do('del')
        self.assert_as_before()

    def test_two_pods_on_the_queues_of_a_nic(self):
        both = [self.attach([self.queue_of_nic()], '1.0.0') for _ in range(2)]
        for a in both:
            a.do('add')
        self.assertEqual(sorted(list(x.queues) for x in self.admin.leases()), [[0], [1]])
        third = self.attach([self.queue_of_nic()], '1.0.0')
        self.assertIn('queue', third.fail('add')['plugin']['msg'])
        third.do('del')
        both[0].do('del')
        both[1].do('check')
        both[1].do('del')
        self.assert_as_before()

    # ---- what goes wrong ----

    def test_runtime_that_does_not_understand_the_result(self):
        # The plugin knows 1.1.0, this libcni does not: ADD has been done, DEL has no cached result.
        for chain in ([self.plugins.xskd(device='nic0')], [self.queue_of_nic()],
                      [self.plugins.xskd(device='nic0', ipam=self.plugins.ipam())]):
            with self.subTest(chain):
                a = self.attach(chain, '1.1.0')
                a.do('validate')
                self.assertIn('1.1.0', a.fail('add')['error'])
                self.assertEqual(len(self.admin.leases()), 1)
                a.do('del')
                self.assert_as_before()

    def test_plugin_after_it_fails(self):
        bad = self.plugins.tuning(sysctl={'net.ipv4.conf.eth0.none': '1'})
        for chain in ([self.plugins.xskd(device='nic0', ipam=self.plugins.ipam()), bad],
                      [self.plugins.ptp(), self.queue_of_nic(), bad]):
            with self.subTest(chain):
                a = self.attach(chain, '1.0.0')
                self.assertIn('tuning', a.fail('add')['error'])
                a.do('del')
                self.assert_as_before()

    def test_it_fails_itself(self):
        for chain in ([self.plugins.xskd(device='none0', ipam=self.plugins.ipam())],
                      [self.plugins.ptp(), self.plugins.xskd(mode='queue', device='none0')]):
            with self.subTest(chain):
                a = self.attach(chain, '1.0.0')
                error = a.fail('add')['plugin']
                self.assertEqual(error['code'], 100, error)
                self.assertIn('none0', error['msg'] + error.get('details', ''))
                a.do('del')
                self.assert_as_before()

    def test_pod_changes_its_device(self):
        # As a workload with CAP_NET_ADMIN can, or a plugin that is not there any more at DEL.
        for i, changes in enumerate((
                'set eth0 down, set eth0 name other0', 'set eth0 down',
                'set eth0 address 02:00:00:00:66:04',
                'set eth0 mtu 1200, set eth0 promisc on, set eth0 allmulticast on',
                'set eth0 down, set eth0 address 02:00:00:00:66:04 name other0')):
            with self.subTest(changes):
                self.add_nic(f'nic{i + 1}')
                a = self.attach([self.plugins.xskd(device=f'nic{i + 1}',
                                                   ipam=self.plugins.ipam())], '1.0.0')
                a.do('add')
                for change in changes.split(', '):
                    a.pod.netns.ip('link', *change.split())
                a.do('del')
                self.assert_as_before()

    def test_check_finds_what_is_amiss(self):
        def rename(a):
            a.pod.netns.ip('link', 'set', 'eth0', 'down')
            a.pod.netns.ip('link', 'set', 'eth0', 'name', 'other0')

        def unload(_):
            program, = self.admin.programs()
            self.admin.call('UnloadProgram', id=program.id, force=True)

        def flush(a):
            a.pod.netns.ip('address', 'flush', 'dev', 'eth0')

        def revoke(a):
            self.admin.call('RevokeLease', container=a.pod.container)

        for harm in (rename, unload, flush, revoke):
            with self.subTest(harm.__name__):
                a = self.attach([self.plugins.xskd(device='nic0',
                                                   ipam=self.plugins.ipam(routes=()))], '1.0.0')
                a.do('add')
                a.do('check')
                harm(a)
                error = a.fail('check')['plugin']
                self.assertEqual(error['code'], 103, error)
                a.do('del')
                self.assert_as_before()

    def test_namespace_goes_before_del(self):
        a = self.attach([self.plugins.ptp(), self.queue_of_nic()], '1.0.0')
        a.do('add')
        a.pod.netns.delete()
        a.do('del')
        a.do('del', netns='')
        self.assert_as_before()
        a = self.attach([self.plugins.xskd(device='nic0', ipam=self.plugins.ipam())], '1.0.0')
        a.do('add')
        a.pod.netns.delete()
        a.do('del', netns='')

        def others():
            # A veth is no hardware: it has gone with the namespace.
            return {k: v for k, v in self.changes().items()
                    if 'nic0' not in str(v[0]) and not k.startswith('nic0')}
        wait_for(lambda: not others(), others)

    def test_configuration_changes_before_del(self):
        a = self.attach([self.plugins.xskd(device='nic0', ipam=self.plugins.ipam())], '1.0.0')
        a.do('add')
        a.request['list']['plugins'][0]['device'] = 'none0'
        a.request['list']['plugins'][0]['mode'] = 'queue'
        a.do('del')
        self.assert_as_before()

    def test_cache_is_lost_before_del(self):
        for chain in ([self.plugins.xskd(device='nic0', ipam=self.plugins.ipam())],
                      [self.plugins.ptp(), self.queue_of_nic()]):
            with self.subTest(chain):
                a = self.attach(chain, '1.0.0')
                a.do('add')
                os.unlink(a.cached())
                a.do('del')
                self.assert_as_before()


if __name__ == '__main__':
    tap.main()
