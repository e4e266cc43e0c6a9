"""Checks of a running process: is HAKMEM in it, does it serve malloc, and with which options?"""

from __future__ import annotations

import os
import re
from typing import Iterator

from tools.hakmem_lib.doctor.finding import NOTHING, Finding, note, problem, warning
from tools.hakmem_lib.doctor.subject import Process, Subject

_OTHERS = re.compile("jemalloc|tcmalloc|mimalloc|snmalloc|malloc_debug|efence|duma")


def _preloads(subject: Subject) -> list[str]:
    return [word for word in re.split("[: ]", subject.program.environment.get("LD_PRELOAD", "")) if word]


def check_loaded(subject: Subject) -> Iterator[Finding]:
    """In its maps, and first in the order of look-up."""
    process, program = subject.process, subject.program
    if process is None:
        return
    if process.valgrind:
        yield problem("active", "the process runs under valgrind, which replaces malloc", "run it without valgrind")
    elif process.hakmem_path:
        yield from _check_active(subject, process)
    elif not program.main.has_hakmem:
        yield from _check_absent(subject, process)


def _check_active(subject: Subject, process: Process) -> Iterator[Finding]:
    where = f"HAKMEM{' ' + subject.version if subject.version else ''} ({process.hakmem_path})"
    if "malloc" in subject.program.main.exported:
        return  # own-allocator says it
    if process.malloc_file and process.malloc_file.removesuffix(" (deleted)") != process.hakmem_path:
        yield problem(
            "active",
            f"{where} is loaded, but the program's malloc is that of {process.malloc_file}",
            "put HAKMEM first in LD_PRELOAD",
        )
        return
    seen = "the program's malloc is its" if process.malloc_file else "nothing comes before it"
    yield note("active", f"{where} is loaded; {seen}", NOTHING)
    if process.hakmem_is_deleted:
        yield note(
            "active",
            f"{process.hakmem_path} has been replaced since: the process runs on the former file",
            "restart it to use the new one",
        )


def _check_absent(subject: Subject, process: Process) -> Iterator[Finding]:
    named = [path for path in _preloads(subject) if "hakmem" in os.path.basename(path)]
    if not named:
        yield problem("active", "HAKMEM is not loaded", "start it with hakmem run, or LD_PRELOAD=libhakmem.so")
        return
    path = f"/proc/{process.pid}/root{named[0]}" if named[0].startswith("/") else named[0]
    if process.is_secure or subject.program.main.is_static:
        reason, fix = "the dynamic linker ignores it here", "see the other findings"
    elif "/" in named[0] and not os.path.exists(path):
        reason, fix = "there is no such file now", "correct the path"
    else:
        reason = "the dynamic linker did not take it"
        fix = "its reason is on stderr of the start: a wrong architecture or libc, or no right to read it"
    yield problem("active", f"LD_PRELOAD names {named[0]}, but HAKMEM is not loaded: {reason}", fix)


def check_preload_order(subject: Subject) -> Iterator[Finding]:
    """Another allocator in LD_PRELOAD."""
    others = [path for path in _preloads(subject) if _OTHERS.search(os.path.basename(path))]
    if others:
        yield warning("preload", f"LD_PRELOAD names another allocator, {others[0]}", "preload one allocator only")


def check_options(subject: Subject) -> Iterator[Finding]:
    """HAKMEM's variables."""
    mine = {
        name: value
        for name, value in subject.program.environment.items()
        if name.startswith("HAKMEM_") and not name.startswith(("HAKMEM_TEST_", "HAKMEM_TOOL_"))
    }
    known_names = {"HAKMEM_CONF"} | {f"HAKMEM_{name}" for name in subject.option_names}
    unknown = sorted(set(mine) - known_names) if subject.option_names else []
    for name in unknown:
        yield warning("options", f"{name} is no option of HAKMEM's", "hakmem options lists them")
    known = [f"{name}={value}" for name, value in sorted(mine.items()) if name not in unknown]
    if known:
        yield note("options", f"set by variables: {' '.join(known)}", NOTHING)


CHECKS = (check_loaded, check_preload_order, check_options)
