"""Progress on stderr: a bar that redraws itself on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_LINE_EVERY_S = 10.0
_BAR_WIDTH = 24


class Progress:
    """Counts steps and guesses the time left from the steps so far."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._done = 0
        self._total = 0
        self._begin = time.monotonic()
        self._last_line = self._begin
        self._width = 0

    def expect(self, steps: int) -> None:
        """Adds `steps` to what is to be done."""
        self._total += steps

    def step(self, label: str) -> None:
        """One step is done; `label` says what comes with it."""
        self._done += 1
        now = time.monotonic()
        left_s = (now - self._begin) / self._done * (self._total - self._done)
        text = f"{self._done}/{self._total}  {format_time(left_s)} left  {label}"
        if self._is_terminal:
            filled = _BAR_WIDTH * self._done // max(self._total, 1)
            self._draw(f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {text}")
        elif now - self._last_line >= _LINE_EVERY_S:
            self._last_line = now
            print(f"bench: {text}", file=self._stream, flush=True)

    def say(self, text: str) -> None:
        """A line of its own."""
        self._draw("")
        print(f"bench: {text}", file=self._stream, flush=True)

    def close(self) -> None:
        """Clears the bar."""
        self._draw("")

    def _draw(self, text: str) -> None:
        if self._is_terminal:
            self._stream.write(f"\r{text[:110].ljust(self._width)}\r{text[:110]}")
            self._stream.flush()
            self._width = len(text[:110])


def format_time(seconds: float) -> str:
    """"2 min 05 s" or "9 s"."""
    whole = max(0, round(seconds))
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
