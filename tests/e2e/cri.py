# SPDX-License-Identifier: Apache-2.0
"""A container runtime for tests: containerd and runc, in the node's namespace, spoken to by CRI.

It is what the kubelet speaks to, so pods come and go here as they do on a node: the sandbox's
namespace, the CNI plugins, the image, seccomp, the cgroups are the runtime's and not the test's.
All that it keeps is below the node's directory.
"""
import atexit
import contextlib
import hashlib
import io
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile

from node import NOBODY, PREFIX, entries, mounts_below, numbers, run, wait_for
from plugins import which

# What the tests use of k8s.io/cri-api, pkg/apis/runtime/v1/api.proto.
PROTO = '''
syntax = "proto3";
package runtime.v1;

message Empty {}
message VersionRequest {}
message VersionResponse { string runtime_name = 2; string runtime_version = 3; }

message RuntimeCondition { string type = 1; bool status = 2; }
message RuntimeStatus { repeated RuntimeCondition conditions = 1; }
message StatusRequest { bool verbose = 1; }
message StatusResponse { RuntimeStatus status = 1; map<string, string> info = 2; }

message ImageSpec { string image = 1; }
message Image { string id = 1; }
message ImageStatusRequest { ImageSpec image = 1; }
message ImageStatusResponse { Image image = 1; }

message Int64Value { int64 value = 1; }
message NamespaceOption { int32 network = 1; int32 pid = 2; int32 ipc = 3; }
message SecurityProfile { int32 profile_type = 1; }

message PodSandboxMetadata { string name = 1; string uid = 2; string namespace = 3;
                             uint32 attempt = 4; }
message LinuxSandboxSecurityContext { NamespaceOption namespace_options = 1;
                                      SecurityProfile seccomp = 9; }
message LinuxPodSandboxConfig { string cgroup_parent = 1;
                                LinuxSandboxSecurityContext security_context = 2; }
message PodSandboxConfig { PodSandboxMetadata metadata = 1; string hostname = 2;
                           string log_directory = 3; LinuxPodSandboxConfig linux = 8; }
message RunPodSandboxRequest { PodSandboxConfig config = 1; }
message RunPodSandboxResponse { string pod_sandbox_id = 1; }
message PodSandboxNetworkStatus { string ip = 1; }
message PodSandboxStatus { string id = 1; int32 state = 3; PodSandboxNetworkStatus network = 5; }
message PodSandboxStatusRequest { string pod_sandbox_id = 1; bool verbose = 2; }
message PodSandboxStatusResponse { PodSandboxStatus status = 1; map<string, string> info = 2; }
message StopPodSandboxRequest { string pod_sandbox_id = 1; }
message RemovePodSandboxRequest { string pod_sandbox_id = 1; }
message ListPodSandboxRequest {}
message PodSandbox { string id = 1; }
message ListPodSandboxResponse { repeated PodSandbox items = 1; }

message ContainerMetadata { string name = 1; uint32 attempt = 2; }
message Mount { string container_path = 1; string host_path = 2; bool readonly = 3; }
message Capability { repeated string add_capabilities = 1; repeated string drop_capabilities = 2; }
message LinuxContainerSecurityContext {
	Capability capabilities = 1; NamespaceOption namespace_options = 3;
	Int64Value run_as_user = 5; bool readonly_rootfs = 7; bool no_new_privs = 11;
	Int64Value run_as_group = 12; SecurityProfile seccomp = 15; }
message LinuxContainerConfig { LinuxContainerSecurityContext security_context = 2; }
message KeyValue { string key = 1; string value = 2; }
message ContainerConfig {
	ContainerMetadata metadata = 1; ImageSpec image = 2; repeated string command = 3;
	repeated string args = 4; repeated KeyValue envs = 6; repeated Mount mounts = 7;
	string log_path = 11; LinuxContainerConfig linux = 15; }
message CreateContainerRequest { string pod_sandbox_id = 1; ContainerConfig config = 2;
                                 PodSandboxConfig sandbox_config = 3; }
message CreateContainerResponse { string container_id = 1; }
message StartContainerRequest { string container_id = 1; }
message ContainerStatus { string id = 1; int32 state = 3; int32 exit_code = 7; string reason = 10;
                          string message = 11; }
message ContainerStatusRequest { string container_id = 1; bool verbose = 2; }
message ContainerStatusResponse { ContainerStatus status = 1; map<string, string> info = 2; }
message RemoveContainerRequest { string container_id = 1; }
'''
IMAGE = 'localhost/xskd-pod:1'
RUNTIME_DEFAULT = 0        # SecurityProfile
POD, CONTAINER = 0, 1      # NamespaceOption
RUNNING, EXITED = 1, 2     # ContainerStatus.state
# Places that no option of containerd moves: sockets of shims, and libcni's cache.
SHARED = ('/run/containerd/s', '/run/containerd', '/var/lib/cni/results', '/var/lib/cni')
CONFIG = '''
version = 2
root = "{dir}/root"
state = "{dir}/state"
[grpc]
  address = "{dir}/sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{dir}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{bin_dir}"
    conf_dir = "{dir}/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{dir}/runc"
        SystemdCgroup = false
'''


