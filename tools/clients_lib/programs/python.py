"""python3: JSON, object churn on malloc alone, and its own test suite."""

from __future__ import annotations

import pathlib
import re
import xml.etree.ElementTree

from clients_lib.client import WORKLOADS, Client, register
from clients_lib.session import Session, Word

PYTHON = "/usr/bin/python3"
_ONE_LINER = "import json; print(len(json.dumps(list(range(10**6)))))"


def suite_version() -> str:
    """ "3.11" for Debian's Python, "" when there is none."""
    match = re.match(r"python(\d+\.\d+)$", pathlib.Path(PYTHON).resolve().name)
    return match.group(1) if match else ""


def outcomes(junit: bytes) -> bytes:
    """One line a test, "name: outcome", sorted; from a file of `--junit-xml`. Times are left out."""
    lines = []
    for case in xml.etree.ElementTree.fromstring(junit).iter("testcase"):
        outcome = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), None)
        lines.append(f"{case.get('name')}: {outcome or case.get('result', 'completed')}")
    return "\n".join(sorted(lines)).encode()


@register
class Json(Client):
    """The one-liner of the README."""

    name = "python3-json"
    summary = "`json.dumps` of a million integers."
    programs = {PYTHON: "python3"}

    def run(self, session: Session) -> None:
        session.step("json", [PYTHON, "-c", _ONE_LINER])


@register
class Objects(Client):
    """Python's own allocator hides most of malloc; PYTHONMALLOC=malloc takes it away."""

    name = "python3-malloc"
    summary = "Dictionaries, strings, threads, sorting and pickling with PYTHONMALLOC=malloc."
    programs = {PYTHON: "python3"}

    def run(self, session: Session) -> None:
        env = {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}
        session.step("objects", [PYTHON, WORKLOADS / "objects.py"], env=env)


def with_suite(missing: list[str]) -> list[str]:
    """The packages that are missing, and python's test suite where it is."""
    if missing:
        return missing + ["libpython3-testsuite"]
    version = suite_version()
    there = pathlib.Path(f"/usr/lib/python{version}/test/test_json").exists()
    return [] if there else [f"libpython{version}-testsuite"]


class _Suite(Client):
    """Base: modules of Python's test suite, compared test by test."""

    programs = {PYTHON: "python3"}
    normalised = "the test runner's log (timings) is left out; compared are each test's outcome and the exit status"

    def missing_packages(self) -> list[str]:
        return with_suite(super().missing_packages())

    @staticmethod
    def suite(session: Session, label: str, modules: list[str], env: dict[str, str]) -> None:
        """Runs test modules; a test may fail, as long as it fails on both."""
        junit = session.work / "junit.xml"
        junit.unlink(missing_ok=True)
        argv: list[Word] = [PYTHON, "-m", "test", "--timeout", "240", "--junit-xml", junit, *modules]
        session.step(
            label,
            argv,
            env=env,
            expect=None,
            normalise_stdout=lambda _: b"",
            normalise_stderr=lambda _: b"",
        )
        session.observe(f"{label}: outcome of each test", outcomes(junit.read_bytes()))


@register
class Tests(_Suite):
    """The modules that work the allocator most."""

    name = "python3-tests"
    summary = "Python's test_json, test_re, test_gc, test_threading; the first three also with PYTHONMALLOC=malloc."

    def run(self, session: Session) -> None:
        self.suite(session, "pymalloc", ["test_json", "test_re", "test_gc", "test_threading"], {})
        self.suite(session, "malloc", ["test_json", "test_re", "test_gc"], {"PYTHONMALLOC": "malloc"})


@register
class ForkTests(_Suite):
    """fork, threads and pipes, for a minute."""

    name = "python3-fork-tests"
    summary = "Python's test_multiprocessing_fork (a minute, mostly of waiting)."

    def run(self, session: Session) -> None:
        self.suite(session, "fork", ["test_multiprocessing_fork"], {})
