"""The list of faults fits the sources."""

import collections
import pathlib
import tempfile
import unittest

from mutants_lib import mutation, tree
from mutants_lib.mutation import Mutation, MutationError


class ListTest(unittest.TestCase):
    def setUp(self) -> None:
        self.mutations = mutation.load(mutation.default_file())

    def test_each_applies_to_its_source(self) -> None:
        for one in self.mutations:
            with self.subTest(one.name):
                source = (tree.REPOSITORY / one.path).read_text()
                self.assertNotEqual(one.apply(source), source)

    def test_there_are_many_of_several_kinds(self) -> None:
        kinds = collections.Counter(one.kind for one in self.mutations)
        self.assertGreaterEqual(len(self.mutations), 30)
        for kind in ("wrong ordering", "off by one", "missed publish", "wrong class", "lost remote bit"):
            self.assertGreater(kinds[kind], 0, kind)

    def test_no_two_are_the_same(self) -> None:
        self.assertEqual(len({(one.path, one.old, one.new) for one in self.mutations}), len(self.mutations))


class MutationTest(unittest.TestCase):
    def test_text_that_is_not_there_or_there_twice_is_an_error(self) -> None:
        one = Mutation("m", "hakmem/slab/slab.c", "a", "b", "", "")
        self.assertEqual(one.apply("xay"), "xby")
        for source in ("x", "aa"):
            with self.assertRaisesRegex(MutationError, "occurs"):
                one.apply(source)

    def test_own_tests_come_first_all_tests_last(self) -> None:
        one = Mutation("m", "hakmem/slab/slab.c", "a", "b", "", "", ("//x",))
        groups = one.target_groups()
        self.assertEqual(groups[0], ("//x",))
        self.assertEqual(groups[1], ("//hakmem/slab/...",))
        self.assertIn("//hakmem/...", groups[-1])

    def load(self, text: str) -> list[Mutation]:
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(text)
            file.flush()
            return mutation.load(pathlib.Path(file.name))

    def test_bad_lists_are_errors(self) -> None:
        whole = "[m]\npath='p'\nold='a'\nnew='b'\nwhat='w'\nkind='k'\n"
        self.assertEqual(len(self.load(whole)), 1)
        for bad, reason in (
            (whole.replace("kind='k'\n", ""), "missing"),
            (whole + "color='red'\n", "unknown"),
            (whole.replace("'b'", "'a'"), "changes nothing"),
        ):
            with self.assertRaisesRegex(MutationError, reason):
                self.load(bad)


if __name__ == "__main__":
    unittest.main()
