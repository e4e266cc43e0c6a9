"""The plotting library of the page: Chart.js (MIT), a single file of 200 KB, as Debian packages it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = "libjs-chart.js"
_PATHS = (Path("/usr/share/javascript/chart.js/chart.min.js"), Path("/usr/share/nodejs/chart.js/dist/chart.min.js"))


@dataclass(frozen=True)
class Library:
    """The library's source, or why there is none."""

    source: str
    missing: str = ""


def load(paths: Sequence[Path] = _PATHS) -> Library:
    """Reads the first file there is. Never fails: a page without charts is better than none."""
    for path in paths:
        try:
            source = path.read_text(encoding="utf-8")
        except (OSError, UnicodeError):
            continue
        if "</script" in source.lower():
            return Library("", f"{path.name} cannot be embedded: it holds an end of script")
        return Library(source)
    return Library("", f"Chart.js is not installed (Debian: apt-get install {_PACKAGE})")
