"""Tests of session: order, repeats, failures, interrupts."""

import io
import math
import unittest

from bench.runner import testing
from bench.runner.measure import Failure
from bench.runner.progress import Progress
from bench.runner.results import Results
from bench.runner.session import QUICK, Plan, Session

_ROWS = [testing.row("r1"), testing.row("r2")]
_ALLOCATORS = [testing.OURS, testing.MIMALLOC, testing.GLIBC]


class SessionTest(unittest.TestCase):
    def run_session(self, outcome, repeats=3, extra_passes=2, budget_s=60.0,
                    limit_s=math.inf):
        """Runs a session whose cells come from outcome(row, allocator, number of the call for this cell)."""
        self.calls = []
        self.results = Results(_ROWS, _ALLOCATORS, repeats)
        self.log = io.StringIO()

        def run_once(row, allocator, seconds):
            self.assertEqual(seconds, 0.2)
            self.calls.append((row.name, allocator.name))
            return outcome(row, allocator, self.calls.count((row.name, allocator.name)))

        plan = Plan("test", 0.2, repeats, extra_passes, budget_s, limit_s)
        Session(plan, self.results, run_once, Progress(self.log)).run()

    def test_allocators_take_turns_and_the_first_one_changes(self):
        self.run_session(lambda *_: testing.sample(1.0))
        self.assertEqual(self.calls[:6], [("r1", "hakmem"), ("r1", "mimalloc"), ("r1", "glibc"),
                                          ("r2", "mimalloc"), ("r2", "glibc"), ("r2", "hakmem")])
        self.assertEqual(len(self.calls), 2 * 3 * 3)

    def test_noisy_row_is_repeated_for_all_allocators_until_it_is_quiet(self):
        def outcome(row, allocator, number):
            is_outlier = row.name == "r2" and allocator.name == "glibc" and number == 1
            return testing.sample(0.5 if is_outlier else 1.0)

        self.run_session(outcome)
        counts = [len(self.results.cell(row, one).samples) for row in _ROWS for one in _ALLOCATORS]
        self.assertEqual(counts, [3, 3, 3, 5, 5, 5])
        self.assertEqual(self.results.noisy_rows(), [])

    def test_repeats_are_bounded(self):
        self.run_session(lambda _row, _one, number: testing.sample(1.0 + number % 2))
        self.assertEqual(len(self.results.cell(_ROWS[0], _ALLOCATORS[0]).samples), 3 + 2 * 2)
        self.assertEqual(len(self.results.noisy_rows()), 2)

    def test_no_repeats_after_the_budget(self):
        self.run_session(lambda _row, _one, number: testing.sample(1.0 + number % 2), budget_s=-1.0)
        self.assertEqual(len(self.calls), 2 * 3 * 3)

    def test_planned_passes_end_in_time_but_for_the_first(self):
        self.run_session(lambda *_: testing.sample(1.0), limit_s=0.0)
        self.assertEqual(len(self.calls), 2 * 3)
        self.assertIn("1 of 3 passes", self.log.getvalue())
        self.assertEqual(QUICK.with_repeats(7).limit_s, math.inf)

    def test_failed_cell_is_not_run_again_and_others_go_on(self):
        def outcome(row, allocator, _number):
            return Failure("crash (SIGSEGV)") if allocator is testing.OURS and row.name == "r1" else testing.sample(1.0)

        self.run_session(outcome)
        self.assertEqual(self.calls.count(("r1", "hakmem")), 1)
        self.assertEqual(self.calls.count(("r2", "hakmem")), 3)
        self.assertIn("r1 under hakmem: crash (SIGSEGV)", self.log.getvalue())

    def test_interrupt_keeps_what_was_measured(self):
        def outcome(row, allocator, number):
            if number == 2:
                raise KeyboardInterrupt
            return testing.sample(1.0)

        with self.assertRaises(KeyboardInterrupt):
            self.run_session(outcome)
        self.assertTrue(all(self.results.cell(row, one).is_measured for row in _ROWS for one in _ALLOCATORS))


if __name__ == "__main__":
    unittest.main()
