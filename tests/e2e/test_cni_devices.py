# SPDX-License-Identifier: Apache-2.0
"""Devices of xskd-cni: in use or free, set up, with programs and addresses, home as they were."""
import json
import os
import re

import tap
from cni import CniCase, Wrong
from node import run, wait_for
from plugins import XSKD_CNI
from test_programs import CONSTANTS, GOOD, PASS, REFUSED, Objects

NEW_MAC = '02:00:00:00:00:99'


class Devices(CniCase):
    """Which device, whether it may be had, how it is set up and how it comes back."""

    def test_no_device(self):
        self.add_fails(7, 'device', self.network())
        self.add_fails(7, 'device', self.network(mode='queue'))

    def test_missing(self):
        for device in ('nic9', '0000:ff:1f.7', '02:ff:ff:ff:ff:ff', '../nic0', '%'):
            for config in (self.network(device=device), self.network(device=device, mode='queue')):
                with self.subTest(config):
                    self.add_fails(100, re.escape(device), config)

    def test_by_mac(self):
        mac = self.before['nic0: address']
        for device in (mac, mac.upper()):
            with self.subTest(device):
                self.life(self.attach(self.network(device=device)))

    def test_mac_of_several(self):
        self.add_nic('nic1')
        mac = self.before['nic0: address']
        self.node.host.ip('link', 'set', 'nic1', 'address', mac)
        self.remember()
        self.add_fails(100, "'nic0', 'nic1'|'nic1', 'nic0'", self.network(device=mac))

    def test_that_another_pod_has(self):
        a = self.added()
        mac = a.interface()['address']
        for device in ('nic0', mac):
            b = self.attach(self.network(device=device))
            with self.subTest(device):
                self.fails(b.try_add(), 100, f'{a.container}.*default/web-0')
        b = self.attach(self.queue())
        self.fails(b.try_add(), 100, a.container)
        a.check()
        a.delete()
        self.assert_as_before()

    def test_that_queues_of_are_with_pods(self):
        a = self.added(self.queue(ipam=self.plugins.ipam()))
        self.assertFalse(self.attach().try_add().ok)
        self.assertEqual(self.node.host.links(), ['nic0'])
        a.check()
        a.delete()
        self.assert_as_before()

    def test_loopback(self):
        self.add_fails(100, 'loopback', self.network(device='lo'))

    def use(self, *commands):
        """Have the host use nic0."""
        for command in commands:
            self.node.host.ip(*command.split())
        self.remember()

    def upper(self, name, lower, kind):
        """A device on top of another, where this kernel has such ones."""
        try:
            self.node.host.ip('link', 'add', 'link', lower, 'name', name, 'type', *kind.split())
        except AssertionError as e:
            self.skipTest(str(e))
        self.addCleanup(self.node.host.ip, 'link', 'del', name, check=False)

    def refused_while_in_use(self, text):
        """In both modes."""
        self.add_fails(100, f"'nic0' is in use by the host.*{text}.*allowInUse")
        self.add_fails(100, text, self.queue())
        self.add_fails(100, text, self.device(allowInUse=['nic1']))

    def test_with_an_address(self):
        self.use('address add 10.9.0.1/24 dev nic0')
        self.refused_while_in_use('10.9.0.1/24')

    def test_with_the_default_route(self):
        self.use('route add default dev nic0')
        self.refused_while_in_use('default route')

    def test_with_a_default_route_of_several_hops(self):
        self.add_nic('nic1')
        self.use('route add default nexthop dev nic0 nexthop dev nic1')
        self.refused_while_in_use('default route')

    def test_in_a_bridge(self):
        self.use('link add br0 type bridge', 'link set nic0 master br0')
        self.addCleanup(self.node.host.ip, 'link', 'del', 'br0')
        self.refused_while_in_use("'nic0' belongs to 'br0'")

    def test_with_a_vlan(self):
        self.upper('vlan5', 'nic0', 'vlan id 5')
        self.use('link set vlan5 up', 'address add 10.9.0.1/24 dev vlan5')
        self.refused_while_in_use("'vlan5' has the host's address 10.9.0.1/24")

    def test_with_a_device_on_top(self):
        self.upper('top', 'nic0', 'macvlan')
        self.use('link set top up', 'address add 10.9.0.1/24 dev top')
        self.refused_while_in_use("'top' has the host's address 10.9.0.1/24")

    def test_with_a_device_on_top_that_has_the_default_route(self):
        self.upper('top', 'nic0', 'macvlan')
        self.use('link set top up', 'route add default dev top')
        self.refused_while_in_use("the host's default route goes by 'top'")

    def test_with_a_device_on_top_in_a_bridge(self):
        self.upper('top', 'nic0', 'macvlan')
        self.use('link add br0 type bridge', 'link set top master br0')
        self.addCleanup(self.node.host.ip, 'link', 'del', 'br0')
        self.refused_while_in_use("'top' belongs to 'br0'")

    def test_allowed_all_the_same(self):
        self.use('address add 10.9.0.1/24 dev nic0', 'address add 10.9.1.1/32 dev nic0',
                 'route add default via 10.9.0.254', 'route add 10.10.0.0/16 via 10.9.0.3 metric 5',
                 'route add 10.11.0.0/16 dev nic0 table 77',
                 'route add 10.12.0.0/16 dev nic0 scope link')
        a = self.added(self.device(allowInUse=['nic0'], mac=NEW_MAC, mtu=1400))
        self.assertEqual(a.addresses(), [])
        a.delete()
        self.assert_as_before()

    def test_addresses_come_back_as_they_were(self):
        self.use('address add 10.9.0.1/24 brd + dev nic0', 'address add 10.9.0.2/24 dev nic0',
                 'address add 10.9.2.1/24 brd 10.9.2.255 dev nic0 label nic0:1',
                 'address add 10.9.3.1 peer 10.9.3.2/32 dev nic0',
                 'address add 10.9.4.1/24 dev nic0 noprefixroute',
                 'route add 10.13.0.0/16 via 10.9.0.3 src 10.9.0.2 mtu 1300',
                 'route add 10.14.0.0/16 via 10.9.0.3 proto static')
        a = self.added(self.device(allowInUse=['nic0']))
        a.delete()
        self.assert_as_before()

    def test_ipv6_addresses_come_back(self):
        run('ip', 'netns', 'exec', self.node.host.name, 'sysctl', '-qw',
            'net.ipv6.conf.default.disable_ipv6=0', 'net.ipv6.conf.nic0.disable_ipv6=0',
            'net.ipv6.conf.nic0.accept_dad=0')
        self.addCleanup(run, 'ip', 'netns', 'exec', self.node.host.name, 'sysctl', '-qw',
                        'net.ipv6.conf.default.disable_ipv6=1')
        self.use('address add fd00:9::1/64 dev nic0', 'route add fd00:10::/64 via fd00:9::2')
        self.refused_while_in_use('fd00:9::1/64')
        a = self.added(self.device(allowInUse=['nic0']))
        a.delete()
        self.assertIn('fd00:9::1/64', self.node.host.ip('address', 'show', 'nic0'))
        self.assertIn('fd00:10::/64 via fd00:9::2', self.node.host.ip('-6', 'route'))

    def test_allowed_in_queue_mode(self):
        self.use('address add 10.9.0.1/24 dev nic0')
        a = self.added(self.queue(allowInUse=['nic0']))
        a.check()
        a.delete()
        self.assert_as_before()

    def test_down_stays_down(self):
        self.node.host.ip('link', 'set', 'nic0', 'down')
        self.before = wait_for(lambda: self.plugins.state(self.admin), 'the state')
        a = self.added(self.device(mtu=1400))
        self.assertIn('UP', a.interface()['flags'])
        a.delete()
        self.assert_as_before()

    def test_promiscuous_stays_so(self):
        self.use('link set nic0 promisc on')
        a = self.added()
        a.delete()
        self.assert_as_before()

    def test_alias_and_queue_length_stay(self):
        self.use('link set nic0 alias uplink', 'link set nic0 txqueuelen 77')
        a = self.added()
        a.delete()
        self.assert_as_before()

    def test_name_is_taken_in_the_pod(self):
        netns, _ = self.in_pod()
        self.add_fails(101, 'net1', self.device(ipam=self.plugins.ipam(), mac=NEW_MAC), netns=netns)
        self.add_fails(101, "'lo'", cni={'ifname': 'lo'})
        self.assertEqual(netns.links(), ['net1'])

    def test_name_of_the_host(self):
        """The pod's interface may have the name of one of the host's, its own even."""
        self.add_nic('nic1')
        for ifname in ('nic1', 'nic0'):
            with self.subTest(ifname):
                self.life(self.attach(ifname=ifname))

    def test_settings(self):
        run('ip', 'netns', 'exec', self.node.host.name, 'sh', '-c',
            'echo 3 >/sys/class/net/nic0/napi_defer_hard_irqs')
        self.remember()
        for busy, want in ((True, ['2', '200000']), ({}, ['2', '200000']),
                           ({'napiDeferHardIrqs': 7, 'groFlushTimeout': 0}, ['7', '0']),
                           (False, ['3', '0'])):
            a = self.added(self.device(mac=NEW_MAC, mtu=1400, channels=1, busyPoll=busy))
            interface = a.interface()
            self.assertEqual((interface['address'], interface['mtu']), (NEW_MAC, 1400))
            told = run('ip', 'netns', 'exec', a.netns.name, 'sh', '-c',
                       'cd /sys/class/net/net1; cat napi_defer_hard_irqs gro_flush_timeout; '
                       'ethtool -l net1')
            self.assertEqual(told.split()[:2], want)
            self.assertRegex(told.split('Current')[1], r'(Combined|RX):\s+1\b')
            self.assertEqual(a.result['interfaces'][0]['mac'], NEW_MAC)
            a.check()
            a.delete()
            self.assert_as_before()
        channels = run('ip', 'netns', 'exec', self.node.host.name, 'ethtool', '-l', 'nic0')
        self.assertRegex(channels.split('Current')[1], r'RX:\s+2\b')

    def test_settings_that_the_device_refuses(self):
        self.add_fails(102, '3 channels', self.device(ipam=self.plugins.ipam(), mac=NEW_MAC,
                                                      mtu=1400, channels=3))

    def test_settings_in_a_chain_do_nothing(self):
        netns, before = self.in_pod()
        for keys in ({'mtu': 1400}, {'mac': NEW_MAC}, {'runtimeConfig': {'mac': NEW_MAC}}):
            a = self.attach(self.network(prevResult=before, **keys), netns)
            with self.subTest(keys):
                self.life(a)

    def test_steering_that_the_driver_cannot_do(self):
        """veth has no rules: there is a warning, and the pod starts."""
        for config in (self.device(filters=[{'flow': 'udp4', 'dstPort': 4789}]),
                       self.queue(filters=[{'flow': 'udp4', 'dstPort': 4789, 'queue': 1}]),
                       self.queue(ipam=self.plugins.ipam())):
            a = self.attach(config)
            answer = a.try_add()
            self.assertTrue(answer.ok, answer)
            self.assertRegex(answer.err, "driver of '(net1|nic0)' cannot")
            a.check()
            a.delete()
            self.assert_as_before()


