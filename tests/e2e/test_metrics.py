# SPDX-License-Identifier: Apache-2.0
"""The metrics: that the numbers are right, and that nobody who asks for them holds up the daemon."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
import unittest

import tap
from node import TOP, Client, Closed, Link, Netns, Node, TestCase, in_netns, wait_for
from scrape import Metrics, connection, get, promtool, scrape, tcp_socket, unix_socket

PORT = 9464
PROMETHEUS = f'{TOP}/deploy/prometheus'
INSIDE_MAX = 32  # server/exporter.c


class Numbers(TestCase):
    """What happened is what is told."""

    config = json.dumps({'limits': {'socketsPerLease': 1, 'connectionsPerNetns': 4}})

    def test_each_call_is_counted_once(self):
        before = scrape(self.node)
        for _ in range(7):
            self.admin.call('GetInfo')
        for _ in range(3):
            with self.refused('NOT_FOUND'):
                self.admin.call('UnloadProgram', id=1)
        after = scrape(self.node)

        def more(name, **labels):
            return after(name, **labels) - before(name, **labels)
        self.assertEqual(more('xskd_calls_total', method='GetInfo', code='OK'), 7)
        self.assertEqual(more('xskd_calls_total', method='UnloadProgram', code='NOT_FOUND'), 3)
        self.assertEqual(more('xskd_calls_total', method='UnloadProgram', code='OK'), 0)
        self.assertEqual(more('xskd_denied_calls_total'), 3)
        for method, n in (('GetInfo', 7), ('UnloadProgram', 3)):
            self.assertEqual(more('xskd_call_duration_seconds_count', method=method), n)
            self.assertEqual(
                more('xskd_call_duration_seconds_bucket', method=method, le='+Inf'), n)
            self.assertGreater(more('xskd_call_duration_seconds_sum', method=method), 0)

    def test_histograms_are_whole(self):
        m = scrape(self.node)
        for labels in m.labels('xskd_call_duration_seconds_count'):
            le = sorted((float(x['le']), m('xskd_call_duration_seconds_bucket', **x))
                        for x in m.labels('xskd_call_duration_seconds_bucket')
                        if x['method'] == labels['method'])
            counts = [n for _, n in le]
            self.assertEqual(counts, sorted(counts), labels)
            self.assertEqual(counts[-1], m('xskd_call_duration_seconds_count', **labels))

    def test_what_there_is(self):
        pod = self.ready_pod(queues=2)
        h = self.hand_off(pod, size=1 << 20, queues=[1], keep=True)
        watcher = self.node.admin()
        self.addCleanup(watcher.close)
        watcher.watch()
        m = scrape(self.node)
        self.assertEqual(m('xskd_leases', mode='device'), 1)
        self.assertEqual(m('xskd_leases', mode='queue'), 0)
        self.assertEqual(m('xskd_leased_queues'), 2)
        self.assertEqual(sum(m('xskd_programs', **x) for x in m.labels('xskd_programs')), 1)
        self.assertEqual(m('xskd_programs', mode='native', kind='default'), 1)
        self.assertEqual(m('xskd_sockets', state='kept'), 1)
        self.assertEqual(m('xskd_sockets', state='held'), 0)
        self.assertEqual(m('xskd_umem_bytes'), 1 << 20)
        self.assertEqual(m('xskd_watchers'), 1)
        self.assertEqual(m('xskd_connections', socket='pod'), 1)
        self.assertEqual(m('xskd_connections', socket='admin'), 2)
        self.assertEqual(m('process_max_fds'), self.node_limit())
        self.assertAlmostEqual(m('process_start_time_seconds'), time.time(), delta=600)
        self.assertGreater(m('process_resident_memory_bytes'), 1 << 20)
        self.assertNotIn(pod.container, m.text)
        h.close()
        self.admin.call('RevokeLease', container=pod.container)
        m = scrape(self.node)
        self.assertEqual(m('xskd_leases', mode='device'), 0)
        self.assertEqual(m('xskd_umem_bytes'), 0)
        self.assertEqual(m('xskd_events_sent_total'), 1)  # the end of the lease
        self.assertEqual(m('xskd_events_dropped_total'), 0)

    def node_limit(self):
        """Of its open files."""
        with open(f'/proc/{self.node.process.pid}/limits', encoding='ascii') as f:
            return int(re.search(r'Max open files +(\d+)', f.read())[1])

    def test_open_fds_are_counted(self):
        with contextlib.closing(connection(unix_socket(self.node))) as c:
            for _ in range(2):
                c.request('GET', '/metrics')
                m = Metrics(c.getresponse().read().decode())
                self.assertEqual(m('process_open_fds'), self.node.settled_fds())

    def test_packets_in_a_pod(self):
        before = scrape(self.node)
        pod = self.ready_pod()
        receiver = pod.receive('--count', '500')
        pod.link.send(500)
        receiver.communicate(timeout=30)
        pod.link.send(40)  # nobody is there any more: to the stack
        passed = 'xskd_pod_passed_packets_total'
        wait_for(lambda: scrape(self.node)(passed) >= before(passed) + 40, 'the packets')
        m = scrape(self.node)
        self.assertEqual(m('xskd_pod_redirected_packets_total'),
                         before('xskd_pod_redirected_packets_total') + 500)
        self.assertEqual(m('xskd_pod_passed_packets_total'),
                         before('xskd_pod_passed_packets_total') + 40)
        self.assertEqual(m.labels('xskd_queue_passed_packets_total'), [])
        # What it counted stays when it goes, or rate() would take the fall for a restart.
        self.unload(pod, force=True)
        again = scrape(self.node)
        for name in ('xskd_pod_redirected_packets_total', 'xskd_pod_passed_packets_total'):
            self.assertEqual(again(name), m(name))

    def test_drops_of_a_kept_socket(self):
        before = scrape(self.node)
        pod = self.ready_pod()
        self.hand_off(pod, keep=True)  # its fill ring stays empty: nothing can be received
        pod.link.send(30)
        m = wait_for(lambda: self.all_there(before, 30), 'the drops')
        self.assertEqual(m('xskd_pod_redirected_packets_total'),
                         before('xskd_pod_redirected_packets_total') + 30)

    def all_there(self, before, n):
        """A scrape in which a kept socket has lost n packets, in whatever way this kernel counts."""
        m = scrape(self.node)
        names = ('xskd_kept_socket_rx_dropped_total', 'xskd_kept_socket_fill_ring_empty_total')
        return m if max(m(x) - before(x) for x in names) == n else None

    def test_limits(self):
        pod = self.ready_pod(queues=2)
        self.hand_off(pod, queues=[0])
        before = scrape(self.node)
        with self.refused('RESOURCE_EXHAUSTED'):
            pod.client().hand_off('eth0', queues=[1])
        after = scrape(self.node)
        self.assertEqual(after('xskd_limit', limit='sockets_per_lease'), 1)
        self.assertEqual(after('xskd_limit_hits_total', limit='sockets_per_lease') -
                         before('xskd_limit_hits_total', limit='sockets_per_lease'), 1)
        self.assertEqual(after('xskd_limit_hits_total', limit='umem_bytes_per_lease') -
                         before('xskd_limit_hits_total', limit='umem_bytes_per_lease'), 0)

    def test_connections_that_are_refused(self):
        pod = self.pod(link=False)
        before = scrape(self.node)
        for _ in range(4):
            pod.client().call('GetInfo')
        for _ in range(3):
            c = pod.client()
            with self.assertRaises((OSError, Closed)):
                c.call('GetInfo')
        after = scrape(self.node)
        for name, n in (('accepted', 4), ('refused', 3)):
            name = f'xskd_connections_{name}_total'
            self.assertEqual(after(name, socket='pod') - before(name, socket='pod'), n)
        limit = {'limit': 'connections_per_netns'}
        self.assertEqual(after('xskd_limit_hits_total', **limit) -
                         before('xskd_limit_hits_total', **limit), 3)

    def test_the_manual_names_them_all(self):
        with open(f'{TOP}/deploy/man/xskd.8', encoding='utf-8') as f:
            manual = f.read().partition('.Sh METRICS')[2].partition('.Sh SEC')[0]
        told = set(re.findall(r'\b((?:xskd|process)_\w+)', manual)) - {'xskd_queue_packets'}
        there = {f.name + ('_total' if f.type == 'counter' else '')
                 for f in scrape(self.node).families.values()}
        self.assertEqual(told ^ there, set())

    def test_garbage_is_counted(self):
        before = scrape(self.node)
        for data in (b'\0' * 10, b'\xff' * 100):
            c = Client(self.node.pod_path)
            self.addCleanup(c.close)
            c.send_raw(data)
            self.assertEqual(c.sock.recv(1), b'')
        after = scrape(self.node)
        self.assertEqual(after('xskd_malformed_packets_total') -
                         before('xskd_malformed_packets_total'), 2)


    def test_info_tells_the_same_to_a_person(self):
        pod = self.ready_pod(queues=2)
        self.hand_off(pod, queues=[0], size=1 << 20)
        with self.refused('RESOURCE_EXHAUSTED'):
            pod.client().hand_off('eth0', queues=[1])
        m = scrape(self.node)
        done = self.node.ctl('-o', 'json', 'info')
        self.assertEqual(done.returncode, 0, done.stderr)
        info = json.loads(done.stdout)
        calls = {frozenset(x.items()): m('xskd_calls_total', **x)
                 for x in m.labels('xskd_calls_total')}
        # One more by then: GetInfo, asked for the limits and the version.
        self.assertEqual(info['calls'], sum(calls.values()) + 1)
        self.assertEqual(info['failed_calls'], sum(
            n for x, n in calls.items() if ('code', 'OK') not in x))
        self.assertEqual(info['denied_calls'], m('xskd_denied_calls_total'))
        self.assertEqual(info['umem_bytes'], 1 << 20)
        self.assertEqual(info['limits_hit']['sockets_per_lease'],
                         m('xskd_limit_hits_total', limit='sockets_per_lease'))
        self.assertEqual(info['reconciled']['leases_stale'],
                         m('xskd_reconciled_total', what='lease_stale'))
        text = self.node.ctl('info').stdout
        self.assertRegex(text, r'(?m)^UMEM +1 MiB$')
        self.assertRegex(text, r'(?m)^LIMITS HIT +.*sockets_per_lease=')
        self.assertRegex(text, r'(?m)^RECONCILED +state_files_set_aside=0,')
        with pod.client() as c:
            self.assertFalse(c.call('GetInfo').HasField('activity'))


class HostQueues(TestCase):
    """A device of the host, shared by queues: series of its own for each queue."""

    def test_packets_by_queue(self):
        pod = self.pod(queues=3)
        # The same kind of pair, but with this end in the daemon's namespace.
        host_link = self.host_link()
        self.admin.call('LoadProgram', interface='nic0')
        m = scrape(self.node)
        self.assertEqual(sorted(x['queue'] for x in m.labels('xskd_queue_passed_packets_total')),
                         ['0', '1', '2'])
        host_link.aim(2)
        host_link.send(77)

        def counted(what):
            return scrape(self.node)(f'xskd_queue_{what}_packets_total', device='nic0', queue=2)
        wait_for(lambda: counted('passed') >= 77, 'the packets')
        m = scrape(self.node)
        self.assertEqual(m('xskd_queue_passed_packets_total', device='nic0', queue=2), 77)
        self.assertEqual(m('xskd_queue_passed_packets_total', device='nic0', queue=0), 0)
        self.assertEqual(m('xskd_queue_redirected_packets_total', device='nic0', queue=2), 0)
        self.grant(pod, device='nic0', queues=[2])
        self.hand_off(pod)
        host_link.send(33)
        wait_for(lambda: counted('redirected') >= 33, 'the packets')
        m = scrape(self.node)
        self.assertEqual(m('xskd_queue_redirected_packets_total', device='nic0', queue=2), 33)
        self.assertEqual(m('xskd_queue_passed_packets_total', device='nic0', queue=2), 77)
        self.assertEqual(m('xskd_leases', mode='queue'), 1)
        # A restart changes nothing of these: they are the kernel's.
        starts = scrape(self.node)('xskd_starts_total')
        self.node.restart()
        again = scrape(self.node)
        self.assertEqual(again('xskd_starts_total'), starts + 1)
        self.assertEqual(again('xskd_queue_redirected_packets_total', device='nic0', queue=2), 33)
        self.assertEqual(again('xskd_reconciled_total', what='program_restored'), 1)
        self.assertEqual(again('xskd_reconciled_total', what='lease_restored'), 1)
        self.assertEqual(again('xskd_reconciled_total', what='socket_found'), 1)

    def host_link(self):
        """A pair with one end, nic0, in the daemon's namespace; gone after the test."""
        peer = Netns('s')
        self.namespaces.append(peer)
        link = Link(self.node.host, 'nic0', peer, 3)
        self.addCleanup(lambda: self.node.host.ip('link', 'del', 'nic0'))
        return link


