"""Every crime under every allocator, several times."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import subprocess
from collections.abc import Callable, Sequence

from bench.runner.allocators import Allocator
from hakmem.testing.harness import process
from hakmem.testing.misuse import crimes

HANGS = "hangs"
_HANG_S = 20.0
# From what is worst for a program to what is best.
_WORST_FIRST = (crimes.SILENT, crimes.CRASH, crimes.HARMLESS, crimes.LATER, crimes.AT_ONCE, "")


@dataclasses.dataclass(frozen=True)
class Verdicts:
    """What became of one crime under one allocator, run by run."""

    runs: tuple[str, ...]

    @property
    def text(self) -> str:
        """The verdict, or all there were, the most frequent first."""
        found = [text for text, _ in collections.Counter(self.runs).most_common()]
        return found[0] if len(found) == 1 else "varies: " + " or ".join(found)

    @property
    def kind(self) -> str:
        """The worst of the runs, as one of crimes.KINDS; nothing where the function is not offered."""
        return min((crimes.kind(text) for text in self.runs), key=_WORST_FIRST.index)


def short(verdict: str) -> str:
    """A verdict without the words of its report."""
    text = verdict.split("abort:")[0] + "abort" if "abort:" in verdict else verdict
    return text.removesuffix(", unnoticed")


def commit(folder: pathlib.Path, crime: crimes.Crime, allocator: Allocator) -> str:
    """Verdict of one run."""
    preload = [allocator.library] if allocator.library else []
    try:
        return short(crimes.verdict(process.run(folder / crime.name, preload=preload, timeout_s=_HANG_S)))
    except subprocess.TimeoutExpired:
        return HANGS


def measure(
    folder: pathlib.Path,
    allocators: Sequence[Allocator],
    runs: int,
    progress: Callable[[str], None],
) -> dict[str, dict[str, Verdicts]]:
    """Verdicts by crime and name of the allocator."""
    table: dict[str, dict[str, Verdicts]] = {}
    for crime in crimes.CRIMES:
        progress(crime.name)
        table[crime.name] = {
            one.name: Verdicts(tuple(commit(folder, crime, one) for _ in range(runs))) for one in allocators
        }
    return table


def unexpected(table: dict[str, dict[str, Verdicts]], ours: str) -> list[str]:
    """Sentences on the crimes of which HAKMEM made something else than the table of the test says."""
    lines = []
    for crime in crimes.CRIMES:
        found = table[crime.name][ours].text
        if found != short(crime.release):
            lines.append(f"{crime.name}: {found}, not {short(crime.release)}")
    return lines
