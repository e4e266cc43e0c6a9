"""hakmem run: a program on HAKMEM, with a report when it ends."""

from __future__ import annotations

import argparse
import os
import shutil

from tools.hakmem_lib import library
from tools.hakmem_lib.errors import CommandError

SUMMARY = "run a program on HAKMEM, and report when it ends"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what follows `hakmem run`."""
    parser.add_argument("--lib", metavar="PATH", help="libhakmem.so to preload (default: this checkout's, built now)")
    parser.add_argument("--quiet", action="store_true", help="no report at the end")
    parser.add_argument("program", metavar="PROGRAM", help="what to run; its own options follow it")
    parser.add_argument("arguments", metavar="ARGS", nargs=argparse.REMAINDER)


def run(options: argparse.Namespace) -> int:
    """Becomes the program; returns only where it cannot be started."""
    path = shutil.which(options.program)
    if path is None:
        raise CommandError(f"no such program: {options.program}")
    environment = library.preloaded(os.environ, library.find(options.lib))
    if not options.quiet:
        environment.setdefault("HAKMEM_STATS_AT_EXIT", "1")
    try:
        os.execvpe(path, [options.program, *options.arguments], environment)
    except OSError as error:
        raise CommandError(f"cannot start {options.program}: {error.strerror}") from error
