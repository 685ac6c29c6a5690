#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
A picture (SVG) of each curve in a JSON file of run.sh: plot.py FILE DIR.

A curve is a row that is there for several sizes, "GetXskMap, 64 leases". Drawn is its median over
the size with the range of the fifths as a band, and its floor, dashed. Both axes are logarithmic
but the one of a rate. Colours follow the reader's choice of light or dark.
"""
import json
import math
import os
import re
import sys

import rows as rows_of

WIDTH, HEIGHT = 640, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 28, 52, 116
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f } .title { font-size: 15px }
.back { fill: #ffffff } .grid { stroke: #d0d7de } .axis { stroke: #57606a }
.line { fill: none; stroke-width: 2 } .band { opacity: .18 } .floor { stroke-dasharray: 6 4 }
.s0 { stroke: #0969da } .f0 { fill: #0969da } .s1 { stroke: #bc4c00 } .f1 { fill: #bc4c00 }
.s2 { stroke: #1a7f37 } .f2 { fill: #1a7f37 } .s3 { stroke: #8250df } .f3 { fill: #8250df }
.s4 { stroke: #bf3989 } .f4 { fill: #bf3989 } .s5 { stroke: #6e7781 } .f5 { fill: #6e7781 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .back { fill: #0d1117 } .grid { stroke: #30363d } .axis { stroke: #8b949e }
.s0 { stroke: #58a6ff } .f0 { fill: #58a6ff } .s1 { stroke: #f0883e } .f1 { fill: #f0883e }
.s2 { stroke: #3fb950 } .f2 { fill: #3fb950 } .s3 { stroke: #bc8cff } .f3 { fill: #bc8cff }
.s4 { stroke: #f778ba } .f4 { fill: #f778ba } .s5 { stroke: #8b949e } .f5 { fill: #8b949e }
}
"""

# File, title, what the horizontal axis counts, unit of the vertical one, rows: each with its floor,
# or with that of the one before it. A row and its floor have a colour.
PICTURES = [
    ("connections-rate", "Calls per second of clients that all ask at once", "connection", "1000/s",
     [("GetXskMap calls", "epoll calls")]),
    ("connections-cpu", "CPU time of the server for one call", "connection", "us",
     [("GetXskMap daemon CPU", "epoll server CPU")]),
    ("leases-small", "Calls that change nothing",
     "lease", "us", [("GetXskMap", "ping + fd"), ("GetInfo", None), ("GetStats", None)]),
    ("leases-large", "Calls that change something",
     "lease", "us", [("HandOffSocket", "bare socket"),
                     ("LoadProgram + UnloadProgram", "attach + detach"),
                     ("GrantLease + RevokeLease", "keep a file + remove it")]),
    ("queues-rate", "Packets per second from so many queues at once", "queue", "Mpps",
     [("packets, handed-off sockets", "packets, hand-made sockets")]),
]


COUNTED = {"lease": "programs and leases that the daemon has"}


def curve(rows, name, thing):
    """Points (size, median, low, high) of rows "NAME, N THINGs"."""
    points = []
    for full, row in rows.items():
        m = re.fullmatch(re.escape(name) + r", (\d+) " + thing + "s?", full)
        if m and row["p50"] > 0:
            points.append((int(m[1]), row["p50"], min(row["fifths"]), max(row["fifths"])))
    return sorted(points)


def ticks_log(low, high):
    found, at = [], 10 ** math.floor(math.log10(low))
    while at <= high * 1.001:
        found += [at * k for k in (1, 2, 5) if low * .999 <= at * k <= high * 1.001]
        at *= 10
    return found


def ticks_linear(high):
    step = 10 ** math.floor(math.log10(high))
    step = step if high / step >= 4 else step / 2 if high / step >= 2 else step / 5
    return [step * i for i in range(int(high / step) + 1)]


