"""Tests of results and report: ratios, means, and the three files."""

import csv
import io
import json
import tempfile
import unittest
from pathlib import Path

from bench.runner import report, testing
from bench.runner.measure import Failure, Sample
from bench.runner.results import Results
from bench.runner.session import QUICK

_ROWS = [testing.row("fast"), testing.row("slow")]


def _results():
    results = Results(_ROWS, [testing.OURS, testing.MIMALLOC, testing.GLIBC], 3)
    figures = {("fast", "hakmem"): (200.0, 512), ("fast", "mimalloc"): (100.0, 1024), ("fast", "glibc"): (50.0, 256),
               ("slow", "hakmem"): (0.5, 1024), ("slow", "mimalloc"): (1.0, 1024)}
    for row in _ROWS:
        for allocator in results.allocators:
            if (row.name, allocator.name) in figures:
                rate, rss_kb = figures[row.name, allocator.name]
                for _ in range(3):
                    results.cell(row, allocator).add(testing.sample(rate, rss_kb))
    results.cell(_ROWS[1], testing.GLIBC).add(Failure("crash (SIGSEGV)", "last words"))
    return results


class ResultsTest(unittest.TestCase):
    def test_ratios_refer_to_mimalloc(self):
        results = _results()
        self.assertEqual(results.baseline.name, "mimalloc")
        self.assertEqual(results.speed_ratio(_ROWS[0], testing.OURS), 2.0)
        self.assertEqual(results.rss_ratio(_ROWS[0], testing.OURS), 0.5)
        self.assertIsNone(results.speed_ratio(_ROWS[1], testing.GLIBC))

    def test_means_are_over_rows_that_all_completed(self):
        results = _results()
        self.assertEqual([row.name for row in results.common_rows()], ["fast"])
        self.assertAlmostEqual(results.mean_speed(testing.OURS), 2.0)
        self.assertAlmostEqual(results.mean_rss(testing.GLIBC), 0.25)

    def test_one_failed_run_fails_the_cell(self):
        results = _results()
        results.cell(_ROWS[0], testing.OURS).add(Failure("exit 3"))
        self.assertIsNone(results.cell(_ROWS[0], testing.OURS).rate)


    def test_means_never_mix_real_programs_with_others(self):
        rows = [testing.row("micro"), testing.real_row("program")]
        results = Results(rows, [testing.OURS, testing.GLIBC], 1)
        for allocator, mops, cpu_s in ((testing.OURS, 2.0, 3.0), (testing.GLIBC, 1.0, 1.0)):
            results.cell(rows[0], allocator).add(testing.sample(mops))
            results.cell(rows[1], allocator).add(Sample(1, 9.0, cpu_s, 1024))
        self.assertAlmostEqual(results.mean_speed(testing.OURS), 2.0)
        self.assertAlmostEqual(results.mean_speed(testing.OURS, real=True), 1 / 3)

    def test_time_is_ns_an_operation_or_seconds_of_a_program(self):
        rows = [testing.row("micro"), testing.real_row("program")]
        results = Results(rows, [testing.OURS], 1)
        results.cell(rows[0], testing.OURS).add(testing.sample(100.0))
        results.cell(rows[1], testing.OURS).add(Sample(1, 9.0, 3.0, 1024))
        self.assertAlmostEqual(results.cell(rows[0], testing.OURS).time, 10.0)
        self.assertAlmostEqual(results.cell(rows[1], testing.OURS).time, 3.0)

    def test_extras_and_curves_are_medians(self):
        results = Results(_ROWS[:1], [testing.OURS], 3)
        for value in (3.0, 1.0, 2.0):
            curve = {"c": [[0.0, value], [0.5, value * 10]]}
            results.cell(_ROWS[0], testing.OURS).add(Sample(1, 1.0, 1.0, 1024, {"idle_kb": value}, curve))
        self.assertEqual(results.cell(_ROWS[0], testing.OURS).extra, {"idle_kb": 2.0})
        self.assertEqual(results.cell(_ROWS[0], testing.OURS).curves, {"c": [[0.0, 2.0], [0.5, 20.0]]})


