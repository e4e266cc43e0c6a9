"""Tests of programs: whatever a real program does, a run gives a sample or a failure. The shell plays the programs."""

import os
import tempfile
import unittest
from pathlib import Path

from bench.real import catalog
from bench.real.catalog import Program
from bench.real.programs import Programs, judged
from bench.runner.allocators import Allocator
from bench.runner.measure import Failure, Sample
from bench.runner.rows import REAL, Clock, Row
from clients_lib import launch
from clients_lib.client import Client
from clients_lib.model import Observation, RunResult, Usage

_LIBC = Allocator("glibc", None, "")


def _row(name="program"):
    return Row(name, REAL, "sh", (), Clock.CPU, "about")


class _Shell(Client):
    """A shell script in as many steps as it has lines."""

    programs = {"sh": "dash"}

    def __init__(self, script):
        self._script = script

    def prepare(self, inputs):
        (inputs / "turns").mkdir()
        (inputs / "turns").chmod(0o777)

    def run(self, session):
        for number, line in enumerate(self._script.splitlines()):
            session.step(f"step {number}", ["sh", "-c", line], env={"INPUTS": str(session.inputs)})


#: True in the run that makes a program ready, and false in the first measured one.
_FIRST = "mkdir $INPUTS/turns/here 2>/dev/null"


@unittest.skipUnless(os.path.exists(launch.TIME), "GNU time is not installed")
class RunTest(unittest.TestCase):
    def run_script(self, script, allocator=_LIBC, **steps):
        """The outcome of one measured run of a script."""
        program = Program(_row(), _Shell(script), **steps)
        with Programs([program]) as real:
            return real.run_once(program.row, allocator)

    def assert_fails(self, outcome, reason, detail=""):
        self.assertIsInstance(outcome, Failure)
        self.assertEqual(outcome.reason, reason)
        self.assertIn(detail, outcome.detail)

    def test_cost_of_all_steps(self):
        outcome = self.run_script("sleep 0.1\nhead -c 30000000 /dev/zero | tail -n 1 | wc -c")
        self.assertIsInstance(outcome, Sample)
        self.assertEqual(outcome.ops, 1)
        self.assertGreaterEqual(outcome.wall_s, 0.1)
        self.assertGreater(outcome.cpu_s, 0.0)
        self.assertGreater(outcome.peak_rss_kb, 25 << 10)

    def test_cost_of_the_named_steps_only(self):
        script = "sleep 0.3\nhead -c 30000000 /dev/zero | tail -n 1 | wc -c\ntrue"
        outcome = self.run_script(script, cost=("step 2",), wall=("step 0",))
        self.assertGreaterEqual(outcome.wall_s, 0.3)
        self.assertLess(outcome.peak_rss_kb, 20 << 10)

    def test_another_output_than_on_libc_is_a_failure(self):
        self.assert_fails(self.run_script(f"{_FIRST} || echo wrong"), "wrong output", "step 0: stdout")

    def test_crash_names_the_signal(self):
        self.assert_fails(self.run_script(f"{_FIRST} || kill -SEGV $$"), "crash (SIGSEGV)", "exit status 139")

    def test_status(self):
        self.assert_fails(self.run_script(f"{_FIRST} || exit 3"), "failed", "exit status 3")

    def test_program_that_does_not_work_on_libc_is_no_ground_for_a_comparison(self):
        self.assert_fails(self.run_script("exit 4"), "fails on libc", "exit status 4")

    def test_library_that_cannot_be_preloaded(self):
        with tempfile.TemporaryDirectory() as folder:
            broken = Path(folder) / "lib.so"
            broken.write_text("no library", encoding="utf-8")
            self.assert_fails(self.run_script("true", Allocator("x", str(broken), "")), "not preloaded", "lib.so")

    def test_missing_program_fails_its_row(self):
        class Missing(_Shell):
            def missing_packages(self):
                return ["nonesuch"]

        class NoInstalling(Programs):
            def _install(self):
                pass

        program = Program(_row(), Missing("true"))
        with NoInstalling([program]) as real:
            self.assert_fails(real.run_once(program.row, _LIBC), "not installed", "nonesuch")

    def test_nothing_is_inherited(self):
        os.environ["BENCH_TEST_LEAK"] = "1"
        self.addCleanup(os.environ.pop, "BENCH_TEST_LEAK")
        self.assertIsInstance(self.run_script("! env | grep -q LEAK"), Sample)


class JudgedTest(unittest.TestCase):
    def test_hang_is_a_timeout(self):
        program = Program(_row(), _Shell(""))
        good = RunResult("libc", [Observation("a", b"b")], Usage(), {})
        hung = RunResult("x", [], Usage(), {}, "script: hang: sh still runs after 300 s")
        self.assertEqual(judged(program, good, hung).reason, "timeout")


class CatalogTest(unittest.TestCase):
    def test_names_are_unique_and_groups_real(self):
        self.assertEqual(len({row.name for row in catalog.ROWS}), len(catalog.ROWS))
        self.assertTrue(all(row.is_real for row in catalog.ROWS))

    def test_every_row_says_which_packages_it_needs(self):
        for program in catalog.PROGRAMS:
            with self.subTest(program.row.name):
                self.assertTrue(program.packages() or program.client.missing_packages())

    def test_versions_are_of_what_is_there(self):
        missing = Program(_row(), _Shell(""))
        missing.client.programs = {"nonesuch": "nonesuch-package"}
        self.assertEqual(catalog.versions([missing]), "")


if __name__ == "__main__":
    unittest.main()
