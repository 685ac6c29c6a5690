# SPDX-License-Identifier: Apache-2.0
"""What xskd-cni promises of DEL, CHECK, STATUS and GC, and of many pods at once."""
import json
import os
import time

import tap
from cni import CniCase, finish
from node import run, wait_for
from plugins import DEBIAN

NEW_MAC = '02:00:00:00:00:99'


class Del(CniCase):
    """DEL promises to succeed, and to leave nothing that it can reach."""

    def both(self):
        """A configuration of each mode."""
        ipam = self.plugins.ipam()
        return (self.device(ipam=ipam, mac=NEW_MAC, mtu=1400, channels=1, busyPoll=True),
                self.queue(ipam=ipam))

    def assert_all_but_the_nic(self):
        """The NIC has gone with its namespace; nothing else is left of the pod."""
        # A namespace takes its time to go, and the daemon hears of it.
        wait_for(lambda: not self.changes_but_the_nic(), f'the end of {self.changes_but_the_nic()}')

    def changes_but_the_nic(self):
        """What is not as it was, apart from the NIC."""
        changes = {k: v for k, v in self.changes().items()
                   if k not in ('links', 'knobs') and not k.startswith('nic0: ')}
        return changes

    def test_never_added(self):
        for config in self.both():
            a = self.attach(config)
            a.delete()
            a.delete(netns='')
            self.assert_as_before()
        self.assertEqual(self.records(), ([], []))

    def test_namespace_gone(self):
        a = self.added(self.both()[1])
        a.netns.delete()
        a.delete()
        self.assert_as_before()

    def test_namespace_gone_with_the_device(self):
        for netns in (None, ''):
            if 'nic0' not in self.node.host.links():
                self.nic = self.add_nic('nic0', 2)
            a = self.added(self.both()[0])
            path = a.netns.path
            a.netns.delete()
            answer = a.delete(netns=path if netns is None else netns)
            with self.subTest(netns):
                self.assertIn('nic0', answer.err)
                self.assertEqual(self.records(), ([], []), answer)
                self.assert_all_but_the_nic()

    def test_without_namespace(self):
        """CNI_NETNS is empty, but the namespace is there: the record knows where."""
        for netns in ('', None):
            for config in self.both():
                with self.subTest(netns=netns, mode=config.get('mode')):
                    a = self.added(config)
                    a.delete(netns=netns)
                    self.assert_as_before()

    def test_without_prev_result(self):
        for config in self.both():
            a = self.added(config)
            a.delete(config=config)
            self.assert_as_before()

    def test_configuration_has_changed(self):
        for config in self.both():
            a = self.added(config)
            changes = ({'device': 'nic9'}, {'device': None}, {'mode': 'queue'}, {'mode': 'device'},
                       {'nonsense': 1}, {'ipam': None}, {'ipam': {'type': 'none'}}, {'ipam': 5},
                       {'mtu': 'x'}, {'mac': 5}, {'name': 'other'}, {'name': 5}, {'queues': 'x'},
                       {'cniVersion': '0.3.1'}, {'cniVersion': '9.9.9'}, {'cniVersion': 5},
                       {'prevResult': 5}, {'dns': 5}, {'runtimeConfig': 5}, {'logFile': 5},
                       {'prevResult': {'interfaces': 5, 'ips': {}}})
            for change in changes:
                with self.subTest(mode=config.get('mode'), change=change):
                    changed = {k: v for k, v in {**config, **change}.items() if v is not None}
                    a.delete(config=changed)
                    self.assert_as_before()
                    a = self.added(config)
            a.delete()
            self.assert_as_before()

    def test_device_missing(self):
        a = self.added(self.both()[0])
        a.netns.ip('link', 'del', 'net1')
        self.assertIn('nic0', a.delete().err)
        self.assert_all_but_the_nic()
        self.nic = self.add_nic('nic0', 2)
        a = self.added(self.both()[1])
        self.node.host.ip('link', 'del', 'nic0')
        a.delete()
        self.assert_all_but_the_nic()

    def test_device_was_changed_in_the_pod(self):
        a = self.added(self.both()[0])
        a.netns.ip('link', 'set', 'net1', 'down')
        a.netns.ip('link', 'set', 'net1', 'name', 'mine', 'mtu', '1300', 'promisc', 'on')
        a.netns.ip('link', 'set', 'mine', 'up')
        a.delete()
        self.assert_as_before()

    def test_mac_was_changed_in_the_pod(self):
        a = self.added(self.both()[0])
        a.netns.ip('link', 'set', 'net1', 'address', '02:00:00:00:00:77')
        a.delete()
        self.assert_as_before()

    def test_name_of_the_device_is_taken_at_home(self):
        a = self.added(self.both()[0])
        self.node.host.ip('link', 'add', 'nic0', 'type', 'bridge')
        answer = a.delete()
        self.assertIn('nic0', answer.err)
        self.assertEqual(len(self.node.host.links()), 2)
        self.assertEqual(self.records()[0], [])
        self.node.host.ip('link', 'del', 'nic0')
        self.reconcile()
        self.assert_as_before()

    def test_daemon_down(self):
        for config in self.both():
            for then in ('reconcile', 'DEL', 'ADD', 'CHECK'):
                with self.subTest(mode=config.get('mode'), then=then):
                    a = self.added(config)
                    other = self.attach(self.network(device='none'))
                    self.node.stop()
                    self.assertIn('xskd', a.delete().err)
                    self.assertEqual(self.node.host.links(), ['nic0'])
                    self.assertEqual(self.records(), ([], [f'{a.container}@net1']))
                    self.assertEqual(self.plugins.state(NoAdmin)['addresses'],
                                     self.before['addresses'])
                    self.start_daemon()
                    if then == 'reconcile':
                        self.reconcile()
                    elif then == 'DEL':
                        a.delete()
                    else:
                        self.assertFalse(other.run(then).ok)
                    self.assert_as_before()

    def test_reconcile_while_the_daemon_is_down(self):
        a = self.added(self.both()[0])
        self.node.stop()
        a.delete()
        done = self.by_hand('reconcile', '--socket-dir', self.node.run_dir)
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        self.assertIn('xskd', done.stderr)
        self.start_daemon()
        self.reconcile()
        self.assert_as_before()

    def test_namespace_gone_and_daemon_down(self):
        a = self.added(self.both()[1])
        self.node.stop()
        a.netns.delete()
        a.delete(netns='')
        self.start_daemon()
        self.reconcile()
        # The lease has gone with the namespace, before there was anybody who heard of it.
        wait_for(lambda: not self.admin.programs(), 'the end of the program', timeout=40)
        self.assert_as_before()

    def test_add_while_the_daemon_is_down(self):
        for config in self.both():
            self.node.stop()
            answer = self.attach(config).try_add()
            self.fails(answer, 11, 'xskd')
            self.assertEqual(self.records(), ([], []))
            self.start_daemon()
            self.assert_as_before()

    def test_daemon_was_restarted(self):
        for config in self.both():
            a = self.added(config)
            self.node.restart()
            self.admin.close()
            self.admin = self.node.admin()
            a.check()
            a.delete()
            self.assert_as_before()

    def test_record_of_another_boot(self):
        a = self.added(self.queue(ipam=self.plugins.ipam()))
        path = f'{self.node.run_dir}/cni/{a.container}@net1'
        record = json.load(open(path, encoding='utf-8'))
        record['bootID'] = '00000000-0000-0000-0000-000000000000'
        with open(path, 'w', encoding='utf-8') as f:
            json.dump(record, f)
        self.fails(a.run('CHECK'), 103)
        answer = a.delete()
        self.assert_as_before()
        self.assertEqual(answer.err, '')

    def test_damaged_record(self):
        for text in ('', '{', '[]', '{"format": 1}', '{"format": 99}', 'x' * 100000):
            a = self.added(self.queue(ipam=self.plugins.ipam()))
            with open(f'{self.node.run_dir}/cni/{a.container}@net1', 'w', encoding='utf-8') as f:
                f.write(text)
            with self.subTest(text[:20]):
                a.delete()
                self.assert_as_before()

    def test_record_was_removed(self):
        a = self.added(self.queue(ipam=self.plugins.ipam()))
        os.unlink(f'{self.node.run_dir}/cni/{a.container}@net1')
        a.delete()
        self.assert_as_before()

    def test_another_namespace_at_the_same_path(self):
        for config in self.both():
            if 'nic0' not in self.node.host.links():
                self.nic = self.add_nic('nic0', 2)
            a = self.added(config)
            a.netns.delete()
            run('ip', 'netns', 'add', a.netns.name)
            a.netns.ip('link', 'add', 'net1', 'type', 'bridge')
            mac = NEW_MAC  # as the device's: it does not make it ours
            a.netns.ip('link', 'set', 'net1', 'address', mac)
            self.fails(a.run('CHECK'), 8, 'is not the network namespace')
            a.delete()
            self.assertEqual(a.netns.links(), ['net1'])
            self.assert_all_but_the_nic()

    def test_orphaned_ipam_plugin(self):
        """The plugin is killed while IPAM works; the DEL that follows waits for that to end."""
        ipam = self.plugins.ipam()
        began = f'{self.node.dir}/slow-began'
        script = self.script('slow', f'[ $CNI_COMMAND = ADD ] && touch {began} && sleep 1; '
                             f'exec {DEBIAN}/host-local')
        for config in (self.device, self.queue):
            a = self.attach(config(ipam={**ipam, **script}))
            p = a.start('ADD')
            p.stdin.write(json.dumps(a.config).encode())
            p.stdin.close()
            p.stdin = None
            wait_for(lambda: os.path.exists(began), 'its address to be asked for')
            os.unlink(began)
            p.kill()
            p.communicate(timeout=20)
            a.delete()
            time.sleep(1)
            with self.subTest(config.__name__):
                self.assert_as_before()