def listening(node):
    """TCP ports of the daemon's namespace that are listened at."""
    out = subprocess.run(['nsenter', f'--net={node.host.path}', 'ss', '-Htln'], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    return sorted(line.split()[3] for line in out.splitlines())


class Doors(TestCase):
    """Who may ask, and where."""

    def test_only_its_owner_may_connect(self):
        mode = os.stat(f'{self.node.run_dir}/admin/metrics.sock').st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o600)

    def test_no_port_is_open_unless_configured(self):
        self.assertEqual(listening(self.node), [])

    def test_tcp_and_unix_tell_the_same(self):
        for address, name in (('127.0.0.1', f'127.0.0.1:{PORT}'), ('::1', f'[::1]:{PORT}')):
            with self.subTest(address=address):
                node = Node(json.dumps({'metrics': {'listen': name}}))
                try:
                    node.host.ip('link', 'set', 'lo', 'up')
                    node.start()
                    self.assertEqual(listening(node), [name])
                    m = scrape(node, stream=tcp_socket(node, PORT, address))
                    self.assertEqual(m.families.keys(), scrape(node).families.keys())
                    node.restart()  # the port is free at once
                finally:
                    self.assertEqual(node.destroy(), [])

    def test_a_port_that_is_taken_is_told(self):
        node = Node(json.dumps({'metrics': {'listen': f'127.0.0.1:{PORT}'}}))
        try:
            node.host.ip('link', 'set', 'lo', 'up')
            taken = in_netns(node.host.path,
                             lambda: socket.create_server(('127.0.0.1', PORT)))
            with taken, self.assertRaises(AssertionError):
                node.start()
            self.assertRegex(node.log_since(0), f'cannot listen on 127.0.0.1:{PORT}.*in use')
            self.assertEqual(node.process.wait(10), 1)
        finally:
            self.assertEqual(node.destroy(), [])

    def test_what_is_asked_for(self):
        for method, path, status in (
                ('GET', '/metrics', 200), ('HEAD', '/metrics', 200), ('GET', '/metrics?a=b', 200),
                ('GET', '/', 200), ('GET', '/metric', 404), ('GET', '/metricsx', 404),
                ('GET', '/metrics/', 404), ('GET', '/' + 'x' * 4000, 404),
                ('GET', '/../metrics', 404), ('POST', '/metrics', 405), ('PUT', '/', 405),
                ('DELETE', '/x', 405), ('OPTIONS', '/metrics', 405)):
            with self.subTest(method=method, path=path[:20]):
                r, text = get(self.node, path, method)
                self.assertEqual(r.status, status)
                self.assertEqual(bool(text), method != 'HEAD')
                self.assertEqual(r.getheader('Allow'), 'GET, HEAD' if status == 405 else None)
        r, _ = get(self.node)
        self.assertEqual(r.getheader('Content-Type'), 'text/plain; version=0.0.4; charset=utf-8')

    def test_bodies_are_not_taken(self):
        for method, status in (('GET', 413), ('POST', 405)):
            r, _ = get(self.node, method=method, body=b'x' * 100000)
            self.assertEqual((r.status, r.getheader('Connection')), (status, 'close'))
        r, _ = get(self.node, body=iter([b'chunk'] * 3), encode_chunked=True,
                   headers={'Transfer-Encoding': 'chunked'})
        self.assertEqual(r.status, 413)


