"""Building the benchmark programs and our library, and finding what was built."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from bench.runner.errors import BenchError

#: What `tools/bench` builds.
SUITE = "//bench/..."
LIBRARY = "//hakmem:malloc_preload"

_PROGRAMS = "bazel-bin/bench/programs"
_LIBRARY = "bazel-bin/hakmem/libhakmem.so"


def build(root: Path, targets: Iterable[str]) -> None:
    """Runs `bazel build`; its output goes to stderr."""
    arguments = ["build", "--noshow_progress", *targets]
    done = subprocess.run([*_bazel(), *arguments], cwd=root, stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise BenchError(f"'bazel {' '.join(arguments)}' failed with status {done.returncode}")


def _bazel() -> list[str]:
    """The command tools/bench found, or one on the path where this package is run directly."""
    command = shlex.split(os.environ.get("BENCH_BAZEL", ""))
    found = command[0] if command else shutil.which("bazel") or shutil.which("bazelisk")
    if found is None:
        raise BenchError("bazel not found: install it (Debian: apt-get install bazel-bootstrap), "
                         "or name a folder with built programs by --programs")
    return command or [found]


def built_programs(root: Path) -> Path:
    """The folder in which bazel left the programs: the real one, as bazel-bin moves with each configuration built."""
    return (root / _PROGRAMS).resolve()


def built_library(root: Path) -> Path:
    """The shared library in which bazel left our malloc."""
    return (root / _LIBRARY).resolve()


def check(folder: Path, names: Iterable[str]) -> None:
    """Raises BenchError where a program is missing in `folder`."""
    missing = [name for name in names if not os.access(folder / name, os.X_OK)]
    if missing:
        raise BenchError(f"{folder}: no such program there: {', '.join(missing)}")