class Programs(CniCase):
    """Programs of the user's own, and of others. What is loaded repeatedly is kept: test_pool.py."""

    config = '{"limits": {"transientGraceSeconds": 3}, "pool": 0}'

    def own(self, source, **keys):
        """The key `program`."""
        return {'object': Objects.path(source), **keys}

    def test_own_program(self):
        a = self.added(self.device(program=self.own(GOOD, name='mine', map='xsks_map')))
        program, = self.admin.programs()
        self.assertEqual((program.name, program.custom), ('mine', True))
        self.nic.aim(0)
        self.assert_receives(a.netns)
        a.delete()
        self.assert_as_before()

    def test_constants(self):
        constants = {'small': 200, 'medium': '0xdeadbeef', 'large': -5, 'key': 'hex:aa02030405ff'}
        for mode in ('device', 'queue'):
            a = self.added(self.device(mode=mode, queues=[1],
                                       program=self.own(CONSTANTS, constants=constants)))
            self.nic.aim(1)
            self.assert_receives(a.netns)
            a.delete()
            self.assert_as_before()

    def test_xdp_mode(self):
        for mode, want in (('native', 'xdp'), ('generic', 'xdpgeneric'), ('auto', 'xdp')):
            a = self.added(self.device(xdpMode=mode))
            with self.subTest(mode):
                self.assertRegex(a.netns.ip('link', 'show', 'net1'), rf'\b{want}/|\b{want} ')
            a.delete()
            self.assert_as_before()

    def test_that_the_verifier_refuses(self):
        keys = {'program': self.own(REFUSED), 'ipam': self.plugins.ipam()}
        for config in (self.device(mac=NEW_MAC, **keys), self.queue(**keys)):
            with self.subTest(config['mode'] if 'mode' in config else 'device'):
                answer = self.add_fails(102, "refused the program 'mine'", config)
                self.assertIn('invalid access to packet', answer.json['details'])

    def test_that_is_not_as_wanted(self):
        for program, code, text in (
                ({'object': '/none.bpf.o'}, 7, '/none.bpf.o'), ({'object': '/'}, 102, 'nic0'),
                ({'object': XSKD_CNI}, 102, 'nic0'), (self.own(GOOD, name='none'), 102, 'none'),
                (self.own(GOOD, map='none'), 102, 'none'), (self.own(PASS), 102, 'xsks_map'),
                (self.own(GOOD, constants={'none': 1}), 102, 'none|constants')):
            with self.subTest(program):
                self.add_fails(code, text, self.device(program=program))

    def test_foreign_program(self):
        self.node.host.ip('link', 'set', 'nic0', 'xdp', 'object', Objects.path(PASS), 'section',
                          'xdp')
        self.remember()
        for config in (self.device(ipam=self.plugins.ipam(), mtu=1400), self.queue()):
            with self.subTest(config.get('mode')):
                self.add_fails(102, "passing|program \\d+", config)

    def test_administrators_program(self):
        """One that xskctl has loaded stays; pods in queue mode are served by it."""
        program = self.admin.call('LoadProgram', interface='nic0').program
        self.remember()
        a = self.added(self.queue())
        self.assertEqual([p.id for p in self.admin.programs()], [program.id])
        a.check()
        a.delete()
        self.assert_as_before()


