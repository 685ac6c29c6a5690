# SPDX-License-Identifier: Apache-2.0
"""Leases: who may use which queues of which interface, and until when."""
import os
import time

from google.protobuf.message import DecodeError

import tap
from node import Link, Netns, TestCase, client, netns_path, pb, run, wait_for


class Grant(TestCase):
    """GrantLease, RevokeLease, ListLeases in device mode."""

    def test_lease_tells_what_was_granted(self):
        pod = self.pod(queues=4)
        cookie = pod.client().call('GetInfo').netns_cookie
        began = int(time.time())
        lease = self.grant(pod, labels={'pod': 'web-0', 'namespace': 'shop'})
        self.assertEqual(
            (lease.container, lease.interface, lease.device, lease.netns_cookie, lease.mode,
             list(lease.queues), lease.all_queues, lease.program_id, lease.sockets),
            (pod.container, 'eth0', 'eth0', cookie, pb.LEASE_MODE_DEVICE, [0, 1, 2, 3], True, 0, 0))
        self.assertEqual(dict(lease.labels), {'pod': 'web-0', 'namespace': 'shop'})
        self.assertTrue(lease.link_up)
        self.assertTrue(began <= lease.granted_at <= time.time() + 1)
        self.assertEqual(self.admin.leases(), [lease])

    def test_granting_again_answers_with_the_lease_there_is(self):
        pod = self.pod(queues=2)
        lease = self.grant(pod)
        self.assertEqual(self.grant(pod).id, lease.id)
        self.assertEqual(self.grant(pod, labels={'other': 'label'}).id, lease.id)
        self.assertEqual(len(self.admin.leases()), 1)

    def test_granting_again_with_all_queues_by_number_is_the_same(self):
        pod = self.pod(queues=2)
        lease = self.grant(pod)
        self.assertEqual(self.grant(pod, queues=[0, 1]).id, lease.id)

    def test_same_key_with_other_queues_is_refused(self):
        pod = self.pod(queues=4)
        self.grant(pod, queues=[0, 1])
        with self.refused('ALREADY_EXISTS', 'revoke'):
            self.grant(pod, queues=[0, 1, 2])
        with self.refused('ALREADY_EXISTS', 'revoke'):
            self.grant(pod)

    def test_same_key_from_another_namespace_is_refused(self):
        pod, other = self.pod(), self.pod()
        self.grant(pod)
        with self.refused('ALREADY_EXISTS', 'another namespace'):
            self.grant(other, container=pod.container)

    def test_other_container_in_the_same_namespace_is_refused(self):
        pod = self.pod(queues=2)
        self.grant(pod, queues=[0])
        with self.refused('ALREADY_EXISTS', f"'{pod.container}'"):
            self.grant(pod, container='other', queues=[1])

    def test_two_interfaces_of_a_container_are_two_leases(self):
        pod = self.pod()
        Link(pod.netns, 'net1', pod.peer)
        self.grant(pod)
        self.grant(pod, interface='net1')
        self.assertEqual({lease.interface for lease in pod.client().leases()}, {'eth0', 'net1'})
        self.assertEqual(self.admin.call('RevokeLease', container=pod.container,
                                         interface='net1').revoked, 1)
        self.assertEqual([lease.interface for lease in pod.client().leases()], ['eth0'])
        self.grant(pod, interface='net1')
        self.assertEqual(self.admin.call('RevokeLease', container=pod.container).revoked, 2)

    def test_host_namespace_is_refused(self):
        with open(self.node.host.path, 'rb') as ns, \
                self.refused('INVALID_ARGUMENT', 'hostNetwork'):
            self.admin.call('GrantLease', [ns.fileno()], container='c', interface='lo', netns_fd=1)

    def test_namespace_is_required(self):
        with self.refused('INVALID_ARGUMENT', 'namespace'):
            self.admin.call('GrantLease', container='c', interface='eth0')

    def test_interface_that_is_not_there(self):
        pod = self.pod()
        with self.refused('NOT_FOUND', "'eth7'"):
            self.grant(pod, interface='eth7')
        self.assertEqual(self.admin.leases(), [])

    def test_queue_that_is_not_there(self):
        pod = self.pod(queues=2)
        with self.refused('INVALID_ARGUMENT', 'queues 0 to 1'):
            self.grant(pod, queues=[1, 2])

    def test_queues_out_of_order_or_twice(self):
        pod = self.pod(queues=4)
        for queues in ([1, 0], [2, 2], [0, 1, 1]):
            with self.subTest(queues), self.refused('INVALID_ARGUMENT', 'ascending'):
                self.grant(pod, queues=queues)

    def test_bad_labels(self):
        pod = self.pod()
        for labels in ({'': 'x'}, {'k' * 257: 'x'}, {'k': 'x' * 257},
                       {str(i): '' for i in range(17)}):
            with self.subTest(n=len(labels)), self.refused('INVALID_ARGUMENT', 'label'):
                self.grant(pod, labels=labels)
        self.grant(pod, labels={str(i): 'ü' * 128 for i in range(16)})

    def test_label_that_is_no_utf8_does_not_spoil_the_list(self):
        pod = self.pod()
        with open(pod.path, 'rb') as ns:
            body = pb.Request(id=50, grant_lease=pb.GrantLeaseRequest(
                container=pod.container, interface='eth0', netns_fd=1,
                labels={'pod': 'XX'})).SerializeToString().replace(b'XX', b'\xff\xfe')
            self.admin.send_raw(body, [ns.fileno()])
            packet, _ = client.recv_packet(self.admin.sock)
        try:
            pb.Reply.FromString(packet)
            self.admin.leases()
        except DecodeError:
            self.admin.call('RevokeLease', container=pod.container)
            self.fail('after one bad label, no lease can be read by a client that checks UTF-8')

    def test_longest_names_work_and_survive_a_restart(self):
        pod = self.pod(interface='fifteen-letters')
        name = 'c' * 128
        self.grant(pod, container=name)
        self.node.restart()
        self.admin = self.node.admin()
        self.assertEqual([lease.container for lease in self.admin.leases()], [name])

    def test_revoking_twice_is_no_error(self):
        pod = self.pod()
        self.grant(pod)
        self.assertEqual(self.admin.call('RevokeLease', container=pod.container).revoked, 1)
        self.assertEqual(self.admin.call('RevokeLease', container=pod.container).revoked, 0)
        never = self.admin.call('RevokeLease', container='never', interface='eth0')
        self.assertEqual(never.revoked, 0)

    def test_grant_after_revoke_is_a_new_lease(self):
        pod = self.pod()
        first = self.grant(pod)
        self.admin.call('RevokeLease', container=pod.container)
        self.assertNotEqual(self.grant(pod).id, first.id)

    def test_pod_sees_its_own_alone(self):
        pod, other = self.pod(), self.pod()
        mine = self.grant(pod)
        self.grant(other)
        self.assertEqual(pod.client().leases(), [mine])
        self.assertEqual(len(self.admin.leases()), 2)
        info = pod.client().call('GetInfo')
        self.assertEqual((info.leases, info.programs, info.connections), (1, 0, 0))

    def test_pod_without_lease_sees_nothing(self):
        pod, other = self.pod(), self.pod(link=False)
        self.grant(pod)
        self.assertEqual(other.client().leases(), [])

    def test_lists_come_in_pages(self):
        ns = Netns('m')
        self.namespaces.append(ns)
        n = 300
        with open(ns.path, 'rb') as f:
            for i in range(n):
                ns_name = f'd{i}'
                if i % 100 == 0:
                    batch = '\n'.join(f'link add d{j} type veth peer name e{j}'
                                      for j in range(i, i + 100, 1))
                    run('ip', '-n', ns.name, '-batch', '-', input=batch)
                self.admin.call('GrantLease', [f.fileno()], container=f'c{i}', interface=ns_name,
                                netns_fd=1, labels={'a': 'x' * 250, 'b': 'y' * 250})
        leases, pages = self.admin.pages('ListLeases', 'leases')
        self.assertEqual({lease.container for lease in leases}, {f'c{i}' for i in range(n)})
        self.assertEqual(len(leases), n)
        self.assertGreater(pages, 1)
        self.assertEqual(list(self.admin.call('ListLeases', after=2**64 - 1).leases), [])

    def test_ten_grants_at_once_for_the_same_key_give_one_lease(self):
        pod = self.pod()
        with open(pod.path, 'rb') as ns:
            ids = [self.admin.start('GrantLease', [ns.fileno()], container=pod.container,
                                    interface='eth0', netns_fd=1) for _ in range(10)]
        got = {self.admin.wait(i)[0].lease.id for i in ids}
        self.assertEqual(len(got), 1)
        self.assertEqual(len(self.admin.leases()), 1)

    def test_grant_and_revoke_at_once_leave_state_and_list_equal(self):
        pod = self.pod()
        for _ in range(20):
            with open(pod.path, 'rb') as ns:
                a = self.admin.start('GrantLease', [ns.fileno()], container=pod.container,
                                     interface='eth0', netns_fd=1)
                b = self.admin.start('RevokeLease', container=pod.container)
            self.admin.wait_reply(a)
            self.admin.wait_reply(b)
        self.assertEqual(len(self.admin.leases()), len(self.node.state_files()))