class ReportTest(unittest.TestCase):
    def test_csv_has_a_line_a_cell(self):
        lines = list(csv.DictReader(io.StringIO(report.to_csv(_results()))))
        self.assertEqual(len(lines), 6)
        self.assertEqual((lines[0]["row"], lines[0]["allocator"], lines[0]["speed_ratio"]), ("fast", "hakmem", "2.0"))
        self.assertEqual((lines[5]["mops_per_s"], lines[5]["failure"]), ("", "crash (SIGSEGV)"))

    def test_json_keeps_every_sample(self):
        document = json.loads(report.to_json(_results(), QUICK, {"cores": "2"}, is_complete=True))
        self.assertEqual(document["cells"][0]["runs"][2]["peak_rss_kb"], 512)
        self.assertEqual(document["plan"]["name"], "quick")
        self.assertTrue(document["complete"])

    def test_csv_and_json_hold_what_there_is_of_a_cell(self):
        row = testing.real_row("program")
        results = Results([row], [testing.OURS], 2)
        for cpu_s in (1.0, 2.0):
            results.cell(row, testing.OURS).add(Sample(1, 4.0, cpu_s, 1024, {"idle_kb": 7.0}))
        line = next(csv.DictReader(io.StringIO(report.to_csv(results))))
        expected = {"row": "program", "clock": "CPU", "allocator": "hakmem", "time": "1.5", "unit": "s", "wall_s": "4.0",
                    "cpu_s": "1.5", "peak_rss_kb": "1024.0", "samples": "2", "times": "1 2", "extra": "idle_kb=7",
                    "noisy": "True", "mops_per_s": ""}
        self.assertEqual({name: line[name] for name in expected}, expected)
        document = json.loads(report.to_json(results, QUICK, {}, is_complete=True))
        self.assertEqual((document["cells"][0]["times"], document["cells"][0]["extra"]), ([1.0, 2.0], {"idle_kb": 7.0}))
        self.assertTrue(document["rows"][0]["real"])

    def test_markdown_has_tables_of_their_own_for_real_programs(self):
        row = testing.real_row("program")
        results = Results([row], [testing.OURS, testing.GLIBC], 1)
        results.cell(row, testing.OURS).add(Sample(1, 4.0, 1.0, 1024))
        results.cell(row, testing.GLIBC).add(Sample(1, 2.0, 2.0, 1024, {"idle_kb": 7.0}))
        text = report.to_markdown(results, QUICK, {}, is_complete=True)
        self.assertNotIn("## Speed", text)
        self.assertIn("| program | **1.00 (0.50)** | 2.00 (1.00) |", text)
        self.assertIn("| program | 4.00 (2.00) | **2.00 (1.00)** |", text)
        self.assertIn("| program | idle_kb | - | 7.00 |", text)
        self.assertIn("| real programs | 1/1 | speed | 2.00 | 1.00 |", text)

    def test_markdown_marks_winners_failures_and_interrupts(self):
        text = report.to_markdown(_results(), QUICK, {"cores": "2"}, is_complete=False)
        self.assertIn("Interrupted", text)
        self.assertIn("| fast | CPU | **200 (2.00)** | 100 (1.00) | 50.0 (0.50) |", text)
        self.assertIn("| slow | CPU | 0.500 (0.50) | **1.00 (1.00)** | crash (SIGSEGV) |", text)
        self.assertIn("- slow under glibc: crash (SIGSEGV): `last words`", text)

    def test_empty_results_can_be_written(self):
        empty = Results(_ROWS, [testing.OURS], 3)
        with tempfile.TemporaryDirectory() as folder:
            paths = report.write_all(Path(folder) / "new", empty, QUICK, {}, is_complete=False)
            self.assertEqual([path.name for path in paths], ["results.csv", "results.json", "results.md", "index.html"])
            self.assertTrue(all(path.stat().st_size > 0 for path in paths))


if __name__ == "__main__":
    unittest.main()
