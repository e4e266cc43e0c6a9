"""The command line of tools/fuzz."""

from __future__ import annotations

import argparse
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import NoReturn, Sequence

from fuzz_lib import bazel, merge, table, targets
from fuzz_lib.errors import FuzzError, UsageError
from fuzz_lib.processes import Processes
from fuzz_lib.results import Results
from fuzz_lib.session import Limits, Session, Unit
from fuzz_lib.targets import Target
from fuzz_lib.totals import Totals

ROOT = pathlib.Path(__file__).resolve().parents[2]
_OK, _CRASHES, _CANNOT = 0, 1, 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def main(arguments: Sequence[str]) -> int:
    """Runs the command; 0 without crashes, 1 with, 2 when it cannot do what it was asked for."""
    try:
        options = _parse(arguments)
        chosen = targets.choose(targets.find(ROOT), options.targets)
        if options.list or options.status:
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # tools/fuzz --status | head
        if options.list:
            print("\n".join(target.name for target in chosen))
            return _OK
        results = Results(options.results)
        if options.status:
            return _status(results)
        if options.coverage:
            return _coverage(chosen, results)
        results.claim()
        return _merge(chosen, options, results) if options.merge else _fuzz(chosen, options, results)
    except (UsageError, FuzzError) as error:
        print(f"fuzz: {error}", file=sys.stderr)
        return _CANNOT
    except KeyboardInterrupt:
        print("fuzz: interrupted before anything was run", file=sys.stderr)
        return 128 + signal.SIGINT


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="tools/fuzz", usage="tools/fuzz [TARGET...] [--minutes N] [--jobs N] [--config fuzz|fuzz_bare|both] ...",
        description="Runs the fuzz targets (all of them by default) in parallel until --minutes are over or Ctrl-C. "
        "Crashes are made small and filed under fuzz/regressions/. See fuzz/README.md.",
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="name or shell pattern: api_fuzz, '*'")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--status", action="store_true", help="what was run so far, in all runs together")
    what.add_argument("--merge", action="store_true", help="make the committed corpora anew from what was found")
    what.add_argument("--coverage", action="store_true", help="which lines of hakmem/ the corpora reach")
    what.add_argument("--list", action="store_true", help="the names of the targets")
    parser.add_argument("--minutes", metavar="N", type=_positive, help="of the whole run; 0.5 is 30 seconds")
    parser.add_argument("--executions", metavar="N", type=_count, help="stop a target after N executions")
    parser.add_argument("--jobs", metavar="N", type=_count, default=len(os.sched_getaffinity(0)),
                        help="processes at a time (one a processor)")
    parser.add_argument("--config", choices=(*bazel.CONFIGS, "both"), default="fuzz",
                        help="fuzz: with ASan (default); fuzz_bare: without, faster")
    parser.add_argument("--slice", metavar="SECONDS", type=_positive, default=60.0,
                        help="how long one target runs before the next one's turn (60)")
    parser.add_argument("--results", metavar="DIR", type=pathlib.Path, default=ROOT / "fuzz-results",
                        help="folder of the corpora, crashes and figures (fuzz-results)")
    return parser.parse_args(arguments)


def _positive(text: str) -> float:
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


# argparse names the type in its message.
_positive.__name__ = "positive number"
_count.__name__ = "whole number above zero"


def _status(results: Results) -> int:
    totals = Totals(results.totals)
    if not totals.items():
        print(f"nothing has been run in {results.folder}")
        return _OK
    print("\n".join(table.status_lines(totals)))
    print("enough: 20,000,000 executions or one hour of CPU time since the last crash")
    return _OK


def _coverage(chosen: Sequence[Target], results: Results) -> int:
    replays = [f"{target.label}_replay" for target in chosen]
    command = [str(ROOT / "tools/coverage"), "--corpus", str(results.folder / "corpus"), *replays]
    return subprocess.run(command, check=False).returncode


def _processes() -> Processes:
    processes = Processes(ROOT, bazel.sanitizer_environment(ROOT))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: processes.stop())
    return processes


def _merge(chosen: Sequence[Target], options: argparse.Namespace, results: Results) -> int:
    config = bazel.CONFIGS[0] if options.config == "both" else options.config
    built = bazel.build(ROOT, config, chosen)
    processes = _processes()
    for target in chosen:
        before, after = merge.merge(target, results.keep_program(built[target.name], config), results, processes)
        print(f"{target.name}: {after} files in {target.corpus} (there were {before})")
    return _OK


def _fuzz(chosen: Sequence[Target], options: argparse.Namespace, results: Results) -> int:
    units = []
    for config in bazel.CONFIGS if options.config == "both" else (options.config,):
        built = bazel.build(ROOT, config, chosen)
        units += [Unit(target, config, results.keep_program(built[target.name], config)) for target in chosen]
    for target in chosen:
        results.prepare(target)
    processes = _processes()
    display = table.Display()
    limits = Limits(options.minutes and options.minutes * 60, options.executions, options.slice)
    totals = Totals(results.totals)
    session = Session(units, options.jobs, limits, processes, results, totals, display.say)
    try:
        session.file_leftovers()
        session.run(lambda: display.show(session))
    finally:
        display.close()
    _write_summary(session, results)
    print("\n".join(table.run_lines(session)))
    for name in sorted({f"{unit.target.name}: {name}" for unit in units for name in unit.crashes}):
        print(f"crash: {name}")
    for path in session.new_regressions:
        print(f"filed: {path}")
    count = session.crash_count()
    print(f"{count} crash{'' if count == 1 else 'es'} in {table.span(session.elapsed_s())}; figures: {results.summary}")
    return _CRASHES if count else _OK


def _write_summary(session: Session, results: Results) -> None:
    entries = []
    for unit in session.units:
        entries.append({
            "target": unit.target.name,
            "config": unit.config,
            "executions": unit.executions,
            "cpu_s": round(unit.cpu_s, 3),
            "wall_s": round(unit.wall_s, 3),
            "executions_per_s": round(unit.executions / unit.wall_s, 1) if unit.wall_s else 0,
            "coverage": unit.last.coverage,
            "features": unit.last.features,
            "corpus": unit.last.corpus,
            "crashes": unit.crashes,
            "is_stuck": unit.is_stuck,
        })
    text = json.dumps({
        "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "elapsed_s": round(session.elapsed_s(), 3),
        "executions": sum(unit.executions for unit in session.units),
        "cpu_s": round(sum(unit.cpu_s for unit in session.units), 3),
        "crashes": session.crash_count(),
        "regressions": [str(path.relative_to(ROOT)) for path in session.new_regressions],
        "targets": entries,
    }, indent=1)
    results.summary.write_text(text + "\n")