def lacking_module():
    """Why CRI cannot be spoken; '' if it can."""
    try:
        import grpc  # noqa: F401  the tests that do without CRI do without it
    except ImportError:
        return 'not installed: python3-grpcio (deploy/packages.sh)'
    return ''


def messages():
    """The messages in Python, in a directory that goes with this process."""
    out = tempfile.mkdtemp(prefix='xskd-cri-')
    atexit.register(shutil.rmtree, out, True)
    with open(f'{out}/cri.proto', 'w', encoding='ascii') as f:
        f.write(PROTO)
    run('protoc', f'-I{out}', f'--python_out={out}', 'cri.proto')
    sys.path.insert(0, out)
    import cri_pb2
    return cri_pb2


# ---- an image -----------------------------------------------------------------------------------

def libraries(*programs):
    """The shared objects that they are linked with, but for those that they bring along."""
    found = set()
    for program in programs:
        found |= set(re.findall(r'^\s*(?:\S+ => )?(/(?:usr/)?lib\S+) \(0x', run('ldd', program),
                                re.MULTILINE))
    return sorted(found)


def layer(files):
    """A tar archive of {path in the image: file}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as tar:
        parents = {str(p) for path in files for p in pathlib.PurePath(path).parents} - {'/'}
        for path in sorted(parents):  # so each comes before what is in it
            entry = tarfile.TarInfo(path[1:])
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path, source in files.items():
            entry = tarfile.TarInfo(path[1:])
            entry.size, entry.mode = os.stat(source).st_size, 0o755
            with open(source, 'rb') as f:
                tar.addfile(entry, f)
    return out.getvalue()


def make_image(archive, name, files, command):
    """Write an OCI archive of one image with one layer."""
    blobs = {}

    def blob(kind, data):
        digest = hashlib.sha256(data).hexdigest()
        blobs[f'blobs/sha256/{digest}'] = data
        return {'mediaType': f'application/vnd.oci.image.{kind}', 'size': len(data),
                'digest': f'sha256:{digest}'}

    def text(value):
        return json.dumps(value).encode()

    content = blob('layer.v1.tar', layer(files))
    arch = {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine())
    config = blob('config.v1+json', text({
        'architecture': arch, 'os': 'linux', 'config': {'Entrypoint': command},
        'rootfs': {'type': 'layers', 'diff_ids': [content['digest']]}}))
    manifest = blob('manifest.v1+json', text({
        'schemaVersion': 2, 'config': config, 'layers': [content]}))
    manifest['annotations'] = {'io.containerd.image.name': name}
    blobs['index.json'] = text({'schemaVersion': 2, 'manifests': [manifest]})
    blobs['oci-layout'] = text({'imageLayoutVersion': '1.0.0'})
    with tarfile.open(archive, 'w') as tar:
        for path, data in blobs.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


# ---- the runtime --------------------------------------------------------------------------------

class Containerd:
    """containerd of a node: its own directories, its own socket, one network for all pods."""

    def __init__(self, node, plugins, chain, version='1.0.0'):
        self.node, self.dir = node, f'{node.dir}/cri'
        self.network = f'{PREFIX}net{next(numbers)}'
        self.messages, self.process, self.channel = messages(), None, None
        self.cgroup = f'{PREFIX}c{next(numbers)}'
        self.not_ours = [path for path in SHARED if os.path.exists(path)]
        for sub in ('net.d', 'logs'):
            os.makedirs(f'{self.dir}/{sub}')
        with open(f'{self.dir}/net.d/10-pods.conflist', 'w', encoding='ascii') as f:
            json.dump({'cniVersion': version, 'name': self.network, 'plugins': chain}, f)
        with open(f'{self.dir}/config.toml', 'w', encoding='ascii') as f:
            f.write(CONFIG.format(dir=self.dir, image=IMAGE, bin_dir=plugins.path))
        runtimes.append(self)

    def start(self):
        """Start it, with its image, and wait until the network is ready."""
        import grpc

        fresh = not os.path.exists(f'{self.dir}/root')
        with open(f'{self.dir}/log', 'ab') as log:
            # A session of its own: what is typed at the terminal is for the test.
            self.process = subprocess.Popen(
                ['nsenter', f'--net={self.node.host.path}', which('containerd'), '--config',
                 f'{self.dir}/config.toml'], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, env=self.environment())
        self.channel = grpc.insecure_channel(
            f'unix:{self.dir}/sock', options=[('grpc.default_authority', 'localhost')])
        try:
            grpc.channel_ready_future(self.channel).result(timeout=20)
        except grpc.FutureTimeoutError:
            raise AssertionError(f'containerd did not start:\n{self.log()[-4000:]}') from None
        if fresh:
            self.load_image()
        wait_for(self.ready, f'containerd: {self.log()[-2000:]}', timeout=20, step=0.02)
        return self

    @staticmethod
    def environment():
        """runc and the shim have to be found."""
        return {**os.environ, 'PATH': f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin"}

    def load_image(self):
        """One image, for the sandbox and for what runs in it."""
        kit = self.node.kit
        files = {'/bin/busybox': which('busybox'), '/bin/sh': which('busybox'),
                 '/xskd/client/xskctl': f'{kit}/client/xskctl',
                 '/xskd/sdk/libxskd.so.0': f'{kit}/sdk/libxskd.so.0'}
        files |= {path: path for path in libraries(files['/xskd/client/xskctl'],
                                                   files['/xskd/sdk/libxskd.so.0'])}
        make_image(f'{self.dir}/image.tar', IMAGE, files, ['/bin/busybox', 'sleep', '1000000'])
        run(which('ctr'), '--address', f'{self.dir}/sock', '--namespace', 'k8s.io', 'images',
            'import', '--snapshotter', 'native', f'{self.dir}/image.tar')
        os.unlink(f'{self.dir}/image.tar')

    def ready(self):
        """The network's configuration is read, the image known."""
        import grpc
        try:
            status = self.call('Status').status
            image = self.call('ImageStatus', 'ImageService', image={'image': IMAGE})
        except grpc.RpcError:  # it answers before it has taken up what there was
            return False
        return all(c.status for c in status.conditions) and image.HasField('image')

    def log(self):
        """What it, its shims and the plugins have said."""
        with open(f'{self.dir}/log', encoding='utf-8', errors='backslashreplace') as f:
            return f.read()

    def call(self, method, service='RuntimeService', timeout=30, **fields):
        """One call of CRI; grpc.RpcError where it is refused."""
        request = getattr(self.messages, f'{method}Request')(**fields)
        # The services are not in PROTO, for then the stubs would need a compiler of their own.
        reply = getattr(self.messages, f'{method}Response', self.messages.Empty)
        return self.channel.unary_unary(
            f'/runtime.v1.{service}/{method}', request_serializer=type(request).SerializeToString,
            response_deserializer=reply.FromString)(request, timeout=timeout)

    def run_pod(self, name):
        """Run the sandbox of a pod: its namespaces, and its network by CNI."""
        return Sandbox(self, name)

    def stop(self, sig=signal.SIGTERM):
        """End containerd, not its pods; Return: its exit status."""
        if self.channel:
            self.channel.close()
            self.channel = None
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(20)

    # ---- the end ----

    def shims(self):
        """Pids of what keeps containers: each has this containerd's socket in its arguments."""
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            with contextlib.suppress(OSError), open(f'/proc/{pid}/cmdline', 'rb') as f:
                argv = f.read().split(b'\0')
                if b'shim' in argv[0] and f'{self.dir}/sock'.encode() in argv:
                    found.append(int(pid))
        return found

    def cgroups(self):
        """Directories of this runtime's pods in all hierarchies, the deepest first."""
        found = []
        for top in [f'/sys/fs/cgroup/{n}' for n in entries('/sys/fs/cgroup')] + ['/sys/fs/cgroup']:
            for place, _, _ in os.walk(f'{top}/{self.cgroup}', topdown=False):
                found.append(place)
        return found

    def left(self):
        """What pods should not have left behind, while containerd still runs."""
        out = [f'sandbox {s.id}' for s in self.call('ListPodSandbox').items]
        out += [f'shim {pid}' for pid in self.shims()]
        out += [f'mount {p}' for p in mounts_below(f'{self.dir}/state')]
        out += [f'container of runc {n}' for n in entries(f'{self.dir}/runc/k8s.io')]
        out += [f'namespace {n}' for n in entries(f'{self.dir}/state/netns')]
        out += [f'cached result {n}' for n in entries(SHARED[2]) if n.startswith(self.network)]
        out += [f'cgroup {p}' for p in self.cgroups() if os.path.basename(p) != self.cgroup]
        return out

    def end_pods(self):
        """Stop and remove all pods that there are."""
        for pod in self.call('ListPodSandbox').items:
            self.call('StopPodSandbox', pod_sandbox_id=pod.id)
            self.call('RemovePodSandbox', pod_sandbox_id=pod.id)

    def destroy(self):
        """Take everything away, whatever state it is in; Return: what should not have been left."""
        left = []
        if self in runtimes:
            runtimes.remove(self)
        if self.process and self.process.poll() is None:
            with contextlib.suppress(Exception):  # what follows does it by force
                with contextlib.suppress(AssertionError):
                    wait_for(lambda: not self.left(), 'the end of shims')
                left = self.left()
                self.end_pods()
            status = self.stop()
            if status != 0:
                left.append(f'containerd ended with {status}')
        for pid in self.shims():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for path in self.cgroups():
            with contextlib.suppress(FileNotFoundError), \
                    open(f'{path}/cgroup.procs', encoding='ascii') as f:
                for pid in f.read().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
        wait_for(lambda: not self.shims(), 'the end of the shims')
        for path in self.cgroups():
            wait_for(lambda p=path: gone(p), f'the end of {path}')
        for point in mounts_below(self.dir):
            run('umount', '--lazy', point)
        for path in SHARED:
            with contextlib.suppress(OSError):  # it is not there, or somebody else's are in it
                if path not in self.not_ours:
                    os.rmdir(path)
        return left


