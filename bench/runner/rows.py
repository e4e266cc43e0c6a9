"""The rows of the suite: which program, with which arguments, and how its result is read.

A row is one workload. Adding one is adding an entry to ROWS; the smoke test runs it from then on.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from enum import Enum


class Clock(Enum):
    """The time a row's operations are divided by.

    CPU is steady on a shared machine and charges an allocator for its page faults and for its threads' spinning.
    WALL also shows threads that wait for each other asleep.
    """

    CPU = "CPU"
    WALL = "wall"


@dataclass(frozen=True)
class Row:
    """One workload."""

    name: str
    group: str
    program: str
    args: tuple[str, ...]
    clock: Clock
    about: str


def _row(group: str, name: str, command: str, about: str, clock: Clock = Clock.CPU) -> Row:
    program, *args = command.split()
    return Row(name, group, program, tuple(args), clock, about)


ROWS: tuple[Row, ...] = (
    _row("random", "random_256", "random_mixed --slots 256", "16-1040 B at random in 256 slots"),
    _row("random", "random_4096", "random_mixed --slots 4096", "the same, 4,096 slots"),
    _row("random", "random_65536", "random_mixed --slots 65536", "the same, 65,536 slots: beyond the caches"),
    _row("random", "random_65536_blind", "random_mixed --slots 65536 --blind-free yes",
         "the same, blocks freed without a last look at them"),
    _row("random", "random_tiny_256", "random_mixed --min 8 --max 64 --slots 256", "8-64 B in 256 slots"),
    _row("random", "random_tiny_4096", "random_mixed --min 8 --max 64 --slots 4096", "the same, 4,096 slots"),
    _row("random", "random_tiny_65536", "random_mixed --min 8 --max 64 --slots 65536", "the same, 65,536 slots"),
    _row("tiny_hot", "pair_16", "tiny_hot --mode pair --size 16", "malloc, free, malloc, free: 16 B"),
    _row("tiny_hot", "pair_64", "tiny_hot --mode pair --size 64", "the same, 64 B"),
    _row("tiny_hot", "pair_256", "tiny_hot --mode pair --size 256", "the same, 256 B"),
    _row("tiny_hot", "lifo_100", "tiny_hot --mode lifo --count 100", "100 blocks of 64 B, freed last first"),
    _row("tiny_hot", "lifo_1000", "tiny_hot --mode lifo --count 1000", "the same, 1,000 blocks"),
    _row("tiny_hot", "lifo_100000", "tiny_hot --mode lifo --count 100000", "the same, 100,000 blocks"),
    _row("tiny_hot", "fifo_100", "tiny_hot --mode fifo --count 100", "100 blocks of 64 B, freed first first"),
    _row("threads", "mid_large_mt", "random_mixed --min 8192 --max 32768 --slots 1024 --threads 2",
         "8-32 KB, two threads with 1,024 slots each", Clock.WALL),
    _row("threads", "random_16k_mt", "random_mixed --min 1 --max 16384 --slots 1024 --threads 2",
         "1 B-16 KB, two threads with 1,024 slots each"),
    _row("threads", "remote_pc", "remote_free --mode pc --threads 2", "64 B from a producer to a consumer"),
    _row("threads", "remote_all", "remote_free --mode all --threads 4", "64 B, four threads, each to each",
         Clock.WALL),
    _row("threads", "larson_tiny", "larson --min 8 --max 128 --slots 1000",
         "server, two lanes of 1,000 blocks of 8-128 B, threads hand over", Clock.WALL),
    _row("threads", "larson_mixed", "larson --min 8 --max 1000 --slots 5000",
         "the same, 5,000 blocks of 8-1000 B", Clock.WALL),
    _row("threads", "thread_churn", "thread_churn", "threads of 100 blocks each, 10 of them freed by the creator"),
    _row("large", "loop_64k", "big_loop --size 65536", "64 KB loop, first byte touched"),
    _row("large", "loop_256k", "big_loop --size 262144", "256 KB loop, first byte touched"),
    _row("large", "loop_2m", "big_loop --size 2097152", "2 MB loop, first byte touched"),
    _row("large", "loop_64k_pages", "big_loop --size 65536 --touch pages", "64 KB loop, each page touched"),
    _row("large", "loop_256k_pages", "big_loop --size 262144 --touch pages", "256 KB loop, each page touched"),
    _row("large", "loop_2m_pages", "big_loop --size 2097152 --touch pages", "2 MB loop, each page touched"),
    _row("large", "calloc_large", "calloc_large", "calloc of 64 KB-1 MB, 16 live, first byte touched"),
    _row("large", "calloc_large_pages", "calloc_large --touch pages", "the same, each page touched"),
    _row("realloc", "string_64", "string_builder --min 8 --max 64 --step 8", "one string of 8-64 B in steps of 8"),
    _row("realloc", "string_64_many", "string_builder --min 8 --max 64 --step 8 --builders 1000",
         "the same, 1,000 strings in turn"),
    _row("realloc", "string_1m", "string_builder --min 64 --max 1048576 --step 0",
         "one string of 64 B-1 MB, by half each time"),
    _row("realloc", "string_1m_many", "string_builder --min 64 --max 1048576 --step 0 --builders 8",
         "the same, 8 strings in turn"),
)


def program_names() -> list[str]:
    """Every program that some row runs, sorted."""
    return sorted({row.program for row in ROWS})


def select(pattern: str | None) -> list[Row]:
    """The rows whose name or group matches `pattern`: comma-separated globs, or parts of a name."""
    if pattern is None:
        return list(ROWS)
    wanted = [part for part in pattern.split(",") if part]
    return [row for row in ROWS if any(_matches(row, part) for part in wanted)]


def _matches(row: Row, part: str) -> bool:
    if any(char in part for char in "*?["):
        return fnmatch.fnmatchcase(row.name, part) or fnmatch.fnmatchcase(row.group, part)
    return part in row.name or part == row.group
