"""What is made of the runs of a program, with the shell as the program."""

import pathlib
import tempfile
import unittest
from unittest import mock

from bench.runner.allocators import Allocator
from hakmem.testing.misuse import crimes
from tools.misuse_lib import measure

LIBC = Allocator("glibc", None, "libc6 2.36")
CRIME = crimes.Crime("crime", "", "abort: double free", "abort: double free", "abort: double free")


class CommitTest(unittest.TestCase):
    def commit(self, script: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder) / CRIME.name
            program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
            program.chmod(0o755)
            return measure.commit(pathlib.Path(folder), CRIME, LIBC)

    def test_an_abort_before_and_after_the_crime(self) -> None:
        self.assertEqual(self.commit("echo why >&2; kill -ABRT $$"), "abort")
        self.assertEqual(self.commit("echo went on; kill -ABRT $$"), "later abort")
        self.assertEqual(self.commit("echo went on; echo aliased; kill -ABRT $$"), "handed out twice, later abort")

    def test_an_end_without_a_word(self) -> None:
        self.assertEqual(self.commit("echo disjoint; echo ended"), "no harm")
        self.assertEqual(self.commit("echo aliased; echo ended"), "handed out twice")
        self.assertEqual(self.commit("echo not offered"), "not offered")

    def test_a_hang_is_a_verdict(self) -> None:
        with mock.patch.object(measure, "_HANG_S", 0.2):
            self.assertEqual(self.commit("exec sleep 100"), "hangs")


class VerdictsTest(unittest.TestCase):
    def test_equal_runs_are_one_verdict(self) -> None:
        self.assertEqual(measure.Verdicts(("SIGSEGV",) * 3).text, "SIGSEGV")

    def test_kinds(self) -> None:
        for verdict, kind in (
            ("abort", crimes.AT_ONCE),
            ("handed out twice, later abort", crimes.LATER),
            ("later SIGSEGV", crimes.CRASH),
            ("handed out twice", crimes.SILENT),
            ("hangs", crimes.SILENT),
            ("exit status 99", crimes.SILENT),
            ("no harm", crimes.HARMLESS),
            ("not offered", ""),
        ):
            self.assertEqual(crimes.kind(verdict), kind, verdict)

    def test_the_worst_run_counts(self) -> None:
        self.assertEqual(measure.Verdicts(("abort", "later SIGSEGV")).kind, crimes.CRASH)
        self.assertEqual(measure.Verdicts(("SIGSEGV", "hangs")).kind, crimes.SILENT)

    def test_what_the_test_does_not_say_is_reported(self) -> None:
        table = {crime.name: {"ours": measure.Verdicts((measure.short(crime.release),))} for crime in crimes.CRIMES}
        self.assertEqual(measure.unexpected(table, "ours"), [])
        table["free_wild"] = {"ours": measure.Verdicts(("SIGSEGV",))}
        self.assertEqual(measure.unexpected(table, "ours"), ["free_wild: SIGSEGV, not abort"])


if __name__ == "__main__":
    unittest.main()
