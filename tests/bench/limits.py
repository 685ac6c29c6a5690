#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Rows of tests/bench as the harness of floors and peers reads them (LIMITS_EXTRA): ten columns, and
names that begin with X. A row keeps its floor of the same rounds; where the harness measures a peer
of it there is a further row, "NAME : PEER", with the harness's row for a base. So its table says how
xskd stands beside gRPC, D-Bus, xdp-loader or the CNI plugins.

	LIMITS_EXTRA='tests/bench/run.sh --rows --only calls --seconds 60 BUILD' .../limits/run.sh AC

What it measured itself was measured some minutes before: a neighbour's load at either time is in
the ratio. All sections at once take longer than its time for a run allows; so --only.
"""
import sys

import rows as rows_of

PEERS = {
    "GetInfo": ["A block seqpacket same", "C gRPC C++ same", "C gRPC Go same", "C ttrpc Go same",
                "C D-Bus direct same"],
    "GetXskMap, pod": ["A block seqpacket fd same", "C gRPC C++ same", "C gRPC Go same",
                       "C D-Bus direct fd same", "C D-Bus daemon fd same"],
    "GetXskMap, pod, cross": ["A block seqpacket fd cross"],
    "connect + GetXskMap + close": ["B block seqpacket same"],
    "connect + GetXskMap + close, cross": ["B block seqpacket cross"],
    "LoadProgram": ["E raw: map+prog+link native", "E process xdp-loader load",
                    "E process ip link set xdp obj"],
    "UnloadProgram": ["E raw: detach+free", "E process xdp-loader unload",
                      "E process ip link set xdp off"],
    "LoadProgram from the pool": ["E LINK_CREATE native, prog attached elsewhere",
                                  "E process xdp-loader load", "E process ip link set xdp obj"],
    "UnloadProgram of the pool": ["E close(link) native, prog attached elsewhere",
                                  "E process xdp-loader unload", "E process ip link set xdp off"],
    "xskd_handoff_free, 4 MiB": ["F close (bound, in XSKMAP)"],
    "packets, handed-off socket": ["H XDP live frames -> AF_XDP rx native"],
    "xskd-cni VERSION": ["G exec static C", "G CNI loopback VERSION (Go)"],
}
WIDTH = 63  # of a name there


def tell(name, base, row):
    print(name[:WIDTH], base[:WIDTH], row["unit"], row["p50"], row["p99"], *row["fifths"], sep="\t")


for note in rows_of.read_notes(sys.argv[1]):
    print(f"# {note}")
for name, measured in rows_of.read(sys.argv[1]).items():
    tell(f"X {name}", f"X {measured['base']}" if measured["base"] else "-", measured)
    for peer in PEERS.get(name, []):
        tell(f"X {name} : {peer}", peer, measured)
