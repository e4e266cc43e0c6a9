"""Tests of summary.py, and that the README says what docs/bench holds."""

from __future__ import annotations

import json
import unittest
from pathlib import Path
from typing import Any

from bench.runner import report, summary, testing
from bench.runner.results import Results
from bench.runner.rows import ROWS
from bench.runner.session import QUICK


def _document(ours: float, theirs: float, our_rss_kb: int = 1024) -> dict[str, Any]:
    """Two rows and a program, at so many million operations a second."""
    rows = [testing.row("pair_64"), testing.row("unnamed"), testing.real_row("redis")]
    results = Results(rows, [testing.OURS, testing.MIMALLOC], 1)
    for row in rows:
        results.cell(row, testing.OURS).add(testing.sample(ours, our_rss_kb))
        results.cell(row, testing.MIMALLOC).add(testing.sample(theirs))
    document: dict[str, Any] = json.loads(report.to_json(results, QUICK, {}, is_complete=True))
    return document


class SummaryTest(unittest.TestCase):

    def test_means_rows_and_programs(self) -> None:
        text = summary.to_markdown(_document(200, 100))
        self.assertIn("| time, 2 rows | **0.50** | 1.00 |", text)
        self.assertIn("| malloc, free: 64 B | **5.00** | 10.0 |", text)
        self.assertIn("| redis | **1.00** | **1.00** |", text)
        self.assertNotIn("| unnamed |", text)

    def test_all_that_is_behind_is_said_worst_first(self) -> None:
        document = _document(100, 105, our_rss_kb=2048)
        for cell in document["cells"]:
            if cell["row"] == "unnamed" and cell["allocator"] == "hakmem":
                cell["time"] *= 2
        text = summary.to_markdown(document)
        self.assertIn("**Slower than the best of the others** by more than 2%, on 3 of 3 rows: "
                      "`unnamed` 2.10 (mimalloc), `pair_64` 1.05 (mimalloc), `redis` 1.05 (mimalloc).", text)
        self.assertIn("**Larger than the best of the others** by more than 10%, on 3 of 3 rows: `pair_64` 2.00", text)

    def test_nothing_behind_is_said_too(self) -> None:
        self.assertIn("On none of 3 rows by more than 2% slower", summary.to_markdown(_document(101, 100)))

    def test_only_what_is_between_the_marks_is_renewed(self) -> None:
        text = f"before\n{summary.BEGIN}\nOLD TEXT\n{summary.END}\nafter\n"
        new = summary.renew(text, _document(2, 1))
        self.assertTrue(new.startswith(f"before\n{summary.BEGIN}\n\n| geometric mean"))
        self.assertTrue(new.endswith(f"\n{summary.END}\nafter\n"))
        self.assertNotIn("OLD TEXT", new)
        self.assertEqual(summary.renew(new, _document(2, 1)), new)

    def test_missing_marks_are_an_error(self) -> None:
        with self.assertRaisesRegex(ValueError, "bench: written by tools/chart"):
            summary.renew("no marks\n", _document(2, 1))

    def test_titles_are_of_rows_that_there_are(self) -> None:
        self.assertLessEqual(set(summary.TITLES), {row.name for row in ROWS})


class ReadmeTest(unittest.TestCase):

    def test_the_readme_says_what_the_results_say(self) -> None:
        readme = Path("README.md").read_text(encoding="utf-8")
        document = json.loads(Path("docs/bench/results.json").read_text(encoding="utf-8"))
        self.assertEqual(summary.renew(readme, document), readme, "renew it: tools/chart docs/bench/results.json README.md")


if __name__ == "__main__":
    unittest.main()
