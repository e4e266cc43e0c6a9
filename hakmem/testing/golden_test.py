"""Golden files: reading one, changing counts in it, and which compiler a library is by."""

import unittest

from hakmem.testing import golden

_TEXT = """# compiler name count

gcc-12  pair    100  16  # why
gcc-12  pairs   200
clang-14  pair  300  # other
"""


class GoldenTest(unittest.TestCase):
    def test_lines_are_read(self):
        self.assertEqual(golden.parse(_TEXT), [("gcc-12", "pair", 100, ["16"], "why"), ("gcc-12", "pairs", 200, [], ""),
                                               ("clang-14", "pair", 300, [], "other")])

    def test_counts_change_and_all_else_stays(self):
        changed = golden.with_counts(_TEXT, "gcc-12", {"pair": 7, "pairs": 8})
        self.assertEqual(changed, _TEXT.replace("100", "7").replace("200", "8"))

    def test_a_reason_replaces_the_one_before(self):
        changed = golden.with_counts(_TEXT, "gcc-12", {"pair": 7, "pairs": 8}, r"a \1 reason")
        self.assertIn("gcc-12  pair    7  16  # a \\1 reason\ngcc-12  pairs   8  # a \\1 reason\n", changed)
        self.assertIn("clang-14  pair  300  # other\n", changed)

    def test_a_count_without_a_line(self):
        with self.assertRaisesRegex(ValueError, "no line for lifo by gcc-12"):
            golden.with_counts(_TEXT, "gcc-12", {"lifo": 7})

    def test_compilers(self):
        by_gcc = "GCC: (Debian 12.2.0-14+deb12u1) 12.2.0"
        by_clang = "GCC: (Debian) 12.2.0\nDebian clang version 14.0.6"
        self.assertEqual((golden.compiler_of(by_gcc), golden.version_of(by_gcc)), ("gcc", "gcc-12"))
        self.assertEqual((golden.compiler_of(by_clang), golden.version_of(by_clang)), ("clang", "clang-14"))
        self.assertEqual(golden.version_of(""), "gcc-unknown")


if __name__ == "__main__":
    unittest.main()
