"""python3: the whole of its test suite."""

from __future__ import annotations

import contextlib
import os
import re
import xml.etree.ElementTree

from clients_lib.model import ClientError
from clients_lib.programs.python import with_suite
from clients_lib.session import Session, Word
from suites_lib import suite

_PYTHON = "/usr/bin/python3"
_MODULE_TIMEOUT_S = 900
_TIMEOUT_S = 2 * 3600.0
# Modules at a time. More than there are processors fails tests that measure time.
_JOBS = max(2, min(os.cpu_count() or 2, 8))

# What is left out, and why it tells nothing about an allocator, or nothing that another module does not tell.
LEFT_OUT = {
    "test_distutils": "compiles extensions",
    "test_ensurepip": "needs pip's archives, which Debian removes",
    "test_gdb": "runs gdb on a Python with debug symbols",
    "test_lib2to3": "parses Debian's whole library, minutes",
    "test_multiprocessing_forkserver": "minutes of waiting; tools/clients runs the fork variant",
    "test_multiprocessing_spawn": "minutes of waiting; tools/clients runs the fork variant",
    "test_peg_generator": "compiles extensions",
    "test_regrtest": "tests the test runner",
    "test_tools": "needs the source tree",
    "test_venv": "needs pip's archives, which Debian removes",
}
QUICK = (
    "test_array test_bytes test_capi test_collections test_ctypes test_deque test_dict test_faulthandler test_fork1 test_gc "
    "test_io test_json test_list test_memoryview test_mmap test_pickle test_re test_resource test_sqlite3 test_struct "
    "test_subprocess test_thread test_threading test_tracemalloc test_unicode test_zlib"
).split()
_SUMMARY = re.compile(r"^(\d+) tests? (failed|altered the execution environment)[^:]*:\n((?: {4}.*\n)+)", re.MULTILINE)


def outcomes(junit: bytes) -> dict[str, str]:
    """Outcome of each test, "module: Class.test"; from a file of `--junit-xml`. A name that occurs twice counts once."""
    found: dict[str, str] = {}
    for case in xml.etree.ElementTree.fromstring(junit).iter("testcase"):
        children = {child.tag for child in case}
        outcome = suite.SKIPPED if "skipped" in children else suite.PASSED
        if children & {"failure", "error"}:
            outcome = suite.FAILED
        name = case.get("name", "?")
        if found.get(name) != suite.FAILED:
            found[name] = outcome
    return found


def failed_modules(log: str) -> list[str]:
    """The modules that the runner's closing lines name as failed: crashed and hung ones are in no junit file."""
    return sorted({name for _, kind, names in _SUMMARY.findall(log) if kind == "failed" for name in names.split()})


def module_of(name: str) -> str:
    """The module that a check belongs to, as the runner names it."""
    match = re.match(r"(?:module |test\.)?(test_\w+)", name)
    return match.group(1) if match else ""


class _PythonSuite(suite.Suite):
    programs = {_PYTHON: "python3"}
    package = "python3.11"
    env: dict[str, str] = {}

    def missing_packages(self) -> list[str]:
        return with_suite(super().missing_packages())

    def run(self, session: Session) -> None:
        self._modules(session, QUICK if self.quick else ["-x", *LEFT_OUT])

    def again(self, session: Session, names: list[str]) -> None:
        modules = sorted({module_of(name) for name in names} - {""})
        if modules:
            self._modules(session, modules)
        else:
            self.run(session)  # no module named: the runner itself died

    def _modules(self, session: Session, words: list[str]) -> None:
        user = suite.unprivileged()
        home = suite.home_for(session, user)
        junit = home / "junit.xml"
        argv: list[Word] = [_PYTHON, "-m", "test", f"-j{_JOBS}", "--timeout", str(_MODULE_TIMEOUT_S), "--junit-xml", junit]
        env = {"HOME": str(home), "TMPDIR": str(home), **self.env}
        log = session.step("suite", [*argv, *words], env=env, cwd=home, user=user, expect=None, timeout_s=_TIMEOUT_S)
        with contextlib.suppress(FileNotFoundError):
            for name, outcome in outcomes(junit.read_bytes()).items():
                suite.check(session, name, outcome)
        failed = failed_modules(log.decode("utf-8", "replace"))
        for name in failed:
            suite.check(session, f"module {name}", False)
        # Without its last word the runner died, and so did the checks that would have come.
        if "Tests result:" not in log.decode("utf-8", "replace"):
            raise ClientError("the test runner did not end")


@suite.register
class Python(_PythonSuite):
    """Small objects come from Python's own allocator, the rest from malloc."""

    name = "python3"
    summary = "`python3 -m test`, all modules but ten, without the network."


@suite.register
class PythonMalloc(_PythonSuite):
    """Every object is a block of malloc's."""

    name = "python3-malloc"
    summary = "the same with PYTHONMALLOC=malloc: every object is a block of malloc's."
    env = {"PYTHONMALLOC": "malloc"}
