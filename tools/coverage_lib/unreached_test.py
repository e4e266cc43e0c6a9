"""Lines without a reason are found, and the file of reasons can be read."""

import pathlib
import tempfile
import unittest

from coverage_lib import unreached
from coverage_lib.unreached import Line

LCOV = """SF:/proc/self/cwd/hakmem/slab/slab.h
DA:1,0
DA:2,5
end_of_record
SF:{root}/hakmem/slab/slab.h
DA:1,0
DA:2,0
DA:3,0
end_of_record
SF:/proc/self/cwd/hakmem/slab/slab_test.cc
DA:1,0
end_of_record
"""


class UnreachedTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "hakmem" / "slab").mkdir(parents=True)
        (self.root / "hakmem" / "slab" / "slab.h").write_text("  one();\ntwo();\n}\n")

    def lines(self) -> list[Line]:
        return unreached.parse_lcov(LCOV.replace("{root}", str(self.root)), self.root)

    def test_tests_do_not_count_and_the_highest_count_holds(self) -> None:
        path = "hakmem/slab/slab.h"
        self.assertEqual(self.lines(), [Line(path, 1, 0), Line(path, 2, 5), Line(path, 3, 0)])

    def test_a_line_needs_a_reason(self) -> None:
        report = unreached.explain(self.lines(), {}, self.root)
        self.assertEqual([text for _, text in report.unexplained], ["one();"])
        self.assertIn("1 of 3 reached (33.33 %), 0 explained, 1 without a reason", report.text())

    def test_a_reason_explains_and_one_too_many_is_said(self) -> None:
        path = "hakmem/slab/slab.h"
        report = unreached.explain(self.lines(), {(path, "one();"): "why", (path, "two();"): "why"}, self.root)
        self.assertEqual(report.unexplained, [])
        self.assertEqual(report.unused, [(path, "two();")])
        self.assertIn("why\n    hakmem/slab/slab.h:1\n", report.text())

    def test_what_is_a_product(self) -> None:
        for path in ("hakmem/slab/slab.h", "hakmem/gate/gate_inl.h"):
            self.assertTrue(unreached.is_product(path), path)
        for path in ("hakmem/testing/model/model.cc", "hakmem/os/os_fake.c", "hakmem/shared_pool/test_pool.h"):
            self.assertFalse(unreached.is_product(path), path)

    def test_the_reasons_can_be_read(self) -> None:
        reasons = unreached.load_reasons(pathlib.Path(__file__).with_name("unreached.toml"))
        for (path, text), why in reasons.items():
            self.assertTrue(path.startswith("hakmem/") and text == text.strip() and why, text)


if __name__ == "__main__":
    unittest.main()