class Axis:
    """From values to places."""

    def __init__(self, values, start, end, log):
        self.log, self.start, self.end = log, start, end
        self.low, self.high = (min(values), max(values)) if log else (0, max(values) * 1.08)
        if log and self.high < self.low * 4:  # or noise would fill the picture
            self.low, self.high = self.low / 2, self.high * 2

    def at(self, value):
        part = (math.log(value / self.low) / math.log(self.high / self.low) if self.log
                else value / self.high)
        return self.start + part * (self.end - self.start)


def draw(title, thing, unit, curves):
    counted = COUNTED.get(thing, thing + "s")
    sizes = sorted({p[0] for points in curves.values() for p in points})
    values = [v for points in curves.values() for p in points for v in p[1:] if v > 0]
    x = Axis(sizes, LEFT, WIDTH - RIGHT, True)
    x.low, x.high = sizes[0], sizes[-1]
    y = Axis(values, HEIGHT - BOTTOM, TOP, unit not in rows_of.RATES)
    said = {"us": "µs", "1000/s": "1000 calls per second", "Mpps": "million packets per second"}
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           f'width="{WIDTH}" height="{HEIGHT}" role="img">', f"<title>{title}</title>",
           f"<style>{STYLE}</style>", f'<rect class="back" width="{WIDTH}" height="{HEIGHT}"/>',
           f'<text class="title" x="{LEFT}" y="22">{title}</text>',
           f'<text x="{LEFT}" y="42">{said.get(unit, unit)}</text>']
    for t in ticks_log(y.low, y.high) if y.log else ticks_linear(y.high):
        at = y.at(t)
        out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" '
                   f'y2="{at:.1f}"/><text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">'
                   f"{t:g}</text>")
    for size in sizes:
        at = x.at(size)
        out.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" '
                   f'y2="{HEIGHT - BOTTOM}"/><text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" '
                   f'text-anchor="middle">{size:,}</text>')
    out.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" '
               f'y2="{HEIGHT - BOTTOM}"/><text x="{(LEFT + WIDTH - RIGHT) / 2}" '
               f'y="{HEIGHT - BOTTOM + 38}" text-anchor="middle">{counted}</text>')
    for place, ((name, colour, floor), points) in enumerate(curves.items()):
        up = [f"{x.at(p[0]):.1f},{y.at(p[3]):.1f}" for p in points]
        down = [f"{x.at(p[0]):.1f},{y.at(max(p[2], y.low)):.1f}" for p in reversed(points)]
        dashed = " floor" if floor else ""
        line = " ".join(f"{x.at(p[0]):.1f},{y.at(p[1]):.1f}" for p in points)
        out.append(f'<polygon class="band f{colour}" points="{" ".join(up + down)}"/>'
                   f'<polyline class="line s{colour}{dashed}" points="{line}"/>')
        out += [f'<circle class="f{colour}" cx="{x.at(p[0]):.1f}" cy="{y.at(p[1]):.1f}" r="3"/>'
                for p in points]
        left, top = LEFT + place % 2 * 280, HEIGHT - 56 + place // 2 * 20
        out.append(f'<line class="line s{colour}{dashed}" x1="{left}" x2="{left + 30}" y1="{top}" '
                   f'y2="{top}"/><text x="{left + 38}" y="{top + 4}">{name}'
                   f'{" (floor)" if floor else ""}</text>')
    return "\n".join(out + ["</svg>", ""])


def main():
    if len(sys.argv) != 3:
        print("usage: plot.py FILE DIR", file=sys.stderr)
        return 2
    with open(sys.argv[1], encoding="utf-8") as f:
        rows = json.load(f)["rows"]
    os.makedirs(sys.argv[2], exist_ok=True)
    for file, title, thing, unit, names in PICTURES:
        curves = {}
        for colour, (name, floor) in enumerate(names):
            curves[name, colour, False] = curve(rows, name, thing)
            if floor:
                curves[floor, colour, True] = curve(rows, floor, thing)
        curves = {key: points for key, points in curves.items() if len(points) > 1}
        if not curves:
            continue
        path = os.path.join(sys.argv[2], file + ".svg")
        with open(path, "w", encoding="utf-8") as f:
            f.write(draw(title, thing, unit, curves))
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
