"""hakmem replay: a trace on one allocator or several."""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import sys
import tempfile
from typing import Any, Sequence

from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.text import columns, counted, size
from tools.hakmem_lib.traces import columns as allocators
from tools.hakmem_lib.traces import tools

SUMMARY = "play a trace on HAKMEM or on other allocators, and compare time and memory"
_RUNS_MAX = 1000


def runs_argument(text: str) -> int:
    """A number of runs."""
    if not text.isdigit() or not 1 <= int(text) <= _RUNS_MAX:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 to {_RUNS_MAX}")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what follows `hakmem replay`."""
    parser.add_argument("trace", metavar="TRACE", help="what `hakmem trace` wrote")
    allocators.add_arguments(parser)
    parser.add_argument("--runs", metavar="N", type=runs_argument, default=5, help="times that each plays it, in turn (default: 5)")
    parser.add_argument("--verify", action="store_true", help="fill every block, and look at it when it is resized or freed")
    parser.add_argument("--loose", action="store_true", help="threads wait for each other's blocks only, not for their turn")
    parser.add_argument("--touch", metavar="HOW", choices=("none", "pages", "all"), default="pages",
                        help="write to none of a block, to each page of it (default), or to all")
    parser.add_argument("--check", action="store_true", help="record the replay, and say whether it did the same; status 1: not")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--tools", metavar="FOLDER", help=tools.TOOLS_HELP)


def run(options: argparse.Namespace) -> int:
    """Plays and prints."""
    tools.check_readable(options.trace)
    found = tools.find(options.tools)
    figures = tools.summary(found, options.trace)
    chosen = allocators.find(options.allocator, options.lib)
    remark = tools.remark(options.trace, figures)
    if remark:
        print(f"hakmem replay: {remark}", file=sys.stderr)
    if options.check:
        return _check(found, options, chosen)
    return _measure(found, options, chosen, figures)


def _arguments(options: argparse.Namespace) -> list[str]:
    flags = [flag for flag, given in (("--verify", options.verify), ("--loose", options.loose)) if given]
    return [*flags, "--touch", options.touch, options.trace]


# --- the same operations ---


def _check(found: tools.Tools, options: argparse.Namespace, chosen: Sequence[allocators.Column]) -> int:
    outcomes = {}
    for column in chosen:
        with tempfile.TemporaryDirectory() as folder:
            environment = tools.bare_environment([str(found.recorder), *column.libraries], {"HAKTRACE_FILE": f"{folder}/trace"})
            tools.ask(found, *_arguments(options), environment=environment)
            again = list(pathlib.Path(folder).iterdir())
            if len(again) != 1:
                raise CommandError(f"{column.name}: the replay left no record")
            outcomes[column.name] = tools.ask(found, "--compare", options.trace, str(again[0]), statuses=(0, 1))
    if options.json:
        print(json.dumps(outcomes, indent=2))
    else:
        for name, outcome in outcomes.items():
            print(f"{name}: " + (f"the same {outcome['operations']:,} operations by {counted(outcome['threads'], 'thread')}" if outcome["same"]
                                 else f"different from operation {outcome['operation']:,} of thread {outcome['thread']:,} on"))
    return 0 if all(outcome["same"] for outcome in outcomes.values()) else 1


# --- time and memory ---


def _measure(found: tools.Tools, options: argparse.Namespace, chosen: Sequence[allocators.Column], figures: dict[str, Any]) -> int:
    samples: dict[str, list[dict[str, Any]]] = {column.name: [] for column in chosen}
    for _ in range(options.runs):
        for column in chosen:
            environment = tools.bare_environment(column.libraries, {})
            samples[column.name].append(tools.ask(found, *_arguments(options), environment=environment, statuses=(0, 1)))
    rows = {name: _middle(runs) for name, runs in samples.items()}
    print(json.dumps(rows, indent=2) if options.json else _table(options.trace, figures, rows), end="\n" if options.json else "")
    wrong = {name: row["wrong_bytes"] for name, row in rows.items() if row["wrong_bytes"]}
    for name, count in wrong.items():
        print(f"hakmem replay: {name}: {count:,} blocks did not hold what was written to them", file=sys.stderr)
    return 1 if wrong else 0


def _middle(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians; of what must not happen, the most."""
    middle = {name: statistics.median(run[name] for run in runs)
              for name in ("cpu_s", "wall_s", "peak_rss_bytes", "page_faults")}
    times = sorted(run["cpu_s"] for run in runs)
    spread = (times[-1] - times[0]) / middle["cpu_s"] if middle["cpu_s"] else 0.0
    most = {name: max(run[name] for run in runs) for name in ("refused", "wrong_bytes")}
    return {**middle, **most, "cpu_spread": spread, "runs": len(runs)}


def _table(trace: str, figures: dict[str, Any], rows: dict[str, dict[str, Any]]) -> str:
    operations, threads = figures["operations"], len(figures["threads"])
    first = next(iter(rows.values()))
    table: list[Sequence[str]] = [("allocator", "CPU time", "an operation", "spread", "to the first", "elapsed", "peak RSS", "page faults")]
    for name, row in rows.items():
        cpu = row["cpu_s"]
        table.append((
            name, f"{cpu * 1e3:.1f} ms", f"{cpu * 1e9 / max(operations, 1):.1f} ns", f"{100 * row['cpu_spread']:.0f} %",
            f"{cpu / first['cpu_s']:.2f}" if first["cpu_s"] else "-", f"{row['wall_s'] * 1e3:.1f} ms",
            size(row["peak_rss_bytes"]), f"{row['page_faults']:,.0f}",
        ))
    title = (f"{trace}: {operations:,} operations of {tools.program_name(figures)}, {counted(threads, 'thread')}; "
             f"medians of {first['runs']}\n")
    text = title + columns(table)
    for name, row in rows.items():
        if row["refused"]:
            text += f"  {name} refused {row['refused']:,} operations that the recorded allocator granted\n"
    return text
