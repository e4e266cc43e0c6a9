"""The loop."""

import io
import itertools
import pathlib
import tempfile
import unittest
from typing import Iterator

from soak_lib import fakes, report
from soak_lib.model import Plan
from soak_lib.soak import Soak


class SoakTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.screen = io.StringIO()

    def soak(self) -> Soak:
        return Soak("default", {}, self.folder / "out", {}, self.screen)

    def test_goes_on_after_a_failure_and_tells_at_the_end(self) -> None:
        plans = [fakes.plan(self.folder, name, script) for name, script in (("bad", fakes.BAD), ("good", fakes.GOOD))]
        soak = self.soak()
        soak.run(iter(plans), 60.0)
        self.assertFalse(soak.end())
        self.assertEqual((soak.totals["good"].runs, soak.totals["bad"].failures), (1, 1))
        self.assertIn("FAILED with status 3: bazel run //stress:bad -- --threads=4", self.screen.getvalue())

    def test_all_good_is_good(self) -> None:
        soak = self.soak()
        soak.run(iter([fakes.plan(self.folder, "good", fakes.GOOD)]), 60.0)
        self.assertTrue(soak.end())

    def test_stops_when_the_time_is_over(self) -> None:
        soak = self.soak()
        soak.run(itertools.repeat(fakes.plan(self.folder, "good", "sleep 0.1\n")), 0.3)
        self.assertTrue(1 <= soak.totals["good"].runs <= 4, soak.totals)

    def test_totals_of_commands_add_up(self) -> None:
        for _ in range(2):
            self.soak().run(iter([fakes.plan(self.folder, "good", fakes.GOOD)]), 60.0)
        self.assertEqual(report.sum_totals(self.folder / "out" / "totals.json").ops, 24)

    def test_interrupted_soak_has_its_summary(self) -> None:
        def plans() -> Iterator[Plan]:
            yield fakes.plan(self.folder, "good", fakes.GOOD)
            raise KeyboardInterrupt

        soak = self.soak()
        with self.assertRaises(KeyboardInterrupt):
            soak.run(plans(), 60.0)
        self.assertTrue(soak.end())
        self.assertIn("all commands so far: 1 runs", self.screen.getvalue())


if __name__ == "__main__":
    unittest.main()
