"""The table and the last line."""

import json
import unittest

from clients_lib import report
from clients_lib.model import ClientResult, RunResult, Usage


def result(name: str, verdict: str, informational: bool = False, rss: tuple[int, int] = (1000, 1000)) -> ClientResult:
    one = ClientResult(name, "work.", "nothing", informational, verdict, "reason")
    one.baseline = [RunResult("libc", [], Usage(2.0, 1.0, rss[0]), {})]
    one.candidate = [RunResult("hakmem", [], Usage(1.0, 1.5, rss[1]), {})]
    return one


class ReportTest(unittest.TestCase):
    def test_ratios_are_candidate_over_libc(self) -> None:
        cells = report.row(result("git", "equal"))
        self.assertEqual(cells[3:5], ["0.50", "1.50"])

    def test_memory_above_the_limit_is_marked_and_at_the_limit_not(self) -> None:
        self.assertEqual(report.row(result("a", "equal", rss=(1000, 1151)))[-1], "> 1.15")
        self.assertEqual(report.row(result("a", "equal", rss=(1000, 1150)))[-1], "")

    def test_figures_are_medians(self) -> None:
        one = result("a", "equal")
        one.baseline += [RunResult("libc", [], Usage(wall, 1.0, 1000), {}) for wall in (4.0, 100.0)]
        found = report.figures(one)
        assert found is not None
        self.assertEqual(found.baseline.wall_s, 4.0)

    def test_client_without_a_finished_run_has_no_figures(self) -> None:
        one = result("a", "failed")
        one.candidate[0].error = "hang"
        self.assertEqual(report.row(one)[2], "-")

    def test_informational_and_skipped_clients_are_not_counted(self) -> None:
        results = [result("a", "equal"), result("b", "different"), result("c", "failed", True), result("d", "skipped")]
        self.assertEqual(report.count_line(results), "1 passed, 1 failed")

    def test_json_can_be_read_back(self) -> None:
        read = json.loads(report.as_json([result("a", "equal")], "hakmem", 1))
        self.assertEqual(read["clients"][0]["cpu_ratio"], 1.5)

    def test_markdown_names_what_differs(self) -> None:
        self.assertIn("- **b**: different: reason", report.markdown([result("b", "different")], "hakmem", 1))


if __name__ == "__main__":
    unittest.main()
