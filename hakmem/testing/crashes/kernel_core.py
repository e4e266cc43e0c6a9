"""Core files that the kernel writes, for the tests."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import resource
import subprocess
import time
import unittest
from typing import Any, Callable, Mapping, Optional

from hakmem.testing.harness import process
from tools.hakmem_lib.core_file import CoreFile
from tools.hakmem_lib.errors import CommandError

DEFAULT_FILTER = 0x33  # core(5)


def _pattern() -> str:
    """Where core files go, as core(5) describes it."""
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text(encoding="utf-8").rstrip("\n")
    if pattern.startswith("|"):
        raise unittest.SkipTest(f"the kernel hands core files to a program here: {pattern}")
    if not pattern or "%" in os.path.dirname(pattern):
        raise unittest.SkipTest(f"no core file can be found by the pattern {pattern!r}")
    return pattern


def allowing(filter_bits: int = DEFAULT_FILTER, most_bytes: Optional[int] = None) -> Callable[[], None]:
    """For `preexec_fn`: a core file of at most so many bytes, of these kinds of memory."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if hard == 0:
        raise unittest.SkipTest("no process may leave a core file here: the hard limit of ulimit -c is 0")

    if not os.path.exists("/proc/self/coredump_filter"):
        raise unittest.SkipTest("this kernel writes no core files: /proc/self/coredump_filter is not there")

    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (hard if most_bytes is None else most_bytes, hard))
        pathlib.Path("/proc/self/coredump_filter").write_text(hex(filter_bits), encoding="ascii")

    _pattern()
    return prepare


def process_of(path: pathlib.Path) -> int:
    """Whose core file it is."""
    with contextlib.closing(CoreFile(path)) as core:
        return core.pid


def find(folder: pathlib.Path, pid: int, since: float) -> pathlib.Path:
    """The core file of a process that ran in the folder, which is empty but for it."""
    pattern = _pattern()
    if "/" not in pattern:
        found = list(folder.iterdir())
        if len(found) != 1:
            raise AssertionError(f"core files in {folder}: {found}")
        return found[0]
    place = folder / pattern
    for path in place.parent.glob(re.sub(r"%.", "*", place.name) + "*"):
        try:
            if path.stat().st_mtime >= since - 1 and process_of(path) == pid:
                return path
        except (OSError, CommandError):
            continue
    raise unittest.SkipTest(f"the kernel has left no core file as {pattern}")


def crash(
    folder: pathlib.Path, program: pathlib.Path, *arguments: str, env: Mapping[str, str],
    library: pathlib.Path = process.LIBRARY, meanwhile: Callable[[subprocess.Popen[str]], Any] = lambda _: None,
    **limits: int,
) -> tuple[pathlib.Path, str]:  # fmt: skip
    """The core file of a program that ends by a signal in a new folder, and what it said from `meanwhile` on."""
    folder.mkdir()
    since = time.time()
    with subprocess.Popen(
        [program.absolute(), *arguments], env={**env, "LD_PRELOAD": str(library.absolute())}, cwd=folder,
        preexec_fn=allowing(**limits), stdout=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        meanwhile(running)
        assert running.stdout is not None
        said = running.stdout.read()
        if running.wait(process.TIMEOUT_S) >= 0:
            raise AssertionError(f"{program} did not end by a signal: {said}")
    return find(folder, running.pid, since), said
