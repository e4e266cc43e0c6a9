"""Programs that sleep or wait for events: to them nothing is different, and what they had in use and freed goes back."""

import pathlib
import unittest

from hakmem.testing.harness import process

FOLDER = pathlib.Path("hakmem/testing/preload")
PYTHON = "/usr/bin/python3"

# Each round allocates what the last has freed: the process has earned the right to keep it. Blocks of 300 bytes are cached by
# the thread as well.
SWINGS = """
import os, select, socket, sys, threading, time
def resident(): return int(open("/proc/self/statm").read().split()[1]) * 4096
def swing():
    for _ in range(8):
        blocks = [bytes(300 + i % 7) for i in range(100000)] + [bytes(100000 + i) for i in range(200)]
        del blocks
swing()
freed = resident()
here, there = socket.socketpair()
{waits}
print(freed - resident())
"""
SECOND = {
    "sleep": "time.sleep(1)",
    "short sleeps": "for _ in range(100): time.sleep(0.01)",
    "poll": "poll = select.poll(); poll.register(here, select.POLLIN); assert not poll.poll(1000)",
    "select": "assert select.select([here], [], [], 1) == ([], [], [])",
    "epoll": "epoll = select.epoll(); epoll.register(here); assert epoll.poll(1) == [(here.fileno(), select.EPOLLOUT)]\n"
    "epoll.modify(here, select.EPOLLIN); assert not epoll.poll(1)",
    "for ever": "threading.Timer(1, lambda: there.send(b'x')).start()\n"
    "poll = select.poll(); poll.register(here, select.POLLIN); assert poll.poll() == [(here.fileno(), select.POLLIN)]",
}
MIB = 1 << 20


@process.not_on_musl("the library stands in front of glibc's calls only")
class Waits(unittest.TestCase):
    def test_a_wait_is_what_it_is_without_hakmem(self) -> None:
        for preload, env in (([], {}), ([process.LIBRARY], {}), ([process.LIBRARY], {"HAKMEM_DECAY_MS": "15"})):
            with self.subTest(preload=preload, env=env):
                outcome = process.run(FOLDER / "waits", preload=preload, env=env)
                self.assertEqual((outcome.status, outcome.stdout, outcome.stderr), (0, "ok\n", ""), str(outcome))

    def given_back(self, waits: str, **env: str) -> int:
        outcome = process.run(PYTHON, "-c", SWINGS.format(waits=waits), preload=[process.LIBRARY],
                              env={"PYTHONMALLOC": "malloc", "HAKMEM_DECAY_MS": "150", **env})
        self.assertEqual((outcome.status, outcome.stderr), (0, ""), str(outcome))
        return int(outcome.stdout)

    @process.not_emulated("the machine's Python is a program of this processor")
    def test_memory_goes_back_in_waits_of_every_kind(self) -> None:
        for kind, waits in SECOND.items():
            with self.subTest(kind):
                self.assertGreater(self.given_back(waits), 30 * MIB)

    @process.not_emulated("the machine's Python is a program of this processor")
    def test_it_stays_where_the_option_says_so(self) -> None:
        self.assertLess(self.given_back(SECOND["sleep"], HAKMEM_PURGE_IN_WAITS="0"), 10 * MIB)


if __name__ == "__main__":
    unittest.main()
