"""Tests of chart.py, but for the drawing itself, which needs matplotlib."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path

from bench.runner import chart, report, testing
from bench.runner.results import Results
from bench.runner.session import QUICK


def _cell(row: str, allocator: str, speed: float | None) -> dict[str, object]:
    return {"row": row, "allocator": allocator, "speed_ratio": speed, "rss_ratio": speed}


class LoadTest(unittest.TestCase):

    def _load(self, text: str) -> dict[str, object]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "results.json"
            path.write_text(text, encoding="utf-8")
            return chart.load(path)

    def test_reads_what_bench_writes(self) -> None:
        document = {"cells": [_cell("pair", "mimalloc", 1)]}
        self.assertEqual(self._load(json.dumps(document)), document)

    def test_names_the_file_that_is_no_result(self) -> None:
        for text in ("not json", "[]", "{}", '{"cells": []}'):
            with self.subTest(text), self.assertRaisesRegex(ValueError, "results.json"):
                self._load(text)


class OrderTest(unittest.TestCase):

    def test_ours_is_last(self) -> None:
        self.assertEqual(chart.in_order(["hakmem", "glibc", "hakmem", "mimalloc"]), ["glibc", "mimalloc", "hakmem"])

    def test_baseline_is_the_one_with_ratio_1_throughout(self) -> None:
        cells = [_cell("a", "hakmem", 1), _cell("a", "mimalloc", 1), _cell("b", "hakmem", 2), _cell("b", "mimalloc", 1)]
        self.assertEqual(chart.baseline_of(cells), "mimalloc")

    def test_no_baseline_is_an_error(self) -> None:
        with self.assertRaises(ValueError):
            chart.baseline_of([_cell("a", "hakmem", 2), _cell("b", "hakmem", None)])


class MainTest(unittest.TestCase):

    def test_bad_arguments_say_the_usage(self) -> None:
        for argv in ([], ["one"], ["--bad", "x"]):
            stderr = io.StringIO()
            with self.subTest(argv), contextlib.redirect_stderr(stderr):
                self.assertEqual(chart.main(argv), 2)
            self.assertIn("usage: tools/chart", stderr.getvalue())

    def test_page_needs_what_the_runner_of_today_writes(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            results, out = Path(folder) / "results.json", Path(folder) / "index.html"
            results.write_text(json.dumps({"cells": [_cell("pair", "mimalloc", 1)]}), encoding="utf-8")
            stderr = io.StringIO()
            with contextlib.redirect_stderr(stderr):
                self.assertEqual(chart.main([str(results), str(out)]), 1)
            self.assertIn("older tools/bench", stderr.getvalue())
            cells = Results([testing.row("pair")], [testing.OURS], 1)
            results.write_text(report.to_json(cells, QUICK, {}, is_complete=True), encoding="utf-8")
            self.assertEqual(chart.main([str(results), str(out)]), 0)
            self.assertIn('<tr data-name="pair"', out.read_text(encoding="utf-8"))

    def test_missing_file_is_named(self) -> None:
        stderr = io.StringIO()
        with contextlib.redirect_stderr(stderr):
            self.assertEqual(chart.main(["no/such.json", "out.svg"]), 1)
        self.assertIn("no/such.json", stderr.getvalue())


if __name__ == "__main__":
    unittest.main()
