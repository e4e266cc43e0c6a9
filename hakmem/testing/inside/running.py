"""Programs that are looked at while they run."""

from __future__ import annotations

import os
import pathlib
import subprocess
from typing import Any, Optional

from hakmem.testing.harness import process

FOLDER = pathlib.Path("hakmem/testing/inside")


class Running:
    """A program of this folder, between two of its phases: it waits for a line, and says when the next phase is over."""

    def __init__(
        self, program: os.PathLike[str] | str, preload: bool = True, env: Optional[dict[str, str]] = None, **popen: Any
    ) -> None:
        environment = {"PATH": "/usr/bin:/bin", **(env or {})}
        if preload:
            environment["LD_PRELOAD"] = str(process.LIBRARY.absolute())
        self._process = subprocess.Popen(
            [str(pathlib.Path(program).absolute())],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **popen,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self.pid = self._process.pid

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()

    def wait(self) -> int:
        """The status with which it ends."""
        return self._process.wait(process.TIMEOUT_S)

    def reached(self, word: str) -> None:
        """Waits for the end of a phase, which has to be that one."""
        line = self._stdout.readline().strip()
        if line != word:
            raise AssertionError(f"{line!r} instead of {word!r}")

    def go_on(self) -> None:
        """Starts the next phase."""
        self._stdin.write("\n")
        self._stdin.flush()

    def go_to(self, word: str) -> None:
        """The next phase, to its end."""
        self.go_on()
        self.reached(word)
