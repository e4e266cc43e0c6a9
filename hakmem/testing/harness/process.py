"""Starts the programs under test and tells how they ended.

HAKMEM_TEST_EMULATOR in the environment: they are for another processor, and this command line of qemu-user runs them.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import unittest
from typing import Any, Mapping, Optional, Sequence

# Seconds after which a program hangs. Far above what any needs, on a loaded machine too.
TIMEOUT_S = 120
LIBRARY = pathlib.Path("hakmem/libhakmem.so")
EMULATOR = os.environ.get("HAKMEM_TEST_EMULATOR", "").split()
_ADDR_NO_RANDOMIZE = 0x0040000  # sys/personality.h
EMULATED_PAGE_BYTES = int(os.environ.get("HAKMEM_TEST_PAGE_BYTES", "4096"))
# What qemu itself says of a program that a signal ends, and this machine's linker where the program executes others.
_REMARKS = re.compile(r"^(?:qemu: uncaught target signal|ERROR: ld\.so: object '.*' from LD_).*\n", re.MULTILINE)

# The tests of tools/world musl. C++ programs are not built there, nor those that need what glibc alone has.
IS_MUSL = os.environ.get("HAKMEM_TEST_LIBC") == "musl"


def not_on_musl(why: str) -> Any:
    """Skips a test where libc is musl."""
    return unittest.skipIf(IS_MUSL, f"on musl: {why}")


def not_emulated(why: str) -> Any:
    """Skips a test where an emulator runs the programs."""
    return unittest.skipIf(EMULATOR, f"under qemu-user: {why}")


def skip_emulated(why: str) -> None:
    """Skips all tests of a module, in its setUpModule, where an emulator runs the programs."""
    if EMULATOR:
        raise unittest.SkipTest(f"under qemu-user: {why}")


def not_emulated_with_large_pages(why: str) -> Any:
    """Skips a test where an emulator runs the programs with pages larger than the machine's."""
    return unittest.skipIf(EMULATOR and EMULATED_PAGE_BYTES > 4096, f"under qemu-user, large pages: {why}")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a program ended. `status` is the exit status, or minus the signal that killed it."""

    command: str
    status: int
    stdout: str
    stderr: str

    @property
    def signal_name(self) -> str:
        """SIGABRT and the like, or nothing for a program that ended by itself."""
        return signal.Signals(-self.status).name if self.status < 0 else ""

    def __str__(self) -> str:
        ended = self.signal_name or f"status {self.status}"
        return f"`{self.command}` ended with {ended}\n--- stdout\n{self.stdout}--- stderr\n{self.stderr}---"


def fix_addresses() -> None:
    """For `preexec_fn`: no random addresses, where the kernel allows it. What lies next to a mapping is then always the
    same. One heap in 400 would lie across a multiple of 4 GiB, and have a leaf of the registry, a MiB, beside it."""
    ctypes.CDLL(None).personality(_ADDR_NO_RANDOMIZE)


def run(
    program: os.PathLike[str] | str,
    *args: str,
    env: Optional[Mapping[str, str]] = None,
    preload: Sequence[os.PathLike[str] | str] = (),
    timeout_s: float = TIMEOUT_S,
    **popen: Any,
) -> Outcome:
    """Runs a program in an environment of PATH and `env` only, with these libraries preloaded."""
    command = [str(pathlib.Path(program).absolute()), *args]
    environment = {"PATH": "/usr/bin:/bin", **(env or {})}
    if preload:
        environment["LD_PRELOAD"] = ":".join(str(pathlib.Path(library).absolute()) for library in preload)
    if EMULATOR:
        # What is for the guest's dynamic linker must not reach that of the emulator.
        for_linker = [name for name in environment if name.startswith("LD_")]
        settings = [part for name in for_linker for part in ("-E", f"{name}={environment.pop(name)}")]
        command = [*EMULATOR, *settings, *command]
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
        **popen,
    )
    stderr = _REMARKS.sub("", done.stderr) if EMULATOR else done.stderr
    return Outcome(" ".join([pathlib.Path(program).name, *args]), done.returncode, done.stdout, stderr)
