"""The command line of tools/misuse."""

from __future__ import annotations

import argparse
import pathlib
import sys

from bench.runner import allocators as found
from bench.runner.errors import BenchError, UsageError
from hakmem.testing.harness import process
from hakmem.testing.misuse import crimes
from tools.misuse_lib import measure, page

_PAGE = pathlib.Path("docs/misuse.md")


def main(arguments: list[str]) -> int:
    """Runs the command; 0 when HAKMEM does what its test says, 1 when not, 2 when it could not be asked."""
    options = _parse(arguments)
    try:
        peers = found.find_peers(found.parse_peers(options.peers))
        ours = found.own_library(found.OURS, str(options.binaries / process.LIBRARY))
    except (BenchError, UsageError) as error:
        print(f"misuse: {error}", file=sys.stderr)
        return 2
    allocators = [ours, *peers]
    folder = options.binaries / crimes.FOLDER
    table = measure.measure(folder, allocators, options.runs, _progress)
    _progress("")
    print("\n".join(page.beside(table, allocators) + [""] + page.counts(table, allocators)))
    if options.peers is None:
        _PAGE.write_text(page.updated(_PAGE.read_text(encoding="utf-8"), table, allocators), encoding="utf-8")
    wrong = measure.unexpected(table, found.OURS)
    for line in wrong:
        print(f"misuse: HAKMEM: {line}", file=sys.stderr)
    print(f"{len(table) - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong else 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/misuse",
        description="Commits every crime of hakmem/testing/misuse under HAKMEM and its peers, and shows what they do. "
        "With all peers (the default) it also writes the tables of docs/misuse.md.",
    )
    parser.add_argument("--peers", metavar="NAMES", help=f"some of {','.join(found.peer_names())}; none for ''")
    parser.add_argument("--runs", metavar="N", type=int, default=20, help="of each crime under each allocator (20)")
    parser.add_argument("--binaries", metavar="DIR", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error("--runs needs at least 1")
    return options


def _progress(name: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{name}", end="", file=sys.stderr, flush=True)
