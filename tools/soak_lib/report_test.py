"""The table, the log, the totals."""

import pathlib
import tempfile
import unittest

from soak_lib import fakes, process, report
from soak_lib.model import Total


class ReportTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_last_line_of_the_table_is_the_sum(self) -> None:
        totals = {"a": Total(2, 1, 1000, 3600.0, 2048), "b": Total(1, 0, 500, 61.0, 1024)}
        lines = report.table(totals).splitlines()
        self.assertEqual(lines[1].split(), ["a", "2", "1", "1,000", "2", "1:00:00"])
        self.assertEqual(lines[-1].split(), ["all", "3", "1", "1,500", "2", "1:01:01"])

    def test_command_line_can_be_typed(self) -> None:
        plan = fakes.plan(self.folder, "swap", fakes.GOOD)
        self.assertEqual(
            report.command_line(plan, "clang+debug"),
            "bazel run --config=clang --config=debug //stress:swap -- --threads=4 --seconds=0.5 --seed=9",
        )

    def test_failure_is_kept_with_its_command_and_a_good_run_only_logged(self) -> None:
        for name, script in (("good", fakes.GOOD), ("bad", fakes.BAD)):
            report.log_run(self.folder, process.run(fakes.plan(self.folder, name, script), {}), "tsan")
        self.assertEqual(len((self.folder / "runs.log").read_text().splitlines()), 2)
        kept = list((self.folder / "failures").iterdir())
        self.assertEqual([path.name for path in kept], ["bad-tsan-9.txt"])
        text = kept[0].read_text()
        self.assertIn("--seed=9", text)
        self.assertIn("damaged", text)

    def test_totals_come_back_and_garbage_counts_as_none(self) -> None:
        path = self.folder / "totals.json"
        self.assertEqual(report.load_totals(path), {})
        report.save_totals(path, {"a": Total(1, 2, 3, 4.0, 5)})
        self.assertEqual(report.load_totals(path), {"a": Total(1, 2, 3, 4.0, 5)})
        path.write_text("[1")
        self.assertEqual(report.load_totals(path), {})


if __name__ == "__main__":
    unittest.main()
