"""The workloads against the golden file; first that the counting itself finds what it should."""

import functools
import unittest

from hakmem.testing import golden, instruction_counts

_LIBRARY = "hakmem/libhakmem.so"
_PROGRAM = "hakmem/testing/workloads"

_PROFILE = """
ob=(1) /somewhere/program
fn=(1) main
cob=(2) /somewhere else/libhakmem.so
cfi=(3) gate.c
cfn=(2) malloc
calls=100 0
0 1500
0 70
ob=(2)
fn=(2)
0 1000
+3 200
* 300
cob=(3) /lib/libc.so.6
cfn=(3) memset
calls=1 0
0 40
ob=(3)
fn=(3)
0 40
ob=(2)
fn=(4) free
0 5
"""


class CountTest(unittest.TestCase):
    def test_only_what_runs_inside_the_library_counts(self):
        self.assertEqual(instruction_counts.count_in(_PROFILE, "libhakmem.so"), 1000 + 200 + 300 + 5)
        self.assertEqual(instruction_counts.count_in(_PROFILE, "program"), 70)
        self.assertEqual(instruction_counts.count_in(_PROFILE, "libother.so"), 0)


class CompareTest(unittest.TestCase):
    LINES = [golden.Line("gcc-12", "hit", 1000, [], "first"), golden.Line("gcc-12", "mid", 1000, [], "first")]
    TEXT = "gcc-12  hit  1000  # first\ngcc-12  mid  1000  # first\ngcc-99  hit  1  # first\n"

    def test_two_percent_are_allowed_either_way(self):
        self.assertEqual(instruction_counts.findings(self.LINES, {"hit": 1020, "mid": 980}), [])

    def test_more_is_named_with_the_way_to_renew(self):
        for count, words in ((1021, r"hit: 1021 instructions \(gcc-12\), \+2.1 % to the 1000"),
                             (979, "hit: 979.*-2.1 %")):
            with self.subTest(count):
                found = instruction_counts.findings(self.LINES, {"hit": count, "mid": 1000})
                self.assertEqual(len(found), 2)
                self.assertRegex(found[0], words)
                self.assertIn("--renew 'why it changed'", found[1])

    def test_renew_changes_only_what_is_out_of_bounds(self):
        renewed = instruction_counts.renew(self.TEXT, self.LINES, {"hit": 1015, "mid": 700}, "better refill")
        self.assertEqual(renewed, self.TEXT.replace("mid  1000  # first", "mid  700  # better refill"))

    def test_another_release_of_the_compiler_has_nothing_to_compare_with(self):
        with self.assertRaisesRegex(instruction_counts.CannotCount, "no counts for (gcc|clang)-"):
            instruction_counts.lines_for(_LIBRARY, "gcc-1  hit  1\n")


@functools.lru_cache(maxsize=1)
def _measured():
    lines = instruction_counts.lines_for(_LIBRARY, instruction_counts.GOLDEN.read_text())
    return lines, instruction_counts.measure(_LIBRARY, _PROGRAM, lines)


class LibraryTest(unittest.TestCase):
    def measured(self):
        """The lines for this compiler, and the counts of this library."""
        try:
            return _measured()
        except instruction_counts.CannotCount as why:
            if "failed" in str(why):
                raise
            self.skipTest(str(why))

    def test_golden_file_has_each_workload_once_with_a_reason(self):
        lines = golden.parse(instruction_counts.GOLDEN.read_text())
        for compiler in {line.compiler for line in lines}:
            names = [line.name for line in lines if line.compiler == compiler]
            self.assertEqual(names, instruction_counts.workloads(_PROGRAM))
        self.assertEqual([line for line in lines if not line.reason], [])

    def test_workloads_cost_what_the_golden_file_says(self):
        found = instruction_counts.findings(*self.measured())
        self.assertEqual(found, [], "\n".join(found))

    def test_work_three_percent_off_would_be_noticed(self):
        lines, counts = self.measured()
        for factor in (0.97, 1.03):
            exact = [line._replace(count=round(counts[line.name] / factor)) for line in lines]
            self.assertEqual([line.name for line in exact if instruction_counts.compare(line, counts[line.name])],
                             [line.name for line in lines])

    def test_a_count_comes_out_the_same_again(self):
        _, counts = self.measured()
        for workload in ("remote_free", "threads"):
            again = instruction_counts.count(_LIBRARY, _PROGRAM, workload)
            self.assertAlmostEqual(again / counts[workload], 1, delta=0.001)


if __name__ == "__main__":
    unittest.main()
