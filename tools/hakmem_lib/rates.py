"""Two reports of one process, one after the other: what happened in between, a second."""

from __future__ import annotations

import dataclasses
from typing import Optional

from tools.hakmem_lib.figures import Report
from tools.hakmem_lib.memory import Usage


@dataclasses.dataclass(frozen=True)
class Sample:
    """A report, and when it was made."""

    at_s: float
    usage: Usage
    report: Report


class Rates:
    """Of counters; all 0 where there is no sample before."""

    def __init__(self, before: Optional[Sample], now: Sample) -> None:
        self._before = before
        self._now = now
        self.seconds = now.at_s - before.at_s if before else 0.0

    def of(self, group: str, name: str) -> float:
        """Of report[group][name]."""
        if self._before is None:
            return 0.0
        return self._a_second(self._before.report[group].get(name, 0), self._now.report[group].get(name, 0))

    def of_thread(self, thread: Report, name: str) -> float:
        """Of a counter of one heap of the second report."""
        return self._of_row("threads", "heap", thread, name)

    def of_class(self, row: Report, name: str) -> float:
        """Of a counter of one size class of the second report."""
        return self._of_row("classes", "block_bytes", row, name)

    def cpu(self) -> float:
        """Share of one processor."""
        return self._a_second(self._before.usage.cpu_s, self._now.usage.cpu_s) if self._before else 0.0

    def page_faults(self) -> float:
        """Of all kinds."""
        return self._a_second(self._before.usage.page_faults, self._now.usage.page_faults) if self._before else 0.0

    def _of_row(self, table: str, key: str, row: Report, name: str) -> float:
        if self._before is None:
            return 0.0
        before = next((other for other in self._before.report[table] if other[key] == row[key]), None)
        return self._a_second(before[name] if before else 0, row[name])

    def _a_second(self, before: float, now: float) -> float:
        return max(now - before, 0) / self.seconds if self.seconds > 0 else 0.0
