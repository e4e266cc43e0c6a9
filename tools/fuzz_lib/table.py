"""The live table, the plain lines where nobody watches, and the tables at the end."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Iterable, Sequence, TextIO

from fuzz_lib.session import Session, Unit
from fuzz_lib.totals import Total, Totals, reaches_goal

_HEADINGS = ["target", "config", "executions", "exec/s", "cov", "ft", "corpus", "crashes", "CPU time", ""]
_STATUS_HEADINGS = ["target", "config", "executions", "CPU time", "crashes", "since the last: executions", "CPU time", ""]
_REDRAW_S = 1.0
_LINE_EVERY_S = 30.0
_FIRST_LINES_S = 5.0


def align(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """The rows as lines: the first `left` columns and the last to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(widths[i]) if i < left or i == len(row) - 1 else cell.rjust(widths[i])
            for i, cell in enumerate(row)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def span(seconds: float) -> str:
    """"1:02:03" or "2:03"."""
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def unit_row(unit: Unit) -> list[str]:
    """One line of the table of a run."""
    figures = unit.figures_now()
    executions = unit.executions_now()
    wall_s = unit.wall_now()
    state = "stuck" if unit.is_stuck else "running" if unit.running else ""
    return [
        unit.target.name,
        unit.config,
        f"{executions:,}",
        f"{executions / wall_s:,.0f}" if wall_s >= 1 else "-",
        str(figures.coverage),
        str(figures.features),
        str(figures.corpus),
        str(len(unit.crashes)),
        # What a process has used is known when it ends: until then, the time that it has run.
        span(unit.cpu_s + wall_s - unit.wall_s),
        state,
    ]


def run_lines(session: Session) -> list[str]:
    """The table of a run as it stands."""
    return align([_HEADINGS] + [unit_row(unit) for unit in session.units], 2)


def status_lines(totals: Totals) -> list[str]:
    """The table of all runs; the last column says which targets have run long enough since their last crash."""
    by_target: dict[str, list[tuple[str, Total]]] = {}
    for target, config, total in totals.items():
        by_target.setdefault(target, []).append((config, total))
    rows = [_STATUS_HEADINGS]
    for target, configs in by_target.items():
        rows += [_status_row(target, config, total, "") for config, total in configs]
        verdict = "enough" if reaches_goal(total for _, total in configs) else "not yet"
        rows[-1][-1] = verdict
    return align(rows, 2)


def _status_row(target: str, config: str, total: Total, verdict: str) -> list[str]:
    return [
        target, config, f"{total.executions:,}", span(total.cpu_s), str(total.crashes),
        f"{total.executions_since_crash:,}", span(total.cpu_s_since_crash), verdict,
    ]


class Display:
    """Draws the table of a run again and again on a terminal; elsewhere prints its lines now and then."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._drawn = 0
        self._next = time.monotonic() + (0.0 if self._is_terminal else _FIRST_LINES_S)
        self._pending: list[str] = []

    def say(self, text: str) -> None:
        """A line of its own, above the table. May be called by any thread: show() writes it."""
        self._pending.append(text)

    def show(self, session: Session, at_end: bool = False) -> None:
        """Writes what is new, if it is time."""
        self._write_pending()
        if not at_end and time.monotonic() < self._next:
            return
        if self._is_terminal:
            if not at_end:
                self._draw([f"{span(session.elapsed_s())}  Ctrl-C ends, nothing is lost"] + run_lines(session))
            self._next = time.monotonic() + _REDRAW_S
        elif not at_end:
            for unit in session.units:
                self._stream.write(plain_line(session.elapsed_s(), unit) + "\n")
            self._stream.flush()
            self._next = time.monotonic() + _LINE_EVERY_S

    def close(self) -> None:
        """Removes the table and writes what is left to say."""
        self._write_pending()
        self._erase()
        self._stream.flush()

    def _write_pending(self) -> None:
        if self._pending:
            self._erase()
        while self._pending:
            self._stream.write(f"fuzz: {self._pending.pop(0)}\n")
            self._stream.flush()

    def _draw(self, lines: Iterable[str]) -> None:
        columns, rows = shutil.get_terminal_size()
        shown = [line[: columns - 1] for line in lines][: max(1, rows - 1)]
        self._erase()
        self._stream.write("".join(f"{line}\n" for line in shown))
        self._stream.flush()
        self._drawn = len(shown)

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0


def plain_line(elapsed_s: float, unit: Unit) -> str:
    """One unit on a line of its own."""
    target, config, executions, rate, coverage, features, corpus, crashes, _, state = unit_row(unit)
    return (
        f"fuzz: {span(elapsed_s):>7} {target} ({config}): {executions} executions, {rate}/s, cov {coverage}, "
        f"ft {features}, corpus {corpus}, crashes {crashes}{', ' + state if state else ''}"
    )
