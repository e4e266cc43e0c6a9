"""The table, and its place in docs/suites.md."""

import dataclasses
import json
import pathlib
import tempfile
import unittest

from clients_lib.model import RunResult, Usage
from suites_lib import page
from suites_lib.compare import Verdict
from suites_lib.runner import SuiteResult
from suites_lib.suite import Suite

PAGE = f"before\n{page.START}\n{page.END}\nafter\n"
ORDER = ["first", "second"]


def result(name: str, verdict: Verdict, **more: object) -> SuiteResult:
    suite = Suite()
    suite.name = name  # type: ignore[misc]
    libc = RunResult("libc", [], Usage(30.0, 1.0, 10 << 10), {})
    here = RunResult("hakmem", [], Usage(150.0, 1.0, 20 << 10), {})
    return SuiteResult(suite, "1.2-3", "", [], libc, here, verdict, "2026-01-02", **more)  # type: ignore[arg-type]


CLEAN = Verdict(1234, [], [], [], [])


class RowTest(unittest.TestCase):
    def test_cells(self) -> None:
        cells = page.row(result("first", Verdict(1234, ["b"], ["b", "n"], ["n"], [])))
        numbers = ["1,234", "1", "2", "1", "30.0 s", "2.5 min", "10 MiB", "20 MiB"]
        self.assertEqual(cells, ["first", "1.2-3", *numbers, "2026-01-02"])
        self.assertEqual(len(cells), len(page.HEADINGS))

    def test_a_suite_that_was_not_run_has_no_figures(self) -> None:
        lost = dataclasses.replace(result("first", CLEAN), verdict=None)
        self.assertEqual(len(page.row(lost)), len(page.HEADINGS))
        self.assertEqual(set(page.row(lost)[2:-1]), {"-"})

    def test_the_terminal_s_table_has_a_line_a_suite(self) -> None:
        lines = page.text_table([result("first", CLEAN), result("second", CLEAN)]).splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["suite", "first", "second"])


class RemarksTest(unittest.TestCase):
    def test_each_kind_of_failure_is_told_apart(self) -> None:
        remarks = page.remarks(result("first", Verdict(9, ["both", "libc"], ["both", "new", "odd"], ["new"], ["odd"])))
        self.assertEqual(
            remarks,
            [
                "failed on HAKMEM and not on libc: `new`",
                "failed on both: `both`",
                "failed on libc only: `libc`",
                "failed on HAKMEM once, and when run again passed or failed on libc too: `odd`",
            ],
        )

    def test_long_lists_are_cut(self) -> None:
        names = [f"t{number:02}" for number in range(20)]
        (remark,) = page.remarks(result("first", Verdict(20, names, names, [], [])))
        self.assertTrue(remark.endswith("`t11` and 8 more"), remark)


class UpdatedTest(unittest.TestCase):
    def test_rows_of_other_suites_stay_and_the_order_is_kept(self) -> None:
        text = page.updated(PAGE, [result("second", Verdict(5, ["x"], ["x"], [], []))], ORDER)
        text = page.updated(text, [result("first", CLEAN)], ORDER)
        self.assertLess(text.index("| `first` |"), text.index("| `second` |"))
        self.assertIn("- **second**: failed on both: `x`\n", text)
        self.assertTrue(text.startswith("before\n") and text.endswith("\nafter\n"))

    def test_a_new_row_replaces_the_old_one_and_its_remarks(self) -> None:
        text = page.updated(PAGE, [result("first", Verdict(5, ["x"], ["x"], [], []))], ORDER)
        text = page.updated(text, [result("first", CLEAN)], ORDER)
        self.assertEqual(text.count("| `first` |"), 1)
        self.assertNotIn("- **first**", text)

    def test_the_same_again_changes_nothing(self) -> None:
        once = page.updated(PAGE, [result("first", CLEAN)], ORDER)
        self.assertEqual(page.updated(once, [result("first", CLEAN)], ORDER), once)

    def test_the_real_page_takes_a_row(self) -> None:
        text = (pathlib.Path(__file__).parents[2] / "docs/suites.md").read_text(encoding="utf-8")
        self.assertIn("| `first` |", page.updated(text, [result("first", CLEAN)], ORDER))

    def test_a_page_without_the_marks_is_an_error(self) -> None:
        with self.assertRaises(ValueError):
            page.updated("no marks\n", [result("first", CLEAN)], ORDER)


class JsonTest(unittest.TestCase):
    def test_every_name_that_failed_is_there(self) -> None:
        names = [f"t{number:02}" for number in range(20)]
        with tempfile.TemporaryDirectory() as folder:
            page.write_json(pathlib.Path(folder) / "new", [result("first", Verdict(20, names, names, names[:1], []))])
            (data,) = json.loads((pathlib.Path(folder) / "new/results.json").read_text(encoding="utf-8"))
        self.assertEqual((data["failed names on libc"], data["new names"]), (names, ["t00"]))


if __name__ == "__main__":
    unittest.main()
