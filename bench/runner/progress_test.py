"""Tests of progress: the time left where steps differ in length."""

import io
import unittest

from bench.runner.progress import Progress, format_time


class ProgressTest(unittest.TestCase):
    def setUp(self):
        self.now_s = 0.0
        self.log = io.StringIO()
        self.progress = Progress(self.log, lambda: self.now_s)

    def step(self, kind, seconds):
        self.now_s += seconds
        self.progress.step(kind, f"after {kind}")

    def test_expected_at_first(self):
        self.progress.expect("short", 4, 0.5)
        self.progress.expect("long", 2, 3.0)
        self.assertAlmostEqual(self.progress.left_s(), 8.0)

    def test_each_kind_by_its_own_average(self):
        self.progress.expect("short", 3, 1.0)
        self.progress.expect("long", 2, 1.0)
        self.step("short", 0.5)
        self.step("long", 10.0)
        self.assertAlmostEqual(self.progress.left_s(), 2 * 0.5 + 10.0)

    def test_a_slow_machine_is_slow_for_what_was_not_tried_yet(self):
        self.progress.expect("tried", 1, 1.0)
        self.progress.expect("untried", 1, 4.0)
        self.step("tried", 3.0)
        self.assertAlmostEqual(self.progress.left_s(), 12.0)

    def test_a_line_now_and_then_where_there_is_no_terminal(self):
        self.progress.expect("row", 100, 1.0)
        for _ in range(25):
            self.step("row", 1.0)
        self.assertEqual(self.log.getvalue().splitlines(), ["bench: 10/100  1 min 30 s left  after row",
                                                            "bench: 20/100  1 min 20 s left  after row"])

    def test_format(self):
        self.assertEqual([format_time(s) for s in (-1, 9.4, 60, 125)], ["0 s", "9 s", "1 min 00 s", "2 min 05 s"])


if __name__ == "__main__":
    unittest.main()
