#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
What became slower or faster from one JSON file of run.sh to another, beyond the noise.

A row is compared by its ratio to its floor, for the floor takes the machine's mood out of it; a row
without one by its value. Its noise is the range of the five fifths of the run and half as much again
at either end, at least 3 %: fifths that follow one another do not see all that differs between two
runs. Of two runs whose ranges, so widened, do not touch, one was slower. Rows of a single sample
have no range: 10 %. Rows that are only in one of the files are named.

Exit status: 0: nothing became slower; 1: something did; 2: the files cannot be compared.
"""
import argparse
import json
import statistics
import sys

import rows as rows_of

LEAST, SINGLE = 0.03, 0.10


def measure(row):
    """What a row is judged by: its kind, median, range."""
    if row.get("ratio"):
        return "x", row["ratio"], row["ratio_range"]
    return row["unit"], statistics.median(row["fifths"]), [min(row["fifths"]), max(row["fifths"])]


def widened(median, limits, samples):
    least = SINGLE if samples < rows_of.FIFTHS else LEAST
    half = max((limits[1] - limits[0]) / 2, least * median)
    return limits[0] - half, limits[1] + half


def change(old, new):
    """How much longer it takes, as a factor; None: within the noise."""
    kind, was, was_range = measure(old)
    kind_now, now, now_range = measure(new)
    if kind != kind_now or not was or not now:
        return None
    was_low, was_high = widened(was, was_range, old["samples"])
    low, high = widened(now, now_range, new["samples"])
    factor = was / now if new["unit"] in rows_of.RATES else now / was
    if low <= was_high and was_low <= high:
        return None
    return factor


def load(path):
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    except (OSError, ValueError) as e:
        print(f"compare.py: cannot read {path}: {e}", file=sys.stderr)
        sys.exit(2)


def tell(title, found):
    if not found:
        return
    print(f"{title}:")
    for name, old, new, factor in found:
        kind, was, was_range = measure(old)
        _, now, now_range = measure(new)
        n = rows_of.number
        print(f"  {name:<44} {n(was):>8} ({n(was_range[0])} .. {n(was_range[1])})"
              f" -> {n(now):>8} ({n(now_range[0])} .. {n(now_range[1])}) {kind:<7} x {factor:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    args = parser.parse_args()
    old, new = load(args.old), load(args.new)
    if (old["machine"], old["kernel"]) != (new["machine"], new["kernel"]):
        print("compare.py: another machine or kernel: what has no floor says nothing")
    floors = {row["base"] for row in new["rows"].values() if row["base"]}
    slower, faster, compared = [], [], 0
    for name, row in new["rows"].items():
        before = old["rows"].get(name)
        if not before or (name in floors and not row["base"]):
            continue
        compared += 1
        factor = change(before, row)
        if factor:
            (slower if factor > 1 else faster).append((name, before, row, factor))
    tell("slower", slower)
    tell("faster", faster)
    for title, one, other in (("only before", old, new), ("only now", new, old)):
        names = [name for name in one["rows"] if name not in other["rows"]]
        if names:
            print(f"{title}: {', '.join(names)}")
    print(f"{compared} rows compared with the run of {old['date']}: {len(slower)} slower, "
          f"{len(faster)} faster")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
