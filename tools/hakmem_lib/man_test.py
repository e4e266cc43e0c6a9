"""hakmem(1) says what the command line is, in roff that a formatter takes."""

from __future__ import annotations

import argparse
import pathlib
import re
import unittest

from tools.hakmem_lib import cli, man

PAGE = pathlib.Path("docs/man/hakmem.1")


class ManTest(unittest.TestCase):
    def test_the_page_is_up_to_date(self) -> None:
        self.assertTrue(PAGE.read_text(encoding="utf-8") == man.page(cli.build_parser()),
                        "not up to date; run: tools/hakmem --man > docs/man/hakmem.1")

    def test_every_command_and_option_is_in_it(self) -> None:
        text = PAGE.read_text(encoding="utf-8").replace("\\-", "-")
        parser = cli.build_parser()
        choices = next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
        self.assertEqual(list(choices), list(cli.COMMANDS))
        for name, command in choices.items():
            section = re.search(rf"^\.SS {name}\b.*?(?=^\.S[SH] )", text, re.MULTILINE | re.DOTALL)
            self.assertIsNotNone(section, name)
            for action in command._actions:
                for option in action.option_strings:
                    if option not in ("-h", "--help"):
                        self.assertIn(f"\\fB{option}\\fR", section.group(0), name)

    def test_requests(self) -> None:
        """Only such as man(7) has, and no line that is one by accident."""
        known = {"TH", "SH", "SS", "TP", "PP", "B", "BR", "I", "IR", "br", '\\"'}
        for line in PAGE.read_text(encoding="utf-8").splitlines():
            if line.startswith((".", "'")):
                self.assertIn(line.split()[0].lstrip("."), known, line)
            self.assertNotIn("\t", line)

    def test_sections(self) -> None:
        found = re.findall(r"^\.SH (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
        self.assertEqual(found, ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "EXIT STATUS", "ENVIRONMENT", "EXAMPLES", "SEE ALSO"])

    def test_escapes(self) -> None:
        self.assertEqual(man.escaped(".x\n'y\na\\b - c"), "\\&.x\n\\&'y\na\\eb \\- c")


if __name__ == "__main__":
    unittest.main()