def gone(path):
    """Remove a cgroup; Return: whether it is away."""
    with contextlib.suppress(OSError):
        os.rmdir(path)
    return not os.path.exists(path)


runtimes = []


def clean_up():
    """Last resort, when a test file ends early."""
    for runtime in list(runtimes):
        with contextlib.suppress(Exception):
            runtime.destroy()


atexit.register(clean_up)


class Sandbox:
    """A pod: what the kubelet asks for before any container of it."""

    def __init__(self, runtime, name):
        self.runtime, self.name = runtime, name
        m = runtime.messages
        self.uid = f'00000000-0000-4000-8000-{next(numbers):012}'
        self.logs = f'{runtime.dir}/logs/{self.uid}'
        os.makedirs(self.logs)
        self.config = m.PodSandboxConfig(
            metadata={'name': name, 'uid': self.uid, 'namespace': 'default'}, hostname=name,
            log_directory=self.logs,
            linux={'cgroup_parent': f'/{runtime.cgroup}', 'security_context': {
                'namespace_options': {'network': POD, 'pid': CONTAINER, 'ipc': POD},
                'seccomp': {'profile_type': RUNTIME_DEFAULT}}})
        self.id = runtime.call('RunPodSandbox', config=self.config).pod_sandbox_id

    def status(self):
        """Its state, its address."""
        return self.runtime.call('PodSandboxStatus', pod_sandbox_id=self.id).status

    def info(self):
        """What containerd knows about it: runtimeSpec, cniResult, pid, ..."""
        reply = self.runtime.call('PodSandboxStatus', pod_sandbox_id=self.id, verbose=True)
        return json.loads(reply.info['info'])

    def netns(self):
        """The path of its namespace."""
        return next(n['path'] for n in self.info()['runtimeSpec']['linux']['namespaces']
                    if n['type'] == 'network')

    def container(self, *command, **kw):
        """Start a container in it, as Pod Security's "restricted" has it."""
        return Container(self, command, **kw)

    def stop(self):
        """End its containers and its network."""
        self.runtime.call('StopPodSandbox', pod_sandbox_id=self.id)

    def remove(self):
        """Forget it."""
        self.runtime.call('RemovePodSandbox', pod_sandbox_id=self.id)


