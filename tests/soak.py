# SPDX-License-Identifier: Apache-2.0
"""A node under load for minutes, while daemon, plugin and clients are killed at random.

Pods in device and in queue mode come and go, by the CNI plugin and by hand; clients hand off,
release, vanish; programs are loaded and unloaded; somebody sends garbage; the daemon is killed and
started. All the while some receivers are let alone: they must get each packet, by its number. In the
end all is as it was at the beginning, and no sanitizer has said a word.

    soak.py --build DIR --minutes N [--seed S]

A seed repeats the draws of a run, not the times at which things happen. Prints a line a minute, a
table, and TAP.
"""
import argparse
import collections
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))


def arguments():
    """Before the imports, which want to know the build directory."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--build', default=os.path.join(os.path.dirname(HERE), 'build'))
    parser.add_argument('--minutes', type=float, default=1)
    parser.add_argument('--seed', type=int, default=random.randrange(1 << 32))
    return parser.parse_args()


ARGS = arguments()
os.environ['XSKD_BUILD'] = ARGS.build
sys.path.insert(0, f'{HERE}/e2e')

import node  # noqa: E402
import plugins  # noqa: E402
from node import Closed, Link, Netns, Node, Pod, Refused, client, end, wait_for  # noqa: E402
from test_cni_rounds import GRACE, RoundPod  # noqa: E402

# Of pods. Nobody else's: the kernel counts the fds that are on their way by the uid of the sender.
node.NOBODY = 65033
RATE = 1000         # packets per second for each receiver: what it holds on a busy machine
RING = '8192'       # so that it may be kept waiting for 8 seconds
PATIENCE = 30.0     # seconds that anything may take at most
REPORTS = ('Sanitizer', 'runtime error:')
# What a daemon that has just been killed does to those who talk to it.
HUNG_UP = (Closed, OSError)


def reconcile(on):
    """What the daemon's unit does after a start: end what pods could not end without a daemon."""
    done = subprocess.run(
        ['nsenter', f'--net={on.host.path}', plugins.XSKD_CNI, 'reconcile', '--socket-dir',
         on.run_dir], stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    if done.returncode:
        raise AssertionError(f'xskd-cni reconcile: {done.returncode}: {done.stderr}')


class Daemon:
    """The daemon and its deaths."""

    def __init__(self, soak_dir_config):
        self.node = Node(soak_dir_config)
        self.node.start()
        self.lock = threading.Lock()
        self.down, self.up = [], [0.0]

    def was_down(self, since):
        """Whether it was away at any time from then on; a little later it may still be busy."""
        with self.lock:
            return len(self.down) == len(self.up) or self.up[-1] > since

    def end(self, sig, seconds):
        """End it, and start it again after that time."""
        if not self.node.alive():
            raise AssertionError(f'the daemon has ended by itself: {self.node.process.returncode}')
        with self.lock:
            self.down.append(time.monotonic())
        status = self.node.stop(sig, timeout=60)
        time.sleep(seconds)
        self.node.start(timeout=60)
        reconcile(self.node)
        with self.lock:
            self.up.append(time.monotonic())
        if status != (0 if sig == signal.SIGTERM else -sig):
            raise AssertionError(f'the daemon ended by signal {sig} with {status}')


class Actor(threading.Thread):
    """Somebody who does the same again and again, with draws of his own."""

    def __init__(self, soak, name):
        super().__init__(name=name)
        self.soak, self.node, self.counts = soak, soak.node, soak.counts
        self.random = random.Random(f'{ARGS.seed} {name}')

    def run(self):
        try:
            while not self.soak.over():
                self.round()
            self.finish()
        except BaseException:  # told at the end; the others stop
            self.soak.fail(f'{self.name}: {traceback.format_exc()}')

    def round(self):
        """Once."""
        raise NotImplementedError

    def finish(self):
        """Take away what is there."""

    def until(self, attempt, what, again=(), done=()):
        """attempt() until it works. It has no excuse but a dead daemon and the codes of `again`.

        Those of `done` say that it has worked before: that answer has died with the daemon.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            began = time.monotonic()
            try:
                return attempt()
            except HUNG_UP as e:
                if not self.soak.daemon.was_down(began):
                    raise AssertionError(f'{what}: hung up on: {e!r}') from e
            except Refused as e:
                if e.code in done:
                    return None
                if e.code not in again and not self.soak.daemon.was_down(began):
                    raise
                if began > deadline:
                    raise
            time.sleep(0.05)

    def admin_call(self, call, fds=(), again=(), **fields):
        """One call of an administrator's, on a connection of its own."""
        done = {'LoadProgram': ('ALREADY_EXISTS',), 'UnloadProgram': ('NOT_FOUND',),
                'RevokeLease': ('NOT_FOUND',)}

        def attempt():
            with self.node.admin() as admin:
                return admin.call(call, fds, **fields)
        return self.until(attempt, call, again, done.get(call, ()))

    def in_pod(self, call, pod, again=(), **fields):
        """A call that names the pod's namespace."""
        with open(pod.path, 'rb') as ns:
            return self.admin_call(call, [ns.fileno()], again, netns_fd=1, **fields)

    def gone(self, what, container):
        """Wait until a container has no lease any more."""
        def look():
            with contextlib.suppress(*HUNG_UP), self.node.admin() as admin:
                return container not in [lease.container for lease in admin.leases()]
            return False
        wait_for(look, f'the end of {container}, {what}', PATIENCE, 0.05)


class Killer(Actor):
    """Ends the daemon: more often than not without a word."""

    def round(self):
        time.sleep(self.random.uniform(1, 6))
        sig = signal.SIGKILL if self.random.random() < 0.6 else signal.SIGTERM
        self.soak.daemon.end(sig, self.random.choice((0, 0, 0.1, 0.3)))
        self.counts[f'daemon ended by {sig.name}'] += 1


class CniRounds(Actor):
    """A pod that the plugin attaches and detaches, killed now and then (test_cni_rounds.py)."""

    def __init__(self, soak, number, device, **keys):
        super().__init__(soak, f'cni{number}')
        self.pod = RoundPod(soak, number, device, ARGS.seed, **keys)

    def round(self):
        killed = self.pod.counts['killed']
        self.pod.round()
        self.counts['rounds of ADD and DEL'] += 1
        self.counts['runs of the plugin killed'] += self.pod.counts['killed'] - killed

    def finish(self):
        self.pod.netns.delete()


class Tenant(Actor):
    """A pod that takes sockets and gives them back, or does not."""

    def __init__(self, soak, name, device=None):
        super().__init__(soak, name)
        self.device = device
        self.pod = None

    def new_pod(self):
        """A namespace with a lease: of a device of its own, or of queues of a shared one."""
        if self.device:
            self.pod = Pod(self.soak, link=False, interface='net1')
            self.in_pod('GrantLease', self.pod, ('RESOURCE_EXHAUSTED', 'ALREADY_EXISTS'),
                        container=self.pod.container, interface='net1', device=self.device,
                        queue_count=1)
            return
        self.pod = Pod(self.soak, queues=2)
        self.in_pod('LoadProgram', self.pod, interface='eth0', transient=True)
        self.in_pod('GrantLease', self.pod, container=self.pod.container, interface='eth0')

    def end_pod(self):
        """Its end, as orderly as chance has it."""
        pod, self.pod = self.pod, None
        if self.random.random() < 0.5:
            self.admin_call('RevokeLease', container=pod.container)
            self.gone('revoked', pod.container)
            pod.netns.delete()
        else:
            pod.netns.delete()
            self.gone('namespace deleted', pod.container)
        for ns in [pod.netns] + ([pod.peer] if pod.link else []):
            ns.delete()
        self.counts['pods that came and went'] += 1

    def round(self):
        if not self.pod:
            self.new_pod()
        for _ in range(self.random.randrange(1, 5)):
            self.random.choice((self.use, self.use, self.vanish, self.program))()
        self.end_pod()

    def hand_off(self, connection, **fields):
        """One; whoever had the queue before may not be quite gone."""
        return connection.hand_off(self.pod.interface, 1 << 20, **fields)

    def use(self):
        """In this process: taken, mapped, given back, by a call or by closing alone."""
        keep = self.random.random() < 0.3
        release = keep or self.random.random() < 0.5

        def attempt():
            with client.Client(self.node.pod_path, netns=self.pod.path) as c:
                h = self.hand_off(c, keep=keep)
                try:
                    self.counts['hand-offs'] += 1
                    if not h.reply.resumed:
                        h.map()
                    if release:
                        c.call('ReleaseSocket', sockets=[i.id for i in h.infos])
                finally:
                    h.close()
        self.until(attempt, 'hand-off', ('ALREADY_EXISTS', 'UNAVAILABLE', 'NOT_FOUND'))

    def vanish(self):
        """Asked for, and gone before the answer."""
        with contextlib.suppress(*HUNG_UP), \
                client.Client(self.node.pod_path, netns=self.pod.path) as c:
            umem = client.umem_memfd(1 << 20)
            try:
                c.start('HandOffSocket', [umem], interface=self.pod.interface, umem_fd=1)
            finally:
                os.close(umem)
            time.sleep(self.random.choice((0, 0, 0.002, 0.02)))
            self.counts['clients that vanished'] += 1

    def program(self):
        """A process, killed or ended at a random time, be it ready or not."""
        p = subprocess.Popen(self.pod.argv(
            self.node.xskctl, '--run-dir', self.node.run_dir, '-o', 'json', 'receive',
            self.pod.interface, '--sequence'), text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            time.sleep(self.random.uniform(0, 1.5))
            p.send_signal(self.random.choice((signal.SIGKILL, signal.SIGTERM)))
            self.counts['clients killed'] += 1
            _, err = p.communicate(timeout=PATIENCE)
            self.soak.look('a client', err)
        finally:
            end(p)

    def finish(self):
        if self.pod:
            self.end_pod()


class Keeper(Actor):
    """One process after another takes up the same kept sockets, while packets come in."""

    def __init__(self, soak):
        super().__init__(soak, 'keeper')
        self.pod = Pod(soak)
        self.in_pod('LoadProgram', self.pod, interface='eth0')
        self.in_pod('GrantLease', self.pod, container=self.pod.container, interface='eth0')
        self.last = None     # the number of the last packet that is accounted for
        self.since = 0.0     # when the daemon began to keep the sockets for the next one
        self.sender = soak.send(self.pod.link, RATE // 2)

    def round(self):
        p = self.launch()
        time.sleep(self.random.uniform(0.5, 3))
        killed = self.random.random() < 0.3
        p.send_signal(signal.SIGKILL if killed else signal.SIGTERM)
        out, err = p.communicate(timeout=PATIENCE)
        self.soak.look('a keeper', err)
        if killed:
            self.last = None
            return
        if p.returncode:
            raise AssertionError(f'xskctl receive --keep: {p.returncode}: {err}')
        self.account(json.loads(out))

    def launch(self):
        """The next process; ALREADY_EXISTS while the last one's sockets are being closed."""
        deadline = time.monotonic() + PATIENCE
        while True:
            began = time.monotonic()
            try:
                p = self.pod.receive('--keep', '--ring-size', RING, '--timeout', '20')
                self.began, self.since = self.since, began
                return p
            except AssertionError as e:
                self.soak.look('a keeper', str(e))
                if time.monotonic() > deadline or not (
                        'already' in str(e) or self.soak.daemon.was_down(began)):
                    raise
            time.sleep(0.05)

    def account(self, told):
        """Nothing is lost by a process, nor between two of them."""
        down = self.soak.daemon.was_down(self.began)
        self.counts['kept sockets taken up'] += told['resumed']
        if not told['resumed'] and self.began and not down:
            raise AssertionError(f'the daemon was there, but kept no socket: {told}')
        if told['lost'] or told['duplicated']:
            raise AssertionError(f'a keeper lost packets: {told}')
        if told['resumed'] and self.last is not None and told['sequenced'] and \
                told['first_sequence'] != self.last + 1:
            raise AssertionError(f'lost between two processes: {self.last}, then {told}')
        if told['sequenced']:
            self.last = told['last_sequence']

    def finish(self):
        self.sender.kill()
        self.in_pod('UnloadProgram', self.pod, interface='eth0', force=True)
        self.admin_call('RevokeLease', container=self.pod.container)
        self.pod.netns.delete()
        self.pod.peer.delete()


class Loader(Actor):
    """Programs on interfaces that nobody else uses."""

    def __init__(self, soak):
        super().__init__(soak, 'loader')
        self.links = [Link(self.node.host, f'nic{n}', soak.peer, 2).name for n in (8, 9)]

    def round(self):
        for name in self.random.sample(self.links, self.random.randrange(1, 3)):
            self.admin_call('LoadProgram', interface=name, transient=self.random.random() < 0.3)
            self.admin_call('ListPrograms')
            self.counts['programs loaded'] += 1
        for name in self.links:
            self.admin_call('UnloadProgram', interface=name)
        time.sleep(self.random.uniform(0, 0.3))


class Vandal(Actor):
    """Sends what no client sends. Nobody cares what becomes of it."""

    def __init__(self, soak):
        super().__init__(soak, 'vandal')
        self.netns = Netns('v')
        soak.namespaces.append(self.netns)

    def round(self):
        with contextlib.suppress(*HUNG_UP, AssertionError):
            self.random.choice((self.garbage, self.cut, self.descriptors, self.storm,
                                self.deaf))()
        self.counts['bad deeds'] += 1
        time.sleep(self.random.uniform(0, 0.1))

    def connect(self):
        """A bare socket."""
        return contextlib.closing(client.connect(self.node.pod_path, netns=self.netns.path))

    def garbage(self):
        """Bytes."""
        with self.connect() as s:
            client.send_packet(s, self.random.randbytes(self.random.randrange(1, 65536)))
            client.close_all(client.recv_packet(s)[1])

    def cut(self):
        """Half of a request."""
        whole = client.pb.Request(id=7, hand_off_socket=client.pb.HandOffSocketRequest(
            interface='eth0', queues=[0, 1, 2], umem_fd=1)).SerializeToString()
        with self.connect() as s:
            client.send_packet(s, whole[:self.random.randrange(1, len(whole))])
            client.close_all(client.recv_packet(s)[1])

    def descriptors(self):
        """Many, beside whatever."""
        r, w = os.pipe()
        try:
            with self.connect() as s:
                for _ in range(8):
                    client.send_packet(s, self.random.randbytes(20),
                                       [r, w] * self.random.randrange(1, 40))
        finally:
            client.close_all([r, w])

    def storm(self):
        """Connections that are not used."""
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(self.connect())

    def deaf(self):
        """Asks and never reads."""
        data = client.pb.Request(id=1, get_info=client.pb.GetInfoRequest()).SerializeToString()
        with self.connect() as s:
            s.settimeout(0.2)
            for _ in range(2000):
                client.send_packet(s, data)


class Soak:
    """All of it. Plays the part of a test for node.Pod and RoundPod."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup = self.stack.callback
        self.lock = threading.Lock()
        self.failures, self.reports, self.left, self.lost = [], [], [], []
        self.counts = collections.Counter()
        self.namespaces = []
        self.daemon = Daemon(json.dumps({'limits': {'transientGraceSeconds': GRACE}}))
        self.node = self.daemon.node
        self.was_down = self.daemon.was_down
        self.plugins = plugins.Plugins(self.node)
        self.prefix = f's{os.getpid()}-'
        self.pss = 0

    def over(self):
        """Whether time is up, or somebody has failed."""
        return bool(self.failures) or time.monotonic() > self.end_at

    def fail(self, text):
        """Something that must not be. The first one ends the run."""
        with self.lock:
            self.failures.append(text)

    def look(self, who, text):
        """Whether a process has said what a sanitizer says."""
        for word in REPORTS:
            if word in text:
                with self.lock:
                    self.reports.append(f'{who}: {text[max(0, text.index(word) - 200):][:3000]}')
                return

    def send(self, link, rate):
        """Numbered packets for as long as it takes."""
        argv = link.sender(0, rate)
        at = argv.index('--count')
        argv[at:at + 2] = ['--seconds', str(int(ARGS.minutes * 60) + 2)]
        p = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        self.addCleanup(end, p)
        return p

    # ---- beginning ----

    def state(self):
        """What must be the same before and after."""
        with self.node.admin() as admin:
            now = self.plugins.state(admin)
        now['fds'] = self.node.settled_fds()
        now['namespaces'] = self.node.host.ip('netns', 'list-id').splitlines()
        now['processes'] = self.processes()
        now['hidden'] = sorted(n for sub in ('programs', 'leases') for n in node.entries(
            f'{self.node.run_dir}/state/{sub}', hidden=True))
        return now

    def processes(self):
        """Of this node: the daemon's, and clients and plugins that live on."""
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            with contextlib.suppress(OSError), open(f'/proc/{pid}/cmdline', 'rb') as f:
                line = f.read().replace(b'\0', b' ').decode()
                if self.node.dir in line or plugins.XSKD_CNI in line:
                    found.append(line)
        return found

    def receiver(self, name, pod, link):
        """One that nobody touches."""
        p = pod.receive('--ring-size', RING)
        return name, p, self.send(link, RATE)

    def set_up(self):
        """Devices, receivers, and all who will disturb them."""
        self.peer = Netns('s')
        self.namespaces.append(self.peer)
        nics = [Link(self.node.host, f'nic{n}', self.peer, 4) for n in range(4)]
        self.end_at = time.monotonic() + ARGS.minutes * 60
        actors = [CniRounds(self, 1, 'nic1', mtu=1400, mac='02:00:00:00:00:19'),
                  CniRounds(self, 2, 'nic2', channels=1, busyPoll=True, cniVersion='0.4.0'),
                  CniRounds(self, 3, 'nic0', mode='queue', cniVersion='1.1.0'),
                  Tenant(self, 'device'), Tenant(self, 'queue', 'nic0'), Loader(self),
                  Vandal(self)]
        wait_for(lambda: all(x['operstate'] == 'UP' for x in json.loads(
            self.node.host.ip('-j', 'link')) if x['ifname'] != 'lo'), 'carrier')
        time.sleep(1)  # the pool of programs fills in the background
        self.before = self.state()
        self.fixed = [Pod(self), Pod(self, link=False, interface='net1'),
                      Pod(self, link=False, interface='net1')]
        device, queue, other = self.fixed
        run_as = Actor(self, 'set-up')
        run_as.in_pod('LoadProgram', device, interface='eth0')
        run_as.in_pod('GrantLease', device, container=device.container, interface='eth0')
        for pod, nic in ((queue, nics[0]), (other, nics[3])):
            run_as.admin_call('LoadProgram', interface=nic.name)
            run_as.in_pod('GrantLease', pod, container=pod.container, interface='net1',
                          device=nic.name, queues=[1])
            nic.aim(1)
        self.receivers = [self.receiver('device mode', device, device.link),
                          self.receiver('queue mode, shared', queue, nics[0]),
                          self.receiver('queue mode, alone', other, nics[3])]
        return actors + [Keeper(self), Killer(self, 'killer')]

    # ---- while it runs ----

    def minute(self, began, actors):
        """One line."""
        with contextlib.suppress(OSError), \
                open(f'/proc/{self.node.process.pid}/smaps_rollup', encoding='ascii') as f:
            pss = [int(line.split()[1]) for line in f if line.startswith('Pss:')][0]
            self.pss = max(self.pss, pss)
        fds = '?'
        with contextlib.suppress(OSError):
            fds = self.node.n_fds()
        deaths = sum(n for what, n in self.counts.items() if what.startswith('daemon'))
        print(f'# {(time.monotonic() - began) / 60:4.1f} min: {deaths} deaths of the daemon, '
              f'{self.counts["hand-offs"]} hand-offs, '
              f'{self.counts["rounds of ADD and DEL"]} CNI rounds, '
              f'{self.counts["pods that came and went"]} pods, {fds} fds, '
              f'PSS {self.pss >> 10} MiB at most, {len(self.reports)} reports, '
              f'{sum(a.is_alive() for a in actors)} at work', flush=True)

    def run(self):
        """From beginning to end; Return: whether all is well."""
        actors = self.set_up()
        began = line_at = time.monotonic()
        for actor in actors:
            actor.start()
        while any(a.is_alive() for a in actors):
            time.sleep(0.2)
            if time.monotonic() > line_at + 60:
                line_at += 60
                self.minute(began, actors)
        self.minute(began, actors)
        self.seconds = time.monotonic() - began
        for name, receiver, sender in self.receivers:
            self.check_receiver(name, receiver, sender)
        if not self.failures:
            self.take_down()
        return self.tell()

    # ---- the end ----

    def check_receiver(self, name, receiver, sender):
        """All that was sent has come in, each packet once."""
        if self.failures:
            sender.kill()
        said, _ = sender.communicate(timeout=ARGS.minutes * 60 + 60)
        time.sleep(0.5)
        receiver.send_signal(signal.SIGTERM)
        out, err = receiver.communicate(timeout=PATIENCE)
        self.look(name, err)
        if receiver.returncode or not said:
            self.lost.append(f'{name}: status {receiver.returncode}: {out} {err}')
            return
        sent, told = int(said.split()[1]), json.loads(out)
        self.counts[f'packets sent to: {name}'] = sent
        self.counts[f'packets received: {name}'] = told['sequenced']
        if (told['sequenced'], told['lost'], told['duplicated']) != (sent, 0, 0):
            self.lost.append(f'{name}: sent {sent}: {told}')

    def take_down(self):
        """What was set up goes by the daemon, and then nothing is left."""
        reconcile(self.node)
        with self.node.admin() as admin:
            fixed = {pod.container for pod in self.fixed}
            for lease in admin.leases():
                if lease.container in fixed:
                    admin.call('RevokeLease', container=lease.container)
            for program in admin.programs():
                if not program.transient:
                    admin.call('UnloadProgram', id=program.id, force=True)
        for pod in self.fixed:
            pod.netns.delete()
            if pod.link:
                pod.peer.delete()

        def same():
            now = self.state()
            self.left = [f'{k}: {self.before.get(k)} before, {now.get(k)} now'
                         for k in {**self.before, **now} if self.before.get(k) != now.get(k)]
            return not self.left
        for lock in node.entries(f'{self.node.run_dir}/cni/lock', hidden=True):
            os.unlink(f'{self.node.run_dir}/cni/lock/{lock}')
        with contextlib.suppress(AssertionError):
            wait_for(same, timeout=PATIENCE, step=0.2)

    def tell(self):
        """The table, and TAP."""
        with open(self.node.log_path, encoding='utf-8', errors='replace') as f:
            self.look('the daemon', f.read())
        rows = {'seconds': round(self.seconds), 'seed': ARGS.seed,
                'PSS of the daemon at most, KiB': self.pss, **dict(sorted(self.counts.items()))}
        for what, count in rows.items():
            print(f'# {what:45} {count:>12}')
        good = True
        for number, (what, bad) in enumerate((
                ('all that was asked for was done', self.failures),
                ('no sanitizer has a report', self.reports),
                ('receivers that nobody touched have each packet', self.lost),
                ('nothing is left', self.left)), 1):
            for text in bad:
                print('\n'.join('# ' + line for line in str(text).split('\n')))
            print(f"{'not ok' if bad else 'ok'} {number} - soak: {what}")
            good = good and not bad
        print('1..4', flush=True)
        return good

    def close(self):
        """Take all away; Return: what should not have been left."""
        self.stack.close()
        log = self.node.log_since(0)[-60000:] if self.failures else ''
        left = self.node.destroy()
        for ns in self.namespaces:
            ns.delete()
        if log:
            print('\n'.join('# ' + line for line in log.split('\n')))
        return left


def main():
    """Exit status 1 if anything is not as it should be."""
    print(f'# soak: {ARGS.minutes:g} minutes, seed {ARGS.seed}', flush=True)
    soak = Soak()
    try:
        good = soak.run()
    finally:
        left = soak.close()
    for text in left:
        print('\n'.join('# ' + line for line in text.split('\n')))
    print(f"{'not ok' if left else 'ok'} 5 - soak: the daemon's end")
    sys.exit(0 if good and not left else 1)


if __name__ == '__main__':
    main()
