"""The command line of tools/mutants."""

from __future__ import annotations

import argparse
import fnmatch
import pathlib
import sys
import time

from mutants_lib import mutation as mutation_module
from mutants_lib import report, suite, tree
from mutants_lib.mutation import Mutation, MutationError


def main(arguments: list[str]) -> int:
    """Runs the command; 0 when every fault was noticed, 1 when not, 2 when it could not be tried."""
    own, bazel, flags = _split(arguments)
    options = _parse(own)
    try:
        everything = mutation_module.load(options.list_file)
        chosen = _choose(everything, options.names)
        return _run(everything, chosen, options, bazel, flags)
    except (MutationError, suite.SuiteError, OSError, ValueError) as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 2


def _split(arguments: list[str]) -> tuple[list[str], list[str], list[str]]:
    """The launcher appends `-- BAZEL... -- FLAGS...` to the user's arguments."""
    last = len(arguments) - 1 - arguments[::-1].index("--")
    first = last - 1 - arguments[:last][::-1].index("--")
    return arguments[:first], arguments[first + 1 : last], arguments[last + 1 :]


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/mutants",
        description="Puts one fault at a time into a copy of the allocator and runs the tests until one notices.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults, or shell patterns of names; all by default")
    parser.add_argument("--list", action="store_true", help="list the faults and exit")
    parser.add_argument("--new", action="store_true", help="only those without a result yet")
    parser.add_argument("--write", action="store_true", help="write the table into docs/testing.md as well")
    parser.add_argument(
        "--tree", type=pathlib.Path, default=tree.default_folder(), metavar="DIR", help="where the copy is kept"
    )
    parser.set_defaults(list_file=mutation_module.default_file())
    return parser.parse_args(arguments)


def _choose(everything: list[Mutation], patterns: list[str]) -> list[Mutation]:
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(one.name, pattern) for one in everything):
            raise ValueError(f"no fault is named {pattern}; see --list")
    return [one for one in everything if not patterns or any(fnmatch.fnmatchcase(one.name, p) for p in patterns)]


def _run(
    everything: list[Mutation], chosen: list[Mutation], options: argparse.Namespace, bazel: list[str], flags: list[str]
) -> int:
    if options.list:
        for one in chosen:
            print(f"{one.name:26} {one.kind}: {one.what}")
        return 0
    results = report.Results(tree.REPOSITORY / "mutants-results" / "results.json")
    if options.new:
        chosen = [one for one in chosen if results.of(one) is None]
    copy = tree.Tree(options.tree)
    copy.update(tree.REPOSITORY)
    tests = suite.Suite(copy.folder, bazel, flags)
    try:
        _require_green(tests)
        for number, one in enumerate(chosen, 1):
            print(f"[{number}/{len(chosen)}] {one.name:26} ", end="", flush=True)
            try:
                result = _try(one, copy, tests)
            except suite.SuiteError as error:
                print(f"NOT TRIED: {error}", flush=True)
                continue
            results.add(result)
            print(f"{result.how} {result.test} ({result.seconds} s)" if result.test else "NOT NOTICED", flush=True)
    finally:
        tests.shut_down()
    if options.write:
        text = report.summary(everything, results) + ".\n\n" + report.table(everything, results)
        report.write_between_marks(tree.REPOSITORY / "docs" / "testing.md", text)
    print(report.summary(everything, results))
    return 0 if all(_is_noticed(results, one) for one in everything if one in chosen) else 1


def _is_noticed(results: report.Results, one: Mutation) -> bool:
    result = results.of(one)
    return result is not None and result.test != ""


def _require_green(tests: suite.Suite) -> None:
    """Without a fault nothing may fail, or a failure would say nothing."""
    print("without a fault: ", end="", flush=True)
    failures = tests.run(("//hakmem/...", "//fuzz/...", "//stress/..."))
    if failures:
        raise ValueError(f"{failures[0].test} {failures[0].how} without any fault")
    print("all tests pass", flush=True)


def _try(one: Mutation, copy: tree.Tree, tests: suite.Suite) -> report.Result:
    start = time.monotonic()
    failures: list[suite.Failure] = []
    with copy.mutated(one):
        for targets in one.target_groups():
            failures = tests.run(targets)
            if failures:
                break
    seconds = round(time.monotonic() - start)
    first = failures[0] if failures else suite.Failure("", "")
    return report.Result(one.name, report.digest_of(one), first.test, first.how, seconds)
