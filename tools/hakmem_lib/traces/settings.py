"""The settings that advise tries: other values of every option of the table that can matter to speed or memory."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from typing import Iterable, Mapping, Sequence

from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.option_table import Option
from tools.hakmem_lib.traces import tools

_SUFFIXES = ((1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k"))
_MIB = 1 << 20

#: What is not tried, and why. All else of the table is, as far as it has values.
NOT_TRIED = {
    "ON_ERROR": "what is done after misuse is no matter of speed",
    "LIMITS": "it keeps a container from being killed",
    "STATS_AT_EXIT": "a report",
    "STATS_FORMAT": "a report",
    "PROFILE": "a report",
    "PROFILE_BYTES": "a report",
    "METRICS_SECONDS": "a report",
    "LATENCY_HISTOGRAM": "a report",
    "CRASH_REPORTS": "a report",
    "FLIGHT_RECORDER": "a report",
    "VERBOSE": "a report",
}

# From the default; where that is 0, "none" or "by itself", of the range.
_FACTORS = (1 / 8, 8, 64)
_COUNTS = (8, 64, 512)


@dataclasses.dataclass(frozen=True)
class Setting:
    """Options away from their defaults: names without HAKMEM_, and values as they are spelled."""

    values: tuple[tuple[str, str], ...]
    #: Whether it changes what is done before the program's first operation.
    is_at_start: bool = False

    def environment(self) -> dict[str, str]:
        """The variables that choose it."""
        return {f"HAKMEM_{name}": value for name, value in self.values}

    def __str__(self) -> str:
        return " ".join(f"{name}={text}" for name, text in self.environment().items())

    def beside(self, other: Setting) -> Setting:
        """Both together."""
        return Setting(self.values + other.values, self.is_at_start or other.is_at_start)


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


def candidates(table: Iterable[Option], defaults: Mapping[str, str], peak_bytes: int, is_quick: bool = False) -> list[Setting]:
    """One setting for each value worth trying of an option of the table which the library has, its default there left out.
    `peak_bytes` is what the program has at its peak. Quick: of more than two values the first and the last."""
    out = []
    for option in table:
        if option.name in NOT_TRIED or option.name not in defaults:
            continue
        texts = [text for text in values(option, peak_bytes) if defaults[option.name] not in (text, _plain(text))]
        if is_quick and len(texts) > 2:
            texts = [texts[0], texts[-1]]
        out += [Setting(((option.name, text),), option.when == "START") for text in texts]
    return out


def values(option: Option, peak_bytes: int) -> list[str]:
    """Other values than the table's default, as they are spelled."""
    if option.type == "word":
        return list(option.words[1:])
    if option.type == "flag":
        return [str(1 - option.default)]
    if option.type != "number":
        return []
    if option.default:
        numbers = [option.least, *(int(option.default * factor) for factor in _FACTORS)]
    elif option.unit == "bytes":
        numbers = [-(-peak_bytes // _MIB) * _MIB]
    else:
        numbers = list(_COUNTS)
    return [spell(n) for n in sorted(set(numbers)) if option.least <= n <= option.most and n != option.default]


def _plain(text: str) -> str:
    """A spelled number without its suffix."""
    for factor, suffix in _SUFFIXES:
        if text.endswith(suffix) and text[:-1].isdigit():
            return str(int(text[:-1]) * factor)
    return text
