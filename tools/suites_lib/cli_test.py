"""The command line, as far as it goes without running a suite."""

import contextlib
import io
import unittest
from unittest import mock

from suites_lib import cli


def call(*arguments: str) -> tuple[int, str, str]:
    """Status, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main(list(arguments))
        except SystemExit as stop:
            status = int(stop.code or 0)
    return status, out.getvalue(), err.getvalue()


class CommandLineTest(unittest.TestCase):
    def test_list_names_every_suite(self) -> None:
        status, out, _ = call("--list")
        self.assertEqual(status, 0)
        self.assertEqual(len(out.splitlines()), 10)

    def test_patterns_choose(self) -> None:
        _, out, _ = call("--list", "python*", "java")
        self.assertEqual([line.split()[0] for line in out.splitlines()], ["python3", "python3-malloc", "java"])

    def test_an_unknown_name_is_told(self) -> None:
        self.assertEqual(call("python3", "nope"), (2, "", "suites: no suite is called nope; see --list\n"))

    def test_an_unknown_option_is_told(self) -> None:
        status, _, err = call("--nope")
        self.assertEqual(status, 2)
        self.assertIn("unrecognized arguments: --nope", err)

    def test_a_library_that_is_not_there_is_told(self) -> None:
        with mock.patch("clients_lib.packages.missing_for_runner", return_value=[]):
            status, _, err = call("--lib", "/nowhere/lib.so", "java")
        self.assertEqual((status, err), (2, "suites: /nowhere/lib.so does not exist\n"))

    def test_what_is_missing_is_told(self) -> None:
        with mock.patch("clients_lib.packages.missing_for_runner", return_value=["time"]):
            status, _, err = call("--no-install", "java")
        self.assertEqual((status, err), (2, "suites: missing Debian packages: time\n"))


if __name__ == "__main__":
    unittest.main()
