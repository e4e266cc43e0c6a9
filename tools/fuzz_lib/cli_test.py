"""Tests of the command line: what it refuses, and what it does without building anything."""

import contextlib
import io
import pathlib
import tempfile
import unittest
from unittest import mock

from fuzz_lib import cli, merge
from fuzz_lib.errors import FuzzError
from fuzz_lib.processes import Processes
from fuzz_lib.results import Results, digest, file_regression
from fuzz_lib.targets import Target
from fuzz_lib.totals import Totals

_MERGER = """#!/bin/sh
case " $* " in *" -merge=1 "*) count=$(cat "$(dirname "$0")/COUNT" 2>/dev/null || echo 1) ;; *) count=3 ;; esac
while [ "${1#-}" != "$1" ]; do shift; done
[ ! -e "$(dirname "$0")/FAIL" ] || exit 1
while [ "$count" -gt 0 ]; do printf new > "$1/new-$count"; count=$((count - 1)); done
"""


class CliTest(unittest.TestCase):
    """One line and status 2, or the answer."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        some = [Target(name, "fuzz", self.folder / "fuzz") for name in ("a_fuzz", "b_fuzz")]
        patch = mock.patch("fuzz_lib.targets.find", lambda root: some)
        patch.start()
        self.addCleanup(patch.stop)

    def _main(self, *arguments: str) -> "tuple[int, str, str]":
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = cli.main(["--results", str(self.folder / "results"), *arguments])
        return status, out.getvalue(), err.getvalue()

    def test_bad_arguments(self) -> None:
        """They are refused before anything is built."""
        for words in (["--minutes", "0"], ["--minutes", "nan"], ["--jobs", "0"], ["--executions", "1.5"], ["--frob"],
                      ["--config", "asan"], ["c_fuzz"], ["--merge", "--status"], ["--slice", "-3"], ["--jobs"]):
            status, out, err = self._main(*words)
            self.assertEqual((status, out), (2, ""), words)
            self.assertRegex(err, r"^fuzz: [^\n]+\n$", words)

    def test_list_and_status(self) -> None:
        """What there is, and what was run."""
        self.assertEqual(self._main("--list", "b*"), (0, "b_fuzz\n", ""))
        self.assertIn("nothing has been run", self._main("--status")[1])
        totals = Totals(self.folder / "results/totals.json")
        totals.of("a_fuzz", "fuzz").add(20_000_000, 1.0, False)
        totals.save()
        self.assertRegex(self._main("--status")[1], r"a_fuzz +fuzz +20,000,000 .*enough\n")

    def test_one_command_at_a_time(self) -> None:
        """Two would write into each other's corpora."""
        first = Results(self.folder / "results")
        first.claim()
        self.addCleanup(first.release)
        status, _, err = self._main("--minutes", "1")
        self.assertEqual(status, 2)
        self.assertIn("another tools/fuzz", err)


class MergeTest(unittest.TestCase):
    """The committed corpus is replaced as a whole or not at all."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.target = Target("a_fuzz", "fuzz", self.folder / "fuzz")
        self.target.corpus.mkdir(parents=True)
        (self.target.corpus / "old").write_text("old")
        self.binary = self.folder / "merger"
        self.binary.write_text(_MERGER)
        self.binary.chmod(0o755)

    def _merge(self) -> "tuple[int, int]":
        results = Results(self.folder / "results")
        return merge.merge(self.target, self.binary, results, Processes(self.folder, {}))

    def test_replaces(self) -> None:
        """What the merge did not keep goes."""
        self.assertEqual(self._merge(), (1, 1))
        self.assertEqual([path.name for path in self.target.corpus.iterdir()], ["new-1"])

    def test_too_many_become_few(self) -> None:
        """Short inputs while they are tens, else long ones."""
        (self.folder / "COUNT").write_text("50")
        self.assertEqual(self._merge(), (1, 50))
        (self.folder / "COUNT").write_text("500")
        self.assertEqual(self._merge(), (50, 3))
        self.assertEqual(len(list(self.target.corpus.iterdir())), 3)

    def test_failure_changes_nothing(self) -> None:
        """A crash during the merge."""
        (self.folder / "FAIL").touch()
        with self.assertRaisesRegex(FuzzError, "the corpus is as it was"):
            self._merge()
        self.assertEqual([path.name for path in self.target.corpus.iterdir()], ["old"])


class ResultsTest(unittest.TestCase):
    """Inputs and their names."""

    def test_seeds_and_regressions(self) -> None:
        """The corpus begins with all that is committed; two regressions of a name do not hide each other."""
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            target = Target("a_fuzz", "fuzz", folder / "fuzz")
            names = [file_regression(target, "bug", content).name for content in (b"1", b"2", b"1", b"2")]
            self.assertEqual(names, ["bug", "bug-2", "bug", "bug-2"])
            results = Results(folder / "results")
            results.prepare(target)
            self.assertEqual({path.name for path in results.corpus(target).iterdir()}, {digest(b"1"), digest(b"2")})


if __name__ == "__main__":
    unittest.main()
