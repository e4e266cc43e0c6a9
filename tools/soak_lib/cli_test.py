"""Bad arguments: one clear line, status 2."""

import contextlib
import io
import unittest

from soak_lib import cli


def run(*arguments: str) -> tuple[int, str]:
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        try:
            status = cli.main([*arguments, "--check"])
        except SystemExit as ended:
            status = int(ended.code or 0)
    return status, errors.getvalue()


class CliTest(unittest.TestCase):
    def refused(self, why: str, *arguments: str) -> None:
        status, text = run(*arguments)
        self.assertEqual(status, 2, text)
        self.assertEqual(text.count("\n"), 1, text)
        self.assertIn(why, text)

    def test_bad_arguments_are_named_in_one_line(self) -> None:
        self.refused("'soon' is not a number", "--hours", "soon")
        self.refused("'0' is not a number above 0", "--minutes", "0")
        self.refused("'inf' is not a number", "--hours", "inf")
        self.refused("'-1' is not a number", "--seconds=-1")
        self.refused("'x' is not a whole number", "--seed", "x")
        self.refused("no such configuration: nonsense", "--config", "clang+nonsense")
        self.refused("--bogus", "--bogus")
        self.refused("not allowed with", "--hours", "1", "--minutes", "1")

    def test_good_arguments_pass(self) -> None:
        self.assertEqual(run("--minutes", "5", "--only", "squeeze", "--config", "clang+debug", "--seed", "7"), (0, ""))


if __name__ == "__main__":
    unittest.main()
