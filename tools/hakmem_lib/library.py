"""The library that a program is started on."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import subprocess
import sys
import threading
from typing import Iterator, Mapping, Optional

from tools.hakmem_lib import elf
from tools.hakmem_lib.errors import CommandError

# Not resolved: a test's copy of this file is a link into the checkout, where a test must not build.
_ROOT = pathlib.Path(__file__).absolute().parents[2]
_LONG_S = 2.0
_TARGET = "//hakmem:malloc_preload"


def find(given: Optional[str]) -> pathlib.Path:
    """HAKMEM's library `given`, or the one of this checkout, built where it is not up to date."""
    path = find_any(given) if given else _build()
    if given and elf.MAGIC not in path.read_bytes():
        raise CommandError(f"{path} is no library of HAKMEM's")
    return path


def find_any(given: str) -> pathlib.Path:
    """The library of any allocator."""
    if not os.path.isfile(given):
        raise CommandError(f"no such library: {given}")
    if not os.access(given, os.R_OK):
        raise CommandError(f"cannot read {given}: {os.strerror(errno.EACCES)}")
    path = pathlib.Path(given).resolve()
    if any(character.isspace() or character == ":" for character in str(path)):
        raise CommandError(f"LD_PRELOAD cannot name a path with spaces or colons: {path}")
    return path


def preloaded(environment: Mapping[str, str], *libraries: pathlib.Path) -> dict[str, str]:
    """`environment` with the libraries in front of what is preloaded already."""
    names = [str(library) for library in libraries]
    if environment.get("LD_PRELOAD"):
        names.append(environment["LD_PRELOAD"])
    return {**environment, "LD_PRELOAD": ":".join(names)}


def build(target: str) -> pathlib.Path:
    """Builds a target of this checkout; returns Bazel's folder of outputs."""
    bazel = str(_ROOT / "tools/lib/bazel")
    if not os.access(bazel, os.X_OK):
        raise CommandError(f"cannot build {target}: {_ROOT} is no checkout of HAKMEM; give its place by an option")
    with _said_if_it_takes_long(f"building {target}, which takes a minute or two the first time"):
        built = subprocess.run([bazel, "build", "--noshow_progress", target], capture_output=True, text=True, check=False)
    if built.returncode != 0:
        last = (built.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CommandError(f"could not build {target}: {last}")
    where = subprocess.run([bazel, "info", "bazel-bin"], capture_output=True, text=True, check=False)
    if where.returncode != 0:
        raise CommandError("Bazel does not say where its output is")
    return pathlib.Path(where.stdout.strip())


@contextlib.contextmanager
def _said_if_it_takes_long(what: str) -> Iterator[None]:
    """To whoever waits at a terminal."""
    timer = threading.Timer(_LONG_S, lambda: print(f"hakmem: {what}", file=sys.stderr))
    if sys.stderr.isatty():
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _build() -> pathlib.Path:
    return build(_TARGET) / "hakmem/libhakmem.so"
