"""Plain text: sizes, counts and columns."""

from __future__ import annotations

from typing import Iterable, Optional, Sequence


def size(count: Optional[float]) -> str:
    """A number of bytes in the unit that fits: "512 B", "1.5 KiB"."""
    if count is None:
        return "-"
    sign, count = ("-", -count) if count < 0 else ("", count)
    if count < 1024:
        return f"{sign}{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:
            return f"{sign}{count:.{1 if count < 999.95 else 0}f} {unit}"  # never wider than "999.9 KiB"
    return f"{sign}{count / 1024:.1f} TiB"


def duration(ns: float) -> str:
    """Nanoseconds in the unit that fits: "128 ns", "1.5 us"."""
    if ns < 1000:
        return f"{ns:.0f} ns"
    for unit in ("us", "ms"):
        ns /= 1000
        if ns < 1000:
            return f"{ns:.1f} {unit}"
    return f"{ns / 1000:.1f} s"


def counted(count: int, thing: str) -> str:
    """"1 thread", "2,000 threads"."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def percent(part: float, whole: float) -> str:
    """`part` of `whole`, in percent."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def columns(rows: Iterable[Sequence[str]], indent: int = 2, left: int = 1) -> str:
    """Rows as aligned lines: the first `left` columns to the left, the others to the right."""
    table = [list(row) for row in rows]
    if not table:
        return ""
    widths = [max(len(row[i]) for row in table if i < len(row)) for i in range(max(len(row) for row in table))]
    lines = []
    for row in table:
        cells = [cell.ljust(widths[i]) if i < left else cell.rjust(widths[i]) for i, cell in enumerate(row)]
        lines.append((" " * indent + "  ".join(cells)).rstrip())
    return "\n".join(lines) + "\n"
