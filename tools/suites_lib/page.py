"""The tables of docs/suites.md, and the same for the terminal.

A run of some suites replaces their rows and leaves the others as they are: the long ones take an hour.
"""

from __future__ import annotations

import json
import pathlib
import re

from clients_lib.model import RunResult
from suites_lib.runner import SuiteResult

START = "<!-- results: written by tools/suites -->"
END = "<!-- end of results -->"
HEADINGS = [
    "suite",
    "version",
    "checks",
    "failed on libc",
    "failed on HAKMEM",
    "new",
    "time libc",
    "time HAKMEM",
    "peak RSS libc",
    "peak RSS HAKMEM",
    "measured",
]
_RULE = "|---|---|" + "---:|" * (len(HEADINGS) - 2)
_SHOWN_NAMES = 12


def row(result: SuiteResult) -> list[str]:
    """One line of the table, as cells."""
    if result.verdict is None or result.baseline is None or result.candidate is None:
        return [result.suite.name, result.version] + ["-"] * (len(HEADINGS) - 3) + [result.measured]
    verdict = result.verdict
    counts = [verdict.ran, len(verdict.failed_on_libc), len(verdict.failed_here), len(verdict.new)]
    runs = (result.baseline, result.candidate)
    return [
        result.suite.name,
        result.version,
        *(f"{count:,}" for count in counts),
        *(_time(run) for run in runs),
        *(_memory(run) for run in runs),
        result.measured,
    ]


def remarks(result: SuiteResult) -> list[str]:
    """Sentences on what the numbers hide."""
    lines = [result.detail] if result.detail else []
    verdict = result.verdict
    if verdict:
        lines += _named("failed on HAKMEM and not on libc", verdict.new)
        both = [name for name in verdict.failed_on_libc if name in verdict.failed_here]
        lines += _named("failed on both", both)
        lines += _named("failed on libc only", [name for name in verdict.failed_on_libc if name not in both])
        lines += _named("failed on HAKMEM once, and when run again passed or failed on libc too", verdict.unsteady)
    return lines + result.notes


def text_table(results: list[SuiteResult]) -> str:
    """The table for a terminal."""
    rows = [HEADINGS] + [row(result) for result in results]
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(HEADINGS))]
    lines = []
    for cells in rows:
        left = [cells[i].ljust(widths[i]) for i in (0, 1)]
        right = [cells[i].rjust(widths[i]) for i in range(2, len(cells))]
        lines.append("  ".join(left + right))
    return "\n".join(lines)


def updated(text: str, results: list[SuiteResult], order: list[str]) -> str:
    """The page with the rows and remarks of these results; those of other suites stay."""
    before, middle, after = _split(text)
    rows = {match.group(1): match.group(0) for match in re.finditer(r"^\| `([^`]+)` \|.*$", middle, re.MULTILINE)}
    notes: dict[str, list[str]] = {}
    for match in re.finditer(r"^- \*\*([^*]+)\*\*: .*$", middle, re.MULTILINE):
        notes.setdefault(match.group(1), []).append(match.group(0))
    for result in results:
        name, *cells = row(result)
        rows[name] = " | ".join([f"| `{name}`", *cells]) + " |"
        notes[name] = [f"- **{name}**: {remark}" for remark in remarks(result)]
    lines = ["", "| " + " | ".join(HEADINGS) + " |", _RULE]
    order = [name for name in order if name in rows] + [name for name in rows if name not in order]
    lines += [rows[name] for name in order]
    lines += [""] + [note for name in order for note in notes.get(name, [])]
    return before + START + "\n".join(lines).rstrip("\n") + "\n\n" + END + after


def write_json(out: pathlib.Path, results: list[SuiteResult]) -> None:
    """results.json: the table's cells and every name that failed."""
    out.mkdir(parents=True, exist_ok=True)
    data = [
        {
            **dict(zip(HEADINGS, row(result))),
            "remarks": remarks(result),
            "failed names on libc": result.verdict.failed_on_libc if result.verdict else [],
            "failed names on HAKMEM": result.verdict.failed_here if result.verdict else [],
            "new names": result.verdict.new if result.verdict else [],
        }
        for result in results
    ]
    (out / "results.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _split(text: str) -> tuple[str, str, str]:
    before, start, rest = text.partition(START)
    middle, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"the page lacks the lines {START} and {END}")
    return before, middle, after


def _named(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return [f"{what}: " + ", ".join(f"`{name}`" for name in names[:_SHOWN_NAMES]) + more]


def _time(run: RunResult) -> str:
    seconds = run.usage.wall_s
    return f"{seconds / 60:.1f} min" if seconds >= 120 else f"{seconds:.1f} s"


def _memory(run: RunResult) -> str:
    return f"{run.usage.peak_rss_kib / 1024:.0f} MiB"
