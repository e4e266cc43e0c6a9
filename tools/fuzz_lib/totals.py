"""What has been fuzzed so far, over all runs: totals.json in the results folder."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Iterable

from fuzz_lib.errors import FuzzError

GOAL_EXECUTIONS = 20_000_000
GOAL_CPU_S = 3600.0


@dataclasses.dataclass
class Total:
    """One target in one configuration, over all runs."""

    executions: int = 0
    cpu_s: float = 0.0
    crashes: int = 0
    executions_since_crash: int = 0
    cpu_s_since_crash: float = 0.0

    def add(self, executions: int, cpu_s: float, crashed: bool) -> None:
        """Counts one process that has ended; a crash begins the clean stretch anew."""
        self.executions += executions
        self.cpu_s += cpu_s
        if crashed:
            self.crashes += 1
            self.executions_since_crash = 0
            self.cpu_s_since_crash = 0.0
        else:
            self.executions_since_crash += executions
            self.cpu_s_since_crash += cpu_s


class Totals:
    """All totals, kept in a file that is replaced as a whole: a stop at any moment leaves the old or the new one."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._of: dict[tuple[str, str], Total] = {}
        try:
            text = path.read_text()
        except FileNotFoundError:
            return
        except OSError as error:
            raise FuzzError(f"cannot read {path}: {error.strerror}") from None
        try:
            for entry in json.loads(text)["targets"]:
                key = (entry.pop("target"), entry.pop("config"))
                self._of[key] = Total(**entry)
        except (ValueError, KeyError, TypeError):
            raise FuzzError(f"{path} is damaged: move it away") from None

    def of(self, target: str, config: str) -> Total:
        """The total of a target in a configuration, to read or to add to."""
        return self._of.setdefault((target, config), Total())

    def items(self) -> list[tuple[str, str, Total]]:
        """All of them, in a fixed order."""
        return [(target, config, total) for (target, config), total in sorted(self._of.items())]

    def save(self) -> None:
        """Writes the file."""
        entries = [{"target": t, "config": c, **dataclasses.asdict(total)} for t, c, total in self.items()]
        new = self._path.with_suffix(".new")
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps({"targets": entries}, indent=1) + "\n")
        os.replace(new, self._path)


def reaches_goal(totals: Iterable[Total]) -> bool:
    """True when the configurations of one target together have run long enough since the last crash of each."""
    totals = list(totals)
    return (
        sum(total.executions_since_crash for total in totals) >= GOAL_EXECUTIONS
        or sum(total.cpu_s_since_crash for total in totals) >= GOAL_CPU_S
    )
