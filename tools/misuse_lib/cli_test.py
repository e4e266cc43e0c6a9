"""The command line, as far as it goes without committing a crime."""

import contextlib
import io
import unittest

from tools.misuse_lib import cli


def call(*arguments: str) -> tuple[int, str]:
    """Status and stderr."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        try:
            status = cli.main([*arguments, "--binaries", "/nowhere"])
        except SystemExit as stop:
            status = int(stop.code or 0)
    return status, err.getvalue()


class CommandLineTest(unittest.TestCase):
    def test_no_runs_are_refused(self) -> None:
        for count in ("0", "-1", "many"):
            status, err = call("--runs", count)
            self.assertEqual(status, 2)
            self.assertIn("--runs", err)

    def test_an_unknown_peer_is_told(self) -> None:
        status, err = call("--peers", "nope")
        self.assertEqual(status, 2)
        self.assertTrue(err.startswith("misuse: --peers: no peer named nope; known: glibc,"), err)

    def test_a_library_that_is_not_there_is_told(self) -> None:
        status, err = call("--peers", "")
        self.assertEqual(status, 2)
        self.assertIn("/nowhere", err)


if __name__ == "__main__":
    unittest.main()
