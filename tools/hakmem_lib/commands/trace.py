"""hakmem trace: every allocation of a program into a file, and what the file says."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import sys

from tools.hakmem_lib import library
from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.output import check_file
from tools.hakmem_lib.text import columns, counted
from tools.hakmem_lib.traces import columns as allocators
from tools.hakmem_lib.traces import summary, tools

SUMMARY = "record every allocation of a program, or say what a trace has"
_MAGIC = b"HAKTRACE"
_SHOWN = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what follows `hakmem trace`."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("-o", "--output", metavar="TRACE", help="file to write (default: PROGRAM.trace); other processes "
                      "that the program starts write TRACE.PID")
    what.add_argument("--summary", metavar="TRACE", help="say what a trace has: sizes, lifetimes, threads, growth")
    what.add_argument("--compare", metavar="TRACE", nargs=2, help="say whether two traces have the same operations; status 1: not")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--allocator", metavar="NAME", help=f"what to run on (default: {allocators.OURS}): "
                        f"{', '.join(allocators.names())}")
    parser.add_argument("--lib", metavar="PATH", help="the allocator's library")
    parser.add_argument("--tools", metavar="FOLDER", help=tools.TOOLS_HELP)
    parser.add_argument("program", metavar="PROGRAM", nargs="?", help="what to run; its own options follow it")
    parser.add_argument("arguments", metavar="ARGS", nargs=argparse.REMAINDER)


def run(options: argparse.Namespace) -> int:
    """Records, summarises or compares."""
    looks = [options.summary] if options.summary else options.compare or []
    if looks and options.program is not None:
        raise CommandError(f"{options.program}: nothing is recorded with --summary or --compare")
    for trace in looks:
        tools.check_readable(trace)
    if options.summary:
        return _summarise(tools.find(options.tools), options.summary, options.json)
    if options.compare:
        return _compare(tools.find(options.tools), *options.compare, options.json)
    if options.program is None:
        raise CommandError("nothing to do: name a program, --summary or --compare")
    return _record(options)


def _summarise(found: tools.Tools, trace: str, as_json: bool) -> int:
    figures = tools.summary(found, trace)
    remark = tools.remark(trace, figures)
    if remark:
        print(f"hakmem trace: {remark}", file=sys.stderr)
    print(json.dumps(figures, indent=2) if as_json else summary.as_text(trace, figures), end="\n" if as_json else "")
    return 0


def _compare(found: tools.Tools, left: str, right: str, as_json: bool) -> int:
    outcome = tools.ask(found, "--compare", left, right, statuses=(0, 1))
    if as_json:
        print(json.dumps(outcome))
    elif outcome["same"]:
        print(f"the same {outcome['operations']:,} operations by {counted(outcome['threads'], 'thread')}")
    else:
        print(f"different from operation {outcome['operation']:,} of thread {outcome['thread']:,} on")
    return 0 if outcome["same"] else 1


# --- recording ---


def _record(options: argparse.Namespace) -> int:
    program = shutil.which(options.program)
    if program is None:
        raise CommandError(f"no such program: {options.program}")
    named = pathlib.Path(options.output or f"{pathlib.Path(options.program).name}.trace")
    output = named.absolute()  # the program may go elsewhere
    _make_way(output)
    found = tools.find(options.tools)
    column = allocators.one(options.allocator, options.lib)
    libraries = [found.recorder, *map(pathlib.Path, column.libraries)]
    environment = library.preloaded({**os.environ, "HAKTRACE_FILE": str(output)}, *libraries)
    status = _wait(_start(program, [options.program, *options.arguments], environment))
    _report(found, output, named.parent)
    return status


def _traces(output: pathlib.Path) -> list[pathlib.Path]:
    """The trace of the program and those of other processes, in the order of their names."""
    name = re.compile(re.escape(output.name) + r"(\.\d+){0,2}")
    try:
        return sorted(path for path in output.parent.iterdir() if name.fullmatch(path.name))
    except OSError as error:
        raise CommandError(f"cannot write {output}: {error.strerror}") from error


def _is_trace(path: pathlib.Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) in (_MAGIC, b"")


def _make_way(output: pathlib.Path) -> None:
    """Removes the traces of an earlier run; refuses where something else has the name."""
    check_file(output)
    for path in _traces(output):
        try:
            if not path.is_file() or not _is_trace(path):
                raise CommandError(f"{path} is there, and no trace: it stays")
            path.unlink()
        except OSError as error:
            raise CommandError(f"cannot replace {path}: {error.strerror}") from error


def _start(program: str, arguments: list[str], environment: dict[str, str]) -> int:
    """The process, which knows its own PID before it becomes the program: its trace is the one without a PID."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child != 0:
        return child
    try:
        os.execve(program, arguments, {**environment, "HAKTRACE_PID": str(os.getpid())})
    except OSError as error:
        print(f"hakmem trace: cannot start {arguments[0]}: {error.strerror}", file=sys.stderr)
    finally:
        os._exit(2)


def _wait(child: int) -> int:
    """The status as a shell would have it. An interrupt is for the program."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        signal.signal(signal.SIGINT, before)
    return 128 - status if status < 0 else status


def _report(found: tools.Tools, output: pathlib.Path, folder: pathlib.Path) -> None:
    """The traces with the most operations, under the names that lead to them from here."""
    traces = [(path, tools.summary(found, path)) for path in _traces(output)]
    traces.sort(key=lambda trace: -trace[1]["operations"])
    rows = []
    for path, figures in traces[:_SHOWN]:
        operations = figures["operations"]
        each = figures["records_bytes"] / operations if operations else 0
        how = "" if figures["has_exited"] else "did not end by exit()"
        row = (str(folder / path.name), tools.program_name(figures), counted(operations, "operation"), f"{each:.1f} bytes each")
        rows.append((*row, how))
    text = columns(rows, indent=0, left=2)
    if traces[_SHOWN:]:
        rest = sum(figures["operations"] for _, figures in traces[_SHOWN:])
        text += f"and {counted(len(traces) - _SHOWN, 'more trace')} with {counted(rest, 'operation')}: {folder / output.name}.*\n"
    print(text or "hakmem trace: nothing was recorded: the program is static, set-user-ID, or allocates nothing\n", end="", file=sys.stderr)
