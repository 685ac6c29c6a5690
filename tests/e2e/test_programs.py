# SPDX-License-Identifier: Apache-2.0
"""Programs: loaded, attached, listed, unloaded; never in the place of somebody else's."""
import contextlib
import ctypes
import os
import re
import socket
import struct
import tempfile

import tap
from node import Link, Node, Refused, TestCase, client, pb, run, wait_for

HEAD = '''
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "Dual BSD/GPL";
'''

XSKMAP = '''
struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(key_size, 4);
    __uint(value_size, 4);
    __uint(max_entries, 4);
    %s
} %s SEC(".maps");
'''

REDIRECT = '''
SEC("xdp") int %s(struct xdp_md *ctx)
{
    return bpf_redirect_map(&%s, ctx->rx_queue_index, XDP_PASS);
}
'''

GOOD = HEAD + XSKMAP % ('', 'xsks_map') + REDIRECT % ('mine', 'xsks_map')

CONSTANTS = HEAD + XSKMAP % ('', 'xsks_map') + '''
const volatile unsigned char small = 1;
const volatile unsigned int medium = 2;
const volatile long long large = 3;
const volatile unsigned char key[6] = {1, 2, 3, 4, 5, 6};
SEC("xdp") int mine(struct xdp_md *ctx)
{
    /* Packets come through only with the constants that the test sets. */
    if (small != 200 || medium != 0xdeadbeef || large != -5 || key[0] != 0xaa || key[5] != 0xff)
        return XDP_DROP;
    return bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_PASS);
}
'''

REFUSED = HEAD + XSKMAP % ('', 'xsks_map') + '''
SEC("xdp") int mine(struct xdp_md *ctx)
{
    char *data = (void *)(long)ctx->data;
    return data[5] ? XDP_PASS : bpf_redirect_map(&xsks_map, 0, XDP_PASS);
}
'''

PASS = HEAD + 'SEC("xdp") int passing(struct xdp_md *ctx) { return XDP_PASS; }\n'


class Objects:
    """Compiled once for all tests of this file."""

    dir = None
    built = {}

    @classmethod
    def path(cls, source):
        """The object file of a source."""
        if cls.dir is None:
            cls.dir = tempfile.TemporaryDirectory(prefix='xskd-obj-')
        if source not in cls.built:
            c = f'{cls.dir.name}/{len(cls.built)}.bpf.c'
            with open(c, 'w', encoding='ascii') as f:
                f.write(source)
            arch = os.uname().machine
            run('clang', '-g', '-O2', '-target', 'bpf', f'-I/usr/include/{arch}-linux-gnu', '-c', c,
                '-o', c[:-1] + 'o')
            cls.built[source] = c[:-1] + 'o'
        return cls.built[source]


class ProgramCase(TestCase):
    """What the classes below have in common. What was loaded repeatedly is kept: see test_pool.py."""

    config = '{"pool": 0}'

    def load_object(self, pod, source_or_fd, **fields):
        """LoadProgram with an object, in the pod's namespace."""
        with contextlib.ExitStack() as stack:
            ns = stack.enter_context(open(pod.path, 'rb')).fileno()
            fd = source_or_fd
            if isinstance(fd, str):
                fd = stack.enter_context(open(Objects.path(fd), 'rb')).fileno()
            return self.admin.call('LoadProgram', [ns, fd], netns_fd=1, object_fd=2,
                                   interface=pod.interface, **fields).program

    def attached(self, netns, name='eth0'):
        """What ip(8) says of XDP on a device: (id, mode), or None."""
        out = netns.ip('-d', 'link', 'show', name)
        found = re.search(r'prog/xdp id (\d+)', out)
        mode = 'generic' if 'xdpgeneric' in out else 'native'
        return (int(found.group(1)), mode) if found else None

    def assert_nothing_made(self, pod):
        """A failed load has left nothing."""
        self.assertIsNone(self.attached(pod.netns))
        self.assertEqual(self.admin.programs(), [])
        wait_for(lambda: not self.node.pins(), 'the end of pins')  # behind the reply
        self.assertEqual(self.node.state_files(), [])