class NoAdmin:
    """In the place of a connection to the daemon that is down."""

    programs = leases = sockets = staticmethod(list)


class Check(CniCase):
    """CHECK finds each difference, and nothing where there is none."""

    def differs(self, config, change, code, text, undo=None, netns=None):
        """After change(attachment) CHECK says so."""
        a = self.added(config, **({'netns': netns} if netns else {}))
        a.check()
        change(a)
        with self.subTest(text):
            self.fails(a.run('CHECK'), code, text)
        if undo:
            undo(a)
        a.delete()
        self.assert_as_before()

    def test_never_added(self):
        self.fails(self.attach().run('CHECK'), 103, 'no record')
        self.fails(self.attach(self.queue()).run('CHECK'), 103, 'no record')

    def test_after_del(self):
        a = self.added()
        a.delete()
        self.fails(a.run('CHECK'), 103, 'no record')

    def test_interface(self):
        def rename(a):
            a.netns.ip('link', 'set', 'net1', 'down')
            a.netns.ip('link', 'set', 'net1', 'name', 'other')
            a.netns.ip('link', 'set', 'other', 'up')
        ipam = self.plugins.ipam()
        for change, text in (
                (rename, "'net1' was renamed to 'other'"),
                (lambda a: a.netns.ip('link', 'set', 'net1', 'down'), 'is down'),
                (lambda a: a.netns.ip('link', 'set', 'net1', 'mtu', '1300'), 'MTU 1300, not 1400'),
                (lambda a: a.netns.ip('address', 'flush', 'net1', 'scope', 'global'),
                 r'lost its address 10\.66')):
            self.differs(self.device(cniVersion='1.1.0', ipam=ipam, mtu=1400), change, 103, text)
        self.differs(self.device(mac=NEW_MAC), lambda a: (
            a.netns.ip('link', 'set', 'net1', 'address', '02:00:00:00:00:78')), 103, 'MAC',
            undo=lambda a: a.netns.ip('link', 'set', 'net1', 'address', NEW_MAC))

    def test_device_is_not_in_the_pod(self):
        def take(a):
            a.netns.ip('link', 'set', 'net1', 'netns', self.node.host.name, 'name', 'nic0')
        self.differs(self.device(), take, 103, 'not in the pod')

    def test_device_has_gone(self):
        a = self.added(self.queue())
        self.node.host.ip('link', 'del', 'nic0')
        self.fails(a.run('CHECK'), 103, "'nic0' is not on the host")
        a.delete()

    def test_program_and_lease(self):
        netns, before = self.in_pod()

        def unload(a):
            for program in self.admin.programs():
                self.admin.call('UnloadProgram', id=program.id, force=True)

        def revoke(a):
            self.admin.call('RevokeLease', container=a.container)

        def other_queues(a):
            revoke(a)
            with open(a.netns.path, 'rb') as ns:
                self.admin.call('GrantLease', [ns.fileno()], netns_fd=1, container=a.container,
                                interface='net1', queues=[0], device='nic0')
        for config, pod in ((self.device(), None), (self.network(prevResult=before), netns),
                            (self.queue(queues=[1]), None)):
            self.differs(config, unload, 103, 'program', netns=pod)
            self.differs(config, revoke, 103, 'lease|program', netns=pod)
        # The program has to stay while there is no lease for a moment.
        self.admin.call('LoadProgram', interface='nic0')
        self.remember()
        self.differs(self.queue(queues=[1]), other_queues, 103, 'other queues')

    def test_daemon_down(self):
        for config in (self.device(), self.queue()):
            self.differs(config, lambda a: self.node.stop(), 11, 'xskd',
                         undo=lambda a: self.start_daemon())

    def test_ipam(self):
        def lose(a):
            for name in os.listdir(f'{self.plugins.ipam_dir}/xnet'):
                if name.startswith('10.'):
                    os.unlink(f'{self.plugins.ipam_dir}/xnet/{name}')
        for config in (self.device, self.queue):
            a = self.added(config(ipam=self.plugins.ipam()))
            lose(a)
            answer = a.run('CHECK')
            self.assertFalse(answer.ok, answer)
            self.assertRegex(answer.msg, 'host-local')
            a.delete()
            self.assert_as_before()

    def test_what_others_add_is_no_difference(self):
        a = self.added(self.device(ipam=self.plugins.ipam()))
        a.netns.ip('address', 'add', '10.99.0.1/24', 'dev', 'net1')
        a.netns.ip('route', 'add', '10.98.0.0/16', 'dev', 'net1')
        a.result = {**a.result, 'ours': 1, 'interfaces': [
            *a.result['interfaces'], {'name': 'other', 'sandbox': a.netns.path}]}
        a.check()
        a.delete()
        self.assert_as_before()


