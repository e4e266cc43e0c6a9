"""Tests of the command line: wrong input ends with one line and status 2."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
import unittest
from unittest import mock

from tools.hakmem_lib import cli, library
from tools.hakmem_lib.errors import CommandError


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


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Waiting(unittest.TestCase):
    """What takes long is said at a terminal, and nowhere else."""

    def said(self, stream: io.StringIO, build_s: float) -> str:
        def run(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
            time.sleep(build_s)
            return subprocess.CompletedProcess([], 0, "/where\n", "")

        with contextlib.ExitStack() as stack:
            for thing, name, value in ((subprocess, "run", run), (library, "_LONG_S", 0.2), (os, "access", lambda *_: True)):
                stack.enter_context(mock.patch.object(thing, name, value))
            stack.enter_context(contextlib.redirect_stderr(stream))
            self.assertEqual(str(library.build("//a:b")), "/where")
        return stream.getvalue()

    def test_it(self) -> None:
        self.assertEqual(self.said(Terminal(), 0.6), "hakmem: building //a:b, which takes a minute or two the first time\n")
        self.assertEqual(self.said(Terminal(), 0.0), "")
        self.assertEqual(self.said(io.StringIO(), 0.6), "")

    def test_nothing_is_built_outside_of_a_checkout(self) -> None:
        """As here: a test must not build in the checkout that its files are links to."""
        with self.assertRaisesRegex(CommandError, "^cannot build //a:b: .* is no checkout of HAKMEM"):
            library.build("//a:b")


class Imports(unittest.TestCase):
    def test_a_command_imports_no_other(self) -> None:
        """What a command needs is most of the time that a short one takes."""
        code = (
            "import sys; from tools.hakmem_lib import cli\n"
            "try: cli.main(['stat', '--help'])\n"
            "except SystemExit: pass\n"
            "print([name for name in sys.modules if name.startswith('tools.hakmem_lib.commands.') or name == 'rich'])"
        )
        done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout.splitlines()[-1], "['tools.hakmem_lib.commands.stat']")


class Help(unittest.TestCase):
    def test_names_every_command(self) -> None:
        status, stdout, _ = outcome("--help")
        self.assertEqual(status, 0)
        for name in cli.COMMANDS:
            self.assertRegex(stdout, rf"(?m)^    {name}\b")


if __name__ == "__main__":
    unittest.main()
