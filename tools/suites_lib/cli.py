"""The command line of tools/suites."""

from __future__ import annotations

import argparse
import fnmatch
import pathlib
import sys
import tempfile

from clients_lib import packages, preload, processes
from clients_lib.model import Mode
from suites_lib import page, programs
from suites_lib.runner import SuiteResult, SuiteRunner
from suites_lib.suite import Suite, all_suites

_PAGE = preload.REPOSITORY / "docs/suites.md"


def main(arguments: list[str]) -> int:
    """Runs the command; 0 when no check fails that passes on libc, 1 when one does, 2 when nothing could be run."""
    options = _parse(arguments)
    programs.load_all()
    try:
        chosen = _choose(options.names)
    except ValueError as error:
        return _cannot(str(error))
    if options.list:
        for one in chosen:
            print(f"{one.name:16} {one.summary}")
        return 0
    lacking = packages.still_missing_for_runner(not options.no_install)
    if lacking:
        return _cannot(f"missing Debian packages: {' '.join(lacking)}")
    processes.adopt_orphans()
    processes.clean_up_when_stopped()
    with tempfile.TemporaryDirectory(prefix="hakmem-preload-") as folder:
        pathlib.Path(folder).chmod(0o755)
        try:
            mode = preload.chosen(options.lib, pathlib.Path(folder))
        except preload.PreloadError as error:
            return _cannot(str(error))
        results = _run_all(chosen, mode, options)
    return _report(results, options)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/suites",
        description="Runs test suites and loads of other projects on libc's malloc and on HAKMEM by LD_PRELOAD. "
        "Fails where a check fails on HAKMEM that passes on libc's. Writes its rows of docs/suites.md.",
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="suites to run, shell patterns too; all of them if none")
    parser.add_argument("--list", action="store_true", help="list the suites and exit")
    parser.add_argument("--quick", action="store_true", help="a short choice of each; docs/suites.md is left alone")
    parser.add_argument("--lib", metavar="PATH", help="another .so to preload; 'libc' compares libc with itself")
    parser.add_argument("--no-install", action="store_true", help="skip suites whose programs are missing")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=pathlib.Path,
        default=preload.REPOSITORY / "suites-results",
        help="where results and evidence go (default: suites-results)",
    )
    return parser.parse_args(arguments)


def _choose(patterns: list[str]) -> list[Suite]:
    everything = all_suites()
    for pattern in patterns:
        if not any(fnmatch.fnmatch(one.name, pattern) for one in everything):
            raise ValueError(f"no suite is called {pattern}; see --list")
    return [one for one in everything if not patterns or any(fnmatch.fnmatch(one.name, p) for p in patterns)]


def _run_all(chosen: list[Suite], mode: Mode, options: argparse.Namespace) -> list[SuiteResult]:
    results: list[SuiteResult] = []
    with SuiteRunner(mode, not options.no_install, options.out) as runner:
        for one in chosen:
            one.quick = options.quick
            print(f"{one.name:16} ", end="", file=sys.stderr, flush=True)
            results.append(runner.measure(one))
            print(_in_words(results[-1]), file=sys.stderr, flush=True)
            # Written after each suite: an interrupted command leaves what it has.
            page.write_json(options.out, results)
            if not options.quick and not options.lib and results[-1].verdict:
                order = [suite.name for suite in all_suites()]
                text = _PAGE.read_text(encoding="utf-8")
                _PAGE.write_text(page.updated(text, results[-1:], order), encoding="utf-8")
    return results


def _in_words(result: SuiteResult) -> str:
    if result.verdict is None:
        return result.detail
    return f"{result.verdict.ran:,} checks, {len(result.verdict.new)} new failures"


def _report(results: list[SuiteResult], options: argparse.Namespace) -> int:
    print("\n" + page.text_table(results) + "\n")
    for result in results:
        for remark in page.remarks(result):
            print(f"{result.suite.name}: {remark}")
    print(f"details: {options.out}/results.json")
    counted = [result for result in results if result.verdict or not options.no_install]
    passed = sum(result.passed for result in counted)
    print(f"{passed} passed, {len(counted) - passed} failed")
    if not counted:
        return 2
    return 0 if passed == len(counted) else 1


def _cannot(reason: str) -> int:
    print(f"suites: {reason}", file=sys.stderr)
    return 2
