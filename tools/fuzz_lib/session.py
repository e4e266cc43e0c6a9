"""One run of tools/fuzz: threads that give each target its slices of time, and file what crashes."""

from __future__ import annotations

import dataclasses
import pathlib
import threading
import time
from typing import Callable, Optional, Sequence

from fuzz_lib import crashes, libfuzzer, results as results_folder
from fuzz_lib.libfuzzer import Figures, Log
from fuzz_lib.processes import Ended, Processes
from fuzz_lib.results import Results
from fuzz_lib.targets import Target
from fuzz_lib.totals import Totals

_MINIMISE_S = 60
# Beyond the slice: loading the corpus, the last input's time-out, writing a stack with symbols.
_OVERTIME_S = 180.0
_SHORTEST_SLICE_S = 3.0
_TURNS = 3
_RETRY_S = 0.2
# A target that fails this often in a row before it has loaded its inputs would do nothing else.
_MAX_BARREN = 20


@dataclasses.dataclass(frozen=True)
class Limits:
    """When a run ends; None is never."""

    seconds: Optional[float] = None  # of the whole run
    executions: Optional[int] = None  # of each unit
    slice_s: float = 60.0


@dataclasses.dataclass(frozen=True)
class Running:
    """A process of a unit."""

    log: Log
    begin: float
    promised: int  # executions it will do, of a limited number


@dataclasses.dataclass
class Unit:
    """A target in a configuration: what one process runs. Counted in this run only."""

    target: Target
    config: str
    binary: pathlib.Path
    executions: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    given_s: float = 0.0  # time it was promised: what the fair share is measured by
    running: dict[int, Running] = dataclasses.field(default_factory=dict)  # by thread
    last: Figures = dataclasses.field(default_factory=Figures)
    crashes: dict[str, int] = dataclasses.field(default_factory=dict)  # how often each
    barren: int = 0

    @property
    def is_stuck(self) -> bool:
        """True when it cannot even load its inputs."""
        return self.barren >= _MAX_BARREN

    def executions_now(self) -> int:
        """With those of the processes that run. They tell rarely, so this lags behind."""
        return self.executions + sum(one.log.figures.executions for one in self.running.values())

    def wall_now(self) -> float:
        """Seconds of all processes together."""
        now = time.monotonic()
        return self.wall_s + sum(now - one.begin for one in self.running.values())

    def figures_now(self) -> Figures:
        """The best of what runs, or of what ran last."""
        told = [one.log.figures for one in self.running.values() if one.log.figures.coverage]
        return max(told, key=lambda figures: figures.features, default=self.last)


Say = Callable[[str], None]


