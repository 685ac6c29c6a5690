# SPDX-License-Identifier: Apache-2.0
"""Each system call of an ADD that changes something or asks somebody fails, one in each run.

Enumerated, not sampled: ADD is traced once, then run once for each of its calls with that call
failing. Where ADD fails for it, the node is as it was before at once; where it goes on, DEL makes
it so. Then the calls of a roll-back fail, and DEL mends what that has left.
"""
import collections

import tap
from strace import ERRORS, StraceCase

# Behind these the plugin must not go on (it would work in a wrong namespace): it aborts.
ABORTS = {'setns': 2}


class Faults(StraceCase):
    """One failure in each run."""

    def points(self, calls):
        """The calls to fail: each, but of many writes to the same file the first and the last."""
        out = []
        for i, call in enumerate(calls):
            again = [c.name == call.name == 'write' and c.fd == call.fd
                     for c in calls[max(i - 1, 0):i] + calls[i + 1:i + 2]]
            if all(again) and len(again) == 2:
                continue
            if call.name == 'write' and call.fd in (1, 2):  # nobody can be told of it
                continue
            out.append(call)
        return out

    def fail_one(self, a, call):
        """ADD with this call failing; Return: the answer."""
        answer = a.run('ADD', before=self.strace(
            f'{call.name}:error={ERRORS[call.name]}:when={call.nth}'))
        self.assertTrue(self.injected(), call)
        return answer

    def fail_each(self, config):
        """Of an ADD that would succeed."""
        a = self.attach_again(config)
        calls = self.points(self.calls_of(a, 'ADD'))
        a.delete()
        self.assertGreater(len(calls), 60)
        harmless = []
        for call in calls:
            answer = self.fail_one(a, call)
            if answer.ok or answer.status < 0:
                harmless.append(call.name)
                aborts = call.nth == ABORTS.get(call.name)
                if answer.status < 0 and not aborts:
                    self.note(f'{call}: killed', {}, answer)
                a.delete()
            left = self.left()
            if left:
                self.note(call, left, answer)
        # It goes on where that is harmless: bus addresses, kernel's words, a signal more or less.
        tap.comment(f'harmless: {dict(collections.Counter(harmless))}')
        self.assertLess(len(harmless), len(calls) // 3)
        self.report(len(calls))

    def test_device_mode(self):
        self.fail_each(self.both()['device'])

    def test_queue_mode(self):
        self.fail_each(self.both()['queue'])

    def fail_each_of_a_roll_back(self, config):
        """Of an ADD that fails as late as possible: the lease is refused."""
        a = self.attach_again(config)
        calls = self.calls_of(a, 'ADD', ok=False)
        last = max(i for i, c in enumerate(calls) if c.name == 'sendmsg')
        calls = self.points(calls[last + 1:])
        self.assertGreater(len(calls), 10)
        for call in calls:
            answer = self.fail_one(a, call)
            if answer.ok or answer.status < 0:
                self.note(f'{call}: no error', {}, answer)
            a.delete()
            left = self.left()
            if left:
                self.note(call, left, answer)
        self.report(len(calls))

    def test_roll_back_in_device_mode(self):
        self.fail_each_of_a_roll_back(self.both(queues=[0, 9])['device'])

    def test_roll_back_in_queue_mode(self):
        self.fail_each_of_a_roll_back(self.both(queues=[0, 9])['queue'])


if __name__ == '__main__':
    tap.main()
