# SPDX-License-Identifier: Apache-2.0
"""Every system call of the daemon that changes something fails in turn, for each call of the protocol.

The caller gets a status with a text, or, where the reply itself could not be sent, the end of its
connection; the state is the one before or the one after; no pin or file is left behind the sweep
and the same call, which works when it is made again; and in the end no descriptor.
"""
import contextlib
import errno

import tap
from killing import FAIL, STEP, KillCase, Row, make_tests
from node import Closed, Refused, wait_for

ERRORS = (errno.ENOMEM, errno.ENOSPC, errno.EMFILE, errno.EBUSY)


class Failing(KillCase):
    """One failure at a time."""

    config = '{"perfmon": true, "pool": 0}'  # as in test_kill.py

    def assert_clear(self, e, where):
        """A code of gRPC's that says something, and a text."""
        self.assertNotIn(e.code, ('OK', 'UNKNOWN'), where)
        self.assertGreater(len(e.text), 10, where)

    def fail_at(self, case, at, error, where):
        """One failure. Return: whether there was one."""
        self.arm(at, FAIL, error)
        try:
            case.call()
        except Refused as e:
            self.assert_clear(e, where)
        except (Closed, OSError):  # its reply could not be sent
            self.reconnect()
        failed = self.node.passed() >= at
        self.node.disarm()
        return failed

    def fail_everywhere(self, name, case):
        """At each point, with each error."""
        case.prepare()
        points = self.count_points(case.call, FAIL)
        case.undo()
        failures = 0
        for error in ERRORS:
            for at in range(1, points + 1, STEP):
                where = f'{name}, point {at} of {points}, {errno.errorcode[error]}'
                case.prepare()
                failures += self.fail_at(case, at, error, where)
                self.assertTrue(self.node.alive(), where)
                # What could not be taken back at once, the sweep takes back.
                with contextlib.suppress(AssertionError):
                    wait_for(lambda: not self.strays(), where, timeout=3, step=0.05)
                if self.strays():  # or whoever was told of the failure, asking again
                    case.call()
                self.assert_no_strays(where)
                wait_for(lambda: case.before() or case.after(), f'{where}: {self.state()}')
                if not case.after():
                    case.call()
                    self.assertTrue(case.after(), f'{where}: the next call: {self.state()}')
                case.undo()
        self.assertGreaterEqual(failures, points // STEP * len(ERRORS) // 2)
        self.rows.append(Row(name, points, failures, self.ask_witness()))


make_tests(Failing, 'fail_everywhere')


if __name__ == '__main__':
    tap.main()
