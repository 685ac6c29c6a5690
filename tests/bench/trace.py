#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A trace of system calls (handoff.c) to rows and notes: what each side calls between two marks."""
import collections
import re
import sys


def count(path):
    client, what, counts = None, None, {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            pid, _, call = line.partition(" ")
            mark = re.match(r'\s*write\(-1, "(begin |end)([^"]*)"', call)
            if mark:
                client = pid
                what = mark[2] if mark[1] == "begin " else None
                continue
            name = re.match(r"\s*(\w+)\(", call)
            if what and name and "resumed>" not in call:
                sides = counts.setdefault(what, {})
                side = "client" if pid == client else "daemon"
                sides.setdefault(side, collections.Counter())[name[1]] += 1
    return counts


for title, sides in count(sys.argv[1]).items():
    for where, calls in sides.items():
        n = calls.total()
        print(f"{title}, system calls of the {where}", "-", "calls", n, n, *[n] * 5, "-", 1,
              sep="\t")
        print(f"# {title}, {where}: "
              + ", ".join(f"{k} {name}" if k > 1 else name for name, k in calls.most_common()))
