"""The table, the log, the totals, what is kept of a failure."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shlex
from typing import Mapping

from soak_lib import bazelrc
from soak_lib.model import Plan, Result, Total, sum_of

_HEADINGS = ["program", "runs", "failures", "operations", "peak RSS MiB", "time"]


def command_line(plan: Plan, config: str) -> str:
    """What a person types to make this run again."""
    words = ["bazel", "run", *bazelrc.options(config), f"//stress:{plan.program.name}", "--", *plan.arguments]
    return shlex.join(words)


def duration(seconds: float) -> str:
    """`1:02:03`, or `2:03` below an hour."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def table(totals: Mapping[str, Total]) -> str:
    """One line a program, and one for all."""
    rows = [_HEADINGS] + [_row(name, total) for name, total in totals.items()] + [_row("all", sum_of(totals))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0])] + [row[i].rjust(widths[i]) for i in range(1, len(row))]) for row in rows
    )


def _row(name: str, total: Total) -> list[str]:
    return [
        name,
        str(total.runs),
        str(total.failures),
        f"{total.ops:,}",
        f"{total.peak_rss_kib / 1024:.0f}",
        duration(total.wall_s),
    ]


def log_run(folder: pathlib.Path, result: Result, config: str) -> None:
    """Adds a run to the log, and keeps all that a failed one said."""
    folder.mkdir(parents=True, exist_ok=True)
    command = command_line(result.plan, config)
    figures = f"{result.wall_s:.1f} s, {result.ops} operations, peak RSS {result.peak_rss_kib} KiB"
    with open(folder / "runs.log", "a", encoding="utf-8") as log:
        log.write(f"status {result.status}, {figures}: {command}\n")
    if not result.failed:
        return
    failures = folder / "failures"
    failures.mkdir(exist_ok=True)
    kept = failures / f"{result.plan.program.name}-{config}-{result.plan.seed}.txt"
    kept.write_bytes(f"{command}\nstatus {result.status}, {figures}\n\n".encode() + result.output)


def load_totals(path: pathlib.Path) -> dict[str, Total]:
    """Totals of earlier commands; none where there are none, or where they cannot be read."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        return {name: Total(**fields) for name, fields in read.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def save_totals(path: pathlib.Path, totals: Mapping[str, Total]) -> None:
    """Replaces the file at once, so that it is whole whenever the command is interrupted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fields = {name: dataclasses.asdict(total) for name, total in totals.items()}
    fresh.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)


def sum_totals(path: pathlib.Path) -> Total:
    """Everything that all commands did."""
    return sum_of(load_totals(path))
