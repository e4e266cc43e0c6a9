"""The files of the machine, or of a test that has made up a machine."""

from __future__ import annotations

import pathlib
from typing import Optional


class Files:
    """Reads files by their absolute names, below `root`."""

    def __init__(self, root: str = "/") -> None:
        self._root = pathlib.Path(root)

    def path(self, name: str) -> pathlib.Path:
        """Where it really lies."""
        return self._root / name.lstrip("/")

    def text(self, name: str) -> Optional[str]:
        """The contents; None where there is no such file, or it may not be read."""
        try:
            return self.path(name).read_text(errors="replace")
        except OSError:
            return None

    def number(self, name: str) -> Optional[int]:
        """The number that the file consists of; None where it holds none, such as `max`."""
        text = (self.text(name) or "").strip()
        return int(text) if text.isdigit() else None

    def exists(self, name: str) -> bool:
        """True where there is such a file or folder."""
        return self.path(name).exists()
