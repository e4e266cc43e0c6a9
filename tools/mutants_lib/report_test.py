"""Results are kept, and the table says what they are."""

import pathlib
import tempfile
import unittest

from mutants_lib import report
from mutants_lib.mutation import Mutation
from mutants_lib.report import Result, Results

A = Mutation("a", "hakmem/slab/slab.c", "1", "2", "one is two", "off by one")
B = Mutation("b", "hakmem/gate/gate.c", "1", "2", "two", "errors")


class ReportTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name) / "x" / "results.json"

    def test_results_outlive_the_run_but_not_the_mutation(self) -> None:
        Results(self.path).add(Result("a", report.digest_of(A), "//t", "failed", 3))
        again = Results(self.path)
        result = again.of(A)
        self.assertEqual(result.test if result else None, "//t")
        self.assertIsNone(again.of(B))
        self.assertIsNone(again.of(Mutation("a", A.path, "1", "3", "", "")))

    def test_table_and_summary(self) -> None:
        results = Results(self.path)
        self.assertEqual(report.summary([A, B], results), "0 of 2 faults noticed, 0 not noticed, 2 not run")
        results.add(Result("a", report.digest_of(A), "//t", "hung", 3))
        results.add(Result("b", report.digest_of(B), "", "", 3))
        text = report.table([A, B], results)
        self.assertIn("| off by one: one is two (`a`) | `slab/slab.c` | `//t` (hung) |", text)
        self.assertIn("**not noticed**", text)
        self.assertEqual(report.summary([A, B], results), "1 of 2 faults noticed, 1 not noticed")

    def test_only_what_is_between_the_marks_changes(self) -> None:
        document = pathlib.Path(self.folder.name) / "d.md"
        document.write_text(f"head\n{report.BEGIN}\nold\n{report.END}\ntail\n")
        report.write_between_marks(document, "new\n")
        report.write_between_marks(document, "newer\n")
        self.assertEqual(document.read_text(), f"head\n{report.BEGIN}\n\nnewer\n\n{report.END}\ntail\n")
        document.write_text("no marks")
        with self.assertRaises(ValueError):
            report.write_between_marks(document, "new")


if __name__ == "__main__":
    unittest.main()
