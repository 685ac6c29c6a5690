# SPDX-License-Identifier: Apache-2.0
"""SIGKILL before and behind every system call that changes something, for each call of the protocol.

Enumerated, not sampled. After each death a new daemon must find the state before the call or the
state after it, a receiver that is there all the time must not have lost a packet, and the next call
must work. XSKD_ALL_POINTS=1 in the environment: in sanitized builds, too.
"""
import tap
from killing import ALONE, Case, KillCase, make_tests, nothing
from node import wait_for


class Kill(KillCase):
    """The daemon and its gate at once, as systemd, a container's end or a node's does it."""

    # For what clang makes of the default program, as a custom one; and nothing in the background.
    config = '{"perfmon": true, "pool": 0}'


make_tests(Kill, 'kill_everywhere')


class KillTwoPhases(KillCase):
    """Hand-offs for kernels before 6.4."""

    config = '{"handOff": "two-phase", "pool": 0}'

    def test_hand_off_and_bind(self):
        pod = self.ready_pod()
        held = []

        def call():
            c = pod.client()
            h = c.hand_off('eth0').map()
            held.append((c, h))
            c.call('BindSocket', sockets=[h.infos[0].id])

        def undo():
            while held:
                c, h = held.pop()
                h.close()
                c.close()
            wait_for(lambda: not self.sockets(), 'the end of the socket')

        def again():
            undo()
            call()
        self.kill_everywhere('hand_off, bind_socket', Case(
            nothing, lambda: again() if held else call(), undo,
            lambda: True,  # bound or not: what the client has is found, or its to give back
            lambda: held and [s.state for s in self.sockets()] == [0]))


class KillPool(KillCase):
    """A program that waits goes on a device, and off it."""

    config = '{"pool": 1}'

    def from_pool(self, case):
        """The same, when the pool has nothing to do."""
        def prepare():
            self.admin.pool_filled()
            case.prepare()
            self.admin.pool_filled()
        return case._replace(prepare=prepare)

    def test_load_program(self):
        self.kill_everywhere('load_program, from the pool', self.from_pool(self.case_load_program()))

    def test_unload_program(self):
        self.kill_everywhere('unload_program, to the pool',
                             self.from_pool(self.case_unload_program()))


class KillGate(KillCase):
    """At points of the gate's the gate alone: the daemon ends by itself."""

    config = '{"pool": 0}'

    def test_load_program(self):
        self.kill_everywhere('load_program, the gate alone', self.case_load_program(), ALONE)

    def test_hand_off(self):
        self.kill_everywhere('hand_off, the gate alone', self.case_hand_off(), ALONE)


if __name__ == '__main__':
    tap.main()
