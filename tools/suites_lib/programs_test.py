"""What the suites make of outputs, and that each of them is complete."""

import re
import unittest

from suites_lib import programs, suite
from suites_lib.programs import glib, python, sqlite, stress_ng
from suites_lib.suite import FAILED, PASSED, SKIPPED


class PythonTest(unittest.TestCase):
    def test_junit_gives_an_outcome_a_test(self) -> None:
        junit = b"""<testsuites><testsuite>
          <testcase name="test.test_a.T.good" />
          <testcase name="test.test_a.T.bad"><failure>why</failure></testcase>
          <testcase name="test.test_a.T.worse"><error>why</error></testcase>
          <testcase name="test.test_a.T.none"><skipped>why</skipped></testcase>
        </testsuite></testsuites>"""
        found = {name.rpartition(".")[2]: outcome for name, outcome in python.outcomes(junit).items()}
        self.assertEqual(found, {"good": PASSED, "bad": FAILED, "worse": FAILED, "none": SKIPPED})

    def test_a_name_that_occurs_twice_has_failed_if_once(self) -> None:
        bad, good = '<testcase name="n"><error/></testcase>', '<testcase name="n"/>'
        for cases in (bad + good, good + bad):
            self.assertEqual(python.outcomes(f"<s>{cases}</s>".encode()), {"n": FAILED})

    def test_modules_that_the_runner_names_as_failed(self) -> None:
        log = "== Tests result: FAILURE ==\n\n2 tests failed:\n    test_a\n    test_b test_c\n\n1 test skipped:\n    test_d\n"
        log += "\n1 test altered the execution environment:\n    test_e\n"
        self.assertEqual(python.failed_modules(log), ["test_a", "test_b", "test_c"])

    def test_the_module_of_a_check(self) -> None:
        for name in ("module test_json", "test.test_json.test_decode.TestC.test_x", "test_json"):
            self.assertEqual(python.module_of(name), "test_json")
        self.assertEqual(python.module_of("the test runner did not end"), "")


class GLibTest(unittest.TestCase):
    def test_tap(self) -> None:
        tap = "# random seed: 1\n1..4\nok 1 /a/b\nnot ok 2 /a/c\nok 3 /a/d # SKIP why\nnot ok 4 /a/e # TODO later\n"
        self.assertEqual(glib.outcomes(tap), {"/a/b": PASSED, "/a/c": FAILED, "/a/d": SKIPPED, "/a/e": SKIPPED})


class SqliteTest(unittest.TestCase):
    def test_sections(self) -> None:
        self.assertEqual(sqlite.sections("wal\n== a\n1\n2\n== b\nok\n"), {"a": "1\n2\n", "b": "ok\n"})

    def test_the_statements_have_the_section_that_is_checked(self) -> None:
        self.assertIn("== integrity\n", (suite.WORKLOADS / "suite.sql").read_text(encoding="utf-8"))


class RegistryTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        programs.load_all()

    def test_every_suite_says_what_it_is(self) -> None:
        names = [one.name for one in suite.all_suites()]
        expected = "python3 python3-malloc glib redis postgres sqlite3 stress-ng node java chromium".split()
        self.assertEqual(sorted(names), sorted(expected))
        for one in suite.all_suites():
            with self.subTest(suite=one.name):
                self.assertTrue(one.summary.endswith("."))
                self.assertTrue(one.package)
                self.assertNotIn(":", one.version())

    def test_numbers_in_the_summaries(self) -> None:
        (found,) = re.findall(r"^\d+", stress_ng.StressNg.summary)
        self.assertEqual(int(found), len(stress_ng.STRESSORS) + len(stress_ng.MALLOC))
        self.assertEqual(len(python.LEFT_OUT), 10)


if __name__ == "__main__":
    unittest.main()