class Load(ProgramCase):
    """The default program."""

    def test_default_program_is_attached_natively(self):
        pod = self.pod(queues=4)
        p = self.load(pod)
        self.assertEqual(self.attached(pod.netns), (p.id, 'native'))
        cookie = pod.client().call('GetInfo').netns_cookie
        self.assertEqual((p.interface, p.mode, p.custom, p.map, p.queues, p.netns_cookie,
                          p.map_given),
                         ('eth0', pb.XDP_MODE_NATIVE, False, 'xsks_map', 4, cookie, False))
        self.assertGreaterEqual(p.map_entries, p.queues)
        self.assertEqual(self.node.pins(), [str(p.id)])
        self.assertTrue(p.link_id and p.map_id and p.ifindex)

    def test_without_namespace_it_is_the_daemons(self):
        Link(self.node.host, 'nic0', self.pod(link=False).netns, 2)
        p = self.admin.call('LoadProgram', interface='nic0').program
        self.assertEqual(self.attached(self.node.host, 'nic0'), (p.id, 'native'))

    def test_modes_are_granted_as_asked(self):
        for mode, name in ((pb.XDP_MODE_NATIVE, 'native'), (pb.XDP_MODE_GENERIC, 'generic'),
                           (pb.XDP_MODE_AUTO, 'native')):
            pod = self.pod()
            p = self.load(pod, mode=mode)
            with self.subTest(name):
                self.assertEqual(self.attached(pod.netns), (p.id, name))
                self.assertEqual(p.mode, pb.XDP_MODE_GENERIC if name == 'generic'
                                 else pb.XDP_MODE_NATIVE)

    def test_native_that_is_not_possible_is_refused(self):
        pod = self.pod(link=False)
        peer = self.pod(link=False).netns
        Link(pod.netns, 'eth0', peer, mtu=9000)
        # The default program takes fragments, so that it goes with any MTU; this one does not.
        with self.refused('FAILED_PRECONDITION', 'MTU'):
            self.load_object(pod, GOOD, mode=pb.XDP_MODE_NATIVE)
        self.assert_nothing_made(pod)

    def test_auto_falls_back_to_generic_and_says_so(self):
        pod = self.pod(link=False)
        Link(pod.netns, 'eth0', self.pod(link=False).netns, mtu=9000)
        p = self.load_object(pod, GOOD, mode=pb.XDP_MODE_AUTO)
        self.assertEqual(p.mode, pb.XDP_MODE_GENERIC)
        self.assertEqual(self.attached(pod.netns), (p.id, 'generic'))
        self.assertEqual(self.admin.programs()[0].mode, pb.XDP_MODE_GENERIC)

    def test_default_program_goes_with_a_large_mtu(self):
        pod = self.pod(link=False)
        Link(pod.netns, 'eth0', self.pod(link=False).netns, mtu=9000)
        self.assertEqual(self.load(pod, mode=pb.XDP_MODE_NATIVE).mode, pb.XDP_MODE_NATIVE)

    def test_loopback_has_generic_alone(self):
        pod = self.pod(link=False, interface='lo')
        with self.refused('UNIMPLEMENTED', 'native'):
            self.load(pod, mode=pb.XDP_MODE_NATIVE)
        self.assertEqual(self.load(pod).mode, pb.XDP_MODE_GENERIC)

    def test_mode_that_is_none(self):
        pod = self.pod()
        with self.refused('INVALID_ARGUMENT', 'mode 7'):
            self.load(pod, mode=7)

    def test_interface_that_is_missing(self):
        pod = self.pod(link=False)
        with self.refused('NOT_FOUND', "'eth0'"):
            self.load(pod)
        with self.refused('NOT_FOUND', "'eth0'"):
            self.admin.call('LoadProgram', interface='eth0')

    def test_second_program_on_an_interface_is_refused(self):
        pod = self.pod()
        p = self.load(pod)
        with self.refused('ALREADY_EXISTS', f'id {p.id}'):
            self.load(pod)
        self.assertEqual(self.attached(pod.netns)[0], p.id)

    def test_ten_loads_at_once_give_one_program(self):
        pod = self.pod()
        with open(pod.path, 'rb') as ns:
            ids = [self.admin.start('LoadProgram', [ns.fileno()], netns_fd=1, interface='eth0')
                   for _ in range(10)]
        codes = sorted(self.admin.wait_reply(i)[0].status.code for i in ids)
        self.assertEqual(codes, [pb.OK] + [pb.ALREADY_EXISTS] * 9)
        self.assertEqual(len(self.node.pins()), 1)

    def test_default_program_takes_no_names_and_constants(self):
        pod = self.pod()
        for fields in ({'map': 'x'}, {'program': 'x'}, {'constants': [{'name': 'x'}]}):
            with self.subTest(**fields), self.refused('INVALID_ARGUMENT', 'object'):
                self.load(pod, **fields)

    def test_counters_count(self):
        pod = self.ready_pod(queues=2)
        pod.link.aim(1)
        pod.link.send(70)
        wait_for(lambda: [(q.redirected, q.passed) for q in self.admin.call(
            'GetStats', program_id=pod.program.id).queues] == [(0, 0), (0, 70)], 'the packets')
        h = self.hand_off(pod, queues=[1]).map()
        pod.link.send(30)
        h.receive(30)
        queues = self.admin.call('GetStats', program_id=pod.program.id).queues
        self.assertEqual([(q.redirected, q.passed, q.held) for q in queues],
                         [(0, 0, False), (30, 70, True)])


