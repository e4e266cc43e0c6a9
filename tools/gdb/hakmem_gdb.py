"""HAKMEM in gdb: `gdb -x tools/gdb/hakmem_gdb.py PROGRAM [CORE|PID]`.

hak-block ADDR   what an address is: a block and its state, its slab, what was done with it last
hak-heap         the heaps of all threads, and what they cache
hak-superslabs   the SuperSlabs, and what they are full of
Structures of HAKMEM print as one line, where gdb knows their types (builds with full debug information).

The commands need no types and no debug information: they read the process, or the core file, as tools/hakmem does.
"""

from __future__ import annotations

import os
import re
import struct
import sys
from typing import BinaryIO, Callable, Optional

import gdb  # type: ignore[import-not-found]  # of gdb's own Python

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))

# pylint: disable=wrong-import-position
from tools.hakmem_lib import heap, view
from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.explain import Explainer
from tools.hakmem_lib.memory import Mapping, Memory, Unreadable
from tools.hakmem_lib.text import columns, counted, size

_MAPPING = re.compile(r"\s*(0x[0-9a-f]+)\s+(0x[0-9a-f]+)\s+0x[0-9a-f]+\s+(0x[0-9a-f]+)(?:\s+([-rwxps]{3,4}))?\s*(.*)")


class Inferior(Memory):
    """What gdb debugs: a process or a core file."""

    name = "what gdb debugs"

    def read(self, address: int, size: int) -> bytes:  # pylint: disable=redefined-outer-name
        try:
            return bytes(gdb.selected_inferior().read_memory(address, size))
        except (gdb.MemoryError, OverflowError) as error:
            raise Unreadable(f"no memory at {address:#x}") from error

    def mappings(self) -> list[Mapping]:
        out = []
        for line in gdb.execute("info proc mappings", to_string=True).splitlines():
            match = _MAPPING.fullmatch(line)
            if match:
                start, end, offset, permissions, path = match.groups()
                out.append(Mapping(int(start, 16), int(end, 16), permissions or "r-xp", int(offset, 16), path))
        return sorted(out, key=lambda mapping: mapping.start)

    def open_file(self, mapping: Mapping) -> Optional[BinaryIO]:
        try:
            return open(mapping.path, "rb")  # pylint: disable=consider-using-with
        except OSError:
            return None

    def threads(self) -> dict[int, str]:
        return {thread.ptid[1] or thread.ptid[0]: thread.name or "" for thread in gdb.selected_inferior().threads()}


def _walker() -> heap.Walker:
    if not gdb.selected_inferior().threads():
        raise gdb.GdbError("there is no process and no core file")
    memory = Inferior()
    try:
        symbol = gdb.parse_and_eval("(unsigned long)&hak_view")
        return heap.Walker(view.View(memory, int(symbol)))
    except (gdb.error, Unreadable):
        return heap.Walker(view.attach(memory))


def _command(name: str, run: Callable[[str], str], meaning: str) -> None:
    class Command(gdb.Command):
        __doc__ = meaning

        def __init__(self) -> None:
            super().__init__(name, gdb.COMMAND_DATA)

        def invoke(self, argument: str, _from_tty: bool) -> None:
            try:
                gdb.write(run(argument))
            except (CommandError, Unreadable) as error:
                raise gdb.GdbError(f"{name}: {error}") from error
            except (LookupError, struct.error, ValueError) as error:
                # gdb reads what a core file leaves out from the files of now.
                raise gdb.GdbError(f"{name}: HAKMEM's file is not the one that the process had, or its memory is damaged") from error

    Command()


def _block(argument: str) -> str:
    if not argument:
        raise gdb.GdbError("hak-block: which address?")
    address = int(gdb.parse_and_eval(f"(unsigned long)({argument})"))
    return "\n".join(Explainer(_walker()).explain(address)) + "\n"


def _heaps(argument: str) -> str:
    if argument:
        raise gdb.GdbError("hak-heap takes no argument")
    walker = _walker()
    snapshot = walker.snapshot()
    taken = {found.address: 0 for found in snapshot.heaps}
    for slab in snapshot.slabs():
        if slab.heap in taken:
            taken[slab.heap] += slab.taken * slab.block_bytes
    rows: list[tuple[str, ...]] = [("heap", "thread", "state", "taken", "cached", "refills", "spills")]
    for found in snapshot.heaps:
        thread = f"{found.thread[0]} {found.thread[1]}".strip() if found.thread else ""
        counts = (f"{found.counters[name]:,}" for name in ("refills", "spills"))
        rows.append(
            (f"{found.address:#x}", thread, found.state, size(taken[found.address]), size(found.cached_bytes), *counts)
        )
    live = sum(row.live_bytes for row in snapshot.class_figures()) + sum(slab.bytes for slab in snapshot.spans())
    whales = sum(whale.size for whale in snapshot.live_whales())
    last = f"{counted(len(snapshot.superslabs), 'SuperSlab')}; live {size(live)}, and {size(whales)} in whales\n"
    return columns(rows, left=3) + last


