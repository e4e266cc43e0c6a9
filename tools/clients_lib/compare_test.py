"""Verdicts."""

import unittest
from typing import Optional

from clients_lib import compare
from clients_lib.model import Observation, RunResult, Usage


def run(*outputs: bytes, error: Optional[str] = None, unexpected: tuple[str, ...] = ()) -> RunResult:
    observations = [Observation(f"step {i}: stdout", data) for i, data in enumerate(outputs)]
    return RunResult("mode", observations, Usage(), {}, error, list(unexpected))


class FirstDifferenceTest(unittest.TestCase):
    def test_equal_lists_have_none(self) -> None:
        self.assertIsNone(compare.first_difference(run(b"a", b"b").observations, run(b"a", b"b").observations))

    def test_names_the_step_and_both_outputs(self) -> None:
        text = compare.first_difference(run(b"a", b"x\ny1\n").observations, run(b"a", b"x\ny2\n").observations)
        self.assertIn("step 1: stdout", text or "")
        self.assertIn("'y1' on libc, 'y2' here (byte 3)", text or "")

    def test_output_that_stops_early_differs(self) -> None:
        text = compare.first_difference(run(b"abc").observations, run(b"ab").observations)
        self.assertIn("byte 2", text or "")

    def test_missing_step_differs(self) -> None:
        self.assertIn("step 1", compare.first_difference(run(b"a", b"b").observations, run(b"a").observations) or "")


class JudgeTest(unittest.TestCase):
    def verdict(self, baseline: list[RunResult], candidate: list[RunResult]) -> str:
        return compare.judge(baseline, candidate)[0]

    def test_same_output_is_equal(self) -> None:
        self.assertEqual(self.verdict([run(b"a")], [run(b"a")]), "equal")

    def test_other_output_is_different(self) -> None:
        self.assertEqual(self.verdict([run(b"a")], [run(b"b")]), "different")

    def test_crash_is_failed_even_with_the_same_output(self) -> None:
        self.assertEqual(self.verdict([run(b"a")], [run(b"a", unexpected=("exit status 139",))]), "failed")

    def test_hang_is_failed(self) -> None:
        self.assertEqual(self.verdict([run(b"a")], [run(error="hang")]), "failed")

    def test_baseline_that_fails_proves_nothing(self) -> None:
        broken = run(b"", unexpected=("exit status 1",))
        self.assertEqual(self.verdict([broken], [broken]), "broken")

    def test_baseline_that_differs_from_itself_proves_nothing(self) -> None:
        self.assertEqual(self.verdict([run(b"a"), run(b"b")], [run(b"a")]), "broken")

    def test_each_repeat_of_the_candidate_counts(self) -> None:
        self.assertEqual(self.verdict([run(b"a"), run(b"a")], [run(b"a"), run(b"b")]), "different")


if __name__ == "__main__":
    unittest.main()
