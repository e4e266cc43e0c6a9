"""The results folder: what tools/fuzz keeps between runs.

    totals.json          what was fuzzed so far          summary.json     the last run
    bin/CONFIG/TARGET    the programs of the last run    corpus/TARGET/   inputs found, and the committed ones
    found/TARGET/job-N/  what libFuzzer writes on a crash, until it is filed
    crashes/TARGET/NAME/ all inputs of one crash as they were found, log.txt, and minimised if that succeeded
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pathlib
import shutil
from typing import IO, Optional

from fuzz_lib.errors import FuzzError
from fuzz_lib.targets import Target

MINIMISED = "minimised"
LOG = "log.txt"


class Results:
    """Paths, and moves that never leave an input without a name."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder.absolute()
        self._lock: Optional[IO[str]] = None

    @property
    def totals(self) -> pathlib.Path:
        """The figures over all runs."""
        return self.folder / "totals.json"

    @property
    def summary(self) -> pathlib.Path:
        """The figures of the last run."""
        return self.folder / "summary.json"

    def corpus(self, target: Target) -> pathlib.Path:
        """Where libFuzzer reads and writes inputs."""
        return self.folder / "corpus" / target.name

    def found(self, target: Target) -> pathlib.Path:
        """Where libFuzzer writes inputs that crash."""
        return self.folder / "found" / target.name

    def crash(self, target: Target, name: str) -> pathlib.Path:
        """All about one crash."""
        return self.folder / "crashes" / target.name / name

    def claim(self) -> None:
        """Makes this process the only one that uses the folder, until it ends."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.folder / "lock", "w", encoding="utf-8")  # pylint: disable=consider-using-with
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FuzzError(f"another tools/fuzz is using {self.folder}") from None
        except OSError as error:
            raise FuzzError(f"cannot use {self.folder}: {error.strerror}") from None

    def release(self) -> None:
        """Lets others use the folder."""
        if self._lock:
            self._lock.close()

    def prepare(self, target: Target) -> None:
        """Makes the target's folders and puts the committed inputs into its corpus."""
        for folder in (self.corpus(target), self.found(target)):
            folder.mkdir(parents=True, exist_ok=True)
        for seed in target.seeds():
            content = seed.read_bytes()
            place = self.corpus(target) / digest(content)
            if not place.exists():
                place.write_bytes(content)

    def keep_program(self, binary: pathlib.Path, config: str) -> pathlib.Path:
        """A copy of a program, so that a build during the run does not disturb."""
        place = self.folder / "bin" / config / binary.name
        place.parent.mkdir(parents=True, exist_ok=True)
        new = place.with_suffix(".new")
        new.unlink(missing_ok=True)
        shutil.copyfile(binary, new)
        new.chmod(0o755)
        os.replace(new, place)
        return place

    def take_input(self, target: Target, path: pathlib.Path) -> None:
        """Moves an input that passes into the corpus."""
        os.replace(path, self.corpus(target) / digest(path.read_bytes()))

    def take_crash(self, target: Target, name: str, artifact: pathlib.Path, lines: list[str]) -> pathlib.Path:
        """Moves an input that crashes to those of its kind, and out of the corpus. Returns its new place."""
        folder = self.crash(target, name)
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / f"crash-{digest(artifact.read_bytes())}"
        os.replace(artifact, place)
        # In the corpus it would end every later process while that loads its inputs.
        (self.corpus(target) / digest(place.read_bytes())).unlink(missing_ok=True)
        write_log(folder, lines)
        return place


def write_log(folder: pathlib.Path, lines: list[str]) -> None:
    """Keeps the words of the first crash of a kind."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / LOG).exists():
        (folder / LOG).write_text("\n".join(lines) + "\n")


def digest(content: bytes) -> str:
    """The name that libFuzzer gives an input."""
    return hashlib.sha1(content).hexdigest()


def file_regression(target: Target, name: str, content: bytes) -> pathlib.Path:
    """Writes an input among the committed regressions, under the next free form of its name."""
    target.regressions.mkdir(parents=True, exist_ok=True)
    place, number = target.regressions / name, 1
    while place.exists() and place.read_bytes() != content:
        number += 1
        place = target.regressions / f"{name}-{number}"
    place.write_bytes(content)
    return place


def filed_regressions(target: Target, name: str) -> list[pathlib.Path]:
    """The regressions of that name, numbered ones too."""
    if not target.regressions.is_dir():
        return []
    return [path for path in sorted(target.regressions.glob(f"{name}*")) if path.is_file()]
