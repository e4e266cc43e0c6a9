"""Which program runs next, with which seed and how many threads."""

from __future__ import annotations

import random
from typing import Iterator, Sequence

from soak_lib.model import Plan, Program

# From the fewest that every program takes, beyond the processors of most machines.
_THREADS = (2, 3, 4, 6, 8, 12, 16, 32)
_SECONDS_AT_MOST = 30.0
_SECONDS_AT_LEAST = 1.0
_SEED_BOUND = 1 << 40


def seconds_a_run(programs: int, seconds_in_all: float) -> float:
    """How long a run is: so that every program has its turn twice, if there is time for that."""
    share = seconds_in_all / max(1, programs) / 2
    return round(min(_SECONDS_AT_MOST, max(_SECONDS_AT_LEAST, share)), 1)


def rotation(programs: Sequence[Program], seed: int, seconds: float) -> Iterator[Plan]:
    """Runs without end: every program once a round, the order, seeds and thread counts by `seed`."""
    numbers = random.Random(seed)
    while True:
        for program in numbers.sample(list(programs), len(programs)):
            yield Plan(program, numbers.randrange(1, _SEED_BOUND), numbers.choice(_THREADS), seconds)
