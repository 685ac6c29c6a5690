# SPDX-License-Identifier: Apache-2.0
"""A container runtime made of the CNI specification alone, which looks hard at each answer.

Nothing of it is taken from xskd-cni or libcni. It runs a plugin with an environment and a
configuration, and demands of the answer what the specification says of it.
"""
import contextlib
import ipaddress
import json
import os
import subprocess

from node import Client, Link, Netns, entries, run
from plugins import XSKD_CNI, NicCase

VERSIONS = ('0.3.1', '0.4.0', '1.0.0', '1.1.0')
# When a verb came; ADD, DEL and VERSION were always there.
SINCE = {'CHECK': '0.4.0', 'GC': '1.1.0', 'STATUS': '1.1.0'}
ERROR_KEYS = {'cniVersion', 'code', 'msg', 'details'}
RESULT_KEYS = {'cniVersion', 'interfaces', 'ips', 'routes', 'dns'}
# What may be in them, and since when where that was not from the beginning.
INTERFACE_KEYS = {'name': str, 'mac': str, 'sandbox': str}
INTERFACE_KEYS_NEW = {'mtu': int, 'pciID': str, 'socketPath': str}
IP_KEYS = {'address': str, 'gateway': str, 'interface': int}
ROUTE_KEYS = {'dst': str, 'gw': str}
ROUTE_KEYS_NEW = {'mtu': int, 'advmss': int, 'priority': int, 'table': int, 'scope': int}
DNS_KEYS = {'nameservers': list, 'domain': str, 'search': list, 'options': list}


def has(version, verb):
    """Whether a version of the specification knows a verb."""
    since = SINCE.get(verb)
    return since is None or VERSIONS.index(version) >= VERSIONS.index(since)


# ---- what an answer must be ----

class Wrong(AssertionError):
    """An answer that is not as the specification wants it."""


def demand(condition, what, answer):
    """The answer is wrong if the condition does not hold."""
    if not condition:
        raise Wrong(f'{what}: {answer}')


def check_object(item, types, known, answer):
    """Keys and types; `known` are keys that somebody else put there."""
    demand(isinstance(item, dict), f'{item!r} is no object', answer)
    for key, value in item.items():
        if key not in known:
            demand(key in types, f'{key!r} is no key of {item}', answer)
            demand(type(value) is types[key], f'{key!r} of {item} has another type', answer)


def check_ip(ip, before, version, interfaces, answer):
    """One address of a result."""
    types = dict(IP_KEYS, version=str) if version < '1.0.0' else IP_KEYS
    check_object(ip, types, before, answer)
    address = ipaddress.ip_interface(ip['address'])
    demand('/' in ip['address'], 'an address without a prefix', answer)
    if version < '1.0.0':
        demand(ip.get('version') == str(address.version), "an address' version", answer)
    if 'gateway' in ip:
        demand(ipaddress.ip_address(ip['gateway']).version == address.version, 'gateway', answer)
    demand(0 <= ip.get('interface', 0) < max(len(interfaces), 1), "an address' interface", answer)


def check_result(answer, version, config):
    """What an ADD answered."""
    result, before = answer.json, config.get('prevResult') or {}
    demand(isinstance(result, dict), 'no result', answer)
    demand(set(result) <= RESULT_KEYS | set(before), 'a key that results do not have', answer)
    demand(result.get('cniVersion') == version, "the result's version", answer)
    for key, value in before.items():
        demand(key in result, f'{key!r} of prevResult has gone', answer)
        if key not in RESULT_KEYS:
            demand(result[key] == value, f'{key!r} of prevResult has changed', answer)
    new = VERSIONS.index(version) >= VERSIONS.index('1.1.0')
    interfaces = result.get('interfaces', [])
    foreign = {k for i in before.get('interfaces', []) for k in i}
    for interface in interfaces:
        check_object(interface, {**INTERFACE_KEYS, **(INTERFACE_KEYS_NEW if new else {})},
                     foreign, answer)
        demand(interface.get('name'), 'an interface without a name', answer)
    foreign = {k for i in before.get('ips', []) for k in i}
    for ip in result.get('ips', []):
        check_ip(ip, foreign, version, interfaces, answer)
    foreign = {k for i in before.get('routes', []) for k in i}
    for route in result.get('routes', []):
        check_object(route, {**ROUTE_KEYS, **(ROUTE_KEYS_NEW if new else {})}, foreign, answer)
        ipaddress.ip_network(route['dst'])
    check_object(result.get('dns', {}), DNS_KEYS, before.get('dns', {}), answer)