class Foreign(ProgramCase):
    """A program that is not ours is never replaced: its owner is named, and how it is attached."""

    def foreign(self, pod, *how):
        """Attach one by ip(8); Return: its id."""
        pod.netns.ip('link', 'set', 'eth0', how[0] if how else 'xdp', 'obj', Objects.path(PASS),
                     'sec', 'xdp')
        return self.attached(pod.netns)[0]

    def test_program_attached_by_netlink_is_named(self):
        for how in ('xdp', 'xdpgeneric'):
            pod = self.pod()
            id_ = self.foreign(pod, how)
            for mode in (0, 1, 2):
                with self.subTest(how=how, mode=mode), self.refused(
                        'ALREADY_EXISTS', fr"'passing' \(id {id_}, netlink attach.*xdp off"):
                    self.load(pod, mode=mode)
            self.assertEqual(self.attached(pod.netns)[0], id_)

    def test_program_attached_by_bpf_link_is_named(self):
        pod = self.pod()
        pin = f'{self.node.bpf_dir}/foreign'
        run('bpftool', 'prog', 'load', Objects.path(PASS), pin)
        self.addCleanup(os.unlink, pin)
        link = self.link_create(pod, pin)
        self.addCleanup(os.close, link)
        id_ = self.attached(pod.netns)[0]
        with open(f'/proc/self/fdinfo/{link}', encoding='ascii') as f:
            link_id = re.search(r'link_id:\t(\d+)', f.read()).group(1)
        with self.refused('ALREADY_EXISTS', fr"'passing' \(id {id_}, bpf_link {link_id}.*"
                                            fr'bpftool link detach id {link_id}'):
            self.load(pod)
        self.assertEqual(self.attached(pod.netns)[0], id_)

    def link_create(self, pod, pin):
        """BPF_LINK_CREATE by hand: bpftool of Debian 12 cannot attach XDP by link."""

        nr = {'x86_64': 321, 'aarch64': 280}.get(os.uname().machine)
        if nr is None:
            self.skipTest('the number of bpf(2) is not known here')
        path = ctypes.create_string_buffer(pin.encode())
        attr = ctypes.create_string_buffer(struct.pack('=QII', ctypes.addressof(path), 0, 0), 128)
        prog = client.libc.syscall(nr, 7, attr, 128)  # BPF_OBJ_GET
        self.assertGreaterEqual(prog, 0)
        try:
            def create():
                a = struct.pack('=IIII', prog, socket.if_nametoindex('eth0'), 37, 4)
                return client.libc.syscall(nr, 28, ctypes.create_string_buffer(a, 128), 128)
            link = client.in_netns(pod.path, create)
        finally:
            os.close(prog)
        self.assertGreaterEqual(link, 0)
        return link

    def test_when_it_is_gone_the_load_succeeds(self):
        pod = self.pod()
        self.foreign(pod)
        with self.refused('ALREADY_EXISTS'):
            self.load(pod)
        pod.netns.ip('link', 'set', 'eth0', 'xdp', 'off')
        self.load(pod)

    def test_ip_cannot_replace_ours(self):
        pod = self.pod()
        p = self.load(pod)
        with self.assertRaises(AssertionError):
            self.foreign(pod)
        with self.assertRaises(AssertionError):
            pod.netns.ip('link', 'set', 'eth0', 'xdp', 'off')
        self.assertEqual(self.attached(pod.netns)[0], p.id)

    def test_program_of_another_daemon_is_named(self):
        pod = self.pod()
        other = Node()
        self.addCleanup(lambda: self.assertEqual(other.destroy(), []))
        other.start()
        with other.admin() as admin, open(pod.path, 'rb') as ns:
            theirs = admin.call('LoadProgram', [ns.fileno()], netns_fd=1, interface='eth0').program
            with self.refused('ALREADY_EXISTS', f'id {theirs.id}, bpf_link {theirs.link_id}'):
                self.load(pod)
            admin.call('UnloadProgram', id=theirs.id)
        self.load(pod)


