"""Gathers the facts and makes the findings."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from typing import Optional

from tools.hakmem_lib import library, memory, option_table, view
from tools.hakmem_lib.doctor import checks_process, checks_program, checks_system, subject
from tools.hakmem_lib.doctor.files import Files
from tools.hakmem_lib.doctor.finding import Finding, Severity
from tools.hakmem_lib.doctor.subject import Subject
from tools.hakmem_lib.errors import CommandError

_VERSION = re.compile(rb"hakmem (\d+\.\d+\.\d+)\b")
_ORDER = list(Severity)


def gather(what: str, given_library: Optional[str], plugins: list[str]) -> Subject:
    """Everything about a program, or about a process where `what` is a number. Raises CommandError."""
    if what.isdigit():
        pid = int(what)
        program, process, hakmem, page_bytes = subject.look_at_process(pid, plugins)
        if hakmem is None and given_library is not None:
            hakmem = subject.look_at_file(str(library.find(given_library)))
        machine = dataclasses.replace(subject.look_at_machine(Files(), what), page_bytes=page_bytes)
        path = f"/proc/{pid}/root{process.hakmem_path}" if process.hakmem_path else f"/proc/{pid}/exe"
        names = names_in(pid) if process.hakmem_path or program.main.has_hakmem else known_names()
        return Subject(program, machine, process, hakmem, version_of(path), names)
    program = subject.look_at_program(what, plugins, os.environ)
    path = program.main.path if program.main.has_hakmem else str(library.find(given_library))
    hakmem = program.main if program.main.has_hakmem else subject.look_at_file(path)
    machine = subject.look_at_machine(Files(), "self")
    return Subject(program, machine, None, hakmem, version_of(path), known_names())


def version_of(path: str) -> str:
    """Of the HAKMEM in a file; nothing where it does not say."""
    try:
        match = _VERSION.search(pathlib.Path(path).read_bytes())
    except OSError:
        return ""
    return match[1].decode() if match else ""


def known_names() -> frozenset[str]:
    """Names of the options of this checkout's HAKMEM."""
    return frozenset(option.name for option in option_table.read())


def names_in(pid: int) -> frozenset[str]:
    """Those of the HAKMEM in a process, which may be of another version."""
    try:
        return frozenset(view.options(view.attach(memory.LiveProcess(pid))))
    except CommandError:
        return known_names()


def findings(about: Subject) -> list[Finding]:
    """What the checks find, the worst first."""
    checks = (*checks_process.CHECKS, *checks_program.CHECKS, *checks_system.CHECKS)
    found = [finding for check in checks for finding in check(about)]
    return sorted(found, key=lambda finding: _ORDER.index(finding.severity))
