#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is made of the rows of tests/bench: ratios, verdicts, comparison, pictures, rows for others."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.dom.minidom

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
import compare  # noqa: E402
import plot  # noqa: E402
import rows  # noqa: E402
import tap  # noqa: E402


def line(name, base, unit, fifths, target="-", p99=(), samples=500):
    middle = sorted(fifths)[2]
    return "\t".join(map(str, [name, base, unit, middle, max(p99 or fifths), *fifths, target,
                               samples, *p99]))


class Figures(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.dir = scratch.name

    def write(self, name, *lines):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write("".join(text + "\n" for text in lines))
        return path

    def rows(self, *lines):
        found = rows.read(self.write("rows", *lines))
        rows.judge(found)
        return found

    def report(self, name, *lines, kernel="6.1"):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"date": "2026-01-01", "machine": {"cpus": 2}, "kernel": kernel,
                       "rows": self.rows(*lines)}, f)
        return path

    def run_script(self, script, *args):
        done = subprocess.run([sys.executable, os.path.join(HERE, script), *args], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return done.returncode, done.stdout + done.stderr


class Rows(Figures):
    def test_ratio_is_the_median_of_the_fifths(self):
        row = self.rows(line("floor", "-", "us", [1, 2, 3, 4, 5]),
                        line("ours", "floor", "us", [2, 2, 9, 8, 20]))["ours"]
        self.assertEqual((row["ratio"], row["ratio_range"]), (2, [1, 4]))

    def test_targets(self):
        floor = line("floor", "-", "us", [10] * 5, p99=[20] * 5)
        for target, verdict in (("<=1.2x", "ok"), ("<=1.1x", "missed"), (">=1.1x", "ok"),
                                ("<=12", "ok"), ("<=11", "missed"), ("p99<=1.5x", "ok"),
                                ("p99<=1.4x", "missed"), ("<=1.2x p99<=1.4x", "missed"),
                                ("<=1.2x p99<=1.6x", "ok")):
            row = self.rows(floor, line("ours", "floor", "us", [12] * 5, target, [30] * 5))["ours"]
            self.assertEqual(row["verdict"], verdict, target)

    def test_no_verdict_where_there_was_no_floor(self):
        row = self.rows(line("ours", "floor", "us", [12] * 5, "<=1.2x"))["ours"]
        self.assertNotIn("verdict", row)

    def test_notes_are_no_rows(self):
        path = self.write("rows", "# left out", line("a", "-", "us", [1] * 5))
        self.assertEqual((list(rows.read(path)), rows.read_notes(path)), (["a"], ["left out"]))


class Compare(Figures):
    def factor(self, old, new, unit="us", samples=500):
        a, b = (self.rows(line("x", "-", unit, fifths, samples=samples))["x"]
                for fifths in (old, new))
        return compare.change(a, b)

    def test_slower_and_faster(self):
        self.assertAlmostEqual(self.factor([10, 10, 10, 10.1, 9.9], [20, 20, 20, 20.1, 19.9]), 2)
        self.assertAlmostEqual(self.factor([20, 20, 20, 20.1, 19.9], [10, 10, 10, 10.1, 9.9]), 0.5)

    def test_of_a_rate_less_is_slower(self):
        self.assertAlmostEqual(self.factor([10] * 5, [5] * 5, "Mpps"), 2)

    def test_noise(self):
        self.assertIsNone(self.factor([10, 12, 14, 11, 13], [15, 16, 15, 17, 16]))
        self.assertIsNone(self.factor([10] * 5, [10.4] * 5))
        self.assertIsNone(self.factor([10] * 5, [11.5] * 5, samples=1))
        self.assertIsNotNone(self.factor([10] * 5, [11.5] * 5))

    def test_the_floor_takes_the_machine_out(self):
        old = self.rows(line("f", "-", "us", [1] * 5), line("x", "f", "us", [2] * 5))["x"]
        new = self.rows(line("f", "-", "us", [3] * 5), line("x", "f", "us", [6] * 5))["x"]
        self.assertIsNone(compare.change(old, new))

    def test_exit_status(self):
        old = self.report("old", line("x", "-", "us", [10] * 5), line("gone", "-", "us", [1] * 5))
        slow = self.report("slow", line("x", "-", "us", [20] * 5), line("new", "-", "us", [1] * 5))
        self.assertEqual(self.run_script("compare.py", old, old)[0], 0)
        status, said = self.run_script("compare.py", old, slow)
        self.assertEqual(status, 1)
        self.assertRegex(said, r"(?s)slower:\n  x .*x 2\.00.*only before: gone.*only now: new")
        self.assertEqual(self.run_script("compare.py", slow, old)[0], 0)
        self.assertEqual(self.run_script("compare.py", old, self.dir + "/none")[0], 2)

    def test_another_kernel_is_said(self):
        old = self.report("old", line("x", "-", "us", [10] * 5))
        new = self.report("new", line("x", "-", "us", [10] * 5), kernel="6.2")
        self.assertIn("another machine or kernel", self.run_script("compare.py", old, new)[1])


class Pictures(Figures):
    def test_curve_with_its_floor(self):
        path = self.report("r", *(line(f"{name}, {n} connection{'s' if n > 1 else ''}", "-",
                                       "1000/s", [n + k for k in range(5)])
                                  for name in ("GetXskMap calls", "epoll calls")
                                  for n in (1, 16, 256)))
        status, said = self.run_script("plot.py", path, self.dir + "/out")
        self.assertEqual((status, os.listdir(self.dir + "/out")), (0, ["connections-rate.svg"]))
        self.assertIn("connections-rate.svg", said)
        svg = xml.dom.minidom.parse(self.dir + "/out/connections-rate.svg")
        lines = svg.getElementsByTagName("polyline")
        self.assertEqual(["floor" in at.getAttribute("class") for at in lines], [False, True])
        for at in lines:
            points = [tuple(map(float, p.split(","))) for p in at.getAttribute("points").split()]
            self.assertEqual(len(points), 3)
            self.assertEqual(points, sorted(points))
            self.assertTrue(all(0 < x < plot.WIDTH and 0 < y < plot.HEIGHT for x, y in points))

    def test_logarithmic_from_a_tenth_to_thousands(self):
        self.assertEqual(plot.ticks_log(0.5, 20), [0.5, 1, 2, 5, 10, 20])


class Others(Figures):
    def test_rows_beside_peers(self):
        path = self.write("rows", line("ping + fd", "-", "us", [1] * 5),
                          line("GetXskMap, pod", "ping + fd", "us", [2] * 5, "<=1.2x", [3] * 5))
        status, said = self.run_script("limits.py", path)
        told = [text.split("\t") for text in said.splitlines()]
        self.assertEqual((status, {len(columns) for columns in told}), (0, {10}))
        bases = [columns[1] for columns in told]
        self.assertEqual(bases[:3], ["-", "X ping + fd", "A block seqpacket fd same"])

    def test_system_calls_of_each_side(self):
        path = self.write("trace", '10 write(-1, "begin one", 9) = -1', "10 read(3, ) = 1",
                          "10 close(3) = 0", "11 read(4 <unfinished ...>", "11 <... read resumed>",
                          '10 write(-1, "end", 3) = -1', "10 close(4) = 0")
        said = self.run_script("trace.py", path)[1]
        self.assertIn("one, system calls of the client\t-\tcalls\t2\t", said)
        self.assertIn("one, system calls of the daemon\t-\tcalls\t1\t", said)
        self.assertIn("# one, client: read, close", said)


if __name__ == "__main__":
    tap.main()
