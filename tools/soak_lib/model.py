"""Records passed between the modules."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Mapping


class SoakError(Exception):
    """What keeps the command from running at all, in one line."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A built stress program."""

    name: str
    path: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Plan:
    """One run to be made."""

    program: Program
    seed: int
    threads: int
    seconds: float

    @property
    def arguments(self) -> list[str]:
        """The program's arguments."""
        return [f"--threads={self.threads}", f"--seconds={self.seconds:g}", f"--seed={self.seed}"]


@dataclasses.dataclass(frozen=True)
class Result:
    """One run made."""

    plan: Plan
    status: int  # exit status; 128 and the signal's number; 124: it hung
    output: bytes
    wall_s: float
    ops: int
    peak_rss_kib: int

    @property
    def failed(self) -> bool:
        """True where the program found something wrong, or did not end well."""
        return self.status != 0


@dataclasses.dataclass
class Total:
    """What all runs of one program did together."""

    runs: int = 0
    failures: int = 0
    ops: int = 0
    wall_s: float = 0.0
    peak_rss_kib: int = 0

    def add(self, other: "Total") -> None:
        """Adds what other runs did."""
        self.runs += other.runs
        self.failures += other.failures
        self.ops += other.ops
        self.wall_s += other.wall_s
        self.peak_rss_kib = max(self.peak_rss_kib, other.peak_rss_kib)


def total_of(result: Result) -> Total:
    """One run as a total."""
    return Total(1, int(result.failed), result.ops, result.wall_s, result.peak_rss_kib)


def sum_of(totals: Mapping[str, Total]) -> Total:
    """All programs together."""
    everything = Total()
    for total in totals.values():
        everything.add(total)
    return everything
