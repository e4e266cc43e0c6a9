"""Tests of table: what a terminal and what a log gets to see."""

import io
import pathlib
import re
import time
import unittest
from types import SimpleNamespace
from typing import Any

from fuzz_lib import table
from fuzz_lib.libfuzzer import Log
from fuzz_lib.session import Running, Unit
from fuzz_lib.targets import Target
from fuzz_lib.totals import GOAL_EXECUTIONS, Totals

_NOWHERE = pathlib.Path("/nowhere")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _unit(name: str) -> Unit:
    unit = Unit(Target(name, "fuzz", _NOWHERE), "fuzz", _NOWHERE, executions=1000, cpu_s=61.0, wall_s=50.0)
    log = Log()
    log.add("#500\tNEW    cov: 12 ft: 13 corp: 3/9b exec/s: 9 rss: 5Mb")
    unit.running[0] = Running(log, time.monotonic() - 50.0, 0)
    unit.crashes["a"] = 2
    return unit


def _session(*units: Unit) -> Any:
    return SimpleNamespace(units=list(units), elapsed_s=lambda: 3661.0)


class TableTest(unittest.TestCase):
    """Rows and drawing."""

    def test_row_counts_what_still_runs(self) -> None:
        """1000 executions of ended processes and 500 of one that runs, in 100 seconds."""
        self.assertEqual(
            table.unit_row(_unit("x")),
            ["x", "fuzz", "1,500", "15", "12", "13", "3", "1", "1:51", "running"],
        )

    def test_terminal_is_redrawn(self) -> None:
        """The second table goes over the first, and words over both."""
        stream = _Terminal()
        display = table.Display(stream)
        display.show(_session(_unit("x"), _unit("y")))
        self.assertEqual(stream.getvalue().count("\n"), 4)
        self.assertNotIn("\x1b", stream.getvalue())
        display.say("a crash")
        display.show(_session())
        self.assertRegex(stream.getvalue(), re.compile("running\n\x1b\\[4A\x1b\\[Jfuzz: a crash\n$", re.DOTALL))
        display.close()

    def test_log_gets_plain_lines(self) -> None:
        """Not each time it is asked, and without control characters."""
        stream = io.StringIO()
        display = table.Display(stream)
        display.show(_session(_unit("x")))
        self.assertEqual(stream.getvalue(), "")
        display._next = 0.0  # pylint: disable=protected-access
        display.show(_session(_unit("x")))
        display.show(_session(_unit("x")))
        self.assertRegex(stream.getvalue(), r"^fuzz: 1:01:01 x \(fuzz\): 1,500 executions, .*, crashes 1, running\n$")

    def test_status_sums_the_configurations_of_a_target(self) -> None:
        """Together they reach the goal."""
        totals = Totals(_NOWHERE / "totals.json")
        totals.of("x", "fuzz").add(GOAL_EXECUTIONS // 2, 1.0, False)
        totals.of("y", "fuzz").add(5, 1.0, True)
        self.assertTrue(table.status_lines(totals)[1].endswith("not yet"))
        totals.of("x", "fuzz_bare").add(GOAL_EXECUTIONS // 2, 1.0, False)
        lines = table.status_lines(totals)
        self.assertEqual([line.endswith("enough") for line in lines], [False, False, True, False])


if __name__ == "__main__":
    unittest.main()
