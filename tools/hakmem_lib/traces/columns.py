"""The allocators that a trace is played on."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from typing import Optional

from bench.runner import allocators
from bench.runner.errors import BenchError
from tools.hakmem_lib import library
from tools.hakmem_lib.errors import CommandError

OURS = allocators.OURS


@dataclasses.dataclass(frozen=True)
class Column:
    """One allocator: its name and what is preloaded for it."""

    name: str
    libraries: tuple[str, ...]


def names() -> list[str]:
    """What --allocator accepts."""
    return [OURS, *allocators.peer_names()]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options by which allocators are chosen."""
    parser.add_argument("--allocator", metavar="NAME", action="append", default=[],
                        help=f"one of {', '.join(names())}, or several joined by commas; all: every one of them")
    parser.add_argument("--lib", metavar="[NAME=]PATH", action="append", default=[],
                        help=f"an allocator from a file; {OURS}=PATH stands for this checkout's")


def find(chosen: list[str], files: list[str]) -> list[Column]:
    """The columns that the options name; HAKMEM's alone where they name none."""
    given = [_parse_file(text) for text in files]
    wanted = [name for text in chosen for name in text.split(",")]
    if wanted == ["all"]:
        wanted = names()
    for name in wanted:
        if name not in names():
            raise CommandError(f"no allocator named {name}; known: {', '.join(names())}")
    by_name = {column.name: column for column in given}
    if not wanted and not given:
        wanted = [OURS]
    for name in wanted:
        if name not in by_name:
            by_name[name] = _known(name)
    return list(by_name.values())


def one(chosen: Optional[str], file: Optional[str]) -> Column:
    """The single allocator that the options name."""
    found = find([chosen] if chosen else [], [file] if file else [])
    if len(found) != 1:
        raise CommandError("one allocator, please: --allocator or --lib")
    return found[0]


def _known(name: str) -> Column:
    if name == OURS:
        return Column(OURS, (str(library.find(None)),))
    try:
        found = allocators.find_peers(allocators.parse_peers(name))[0]
    except BenchError as error:
        raise CommandError(str(error)) from error
    return Column(name, () if found.library is None else (found.library,))


def _parse_file(text: str) -> Column:
    name, equals, path = text.partition("=")
    if not equals:
        name, path = "", text
    found = library.find_any(path)
    return Column(name or _short_name(found), (str(found),))


def _short_name(path: pathlib.Path) -> str:
    """libhakmem.so is hakmem."""
    return path.name.split(".")[0].removeprefix("lib") or path.name
