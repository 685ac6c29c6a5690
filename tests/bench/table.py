#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rows of tests/bench (rows.h) to a table and a JSON file."""
import argparse
import datetime
import json
import os
import platform

import rows as rows_of

FORM = "{:<44} {:>7} {:>8} {:>8}  {:<7} {:<22} {:<7} {:<16} {}"


def spread(row, key):
    if row.get(key) is None:
        return ""
    low, high = row[key + "_range"]
    return f"{row[key]:.2f} ({low:.2f} .. {high:.2f})"


def print_table(rows):
    floors = {row["base"] for row in rows.values()}
    number = rows_of.number
    print(FORM.format("row", "p50", "p99", "floor", "unit", "ratio (range)", "of p99", "target",
                      "").rstrip())
    for name, row in rows.items():
        if name in floors and "ratio" not in row:
            continue
        p99_ratio = row.get("p99_ratio")
        print(FORM.format(
            name, number(row["p50"]), number(row["p99"]) if row["samples"] > 1 else "",
            number(row["floor_p50"]) if "ratio" in row else "", row["unit"], spread(row, "ratio"),
            "" if p99_ratio is None else f"{p99_ratio:.2f}",
            row["target"] or "", row.get("verdict", "")).rstrip())


def machine():
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    return {"cpu": model, "cpus": os.cpu_count(), "arch": platform.machine()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--load", required=True)
    parser.add_argument("--took", type=int, required=True)
    args = parser.parse_args()
    rows = rows_of.read(args.rows)
    rows_of.judge(rows)
    notes = rows_of.read_notes(args.rows)
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
        "notes": notes,
    }
    with open(args.json, "w", encoding="utf-8") as f:
        json.dump(report, f, indent=1)
        f.write("\n")
    m = report["machine"]
    print(f"Linux {report['kernel']}, {m['cpus']} CPUs, {m['cpu']}, {report['date']}; "
          f"load before {args.load}, after {load_after}; took {args.took} s")
    print_table(rows)
    for note in notes:
        print(note)
    missed = [name for name, row in rows.items() if row.get("verdict") == "missed"]
    asked = sum("verdict" in row for row in rows.values())
    print(f"{asked - len(missed)} of {asked} targets met"
          + "".join(f"; missed: {n}" for n in missed))


main()
