"""Starts the programs under test and tells how they ended."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
import subprocess
from typing import Any, Mapping, Optional, Sequence

# Seconds after which a program hangs. Far above what any needs, on a loaded machine too.
TIMEOUT_S = 120
LIBRARY = pathlib.Path("hakmem/libhakmem.so")


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


def run(
    program: os.PathLike[str] | str,
    *args: str,
    env: Optional[Mapping[str, str]] = None,
    preload: Sequence[os.PathLike[str] | str] = (),
    **popen: Any,
) -> Outcome:
    """Runs a program in an environment of PATH and `env` only, with these libraries preloaded."""
    command = [str(pathlib.Path(program).absolute()), *args]
    environment = {"PATH": "/usr/bin:/bin", **(env or {})}
    if preload:
        environment["LD_PRELOAD"] = ":".join(str(pathlib.Path(library).absolute()) for library in preload)
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT_S,
        check=False,
        **popen,
    )
    return Outcome(" ".join([pathlib.Path(program).name, *args]), done.returncode, done.stdout, done.stderr)
