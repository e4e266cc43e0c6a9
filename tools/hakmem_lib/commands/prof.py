"""hakmem prof: a sampled heap profile of a program, of a running process, or of a file that one has left."""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import NoReturn, Optional

from tools.hakmem_lib import library, memory, output
from tools.hakmem_lib import view as views_of
from tools.hakmem_lib.errors import CommandError, left_over
from tools.hakmem_lib.profile import data, site_rules
from tools.hakmem_lib.profile.report import Report

SUMMARY = "a sampled heap profile: who holds, leaks and pins memory"

# hakmem/instrument/instrument.h
_SAMPLE, _LOOK = 1, 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what follows `hakmem prof`."""
    _add_options(parser)
    parser.add_argument("target", metavar="PID|FILE|PROGRAM", help="a process, a file that HAKMEM_PROFILE_FILE named, or a program to run")
    parser.add_argument("arguments", metavar="ARGS", nargs=argparse.REMAINDER, help="of the program")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-b", "--bytes", type=_bytes, metavar="N", help="bytes between two samples, on average; k, m and g are powers of 1024 (512k)")
    parser.add_argument("-o", "--output", metavar="DIR", help="write heap.pb.gz for pprof, a flame graph of each view, and report.txt")
    parser.add_argument("-s", "--seconds", type=_positive, metavar="N", help="PID: how long to sample (10)")
    parser.add_argument("--older", type=_positive, metavar="SECONDS", help="leak view: only what is older than that")
    parser.add_argument("--top", type=_count, default=10, metavar="N", help="rows of a table (10)")
    parser.add_argument("--site-rules", metavar="FILE", help="write a rule for each call site whose blocks keep half-empty slabs, for HAKMEM_SITE_RULES")
    parser.add_argument("--lib", metavar="PATH", help="libhakmem.so to preload (default: this checkout's, built now)")


class _Behind(argparse.ArgumentParser):
    """Of options that stand behind a process or a file, which takes no arguments of its own."""

    def error(self, message: str) -> NoReturn:
        raise CommandError(message)


def run(options: argparse.Namespace) -> int:
    """Profiles, prints the tables, and writes the files."""
    target = options.target
    if options.arguments and (target.isdecimal() or data.is_profile(target)):
        behind = _Behind(add_help=False)
        _add_options(behind)
        _, rest = behind.parse_known_args(options.arguments, options)
        if rest:
            raise CommandError(left_over(rest[0]))
        options.arguments = []
    if options.output is not None:
        output.make_folder(options.output)
    if options.site_rules is not None:
        site_rules.check(options.site_rules)
    if target.isdecimal():
        _print_all([_of_process(target, options)], options, sys.stdout)
        return 0
    if data.is_profile(target):
        if options.bytes is not None or options.seconds is not None:
            raise CommandError("--bytes and --seconds are for a process; a file has been sampled already")
        _print_all([data.read_file(target)], options, sys.stdout)
        return 0
    return _run_program(options)


# --- a program ---


def _run_program(options: argparse.Namespace) -> int:
    if options.seconds is not None:
        raise CommandError("--seconds is for a process that runs; a program is profiled until it ends")
    path = shutil.which(options.target)
    if path is None:
        if os.path.isfile(options.target) and not os.access(options.target, os.X_OK):
            raise CommandError(f"neither a program nor a heap profile: {options.target}")
        raise CommandError(f"no such program: {options.target}")
    with tempfile.TemporaryDirectory(prefix="hakmem-prof-") as folder:
        environment = library.preloaded(os.environ, library.find(options.lib))
        environment["HAKMEM_PROFILE"] = "1"
        environment["HAKMEM_PROFILE_FILE"] = os.path.join(folder, "%p")
        if options.bytes is not None:
            environment["HAKMEM_PROFILE_BYTES"] = str(options.bytes)
        try:
            process = subprocess.Popen([options.target, *options.arguments], executable=path, env=environment)
        except OSError as error:
            raise CommandError(f"cannot start {options.target}: {error.strerror}") from error
        status = _wait(process)
        profiles = _profiles(folder, process.pid)
    if not profiles:
        raise CommandError(
            f"{options.target} left no profile: it did not end by exit or return, ran without HAKMEM, or allocated too little; "
            "hakmem prof PID reads a process that runs"
        )
    for profile in profiles:
        profile.name = f"{os.path.basename(options.target)} ({profile.pid})" if len(profiles) > 1 else os.path.basename(options.target)
    _print_all(profiles, options, sys.stderr)
    return status if status >= 0 else 128 - status


def _wait(process: subprocess.Popen[bytes]) -> int:
    """As a shell: an interrupt is the program's."""
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, old)