class Answer:
    """How a run of a plugin ended."""

    def __init__(self, verb, status, out, err):
        self.verb, self.status, self.out, self.err = verb, status, out, err
        self.json = None
        with contextlib.suppress(ValueError):
            self.json = json.loads(out)

    def __str__(self):
        return f'{self.verb}: {self.status}: {self.out}{self.err}'

    @property
    def ok(self):
        """Whether it was done."""
        return self.status == 0

    @property
    def code(self):
        """Of the error; 0: there was none."""
        return 0 if self.ok else self.json['code']

    @property
    def msg(self):
        """Of the error."""
        return '' if self.ok else self.json['msg']

    def check(self, config):
        """Is it what the specification says? config: what stood in stdin, as far as it was JSON."""
        config = config if isinstance(config, dict) else {}
        version = config.get('cniVersion')
        if not self.ok:
            demand(self.status == 1, 'the exit status of an error', self)
            demand(isinstance(self.json, dict), 'an error that is no JSON object', self)
            demand(set(self.json) - {'details'} == ERROR_KEYS - {'details'}, 'its keys', self)
            demand(type(self.json['code']) is int and self.json['code'] > 0, 'its code', self)
            demand(isinstance(self.json['msg'], str) and self.json['msg'], 'its msg', self)
            demand(isinstance(self.json.get('details', '.'), str), 'its details', self)
            demand(self.json['cniVersion'] in VERSIONS, 'its version', self)
        elif self.verb == 'ADD':
            check_result(self, version, config)
        elif self.verb == 'VERSION':
            demand(isinstance(self.json, dict), 'no JSON object', self)
            demand(set(self.json) == {'cniVersion', 'supportedVersions'}, 'its keys', self)
            demand(all(isinstance(v, str) for v in self.json['supportedVersions']), 'list', self)
        else:
            demand(self.out == '', f'{self.verb} has printed something', self)
        # Who complains of the environment, or cannot read the configuration, does not know it.
        if self.json and version in VERSIONS and self.verb != 'VERSION' and (
                self.code not in (4, 5, 6)):
            demand(self.json['cniVersion'] == version, 'the version of the configuration', self)
        return self


# ---- running a plugin ----

def environment(verb, **cni):
    """What a runtime hands over; None: not at all. keys: CNI_* in small letters."""
    keep = ('PATH', 'ASAN_OPTIONS', 'UBSAN_OPTIONS', 'LSAN_OPTIONS')
    env = {k: os.environ[k] for k in keep if k in os.environ}
    if verb is not None:
        env['CNI_COMMAND'] = verb
    env.update({f'CNI_{k.upper()}': v for k, v in cni.items() if v is not None})
    return env


def start(netns, argv, env, **kw):
    """Start a plugin on the host `netns`."""
    return subprocess.Popen(['nsenter', f'--net={netns.path}', *argv], env=env,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            **kw)


def finish(process, verb, config):
    """Give it its configuration (bytes, or what becomes JSON); Return: a checked Answer."""
    raw = config if isinstance(config, bytes) else json.dumps(config).encode()
    out, err = process.communicate(raw, timeout=60)
    answer = Answer(verb, process.returncode, out.decode(), err.decode('utf-8', 'replace'))
    if 'AddressSanitizer' in answer.err or 'runtime error:' in answer.err:
        raise Wrong(str(answer))
    if process.returncode < 0:  # killed: it has nothing to say
        return answer
    with contextlib.suppress(ValueError):
        config = json.loads(raw)
    return answer.check(config)


