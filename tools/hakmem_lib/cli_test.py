"""Tests of the command line: wrong input ends with one line and status 2."""

from __future__ import annotations

import contextlib
import io
import unittest

from tools.hakmem_lib import cli


def outcome(*arguments: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of one command."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            status = cli.main(list(arguments))
        except SystemExit as ended:
            status = ended.code
    return status, stdout.getvalue(), stderr.getvalue()


class WrongInput(unittest.TestCase):
    def check(self, named: str, *arguments: str) -> None:
        status, stdout, stderr = outcome(*arguments)
        self.assertEqual((status, stdout, stderr.count("\n")), (2, "", 1), stderr)
        self.assertIn(named, stderr)

    def test_no_command(self) -> None:
        self.check("COMMAND")

    def test_unknown_command(self) -> None:
        self.check("'dance'", "dance")

    def test_unknown_program(self) -> None:
        self.check("no such program: /no/such", "run", "/no/such")

    def test_unknown_library(self) -> None:
        self.check("no such library: /no/lib.so", "run", "--lib", "/no/lib.so", "true")


class Help(unittest.TestCase):
    def test_names_every_command(self) -> None:
        status, stdout, _ = outcome("--help")
        self.assertEqual(status, 0)
        for name in cli.COMMANDS:
            self.assertRegex(stdout, rf"(?m)^    {name}\b")


if __name__ == "__main__":
    unittest.main()
