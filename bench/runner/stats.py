"""The few statistics the suite needs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

#: A cell whose spread is above this is noisy.
NOISY_SPREAD = 0.15


def median(values: Sequence[float]) -> float:
    """The median of one value or more."""
    return statistics.median(values)


def spread(values: Sequence[float], base: int) -> float:
    """(max - min) / median of the middle of `values`.

    The full range can only grow as samples are added, so repeating could never quiet a row. Of the samples beyond the
    `base` planned ones, each pair therefore lets one be dropped at either end, as long as half of all samples stay.
    """
    ordered = sorted(values)
    drop = max(0, min((len(ordered) - base) // 2, len(ordered) // 4))
    middle = ordered[drop:len(ordered) - drop]
    centre = median(ordered)
    return (middle[-1] - middle[0]) / centre if centre > 0 else 0.0


def ratio(value: float | None, reference: float | None) -> float | None:
    """value / reference; None where either is missing or there is nothing to refer to."""
    return None if value is None or reference is None or reference <= 0 else value / reference


def geometric_mean(values: Sequence[float]) -> float | None:
    """The geometric mean of positive values; None where there are none."""
    if not values:
        return None
    return math.exp(sum(math.log(value) for value in values) / len(values))
