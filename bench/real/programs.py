"""Running one real program once under one allocator."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterable
from pathlib import Path

from bench.real.catalog import Program
from bench.runner.allocators import Allocator
from bench.runner.errors import BenchError
from bench.runner.measure import Failure, Sample
from bench.runner.rows import Row
from clients_lib import compare, packages, preload, processes
from clients_lib.model import Mode, RunResult, Usage
from clients_lib.runner import Runner
from clients_lib.session import empty_folder


class Programs:
    """Runs real programs. Owns a temporary folder and every process started, gone after `with`.

    A program is made ready when it is first run: its inputs are written, and one run on libc's malloc, which is not
    measured, warms the disk cache and shows what the program prints. A run that shows anything else is a failure.
    """

    def __init__(self, programs: Iterable[Program]) -> None:
        self._programs = {program.row.name: program for program in programs}
        self._ready: dict[str, RunResult | Failure] = {}
        self._modes: dict[str, Mode] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> "Programs":
        if self._programs:
            self._install()
            processes.adopt_orphans()
            self._folder = tempfile.TemporaryDirectory(prefix="hakmem-bench-", ignore_cleanup_errors=True)
            os.chmod(self._folder.name, 0o755)
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            processes.kill_descendants(os.getpid())
            self._folder.cleanup()

    def run_once(self, row: Row, allocator: Allocator) -> Sample | Failure:
        """One run. Whatever the allocator does to the program, this returns."""
        program = self._programs[row.name]
        if row.name not in self._ready:
            self._ready[row.name] = self._make_ready(program)
        reference = self._ready[row.name]
        if isinstance(reference, Failure):
            return reference
        try:
            mode = self._mode(program, allocator)
        except preload.PreloadError as error:
            return Failure("not preloaded", str(error))
        return judged(program, reference, Runner.run_once(program.client, mode, self._home(program)))

    def _install(self) -> None:
        """Installs what is missing. What cannot be had fails its rows, and no others, when they are run."""
        lacking = packages.still_missing_for_runner(may_install=True)
        if lacking:
            raise BenchError(f"real programs need {' '.join(lacking)}: install it (Debian: apt-get install "
                             f"{' '.join(lacking)}), or leave them out with --only")
        missing = [package for one in self._programs.values() for package in one.client.missing_packages()]
        if missing and packages.can_install() and not packages.install(missing, "bench"):
            # One unknown name must not keep the others away.
            for package in sorted(set(missing)):
                packages.install([package], "bench")

    def _home(self, program: Program) -> Path:
        assert self._folder is not None
        return Path(self._folder.name) / program.row.name

    def _make_ready(self, program: Program) -> RunResult | Failure:
        missing = program.client.missing_packages()
        if missing:
            return Failure("not installed", f"Debian: apt-get install {' '.join(missing)}")
        home = empty_folder(self._home(program))
        try:
            program.client.prepare(empty_folder(home / "inputs"))
            program.client.warm()
        except Exception as error:  # pylint: disable=broad-except
            return Failure("cannot prepare", str(error))
        run = Runner.run_once(program.client, self._libc(program), home)
        if not run.healthy:
            return Failure("fails on libc", run.error or run.unexpected[0])
        return run

    def _mode(self, program: Program, allocator: Allocator) -> Mode:
        if allocator.library is None:
            return self._libc(program)
        if allocator.name not in self._modes:
            assert self._folder is not None
            folder = empty_folder(Path(self._folder.name) / f"lib-{allocator.name}")
            self._modes[allocator.name] = preload.readable(allocator.name, Path(allocator.library), folder, {})
        return self._modes[allocator.name]

    @staticmethod
    def _libc(program: Program) -> Mode:
        """Libc's malloc, also where the program is linked with another one."""
        return Mode("libc", preload.libc_object() if program.client.own_malloc() else None)


def judged(program: Program, reference: RunResult, run: RunResult) -> Sample | Failure:
    """The cost of a run that showed what the one on libc's malloc showed; what went wrong otherwise."""
    if run.error is not None and ": hang: " in run.error:
        return Failure("timeout", run.error)
    if not run.healthy:
        return Failure(_crash(run) or "failed", run.error or run.unexpected[0])
    difference = compare.first_difference(reference.observations, run.observations)
    if difference is not None:
        return Failure("wrong output", difference)
    cost, wall = _sum(run, program.cost), _sum(run, program.wall)
    return Sample(1, wall.wall_s, cost.cpu_s, cost.peak_rss_kib)


def _crash(run: RunResult) -> str | None:
    """The signal that ended a step, as other rows name it."""
    for one in run.observations:
        if one.label.endswith(": exit status") and one.data.isdigit() and int(one.data) > 128:
            try:
                return f"crash ({signal.Signals(int(one.data) - 128).name})"
            except ValueError:
                continue
    return None


def _sum(run: RunResult, labels: tuple[str, ...]) -> Usage:
    total = Usage()
    for label, usage in run.step_usage.items():
        if not labels or label in labels:
            total = total.plus(usage)
    return total
