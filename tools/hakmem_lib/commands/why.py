"""hakmem why: what an address is to HAKMEM, in a core file or a running process."""

from __future__ import annotations

import argparse
import signal
from typing import Optional

from tools.hakmem_lib import core_file, heap, memory, view
from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.explain import Explainer

SUMMARY = "what an address is: in a core file, or in a running process"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what follows `hakmem why`."""
    parser.add_argument("where", metavar="CORE|PID", help="a core file, or the number of a process; it is not stopped")
    parser.add_argument(
        "address",
        metavar="ADDR",
        nargs="?",
        type=_address,
        help="0x and hexadecimal, or decimal; the one that failed where a core file says so",
    )


def run(options: argparse.Namespace) -> int:
    """Looks once and prints."""
    if options.where.isdecimal() and options.address is None:
        raise CommandError("which address? A running process has none that failed")
    with core_file.core_or_process(options.where) as source:
        print("\n".join(_lines(source, options.address)))
    return 0


def _lines(source: memory.Memory, address: Optional[int]) -> list[str]:
    explainer = Explainer(heap.Walker(view.attach(source)))
    crash = source.crash if isinstance(source, core_file.CoreFile) else None
    if address is None and crash is None:
        raise CommandError(f"{source.name} does not say which address failed: name one")
    if address is None and crash is not None and crash.is_fault:
        address = crash.address
    lines = [] if crash is None else [_head(crash)]
    lines += [] if address is None else explainer.explain(address)
    return lines + ([] if crash is None else explainer.last_operations(crash.thread))


def _head(crash: core_file.Crash) -> str:
    try:
        name = signal.Signals(crash.signal).name
    except ValueError:
        name = f"signal {crash.signal}"
    return f"{name} in thread {crash.thread}" + (f", at address {crash.address:#x}" if crash.is_fault else "")


def _address(text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 64:
        raise argparse.ArgumentTypeError(f"no address: {text!r}")
    return value