class Custom(ProgramCase):
    """Objects of the administrator's, sent as a descriptor."""

    def test_custom_program_receives(self):
        pod = self.pod()
        p = self.load_object(pod, GOOD)
        self.assertEqual((p.name, p.custom, p.map, p.map_entries), ('mine', True, 'xsks_map', 4))
        self.grant(pod)
        h = self.hand_off(pod).map()
        pod.link.send(50)
        self.assert_sequence(h.receive(50), 50)

    def test_map_of_another_name(self):
        pod = self.pod()
        source = HEAD + XSKMAP % ('', 'sockets') + REDIRECT % ('mine', 'sockets')
        with self.refused('INVALID_ARGUMENT', "no map 'xsks_map'"):
            self.load_object(pod, source)
        self.assertEqual(self.load_object(pod, source, map='sockets').map, 'sockets')

    def test_map_grows_to_the_number_of_queues(self):
        pod = self.pod(queues=8)
        self.assertEqual(self.load_object(pod, GOOD).map_entries, 8)

    def test_map_that_is_no_xskmap(self):
        pod = self.pod()
        source = HEAD + XSKMAP % ('', 'xsks_map') + REDIRECT % ('mine', 'xsks_map') + '''
            struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, int); __type(value, int);
                     __uint(max_entries, 1); } array SEC(".maps");
            void *used = &array;'''
        with self.refused('INVALID_ARGUMENT', "'array' of the object is no XSKMAP"):
            self.load_object(pod, source, map='array')

    def test_several_programs(self):
        pod = self.pod()
        source = HEAD + XSKMAP % ('', 'xsks_map') + REDIRECT % ('one', 'xsks_map') + \
            (REDIRECT % ('two', 'xsks_map'))
        with self.refused('INVALID_ARGUMENT', 'several XDP programs.*name one'):
            self.load_object(pod, source)
        self.assertEqual(self.load_object(pod, source, program='two').name, 'two')

    def test_function_that_is_not_there_or_no_xdp(self):
        pod = self.pod()
        source = GOOD + 'SEC("tc") int other(struct __sk_buff *skb) { return 0; }'
        with self.refused('INVALID_ARGUMENT', "no function 'nothing'"):
            self.load_object(pod, source, program='nothing')
        with self.refused('INVALID_ARGUMENT', "'other' of the object is no XDP program"):
            self.load_object(pod, source, program='other')
        self.load_object(pod, source)

    def test_object_without_xskmap(self):
        pod = self.pod()
        with self.refused('INVALID_ARGUMENT', 'xsks_map'):
            self.load_object(pod, PASS)
        self.assert_nothing_made(pod)

    def constants(self, **values):
        """Constants for a request: numbers, or bytes."""
        return [pb.Constant(name=k, **({'value': v} if isinstance(v, bytes) else {'number': v}))
                for k, v in values.items()]

    def test_constants_by_number_and_by_bytes(self):
        pod = self.pod()
        self.load_object(pod, CONSTANTS, constants=self.constants(
            small=200, medium=0xdeadbeef, large=b'\xfb' + b'\xff' * 7, key=b'\xaa\2\3\4\5\xff'))
        self.grant(pod)
        h = self.hand_off(pod).map()
        pod.link.send(20)
        self.assert_sequence(h.receive(20), 20)

    def test_negative_number(self):
        pod = self.pod()
        self.load_object(pod, CONSTANTS, constants=self.constants(
            small=200, medium=0xdeadbeef, large=-5, key=b'\xaa\2\3\4\5\xff'))
        self.grant(pod)
        h = self.hand_off(pod).map()
        pod.link.send(20)
        self.assert_sequence(h.receive(20), 20)

    def test_bad_constants(self):
        pod = self.pod()
        for values, text in (({'small': 256}, '256'), ({'small': -129}, '-129'),
                             ({'medium': 1 << 32}, 'medium'), ({'medium': b'123'}, '4 bytes'),
                             ({'large': b'1' * 9}, '8 bytes'), ({'key': 5}, 'key'),
                             ({'key': b'12345'}, '6 bytes'), ({'unknown': 1}, "'unknown'"),
                             ({'': 1}, 'no constant'), ({'LICENSE': b'x'}, 'LICENSE')):
            with self.subTest(values), self.refused('INVALID_ARGUMENT', text):
                self.load_object(pod, CONSTANTS, constants=self.constants(**values))
        self.assert_nothing_made(pod)

    def test_constants_of_an_object_that_has_none(self):
        pod = self.pod()
        with self.refused('INVALID_ARGUMENT', 'no constants'):
            self.load_object(pod, GOOD, constants=self.constants(small=1))

    def test_too_many_constants(self):
        pod = self.pod()
        with self.refused('INVALID_ARGUMENT', '65 constants'):
            self.load_object(pod, CONSTANTS, constants=[pb.Constant(name='small', number=1)] * 65)

    def test_verifiers_log_comes_back(self):
        pod = self.pod()
        with self.refused('INVALID_ARGUMENT', "refused the program 'mine'") as caught:
            self.load_object(pod, REFUSED)
        self.assertIn('invalid access to packet', caught.exception.log)
        self.assert_nothing_made(pod)

    def test_things_that_are_no_object(self):
        pod = self.pod()
        whole = open(Objects.path(GOOD), 'rb').read()
        r, w = os.pipe()
        os.write(w, whole[:4096])
        texts = {'text': b'#!/bin/sh\n', 'ELF of another kind': open('/bin/true', 'rb').read(),
                 'half': whole[:len(whole) // 2], 'header alone': whole[:64], 'empty': b'',
                 'zeros': bytes(10000), 'corrupt': whole[:40] + b'\xff' * 8 + whole[48:]}
        fds = {'pipe': r, 'directory': os.open('/', os.O_RDONLY), 'device': os.open('/dev/zero', 0),
               'write-only file': os.open(self.node.dir + '/wo', os.O_WRONLY | os.O_CREAT),
               'path': os.open('/etc/passwd', os.O_PATH)}
        os.write(fds['write-only file'], b'x')
        for name, data in texts.items():
            fds[name] = client.memfd(0)
            os.write(fds[name], data)
        self.addCleanup(lambda: client.close_all([w, *fds.values()]))
        for name, fd in fds.items():
            with self.subTest(name), self.refused('INVALID_ARGUMENT'):
                self.load_object(pod, fd)
        self.assert_nothing_made(pod)

    def test_object_of_gibibytes(self):
        pod = self.pod()
        fd = client.memfd(4 << 30, allocate=False)
        self.addCleanup(os.close, fd)
        with self.refused('INVALID_ARGUMENT', 'bytes'):
            self.load_object(pod, fd)

    def test_object_is_read_from_its_start(self):
        pod = self.pod()
        with open(Objects.path(GOOD), 'rb') as f:
            f.seek(100)
            self.load_object(pod, f.fileno())

    def test_pinned_map_of_an_object_is_not_shared(self):
        a, b = self.pod(), self.pod()
        source = HEAD + \
            XSKMAP % ('__uint(pinning, LIBBPF_PIN_BY_NAME);', 'xsks_map') + \
            REDIRECT % ('mine', 'xsks_map')
        p, q = self.load_object(a, source), self.load_object(b, source)
        self.assertNotEqual(p.map_id, q.map_id)
        self.assertFalse(os.path.exists('/sys/fs/bpf/xsks_map'))


class Unload(ProgramCase):
    """UnloadProgram, and what ends a program otherwise."""

    def test_unload_detaches_and_removes_the_pins(self):
        pod = self.pod()
        p = self.load_object(pod, GOOD)
        self.admin.call('UnloadProgram', id=p.id)
        self.assert_nothing_made(pod)
        wait_for(lambda: 'id ' not in run('bpftool', 'prog', 'show', 'id', str(p.id), check=False),
                 'the kernel to forget the program')

    def test_unload_by_interface(self):
        pod = self.pod()
        self.load(pod)
        self.unload(pod)
        self.assert_nothing_made(pod)

    def test_unload_of_what_is_not_there(self):
        pod = self.pod()
        with self.refused('NOT_FOUND'):
            self.admin.call('UnloadProgram', id=4242424)
        with self.refused('NOT_FOUND'):
            self.unload(pod)
        with self.refused('INVALID_ARGUMENT'):
            self.admin.call('UnloadProgram')

    def test_unload_while_a_socket_receives(self):
        pod = self.ready_pod()
        h = self.hand_off(pod).map()
        with self.refused('FAILED_PRECONDITION', 'force'):
            self.admin.call('UnloadProgram', id=pod.program.id)
        pod.link.send(20)
        self.assert_sequence(h.receive(20), 20)
        self.admin.call('UnloadProgram', id=pod.program.id, force=True)
        self.assertIsNone(self.attached(pod.netns))

    def test_unload_after_the_holder_has_ended(self):
        pod = self.ready_pod()
        h = self.hand_off(pod)
        h.close()
        wait_for(lambda: not self.admin.sockets(), 'the ledger')
        self.admin.call('UnloadProgram', id=pod.program.id)

    def test_load_again_after_unload(self):
        pod = self.ready_pod()
        self.admin.call('UnloadProgram', id=pod.program.id)
        self.load(pod)
        h = self.hand_off(pod).map()
        pod.link.send(20)
        self.assert_sequence(h.receive(20), 20)

    def test_unload_has_detached_when_it_answers(self):
        pod = self.pod()
        calls = ['LoadProgram', 'UnloadProgram'] * 20
        with open(pod.path, 'rb') as ns:
            # One behind the other, with no time between: calls on an interface are in order.
            ids = [self.admin.start(call, [ns.fileno()], netns_fd=1, interface='eth0')
                   for call in calls]
            for call, i in zip(calls, ids):
                self.admin.wait(i, call)

    def test_interface_removed_from_the_host_while_loaded(self):
        Link(self.node.host, 'nic0', self.pod(link=False).netns)
        self.admin.call('LoadProgram', interface='nic0')
        self.node.host.ip('link', 'del', 'nic0')
        wait_for(lambda: all(not p.ifindex for p in self.admin.programs()),
                 'the daemon to notice')
        Link(self.node.host, 'nic0', self.pod(link=False).netns)
        wait_for(lambda: all(not p.ifindex for p in self.admin.programs()))
        self.admin.call('LoadProgram', interface='nic0')

    def test_interface_removed_while_loaded(self):
        pod = self.pod()
        p = self.load(pod)
        pod.netns.ip('link', 'del', 'eth0')
        wait_for(lambda: all(not p.ifindex for p in self.admin.programs()),
                 'the daemon to notice')
        with contextlib.suppress(Refused):
            self.admin.call('UnloadProgram', id=p.id)
        self.assertEqual(self.admin.programs(), [])

    def test_interface_made_anew_with_the_same_name_can_be_loaded(self):
        pod = self.pod()
        first = self.load(pod)
        pod.netns.ip('link', 'del', 'eth0')
        Link(pod.netns, 'eth0', pod.peer)
        second = wait_for(lambda: self.try_load(pod), 'a program on the new interface',
                          step=0.05)
        self.assertNotEqual(first.id, second.id)
        self.assertEqual(self.attached(pod.netns)[0], second.id)

    def try_load(self, pod):
        """The program; None while the old one is still known."""
        try:
            return self.load(pod)
        except Refused as e:
            self.assertEqual(e.code, 'ALREADY_EXISTS')
            return None

    def test_interface_that_went_while_the_daemon_was_down(self):
        pod = self.pod()
        self.load(pod)
        self.node.stop()
        pod.netns.ip('link', 'del', 'eth0')
        self.node.start()
        self.admin = self.node.admin()
        self.assertEqual(self.admin.programs(), [])
        self.assertEqual(self.node.pins(), [])

    def test_program_somebody_else_detached(self):
        pod = self.pod()
        p = self.load(pod)
        run('bpftool', 'link', 'detach', 'id', str(p.link_id))
        self.assertIsNone(self.attached(pod.netns))
        self.take_back(p)  # unless the daemon has noticed
        self.load(pod)


class Lists(ProgramCase):
    """GetProgram and ListPrograms."""

    def test_get_by_id_and_by_interface(self):
        pod = self.pod()
        p = self.load(pod)
        self.assertEqual(self.admin.call('GetProgram', id=p.id).program, p)
        with open(pod.path, 'rb') as ns:
            self.assertEqual(self.admin.call('GetProgram', [ns.fileno()], interface='eth0',
                                             netns_fd=1).program, p)
        with self.refused('NOT_FOUND'):
            self.admin.call('GetProgram', interface='eth0')
        with self.refused('NOT_FOUND'):
            self.admin.call('GetProgram', id=p.id + 100000)

    def test_list_is_what_the_kernel_has(self):
        pods = [self.pod() for _ in range(3)]
        programs = [self.load(pod) for pod in pods]
        self.assertEqual(sorted(p.id for p in self.admin.programs()),
                         sorted(self.attached(pod.netns)[0] for pod in pods))
        self.assertEqual({p.map_id for p in programs}, {p.map_id for p in self.admin.programs()})
        self.assertEqual(len({p.map_id for p in programs}), 3)

    def test_many_programs_come_in_pages(self):
        ns = self.pod(link=False).netns
        n = 40
        run('ip', '-n', ns.name, '-batch', '-', input='\n'.join(
            f'link add device-{i:03} type veth peer name peer-{i:03}' for i in range(n)))
        with open(ns.path, 'rb') as f:
            ids = [self.admin.start('LoadProgram', [f.fileno()], interface=f'device-{i:03}',
                                    netns_fd=1, mode=pb.XDP_MODE_GENERIC) for i in range(n)]
        loaded = {self.admin.wait(i)[0].program.id for i in ids}
        programs, _ = self.admin.pages('ListPrograms', 'programs')
        self.assertEqual({p.id for p in programs}, loaded)
        self.assertEqual(len(programs), n)
        after = sorted(loaded)[n // 2]
        page = self.admin.call('ListPrograms', after=after).programs
        self.assertEqual([p.id for p in page], [i for i in sorted(loaded) if i > after])
        self.assertEqual(list(self.admin.call('ListPrograms', after=2**64 - 1).programs), [])


if __name__ == '__main__':
    tap.main()
