"""hakmem run: a program on HAKMEM, with a report when it ends."""

from __future__ import annotations

import argparse
import os
import shutil

from tools.hakmem_lib import library
from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.output import check_file

FILE_BYTES = 255  # of HAKMEM_STATS_FILE

SUMMARY = "run a program on HAKMEM, and report when it ends"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what follows `hakmem run`."""
    parser.add_argument("--lib", metavar="PATH", help="libhakmem.so to preload (default: this checkout's, built now)")
    report = parser.add_mutually_exclusive_group()
    report.add_argument("--quiet", action="store_true", help="no report at the end")
    report.add_argument("--json", action="store_true", help="the report for programs, an object for each process")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="append the report to FILE, %%p for the process's number (default: stderr)"
    )
    parser.add_argument("program", metavar="PROGRAM", help="what to run; its own options follow it")
    parser.add_argument("arguments", metavar="ARGS", nargs=argparse.REMAINDER)


def _checked(output: str) -> str:
    """The path for the option: whole, as the program may go elsewhere before it ends."""
    path = os.path.abspath(output)
    if len(os.fsencode(path)) > FILE_BYTES:
        raise CommandError(f"cannot write {path}: longer than {FILE_BYTES} bytes")
    check_file(path)
    return path


def run(options: argparse.Namespace) -> int:
    """Becomes the program; returns only where it cannot be started."""
    path = shutil.which(options.program)
    if path is None:
        raise CommandError(f"no such program: {options.program}")
    output = None if options.output is None else _checked(options.output)
    environment = library.preloaded(os.environ, library.find(options.lib))
    if not options.quiet:
        environment.setdefault("HAKMEM_STATS_AT_EXIT", "1")
    if options.json:
        environment["HAKMEM_STATS_FORMAT"] = "json"
    if output is not None:
        environment["HAKMEM_STATS_FILE"] = output
    try:
        os.execvpe(path, [options.program, *options.arguments], environment)
    except OSError as error:
        raise CommandError(f"cannot start {options.program}: {error.strerror}") from error
