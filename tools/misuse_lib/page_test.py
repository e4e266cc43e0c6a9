"""The tables, and their places in the page."""

import unittest

from bench.runner.allocators import Allocator
from hakmem.testing.misuse import crimes
from tools.misuse_lib import page
from tools.misuse_lib.measure import Verdicts

OURS = Allocator("hakmem", "/lib.so", "file lib.so")
PEER = Allocator("other", "/other.so", "libother1 1.2")
TABLE = {
    "double": {"hakmem": Verdicts(("abort", "abort")), "other": Verdicts(("handed out twice", "abort", "abort"))},
    "sized": {"hakmem": Verdicts(("no harm",)), "other": Verdicts(("not offered",))},
}


class PageTest(unittest.TestCase):
    def test_one_line_a_crime(self) -> None:
        self.assertEqual(
            page.beside(TABLE, [OURS, PEER])[2:],
            ["| `double` | abort | varies: abort or handed out twice |", "| `sized` | no harm | not offered |"],
        )

    def test_every_crime_is_counted_once_and_as_its_worst_run(self) -> None:
        ours, other = page.counts(TABLE, [OURS, PEER])[2:]
        self.assertEqual(ours, "| hakmem | 1 | 0 | 0 | 0 | 1 | 0 |")
        self.assertEqual(other, "| other | 0 | 0 | 0 | 1 | 0 | 1 |")

    def test_versions_name_packages_only(self) -> None:
        self.assertEqual(page.versions([OURS, PEER]), "Measured: libother1 1.2.")

    def test_only_the_block_is_replaced(self) -> None:
        text = "a\n<!-- peers -->\nold\n<!-- end of peers -->\nb\n"
        self.assertEqual(page.replaced(text, "peers", ["x"]), "a\n<!-- peers -->\nx\n<!-- end of peers -->\nb\n")

    def test_a_page_without_the_block_is_an_error(self) -> None:
        with self.assertRaises(ValueError):
            page.replaced("a\n<!-- peers -->\n", "peers", [])

    def test_the_summary_has_every_crime_once(self) -> None:
        text = "\n".join(crimes.summary())
        for crime in crimes.CRIMES:
            self.assertEqual(text.count(f"`{crime.name}`"), 1, crime.name)


if __name__ == "__main__":
    unittest.main()
