"""Tests of the table of rows."""

import unittest

from bench.runner import rows


_FIFO_SIZES = ["fifo_1000_8", "fifo_1000_16", "fifo_1000_256"]


class RowsTest(unittest.TestCase):
    def test_names_are_unique(self):
        names = [row.name for row in rows.ROWS]
        self.assertEqual(len(names), len(set(names)))

    def test_select_takes_parts_groups_globs_and_lists(self):
        self.assertEqual(len(rows.select(None)), len(rows.ROWS))
        self.assertEqual([row.name for row in rows.select("pair_64")], ["pair_64"])
        self.assertEqual({row.group for row in rows.select("realloc")}, {"realloc"})
        self.assertEqual([row.name for row in rows.select("loop_*_pages")],
                         ["loop_64k_pages", "loop_256k_pages", "loop_2m_pages"])
        self.assertEqual([row.name for row in rows.select("fifo,remote_pc")],
                         ["fifo_100", "fifo_1000", "fifo_100000", *_FIFO_SIZES, "remote_pc"])
        self.assertEqual(rows.select("no such row"), [])

    def test_quick_leaves_out_what_takes_long(self):
        names = {row.name for row in rows.QUICK_ROWS}
        self.assertLess(names, {row.name for row in rows.ROWS})
        self.assertIn("burst_sleep_1s", names)
        self.assertEqual(names & {"random_1m", "burst_sleep_10s"}, set())
        self.assertLessEqual(sum(row.idle_s for row in rows.QUICK_ROWS), 1.0)


if __name__ == "__main__":
    unittest.main()