class QueueMode(TestCase):
    """The device stays on the host."""

    def setUp(self):
        super().setUp()
        self.peer = self.pod(link=False).netns
        self.nic = Link(self.node.host, 'nic0', self.peer, 4)

    def share(self, queues, **kw):
        """A pod with queues of the device."""
        pod = self.pod(link=False)
        pod.lease = self.grant(pod, device='nic0', queues=queues, **kw)
        return pod

    def test_lease_names_device_and_interface(self):
        pod = self.share([1, 2], interface='xdp0')
        self.assertEqual((pod.lease.mode, pod.lease.device, pod.lease.interface,
                          list(pod.lease.queues), pod.lease.all_queues),
                         (pb.LEASE_MODE_QUEUE, 'nic0', 'xdp0', [1, 2], False))

    def test_queues_of_two_leases_may_not_overlap(self):
        a = self.share([0, 1])
        with self.refused('ALREADY_EXISTS', f"queue 1 of 'nic0' is leased to container "
                                            f"'{a.container}'"):
            self.share([1, 2])
        self.share([2, 3])

    def test_all_queues_overlap_with_any(self):
        self.share([3])
        with self.refused('ALREADY_EXISTS', 'queue 3'):
            self.share([])

    def test_queue_is_free_after_revocation(self):
        a = self.share([0])
        self.admin.call('RevokeLease', container=a.container)
        self.share([0])

    def test_same_key_in_device_mode_is_refused(self):
        a = self.share([0])
        Link(a.netns, 'eth0', self.peer)
        with self.refused('ALREADY_EXISTS'):
            self.grant(a)

    def test_device_that_is_not_there(self):
        pod = self.pod(link=False)
        with self.refused('NOT_FOUND', "'nic9' on the host"):
            self.grant(pod, device='nic9')

    def test_overlap_by_two_grants_at_once_is_refused(self):
        pods = [self.pod(link=False) for _ in range(4)]
        admins = [self.node.admin() for _ in pods]
        files = [open(p.path, 'rb') for p in pods]
        ids = [a.start('GrantLease', [f.fileno()], container=p.container, interface='eth0',
                       netns_fd=1, device='nic0', queues=[2])
               for a, f, p in zip(admins, files, pods)]
        codes = [a.wait_reply(i)[0].status.code for a, i in zip(admins, ids)]
        for each in files + admins:
            each.close()
        self.assertEqual(sorted(codes), [pb.OK] + [pb.ALREADY_EXISTS] * 3)

    def count(self, n, **kw):
        """A pod with so many queues, of the daemon's choice."""
        pod = self.pod(link=False)
        pod.lease = self.grant(pod, device='nic0', queue_count=n, **kw)
        return pod

    def test_the_daemon_chooses_the_lowest_and_spares_queue_0(self):
        self.admin.call('LoadProgram', interface='nic0')
        a, b = self.count(2), self.count(1)
        self.assertEqual((list(a.lease.queues), list(b.lease.queues)), ([1, 2], [3]))
        self.assertEqual(list(self.count(1).lease.queues), [0])
        self.assertEqual(self.hand_off(a).infos[0].queue, 1)
        self.admin.call('RevokeLease', container=a.container)
        self.share([2])
        self.assertEqual(list(self.count(1).lease.queues), [1])

    def test_all_queues_may_be_chosen(self):
        lease = self.count(4).lease
        self.assertEqual((list(lease.queues), lease.all_queues), ([0, 1, 2, 3], True))

    def test_too_few_free_queues(self):
        self.share([1, 3])
        with self.refused('RESOURCE_EXHAUSTED',
                          "2 of the 4 queues of 'nic0' are free, not 3.*xskctl lease list"):
            self.count(3)
        self.assertEqual(list(self.count(2).lease.queues), [0, 2])

    def test_as_many_queues_again_are_the_same_lease(self):
        pod = self.count(2)

        def again(**kw):
            return self.grant(pod, device='nic0', **kw)
        self.assertEqual(again(queue_count=2), pod.lease)
        self.assertEqual(again(queues=[1, 2]), pod.lease)
        with self.refused('ALREADY_EXISTS', 'another number'):
            again(queue_count=1)
        self.node.restart()
        self.admin.close()
        self.admin = self.node.admin()
        self.assertEqual(list(again(queue_count=2).queues), [1, 2])

    def test_queues_are_named_or_counted(self):
        with self.refused('INVALID_ARGUMENT', 'queue_count'):
            self.count(1, queues=[1])

    def test_counts_at_once_get_different_queues(self):
        pods = [self.pod(link=False) for _ in range(6)]
        admins = [self.node.admin() for _ in pods]
        files = [open(p.path, 'rb') for p in pods]
        ids = [a.start('GrantLease', [f.fileno()], container=p.container, interface='eth0',
                       netns_fd=1, device='nic0', queue_count=1)
               for a, f, p in zip(admins, files, pods)]
        replies = [a.wait_reply(i)[0] for a, i in zip(admins, ids)]
        for each in files + admins:
            each.close()
        self.assertEqual(sorted(r.status.code for r in replies),
                         [pb.OK] * 4 + [pb.RESOURCE_EXHAUSTED] * 2)
        self.assertEqual(sorted(q for r in replies for q in r.grant_lease.lease.queues),
                         [0, 1, 2, 3])

    def test_lease_ends_with_its_namespace_and_the_queue_is_free(self):
        a = self.share([0])
        self.admin.watch()
        a.netns.delete()
        self.admin.next_event('EVENT_LEASE_REVOKED', container=a.container)
        self.assertEqual(self.admin.leases(), [])
        self.share([0])


