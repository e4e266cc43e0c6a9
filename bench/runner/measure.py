"""Running one program once under one allocator."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.runner.allocators import Allocator
from bench.runner.rows import Clock, Row

#: Longer than any healthy run by far: warm-up and clean-up are not inside the row's own limit.
_GRACE_S = 6.0
_GRACE_FACTOR = 4.0

_FIELDS = {"row": str, "ops": int, "wall_s": (int, float), "cpu_s": (int, float), "peak_rss_kb": int}


@dataclass(frozen=True)
class Sample:
    """What one run reported."""

    ops: int
    wall_s: float
    cpu_s: float
    peak_rss_kb: int
    #: Further figures by name; the last word of a name is the unit.
    extra: dict[str, float] = field(default_factory=dict)
    #: Lines that can be drawn, by name: y over x, the same x in every run.
    curves: dict[str, list[list[float]]] = field(default_factory=dict)

    def seconds(self, clock: Clock) -> float:
        """Time that the run took, on `clock`."""
        return self.cpu_s if clock is Clock.CPU else self.wall_s

    def rate(self, clock: Clock) -> float:
        """Million operations a second of `clock`."""
        return self.ops / max(self.seconds(clock), 1e-9) / 1e6


@dataclass(frozen=True)
class Failure:
    """Why a run gave no result: one short line for the table, the program's last words for the log."""

    reason: str
    detail: str = ""


def command_line(programs: Path, row: Row, seconds: float) -> list[str]:
    """The command that runs `row` for `seconds`."""
    return [str(programs / row.program), *row.args, "--row", row.name, "--seconds", f"{seconds:g}"]


def environment(allocator: Allocator) -> dict[str, str]:
    """A bare environment, so that every allocator runs with its defaults."""
    variables = {"PATH": os.defpath, "LC_ALL": "C"}
    if allocator.library is not None:
        variables["LD_PRELOAD"] = allocator.library
    return variables


def run_once(programs: Path, row: Row, allocator: Allocator, seconds: float) -> Sample | Failure:
    """One run in a process of its own. Whatever the allocator does to that process, this returns."""
    limit = seconds * _GRACE_FACTOR + _GRACE_S + row.idle_s
    try:
        process = subprocess.Popen(command_line(programs, row, seconds), env=environment(allocator),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        return Failure("cannot start", str(error))
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        _stop(process)
        return Failure("timeout", f"still running after {limit:.0f} s")
    except BaseException:
        _stop(process)
        raise
    return interpret(row, process.returncode, output.decode(errors="replace"), errors.decode(errors="replace"))


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def interpret(row: Row, status: int, output: str, errors: str) -> Sample | Failure:
    """The sample in a finished run's output, or what went wrong."""
    detail = _last_line(errors)
    if "cannot be preloaded" in errors:
        return Failure("not preloaded", detail)
    if status < 0:
        return Failure(f"crash ({_signal_name(-status)})", detail)
    if status != 0:
        return Failure(f"exit {status}", detail)
    return _parse(row, output)


def _parse(row: Row, output: str) -> Sample | Failure:
    lines = output.splitlines()
    try:
        fields = json.loads(lines[0]) if len(lines) == 1 else None
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        return Failure("bad output", _last_line(output))
    wrong = [name for name, kind in _FIELDS.items() if not isinstance(fields.get(name), kind)]
    if wrong or fields["row"] != row.name or fields["ops"] <= 0:
        return Failure("bad output", f"wrong fields: {', '.join(wrong) or 'row or ops'}")
    extra, curves = fields.get("extra", {}), fields.get("curves", {})
    if not _are_numbers(extra) or not _are_curves(curves):
        return Failure("bad output", "wrong fields: extra or curves")
    return Sample(fields["ops"], float(fields["wall_s"]), float(fields["cpu_s"]), fields["peak_rss_kb"],
                  extra, curves)


def _are_numbers(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(number, (int, float)) for number in value.values())


def _are_curves(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(points, list) and all(isinstance(point, list) and len(point) == 2 for point in points)
        for points in value.values())


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(text: str) -> str:
    lines: Sequence[str] = text.strip().splitlines()
    return lines[-1][:200] if lines else ""