class Status(CniCase):
    """Could a pod be added now?"""

    version = '1.1.0'

    def status(self, config):
        """Its code; 0 if all is well."""
        return self.plugin('STATUS', config, path=self.plugins.path)

    def test_good(self):
        ipam = self.plugins.ipam()
        for config in (self.device(), self.device(ipam=ipam), self.queue(), self.network()):
            answer = self.status(config)
            self.assertTrue(answer.ok, answer)

    def test_daemon_down(self):
        a = self.added(self.queue())
        self.node.stop()
        self.fails(self.status(self.queue()), 51, 'xskd')
        self.start_daemon()
        a.delete()
        self.node.stop()
        self.fails(self.status(self.queue()), 50, 'xskd')
        self.start_daemon()
        self.assert_as_before()

    def test_device(self):
        self.fails(self.status(self.network(device='nic9')), 50, 'nic9')
        a = self.added()
        self.fails(self.status(self.device()), 50, 'nic0')
        a.delete()
        self.assertTrue(self.status(self.device()).ok)

    def test_device_that_the_host_needs(self):
        self.node.host.ip('address', 'add', '10.9.0.1/24', 'dev', 'nic0')
        self.remember()
        self.fails(self.status(self.device()), 50, 'in use')
        self.assertTrue(self.status(self.device(allowInUse=['nic0'])).ok)

    def test_queues(self):
        a, b = self.added(self.queue()), self.attach(self.queue())
        self.assertTrue(self.status(self.queue()).ok)
        self.fails(self.status(self.queue(queues={'count': 2})), 50, '1 of the 2 queues')
        b.add()
        self.fails(self.status(self.queue()), 50, 'queues')
        a.delete()
        b.delete()
        self.assertTrue(self.status(self.queue()).ok)
        self.fails(self.status(self.queue(queues=[0, 1, 2])), 50)
        self.assert_as_before()

    def test_named_queue_that_is_taken(self):
        a = self.added(self.queue(queues=[1]))
        self.fails(self.status(self.queue(queues=[1])), 50)
        self.assertTrue(self.status(self.queue(queues=[0])).ok)
        a.delete()

    def test_ipam(self):
        told = '{"cniVersion": "1.1.0", "code": %d, "msg": "no pool"}'
        for code in (50, 51, 142):
            ipam = self.script(f'status{code}', f"[ $CNI_COMMAND = STATUS ] || exit 0; "
                               f"echo '{told % code}'; exit 1")
            for config in (self.device(ipam=ipam), self.queue(ipam=ipam)):
                answer = self.status(config)
                self.fails(answer, code if code < 100 else 50, 'no pool')

    def test_changes_nothing(self):
        a = self.added(self.queue(ipam=self.plugins.ipam()))
        state = self.plugins.state(self.admin)
        self.status(self.queue(ipam=self.plugins.ipam()))
        self.assertEqual(self.plugins.state(self.admin), state)
        a.delete()
        self.assert_as_before()