class Identity(TestCase):
    """The namespace in which the client made its socket, as the kernel attests it."""

    def test_cookies_differ_and_stay(self):
        a, b = self.pod(link=False), self.pod(link=False)
        cookies = [p.client().call('GetInfo').netns_cookie for p in (a, a, b)]
        self.assertEqual(cookies[0], cookies[1])
        self.assertNotEqual(cookies[0], cookies[2])

    def test_denied_text_names_the_remedy(self):
        pod = self.pod(link=False)
        for call in ('GetXskMap', 'GetStats'):
            with self.subTest(call), self.refused('PERMISSION_DENIED', 'xskctl lease grant'):
                pod.client().call(call, interface='eth0')

    def test_namespace_with_the_same_name_is_another_one(self):
        pod = self.ready_pod()
        self.admin.watch()
        pod.netns.delete()
        self.admin.next_event('EVENT_LEASE_REVOKED', container=pod.container)

        run('ip', 'netns', 'add', pod.netns.name)
        with self.refused('PERMISSION_DENIED'):
            client.Client(self.node.pod_path, netns=netns_path(pod.netns.name)).call(
                'GetStats', interface='eth0')

    def test_namespace_inode_used_again_is_another_one(self):
        # The kernel gives out inode numbers of dead namespaces again; the cookie it does not.
        pod = self.ready_pod()
        inode = os.stat(pod.path).st_ino
        pod.netns.delete()
        wait_for(lambda: not self.admin.leases(), 'the end of the lease')
        for _ in range(20):
            again = self.pod()
            if os.stat(again.path).st_ino == inode:
                break
        with self.refused('PERMISSION_DENIED'):
            again.client().hand_off('eth0')


