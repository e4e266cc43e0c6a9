"""The rows of the suite: which program, with which arguments, and how its result is read.

A row is one workload. Adding one is adding an entry to ROWS; the smoke test runs it from then on.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Clock(Enum):
    """The time a row's operations are divided by.

    CPU is steady on a shared machine and charges an allocator for its page faults and for its threads' spinning.
    WALL also shows threads that wait for each other asleep.
    """

    CPU = "CPU"
    WALL = "wall"


#: The group of the rows that are real programs (bench/real): a run is one piece of work, measured in seconds.
REAL = "real"


@dataclass(frozen=True)
class Row:
    """One workload."""

    name: str
    group: str
    program: str
    args: tuple[str, ...]
    clock: Clock
    about: str
    #: Too long or too large for the quick plan, which has it only where it is asked for by name.
    full_only: bool = False
    #: Seconds that a run sleeps, beside those that it is given.
    idle_s: float = 0.0

    @property
    def is_real(self) -> bool:
        """True for a real program."""
        return self.group == REAL


def _row(group: str, name: str, command: str, about: str, clock: Clock = Clock.CPU, full_only: bool = False,
         idle_s: float = 0.0) -> Row:
    program, *args = command.split()
    return Row(name, group, program, tuple(args), clock, about, full_only, idle_s)


def _burst(name: str, options: str, about: str, idle_s: int, full_only: bool) -> Row:
    return _row("memory", f"{name}_{idle_s}s", f"burst_idle --idle-ms {1000 * idle_s} {options}", about,
                full_only=full_only, idle_s=idle_s)


def _batches(order: str, size: int) -> Row:
    return _row("tiny_hot", f"{order}_1000_{size}", f"tiny_hot --mode {order} --count 1000 --size {size}",
                f"1,000 blocks of {size} B, freed {'last' if order == 'lifo' else 'first'} first", full_only=True)


ROWS: tuple[Row, ...] = (
    _row("random", "random_256", "random_mixed --slots 256", "16-1040 B at random in 256 slots"),
    _row("random", "random_4096", "random_mixed --slots 4096", "the same, 4,096 slots"),
    _row("random", "random_8192", "random_mixed --slots 8192", "the same, 8,192 slots"),
    _row("random", "random_65536", "random_mixed --slots 65536", "the same, 65,536 slots: beyond the caches"),
    _row("random", "random_65536_blind", "random_mixed --slots 65536 --blind-free yes",
         "the same, blocks freed without a last look at them"),
    _row("random", "random_1m", "random_mixed --slots 1048576", "the same, 1,048,576 slots: half a GiB",
         full_only=True),
    _row("random", "random_tiny_256", "random_mixed --min 8 --max 64 --slots 256", "8-64 B in 256 slots"),
    _row("random", "random_tiny_4096", "random_mixed --min 8 --max 64 --slots 4096", "the same, 4,096 slots"),
    _row("random", "random_tiny_65536", "random_mixed --min 8 --max 64 --slots 65536", "the same, 65,536 slots"),
    _row("random", "random_tiny_1m", "random_mixed --min 8 --max 64 --slots 1048576", "the same, 1,048,576 slots",
         full_only=True),
    _row("random", "random_32k_256", "random_mixed --min 16 --max 32768 --slots 256", "16 B-32 KB in 256 slots"),
    _row("random", "random_32k_4096", "random_mixed --min 16 --max 32768 --slots 4096", "the same, 4,096 slots"),
    _row("random", "random_4m", "random_mixed --min 262144 --max 4194304 --slots 64", "256 KB-4 MB in 64 slots",
         full_only=True),
    _row("random", "random_64m", "random_mixed --min 4194304 --max 67108864 --slots 8", "4-64 MB in 8 slots",
         full_only=True),
    _row("tiny_hot", "pair_8", "tiny_hot --mode pair --size 8", "malloc, free, malloc, free: 8 B"),
    _row("tiny_hot", "pair_16", "tiny_hot --mode pair --size 16", "the same, 16 B"),
    _row("tiny_hot", "pair_64", "tiny_hot --mode pair --size 64", "the same, 64 B"),
    _row("tiny_hot", "pair_256", "tiny_hot --mode pair --size 256", "the same, 256 B"),
    _row("tiny_hot", "lifo_100", "tiny_hot --mode lifo --count 100", "100 blocks of 64 B, freed last first"),
    _row("tiny_hot", "lifo_1000", "tiny_hot --mode lifo --count 1000", "the same, 1,000 blocks"),
    _row("tiny_hot", "lifo_100000", "tiny_hot --mode lifo --count 100000", "the same, 100,000 blocks"),
    _row("tiny_hot", "fifo_100", "tiny_hot --mode fifo --count 100", "100 blocks of 64 B, freed first first"),
    _row("tiny_hot", "fifo_1000", "tiny_hot --mode fifo --count 1000", "the same, 1,000 blocks"),
    _row("tiny_hot", "fifo_100000", "tiny_hot --mode fifo --count 100000", "the same, 100,000 blocks"),
    *(_batches(order, size) for order in ("lifo", "fifo") for size in (8, 16, 256)),
    _row("threads", "mid_large_mt", "random_mixed --min 8192 --max 32768 --slots 1024 --threads 2",
         "8-32 KB, two threads with 1,024 slots each", Clock.WALL),
    _row("threads", "random_16k_mt", "random_mixed --min 1 --max 16384 --slots 1024 --threads 2",
         "1 B-16 KB, two threads with 1,024 slots each"),
    _row("threads", "remote_pc", "remote_free --mode pc --threads 2", "64 B from a producer to a consumer"),
    _row("threads", "remote_all", "remote_free --mode all --threads 4", "64 B, four threads, each to each",
         Clock.WALL),
    _row("threads", "swap_table", "swap_table --threads 2", "16-512 B, two threads exchange blocks one by one",
         Clock.WALL),
    _row("threads", "swap_table_4", "swap_table --threads 4", "the same, four threads", Clock.WALL, full_only=True),
    _row("threads", "sharing_active", "cache_line_sharing --mode active",
         "8 B written 100 times, two threads: are their blocks neighbours?", Clock.WALL),
    _row("threads", "sharing_passive", "cache_line_sharing --mode passive",
         "the same, each thread first frees one of two neighbours", Clock.WALL),
    _row("threads", "larson_tiny", "larson --profile tiny",
         "server, two lanes of 1,000 blocks of 8-128 B, threads hand over", Clock.WALL),
    _row("threads", "larson_mixed", "larson --profile mixed", "the same, 5,000 blocks of 8-1000 B", Clock.WALL),
    _row("threads", "larson_mid", "larson --profile mid", "the same, 500 blocks of 1-32 KB", Clock.WALL),
    _row("threads", "larson_mt", "larson --profile mt", "the same, eight lanes of 5,000 blocks of 8-1000 B",
         Clock.WALL),
    _row("threads", "thread_churn", "thread_churn", "threads of 100 blocks each, 10 of them freed by the creator"),
    _row("large", "loop_64k", "big_loop --size 65536", "64 KB loop, first byte touched"),
    _row("large", "loop_256k", "big_loop --size 262144", "256 KB loop, first byte touched"),
    _row("large", "loop_2m", "big_loop --size 2097152", "2 MB loop, first byte touched"),
    _row("large", "loop_64k_pages", "big_loop --size 65536 --touch pages", "64 KB loop, each page touched"),
    _row("large", "loop_256k_pages", "big_loop --size 262144 --touch pages", "256 KB loop, each page touched"),
    _row("large", "loop_2m_pages", "big_loop --size 2097152 --touch pages", "2 MB loop, each page touched"),
    _row("large", "frames_16m", "big_loop --size 16777216 --live 2 --threads 2 --touch pages",
         "16 MB, two threads hold two each, each page touched", full_only=True),
    _row("large", "calloc_large", "calloc_large", "calloc of 64 KB-1 MB, 16 live, first byte touched"),
    _row("large", "calloc_large_pages", "calloc_large --touch pages", "the same, each page touched"),
    _row("realloc", "string_64", "string_builder --min 8 --max 64 --step 8", "one string of 8-64 B in steps of 8"),
    _row("realloc", "string_64_many", "string_builder --min 8 --max 64 --step 8 --builders 1000",
         "the same, 1,000 strings in turn"),
    _row("realloc", "string_1m", "string_builder --min 64 --max 1048576 --step 0",
         "one string of 64 B-1 MB, by half each time"),
    _row("realloc", "string_1m_many", "string_builder --min 64 --max 1048576 --step 0 --builders 8",
         "the same, 8 strings in turn"),
    _row("realloc", "string_64m", "string_builder --min 1048576 --max 67108864 --step 0",
         "one string of 1-64 MB, by half each time", full_only=True),
    _row("realloc", "buffers_60k", "string_builder --min 64 --max 60000 --step 500 --builders 1000",
         "1,000 buffers in turn, each to 60 KB in steps of 500 B", full_only=True),
    _row("shapes", "tree_small", "tree --depth 10", "binary trees of 1,023 nodes of 32 B, built and freed"),
    _row("shapes", "tree_large", "tree --depth 17", "the same, 131,071 nodes"),
    _row("shapes", "hash_small", "hash_growth --entries 1000", "hash tables that grow to 1,000 entries of 24-72 B"),
    _row("shapes", "hash_large", "hash_growth --entries 200000", "the same, 200,000 entries"),
    _row("shapes", "aligned_mix", "aligned_mix --by posix_memalign",
         "1 B-4 KB in 1,000 slots, every other block aligned to 16 B-4 KB"),
    _row("shapes", "aligned_64", "aligned_mix --by aligned_alloc --align-min 64 --align-max 64 --min 64 --max 256",
         "64-256 B in 1,000 slots, every other block aligned to 64 B"),
    _row("memory", "fragment", "fragment", "13 MB of 16-256 B, 90 % freed at random, then as much of 272-1024 B"),
    _row("memory", "fragment_mid", "fragment --blocks 4000 --min 1024 --max 8192 --min2 9216 --max2 32768",
         "17 MB of 1-8 KB, 90 % freed at random, then as much of 9-32 KB"),
    _row("memory", "fragment_large",
         "fragment --blocks 2000 --min 4096 --max 65536 --min2 70000 --max2 500000",
         "68 MB of 4-64 KB, 90 % freed at random, then as much of 70-500 KB", full_only=True),
    _burst("burst_once", "--bursts 1", "64 MB of 16 B-32 KB freed once, then a second asleep, 8 MB live", 1, full_only=True),
    _burst("burst_once", "--bursts 1", "the same, ten seconds", 10, full_only=True),
    _burst("burst_sleep", "", "64 MB freed and allocated over and over, then a second asleep, 8 MB live", 1, full_only=False),
    _burst("burst_sleep", "", "the same, ten seconds", 10, full_only=True),
    _burst("burst_calls", "--call-ms 10", "the same, one malloc and one free in 10 ms", 10, full_only=True),
    _burst("burst_workers", "--threads 4", "the same, four threads, all asleep", 10, full_only=True),
    _row("latency", "latency", "latency", "single calls of two threads, 16 B-1 MB; see the extra figures"),
)

#: What the quick plan has of them where nothing is asked for by name.
QUICK_ROWS: tuple[Row, ...] = tuple(row for row in ROWS if not row.full_only)


def program_names() -> list[str]:
    """Every program that some row runs, sorted."""
    return sorted({row.program for row in ROWS})


def select(pattern: str | None, among: Sequence[Row] = ROWS) -> list[Row]:
    """Those of the rows whose name or group matches `pattern`: comma-separated globs, or parts of a name."""
    if pattern is None:
        return list(among)
    wanted = [part for part in pattern.split(",") if part]
    return [row for row in among if any(_matches(row, part) for part in wanted)]


def _matches(row: Row, part: str) -> bool:
    if any(char in part for char in "*?["):
        return fnmatch.fnmatchcase(row.name, part) or fnmatch.fnmatchcase(row.group, part)
    return part in row.name or part == row.group
