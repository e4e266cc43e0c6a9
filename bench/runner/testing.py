"""Small fixtures for the runner's own tests."""

from __future__ import annotations

from bench.runner.allocators import Allocator
from bench.runner.measure import Sample
from bench.runner.rows import REAL, Clock, Row

OURS = Allocator("hakmem", None, "file libhakmem.so")
MIMALLOC = Allocator("mimalloc", None, "libmimalloc2.0 2.0.9")
GLIBC = Allocator("glibc", None, "libc6 2.36")


def row(name: str, program: str = "fake", clock: Clock = Clock.CPU) -> Row:
    """A row that no program needs to exist for."""
    return Row(name, "group", program, (), clock, "about")


def real_row(name: str) -> Row:
    """A row that is a real program."""
    return Row(name, REAL, "program", (), Clock.CPU, "about")


def sample(mops: float, rss_kb: int = 1024) -> Sample:
    """One second at `mops` million operations."""
    return Sample(ops=round(mops * 1e6), wall_s=1.0, cpu_s=1.0, peak_rss_kb=rss_kb)