class End(TestCase):
    """How leases end, and who is told."""

    def test_lease_ends_when_its_namespace_is_deleted(self):
        pod = self.ready_pod()
        self.admin.watch()
        pod.netns.delete()
        event = self.admin.next_event('EVENT_LEASE_REVOKED', container=pod.container)
        self.assertEqual((event.lease, event.interface), (pod.lease.id, 'eth0'))
        self.assertEqual(self.admin.leases(), [])
        wait_for(lambda: [n for n in self.node.state_files() if '@' in n] == [],
                 'the end of its state file')

    def test_lease_with_a_kept_socket_and_no_process_ends_with_revocation(self):
        pod = self.ready_pod()
        h = pod.client().hand_off('eth0', keep=True)
        h.close()
        self.admin.call('RevokeLease', container=pod.container)
        self.admin.call('UnloadProgram', id=pod.program.id)
        # nothing_left() sees that the namespace can end now

    def test_lease_whose_namespace_went_while_the_daemon_was_down(self):
        pod, other = self.ready_pod(), self.ready_pod()
        self.node.stop()
        pod.netns.delete()
        wait_for(lambda: len(self.node.host.ip('netns', 'list-id').splitlines()) == 1,
                 'the end of the namespace')
        self.node.start()
        self.admin = self.node.admin()
        self.assertEqual([lease.container for lease in self.admin.leases()], [other.container])

    def test_grant_and_revoke_are_events_for_administrators(self):
        self.admin.watch()
        pod = self.pod()
        lease = self.grant(pod)
        event = self.admin.next_event('EVENT_LEASE_GRANTED', container=pod.container)
        self.assertEqual((event.lease, event.interface), (lease.id, 'eth0'))
        self.admin.call('RevokeLease', container=pod.container)
        self.admin.next_event('EVENT_LEASE_REVOKED', lease=lease.id)

    def test_pod_is_told_of_its_own_alone(self):
        pod, other = self.pod(), self.pod()
        c = pod.client()
        c.watch()
        self.grant(other)
        self.grant(pod)
        event = c.next_event('EVENT_LEASE_GRANTED')
        self.assertEqual(event.container, pod.container)
        self.admin.call('RevokeLease', container=other.container)
        self.admin.call('RevokeLease', container=pod.container)
        c.next_event('EVENT_LEASE_REVOKED', container=pod.container)
        self.assertEqual([e for e in c.events if e.container == other.container], [])

    def test_link_down_and_up_are_events(self):
        pod = self.pod()
        self.grant(pod)
        c = pod.client()
        c.watch()
        pod.peer.ip('link', 'set', pod.link.peer_name, 'down')
        c.next_event('EVENT_LINK_DOWN', interface='eth0')
        self.assertFalse(c.leases()[0].link_up)
        pod.peer.ip('link', 'set', pod.link.peer_name, 'up')
        c.next_event('EVENT_LINK_UP', interface='eth0')
        self.assertTrue(c.leases()[0].link_up)

    def test_second_watch_on_a_connection_is_refused(self):
        c = self.pod(link=False).client()
        c.watch()
        with self.refused('ALREADY_EXISTS'):
            c.call('WatchEvents')

    def test_calls_go_on_beside_events(self):
        pod = self.pod()
        self.admin.watch()
        for _ in range(20):
            self.grant(pod)
            self.admin.call('RevokeLease', container=pod.container)
        for _ in range(20):
            self.admin.next_event('EVENT_LEASE_GRANTED')
            self.admin.next_event('EVENT_LEASE_REVOKED')

    def test_renamed_interface(self):
        pod = self.ready_pod()
        pod.netns.ip('link', 'set', 'eth0', 'down')
        pod.netns.ip('link', 'set', 'eth0', 'name', 'eth9')
        pod.netns.ip('link', 'set', 'eth9', 'up')
        pod.link.await_carrier()
        # The lease is of the device, by its index: packets must still be the pod's own.
        h = self.hand_off(pod).map()
        pod.link.send(20)
        self.assert_sequence(h.receive(20), 20)

    def test_interface_moved_into_the_pod_with_its_program(self):
        # What a CNI plugin does: load on the host, move, grant.
        pod = self.pod(link=False)
        link = Link(self.node.host, 'nic0', self.pod(link=False).netns)
        program = self.admin.call('LoadProgram', interface='nic0').program
        run_ip = self.node.host.ip
        run_ip('link', 'set', 'nic0', 'netns', pod.netns.name, 'name', 'eth0')
        pod.netns.ip('link', 'set', 'eth0', 'up')
        link.await_carrier()
        lease = self.grant(pod)
        self.assertEqual(lease.program_id, program.id)
        listed, = self.admin.programs()
        self.assertEqual((listed.interface, listed.netns_cookie), ('eth0', lease.netns_cookie))
        h = self.hand_off(pod).map()
        link.send(20)
        self.assert_sequence(h.receive(20), 20)


if __name__ == '__main__':
    tap.main()
