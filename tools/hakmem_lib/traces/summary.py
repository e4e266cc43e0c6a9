"""What a trace says about the program, for people."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from tools.hakmem_lib.text import columns, percent, size
from tools.hakmem_lib.traces.tools import program_name

_BAR = 30
_THREADS_SHOWN = 16


def as_text(trace: str, figures: Mapping[str, Any]) -> str:
    """The figures as a page of text."""
    operations = figures["operations"]
    per_operation = figures["records_bytes"] / operations if operations else 0.0
    parts = [
        f"{trace}: {program_name(figures)}, process {figures['pid']}, {figures['duration_us'] / 1e6:.2f} s\n"
        f"{operations:,} operations, {per_operation:.1f} bytes each",
        "operations\n" + _kinds(figures),
        "blocks by the bytes asked for\n" + _sizes(figures),
        "blocks by the operations until their end\n" + _lifetimes(figures),
        "memory, as asked for\n" + _memory(figures),
        "threads\n" + _threads(figures["threads"]),
    ]
    left_out = _left_out(figures)
    if left_out:
        parts.append("not in the trace\n" + left_out)
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _bar(share: float) -> str:
    return "#" * round(share * _BAR)


def _kinds(figures: Mapping[str, Any]) -> str:
    named = {"realloc_null": "realloc of NULL", "realloc_freed": "realloc to 0", "free_null": "free of NULL"}
    rows = [(named.get(kind, kind), f"{count:,}", percent(count, figures["operations"]))
            for kind, count in figures["kinds"].items() if count]
    if figures["failed"]:
        rows.append(("of them failed", f"{figures['failed']:,}", percent(figures["failed"], figures["operations"])))
    return columns(rows)


def _place(place: int) -> tuple[int, int]:
    """First and last value of a histogram's place."""
    return (0, 0) if place == 0 else (1 << (place - 1), (1 << place) - 1)


def _histogram(counts: Sequence[int], label: Any, extra: Sequence[str] = ()) -> str:
    whole = sum(counts)
    rows = []
    for place, count in enumerate(counts):
        if count:
            more = (extra[place],) if extra else ()
            rows.append((label(place), f"{count:,}", percent(count, whole), *more, _bar(count / whole)))
    return _left_bars(rows)


def _left_bars(rows: list[tuple[str, ...]]) -> str:
    """Columns, with the bar of each row behind it."""
    lines = columns([row[:-1] for row in rows]).splitlines()
    return "".join(f"{line}  {row[-1]}".rstrip() + "\n" for line, row in zip(lines, rows))


def _sizes(figures: Mapping[str, Any]) -> str:
    def label(place: int) -> str:
        first, last = _place(place)
        return size(first) if first == last else f"{size(first)} to {size(last + 1)}"

    return _histogram(figures["sizes"], label, [size(count) for count in figures["size_bytes"]])


def _lifetimes(figures: Mapping[str, Any]) -> str:
    def label(place: int) -> str:
        first, last = _place(place)
        return f"{first:,}" if first == last else f"{first:,} to {last:,}"

    text = _histogram(figures["lifetimes"], label)
    return text + columns([("still there at the end", f"{figures['last_live_blocks']:,}")])


def _memory(figures: Mapping[str, Any]) -> str:
    realloc = figures["realloc"]
    resized = realloc["grown"] + realloc["shrunk"] + realloc["same"]
    frees = sum(thread["frees"] for thread in figures["threads"])
    foreign = sum(thread["foreign_frees"] for thread in figures["threads"])
    rows = [
        ("at the peak", size(figures["peak_live_bytes"]), f"{figures['peak_live_blocks']:,} blocks"),
        ("at the end", size(figures["last_live_bytes"]), f"{figures['last_live_blocks']:,} blocks"),
        ("freed by other threads", f"{foreign:,}", f"{percent(foreign, frees)} of frees"),
        ("resized by realloc", f"{resized:,}", f"{percent(realloc['grown'], resized)} to a larger size"),
    ]
    if realloc["longest_growth"]:
        rows.append(("grown most often", f"{realloc['longest_growth']:,} times", f"to {size(realloc['longest_growth_bytes'])}"))
    return columns(rows)


def _threads(threads: Sequence[Mapping[str, int]]) -> str:
    shown = sorted(threads, key=lambda thread: -thread["operations"])
    rows: list[Sequence[str]] = [("thread", "operations", "blocks", "frees", "of others' blocks")]
    for thread in shown[:_THREADS_SHOWN]:
        rows.append((str(thread["thread"]), *(f"{thread[name]:,}" for name in ("operations", "blocks", "frees", "foreign_frees"))))
    text = columns(rows)
    if len(shown) > _THREADS_SHOWN:
        text += f"  and {len(shown) - _THREADS_SHOWN} more\n"
    return text


def _left_out(figures: Mapping[str, Any]) -> str:
    rows = [(label, f"{figures[name]:,}") for label, name in (
        ("frees of blocks from before it began", "unknown_frees"),
        ("operations amid another of their thread", "missed"),
        ("operations on blocks whose making was not written", "unborn_refs"),
    ) if figures[name]]
    return columns(rows)
