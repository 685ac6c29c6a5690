# SPDX-License-Identifier: Apache-2.0
"""What the programs of tests/bench/ in Python share: rows (rows.h), their ratios and verdicts."""
import re
import statistics

FIFTHS = 5
RATES = ("Mpps", "1000/s", "1/s")  # more of these is better, of all else less


def read(path):
    rows = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.startswith("#"):
                continue
            name, base, unit, p50, p99, *rest = line.rstrip("\n").split("\t")
            rows[name] = {
                "base": None if base == "-" else base,
                "unit": unit,
                "p50": float(p50),
                "p99": float(p99),
                "fifths": [float(x) for x in rest[:FIFTHS]],
                "target": None if rest[FIFTHS] == "-" else rest[FIFTHS],
                "samples": int(rest[FIFTHS + 1]),
                "p99_fifths": [float(x) for x in rest[FIFTHS + 2:]],
            }
    return rows


def read_notes(path):
    """What was not measured, and why (row_note)."""
    with open(path, encoding="utf-8") as f:
        return [line[1:].strip() for line in f if line.startswith("#")]


def ratio_of(row, base, key):
    """Median of the fifths' ratios, and their range; None where there is nothing to divide by."""
    if not base or not base[key] or not all(base[key]) or len(row[key]) != len(base[key]):
        return None, None
    ratios = sorted(a / b for a, b in zip(row[key], base[key]))
    return statistics.median(ratios), [ratios[0], ratios[-1]]


def is_met(row, target):
    """One of "<=1.2x", "p99<=1.25x", "<=256": with an x it is the ratio's, else the value's."""
    of_p99, sense, limit, of_ratio = re.fullmatch(r"(p99)?([<>]=)([\d.]+)(x?)", target).groups()
    key = "p99" if of_p99 else "p50"
    value = row.get("p99_ratio" if of_p99 else "ratio") if of_ratio else row[key]
    if value is None:
        return None
    return value <= float(limit) if sense == "<=" else value >= float(limit)


def judge(rows):
    """The ratio is the median over the fifths; its range is the noise."""
    for row in rows.values():
        base = rows.get(row["base"])
        ratio, ratio_range = ratio_of(row, base, "fifths")
        if ratio is not None:
            row["floor_p50"] = base["p50"]
            row["ratio"], row["ratio_range"] = ratio, ratio_range
            row["p99_ratio"], row["p99_ratio_range"] = ratio_of(row, base, "p99_fifths")
        met = [is_met(row, t) for t in (row["target"] or "").split()]
        met = [m for m in met if m is not None]
        if met:
            row["verdict"] = "ok" if all(met) else "missed"


def number(x):
    return f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 1000 else f"{x:.0f}"
