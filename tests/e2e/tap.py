# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of a file and prints TAP: what tests/run.sh reads."""
import os
import sys
import time
import traceback
import unittest


def comment(text):
    """Diagnostics, as TAP wants them."""
    for line in text.rstrip('\n').split('\n'):
        print('# ' + line)


class Result(unittest.TestResult):
    """Prints a line for each test as it ends."""

    def __init__(self):
        super().__init__()
        self.number = 0
        self.bad = 0
        self.began = 0.0

    def line(self, good, test, more=''):
        """One line of TAP."""
        self.number += 1
        self.bad += not good
        name = test.id().replace('__main__.', '') if hasattr(test, 'id') else str(test)
        took = time.monotonic() - self.began if self.began else 0
        print(f"{'ok' if good else 'not ok'} {self.number} - {name}"
              f"{' # ' + more if more else f' ({took * 1000:.0f} ms)'}", flush=True)

    def failed(self, test, err):
        """A failure with its story, and the daemon's."""
        self.line(False, test)
        comment(''.join(traceback.format_exception(*err)))
        node = getattr(test, 'node', None)
        if node:
            comment(f'the daemon\'s log, {node.log_path}:')
            comment(node.log_since(getattr(test, 'log_at', 0))[-12000:])
        sys.stdout.flush()

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def addSuccess(self, test):
        self.line(True, test)

    def addFailure(self, test, err):
        self.failed(test, err)

    def addError(self, test, err):
        self.failed(test, err)

    def addSubTest(self, test, subtest, err):
        if err:
            self.failed(subtest, err)

    def addSkip(self, test, reason):
        self.line(True, test, f'SKIP {reason}')

    def addExpectedFailure(self, test, err):
        self.line(True, test, 'TODO known')

    def addUnexpectedSuccess(self, test):
        self.line(False, test)


def select(suite, names):
    """The tests whose names contain one of the words; all, where there are none."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from select(item, names)
        elif not names or any(n in item.id() for n in names):
            yield item


def main():
    """Run the tests of __main__, or those that the arguments name; exit status 1 on failure."""
    tests = list(select(unittest.defaultTestLoader.loadTestsFromModule(sys.modules['__main__']),
                        sys.argv[1:]))
    if not tests:
        print(f"Bail out! no test named {' '.join(sys.argv[1:])}")
        sys.exit(1)
    if not os.path.exists(f"{os.environ.get('XSKD_BUILD', 'build')}/server/xskd"):
        print('Bail out! XSKD_BUILD has to name a directory where xskd is built')
        sys.exit(1)
    if os.geteuid() != 0:
        print('1..0 # SKIP needs root')
        sys.exit(0)
    result = Result()
    unittest.TestSuite(tests).run(result)
    # At the end, for a failure of a whole class has a line of its own.
    print(f'1..{result.number}')
    sys.exit(1 if result.bad else 0)