class Session:
    """Fuzzes `units` by `jobs` threads until a limit is reached or stop() is called."""

    def __init__(
        self, units: Sequence[Unit], jobs: int, limits: Limits, processes: Processes, results: Results, totals: Totals,
        say: Say,
    ) -> None:
        self.units = list(units)
        self.begin = time.monotonic()
        self.new_regressions: list[pathlib.Path] = []
        self._limits = limits
        self._processes = processes
        self._results = results
        self._totals = totals
        self._say = say
        self._mutex = threading.Lock()  # of the units, the totals and the next field
        self._handled: set[tuple[str, str]] = set()
        self._filing = threading.RLock()  # one crash is filed at a time
        self._failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(jobs)]
        self._jobs = jobs

    # Seen from the command --------------------------------------------------------------------------------

    def run(self, watch: Callable[[], None], every_s: float = 0.5) -> None:
        """Runs to the end; calls `watch` now and then."""
        self.begin = time.monotonic()
        for thread in self._threads:
            thread.start()
        while any(thread.is_alive() for thread in self._threads):
            watch()
            next((thread for thread in self._threads if thread.is_alive()), self._threads[0]).join(every_s)
        if self._failures:
            raise self._failures[0]

    def elapsed_s(self) -> float:
        """Since the begin of the run."""
        return time.monotonic() - self.begin

    def crash_count(self) -> int:
        """Different crashes of all units."""
        return sum(len(unit.crashes) for unit in self.units)

    # The threads -------------------------------------------------------------------------------------------

    def _work(self, number: int) -> None:
        try:
            while not self._processes.is_stopped and not self._is_done():
                slice_ = self._next_slice(number)
                if slice_ is None:  # others are at the last executions of the last unit
                    self._processes.wait_for_stop(_RETRY_S)
                else:
                    self._fuzz(number, *slice_)
        except BaseException as error:  # pylint: disable=broad-exception-caught
            self._failures.append(error)
            self._processes.stop()

    def _is_done(self) -> bool:
        with self._mutex:
            waiting = [unit for unit in self.units if unit.running or self._is_open(unit)]
            return self._left_s() <= 0 or not waiting

    def _is_open(self, unit: Unit) -> bool:
        return not unit.is_stuck and self._left_executions(unit) != 0

    def _next_slice(self, number: int) -> Optional[tuple[Unit, Log, float, Optional[int]]]:
        """The unit that had the least time, with its seconds and executions; None when none needs more."""
        with self._mutex:
            open_units = [unit for unit in self.units if self._is_open(unit)]
            left_s = self._left_s()
            if left_s <= 0 or not open_units:
                return None
            unit = min(open_units, key=lambda one: one.given_s)
            seconds = min(slice_seconds(self._limits, self._jobs, len(open_units)), left_s)
            left = self._left_executions(unit)
            runs = None if left is None else -(-left // max(1, self._jobs // len(open_units)))
            unit.given_s += seconds
            log = Log()
            unit.running[number] = Running(log, time.monotonic(), runs or 0)
            return unit, log, seconds, runs

    def _left_s(self) -> float:
        if self._limits.seconds is None:
            return float("inf")
        return self._limits.seconds - self.elapsed_s()

    def _left_executions(self, unit: Unit) -> Optional[int]:
        if self._limits.executions is None:
            return None
        return max(0, self._limits.executions - unit.executions - sum(one.promised for one in unit.running.values()))

    def _fuzz(self, number: int, unit: Unit, log: Log, seconds: float, runs: Optional[int]) -> None:
        # Of its own: which of several processes wrote an input is then plain.
        found = self._results.found(unit.target) / f"job-{number}"
        found.mkdir(parents=True, exist_ok=True)
        corpus = self._results.corpus(unit.target)
        command = libfuzzer.fuzz_command(unit.binary, unit.target, corpus, found, round(seconds), runs)
        ended = self._processes.run(command, log, seconds + _OVERTIME_S)
        artifacts = sorted(path for path in found.iterdir() if path.is_file())
        if ended.was_late:
            self._say(f"{unit.target.name}: killed, since it did not end in time: is the machine busy?")
        slow = [path for path in artifacts if self._is_only_slow(unit, path)]
        artifacts = [path for path in artifacts if path not in slow]
        crashed = bool(artifacts) or (ended.is_failure and not slow)
        with self._mutex:
            self._count(number, unit, log, ended, crashed)
            unit.given_s -= max(0.0, seconds - ended.wall_s)
        if artifacts:
            for artifact in artifacts:
                self.file_crash(unit, artifact, list(log.lines))
        elif crashed:
            self._note_failure(unit, ended, list(log.lines))

    def _count(self, number: int, unit: Unit, log: Log, ended: Ended, crashed: bool) -> None:
        unit.running.pop(number)
        unit.executions += log.figures.executions
        unit.cpu_s += ended.cpu_s
        unit.wall_s += ended.wall_s
        unit.barren = unit.barren + 1 if crashed and not log.figures.is_initialised else 0
        if log.figures.coverage:
            unit.last = log.figures
        self._totals.of(unit.target.name, unit.config).add(log.figures.executions, ended.cpu_s, crashed)
        self._totals.save()
        if unit.is_stuck:
            self._say(f"{unit.target.name}: fails before it has loaded its inputs, {unit.barren} times: given up")

    # Crashes -----------------------------------------------------------------------------------------------

    def file_leftovers(self) -> None:
        """Files what an earlier command had found when it was killed."""
        for unit in self.units:
            folder = self._results.found(unit.target)
            for path in sorted(one for one in folder.rglob("*") if one.is_file()):
                lines = self._failure_of(unit, path)
                if lines is not None:
                    self.file_crash(unit, path, lines)
                elif not self._processes.is_stopped:
                    self._results.take_input(unit.target, path)

    def file_crash(self, unit: Unit, artifact: pathlib.Path, lines: list[str]) -> None:
        """Keeps the input, and files a small one among the regressions if the crash is a new one."""
        signature = crashes.signature(lines)
        with self._filing:
            original = self._results.take_crash(unit.target, signature.name, artifact, lines)
            with self._mutex:
                unit.crashes[signature.name] = unit.crashes.get(signature.name, 0) + 1
                key = (unit.target.name, signature.name)
                is_new = key not in self._handled
                self._handled.add(key)
            if not is_new:
                return
            filed = results_folder.filed_regressions(unit.target, signature.name)
            if any(self._failure_of(unit, path) is not None for path in filed):
                self._say(f"{unit.target.name}: {signature.name}: the crash of a regression that is filed already")
                return
            self._say(f"{unit.target.name}: new crash {signature.name}: {original}")
            content, how = self._smaller(unit, original, signature)
            place = results_folder.file_regression(unit.target, signature.name, content)
            self.new_regressions.append(place)
            self._say(f"{unit.target.name}: filed {place} ({how})")

    def _is_only_slow(self, unit: Unit, artifact: pathlib.Path) -> bool:
        """True for an input that took too long and passes alone: the machine was busy. It goes to the corpus."""
        if not artifact.name.startswith("timeout-") or self._failure_of(unit, artifact) is not None:
            return False
        self._say(f"{unit.target.name}: {artifact.name} took too long, and passes alone: is the machine busy?")
        self._results.take_input(unit.target, artifact)
        return True

    def _smaller(self, unit: Unit, original: pathlib.Path, signature: crashes.Signature) -> tuple[bytes, str]:
        """The input to file, in place of the original where a smaller one crashes the same way; and a remark."""
        content = original.read_bytes()
        if signature.is_sampled:
            return content, f"{len(content)} bytes, as found"
        if self._processes.is_stopped:
            return content, f"{len(content)} bytes, as found: stopped"
        if self._failure_of(unit, original) is None:
            return content, f"{len(content)} bytes, as found: does not crash when run alone"
        smaller = original.parent / results_folder.MINIMISED
        command = libfuzzer.minimise_command(unit.binary, unit.target, original, smaller, _MINIMISE_S)
        self._processes.run(command, None, _MINIMISE_S + _OVERTIME_S)
        if not smaller.is_file() or smaller.stat().st_size >= len(content):
            return content, f"{len(content)} bytes, as found: nothing shorter crashes"
        lines = self._failure_of(unit, smaller)
        if lines is None:
            return content, f"{len(content)} bytes, as found: the shorter one passes"
        if crashes.signature(lines).key != signature.key:
            self.file_crash(unit, smaller, lines)
            return content, f"{len(content)} bytes, as found: the shorter one fails differently"
        return smaller.read_bytes(), f"{smaller.stat().st_size} bytes from {len(content)}"

    def _failure_of(self, unit: Unit, path: pathlib.Path) -> Optional[list[str]]:
        """What the input's run alone says when it fails, or does not end; None when it passes."""
        log = Log()
        ended = self._processes.run(libfuzzer.run_once_command(unit.binary, unit.target, path), log, _OVERTIME_S)
        return list(log.lines) if ended.is_failure or ended.was_late else None

    def _note_failure(self, unit: Unit, ended: Ended, lines: list[str]) -> None:
        """A process that failed without naming an input: killed from outside, or it could not start."""
        name = f"no-input-status-{ended.status}"
        results_folder.write_log(self._results.crash(unit.target, name), lines)
        with self._mutex:
            unit.crashes[name] = unit.crashes.get(name, 0) + 1
            is_first = unit.crashes[name] == 1
        if is_first:
            self._say(f"{unit.target.name}: ended with status {ended.status} and named no input: {lines[-1:]}")


def slice_seconds(limits: Limits, jobs: int, units: int) -> float:
    """How long a process runs, so that a bounded run gives each unit a few turns."""
    if limits.seconds is None or jobs >= units:
        return limits.slice_s
    return max(_SHORTEST_SLICE_S, min(limits.slice_s, limits.seconds * jobs / units / _TURNS))
