"""What HAKMEM says of a process that crashes, and that the process ends as it would have without."""

import os
import pathlib
import re
import unittest

from hakmem.testing.harness import process

FOLDER = pathlib.Path("hakmem/testing/crashes")
FORMER = FOLDER / "libformer_lib.so"
IS_RELEASE = "HAKMEM_TEST_LEVEL" not in os.environ
REPORTS = {"HAKMEM_CRASH_REPORTS": "1"}
RECORDED = {**REPORTS, "HAKMEM_FLIGHT_RECORDER": "64"}


def crash(case: str, env: dict[str, str] = RECORDED, more: tuple[pathlib.Path, ...] = ()) -> process.Outcome:
    return process.run(FOLDER / "crasher", case, env=env, preload=[process.LIBRARY, *more])


@process.not_emulated("signals and threads are the emulator's")
class Crashes(unittest.TestCase):
    def check(self, outcome: process.Outcome, signal_name: str, *lines: str) -> None:
        """It ended by that signal, and said these lines in this order, each a regular expression, among others."""
        self.assertEqual(outcome.signal_name, signal_name, str(outcome))
        at = 0
        said = outcome.stderr.splitlines()
        for line in said:
            self.assertTrue(line.startswith(("hakmem: ", "own handler")), str(outcome))
            if at < len(lines) and re.search(lines[at], line):
                at += 1
        self.assertEqual(lines[at:], (), str(outcome))

    def test_without_the_option_nothing_is_said(self) -> None:
        for case, name in (("after_free", "SIGSEGV"), ("abort", "SIGABRT"), ("stack", "SIGSEGV"), ("bus", "SIGBUS")):
            with self.subTest(case):
                outcome = crash(case, env={})
                self.assertEqual((outcome.signal_name, outcome.stderr), (name, ""), str(outcome))

    def test_use_of_a_whale_after_it_was_freed_and_unmapped(self) -> None:
        for case, access in (("after_free", "write"), ("read_after_free", "read")):
            with self.subTest(case):
                outcome = crash(case)
                whale = outcome.stdout.strip()
                self.check(
                    outcome,
                    "SIGSEGV",
                    r"SIGSEGV in thread \d+ \(crasher\), by a " + (access if os.uname().machine == "x86_64" else ""),
                    f"{int(whale, 16) + 12345:#x} is not HAKMEM's",
                    f"what was done with {whale}, the last first:",
                    r"freed \d+ operations ago by thread \d+ \(crasher\), \d+ [um]s ago",
                    r"allocated for 67108864 bytes \d+ operations ago by thread \d+ \(crasher\)",
                    r"last operations of thread \d+ \(crasher\)",
                )

    def test_the_place_of_a_call_is_named(self) -> None:
        if not IS_RELEASE:
            self.skipTest("the return address is HAKMEM's own where calls are not tail calls")
        self.assertRegex(crash("after_free").stderr, r"freed .* from 0x[0-9a-f]+ \(/.*/crasher\+0x[0-9a-f]+\)\n")

    def test_double_free_by_two_threads(self) -> None:
        outcome = crash("double_free")
        block = outcome.stdout.strip()
        self.check(
            outcome,
            "SIGABRT",
            f"^hakmem: foreign pointer {block} ",
            f"{block} is in no block: unit ",
            f"what was done with {block}, the last first:",
            r"freed by the last operation of thread \d+ \(crasher\)",
            r"freed by the last operation of thread \d+,",  # it has ended, and its name is gone
            r"allocated for 512000 bytes \d+ operations ago by thread \d+ \(crasher\)",
            r"last operations of thread \d+ \(crasher\)",
        )
        self.assertNotIn("SIGABRT", outcome.stderr)  # said once

    def test_misuse_without_the_option_is_one_line(self) -> None:
        outcome = crash("double_free", env={"HAKMEM_FLIGHT_RECORDER": "64"})
        block = outcome.stdout.strip()
        line = f"hakmem: foreign pointer {block} (not a live block of this allocator)\n"
        self.assertEqual((outcome.signal_name, outcome.stderr), ("SIGABRT", line), str(outcome))

    def test_in_the_child_of_a_fork(self) -> None:
        outcome = crash("in_child")
        self.assertEqual((outcome.status, outcome.stdout), (0, "ok\n"), str(outcome))
        self.assertRegex(outcome.stderr, r"freed \d operations ago by thread \d+ \(crasher\)")

    def test_abort(self) -> None:
        self.check(crash("abort"), "SIGABRT", r"SIGABRT in thread \d+ \(crasher\), raised by process \d+$")

    def test_bus_error(self) -> None:
        self.check(crash("bus"), "SIGBUS", r"SIGBUS in thread \d+ \(crasher\), by a", "is not HAKMEM's")

    def test_a_signal_that_was_sent(self) -> None:
        self.check(crash("sent"), "SIGSEGV", r"SIGSEGV in thread \d+ \(crasher\), sent by process \d+$")

    def test_thread(self) -> None:
        self.check(
            crash("in_thread"),
            "SIGSEGV",
            r"SIGSEGV in thread \d+ \(victim\)",
            "0x10 is near NULL",
            r"last operations of thread \d+ \(victim\)",
            "freed 0x.* by the last operation",
            "allocated 0x.* for 100 bytes 2 operations ago",
        )

    def test_threads_at_once(self) -> None:
        """One of them at least has its say, and no two mix up theirs."""
        self.check(crash("two_at_once"), "SIGSEGV", r"SIGSEGV in thread \d+ \(victim\)", "0x10 is near NULL")

    def test_stack_overflow(self) -> None:
        for case in ("stack", "thread_stack", "own_stack"):
            with self.subTest(case):
                self.check(crash(case), "SIGSEGV", "SIGSEGV in thread", "near the stack pointer")

    def test_crash_inside_malloc(self) -> None:
        outcome = crash("inside", env=REPORTS)
        self.check(outcome, "SIGSEGV", "SIGSEGV in thread", "is HAKMEM's own, where its descriptors are")
        outcome = crash("inside", env=RECORDED)  # the ring is among what cannot be read
        self.assertEqual(outcome.signal_name, "SIGSEGV", str(outcome))

    def test_crash_inside_realloc(self) -> None:
        outcome = crash("inside_realloc")
        block = outcome.stdout.strip()
        self.check(
            outcome,
            "SIGSEGV",
            f"is the start of the block {block} of 4096 bytes, live",
            r"its slab 0x.* of thread \d+ \(crasher\) has 16 blocks of 4096 bytes",
            f"what was done with {block}",
        )

    def test_own_handlers(self) -> None:
        outcome = crash("own_handler_later")
        self.assertEqual((outcome.status, outcome.stderr), (33, "own handler\n"), str(outcome))
        self.check(
            crash("own_handler_chains"), "SIGSEGV", "own handler first", "SIGSEGV in thread", "0x10 is near NULL"
        )
        outcome = crash("mended")
        self.assertEqual((outcome.status, outcome.stdout, outcome.stderr), (0, "ok\n", ""), str(outcome))

    def test_first(self) -> None:
        """Handlers that the program sets later are called after the report."""
        first = {**RECORDED, "HAKMEM_CRASH_REPORTS_FIRST": "1"}
        for case, status in (("own_handler_later", 33), ("handlers_are_seen", 34), ("raises_anew", None)):
            with self.subTest(case):
                outcome = crash(case, env=first)
                self.check(outcome, "SIGSEGV" if status is None else "", "SIGSEGV in thread", "0x10 is near NULL", "^own handler$")
                self.assertEqual(outcome.stderr.count("SIGSEGV in thread"), 1, str(outcome))
                if status is not None:
                    self.assertEqual(outcome.status, status, str(outcome))
        outcome = crash("ignores", env=first)
        self.check(outcome, "SIGSEGV", "SIGSEGV in thread", "0x10 is near NULL")
        self.assertEqual(outcome.stdout, "ok\n")
        outcome = crash("mended", env=first)
        self.assertEqual((outcome.status, outcome.stdout), (0, "ok\n"), str(outcome))
        self.assertEqual(outcome.stderr.count("SIGSEGV in thread"), 8, str(outcome))

    def test_first_alone_is_nothing(self) -> None:
        for env in ({}, {"HAKMEM_CRASH_REPORTS_FIRST": "1"}):
            with self.subTest(env):
                outcome = crash("handlers_are_seen", env=env)
                self.assertEqual((outcome.status, outcome.stderr), (34, "own handler\n"), str(outcome))
                outcome = crash("raises_anew", env=env)
                self.assertEqual((outcome.signal_name, outcome.stderr), ("SIGSEGV", "own handler\n"), str(outcome))

    def test_handlers_that_were_there_before(self) -> None:
        for way, status in (("plain", 44), ("informed", 45)):
            with self.subTest(way):
                outcome = crash("in_thread", env={**RECORDED, "HAKMEM_TEST_FORMER": way}, more=(FORMER,))
                self.assertEqual((outcome.status, outcome.stdout), (status, "former handler\n"), str(outcome))
                self.assertEqual(outcome.stderr.count("0x10 is near NULL"), 1, str(outcome))

    def test_a_handler_that_was_there_before_and_returns(self) -> None:
        outcome = crash("in_thread", env={**RECORDED, "HAKMEM_TEST_FORMER": "once"}, more=(FORMER,))
        self.assertEqual((outcome.signal_name, outcome.stdout), ("SIGSEGV", "former handler\n"), str(outcome))

    def test_a_signal_that_was_ignored_before(self) -> None:
        env = {**RECORDED, "HAKMEM_TEST_FORMER": "ignored"}
        outcome = crash("sent", env=env, more=(FORMER,))
        self.assertEqual(outcome.status, 0, str(outcome))
        self.assertEqual(crash("in_thread", env=env, more=(FORMER,)).signal_name, "SIGSEGV")


if __name__ == "__main__":
    unittest.main()
