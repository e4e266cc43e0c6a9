"""The tables of docs/misuse.md that are made, not written."""

from __future__ import annotations

from collections.abc import Sequence

from bench.runner.allocators import Allocator
from hakmem.testing.misuse import crimes
from tools.misuse_lib.measure import Verdicts

Table = dict[str, dict[str, Verdicts]]


def beside(table: Table, allocators: Sequence[Allocator]) -> list[str]:
    """One line a crime, one column an allocator."""
    names = [one.name for one in allocators]
    lines = ["| crime | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for crime, verdicts in table.items():
        lines.append(f"| `{crime}` | " + " | ".join(verdicts[name].text for name in names) + " |")
    return lines


def counts(table: Table, allocators: Sequence[Allocator]) -> list[str]:
    """How many crimes of each kind, an allocator a line."""
    lines = ["| allocator | " + " | ".join(crimes.KINDS) + " | not offered |"]
    lines.append("|---|" + "---:|" * (len(crimes.KINDS) + 1))
    for one in allocators:
        kinds = [verdicts[one.name].kind for verdicts in table.values()]
        lines.append(f"| {one.name} | " + " | ".join(str(kinds.count(kind)) for kind in (*crimes.KINDS, "")) + " |")
    return lines


def versions(allocators: Sequence[Allocator]) -> str:
    """Debian's names and versions, in a sentence."""
    return "Measured: " + ", ".join(one.version for one in allocators if not one.version.startswith("file")) + "."


def replaced(text: str, block: str, lines: Sequence[str]) -> str:
    """`text` with other lines between the marks of a block."""
    start, end = f"<!-- {block} -->\n", f"<!-- end of {block} -->\n"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page lacks the marks of the block {block!r}")
    return before + start + "".join(line + "\n" for line in lines) + end + after


def updated(text: str, table: Table, allocators: Sequence[Allocator]) -> str:
    """The page with all of its made tables."""
    text = replaced(text, "summary", crimes.summary())
    text = replaced(text, "counts", [*counts(table, allocators), "", versions(allocators)])
    return replaced(text, "peers", beside(table, allocators))
