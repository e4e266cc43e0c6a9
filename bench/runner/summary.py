"""The summary of a results.json that the README shows: means, rows, programs, and where HAKMEM is behind.

It stands between two marks, so that tools/chart can renew it and a test can tell whether it is what the results say.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.runner.compared import LEVEL, Cell, Compared, Figure
from bench.runner.text import format_figure, format_ratio

BEGIN = "<!-- bench: written by tools/chart -->"
END = "<!-- bench: end -->"

#: The allocator that means refer to.
BASELINE = "mimalloc"

#: Rows that the summary names, beside those that are behind, and what it calls them.
TITLES = {
    "random_256": "16-1040 B at random, 256 live",
    "random_4096": "the same, 4,096 live",
    "random_65536": "the same, 65,536 live",
    "random_tiny_256": "8-64 B at random, 256 live",
    "random_32k_4096": "16 B-32 KB at random, 4,096 live",
    "pair_64": "malloc, free: 64 B",
    "lifo_1000": "1,000 blocks, freed last first",
    "fifo_1000": "1,000 blocks, freed first first",
    "mid_large_mt": "8-32 KB, two threads",
    "remote_pc": "producer and consumer",
    "larson_tiny": "server, 8-128 B",
    "larson_mixed": "server, 8-1000 B",
    "larson_mt": "the same, eight lanes",
    "thread_churn": "short threads",
    "loop_64k": "64 KB, one at a time",
    "loop_256k": "256 KB, one at a time",
    "loop_2m": "2 MB, one at a time",
    "calloc_large_pages": "calloc of 64 KB-1 MB, all pages used",
    "string_64_many": "1,000 strings growing to 64 B",
    "string_1m": "a string growing to 1 MB",
    "tree_large": "binary trees of 131,071 nodes",
    "hash_large": "hash tables of 200,000 entries",
}

_NAMES = {"hakmem": "HAKMEM"}


def to_markdown(document: dict[str, Any]) -> str:
    """The summary; KeyError where the document is of an older runner."""
    compared = Compared(document)
    micro = [row for row in compared.kind(real=False) if row["name"] in TITLES]
    real = compared.kind(real=True)
    parts = _means(compared)
    if micro:
        parts += ["", "Nanoseconds an operation; the best in bold, `~` where runs differed by more than 15 %:", ""]
        parts += _table(compared, micro, lambda row: TITLES[row["name"]], lambda cell: cell.time, format_figure)
    if real:
        parts += ["", "Real programs, seconds of CPU time:", ""]
        parts += _table(compared, real, lambda row: row["name"], _cpu_s, format_figure)
        parts += ["", "and their peak RSS in MiB:", ""]
        parts += _table(compared, real, lambda row: row["name"], _rss_mib, format_figure)
    return "\n".join(parts + ["", *_behind(compared)]) + "\n"


def renew(text: str, document: dict[str, Any]) -> str:
    """`text` with the summary between its marks; ValueError where these are missing."""
    head, begin, rest = text.partition(BEGIN + "\n")
    _, end, tail = rest.partition(END + "\n")
    if not begin or not end:
        raise ValueError(f"has no lines `{BEGIN}` and `{END}` for the summary to stand between")
    return head + begin + "\n" + to_markdown(document) + "\n" + end + tail


def write(document: dict[str, Any], path: Path) -> None:
    """Renews the summary in the file `path`."""
    try:
        text = renew(path.read_text(encoding="utf-8"), document)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error
    path.write_text(text, encoding="utf-8")


def _cpu_s(cell: Cell) -> float | None:
    return cell.record["cpu_s"]


def _rss_mib(cell: Cell) -> float | None:
    return None if cell.rss_kb is None else cell.rss_kb / 1024


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _head(compared: Compared, title: str) -> list[str]:
    return [_line([title, *(_NAMES.get(name, name) for name in compared.names)]),
            "|---|" + "---:|" * len(compared.names)]


def _means(compared: Compared) -> list[str]:
    """Geometric means to the baseline."""
    lines = _head(compared, f"geometric mean, {BASELINE} = 1, less is better")
    figures: list[tuple[str, Figure, bool]] = [
        ("time, {} rows", lambda cell: cell.time, False), ("peak RSS, the same", _rss_mib, False),
        ("CPU time, {} real programs", _cpu_s, True), ("peak RSS, the same", _rss_mib, True)]
    for title, figure, is_real in figures:
        count = len(compared.common(is_real))
        if count == 0:
            continue
        means = {name: compared.mean(name, BASELINE, figure, is_real) for name in compared.names}
        known = [value for value in means.values() if value is not None]
        lines.append(_line([title.format(count), *(_bold_if(format_ratio(value), value == min(known, default=None))
                                                   for value in means.values())]))
    return lines


def _table(compared: Compared, rows: list[dict[str, Any]], title: Callable[[dict[str, Any]], str], figure: Figure,
           text: Callable[[float | None], str]) -> list[str]:
    """A line a row, a column an allocator, the best of a row bold."""
    lines = _head(compared, "")
    for row in rows:
        best = compared.best(row, figure)
        shown = []
        for name in compared.names:
            cell = compared.cell(row, name)
            value = figure(cell)
            words = text(value) + ("~" if cell.is_noisy and figure is not _rss_mib else "")
            shown.append(_bold_if(words, value is not None and value == best))
        lines.append(_line([title(row), *shown]))
    return lines


def _bold_if(words: str, is_best: bool) -> str:
    return f"**{words}**" if is_best else words


def _behind(compared: Compared) -> list[str]:
    """Every row on which the best of the others is ahead of the subject by more than LEVEL, by time and by memory."""
    parts = []
    figures: list[tuple[str, Figure, float]] = [("Slower", lambda cell: cell.time, 1 + LEVEL), ("Larger", _rss_mib, 1.1)]
    for word, figure, most in figures:
        found = []
        for row in compared.rows:
            ratio = compared.to_best_peer(row, compared.subject, figure)
            if ratio is None or ratio <= most:
                continue
            peers = [name for name in compared.names if name != compared.subject]
            best = min((name for name in peers if figure(compared.cell(row, name)) is not None),
                       key=lambda name: figure(compared.cell(row, name)) or 0.0)
            found.append((ratio, f"`{row['name']}` {format_ratio(ratio)} ({best})"))
        limit = f"{most - 1:.0%}"
        if found:
            worst_first = ", ".join(words for _, words in sorted(found, key=lambda one: -one[0]))
            parts += [f"**{word} than the best of the others** by more than {limit}, on {len(found)} of "
                      f"{len(compared.rows)} rows: {worst_first}.", ""]
        else:
            parts += [f"On none of {len(compared.rows)} rows by more than {limit} {word.lower()} than the best of the others.", ""]
    return parts[:-1]
