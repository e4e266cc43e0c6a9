"""What a results.json says, read for the page: cells by row and allocator, bests, ratios, means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bench.runner import stats
from bench.runner.allocators import BASELINES, OURS

#: Within this of the best is level with it.
LEVEL = 0.02

#: A figure of a cell, None where it has none.
Figure = Callable[["Cell"], "float | None"]


@dataclass(frozen=True)
class Cell:
    """One row under one allocator."""

    record: dict[str, Any]

    @property
    def time(self) -> float | None:
        return self.record["time"]

    @property
    def wall_s(self) -> float | None:
        return self.record["wall_s"]

    @property
    def rss_kb(self) -> float | None:
        return self.record["peak_rss_kb"]

    @property
    def spread(self) -> float | None:
        return self.record["spread"]

    @property
    def is_noisy(self) -> bool:
        return bool(self.record["noisy"])

    @property
    def failure(self) -> str | None:
        return self.record["failure"]


class Compared:
    """A results.json. The subject is HAKMEM where it was measured; all others are its peers."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.rows: list[dict[str, Any]] = document["rows"]
        self.names: list[str] = [one["name"] for one in document["allocators"]]
        self.subject = OURS if OURS in self.names else self.names[0]
        self._cells = {(cell["row"], cell["allocator"]): Cell(cell) for cell in document["cells"]}

    def cell(self, row: dict[str, Any], name: str) -> Cell:
        return self._cells[row["name"], name]

    @property
    def baselines(self) -> list[str]:
        """Allocators that means refer to: those of BASELINES that were measured, the document's own otherwise."""
        return [name for name in BASELINES if name in self.names] or [self.document["baseline"]]

    def kind(self, real: bool) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["real"] == real]

    def best(self, row: dict[str, Any], figure: Figure, among: Iterable[str] | None = None) -> float | None:
        """The lowest figure of a row, of all allocators or of some."""
        found = [figure(self.cell(row, name)) for name in (self.names if among is None else among)]
        return min((value for value in found if value is not None), default=None)

    def ratio(self, row: dict[str, Any], name: str, baseline: str, figure: Figure) -> float | None:
        """A figure to that of another allocator."""
        return stats.ratio(figure(self.cell(row, name)), figure(self.cell(row, baseline)))

    def to_best_peer(self, row: dict[str, Any], name: str, figure: Figure) -> float | None:
        """A figure to the lowest one of all other allocators."""
        return stats.ratio(figure(self.cell(row, name)), self.best(row, figure, [one for one in self.names if one != name]))

    def common(self, real: bool) -> list[dict[str, Any]]:
        """Rows of a kind that every allocator completed which completed any."""
        rows = self.kind(real)
        able = [name for name in self.names if any(self.cell(row, name).time is not None for row in rows)]
        return [row for row in rows if all(self.cell(row, name).time is not None for name in able)]

    def mean(self, name: str, baseline: str | None, figure: Figure, real: bool) -> float | None:
        """Geometric mean over the common rows: to `baseline`, to the best of the others in each row for None."""
        ratios = []
        for row in self.common(real):
            if baseline is None:
                ratios.append(self.to_best_peer(row, name, figure))
            else:
                ratios.append(self.ratio(row, name, baseline, figure))
        known = [ratio for ratio in ratios if ratio is not None]
        return stats.geometric_mean(known) if len(known) == len(ratios) else None

    def won(self, name: str, figure: Figure, real: bool) -> int:
        """On how many rows an allocator is the best or level with it."""
        ratios = [self.to_best_peer(row, name, figure) for row in self.kind(real)]
        return sum(ratio is not None and ratio <= 1 + LEVEL for ratio in ratios)
