"""Tests of the table of rows."""

import unittest

from bench.runner import rows


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
        self.assertEqual([row.name for row in rows.select("fifo,remote_pc")], ["fifo_100", "remote_pc"])
        self.assertEqual(rows.select("no such row"), [])


if __name__ == "__main__":
    unittest.main()
