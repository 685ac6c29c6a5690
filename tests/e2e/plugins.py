# SPDX-License-Identifier: Apache-2.0
"""CNI plugins in a directory of the test's own, and what they could leave behind on a node."""
import contextlib
import json
import os

from node import BUILD, Link, Netns, TestCase, entries, run, wait_for

DEBIAN = '/usr/lib/cni'
XSKD_CNI = f'{BUILD}/client/cni/xskd-cni'
# The packages that bring what a test needs, where they are called otherwise.
PACKAGES = {'go': 'golang-go', 'busybox': 'busybox-static',
            f'{DEBIAN}/host-local': 'containernetworking-plugins'}
# Of `ip -json link`: what a device must have again when it is back.
LINK_KEYS = ('address', 'mtu', 'flags', 'operstate', 'xdp', 'master', 'promiscuity', 'txqlen',
             'ifalias', 'altnames')


def which(program):
    """Where a program is; an administrator's ones are not in everybody's PATH."""
    for place in [*os.environ.get('PATH', '').split(':'), '/usr/sbin', '/sbin']:
        path = os.path.join(place, program)
        if os.access(path, os.X_OK):
            return path
    return None


def lacking(*programs):
    """Why a test that needs these programs has to be skipped; '' if they are there."""
    packages = [PACKAGES.get(p, p) for p in programs if not which(p)]
    return f"not installed: {', '.join(packages)} (deploy/packages.sh)" if packages else ''


class Plugins:
    """Debian's plugins and xskd-cni, how they are configured, and what they write."""

    def __init__(self, node):
        self.node = node
        self.path = f'{node.dir}/cni/bin'
        self.ipam_dir = f'{node.dir}/cni/ipam'
        self.tuning_dir = f'{node.dir}/cni/tuning'
        os.makedirs(self.path)
        for name in entries(DEBIAN):
            os.symlink(f'{DEBIAN}/{name}', f'{self.path}/{name}')
        os.symlink(XSKD_CNI, f'{self.path}/xskd-cni')

    def ipam(self, subnet='10.66.0.0/24', routes=('0.0.0.0/0',)):
        """Addresses of host-local."""
        return {'type': 'host-local', 'dataDir': self.ipam_dir,
                'ranges': [[{'subnet': subnet}]], 'routes': [{'dst': d} for d in routes]}

    def xskd(self, **keys):
        """xskd-cni, with the daemon of the node."""
        return {'type': 'xskd-cni', 'socketDir': self.node.run_dir, **keys}

    def ptp(self, **keys):
        """A pod's own network, by a veth pair that ptp makes."""
        return {'type': 'ptp', 'ipam': self.ipam(), **keys}

    def bridge(self, name, **keys):
        """The same, by a bridge."""
        return {'type': 'bridge', 'bridge': name, 'ipam': self.ipam(), **keys}

    def tuning(self, **keys):
        """A plugin that changes what those before it made."""
        return {'type': 'tuning', 'dataDir': self.tuning_dir, **keys}

    def files(self):
        """Addresses that are given out, and what xskd-cni and tuning note down."""
        found = []
        for top in (self.ipam_dir, self.tuning_dir, f'{self.node.run_dir}/cni'):
            for place, _, names in os.walk(top):
                # Not of any one pod: what host-local and xskd-cni lock, where the next address is.
                found += [os.path.relpath(f'{place}/{n}', self.node.dir) for n in names
                          if n not in ('lock', '.claims', 'last_reserved_ip.0')]
        return sorted(found)

    def state(self, admin):
        """All that pods change on the node; the same before they come and after they went."""
        host = self.node.host
        links = {link['ifname']: {k: link.get(k) for k in LINK_KEYS}
                 for link in json.loads(host.ip('-j', '-d', 'link')) if link['ifname'] != 'lo'}
        knobs = run('ip', 'netns', 'exec', host.name, 'sh', '-c', 'cd /sys/class/net; '
                    'grep -s "" [!l]*/gro_flush_timeout [!l]*/napi_defer_hard_irqs', check=False)
        return {
            'links': sorted(links),
            **{f'{name}: {k}': v for name, link in links.items() for k, v in link.items()},
            'knobs': knobs.splitlines(),
            'addresses': host.ip('-o', 'address').splitlines(),
            'routes': host.ip('route', 'show', 'table', 'all').splitlines(),
            'rules': host.ip('rule').splitlines(),
            'files': self.files(), 'pins': self.node.pins(), 'kept': self.node.state_files(),
            'programs': [p.id for p in admin.programs()],
            'leases': [f'{x.container}@{x.interface}' for x in admin.leases()],
            'sockets': [s.id for s in admin.sockets()]}


class NicCase(TestCase):
    """A node with a NIC whose other end sends; a test has to leave all as it was."""

    queues = 1
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.plugins = Plugins(cls.node)

    def setUp(self):
        super().setUp()
        self.peer = Netns('s')
        self.namespaces.append(self.peer)
        self.nic = self.add_nic('nic0', self.queues)

    def add_nic(self, name, queues=1):
        """One more; what the node is like from now on is how it has to be at the end."""
        nic = Link(self.node.host, name, self.peer, queues)
        self.addCleanup(self.node.host.ip, 'link', 'del', name, check=False)
        self.remember()
        return nic

    def remember(self):
        """The node as it is now, once links are up and addresses valid: both take a moment."""
        def state():
            now = self.plugins.state(self.admin)
            up = [now[f'{n}: operstate'] == 'UP' for n in now['links'] if n.startswith('nic')]
            return now if all(up) and 'tentative' not in str(now['addresses']) else None
        self.before = wait_for(state, 'carrier and addresses')

    def lease_of(self, container):
        """The one that it has."""
        lease, = [x for x in self.admin.leases() if x.container == container]
        return lease

    def aim_at(self, container):
        """Have what is sent come in at the first queue of its lease."""
        if self.queues > 1:
            self.nic.aim(self.lease_of(container).queues[0])

    def changes(self):
        """What is not as it was: {what: (before, now)}."""
        now, before = self.plugins.state(self.admin), self.before
        return {k: (before.get(k), now.get(k)) for k in {**before, **now}
                if before.get(k) != now.get(k)}

    def assert_as_before(self):
        """Nothing of any pod is left, and the NIC is as it was."""
        # The carrier's state comes by a work queue of the kernel.
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not self.changes())
        self.assertEqual(self.changes(), {})