class Attachment:
    """An interface of a pod, as a runtime has it: the result is kept for the verbs that follow."""

    def __init__(self, case, config, netns=None, **cni):
        self.case, self.config = case, config
        self.netns = netns or case.pod_netns()
        self.cni = {'containerid': case.new_container(), 'netns': self.netns.path,
                    'ifname': 'net1', 'path': case.plugins.path,
                    'args': 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0', **cni}
        self.result = None

    @property
    def container(self):
        """Its id."""
        return self.cni['containerid']

    @property
    def ifname(self):
        """The name of the interface in the pod."""
        return self.cni['ifname']

    def start(self, verb, before=(), **cni):
        """Start the plugin; finish() it."""
        return start(self.case.node.host, [*before, XSKD_CNI],
                     environment(verb, **{**self.cni, **cni}))

    def run(self, verb, config=None, before=(), **cni):
        """One call. before: a program that runs the plugin, such as strace."""
        if config is None:
            config = self.config
            if self.result is not None and verb in ('CHECK', 'DEL'):
                config = {**config, 'prevResult': self.result}
        return finish(self.start(verb, before, **cni), verb, config)

    def try_add(self, **kw):
        """ADD; Return: what it answered."""
        answer = self.run('ADD', **kw)
        if answer.ok:
            self.result = answer.json
        return answer

    def add(self, **kw):
        """ADD, which has to succeed; Return: its result."""
        answer = self.try_add(**kw)
        demand(answer.ok, 'it failed', answer)
        return self.result

    def delete(self, **kw):
        """DEL, which has to succeed."""
        return self.do('DEL', **kw)

    def check(self, **kw):
        """CHECK, which has to find nothing."""
        return self.do('CHECK', **kw)

    def do(self, verb, **kw):
        """A verb that has to succeed."""
        answer = self.run(verb, **kw)
        demand(answer.ok, 'it failed', answer)
        return answer

    def interface(self):
        """`ip -json` about the interface in the pod."""
        return json.loads(self.netns.ip('-j', '-d', 'address', 'show', self.ifname))[0]

    def addresses(self):
        """Of the interface, but link-local ones."""
        return [f"{a['local']}/{a['prefixlen']}" for a in self.interface()['addr_info']
                if a['scope'] != 'link']


class CniCase(NicCase):
    """Tests of the plugin by hand: a node with NICs, pods without anything."""

    # So that tests need not wait for it for a minute.
    config = '{"limits": {"transientGraceSeconds": 15}}'
    version = '1.0.0'
    queues = 2

    def setUp(self):
        super().setUp()
        self.n_containers = 0
        # What a failed test left is not the next one's business.
        self.addCleanup(run, 'rm', '-rf', f'{self.node.run_dir}/cni', self.plugins.ipam_dir)

    def new_container(self):
        """An id that no other has."""
        self.n_containers += 1
        return f'c{self.n_containers}-{self.id().rsplit(".", 1)[1][:40]}'

    def pod_netns(self):
        """The namespace of a pod."""
        netns = Netns('p')
        self.namespaces.append(netns)
        return netns

    def network(self, **keys):
        """A network; None takes a key away."""
        config = {'cniVersion': self.version, 'name': 'xnet', **self.plugins.xskd(), **keys}
        return {k: v for k, v in config.items() if v is not None}

    def device(self, **keys):
        """A network in device mode."""
        return self.network(device='nic0', **keys)

    def queue(self, **keys):
        """A network in queue mode."""
        return self.network(mode='queue', device='nic0', **keys)

    def attach(self, config=None, netns=None, **cni):
        """An attachment that has not been added."""
        return Attachment(self, config or self.device(), netns, **cni)

    def added(self, config=None, **kw):
        """One that has."""
        a = self.attach(config, **kw)
        a.add()
        return a

    def in_pod(self, ifname='net1', version=None, **more):
        """A pod with an interface of an earlier plugin; Return: namespace, prevResult."""
        netns = self.pod_netns()
        Link(netns, ifname, self.peer, self.queues)
        netns.ip('address', 'add', '192.0.2.5/24', 'dev', ifname)
        mac = json.loads(netns.ip('-j', 'link', 'show', ifname))[0]['address']
        ip = {'address': '192.0.2.5/24', 'interface': 0}
        if (version or self.version) < '1.0.0':
            ip['version'] = '4'
        return netns, {'cniVersion': version or self.version,
                       'interfaces': [{'name': ifname, 'mac': mac, 'sandbox': netns.path}],
                       'ips': [ip], 'routes': [], 'dns': {}, **more}

    def plugin(self, verb, config, **cni):
        """A run that concerns no pod."""
        process = start(self.node.host, [XSKD_CNI], environment(verb, **cni))
        return finish(process, verb, config)

    def by_hand(self, *args, **env):
        """The plugin without CNI_COMMAND; Return: the finished process."""
        return subprocess.run(
            ['nsenter', f'--net={self.node.host.path}', XSKD_CNI, *args], text=True,
            env={**environment(None), **env}, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=60)

    def reconcile(self):
        """Finish what was left, which has to succeed; Return: what it said."""
        done = self.by_hand('reconcile', '--socket-dir', self.node.run_dir)
        self.assertEqual((done.returncode, done.stdout), (0, ''), done.stderr)
        return done.stderr

    def script(self, name, body):
        """A plugin of the test's own, in the directory of plugins."""
        path = f'{self.plugins.path}/{name}'
        with open(path, 'w', encoding='utf-8') as f:
            f.write(f'#!/bin/sh\n{body}\n')
        os.chmod(path, 0o755)
        self.addCleanup(os.unlink, path)
        return {'type': name}

    def ipam_that_answers(self, answer, name='told', status=0):
        """An IPAM plugin whose ADD prints this."""
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return self.script(name, f"cat >/dev/null; [ $CNI_COMMAND = ADD ] || exit 0\n"
                                 f"cat <<'X'\n{text}\nX\nexit {status}")

    def fails(self, answer, code, text=''):
        """The call failed with this code, and says so; nothing is left of it."""
        self.assertFalse(answer.ok, answer)
        self.assertEqual(answer.code, code, answer)
        self.assertRegex(answer.msg, text or '.')

    def add_fails(self, code, text='', config=None, cni=None, **kw):
        """An ADD that fails, and leaves nothing."""
        a = self.attach(config, **kw)
        answer = a.try_add(**(cni or {}))
        self.fails(answer, code, text)
        self.assert_as_before()
        return answer

    def life(self, a):
        """From ADD to the second DEL, with all verbs that the version has; Return: the result."""
        version = a.config['cniVersion']
        self.is_as_known(a, version, 'STATUS')
        result = a.add()
        self.is_as_known(a, version, 'CHECK')
        a.delete()
        self.assert_as_before()
        a.delete()
        self.assert_as_before()
        return result

    def is_as_known(self, a, version, verb):
        """A verb works if the version has it, and is refused for that if not."""
        answer = a.run(verb)
        if has(version, verb):
            self.assertTrue(answer.ok, answer)
        else:
            self.fails(answer, 1, verb)

    def records(self):
        """Names of the records of attachments: those that are attached, those that are pending."""
        top = f'{self.node.run_dir}/cni'
        return ([n for n in entries(top) if '@' in n], entries(f'{top}/pending', hidden=True))

    def client(self, netns):
        """A program in the pod."""
        c = Client(self.node.pod_path, netns=netns.path)
        self.addCleanup(c.close)
        return c

    def assert_receives(self, netns, interface='net1', count=20):
        """A program in the pod gets what comes in at the NIC."""
        with self.client(netns) as c:
            h = c.hand_off(interface).map()
            self.nic.await_carrier()
            self.nic.send(count)
            got = h.receive(count)
            h.close()
        self.assert_sequence(got, count)

    def start_daemon(self):
        """Start it over what is there."""
        self.node.start()
        self.admin.close()
        self.admin = self.node.admin()