class Scrapers(TestCase):
    """Those who ask in ways that nobody should."""

    def exchange(self, data, half_close=False):
        """Send bytes, read until the end."""
        with contextlib.closing(unix_socket(self.node)) as s:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
            out = b''
            while chunk := s.recv(65536):
                out += chunk
            return out

    def test_one_connection_many_requests(self):
        with contextlib.closing(connection(unix_socket(self.node))) as c:
            for path in ('/metrics', '/', '/none', '/metrics'):
                c.request('GET', path)
                r = c.getresponse()
                r.read()
                self.assertEqual(r.getheader('Connection'), 'keep-alive')

    def test_requests_in_one_packet(self):
        one = b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
        last = b'GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n'
        out = self.exchange(one * 40 + last)
        self.assertEqual(out.count(b'HTTP/1.1 200 OK'), 41)
        self.assertTrue(out.rstrip().splitlines()[-1].startswith(b'process_'))

    def test_a_request_in_bytes(self):
        with contextlib.closing(unix_socket(self.node)) as s:
            for byte in b'GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n':
                s.sendall(bytes([byte]))
            self.assertTrue(s.recv(100).startswith(b'HTTP/1.1 200 OK\r\n'))

    def test_a_client_that_has_said_all(self):
        self.assertIn(b'xskd_build_info', self.exchange(b'GET /metrics HTTP/1.0\r\n\r\n', True))

    def test_no_http(self):
        for data in (b'\0' * 100, b'hello\r\n\r\n', b'GET\r\n\r\n',
                     b'GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n',
                     b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'):
            with self.subTest(data=data[:20]):
                self.assertTrue(self.exchange(data).startswith(b'HTTP/1.1 400 '))
        for data in (b'GET / HTTP/9.9\r\n\r\n', b'GET /\r\n\r\n'):
            self.assertTrue(self.exchange(data).startswith(b'HTTP/1.1 505 '))

    def test_a_huge_head_is_refused(self):
        for data in (b'GET / HTTP/1.1\r\n' + b'X: y\r\n' * 100000,
                     b'GET /' + b'x' * 100000, b'GET / HTTP/1.1\r\nX: ' + b'y' * 100000):
            with self.subTest(data=data[:20]), contextlib.closing(unix_socket(self.node)) as s:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    s.sendall(data)
                self.assertTrue(s.recv(100).startswith(b'HTTP/1.1 431 '))

    def test_two_hundred_at_once(self):
        answers = []

        def ask():
            answers.append(scrape(self.node)('xskd_build_info', version=self.version()))
        threads = [threading.Thread(target=ask) for _ in range(200)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        self.assertEqual(answers, [1] * 200)

    def version(self):
        """Of the daemon."""
        with self.node.admin() as c:
            return c.call('GetInfo').version

    def test_slow_ones_do_not_hold_up_the_others(self):
        """As many as may be inside, that ask and never read, or never ask: they have ten seconds."""
        slow = [unix_socket(self.node) for _ in range(INSIDE_MAX + 8)]
        for i, s in enumerate(slow):
            self.addCleanup(s.close)
            s.sendall(b'GET /metrics HTTP/1.1\r\n' + (b'\r\n' * (i % 2)))
        began = time.monotonic()
        self.assert_serves()
        self.assertLess(time.monotonic() - began, 5)
        self.assertLessEqual(self.node.n_fds(), self.fds_before + INSIDE_MAX + 10)
        scrape(self.node)  # behind them, when their time is over
        self.assertLess(time.monotonic() - began, 30)

    def test_what_is_not_read_is_not_kept(self):
        """Requests without end, and not an answer read."""
        with contextlib.closing(unix_socket(self.node)) as s:
            s.setblocking(False)
            request = b'GET /metrics HTTP/1.1\r\n\r\n'
            sent, quiet = 0, time.monotonic()
            while time.monotonic() - quiet < 1 and sent < 50 << 20:
                try:
                    sent += s.send(request * 100)
                    quiet = time.monotonic()
                except BlockingIOError:
                    time.sleep(0.01)
                except (BrokenPipeError, ConnectionResetError):
                    break
            self.assertLess(sent, 5 << 20)
        self.assertLess(scrape(self.node)('process_resident_memory_bytes'), 1 << 30)

    def test_those_that_go_away(self):
        for data in (b'', b'GET', b'GET /metrics HTTP/1.1\r\n\r\n'):
            for _ in range(50):
                s = unix_socket(self.node)
                s.sendall(data)
                s.close()
        scrape(self.node)

    def test_the_end_of_the_daemon_does_not_wait_for_them(self):
        s = unix_socket(self.node)
        self.addCleanup(s.close)
        s.sendall(b'GET /metr')
        t = unix_socket(self.node)
        self.addCleanup(t.close)
        t.sendall(b'GET /metrics HTTP/1.1\r\n\r\n')
        t.recv(1)  # so the first one has been let in, too
        self.node.restart(signal.SIGTERM)
        self.assertEqual(s.recv(1), b'')


class Textfile(TestCase):
    """deploy/prometheus/xskd-textfile.sh, for node_exporter."""

    def script(self, out, socket_path):
        """Run it; Return: its exit status."""
        return subprocess.run([f'{PROMETHEUS}/xskd-textfile.sh', out, socket_path], check=False,
                              stderr=subprocess.DEVNULL, timeout=30).returncode

    def test_what_node_exporter_gets(self):
        with tempfile.TemporaryDirectory(prefix='xskd-textfile-') as out:
            self.assertEqual(self.script(out, f'{self.node.run_dir}/admin/metrics.sock'), 0)
            self.assertEqual(os.listdir(out), ['xskd.prom'])
            with open(f'{out}/xskd.prom', encoding='utf-8') as f:
                m = Metrics(f.read())
            whole = scrape(self.node)
            self.assertEqual(m('xskd_start_time_seconds'), whole('process_start_time_seconds'))
            self.assertEqual([n for n in m.families if n.startswith('process_')], [])
            self.assertEqual({n for n in whole.families if n.startswith('xskd_')},
                             m.families.keys() - {'xskd_start_time_seconds'})
            # Without an answer the old one goes.
            self.assertNotEqual(self.script(out, f'{self.node.run_dir}/admin/none.sock'), 0)
            self.assertEqual(os.listdir(out), [])


class Promtool(TestCase):
    """What Prometheus itself says."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.promtool, made = promtool()
        if made:
            cls.addClassCleanup(shutil.rmtree, made, True)
        if not cls.promtool:
            raise unittest.SkipTest('no promtool here, and package prometheus cannot be fetched')

    def check(self, *args, **kw):
        """Run it; it says nothing where nothing is wrong."""
        done = subprocess.run([self.promtool, 'check', *args], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, **kw)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_metrics(self):
        pod = self.ready_pod()
        self.hand_off(pod, keep=True)
        self.admin.call('LoadProgram', interface='lo')
        self.assertEqual(self.check('metrics', input=scrape(self.node).text), '')

    def test_what_deploy_has(self):
        self.assertIn('SUCCESS', self.check('rules', f'{PROMETHEUS}/rules.yaml'))
        self.assertIn('SUCCESS', self.check('config', f'{PROMETHEUS}/scrape.yaml'))

    def test_alerts_are_on_metrics_that_there_are(self):
        names = {s for s, _ in scrape(self.node).samples} | {'up'}
        with open(f'{PROMETHEUS}/rules.yaml', encoding='utf-8') as f:
            used = set(re.findall(r'(\w+){job=', f.read()))
        self.assertTrue(used)
        self.assertEqual(used - names, set())


if __name__ == '__main__':
    tap.main()