class Gc(CniCase):
    """What is not in the list of the runtime goes."""

    version = '1.1.0'
    queues = 8

    def gc(self, config, *valid):
        """GC with these attachments left."""
        more = {'cni.dev/valid-attachments': [{'containerID': a.container, 'ifname': a.ifname}
                                              for a in valid]}
        return self.plugin('GC', {**config, **more}, path=self.plugins.path)

    def test_drops_what_is_not_valid(self):
        config = self.queue(ipam=self.plugins.ipam())
        pods = [self.added(config) for _ in range(3)]
        # The pod is the same, the interface is another one.
        other = self.added(config, netns=pods[0].netns, containerid=pods[0].container,
                           ifname='net2')
        foreign = self.added({**config, 'name': 'ynet'})
        answer = self.gc(config, pods[0])
        self.assertTrue(answer.ok, answer)
        pods[0].check()
        foreign.check()
        self.assertEqual(sorted(x.container for x in self.admin.leases()),
                         sorted([pods[0].container, foreign.container]))
        addresses = [n for n in os.listdir(f'{self.plugins.ipam_dir}/xnet') if n.startswith('10.')]
        self.assertEqual(len(addresses), 1)
        for a in (*pods, other, foreign):
            a.delete()
        self.assert_as_before()

    def test_device_mode(self):
        config = self.device(ipam=self.plugins.ipam(), mac=NEW_MAC, mtu=1400)
        a = self.added(config)
        self.assertTrue(self.gc(config, a).ok)
        a.check()
        self.assertTrue(self.gc(config).ok)
        self.assert_as_before()
        a.delete()
        self.assert_as_before()

    def test_lease_without_a_record(self):
        a, b = self.added(self.queue()), self.added(self.queue())
        c = self.added({**self.queue(), 'name': 'ynet'})
        for x in (a, b, c):
            os.unlink(f'{self.node.run_dir}/cni/{x.container}@net1')
        self.assertTrue(self.gc(self.queue(), b).ok)
        self.assertEqual(sorted(x.container for x in self.admin.leases()),
                         sorted([b.container, c.container]))
        b.delete()
        c.delete()
        self.assert_as_before()

    def test_without_a_list(self):
        a = self.added(self.queue())
        for more in ({}, {'cni.dev/valid-attachments': None}, {'cni.dev/valid-attachments': 'x'},
                     {'cni.dev/attachments': []}):
            answer = self.plugin('GC', {**self.queue(), **more}, path=self.plugins.path)
            self.fails(answer, 7, 'valid-attachments')
        a.check()
        a.delete()
        self.assert_as_before()

    def test_goes_on_after_an_error(self):
        config = self.queue(ipam=self.plugins.ipam())
        pods = [self.added(config) for _ in range(2)]
        self.node.stop()
        answer = self.gc(config)
        self.assertFalse(answer.ok, answer)
        self.assertEqual(self.plugins.state(NoAdmin)['files'],
                         [x for x in self.plugins.state(NoAdmin)['files'] if 'pending' in x])
        self.start_daemon()
        self.assertTrue(self.gc(config).ok)
        self.assert_as_before()
        for a in pods:
            a.delete()

    def test_ipam_plugin_gets_its_own(self):
        note = f'{self.node.dir}/gc-noted'
        ipam = self.script('noting-gc', f'[ $CNI_COMMAND = GC ] && cat >{note}; exit 0')
        self.assertTrue(self.gc(self.queue(ipam=ipam)).ok)
        self.assertEqual(json.load(open(note, encoding='utf-8'))['cni.dev/valid-attachments'], [])
        ipam = self.script('failing-gc', 'echo \'{"code": 142, "msg": "no"}\'; exit 1')
        self.fails(self.gc(self.queue(ipam=ipam)), 142)


