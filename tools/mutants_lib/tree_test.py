"""The copy follows the repository, and loses its fault again."""

import pathlib
import subprocess
import tempfile
import unittest

from mutants_lib.mutation import Mutation
from mutants_lib.suite import failures_of
from mutants_lib.tree import Tree


class TreeTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.repository = pathlib.Path(folder.name) / "repository"
        self.copy = pathlib.Path(folder.name) / "copy"
        (self.repository / "hakmem").mkdir(parents=True)
        subprocess.run(["git", "init", "-q", str(self.repository)], check=True)
        self.write("hakmem/a.c", "one")
        self.write(".gitignore", "ignored")
        self.write("ignored", "")
        Tree(self.copy).update(self.repository)

    def write(self, name: str, text: str) -> None:
        (self.repository / name).write_text(text)

    def names(self) -> set[str]:
        return {str(path.relative_to(self.copy)) for path in self.copy.rglob("*") if path.is_file()}

    def test_ignored_files_stay_behind(self) -> None:
        self.assertEqual(self.names(), {"hakmem/a.c", ".gitignore"})

    def test_update_copies_changes_and_deletes(self) -> None:
        self.write("hakmem/b.c", "two")
        (self.repository / "hakmem/a.c").unlink()
        Tree(self.copy).update(self.repository)
        self.assertEqual(self.names(), {"hakmem/b.c", ".gitignore"})

    def test_what_did_not_change_is_not_written(self) -> None:
        before = (self.copy / "hakmem/a.c").stat().st_mtime_ns
        Tree(self.copy).update(self.repository)
        self.assertEqual((self.copy / "hakmem/a.c").stat().st_mtime_ns, before)

    def test_fault_is_there_only_within(self) -> None:
        source = self.copy / "hakmem/a.c"
        with self.assertRaises(KeyError), Tree(self.copy).mutated(Mutation("m", "hakmem/a.c", "one", "two", "", "")):
            self.assertEqual(source.read_text(), "two")
            raise KeyError
        self.assertEqual(source.read_text(), "one")


class EventsTest(unittest.TestCase):
    def test_failures_are_read(self) -> None:
        runs = (("a", "PASSED"), ("b", "PASSED"), ("b", "FAILED"), ("b", "FAILED"), ("c", "TIMEOUT"), ("d", "NO_STATUS"))
        events = "\n".join(
            f'{{"id":{{"testResult":{{"label":"//{label}"}}}},"testResult":{{"status":"{status}"}}}}'
            for label, status in runs
        )
        found = [(failure.test, failure.how) for failure in failures_of(events + '\n{"id":{"progress":{}}}')]
        self.assertEqual(found, [("//b", "failed"), ("//c", "hung")])


if __name__ == "__main__":
    unittest.main()
