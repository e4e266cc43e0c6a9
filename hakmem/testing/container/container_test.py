"""Threads that burst in turn, in a memory control group of their own: of version 2 where that can be made, else of version 1."""

import os
import pathlib
import re
import unittest

from hakmem.testing.harness import process

BURSTS = pathlib.Path("hakmem/testing/container/bursts")
CYCLES = pathlib.Path("hakmem/testing/torture/cycles")
MIB = 1024 * 1024
V2, V1 = pathlib.Path("/sys/fs/cgroup"), pathlib.Path("/sys/fs/cgroup/memory")


class Group:
    """A memory control group with a limit; everything that runs in it has ended before it goes."""

    def __init__(self, limit_mib: int) -> None:
        self.is_v2 = (V2 / "cgroup.controllers").exists()
        self.folder = (V2 if self.is_v2 else V1) / f"hakmem_test_{os.getpid()}"
        try:
            if self.is_v2 and "memory" not in (V2 / "cgroup.subtree_control").read_text().split():
                (V2 / "cgroup.subtree_control").write_text("+memory")
            self.folder.mkdir()
        except OSError as error:
            raise unittest.SkipTest(f"no memory control group can be made here: {error}")
        if not (self.folder / self.limit_name).exists():
            self.folder.rmdir()
            raise unittest.SkipTest("control groups here do not limit memory")
        (self.folder / self.limit_name).write_text(str(limit_mib * MIB))
        if (self.folder / "memory.swap.max").exists():
            (self.folder / "memory.swap.max").write_text("0")

    @property
    def limit_name(self) -> str:
        return "memory.max" if self.is_v2 else "memory.limit_in_bytes"

    def enter(self) -> None:
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def kills(self) -> int:
        text = (self.folder / ("memory.events" if self.is_v2 else "memory.oom_control")).read_text()
        return int(re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)[1])


@process.not_emulated("the emulator's memory counts too")
class Container(unittest.TestCase):
    def run_program_in(self, limit_mib: int, program: pathlib.Path, *arguments: str, **env: str) -> tuple:
        """How it ended, and how many processes the kernel has killed."""
        group = Group(limit_mib)
        try:
            outcome = process.run(program, *arguments, env=env, preload=[process.LIBRARY], preexec_fn=group.enter)
            return outcome, group.kills()
        finally:
            group.folder.rmdir()

    def run_in(self, limit_mib: int, *arguments: str, **env: str) -> tuple:
        """How it ended, MiB resident between bursts (the median), and how many processes the kernel has killed."""
        outcome, kills = self.run_program_in(limit_mib, BURSTS, *arguments, **env)
        match = re.match(r"(\d+) KiB between bursts, \d+ at most\nok\n", outcome.stdout)
        print(f"\n{limit_mib} MiB, {' '.join(arguments)}, {env}: {outcome.stdout.split(chr(10))[0]}, {kills} killed", end=" ")
        return outcome, int(match[1]) / 1024 if match else None, kills

    def test_eighteen_threads_stay_within_the_limit(self) -> None:
        outcome, resident_mib, kills = self.run_in(64, "18", "24", "blocks")
        self.assertEqual((outcome.status, outcome.stderr, kills), (0, "", 0), outcome)
        # The most is for the kernel to judge: a burst may end just before a purge, and all of it stays until the next.
        self.assertLess(resident_mib, 48)

    def test_without_it_they_do_not(self) -> None:
        """The limit is one that matters: else the test above would show nothing."""
        outcome, _, kills = self.run_in(64, "18", "24", "blocks", HAKMEM_LIMITS="0")
        self.assertEqual((outcome.signal_name, kills), ("SIGKILL", 1), outcome)

    def test_large_blocks_leave_less_behind(self) -> None:
        _, with_limits_mib, kills = self.run_in(64, "8", "24", "large")
        _, without_mib, _ = self.run_in(64, "8", "24", "large", HAKMEM_LIMITS="0")
        self.assertEqual(kills, 0)
        self.assertLess(with_limits_mib, without_mib / 2)

    def test_cycles_of_40_mib_of_blocks_of_other_sizes_than_the_last(self) -> None:
        outcome, kills = self.run_program_in(56, CYCLES, "56")
        self.assertEqual((outcome.status, outcome.stderr, kills), (0, "", 0), outcome)

    def test_without_a_known_limit_they_need_more(self) -> None:
        outcome, kills = self.run_program_in(56, CYCLES, "56", HAKMEM_LIMITS="0")
        self.assertEqual((outcome.signal_name, kills), ("SIGKILL", 1), outcome)


if __name__ == "__main__":
    unittest.main()
