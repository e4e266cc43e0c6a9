"""Tests of totals: they add up over runs, and a crash begins the clean stretch anew."""

import pathlib
import tempfile
import unittest

from fuzz_lib.errors import FuzzError
from fuzz_lib.totals import GOAL_CPU_S, GOAL_EXECUTIONS, Total, Totals, reaches_goal


class TotalsTest(unittest.TestCase):
    """The file and the goal."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
        self.addCleanup(temporary.cleanup)
        self.path = pathlib.Path(temporary.name) / "folder/totals.json"

    def test_accumulates_over_runs(self) -> None:
        """What one run saved the next adds to."""
        for _ in range(3):
            totals = Totals(self.path)
            totals.of("a", "fuzz").add(10, 1.5, False)
            totals.save()
        self.assertEqual(Totals(self.path).of("a", "fuzz"), Total(30, 4.5, 0, 30, 4.5))
        self.assertEqual([path.name for path in self.path.parent.iterdir()], ["totals.json"])

    def test_crash_begins_anew(self) -> None:
        """The executions before it do not count for the goal."""
        total = Total()
        total.add(100, 9.0, False)
        total.add(5, 1.0, True)
        self.assertEqual(total, Total(105, 10.0, 1, 0, 0.0))
        total.add(7, 2.0, False)
        self.assertEqual((total.executions_since_crash, total.cpu_s_since_crash), (7, 2.0))

    def test_goal(self) -> None:
        """Either will do, over the configurations together."""
        half = Total(executions_since_crash=GOAL_EXECUTIONS // 2)
        self.assertFalse(reaches_goal([half]))
        self.assertTrue(reaches_goal([half, half]))
        self.assertTrue(reaches_goal([Total(cpu_s_since_crash=GOAL_CPU_S)]))
        self.assertFalse(reaches_goal([Total(executions=10**9, cpu_s=1e9)]))

    def test_damaged_file(self) -> None:
        """It is named, and not written over."""
        self.path.parent.mkdir()
        for text in ("{", "[]", '{"targets": [{"target": "a"}]}'):
            self.path.write_text(text)
            with self.assertRaisesRegex(FuzzError, "damaged"):
                Totals(self.path)


if __name__ == "__main__":
    unittest.main()
