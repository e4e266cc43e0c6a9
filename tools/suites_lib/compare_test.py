"""Which failures count, and which are libc's too."""

import unittest
from typing import Optional

from clients_lib.model import Observation, RunResult, Usage
from suites_lib import compare
from suites_lib.suite import CHECK, FAILED, PASSED, SKIPPED


def run(checks: dict[str, str], *, steps: int = 0, wrong: tuple[str, ...] = (), error: Optional[str] = None) -> RunResult:
    observations = [Observation(CHECK + name, outcome.encode()) for name, outcome in checks.items()]
    observations += [Observation(f"step {number}: exit status", b"0") for number in range(steps)]
    return RunResult("mode", observations, Usage(), {}, error, list(wrong))


GOOD = run({"a": PASSED, "b": PASSED})
BAD = run({"a": PASSED, "b": FAILED})


class FailuresTest(unittest.TestCase):
    def test_checks_that_say_so(self) -> None:
        self.assertEqual(compare.failures(BAD, GOOD), {"b"})

    def test_a_check_that_is_missing_has_failed(self) -> None:
        self.assertEqual(compare.failures(run({"a": PASSED}), GOOD), {"b"})

    def test_a_check_that_fails_on_libc_may_be_missing(self) -> None:
        self.assertEqual(compare.failures(run({"a": PASSED}), BAD), set())

    def test_more_checks_than_on_libc_are_no_failure(self) -> None:
        self.assertEqual(compare.failures(run({"a": PASSED, "b": PASSED, "c": SKIPPED}), GOOD), set())

    def test_what_must_be_the_same(self) -> None:
        reference = run({"digest": "same 1"})
        self.assertEqual(compare.failures(run({"digest": "same 1"}), reference), set())
        self.assertEqual(compare.failures(run({"digest": "same 2"}), reference), {"digest"})

    def test_a_step_s_status_is_part_of_its_name(self) -> None:
        libc = run({}, wrong=("step: exit status 1, not 0: pid 7",))
        here = run({}, wrong=("step: exit status 139, not 0",))
        self.assertEqual(compare.only_here(libc, here), ["step: exit status 139"])
        self.assertEqual(compare.only_here(libc, run({}, wrong=("step: exit status 1, not 0: pid 8",))), [])

    def test_a_run_that_broke_off_is_a_failure(self) -> None:
        self.assertEqual(compare.only_here(GOOD, run({"a": PASSED, "b": PASSED}, error="hang")), ["hang"])


class JudgeTest(unittest.TestCase):
    def test_the_same_failures_are_not_new(self) -> None:
        verdict = compare.judge(BAD, BAD, [])
        self.assertEqual((verdict.failed_on_libc, verdict.failed_here, verdict.new), (["b"], ["b"], []))

    def test_what_fails_here_only_and_again_is_new(self) -> None:
        verdict = compare.judge(GOOD, BAD, [(GOOD, BAD), (GOOD, GOOD)])
        self.assertEqual((verdict.new, verdict.unsteady), (["b"], []))

    def test_what_was_not_run_again_is_new(self) -> None:
        self.assertEqual(compare.judge(GOOD, BAD, []).new, ["b"])

    def test_what_then_passes_every_time_is_unsteady(self) -> None:
        verdict = compare.judge(GOOD, BAD, [(GOOD, GOOD)] * 3)
        self.assertEqual((verdict.new, verdict.unsteady), ([], ["b"]))

    def test_what_then_fails_on_libc_too_is_unsteady(self) -> None:
        verdict = compare.judge(GOOD, BAD, [(BAD, BAD)])
        self.assertEqual((verdict.new, verdict.unsteady), ([], ["b"]))

    def test_another_failure_in_the_second_run_is_new(self) -> None:
        other = run({"a": FAILED, "b": PASSED})
        self.assertEqual(compare.judge(GOOD, BAD, [(GOOD, other)]).new, ["a"])

    def test_checks_and_steps_count_and_skipped_ones_do_not(self) -> None:
        self.assertEqual(compare.judge(run({"a": PASSED, "s": SKIPPED}, steps=3), GOOD, []).ran, 4)
        self.assertEqual(compare.judge(run({}, steps=3, wrong=("step 1: exit status 1, not 0",)), GOOD, []).ran, 3)


class HardlyWorksTest(unittest.TestCase):
    def test_up_to_half_may_fail(self) -> None:
        self.assertEqual(compare.hardly_works(BAD), "")
        self.assertEqual(compare.hardly_works(run({"a": FAILED, "b": FAILED, "c": PASSED})), "2 of 3 checks fail")

    def test_nothing_checked_is_nothing_shown(self) -> None:
        self.assertEqual(compare.hardly_works(run({"a": SKIPPED})), "0 of 0 checks fail")


if __name__ == "__main__":
    unittest.main()