class Addresses(CniCase):
    """IPAM plugins, what they answer and how they fail; results."""

    def test_not_there(self):
        for ipam in ({'type': 'none'}, {'type': 'README'}):
            with self.subTest(ipam):
                self.add_fails(7, f"'{ipam['type']}' is not in CNI_PATH", self.device(ipam=ipam))
        self.add_fails(7, 'CNI_PATH', self.device(ipam=self.plugins.ipam()), cni={'path': '/none'})
        self.add_fails(7, 'CNI_PATH', self.device(ipam=self.plugins.ipam()), cni={'path': None})

    def test_own_error_is_passed_on(self):
        told = {'cniVersion': '1.0.0', 'code': 142, 'msg': 'no address is left', 'details': 'of 5'}
        for config in (self.device, self.queue):
            ipam = self.ipam_that_answers(told, f'failing{config.__name__}', status=1)
            answer = self.add_fails(142, 'no address is left', config(ipam=ipam))
            self.assertEqual(answer.json['details'], 'of 5')

    def test_strange_answers(self):
        n = 0
        for text, status, code in (('hello', 0, 6), ('', 0, 6), ('hello', 3, 5), ('', 3, 5),
                                   ('{"code": "x", "msg": 5}', 1, 5), ('[]', 1, 5),
                                   ('{"code": 0, "msg": "zero"}', 1, 5), ('{"code": -7}', 1, None),
                                   ('{"ips": [{"address": "x/24"}]}', 0, None),
                                   ('{"ips": [{"address": "10.0.0.1/33"}]}', 0, None),
                                   ('{"ips": [{"address": 5}]}', 0, None),
                                   ('{"ips": [5]}', 0, None),
                                   ('{"ips": [{}]}', 0, None),
                                   ('{"ips": [{"address": "10.0.0.1"}]}', 0, None),
                                   ('{"routes": [{"dst": "x"}]}', 0, None),
                                   ('{"routes": [5]}', 0, None),
                                   ('{"routes": [{"dst": "10.1.0.0/16", "gw": "::1"}]}', 0, None)):
            for config in (self.device, self.queue):
                n += 1
                with self.subTest(text=text, status=status, mode=config.__name__):
                    ipam = self.ipam_that_answers(text, f'strange{n}', status)
                    a = self.attach(config(ipam=ipam))
                    try:
                        self.assert_not_passed_on(a, code)
                        self.assert_as_before()
                    finally:
                        a.delete()

    def assert_not_passed_on(self, a, code):
        """ADD fails, with that code if there is one."""
        try:
            answer = a.try_add()
        except (Wrong, ValueError) as e:
            self.fail(f'passed on: {e}')
        self.assertFalse(answer.ok, answer)
        self.assertIn(answer.code, (code, ) if code else (5, 6, 7, 102), answer)

    def test_killed_and_endless(self):
        self.add_fails(5, 'signal 9', self.device(ipam=self.script(
            'killed', '[ $CNI_COMMAND = ADD ] || exit 0; kill -9 $$')))
        self.add_fails(6, '', self.device(ipam=self.script(
            'endless', '[ $CNI_COMMAND = ADD ] || exit 0; exec cat /dev/zero')))

    def test_that_does_not_read(self):
        told = '{"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.5/24"}]}'
        ipam = self.script('deaf', f"[ $CNI_COMMAND = ADD ] && echo '{told}'; exit 0")
        a = self.attach(self.device(ipam=ipam, args={'x': 'a' * 300000}))
        self.life(a)

    def test_environment_and_configuration(self):
        """The same as ours, as the specification has it; stderr is passed through."""
        note = f'{self.node.dir}/noted'
        ipam = self.script('noting', f'env | grep -E "^(CNI_|FOO)" | sort >>{note}; cat >>{note}; '
                           'echo on stderr >&2\n'
                           '[ $CNI_COMMAND = ADD ] && echo \'{"ips": []}\'; exit 0')
        a = self.attach(self.device(ipam=ipam, args={'x': 'ü'}))
        answer = a.try_add()
        self.assertTrue(answer.ok, answer)
        self.assertIn('on stderr', answer.err)
        *env, told = open(note, encoding='utf-8').read().splitlines()
        self.assertEqual(env, sorted(f'CNI_{k.upper()}={v}' for k, v in
                                     {**a.cni, 'command': 'ADD'}.items()))
        self.assertEqual(json.loads(told), a.config)
        for verb in ('CHECK', 'DEL'):
            os.unlink(note)
            a.do(verb)
            *env, told = open(note, encoding='utf-8').read().splitlines()
            self.assertIn(f'CNI_COMMAND={verb}', env)
            self.assertEqual(json.loads(told), {**a.config, 'prevResult': a.result})
        self.assert_as_before()

    def test_older_plugin(self):
        """One that knows 0.4.0 alone is enough for a configuration of 1.1.0."""
        ipam = self.script('older', '''
in=$(cat)
case "$in" in
*'"cniVersion": "0.4.0"'*|*'"cniVersion":"0.4.0"'*) ;;
*) echo '{"cniVersion": "0.4.0", "code": 1, "msg": "incompatible"}'; exit 1 ;;
esac
[ $CNI_COMMAND = ADD ] || exit 0
echo '{"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.0.0.5/24"}]}' ''')
        for version in ('0.4.0', '1.0.0', '1.1.0'):
            with self.subTest(version):
                result = self.life(self.attach(self.device(cniVersion=version, ipam=ipam)))
                want = '4' if version == '0.4.0' else None
                self.assertEqual(result['ips'][0].get('version'), want)

    def test_addresses_routes_ipv6(self):
        ipam = {**self.plugins.ipam(routes=('0.0.0.0/0', '::/0', '10.77.0.0/16', 'fd00:77::/64'))}
        ipam['ranges'].append([{'subnet': 'fd00:66::/64'}])
        ipam['routes'].append({'dst': '10.78.0.0/16', 'gw': '10.66.0.9'})
        a = self.added(self.device(ipam=ipam))
        self.assertEqual(sorted(a.addresses()), ['10.66.0.2/24', 'fd00:66::2/64'])
        self.assertNotIn('tentative', a.netns.ip('address', 'show', 'scope', 'global'))
        routes = a.netns.ip('route') + a.netns.ip('-6', 'route')
        for route in ('default via 10.66.0.1', '10.77.0.0/16 via 10.66.0.1',
                      '10.78.0.0/16 via 10.66.0.9', 'default via fd00:66::1',
                      'fd00:77::/64 via fd00:66::1'):
            self.assertIn(route, routes)
        a.check()
        a.delete()
        # A family that was not there before: host-local notes where it is in each.
        os.unlink(f'{self.plugins.ipam_dir}/xnet/last_reserved_ip.1')
        self.assert_as_before()

    def test_routes_with_all_that_they_may_have(self):
        route = {'dst': '10.77.0.0/16', 'mtu': 1300, 'advmss': 1200, 'priority': 7, 'table': 300}
        ipam = self.ipam_that_answers({
            'cniVersion': '1.1.0', 'ips': [{'address': '10.0.0.5/24', 'gateway': '10.0.0.1'}],
            'routes': [route, {'dst': '10.78.0.0/16', 'scope': 253}, {'dst': '10.79.0.0/16'}],
            'dns': {'nameservers': ['10.0.0.53'], 'search': ['example.com']}})
        a = self.added(self.device(cniVersion='1.1.0', ipam=ipam))
        told = a.netns.ip('route', 'show', 'table', '300')
        self.assertRegex(told, '10.77.0.0/16 via 10.0.0.1 dev net1 metric 7 mtu 1300 advmss 1200')
        self.assertRegex(a.netns.ip('route'), '10.78.0.0/16 dev net1 .*scope link')
        self.assertRegex(a.netns.ip('route'), '10.79.0.0/16 via 10.0.0.1')
        self.assertEqual(a.result['dns']['nameservers'], ['10.0.0.53'])
        self.assertIn(route, a.result['routes'])
        a.delete()
        self.assert_as_before()

    def test_dns_of_the_configuration(self):
        ipam = self.ipam_that_answers({'cniVersion': '1.0.0',
                                       'dns': {'nameservers': ['10.0.0.53']}})
        for dns, want in (({'nameservers': ['10.0.0.54']}, ['10.0.0.54']), ({}, ['10.0.0.53']),
                          (None, ['10.0.0.53'])):
            a = self.added(self.device(ipam=ipam, dns=dns))
            self.assertEqual(a.result['dns'], {'nameservers': want})
            a.delete()

    def test_addresses_that_runtimes_ask_for(self):
        """The capability ips: it is for the IPAM plugin, which gets all of runtimeConfig."""
        a = self.added(self.device(ipam=self.plugins.ipam(), capabilities={'ips': True},
                                   runtimeConfig={'ips': ['10.66.0.77/24']}))
        self.assertEqual(a.addresses(), ['10.66.0.77/24'])
        a.delete()
        self.assert_as_before()

    def test_of_a_failed_add_are_given_back(self):
        """The last address of the range is there for the next pod."""
        ipam = self.plugins.ipam()
        ipam['ranges'] = [[{'subnet': '10.66.0.0/24', 'rangeStart': '10.66.0.5',
                            'rangeEnd': '10.66.0.5'}]]
        for config in (self.device, self.queue):
            self.add_fails(102, 'queue', config(ipam=ipam, queues=[9]))
            a = self.added(config(ipam=ipam))
            a.delete()
        self.assert_as_before()

    def test_in_a_chain(self):
        netns, before = self.in_pod()
        a = self.attach(self.network(prevResult=before, ipam=self.plugins.ipam(routes=())), netns)
        result = self.life(a)
        self.assertEqual([ip['address'] for ip in result['ips']][0], '192.0.2.5/24')
        self.assertRegex(result['ips'][1]['address'], '^10.66.0.')
        # Those that were ours have gone from the interface, which stays.
        self.assertEqual([x for x in a.addresses() if x.startswith('10.66')], [])
        self.assertEqual(a.addresses(), ['192.0.2.5/24'])

    def test_prev_result_is_passed_on(self):
        for mode in ('queue', 'device', 'chain'):
            netns, before = self.in_pod('net1' if mode == 'chain' else 'eth0',
                                        ours={'x': [1, None]},
                                        dns={'nameservers': ['10.0.0.53'], 'more': 1})
            before['interfaces'][0]['example.com/x'] = {'y': 1}
            before['interfaces'].append({'name': 'br0', 'mac': '02:00:00:00:00:01'})
            before['ips'][0]['z'] = 'z'
            before['routes'].append({'dst': '0.0.0.0/0', 'gw': '192.0.2.1', 'w': 1})
            config = self.network(prevResult=before, mode='queue' if mode == 'queue' else 'device',
                                 device=None if mode == 'chain' else 'nic0',
                                 ipam=self.plugins.ipam(routes=()))
            a = self.attach(config, netns)
            result = self.life(a)
            with self.subTest(mode):
                self.assertEqual(result['ours'], before['ours'])
                self.assertEqual(result['interfaces'][:2], before['interfaces'])
                self.assertEqual(len(result['interfaces']), 2 if mode == 'chain' else 3)
                self.assertEqual(result['ips'][0], before['ips'][0])
                self.assertEqual(result['routes'], before['routes'])
                self.assertEqual(result['dns'], before['dns'])
                index = {'queue': None, 'device': 2, 'chain': 0}[mode]
                self.assertEqual(result['ips'][1].get('interface'), index)

    def test_chain_whose_interface_is_not_there(self):
        netns, before = self.in_pod('eth0')
        before['interfaces'][0]['name'] = 'net1'
        self.add_fails(100, 'net1', self.network(prevResult=before), netns=netns)


if __name__ == '__main__':
    tap.main()
