"""Progress on stderr: a bar that redraws itself on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

_LINE_EVERY_S = 10.0
_BAR_WIDTH = 24


class Progress:
    """Counts steps and tells the time left.

    Steps are of kinds (here: rows), as they may differ in length by far: a step to come takes as long as those of its
    kind took on average; where there are none, as it was expected to, times what others took beyond expectation.
    """

    def __init__(self, stream: TextIO = sys.stderr, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._is_terminal = stream.isatty()
        self._kinds: dict[str, _Kind] = {}
        self._last_step = self._last_line = clock()
        self._width = 0

    def expect(self, kind: str, steps: int, step_s: float) -> None:
        """Adds `steps` to what is to be done, of `step_s` each as far as is known."""
        known = self._kinds.setdefault(kind, _Kind(step_s))
        known.to_do += steps

    def step(self, kind: str, label: str) -> None:
        """One step is done; `label` says which."""
        now = self._clock()
        self._kinds[kind].count(now - self._last_step)
        self._last_step = now
        done = sum(known.done for known in self._kinds.values())
        total = done + sum(known.to_do for known in self._kinds.values())
        text = f"{done}/{total}  {format_time(self.left_s())} left  {label}"
        if self._is_terminal:
            filled = _BAR_WIDTH * done // max(total, 1)
            self._draw(f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {text}")
        elif now - self._last_line >= _LINE_EVERY_S:
            self._last_line = now
            print(f"bench: {text}", file=self._stream, flush=True)

    def left_s(self) -> float:
        """How long what is to be done will take."""
        kinds = self._kinds.values()
        expected_s = sum(known.done * known.expected_s for known in kinds)
        slowness = sum(known.spent_s for known in kinds) / expected_s if expected_s > 0 else 1.0
        return sum(known.to_do * known.step_s(slowness) for known in kinds)

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


@dataclass
class _Kind:
    """Steps of one kind."""

    expected_s: float
    to_do: int = 0
    done: int = 0
    spent_s: float = 0.0

    def count(self, seconds: float) -> None:
        self.to_do -= 1
        self.done += 1
        self.spent_s += seconds

    def step_s(self, slowness: float) -> float:
        return self.spent_s / self.done if self.done else slowness * self.expected_s


def format_time(seconds: float) -> str:
    """"2 min 05 s" or "9 s"."""
    whole = max(0, round(seconds))
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
