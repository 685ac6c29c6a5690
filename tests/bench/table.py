#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rows of tests/bench (rows.h) to a table and a JSON file; a trace of system calls to rows."""
import argparse
import datetime
import json
import os
import platform
import re
import statistics


def read_rows(path):
    rows = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            name, base, unit, p50, p99, *rest = line.rstrip("\n").split("\t")
            rows[name] = {
                "base": None if base == "-" else base,
                "unit": unit,
                "p50": float(p50),
                "p99": float(p99),
                "fifths": [float(x) for x in rest[:5]],
                "target": None if rest[5] == "-" else rest[5],
                "samples": int(rest[6]),
            }
    return rows


def judge(rows):
    """The ratio is the median over the fifths; its range is the noise."""
    for row in rows.values():
        base = rows.get(row["base"])
        if base and all(base["fifths"]):
            ratios = sorted(a / b for a, b in zip(row["fifths"], base["fifths"]))
            row["floor_p50"] = base["p50"]
            row["ratio"] = statistics.median(ratios)
            row["ratio_range"] = [ratios[0], ratios[-1]]
        if row["target"]:
            sense, limit, of_ratio = re.fullmatch(r"([<>]=)([\d.]+)(x?)", row["target"]).groups()
            value = row["ratio"] if of_ratio else row["p50"]
            good = value <= float(limit) if sense == "<=" else value >= float(limit)
            row["verdict"] = "ok" if good else "missed"


def number(x):
    return f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 1000 else f"{x:.0f}"


def print_table(rows):
    floors = {row["base"] for row in rows.values()}
    form = "{:<40} {:>7} {:>8} {:>8}  {:<7} {:<22} {:<8} {}"
    print(form.format("row", "p50", "p99", "floor", "unit", "ratio (range)", "target", ""))
    for name, row in rows.items():
        if name in floors:
            continue
        ratio = ""
        if "ratio" in row:
            low, high = row["ratio_range"]
            ratio = f"{row['ratio']:.2f} ({low:.2f} .. {high:.2f})"
        print(form.format(
            name, number(row["p50"]), number(row["p99"]) if row["samples"] > 1 else "",
            number(row["floor_p50"]) if "ratio" in row else "", row["unit"], ratio,
            row["target"] or "", row.get("verdict", "")).rstrip())


def machine():
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    return {"cpu": model, "cpus": os.cpu_count(), "arch": platform.machine()}


def table(args):
    rows = read_rows(args.rows)
    judge(rows)
    with open("/proc/loadavg", encoding="utf-8") as f:
        load_after = " ".join(f.read().split()[:3])
    report = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "kernel": platform.release(),
        "load_before": args.load,
        "load_after": load_after,
        "took_s": args.took,
        "rows": rows,
    }
    with open(args.json, "w", encoding="utf-8") as f:
        json.dump(report, f, indent=1)
        f.write("\n")
    m = report["machine"]
    print(f"Linux {report['kernel']}, {m['cpus']} CPUs, {m['cpu']}, {report['date']}; "
          f"load before {args.load}, after {load_after}; took {args.took} s")
    print_table(rows)
    missed = [name for name, row in rows.items() if row.get("verdict") == "missed"]
    asked = sum("verdict" in row for row in rows.values())
    print(f"{asked - len(missed)} of {asked} targets met" + "".join(f"; missed: {n}" for n in missed))


def count_calls(path):
    """Prints how many system calls each side makes between two marks (handoff.c)."""
    client, what, counts = None, None, {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            pid, _, call = line.partition(" ")
            mark = re.match(r'\s*write\(-1, "(begin |end)([^"]*)"', call)
            if mark:
                client = pid
                what = mark[2] if mark[1] == "begin " else None
            elif what and "resumed>" not in call and re.match(r"\s*\w+\(", call):
                side = "client" if pid == client else "daemon"
                counts.setdefault(what, {"client": 0, "daemon": 0})[side] += 1
    for what, sides in counts.items():
        for side, n in sides.items():
            if n:
                print(f"{what}, system calls of the {side}", "-", "calls", n, n, *[n] * 5, "-", 1,
                      sep="\t")


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--trace")
parser.add_argument("--rows")
parser.add_argument("--json")
parser.add_argument("--load")
parser.add_argument("--took", type=int)
arguments = parser.parse_args()
if arguments.trace:
    count_calls(arguments.trace)
else:
    table(arguments)
