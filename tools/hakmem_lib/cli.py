"""The command line of `hakmem`."""

from __future__ import annotations

import argparse
import importlib
import sys

from tools.hakmem_lib import man
from tools.hakmem_lib.errors import CommandError

# Each is a module of commands/. In the order of the help.
COMMANDS = (
    "run",
    "top",
    "stat",
    "prof",
    "map",
    "why",
    "doctor",
    "options",
    "trace",
    "replay",
    "advise",
)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: list[str]) -> int:
    """Runs one command; returns its status, 2 where it was given what it cannot work with."""
    options = build_parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except CommandError as error:
        print(f"hakmem {options.command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        return 130


class _Manual(argparse.Action):
    """Prints the manual page and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:  # type: ignore[override]
        print(man.page(parser), end="")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """The command line, with every command's options."""
    parser = _Parser(prog="hakmem", description="Looks into HAKMEM, from outside and at no cost to the program.")
    parser.add_argument("--man", action=_Manual, nargs=0, help="print the manual page, as docs/man/hakmem.1 has it")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for name in COMMANDS:
        module = importlib.import_module(f"tools.hakmem_lib.commands.{name}")
        command = commands.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
