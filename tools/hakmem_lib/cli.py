"""The command line of `hakmem`."""

from __future__ import annotations

import argparse
import importlib
import sys

from tools.hakmem_lib.errors import CommandError

# Each is a module of commands/. In the order of the help.
COMMANDS = (
    "run",
    "top",
    "stat",
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
    options = _parse(arguments)
    try:
        return int(options.run(options))
    except CommandError as error:
        print(f"hakmem {options.command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        return 130


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = _Parser(prog="hakmem", description="Looks into HAKMEM, from outside and at no cost to the program.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for name in COMMANDS:
        module = importlib.import_module(f"tools.hakmem_lib.commands.{name}")
        command = commands.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser.parse_args(arguments)
