"""The command line of tools/clients."""

from __future__ import annotations

import argparse
import fnmatch
import pathlib
import sys
import tempfile

from clients_lib import client, packages, preload, processes, programs, report, runner
from clients_lib.model import ClientResult, Mode


def main(arguments: list[str]) -> int:
    """Runs the command; 0 when all clients that ran are equal, 1 when not, 2 when none could be run."""
    options = _parse(arguments)
    programs.load_all()
    chosen = _choose(options.only)
    if options.list:
        for one in chosen:
            print(f"{one.name:20} {one.summary}")
        return 0
    if not chosen:
        return _cannot(f"no client matches {options.only}; see --list")
    lacking = packages.still_missing_for_runner(not options.no_install)
    if lacking:
        return _cannot(f"missing Debian packages: {' '.join(lacking)}")
    if options.no_install is False and not packages.can_install():
        needed = sorted({package for one in chosen for package in one.missing_packages()})
        if needed:
            return _cannot(f"not root, so these Debian packages are to be installed first: {' '.join(needed)}")
    processes.adopt_orphans()
    processes.clean_up_when_stopped()
    with tempfile.TemporaryDirectory(prefix="hakmem-preload-") as folder:
        pathlib.Path(folder).chmod(0o755)
        try:
            mode = preload.chosen(options.lib, pathlib.Path(folder))
        except preload.PreloadError as error:
            return _cannot(str(error))
        results = _run_all(chosen, mode, options)
    print("\n" + report.text_table(results) + "\n")
    _print_reasons(results)
    print(f"details: {options.out}/results.md, results.json")
    print(report.count_line(results))
    counted = [result for result in results if result.counted]
    return 0 if counted and all(result.passed for result in counted) else 1


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/clients",
        description="Runs real programs on libc's malloc and on HAKMEM by LD_PRELOAD, and compares them.",
    )
    parser.add_argument("--only", metavar="PATTERN", help="clients to run, shell patterns with commas: 'python3*,git'")
    parser.add_argument("--lib", metavar="PATH", help="another .so to preload; 'libc' compares libc with itself")
    parser.add_argument("--repeat", metavar="N", type=int, default=1, help="runs a mode; figures are medians")
    parser.add_argument("--list", action="store_true", help="list the clients and exit")
    parser.add_argument("--no-install", action="store_true", help="skip clients whose programs are missing")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=pathlib.Path,
        default=preload.REPOSITORY / "clients-results",
        help="where results and evidence go (default: clients-results)",
    )
    options = parser.parse_args(arguments)
    if options.repeat < 1:
        parser.error("--repeat needs at least 1")
    return options


def _choose(patterns: str | None) -> list[client.Client]:
    everything = client.all_clients()
    if not patterns:
        return everything
    return [c for c in everything if any(fnmatch.fnmatch(c.name, p) for p in patterns.split(","))]


def _run_all(chosen: list[client.Client], mode: Mode, options: argparse.Namespace) -> list[ClientResult]:
    results: list[ClientResult] = []
    with runner.Runner(mode, options.repeat, not options.no_install, options.out) as run:
        for one in chosen:
            print(f"{one.name:20} ", end="", file=sys.stderr, flush=True)
            results.append(run.run(one))
            print(results[-1].verdict, file=sys.stderr, flush=True)
            # Written after each client: an interrupted command leaves what it has.
            report.write(options.out, results, mode.name, options.repeat)
    return results


def _print_reasons(results: list[ClientResult]) -> None:
    for result in results:
        if not result.passed:
            print(f"{result.name}: {result.verdict}: {result.detail}")
    for result in results:
        for note in result.notes:
            print(f"{result.name}: note: {note}")


def _cannot(reason: str) -> int:
    print(f"clients: {reason}", file=sys.stderr)
    return 2