class Container:
    """A container without any privilege, with the directory of xskd's socket for pods in it."""

    def __init__(self, sandbox, command):
        self.runtime = sandbox.runtime
        name = f'c{next(numbers)}'
        self.log_path = f'{sandbox.logs}/{name}.log'
        self.id = self.runtime.call(
            'CreateContainer', pod_sandbox_id=sandbox.id, sandbox_config=sandbox.config,
            config={
                'metadata': {'name': name}, 'image': {'image': IMAGE}, 'command': command,
                'log_path': f'{name}.log',
                'envs': [{'key': k, 'value': v} for k, v in os.environ.items()
                         if k.endswith('SAN_OPTIONS')],
                'mounts': [{'container_path': '/run/xskd/pod', 'readonly': True,
                            'host_path': os.path.dirname(self.runtime.node.pod_path)}],
                'linux': {'security_context': {
                    'capabilities': {'drop_capabilities': ['ALL']}, 'no_new_privs': True,
                    'namespace_options': {'network': POD, 'pid': CONTAINER, 'ipc': POD},
                    'run_as_user': {'value': NOBODY}, 'run_as_group': {'value': NOBODY},
                    'readonly_rootfs': True, 'seccomp': {'profile_type': RUNTIME_DEFAULT}}}},
        ).container_id
        self.runtime.call('StartContainer', container_id=self.id)

    def status(self):
        """Its state, its exit code."""
        return self.runtime.call('ContainerStatus', container_id=self.id).status

    def pid(self):
        """Of its first process, as the host sees it."""
        reply = self.runtime.call('ContainerStatus', container_id=self.id, verbose=True)
        return json.loads(reply.info['info'])['pid']

    def privileges(self):
        """What /proc says of its first process."""
        with open(f'/proc/{self.pid()}/status', encoding='ascii') as f:
            fields = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
        return {k: fields[k] for k in ('Uid', 'Gid', 'CapInh', 'CapPrm', 'CapEff', 'CapBnd',
                                       'CapAmb', 'NoNewPrivs', 'Seccomp')}

    def lines(self, stream='stdout'):
        """What it has written: lines of its log are `TIME STREAM F|P TEXT`."""
        text, partial = [], ''
        with contextlib.suppress(FileNotFoundError), open(self.log_path, encoding='utf-8') as f:
            for line in f.read().splitlines():
                _, where, kind, what = line.split(' ', 3)
                if where == stream:
                    partial += what
                    if kind == 'F':
                        text.append(partial)
                        partial = ''
        return text

    def story(self):
        """For a message."""
        return f"{self.status()} {self.lines()} {self.lines('stderr')}"

    def await_exit(self, timeout=30):
        """Wait for its end; Return: its exit code."""
        wait_for(lambda: self.status().state == EXITED, 'the end of the container', timeout, 0.02)
        return self.status().exit_code

    def remove(self):
        """Forget it."""
        self.runtime.call('RemoveContainer', container_id=self.id)