def _superslabs(argument: str) -> str:
    if argument:
        raise gdb.GdbError("hak-superslabs takes no argument")
    walker = _walker()
    snapshot = walker.snapshot()
    rows: list[tuple[str, ...]] = [
        ("memory", "descriptor", "tier", "slabs", "spans", "free", "dirty", "in slabs", "taken")
    ]
    for found in sorted(snapshot.superslabs, key=lambda superslab: superslab.base):
        slabs = [slab for slab in found.slabs if not slab.is_span]
        taken = sum(slab.taken * slab.block_bytes for slab in slabs)
        spans = len(found.slabs) - len(slabs)
        rows.append(
            (f"{found.base:#x}", f"{found.address:#x}", found.tier, str(len(slabs)), str(spans), str(found.free_count),
             str(found.dirty_count), size(sum(slab.bytes for slab in slabs)), size(taken))
        )  # fmt: skip
    units = sum(superslab.free_count for superslab in snapshot.superslabs)
    last = f"{counted(len(snapshot.superslabs), 'SuperSlab')}; {units} of {len(snapshot.superslabs) * heap.UNITS} units free\n"
    return columns(rows, left=3) + last


# --- structures ---


def _print_bin(value: gdb.Value) -> str:
    stride = int(value["stride"])
    if stride == 0:
        return "never used"
    held = int(value["end"]) - int(value["top"])
    cap = int(value["end"]) - int(value["begin"])
    return f"{stride} B: {held // 8} of {cap // 8} cached, {int(value['run_mask']).bit_count()} in the run"


def _print_slab(value: gdb.Value) -> str:
    base, units = int(value["base"]), int(value["units"])
    if int(value["size_class"]) == heap.SPAN:
        return f"span {base:#x} of {units} units"
    free, blocks = int(value["free_count"]["raw"]), int(value["blocks"])
    return f"slab {base:#x}: {blocks} blocks of {int(value['block_bytes'])} B, {free} free"


def _print_heap(value: gdb.Value) -> str:
    state = {1: "active", 2: "parked", 3: "lost", 4: "common", 6: "class"}.get(int(value["state"]["raw"]), "unused")
    counters = value["counters"]
    return f"{state} heap: {int(counters['refills']['raw'])} refills, {int(counters['spills']['raw'])} spills"


def _print_whale(value: gdb.Value) -> str:
    return f"whale {int(value['base']):#x} of {int(value['size_bytes'])} B"


def _print_superslab(value: gdb.Value) -> str:
    if int(value["in_use"]["raw"]) == 0:
        return f"SuperSlab {int(value['id'])}, without memory"
    # Slabs and spans at the units where one begins.
    heads = int(value["heads"]["raw"])
    free = int(value["free_units"]["raw"]).bit_count()
    return f"SuperSlab {int(value['id'])} at {int(value['base']):#x}: {heads.bit_count()} slabs and spans, {free} units free"


_PRINTERS = {
    "hak_bin": _print_bin,
    "hak_heap": _print_heap,
    "hak_slab": _print_slab,
    "hak_superslab": _print_superslab,
    "hak_whale": _print_whale,
}


class _Printer:
    def __init__(self, text: str) -> None:
        self._text = text

    def to_string(self) -> str:
        """The line."""
        return self._text


def _look_up(value: gdb.Value) -> Optional[_Printer]:
    kind = value.type.unqualified()
    printer = _PRINTERS.get(kind.name or "") or _PRINTERS.get(kind.strip_typedefs().tag or "")
    return _Printer(printer(value)) if printer else None


_command(
    "hak-block", _block, "hak-block ADDR: what an address is to HAKMEM, and what was done with the block there last."
)
_command("hak-heap", _heaps, "hak-heap: the heaps of HAKMEM, whose they are and what they cache.")
_command("hak-superslabs", _superslabs, "hak-superslabs: the SuperSlabs of HAKMEM, and what they are full of.")
gdb.pretty_printers.append(_look_up)