class Parallel(CniCase):
    """Many pods begin and end at the same time."""

    queues = 8

    def all(self, pods, verb):
        """One verb for all, at once; Return: the answers."""
        started = [a.start(verb) for a in pods]
        answers = [finish(p, verb, a.config) for p, a in zip(started, pods)]
        for a, answer in zip(pods, answers):
            if answer.ok and verb == 'ADD':
                a.result = answer.json
        return answers

    def assert_all(self, answers):
        """All succeeded."""
        self.assertEqual([str(a) for a in answers if not a.ok], [])

    def test_queues_of_one_nic(self):
        pods = [self.attach(self.queue(ipam=self.plugins.ipam())) for _ in range(8)]
        for _ in range(3):
            self.assert_all(self.all(pods, 'ADD'))
            self.assertEqual(sorted(q for x in self.admin.leases() for q in x.queues),
                             list(range(8)))
            self.assertEqual(len(self.admin.programs()), 1)
            for a in pods:
                a.check()
            self.assert_all(self.all(pods, 'DEL'))
            self.assert_as_before()

    def test_nics_of_their_own(self):
        for i in range(1, 8):
            self.add_nic(f'nic{i}', 2)
        pods = [self.attach(self.network(device=f'nic{i}', ipam=self.plugins.ipam(), mtu=1400))
                for i in range(8)]
        self.assert_all(self.all(pods, 'ADD'))
        self.assertEqual(self.node.host.links(), [])
        for a in pods:
            a.check()
        self.assert_all(self.all(pods, 'DEL'))
        self.assert_as_before()

    def test_some_come_while_others_go(self):
        pods = [self.attach(self.queue(ipam=self.plugins.ipam())) for _ in range(8)]
        self.assert_all(self.all(pods[:4], 'ADD'))
        for _ in range(3):
            started = [(a, 'DEL', a.start('DEL')) for a in pods[:4]]
            started += [(a, 'ADD', a.start('ADD')) for a in pods[4:]]
            self.assert_all([finish(p, verb, a.config) for a, verb, p in started])
            pods = pods[4:] + pods[:4]
        self.assert_all(self.all(pods[:4], 'DEL'))
        self.assert_as_before()

    def test_one_device_for_two(self):
        for _ in range(5):
            config = self.device(ipam=self.plugins.ipam(), mac=NEW_MAC)
            pods = [self.attach(config) for _ in range(2)]
            answers = self.all(pods, 'ADD')
            self.assertEqual([a.ok for a in answers].count(True), 1, [str(a) for a in answers])
            winner, loser = sorted(zip(answers, pods), key=lambda x: x[0].code)
            self.fails(loser[0], 100, 'nic0')
            winner[1].check()
            loser[1].delete()
            winner[1].check()
            winner[1].delete()
            self.assert_as_before()

    def test_one_attachment_twice(self):
        a = self.attach(self.device(ipam=self.plugins.ipam()))
        for _ in range(3):
            answers = self.all([a, a], 'ADD')
            self.assertEqual(sorted(x.code for x in answers)[0], 0, [str(x) for x in answers])
            self.assertIn(sorted(x.code for x in answers)[1], (11, 101))
            a.check()
            self.assert_all(self.all([a, a, a], 'DEL'))
            self.assert_as_before()

    def test_add_and_del_at_once(self):
        for delay in range(0, 60, 6):
            a = self.attach(self.device(ipam=self.plugins.ipam(), mtu=1400))
            p = a.start('ADD')
            time.sleep(delay / 1000)
            q = a.start('DEL')
            finish(p, 'ADD', a.config)
            self.assertTrue(finish(q, 'DEL', a.config).ok)
            a.delete()
            self.assert_as_before()


if __name__ == '__main__':
    tap.main()
