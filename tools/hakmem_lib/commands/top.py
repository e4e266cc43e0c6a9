"""hakmem top: a running process, live, from outside."""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import pathlib
import select
import sys
import termios
import time
import tty
from typing import Iterator, Optional

from rich.console import Console
from rich.live import Live

from tools.hakmem_lib import elf, figures, heap, memory, output, screen, view
from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.memory import LiveProcess, Unreadable
from tools.hakmem_lib.rates import Sample

SUMMARY = "watch a running process, live"

# SuperSlabs and heaps that one look reads: half a GiB of them, for which it takes some 40 ms. Of more, each look reads as
# many as come next in turn.
_MOST_A_LOOK = 256
_PICTURE_COLUMNS, _PICTURE_LINES = 118, 44


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what follows `hakmem top`."""
    parser.add_argument("pid", metavar="PID", type=memory.pid_argument, help="the process; it is not stopped")
    parser.add_argument(
        "--interval", metavar="S", type=_interval, default=1.0, help="seconds between two looks (default: 1)"
    )
    parser.add_argument("--once", action="store_true", help="print one frame, of an interval, and end")
    parser.add_argument("--svg", metavar="FILE", help="with --once: draw the frame into a file instead")


def run(options: argparse.Namespace) -> int:
    """Watches until told to stop, or until the process ends."""
    if options.svg and not options.once:
        raise CommandError("--svg draws one frame: it goes with --once")
    if options.svg:
        output.check_file(options.svg)
    watcher = Watcher(LiveProcess(options.pid))
    if options.once:
        return _once(watcher, options)
    if not sys.stdout.isatty():
        raise CommandError("stdout is no terminal; --once prints one frame")
    return _live(watcher, options.interval)


class Watcher:
    """Looks at a process again and again."""

    def __init__(self, process: LiveProcess) -> None:
        self.process = process
        self._walker = heap.Walker(view.attach(process))
        self.samples: collections.deque[Sample] = collections.deque(maxlen=screen.HISTORY)

    def look(self) -> None:
        """One more sample. CommandError: the process has ended, or become another program."""
        if not elf.is_view(self.process, self._walker.view.address):
            raise CommandError(
                f"{self.process.name} has " + ("ended" if self.process.has_ended() else "become another program")
            )
        try:
            snapshot = self._walker.snapshot(_MOST_A_LOOK)
        except Unreadable as error:
            raise CommandError(f"{self.process.name} has ended") from error
        report = figures.of_snapshot(snapshot)
        report["process"] = {"pid": self.process.pid, "name": self.process.command}
        self.samples.append(Sample(snapshot.taken, self.process.usage(), report))

    def note(self) -> str:
        """What the frame should say besides."""
        count = self.samples[-1].report["superslabs"]["all"]
        looks = -(-count // _MOST_A_LOOK)
        return f"each SuperSlab is read every {looks} looks" if looks > 1 else ""


def _once(watcher: Watcher, options: argparse.Namespace) -> int:
    watcher.look()
    # As many as the trends show, where there is a picture to be made.
    for _ in range(24 if options.svg else 1):
        time.sleep(options.interval)
        watcher.look()
    if not options.svg:
        size = os.get_terminal_size() if sys.stdout.isatty() else os.terminal_size((_PICTURE_COLUMNS, _PICTURE_LINES))
        Console(width=size.columns).print(screen.frame(list(watcher.samples), 0, size.lines, watcher.note()))
        return 0
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(
            width=_PICTURE_COLUMNS, file=nowhere, record=True, force_terminal=True, color_system="truecolor"
        )
        console.print(screen.frame(list(watcher.samples), 0, _PICTURE_LINES, watcher.note()))
    picture = console.export_svg(title=f"hakmem top {watcher.process.pid}", code_format=_SVG)
    try:
        pathlib.Path(options.svg).write_text(picture, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {options.svg}: {error.strerror}") from error
    return 0


def _live(watcher: Watcher, interval: float) -> int:
    console = Console()
    sort = 0
    watcher.look()
    try:
        with _keys() as keyboard, Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(
                    screen.frame(list(watcher.samples), sort, console.size.height, watcher.note()), refresh=True
                )
                key = _wait_for_key(keyboard, watcher.samples[-1].at_s + interval)
                if key in ("q", "Q", "\x03"):
                    return 0
                if key == "s":
                    sort += 1
                elif key in ("", " "):
                    watcher.look()
    except CommandError as error:
        if not watcher.process.has_ended():
            raise
        print(f"hakmem top: {error}")
        return 0


@contextlib.contextmanager
def _keys() -> Iterator[Optional[int]]:
    """Standard input with each key by itself, where it is a terminal."""
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        yield None
        return
    try:
        tty.setcbreak(descriptor)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _wait_for_key(keyboard: Optional[int], until_s: float) -> str:
    """The key that was struck, or "" when the time has come."""
    left = max(until_s - time.monotonic(), 0)
    if keyboard is None:
        time.sleep(left)
        return ""
    if not select.select([keyboard], [], [], left)[0]:
        return ""
    key = os.read(keyboard, 64)
    # Nothing more comes: the terminal has gone.
    return key.decode("utf-8", "replace")[:1] if key else "q"


def _interval(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"not a number of seconds from 0.1 to 3600: {text!r}")
    return value


# That of rich without its fonts from the network, and with a size at which DejaVu's letters are as wide as rich thinks.
_SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" xml:space="preserve">
<style>
.{unique_id}-matrix {{
  font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 20.27px; line-height: {line_height}px;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
