"""Every row, for a moment, on libc's malloc; every program's help; what each says to bad arguments."""

import os
import subprocess
import unittest
from pathlib import Path

from bench.runner import measure, rows
from bench.runner.allocators import Allocator
from bench.runner.measure import Sample

#: Built by bazel beside this file; BENCH_PROGRAMS names another folder.
_PROGRAMS = Path(os.environ.get("BENCH_PROGRAMS", "bench/programs"))
_GLIBC = Allocator("glibc", None, "")


def _run(program, *args):
    return subprocess.run([_PROGRAMS / program, *args], capture_output=True, text=True, check=False, timeout=60)


class SmokeTest(unittest.TestCase):
    def test_every_row_gives_a_sample(self):
        for row in rows.ROWS:
            with self.subTest(row.name):
                outcome = measure.run_once(_PROGRAMS, row, _GLIBC, 0.005)
                self.assertIsInstance(outcome, Sample, outcome)
                self.assertGreater(outcome.wall_s, 0.0)
                self.assertGreater(outcome.peak_rss_kb, 100)

    def test_operations_can_be_limited(self):
        for row in rows.ROWS:
            with self.subTest(row.name):
                done = _run(row.program, *row.args, "--row", row.name, "--ops", "1000")
                outcome = measure.interpret(row, done.returncode, done.stdout, done.stderr)
                self.assertIsInstance(outcome, Sample, outcome)
                self.assertGreaterEqual(outcome.ops, 1000)


class ArgumentsTest(unittest.TestCase):
    def test_help(self):
        for program in rows.program_names():
            with self.subTest(program):
                done = _run(program, "--help")
                self.assertEqual(done.returncode, 0)
                self.assertIn("Usage: " + program, done.stdout)
                self.assertIn("--seconds", done.stdout)

    def assert_rejected(self, program, args, words):
        done = _run(program, *args)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn(words, done.stderr)

    def test_bad_arguments_are_named(self):
        for program in rows.program_names():
            for args, words in ((["--nonesuch", "1"], "--nonesuch: no such option"),
                                (["stray"], "stray: no such option"),
                                (["-q"], "-q: no such option"),
                                (["--ops"], "--ops: needs a value"),
                                (["--ops", "0"], "--ops: '0' is not a whole number from 1"),
                                (["--ops", "-1"], "--ops: '-1' is not"),
                                (["--ops", "99999999999999999999999"], "is not a whole number"),
                                (["--seconds", "0"], "--seconds: '0' is not"),
                                (["--seconds", "nan"], "--seconds: 'nan' is not"),
                                (["--row", 'a"b'], "--row: 'a\"b' is not")):
                with self.subTest(program=program, args=args):
                    self.assert_rejected(program, args, words)

    def test_rules_of_single_programs(self):
        self.assert_rejected("random_mixed", ["--min", "20", "--max", "10"], "--min is above --max")
        self.assert_rejected("random_mixed", ["--threads", "65"], "--threads: '65' is not a whole number from 1 to 64")
        self.assert_rejected("tiny_hot", ["--mode", "heap"], "--mode: 'heap' is not one of pair lifo fifo")
        self.assert_rejected("remote_free", ["--threads", "3"], "--threads must be even for pc")
        self.assert_rejected("thread_churn", ["--leave", "200"], "--leave is above --blocks")


if __name__ == "__main__":
    unittest.main()
