# SPDX-License-Identifier: Apache-2.0
"""Filters become rules of the NIC, and go with the pod. veth has no rules: the driver is nic.py."""
import socket
import struct
import unittest

import tap
from cni import CniCase, environment, finish, start
from nic import FLOW_AT, PLACE_AT, QUEUE_AT, RXNFC_SIZE, Nic, supported
from plugins import XSKD_CNI

ADDRESS = socket.inet_aton
TCP4 = 1


def port(number):
    """As it is in a packet, in hex."""
    return struct.pack('>H', number).hex()


@unittest.skipUnless(supported(), 'not for this architecture')
class Steering(CniCase):
    """What the NIC has after ADD, and after DEL."""

    queues = 4

    def setUp(self):
        super().setUp()
        self.driver = Nic()

    def run_plugin(self, a, verb):
        """One verb, with the driver in the place of veth's."""
        config = {**a.config, 'prevResult': a.result} if a.result else a.config
        p = self.driver.attend(lambda install: start(
            self.node.host, [XSKD_CNI], environment(verb, **a.cni), preexec_fn=install))
        answer = finish(p, verb, config)
        if answer.ok and verb == 'ADD':
            a.result = answer.json
        return answer

    def add(self, config, **kw):
        """An attachment that has to succeed."""
        a = self.attach(config, **kw)
        answer = self.run_plugin(a, 'ADD')
        self.assertTrue(answer.ok, answer)
        return a, answer

    def delete(self, *attachments):
        """Each ends, and takes its rules with it."""
        for a in attachments:
            answer = self.run_plugin(a, 'DEL')
            self.assertTrue(answer.ok, answer)
            self.assertEqual(answer.err, '')

    def assert_blank(self):
        """The NIC is as it came from the factory, the node as before."""
        self.assertEqual((self.driver.rules, self.driver.groups, self.driver.ntuple),
                         ({}, {}, False))
        self.assert_as_before()

    def foreign_rule(self, place, queue):
        """One that an administrator has set: all TCP to a queue."""
        rule = bytearray(RXNFC_SIZE)
        struct.pack_into('=I', rule, FLOW_AT, TCP4)
        struct.pack_into('=Q', rule, QUEUE_AT, queue)
        struct.pack_into('=I', rule, PLACE_AT, place)
        self.driver.rules[place] = bytes(rule)

    def test_what_filters_become(self):
        v6 = socket.inet_pton(socket.AF_INET6, 'fd00::1').hex()
        cases = (
            ({'flow': 'udp4', 'dstPort': 4789}, 'udp4', port(4789)),
            ({'flow': 'tcp4', 'srcPort': 1, 'dstPort': 2}, 'tcp4', port(1) + port(2)),
            ({'flow': 'sctp4', 'srcIP': '10.0.0.1'}, 'sctp4', ADDRESS('10.0.0.1').hex()),
            ({'flow': 'udp4', 'srcIP': '10.0.0.1', 'dstIP': '10.0.0.2', 'dstPort': 9}, 'udp4',
             ADDRESS('10.0.0.1').hex() + ADDRESS('10.0.0.2').hex() + port(9)),
            ({'flow': 'ip4', 'dstIP': '10.0.0.2'}, 'ip4', ADDRESS('10.0.0.2').hex()),
            ({'flow': 'udp6', 'dstPort': 53}, 'udp6', port(53)),
            ({'flow': 'tcp6', 'dstIP': 'fd00::1'}, 'tcp6', v6),
            ({'flow': 'sctp6', 'srcPort': 7}, 'sctp6', port(7)),
            ({'flow': 'ip6', 'srcIP': 'fd00::1'}, 'ip6', v6),
            ({'flow': 'ether', 'etherType': 0x88f7}, 'ether', '88f7'),
            ({'flow': 'ether', 'dstMAC': '02:00:00:00:00:05'}, 'ether', '020000000005'))
        filters = [{**f, 'queue': n % 4} for n, (f, _, _) in enumerate(cases)]
        for mode in ('device', 'queue'):
            a, answer = self.add(self.device(mode=mode, queues='0-3', filters=filters))
            self.assertNotIn('cannot', answer.err)
            # From the last place on: those of the administrator go before them.
            want = [(flow, what, 'queue', n % 4) for n, (_, flow, what) in enumerate(cases)]
            with self.subTest(mode):
                self.assertEqual(self.driver.described()[::-1], want)
                self.assertTrue(self.driver.ntuple)
            self.delete(a)
            self.assert_blank()

    def test_address_of_the_pod(self):
        ipam = self.plugins.ipam()
        ipam['ranges'].append([{'subnet': 'fd00:66::/64'}])
        filters = [{'flow': 'udp4', 'dstIP': 'pod', 'dstPort': 9}, {'flow': 'ip6', 'dstIP': 'pod'}]
        for mode in ('device', 'queue'):
            a, _ = self.add(self.device(mode=mode, queues=[2], ipam=ipam, filters=filters))
            v4, v6 = (ip['address'].split('/')[0] for ip in a.result['ips'])
            self.assertEqual(self.driver.described()[::-1], [
                ('udp4', ADDRESS(v4).hex() + port(9), 'queue', 2),
                ('ip6', socket.inet_pton(socket.AF_INET6, v6).hex(), 'queue', 2)])
            self.delete(a)
            self.assertEqual(self.driver.rules, {})

    def test_queue_mode_without_filters(self):
        """What is sent to the pods' addresses goes to their queues, and nothing of others."""
        self.foreign_rule(15, 3)
        self.driver.ntuple = True
        ipam = self.plugins.ipam()
        pods = [self.add(self.queue(queues=[q], ipam=ipam))[0] for q in (0, 1, 2)]
        theirs = [('ip4', ADDRESS(a.result['ips'][0]['address'].split('/')[0]).hex(), 'queue', q)
                  for q, a in enumerate(pods)]
        foreign = ('tcp4', '', 'queue', 3)
        self.assertEqual(self.driver.described()[::-1], [foreign, *theirs])
        self.delete(pods[1])
        self.assertEqual(self.driver.described()[::-1], [foreign, theirs[0], theirs[2]])
        self.delete(pods[0], pods[2])
        self.assertEqual(self.driver.described(), [foreign])
        self.assertTrue(self.driver.ntuple)
        self.assert_as_before()

    def test_rules_of_an_administrator_stay(self):
        for mode in ('device', 'queue'):
            self.driver = Nic()
            self.foreign_rule(15, 0)
            self.foreign_rule(3, 0)
            a, _ = self.add(self.device(mode=mode, queues=[0],
                                        filters=[{'flow': 'udp4', 'dstPort': 9}]))
            self.assertEqual(sorted(self.driver.rules), [3, 14, 15])
            self.delete(a)
            self.assertEqual(sorted(self.driver.rules), [3, 15])

    def test_several_queues_are_a_group(self):
        filters = [{'flow': 'udp4', 'dstPort': 9}, {'flow': 'tcp4', 'dstPort': 9, 'queue': 3}]
        for mode in ('device', 'queue'):
            a, _ = self.add(self.device(mode=mode, queues=[1, 3], filters=filters))
            self.assertEqual(self.driver.groups, {1: [1, 3] * 4})
            self.assertEqual(self.driver.described()[::-1], [
                ('udp4', port(9), 'group', 1), ('tcp4', port(9), 'queue', 3)])
            self.delete(a)
            self.assert_blank()

    def test_groups_of_several_pods(self):
        filters = [{'flow': 'udp4', 'dstPort': 9}]
        pods = [self.add(self.queue(queues=q, filters=filters))[0] for q in ([0, 1], [2, 3])]
        self.assertEqual(self.driver.groups, {1: [0, 1] * 4, 2: [2, 3] * 4})
        self.delete(pods[0])
        self.assertEqual(self.driver.groups, {2: [2, 3] * 4})
        self.assertEqual(self.driver.described(), [('udp4', port(9), 'group', 2)])
        self.delete(pods[1])
        self.assert_blank()

    def test_no_groups(self):
        self.driver = Nic(groups=False)
        a, answer = self.add(self.queue(queues=[1, 3], filters=[{'flow': 'udp4', 'dstPort': 9}]))
        self.assertRegex(answer.err, 'no RSS contexts.*queue 1 alone')
        self.assertEqual(self.driver.described(), [('udp4', port(9), 'queue', 1)])
        self.delete(a)
        self.assert_blank()

    def fails_and_leaves_nothing(self, code, text, filters, **keys):
        """In both modes, and others' rules stay."""
        for mode in ('device', 'queue'):
            self.foreign_rule(0, 2)
            a = self.attach(self.device(mode=mode, queues=[1, 3], filters=filters, **keys))
            self.fails(self.run_plugin(a, 'ADD'), code, text)
            with self.subTest(mode):
                self.assertEqual((list(self.driver.rules), self.driver.groups), ([0], {}))
                self.assert_as_before()
            self.driver.ntuple = False

    def test_full(self):
        self.driver.fail_insert = 3
        filters = [{'flow': 'udp4', 'dstPort': n} for n in range(1, 6)]
        self.fails_and_leaves_nothing(102, 'No space', filters, ipam=self.plugins.ipam())

    def test_no_place(self):
        self.driver.places = 2
        filters = [{'flow': 'udp4', 'dstPort': n} for n in range(1, 4)]
        self.fails_and_leaves_nothing(102, 'No space', filters)

    def test_queue_of_somebody_else(self):
        filters = [{'flow': 'udp4', 'dstPort': 9}, {'flow': 'udp4', 'dstPort': 8, 'queue': 2}]
        self.fails_and_leaves_nothing(7, 'queue 2', filters)

    def test_address_that_the_pod_has_not(self):
        for ipam in (None, self.plugins.ipam()):
            filters = [{'flow': 'udp4', 'dstPort': 9}, {'flow': 'ip6', 'dstIP': 'pod'}]
            self.fails_and_leaves_nothing(7, "pod's address", filters, ipam=ipam)

    def test_pod_is_gone_before_del(self):
        a, _ = self.add(self.queue(queues=[1, 3], filters=[{'flow': 'udp4', 'dstPort': 9}]))
        a.netns.delete()
        self.delete(a)
        self.assert_blank()

    def test_daemon_is_down_at_del(self):
        a, _ = self.add(self.queue(queues=[1, 3], filters=[{'flow': 'udp4', 'dstPort': 9}]))
        self.node.stop()
        self.assertTrue(self.run_plugin(a, 'DEL').ok)
        self.assertEqual((self.driver.rules, self.driver.groups), ({}, {}))
        self.start_daemon()
        self.delete(a)
        self.assert_blank()


if __name__ == '__main__':
    tap.main()
