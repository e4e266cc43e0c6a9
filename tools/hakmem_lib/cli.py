"""The command line of `hakmem`."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Sequence

from tools.hakmem_lib import man
from tools.hakmem_lib.errors import CommandError, left_over

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


class _Command(_Parser):
    """Says itself what it does not know: argparse leaves that to the parser above, which has not the command's name."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def,override]
        options, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(left_over(rest[0]))
        return options, rest


def main(arguments: list[str]) -> int:
    """Runs one command; returns its status, 2 where it was given what it cannot work with."""
    try:
        try:
            # What the others import takes longer than many a command.
            only = arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS
            return _run(build_parser(only).parse_args(arguments))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_stdout()
        return 0
    except OSError as error:
        # Files have been dealt with where they are written: this is stdout, as of a full disk.
        if error.filename is not None:
            raise
        _drop_stdout()
        print(f"hakmem: cannot write to stdout: {error.strerror}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    try:
        return int(options.run(options))
    except CommandError as error:
        print(f"hakmem {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _drop_stdout() -> None:
    """What is left of the output goes nowhere, so that Python does not try again when it ends, and complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Manual(argparse.Action):
    """Prints the manual page and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:  # type: ignore[override]
        print(man.page(parser), end="")
        parser.exit()


def build_parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line, with the options of these commands."""
    parser = _Parser(prog="hakmem", description="Looks into HAKMEM, from outside and at no cost to the program.")
    parser.add_argument("--man", action=_Manual, nargs=0, help="print the manual page, as docs/man/hakmem.1 has it")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Command)
    for name in names:
        module = importlib.import_module(f"tools.hakmem_lib.commands.{name}")
        command = commands.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
