# SPDX-License-Identifier: Apache-2.0
"""ADD and DEL killed before each of their system calls that changes something, one in each run.

Enumerated, not sampled. A runtime deletes what it has added half, so a DEL follows; and where it
forgets, the next run for any other pod does it. In the end the node is as it was.
"""
import node
import tap
from strace import StraceCase

# With CI's time in mind a sanitized plugin, three times as slow, does every third point.
STEP = 3 if node.SANITIZED else 1


class Kill(StraceCase):
    """One death in each run."""

    def points(self, calls):
        """Where to die: before what changes something, and while others work for us."""
        out = [c for before, c in zip([None, *calls], calls)
               if c.changes or (before and before.leaves_to_others)]
        self.assertGreater(len(out), 8)
        return out[::STEP]

    def kill(self, a, verb, call):
        """A run that dies before this call; Return: the answer."""
        answer = a.run(verb, before=self.strace(f'{call.name}:signal=SIGKILL:when={call.nth}'))
        self.assertEqual(answer.status, -9, f'{call}: {answer}')
        return answer

    def kill_each_add(self, config, then):
        """then(a, number): what makes the node as it was."""
        a = self.attach_again(config)
        calls = self.points(self.calls_of(a, 'ADD'))
        a.delete()
        a.result = None
        for n, call in enumerate(calls):
            answer = self.kill(a, 'ADD', call)
            then(a, n)
            left = self.left()
            if left:
                self.note(call, left, answer)
        self.report(len(calls))

    def by_del(self, a, _):
        """As a runtime does."""
        a.delete()

    def by_others(self, a, n):
        """By reconcile, and by a run for another pod."""
        if n % 2:
            self.reconcile()
        else:
            self.fails(self.attach(self.queue(), self.pod).run('CHECK'), 103)
        attached, pending = self.records()
        self.assertEqual(pending, [])
        if attached:  # it was complete, and only its answer is lost
            a.delete()

    def test_add_in_device_mode_then_del(self):
        self.kill_each_add(self.both()['device'], self.by_del)

    def test_add_in_queue_mode_then_del(self):
        self.kill_each_add(self.both()['queue'], self.by_del)

    def test_add_in_device_mode_then_others(self):
        self.kill_each_add(self.both()['device'], self.by_others)

    def test_add_in_queue_mode_then_others(self):
        self.kill_each_add(self.both()['queue'], self.by_others)

    def test_add_in_a_chain_then_del(self):
        self.pod, before = self.in_pod()
        self.before = self.plugins.state(self.admin)
        self.kill_each_add(self.network(prevResult=before), self.by_del)
        self.assertNotIn('xdp', self.pod.ip('link'))

    def kill_each_del(self, config, then):
        """Of an attachment that is complete."""
        a = self.attach_again(config)
        a.add()
        calls = self.points(self.calls_of(a, 'DEL'))
        for n, call in enumerate(calls):
            a.add()
            answer = self.kill(a, 'DEL', call)
            then(a, n)
            left = self.left()
            if left:
                self.note(call, left, answer)
        self.report(len(calls))

    def test_del_in_device_mode_then_del(self):
        self.kill_each_del(self.both()['device'], self.by_del)

    def test_del_in_queue_mode_then_del(self):
        self.kill_each_del(self.both()['queue'], self.by_del)

    def test_del_in_device_mode_then_others(self):
        self.kill_each_del(self.both()['device'], self.by_others)


if __name__ == '__main__':
    tap.main()
