"""Every row, for a moment, on libc's malloc; every program's help; what each says to bad arguments."""

import dataclasses
import json
import os
import subprocess
import time
import unittest
from pathlib import Path

from bench.runner import measure, rows
from bench.runner.allocators import Allocator
from bench.runner.measure import Sample

#: Built by bazel beside this file; BENCH_PROGRAMS names another folder.
_PROGRAMS = Path(os.environ.get("BENCH_PROGRAMS", "bench/programs"))
_GLIBC = Allocator("glibc", None, "")
#: No block is larger, in bytes: with a sanitizer each byte costs, and a row is over in a moment.
_MOST_BYTES = 2 << 20


def _small(row):
    """The row with less memory and less sleep."""

    def small(arg):
        if row.program == "random_mixed" and arg == "1048576":
            return "1000"
        return str(_MOST_BYTES) if arg.isdecimal() and int(arg) > _MOST_BYTES else arg

    more = ("--idle-ms", "20", "--burst-mb", "1", "--bursts", "0") if row.program == "burst_idle" else ()
    return dataclasses.replace(row, args=(*map(small, row.args), *more))


def _run(program, *args):
    return subprocess.run([_PROGRAMS / program, *args], capture_output=True, text=True, check=False, timeout=60)


class SmokeTest(unittest.TestCase):
    def test_every_row_gives_a_sample(self):
        for row in map(_small, rows.ROWS):
            with self.subTest(row.name):
                outcome = measure.run_once(_PROGRAMS, row, _GLIBC, 0.005)
                self.assertIsInstance(outcome, Sample, outcome)
                self.assertGreater(outcome.wall_s, 0.0)
                self.assertGreater(outcome.peak_rss_kb, 100)

    def test_operations_can_be_limited(self):
        for row in map(_small, rows.ROWS):
            with self.subTest(row.name):
                done = _run(row.program, *row.args, "--row", row.name, "--ops", "100")
                outcome = measure.interpret(row, done.returncode, done.stdout, done.stderr)
                self.assertIsInstance(outcome, Sample, outcome)
                self.assertGreaterEqual(outcome.ops, 100)


class ExtraTest(unittest.TestCase):
    """Figures beside speed and peak RSS, in the programs that have some."""

    def result(self, program, *args):
        done = _run(program, *args)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)

    def assert_ascends(self, values):
        self.assertEqual(values, sorted(values))

    def test_names_end_in_their_unit(self):
        for program, args in (("fragment", ()), ("burst_idle", ("--idle-ms", "20")), ("latency", ())):
            with self.subTest(program):
                extra = self.result(program, "--ops", "1000", *args)["extra"]
                self.assertEqual([name for name in extra if not name.endswith(("_kb", "_ns", "_ms"))], [])

    def test_fragment_holds_a_tenth_and_then_as_much_as_before(self):
        extra = self.result("fragment", "--ops", "1")["extra"]
        self.assertAlmostEqual(extra["live_kept_kb"] / extra["live_full_kb"], 0.1, delta=0.02)
        self.assertAlmostEqual(extra["live_regrown_kb"] / extra["live_full_kb"], 1.0, delta=0.01)
        for phase in ("full", "regrown"):
            self.assertGreater(extra[f"rss_{phase}_kb"], extra[f"live_{phase}_kb"])

    def test_burst_is_seen_in_the_peak_and_each_moment_that_the_sleep_lasts_for(self):
        begin_s = time.monotonic()
        result = self.result("burst_idle", "--ops", "1", "--idle-ms", "1010", "--burst-mb", "20", "--live-mb", "1")
        took_s = time.monotonic() - begin_s
        extra = result["extra"]
        self.assertLess(extra["rss_before_kb"] + 19 * 1024, result["peak_rss_kb"])
        self.assertTrue(1024 <= extra["live_kb"] < 1100, extra)
        self.assertIn("rss_after_1s_kb", extra)
        self.assertNotIn("rss_after_10s_kb", extra)
        self.assertGreater(took_s - result["wall_s"], 1.0, "the sleep is timed")

    def test_latency_has_percentiles_and_curves(self):
        result = self.result("latency", "--ops", "100000")
        for call in ("malloc", "free"):
            self.assert_ascends([result["extra"][f"{call}_{at}_ns"]
                                 for at in ("p50", "p90", "p99", "p999", "p9999", "max")])
            shares, times = zip(*result["curves"][f"{call}_ns"])
            self.assert_ascends(list(shares))
            self.assert_ascends(list(times))
            self.assertEqual((shares[0], round(shares[-1], 6)), (0, 0.99999))
            self.assertGreater(result["extra"][f"{call}_max_ns"], 0)


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
        self.assert_rejected("larson", ["--profile", "huge"], "--profile: 'huge' is not one of mixed tiny mid mt")
        self.assert_rejected("larson", ["--profile", "mid", "--max", "512"], "--min is above --max")
        self.assert_rejected("aligned_mix", ["--align-min", "48"], "an alignment is not a power of two")
        self.assert_rejected("fragment", ["--min2", "2000"], "a smallest size is above its largest")


if __name__ == "__main__":
    unittest.main()
