"""Whole runs of suites made of shell scripts. A variable of the candidate's environment stands for its allocator."""

import os
import pathlib
import shutil
import tempfile
import unittest
from unittest import mock

from clients_lib import launch
from clients_lib.model import Mode
from clients_lib.session import Session
from suites_lib import runner, suite
from suites_lib.runner import SuiteResult, SuiteRunner


class Script(suite.Suite):
    """Each word that the script prints is a check that passed; its exit status is one more."""

    name = "script"
    summary = "Words."
    package = "dash"

    def __init__(self, script: str) -> None:
        self._script = script
        self.turns = 0

    def run(self, session: Session) -> None:
        self.turns += 1
        output = suite.step(session, "say", ["sh", "-c", self._script], env={"TURN": str(self.turns)}, timeout_s=2)
        for word in output.decode().split():
            name, _, outcome = word.partition("=")
            suite.check(session, name, outcome or suite.PASSED)


@unittest.skipUnless(os.path.exists(launch.TIME), "GNU time is not installed")
class SuiteRunnerTest(unittest.TestCase):
    def setUp(self) -> None:
        self.out = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.out)

    def measure(self, script: str) -> SuiteResult:
        with SuiteRunner(Mode("hakmem", None, {"HERE": "1"}), False, self.out) as opened:
            self.suite = Script(script)
            return opened.measure(self.suite)

    def test_the_same_on_both_passes_and_leaves_no_evidence(self) -> None:
        result = self.measure("echo a b")
        self.assertTrue(result.passed)
        self.assertEqual((result.verdict.ran, result.verdict.failed_here), (3, []))
        self.assertEqual(list(self.out.iterdir()), [])
        self.assertEqual(self.suite.turns, 2)

    def test_what_fails_on_both_passes_and_is_named(self) -> None:
        result = self.measure("echo a b c=failed")
        self.assertTrue(result.passed)
        self.assertEqual((result.verdict.failed_on_libc, result.verdict.failed_here), (["c"], ["c"]))

    def test_what_fails_here_only_is_run_again_and_fails(self) -> None:
        result = self.measure('echo a ${HERE:+b=failed}; [ "$HERE" ] || echo b')
        self.assertFalse(result.passed)
        self.assertEqual(result.verdict.new, ["b"])
        self.assertEqual(self.suite.turns, 8)
        self.assertIn("only, at first: b", (self.out / "failures/script/reason.txt").read_text(encoding="utf-8"))

    def test_what_fails_once_passes_and_is_named(self) -> None:
        result = self.measure("echo a; [ $TURN = 2 ] && echo b=failed || echo b")
        self.assertTrue(result.passed)
        self.assertEqual(result.verdict.unsteady, ["b"])

    def test_a_signal_here_is_new(self) -> None:
        result = self.measure('echo a b; [ "$HERE" ] && kill -KILL $$; exit 0')
        self.assertEqual(result.verdict.new, ["say: exit status 137"])

    def test_a_hang_here_is_new(self) -> None:
        with mock.patch.object(runner, "_PAIRS_AGAIN", 0):
            result = self.measure('echo a b; [ "$HERE" ] && exec sleep 1000; exit 0')
        self.assertIn("say: ends in time", result.verdict.new)

    def test_a_suite_that_fails_on_libc_shows_nothing(self) -> None:
        result = self.measure("echo a=failed b=failed; exit 3")
        self.assertFalse(result.passed)
        self.assertIsNone(result.verdict)
        self.assertEqual(result.detail, "does not run on libc's malloc: 3 of 3 checks fail")


if __name__ == "__main__":
    unittest.main()
