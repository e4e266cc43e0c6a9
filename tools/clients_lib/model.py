"""Records passed between the modules. No behaviour beyond arithmetic."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Optional


class ClientError(Exception):
    """A client could not do its work: a server that did not start, a hang, a wrong reply."""


@dataclasses.dataclass(frozen=True)
class Observation:
    """One thing a run showed and that must be the same on both allocators.

    `label` says what it is ("sort: stdout"), unique within a run; `data` is already normalised.
    """

    label: str
    data: bytes


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a run cost. Wall and CPU in seconds; peak_rss_kib is the largest single process, not a sum."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_rss_kib: int = 0

    def plus(self, other: "Usage") -> "Usage":
        """Cost of both together: times add up, of the peaks the higher one stands."""
        return Usage(
            self.wall_s + other.wall_s,
            self.cpu_s + other.cpu_s,
            max(self.peak_rss_kib, other.peak_rss_kib),
        )


@dataclasses.dataclass(frozen=True)
class Mode:
    """One side of the comparison: a name for people, the object to preload, additional environment."""

    name: str
    preload: Optional[pathlib.Path]
    env: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class RunResult:
    """One run of one client in one mode."""

    mode: str
    observations: list[Observation]
    usage: Usage
    step_usage: dict[str, Usage]
    error: Optional[str] = None
    unexpected: list[str] = dataclasses.field(default_factory=list)
    evidence: dict[str, bytes] = dataclasses.field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """True when every step ended as its client expects."""
        return self.error is None and not self.unexpected


@dataclasses.dataclass
class ClientResult:
    """All runs of one client, and what is made of them.

    `verdict` is one of: equal, different, failed, broken, skipped.
    """

    name: str
    summary: str
    normalised: str
    informational: bool
    verdict: str
    detail: str = ""
    notes: list[str] = dataclasses.field(default_factory=list)
    baseline: list[RunResult] = dataclasses.field(default_factory=list)
    candidate: list[RunResult] = dataclasses.field(default_factory=list)

    @property
    def passed(self) -> bool:
        """True when the client ran, and ran the same way on both allocators."""
        return self.verdict == "equal"

    @property
    def counted(self) -> bool:
        """True when the result decides the exit status."""
        return not self.informational and self.verdict != "skipped"
