"""hakmem map: the heap block by block, on one page that needs nothing else; and what changed between two looks."""

from __future__ import annotations

import argparse
import math

from tools.hakmem_lib import core_file, heap, output, view
from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.maps import capture, diff, model, page, store
from tools.hakmem_lib.text import counted, size

SUMMARY = "the heap block by block, as a page for the browser"


def _mebibytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1024:
        raise argparse.ArgumentTypeError(f"not a number of MiB from 0 to 1024: {text!r}")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what follows `hakmem map`."""
    parser.add_argument(
        "heap", metavar="PID|CORE|SNAPSHOT", nargs="?", help="the process, which is not stopped; or a core file or snapshot"
    )
    parser.add_argument("-o", "--output", metavar="FILE.html", help="writes the page")
    parser.add_argument("--save", metavar="FILE.json.gz", help="writes a snapshot, for later")
    parser.add_argument(
        "--diff", metavar=("OLD", "NEW"), nargs=2, help="what changed between two looks at a process, as a page"
    )
    parser.add_argument(
        "--detail", metavar="MIB", type=_mebibytes, default=capture.DETAIL_BYTES / (1 << 20),
        help="what single blocks may add to the page; beyond, slabs of the smallest blocks have counts only"
        " (%(default)g MiB)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Looks, or reads what was saved, and writes."""
    _check(options)
    detail = int(options.detail * (1 << 20))
    if options.diff:
        old, new = (_load(name, detail) for name in options.diff)
        found = diff.compare(old, new)
    else:
        found = _load(options.heap, detail)
    if options.save:
        data = store.pack(found)
        store.write(options.save, data)
        print(f"{options.save}: {_contents(found)} in {size(len(data))}")
    if options.output:
        data = page.build(found)
        store.write(options.output, data)
        print(f"{options.output}: {_contents(found)} in {size(len(data))}")
    if found.old is not None:
        print(_changes(found.old["counts"]))
    return 0


def _check(options: argparse.Namespace) -> None:
    if options.diff and (options.heap or options.save):
        raise CommandError("--diff takes two snapshots and -o FILE.html, and nothing else")
    if not options.diff and not options.heap:
        raise CommandError("name a PID, a core file or a snapshot, or two of them after --diff")
    if not options.output and not options.save:
        raise CommandError("nowhere to write to: -o FILE.html" + ("" if options.diff else " or --save FILE.json.gz"))
    for path in filter(None, (options.save, options.output)):
        output.check_file(path)


def _load(name: str, detail_bytes: int) -> model.Map:
    """A name of digits is a process, and a file tells by its beginning what it is."""
    if not name.isdecimal() and store.start(name, len(core_file.MAGIC)) != core_file.MAGIC:
        found = store.read(name)
        capture.limit(found, detail_bytes)
        return found
    with core_file.core_or_process(name) as source:
        return capture.capture(source, heap.Walker(view.attach(source)), detail_bytes)


def _contents(found: model.Map) -> str:
    slabs = sum(1 for _ in found.slabs())
    text = f"{counted(len(found.superslabs), 'SuperSlab')}, {slabs:,} slabs and spans, {counted(len(found.whales), 'whale')}"
    if found.left_out:
        text += f", {found.left_out:,} slabs without single blocks"
    if found.doubts:
        text += f", {sum(found.doubts.values()):,} things changing while they were read,"
    return text


def _changes(counts: dict[str, dict[str, int]]) -> str:
    lines = []
    for name, label in (("superslabs", "SuperSlabs"), ("slabs", "slabs and spans"), ("whales", "whales")):
        row = counts[name]
        lines.append(f"{label}: " + ", ".join(f"{row[kind]:,} {kind}" for kind in row))
    blocks = counts["blocks"]
    lines.append(f"blocks of slabs and spans: {blocks['gained']:,} handed out, {blocks['lost']:,} freed")
    return "\n".join(lines)
