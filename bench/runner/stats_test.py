"""Tests of stats."""

import unittest

from bench.runner import stats


class StatsTest(unittest.TestCase):
    def test_geometric_mean(self):
        self.assertAlmostEqual(stats.geometric_mean([2.0, 8.0]), 4.0)
        self.assertIsNone(stats.geometric_mean([]))

    def test_spread_of_planned_samples_is_the_full_range(self):
        self.assertAlmostEqual(stats.spread([90.0, 100.0, 110.0], base=3), 0.2)
        self.assertEqual(stats.spread([5.0], base=3), 0.0)

    def test_two_more_samples_let_one_outlier_go_at_either_end(self):
        self.assertAlmostEqual(stats.spread([10.0, 99.0, 100.0, 101.0, 500.0], base=3), 0.02)

    def test_at_least_half_of_the_samples_stay(self):
        values = [1.0, 1.0, 1.0, 1.0, 100.0, 100.0, 200.0, 200.0, 200.0]
        self.assertGreater(stats.spread(values, base=1), 0.9)

    def test_ratio_needs_both(self):
        self.assertEqual(stats.ratio(3.0, 2.0), 1.5)
        self.assertEqual([stats.ratio(None, 1.0), stats.ratio(1.0, None), stats.ratio(1.0, 0.0)], [None] * 3)


if __name__ == "__main__":
    unittest.main()
