# SPDX-License-Identifier: Apache-2.0
"""The metrics of a daemon as Prometheus sees them: fetched by HTTP, parsed by its own library."""
import contextlib
import http.client
import math
import os
import shutil
import socket
import subprocess
import tempfile

from prometheus_client.parser import text_string_to_metric_families

from node import in_netns


def unix_socket(node):
    """A stream to admin/metrics.sock."""
    s = socket.socket(socket.AF_UNIX)
    s.connect(f'{node.run_dir}/admin/metrics.sock')  # waits for its turn; with a timeout it would not
    s.settimeout(20)
    return s


def tcp_socket(node, port, address='127.0.0.1'):
    """A stream to a port in the daemon's namespace."""
    return in_netns(node.host.path, lambda: socket.create_connection((address, port), 20))


def connection(stream):
    """An HTTP connection over a stream that is there."""
    c = http.client.HTTPConnection('xskd')
    c.sock = stream
    return c


def get(node, path='/metrics', method='GET', stream=None, **kw):
    """One request; Return: the response, and its text."""
    with contextlib.closing(connection(stream or unix_socket(node))) as c:
        c.request(method, path, **kw)
        r = c.getresponse()
        return r, r.read().decode()


class Metrics:
    """One scrape."""

    def __init__(self, text):
        self.text = text
        self.families = {}
        self.samples = {}
        for family in text_string_to_metric_families(text):
            assert family.name not in self.families, f'{family.name} is there twice'
            self.families[family.name] = family
            for s in family.samples:
                key = (s.name, frozenset(s.labels.items()))
                assert key not in self.samples, f'{key} is there twice'
                assert not math.isnan(s.value), key
                self.samples[key] = s.value

    def __call__(self, name, **labels):
        """The value of one series; KeyError: it is not there."""
        return self.samples[name, frozenset((k, str(v)) for k, v in labels.items())]

    def labels(self, name):
        """All that a series' name has beside it."""
        return [dict(labels) for n, labels in self.samples if n == name]


def scrape(node, **kw):
    """All metrics now."""
    r, text = get(node, **kw)
    assert r.status == 200, r.status
    return Metrics(text)


def promtool():
    """Path of Prometheus' own checker, in a directory of its own; None: it cannot be had.

    Debian's package starts a server when it is installed, so it is unpacked instead.
    """
    where = shutil.which('promtool')
    if where:
        return where, None
    out = tempfile.mkdtemp(prefix='xskd-promtool-')
    os.chmod(out, 0o755)
    quiet = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}
    with contextlib.suppress(subprocess.SubprocessError, FileNotFoundError, StopIteration):
        subprocess.run(['apt-get', '-o', 'APT::Sandbox::User=root', 'download', 'prometheus'],
                       cwd=out, check=True, timeout=120, **quiet)
        deb = next(f for f in os.listdir(out) if f.endswith('.deb'))
        subprocess.run(['dpkg-deb', '-x', deb, 'x'], cwd=out, check=True, **quiet)
        return f'{out}/x/usr/bin/promtool', out
    return None, out
