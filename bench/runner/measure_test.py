"""Tests of measure: whatever a program does, a run gives a sample or a failure."""

import tempfile
import unittest
from pathlib import Path

from bench.runner import measure, testing
from bench.runner.allocators import Allocator
from bench.runner.measure import Failure, Sample
from bench.runner.rows import Clock

_GOOD = '{"row":"r","ops":3000000,"wall_s":1.5,"cpu_s":3.0,"peak_rss_kb":2048}'


class RunOnceTest(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)

    def run_script(self, body, library=None):
        """Runs a shell script as the program of row "r"."""
        program = Path(self._folder.name) / "fake"
        program.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        program.chmod(0o755)
        return measure.run_once(Path(self._folder.name), testing.row("r"), Allocator("a", library, ""), 0.01)

    def assert_fails(self, outcome, reason, detail=""):
        self.assertIsInstance(outcome, Failure)
        self.assertEqual(outcome.reason, reason)
        self.assertIn(detail, outcome.detail)

    def test_good_line(self):
        outcome = self.run_script(f"echo '{_GOOD}'")
        self.assertEqual(outcome, Sample(3000000, 1.5, 3.0, 2048))
        self.assertAlmostEqual(outcome.rate(Clock.WALL), 2.0)
        self.assertAlmostEqual(outcome.rate(Clock.CPU), 1.0)

    def test_further_figures_and_curves(self):
        line = _GOOD[:-1] + ',"extra":{"idle_kb":1.5},"curves":{"malloc_ns":[[0,1],[0.5,2]]}}'
        outcome = self.run_script(f"echo '{line}'")
        self.assertEqual((outcome.extra, outcome.curves), ({"idle_kb": 1.5}, {"malloc_ns": [[0, 1], [0.5, 2]]}))
        for wrong in ('"extra":[1]', '"extra":{"a":"b"}', '"curves":{"c":[[1,2,3]]}', '"curves":{"c":1}'):
            with self.subTest(wrong):
                self.assert_fails(self.run_script(f"echo '{_GOOD[:-1]},{wrong}}}'"), "bad output", "extra or curves")

    def test_row_and_seconds_are_passed_on(self):
        outcome = self.run_script(f"[ \"$*\" = '--row r --seconds 0.01' ] && echo '{_GOOD}'")
        self.assertIsInstance(outcome, Sample)

    def test_crash_names_the_signal_and_keeps_the_last_words(self):
        self.assert_fails(self.run_script("echo last words >&2; kill -SEGV $$"), "crash (SIGSEGV)", "last words")
        self.assert_fails(self.run_script("kill -ABRT $$"), "crash (SIGABRT)")

    def test_status(self):
        self.assert_fails(self.run_script("echo lost >&2; exit 3"), "exit 3", "lost")

    def test_bad_output(self):
        for body in ("", "echo hello", f"echo '{_GOOD}'; echo more", "echo '[1]'", "echo '{\"row\":\"r\"}'",
                     f"echo '{_GOOD}' | sed 's/3000000/0/'", f"echo '{_GOOD}' | sed 's/:\"r\"/:\"s\"/'"):
            with self.subTest(body):
                self.assert_fails(self.run_script(body), "bad output")

    def test_hang(self):
        before = measure._GRACE_S
        measure._GRACE_S = 0.1
        try:
            self.assert_fails(self.run_script("exec sleep 60"), "timeout")
        finally:
            measure._GRACE_S = before

    def test_missing_program(self):
        row = testing.row("r", program="missing")
        outcome = measure.run_once(Path(self._folder.name), row, testing.GLIBC, 0.01)
        self.assert_fails(outcome, "cannot start")

    def test_library_that_cannot_be_preloaded(self):
        outcome = self.run_script(f"echo '{_GOOD}'", library="/nonexistent/lib.so")
        self.assert_fails(outcome, "not preloaded")

    def test_environment_is_bare(self):
        outcome = self.run_script(f"[ -z \"$HOME$MALLOC_ARENA_MAX\" ] && echo '{_GOOD}'")
        self.assertIsInstance(outcome, Sample)


if __name__ == "__main__":
    unittest.main()
