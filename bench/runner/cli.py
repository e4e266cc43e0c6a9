"""The command line of tools/bench."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.real import catalog
from bench.real.programs import Programs
from bench.runner import allocators, machine, measure, programs, report, rows, session
from bench.runner.allocators import OURS, Allocator
from bench.runner.errors import BenchError, UsageError
from bench.runner.progress import Progress
from bench.runner.results import Results
from bench.runner.session import Plan, Session

_EXIT_OK, _EXIT_FAILED, _EXIT_USAGE, _EXIT_INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str], root: Path) -> int:
    """Runs tools/bench with the arguments `argv` on the repository at `root`. Returns the exit status."""
    options = _parser().parse_args(argv)
    try:
        if options.list:
            return _list_rows(_select_rows(options.only, is_full=True))
        return _bench(options, root)
    except UsageError as error:
        print(f"bench: {error}", file=sys.stderr)
        return _EXIT_USAGE
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return _EXIT_FAILED
    except KeyboardInterrupt:
        print("bench: interrupted before anything was measured", file=sys.stderr)
        return _EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/bench", description="Measures HAKMEM beside other allocators, interleaved, and reports medians.",
        epilog="See bench/README.md for the rows and for how to read the tables.")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quick", action="store_true", help="under five minutes (the default); no real programs")
    amount.add_argument("--full", action="store_true", help="longer runs, more repeats, real programs too")
    parser.add_argument("--only", metavar="PATTERN",
                        help="rows whose name holds or whose group is PATTERN; globs and comma-separated lists too; "
                        f"'{rows.REAL}' for the real programs")
    parser.add_argument("--peers", metavar="A,B", help="peers to compare with: "
                        f"{','.join(allocators.peer_names())} (all); an empty list for none")
    parser.add_argument("--lib", metavar="NAME=PATH", action="append", default=[],
                        help=f"one more allocator, preloaded from PATH; {OURS}=PATH replaces our own build")
    parser.add_argument("--repeat", metavar="N", type=_repeats, help="runs of each cell")
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("bench-results"),
                        help="folder for results.csv, results.json, results.md and index.html (bench-results)")
    parser.add_argument("--programs", metavar="DIR", type=Path,
                        help="programs already built; builds nothing, and measures HAKMEM only if given by --lib")
    parser.add_argument("--list", action="store_true", help="print the rows and end")
    return parser


def _repeats(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 to 1000")
    return int(text)


def _list_rows(selected: list[rows.Row]) -> int:
    for row in selected:
        print(f"{row.name:20} {row.group:9} {row.clock.value:5} {row.about}")
    return _EXIT_OK


def _select_rows(pattern: str | None, is_full: bool) -> list[rows.Row]:
    """The rows that `pattern` names; of those it need not name, the long ones only if `is_full`."""
    everything = [*rows.ROWS, *catalog.ROWS]
    is_all = pattern is not None or is_full
    selected = rows.select(pattern, everything if is_all else [row for row in everything if not row.full_only])
    unknown = [part for part in (pattern or "").split(",") if part and not rows.select(part, everything)]
    if unknown or not selected:
        raise UsageError(f"--only: no row matches '{', '.join(unknown)}'; --list shows them")
    return selected


def _plan(options: argparse.Namespace) -> Plan:
    plan = session.FULL if options.full else session.QUICK
    return plan if options.repeat is None else plan.with_repeats(options.repeat)


def _bench(options: argparse.Namespace, root: Path) -> int:
    selected = _select_rows(options.only, options.full)
    micro = [row for row in selected if not row.is_real]
    peers = allocators.parse_peers(options.peers)
    extra = [allocators.parse_library(text) for text in options.lib]
    names = [one.name for one in extra]
    if len(set(names)) != len(names):
        raise UsageError("--lib: a name is given twice")
    folder, ours = _prepare(options.programs, root, OURS in names, bool(micro))
    programs.check(folder, {row.program for row in micro})
    compared = [*ours, *extra, *allocators.find_peers(peers)]
    if not compared:
        raise UsageError("nothing to measure: neither --peers nor --lib names an allocator")

    plan = _plan(options)
    results = Results(selected, compared, plan.repeats)
    described = machine.describe(root)
    is_complete = _measure(plan, results, folder)
    if len(micro) < len(selected):
        # Afterwards: they are installed by then.
        described["programs"] = catalog.versions(one for one in catalog.PROGRAMS if one.row in selected)
    paths = report.write_all(options.out, results, plan, described, is_complete)
    print(report.to_markdown(results, plan, described, is_complete))
    print(f"bench: wrote {', '.join(str(path) for path in paths)}", file=sys.stderr)
    return _EXIT_OK if is_complete else _EXIT_INTERRUPTED


def _prepare(folder: Path | None, root: Path, is_replaced: bool, has_micro: bool) -> tuple[Path, list[Allocator]]:
    """The folder of programs and our own library, built where they are needed, unless --programs says otherwise."""
    if folder is not None:
        return folder.absolute(), []
    targets = [*([] if is_replaced else [programs.LIBRARY]), *([programs.SUITE] if has_micro else [])]
    if targets:
        print(f"bench: building {' '.join(targets)}", file=sys.stderr)
        programs.build(root, targets)
    ours = [] if is_replaced else [allocators.own_library(OURS, str(programs.built_library(root)))]
    return programs.built_programs(root), ours


def _measure(plan: Plan, results: Results, folder: Path) -> bool:
    """Fills `results`; false where Ctrl-C or SIGTERM cut it short."""
    signal.signal(signal.SIGTERM, _interrupt)
    progress = Progress()
    with Programs(one for one in catalog.PROGRAMS if one.row in results.rows) as real:
        def run_once(row: rows.Row, allocator: Allocator, seconds: float) -> measure.Sample | measure.Failure:
            return real.run_once(row, allocator) if row.is_real else measure.run_once(folder, row, allocator, seconds)

        try:
            Session(plan, results, run_once, progress).run()
        except KeyboardInterrupt:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # writing takes a moment and is worth it
            progress.say("interrupted; writing what was measured so far")
            return False
    return True


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
