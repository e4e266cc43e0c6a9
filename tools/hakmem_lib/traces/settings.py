"""The options that advise tries: those of the library that has them."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from typing import Mapping, Sequence

from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.traces import tools

_SUFFIXES = ((1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k"))

#: Name without HAKMEM_, and the values worth trying. Where the default is one of them it is left out.
CANDIDATES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("THREAD_CACHE_BYTES", (1 << 20, 4 << 20, 64 << 20)),
    ("SURPLUS_BYTES", (0, 64 << 10, 4 << 20, 32 << 20, 1 << 40)),
    ("DECAY_MS", (0, 50, 5000)),
    ("SUPERSLAB_CACHE", (0, 64)),
    ("WHALE_CACHE_BYTES", (0, 8 << 20, 256 << 20)),
    ("HUGE_PAGES", (0, 1)),
)


@dataclasses.dataclass(frozen=True)
class Setting:
    """Options away from their defaults."""

    values: tuple[tuple[str, int], ...]

    def environment(self) -> dict[str, str]:
        """The variables that choose it."""
        return {f"HAKMEM_{name}": spell(value) for name, value in self.values}

    def __str__(self) -> str:
        return " ".join(f"{name}={text}" for name, text in self.environment().items())

    def beside(self, other: Setting) -> Setting:
        """Both together."""
        return Setting(self.values + other.values)


DEFAULTS = Setting(())


def spell(value: int) -> str:
    """A number as the variables take it, with k, m or g where it is a multiple."""
    for factor, suffix in _SUFFIXES:
        if value and value % factor == 0:
            return f"{value // factor}{suffix}"
    return str(value)


def in_force(libraries: Sequence[str]) -> dict[str, str]:
    """The options that the library has, with their defaults, from the line that it prints when asked to."""
    environment = tools.bare_environment(libraries, {"HAKMEM_VERBOSE": "1"})
    done = subprocess.run([shutil.which("true") or "/bin/true"], env=environment, capture_output=True, text=True, check=False)
    line = re.search(r"^hakmem \S+ active: (.*)$", done.stderr, re.MULTILINE)
    if line is None:
        raise CommandError(f"{libraries[0]} does not say that it is HAKMEM")
    return dict(word.split("=", 1) for word in line.group(1).split() if "=" in word)


def candidates(defaults: Mapping[str, str]) -> list[Setting]:
    """One setting for each value that is not the default of an option that there is."""
    return [Setting(((name, value),)) for name, values in CANDIDATES if name in defaults
            for value in values if defaults[name] not in (str(value), spell(value))]