def _profiles(folder: str, pid: int) -> list[data.Profile]:
    """Of the program and of the processes that it has started, its own first; those without samples left out."""
    out = [data.read_file(path) for path in sorted(pathlib.Path(folder).iterdir())]
    out = [profile for profile in out if profile.sites]
    return sorted(out, key=lambda profile: (profile.pid != pid, profile.pid))


# --- a process ---


def _of_process(target: str, options: argparse.Namespace) -> data.Profile:
    try:
        pid = memory.pid_argument(target)
    except argparse.ArgumentTypeError as error:
        raise CommandError(str(error)) from error
    process = memory.LiveProcess(pid)
    view = views_of.attach(process)
    reader = data.Reader(view)
    try:
        wanted, interval = view.control("instrument"), view.control("profile_interval_bytes")
    except KeyError as error:
        raise CommandError(f"{process.name}: its HAKMEM cannot be switched to sampling") from error
    before = reader.read()
    was_on = bool(process.word(wanted) & _SAMPLE)
    old_interval = process.word(interval)
    try:
        if options.bytes is not None:
            _write(process, interval, options.bytes)
        _write(process, wanted, process.word(wanted) | _SAMPLE | _LOOK)
        if not was_on or options.seconds is not None:
            _sleep(process, options.seconds or 10)
        out = reader.read()
    finally:
        if not process.has_ended():
            if not was_on:
                _write(process, wanted, process.word(wanted) & ~_SAMPLE)
            if options.bytes is not None:
                _write(process, interval, old_interval)
    if not out.sites:
        raise CommandError(f"{process.name}: nothing was sampled in that time; sample longer (--seconds) or more often (--bytes)")
    return out if was_on else out.since(before)


def _write(process: memory.LiveProcess, address: int, value: int) -> None:
    process.write(address, value.to_bytes(8, "little"))


def _sleep(process: memory.LiveProcess, seconds: float) -> None:
    """An interrupt ends it early: what has been sampled is shown."""
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            time.sleep(min(0.2, max(end - time.monotonic(), 0)))
            if process.has_ended():
                raise CommandError(f"{process.name} has ended while it was sampled")
    except KeyboardInterrupt:
        pass


# --- both ---


def _print_all(profiles: list[data.Profile], options: argparse.Namespace, to) -> None:  # type: ignore[no-untyped-def]
    older_ms = None if options.older is None else options.older * 1000
    reports = [Report.of(profile, older_ms) for profile in profiles]
    for report in reports:
        is_one_of_many = len(reports) > 1 and options.output is not None
        _print(report, options, to, os.path.join(options.output, str(report.profile.pid)) if is_one_of_many else options.output)
    if options.site_rules is not None:
        print(f"\n{site_rules.save(options.site_rules, reports)}", file=to)


def _print(report: Report, options: argparse.Namespace, to, folder: Optional[str]) -> None:  # type: ignore[no-untyped-def]
    print(report.as_text(options.top), end="", file=to)
    if folder is not None:
        written = report.save(folder, options.top)
        print(f"\nwritten: {', '.join(str(path) for path in written)}", file=to)


_BYTES = re.compile(r"(\d+)([kmg]?)", re.IGNORECASE)


def _bytes(text: str) -> int:
    match = _BYTES.fullmatch(text)
    count = int(match.group(1)) << {"": 0, "k": 10, "m": 20, "g": 30}[match.group(2).lower()] if match else 0
    if not 0 < count <= 1 << 40:
        raise argparse.ArgumentTypeError(f"no number of bytes from 1 to 1024g: {text!r}")
    return count


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"no number of seconds: {text!r}")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"no number of rows: {text!r}")
    return int(text)
