"""What was measured, cell by cell, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.runner import stats
from bench.runner.allocators import BASELINES, Allocator
from bench.runner.measure import Failure, Sample
from bench.runner.rows import Row


@dataclass
class Cell:
    """One row under one allocator. A single failed run makes the cell a failed one: a crash is not noise."""

    row: Row
    base_repeats: int
    samples: list[Sample] = field(default_factory=list)
    failure: Failure | None = None

    def add(self, outcome: Sample | Failure) -> None:
        """Records one run."""
        if isinstance(outcome, Failure):
            self.failure = outcome
        else:
            self.samples.append(outcome)

    @property
    def is_measured(self) -> bool:
        return self.failure is None and bool(self.samples)

    @property
    def rates(self) -> list[float]:
        return [sample.rate(self.row.clock) for sample in self.samples]

    @property
    def rate(self) -> float | None:
        """Median of million operations a second; None for a failed or empty cell."""
        return stats.median(self.rates) if self.is_measured else None

    @property
    def times(self) -> list[float]:
        """Of each run: seconds of a real program, ns per operation of others."""
        scale = 1.0 if self.row.is_real else 1e9
        return [scale * sample.seconds(self.row.clock) / sample.ops for sample in self.samples]

    @property
    def time(self) -> float | None:
        """Median of `times`; None for a failed or empty cell."""
        return stats.median(self.times) if self.is_measured else None

    @property
    def wall_s(self) -> float | None:
        """Median wall time of a run; None for a failed or empty cell."""
        return stats.median([sample.wall_s for sample in self.samples]) if self.is_measured else None

    @property
    def cpu_s(self) -> float | None:
        """Median CPU time of a run; None for a failed or empty cell."""
        return stats.median([sample.cpu_s for sample in self.samples]) if self.is_measured else None

    @property
    def extra(self) -> dict[str, float]:
        """The median of each further figure."""
        names = list(dict.fromkeys(name for sample in self.samples for name in sample.extra))
        return {name: stats.median([sample.extra[name] for sample in self.samples if name in sample.extra])
                for name in names if self.is_measured}

    @property
    def curves(self) -> dict[str, list[list[float]]]:
        """Each curve: at every x the median of y."""
        names = list(dict.fromkeys(name for sample in self.samples for name in sample.curves))
        return {name: _median_curve([sample.curves[name] for sample in self.samples if name in sample.curves])
                for name in names if self.is_measured}

    @property
    def rss_kb(self) -> float | None:
        """Median peak RSS in KiB; None for a failed or empty cell."""
        return stats.median([sample.peak_rss_kb for sample in self.samples]) if self.is_measured else None

    @property
    def spread(self) -> float | None:
        return stats.spread(self.rates, self.base_repeats) if self.is_measured else None

    @property
    def is_noisy(self) -> bool:
        value = self.spread
        return value is not None and value > stats.NOISY_SPREAD


class Results:
    """All cells of a run, complete or not."""

    def __init__(self, rows: Sequence[Row], allocators: Sequence[Allocator], base_repeats: int) -> None:
        self.rows = list(rows)
        self.allocators = list(allocators)
        self._cells = {(row.name, one.name): Cell(row, base_repeats) for row in rows for one in allocators}

    def cell(self, row: Row, allocator: Allocator) -> Cell:
        return self._cells[row.name, allocator.name]

    @property
    def baseline(self) -> Allocator:
        """What ratios refer to: mimalloc, else glibc, else the first allocator."""
        for name in BASELINES:
            for allocator in self.allocators:
                if allocator.name == name:
                    return allocator
        return self.allocators[0]

    def ratio(self, row: Row, allocator: Allocator, figure: Callable[[Cell], float | None]) -> float | None:
        """One of a cell's figures to the baseline's."""
        return stats.ratio(figure(self.cell(row, allocator)), figure(self.cell(row, self.baseline)))

    def speed_ratio(self, row: Row, allocator: Allocator) -> float | None:
        """Speed to the baseline's; above 1 is faster."""
        return self.ratio(row, allocator, lambda cell: cell.rate)

    def rss_ratio(self, row: Row, allocator: Allocator) -> float | None:
        """Peak RSS to the baseline's; below 1 is leaner."""
        return self.ratio(row, allocator, lambda cell: cell.rss_kb)

    def kind(self, real: bool) -> list[Row]:
        """The rows that are real programs, or those that are not: no mean mixes the two."""
        return [row for row in self.rows if row.is_real == real]

    def common_rows(self, real: bool = False) -> list[Row]:
        """Rows of a kind on which every allocator that completed any has a result: the only fair ground for means."""
        rows = self.kind(real)
        able = [one for one in self.allocators if any(self.cell(row, one).is_measured for row in rows)]
        return [row for row in rows if able and all(self.cell(row, one).is_measured for one in able)]

    def mean_speed(self, allocator: Allocator, real: bool = False) -> float | None:
        """Geometric mean of the speed ratios over the common rows of a kind."""
        return self._mean([self.speed_ratio(row, allocator) for row in self.common_rows(real)])

    def mean_rss(self, allocator: Allocator, real: bool = False) -> float | None:
        """Geometric mean of the RSS ratios over the common rows of a kind."""
        return self._mean([self.rss_ratio(row, allocator) for row in self.common_rows(real)])

    @staticmethod
    def _mean(ratios: Sequence[float | None]) -> float | None:
        known = [ratio for ratio in ratios if ratio is not None]
        return stats.geometric_mean(known) if known and len(known) == len(ratios) else None

    def noisy_rows(self) -> list[Row]:
        """Rows with at least one noisy cell."""
        return [row for row in self.rows if any(self.cell(row, one).is_noisy for one in self.allocators)]

    def failures(self) -> list[tuple[Row, Allocator, Failure]]:
        """Every failed cell with its reason."""
        found = []
        for row in self.rows:
            for allocator in self.allocators:
                failure = self.cell(row, allocator).failure
                if failure is not None:
                    found.append((row, allocator, failure))
        return found



def _median_curve(runs: Sequence[list[list[float]]]) -> list[list[float]]:
    return [[points[0][0], stats.median([y for _, y in points])] for points in zip(*runs)]
