"""What is measured when: interleaved passes over all rows, then more passes over the noisy ones."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.runner.allocators import Allocator
from bench.runner.measure import Failure, Sample
from bench.runner.progress import Progress, format_time
from bench.runner.results import Results
from bench.runner.rows import Row

#: Samples that each extra pass adds to a noisy row; an even number, so that spread() may drop one at either end.
_SAMPLES_PER_EXTRA_PASS = 2
#: An allocator that hangs this often is left out from then on.
_MAX_TIMEOUTS = 3

#: What a run takes by experience, for the time left: a real program, and all but the measured part of others.
_REAL_S = 2.0
_START_S = 0.1

#: Measures one cell once.
Runner = Callable[[Row, Allocator, float], "Sample | Failure"]


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    name: str
    seconds: float       # of each run
    repeats: int         # planned passes over all rows
    extra_passes: int    # bound on passes over noisy rows
    budget_s: float      # no extra pass begins, and no extra run is made, after this long
    limit_s: float = math.inf  # no planned pass but the first begins that would end after this long

    def with_repeats(self, repeats: int) -> "Plan":
        """The same with another number of passes, all of which are made."""
        return dataclasses.replace(self, repeats=repeats, limit_s=math.inf)


QUICK = Plan("quick", seconds=0.2, repeats=3, extra_passes=3, budget_s=240.0, limit_s=280.0)
FULL = Plan("full", seconds=0.5, repeats=5, extra_passes=4, budget_s=3600.0)


class Session:
    """Fills `results` according to `plan`. After an interrupt the results hold what was measured until then."""

    def __init__(self, plan: Plan, results: Results, runner: Runner, progress: Progress) -> None:
        self._plan = plan
        self._results = results
        self._run_once = runner
        self._progress = progress
        self._begin = time.monotonic()
        self._timeouts = {allocator.name: 0 for allocator in results.allocators}
        self._turn = 0

    def run(self) -> None:
        """Measures everything. KeyboardInterrupt passes through."""
        rows = self._results.rows
        self._expect(rows, self._plan.repeats)
        for number in range(self._plan.repeats):
            if number > 0 and self._elapsed_s() * (number + 1) / number > self._plan.limit_s:
                self._progress.say(f"slow: {number} of {self._plan.repeats} passes, to end in time (--repeat has all)")
                self._expect(rows, number - self._plan.repeats)
                break
            self._pass(rows, f"pass {number + 1}")
        for number in range(self._plan.extra_passes):
            noisy = self._results.noisy_rows()
            if not noisy or self._is_late():
                break
            self._progress.say(f"repeating {len(noisy)} noisy row(s) of {len(rows)}")
            self._expect(noisy, _SAMPLES_PER_EXTRA_PASS)
            self._extra_pass(noisy, f"extra pass {number + 1}")
        self._progress.close()

    def _expect(self, rows: Sequence[Row], turns: int) -> None:
        for row in rows:
            step_s = _REAL_S if row.is_real else self._plan.seconds + row.idle_s + _START_S
            self._progress.expect(row.name, turns * len(self._results.allocators), step_s)

    def _pass(self, rows: Sequence[Row], label: str) -> None:
        for row in rows:
            self._measure_row(row, label)

    def _extra_pass(self, rows: Sequence[Row], label: str) -> None:
        for row in rows:
            if self._is_late():
                elapsed = format_time(self._elapsed_s())
                self._progress.say(f"time for repeats is used up after {elapsed}")
                return
            for _ in range(_SAMPLES_PER_EXTRA_PASS):
                self._measure_row(row, label)

    def _measure_row(self, row: Row, label: str) -> None:
        """One run of each allocator, back to back; the first one changes from turn to turn."""
        allocators = self._results.allocators
        first = self._turn % len(allocators)
        self._turn += 1
        for allocator in allocators[first:] + allocators[:first]:
            self._measure(row, allocator)
            self._progress.step(row.name, f"{label}: {row.name} {allocator.name}")

    def _measure(self, row: Row, allocator: Allocator) -> None:
        cell = self._results.cell(row, allocator)
        if cell.failure is not None:
            return
        if self._timeouts[allocator.name] >= _MAX_TIMEOUTS:
            cell.add(Failure("left out", "hung too often in other rows"))
            return
        outcome = self._run_once(row, allocator, self._plan.seconds)
        cell.add(outcome)
        if isinstance(outcome, Failure):
            if outcome.reason == "timeout":
                self._timeouts[allocator.name] += 1
            self._progress.say(f"{row.name} under {allocator.name}: {outcome.reason} {outcome.detail}".rstrip())

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._begin

    def _is_late(self) -> bool:
        return self._elapsed_s() > self._plan.budget_s
