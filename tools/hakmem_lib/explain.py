"""What an address is to HAKMEM, and what was done with the block there: as the library's crash reports say it, of a live
process or of a core file. hakmem/postmortem is the other one that says so."""

from __future__ import annotations

import bisect
import dataclasses
from typing import Iterator, Optional

from tools.hakmem_lib.heap import (
    REGISTRY_LAST_TAG,
    REGISTRY_SPAN,
    REGISTRY_WHALE,
    SUPERSLAB_BYTES,
    UNIT_BYTES,
    Heap,
    Walker,
)
from tools.hakmem_lib.memory import Mapping, Unreadable
from tools.hakmem_lib.text import duration
from tools.hakmem_lib.view import Record

_NEAR_NULL = 64 * 1024
_ADDRESS_END = 1 << 47
_OPERATIONS = {0: "allocated", 1: "freed", 2: "resized"}
_FREE = 1
_OP_SHIFT = 56
_ACTIVE = 1
_BLOCK_LINES, _THREAD_LINES = 6, 8
_CHUNK_SIZES = (1 << 20, 1 << 16)


@dataclasses.dataclass(frozen=True)
class Event:
    """An operation that the flight recorder has. `ago`: the last one of its thread is 1."""

    operation: int
    pointer: int
    size: int
    caller: int
    time_ns: int
    ago: int
    thread: int


class Explainer:
    """Looks at one memory, once: what it has read of heaps and rings stays."""

    def __init__(self, walker: Walker) -> None:
        self._walker = walker
        self._view = walker.view
        self._memory = walker.memory
        self._heaps = walker.heaps()
        self._names = walker.memory.threads()
        self._mappings = walker.memory.mappings()
        self._starts = [mapping.start for mapping in self._mappings]
        self._events = list(self._read_events())
        self._now_ns = max((event.time_ns for event in self._events), default=0)

    def explain(self, address: int) -> list[str]:
        """Lines: what the address is, the state of its slab, what was done with the block."""
        what, more, block = self._place(address)
        lines = [f"{address:#x} is {what}", *(f"  {line}" for line in more)]
        events = self._history(address, block)
        if events:
            lines.append(f"what was done with {events[0].pointer:#x}, the last first:")
            lines += [f"  {self._event(event, with_block=False)}" for event in events]
        return lines

    def last_operations(self, thread: int) -> list[str]:
        """Lines: what a thread did last, where it is recorded."""
        events = [event for event in self._events if event.thread == thread][:_THREAD_LINES]
        if not events:
            return []
        lines = [f"last operations of {self._thread(thread)}:"]
        return lines + [f"  {self._event(event, with_block=True)}" for event in events]

    # --- places ---

    def _place(self, address: int) -> tuple[str, list[str], Optional[int]]:
        if address < _NEAR_NULL:
            return "near NULL: a member of what a null pointer points to", [], None
        if address >= _ADDRESS_END:
            return "no address that a program can have", [], None
        try:
            word, owner = self._walker.look_up(address)
        except Unreadable:
            return "in what HAKMEM's registry, which cannot be read, is about", [], None
        try:
            if word == REGISTRY_SPAN:
                slab = self._view.read("slab", owner)
                if slab["free_count"]:  # parked
                    return self._elsewhere(address)
                return self._span(address, slab["base"], slab["block_bytes"])
            if word not in (0, REGISTRY_WHALE):
                return self._in_slab(address, word, owner)
        except Unreadable:
            return "HAKMEM's, but its slab is damaged", [], None
        return self._elsewhere(address)

    def _span(self, address: int, base: int, size: int) -> tuple[str, list[str], Optional[int]]:
        if not base <= address < base + size:
            return "HAKMEM's, but its slab is damaged", [], None
        return f"{_inside(address, base)} the span {base:#x} of {size} bytes, live", [], base

    def _elsewhere(self, address: int) -> tuple[str, list[str], Optional[int]]:
        for chunk in self._chunks():
            base, size = chunk & ~1, _CHUNK_SIZES[chunk & 1]
            if base <= address < base + size:
                return "HAKMEM's own, where its descriptors are", [], None
            if base - 4096 <= address < base + size + 4096:
                return "a guard page of HAKMEM's descriptors", [], None
        for whale in self._walker.whales():
            if whale.base <= address < whale.base + whale.size:
                state = "live" if whale.state == "live" else "freed, and cached"
                where = f"{_inside(address, whale.base)} the whale {whale.base:#x} of {whale.size} bytes, {state}"
                return where, [], whale.base
        for superslab in self._walker.superslabs():
            if superslab.base <= address < superslab.base + SUPERSLAB_BYTES:
                unit = (address - superslab.base) // UNIT_BYTES
                state = ", which is empty" if superslab.is_empty else " is free"
                return f"in no block: unit {unit} of the SuperSlab {superslab.base:#x}{state}", [], None
        return "not HAKMEM's", [], None

    def _chunks(self) -> list[int]:
        if not self._view.has_root("metadata_chunk_count"):
            return []
        count = self._view.number("metadata_chunk_count")
        near = self._view.array("metadata_chunks_near")
        out = list(near[:count])
        far_at, far_bytes = self._view.root("metadata_chunks_far")
        for index in range(min(count - len(out), far_bytes // 8)):
            out.append(self._memory.word(far_at + index * 8))
        return out

    def _in_slab(self, address: int, word: int, owner: int) -> tuple[str, list[str], Optional[int]]:
        slab = self._view.read("slab", owner)
        base, size_class, stride, blocks = slab["base"], slab["size_class"], slab["block_bytes"], slab["blocks"]
        classes = self._walker.classes
        if (
            size_class >= len(classes)
            or (stride, blocks) != (classes[size_class].block_bytes, classes[size_class].blocks)
            or not base <= address < base + classes[size_class].units * UNIT_BYTES
        ):
            return "HAKMEM's, but its slab is damaged", [], None
        index = (address - base) // stride
        words = (blocks + 63) // 64
        free_bits = int.from_bytes(self._memory.read(slab["free_bits"], words * 8), "little")
        remote_bits = int.from_bytes(self._memory.read(slab["remote_bits"], words * 8), "little")
        caches = self._caches(base, base + blocks * stride, size_class)
        waiting = self._waiting(owner)
        block = base + index * stride
        free = free_bits.bit_count()
        remote = (remote_bits & ~free_bits).bit_count() + sum(bits.bit_count() for bits, _ in waiting)
        live = max(blocks - free - remote - len(caches), 0)
        more = [
            f"its slab {base:#x} of {self._owner(word, size_class)} has {blocks} blocks of {stride} bytes: {live} live, "
            f"{len(caches)} cached, {remote} freed from afar, {free} free"
        ]
        if index >= blocks:
            return f"behind the last block of the slab {base:#x}", more, None
        state = "live"
        if free_bits >> index & 1:
            state = "free, in its slab"
        elif block in caches:
            state = f"free, cached by {self._holder(caches[block])}"
        elif remote_bits >> index & 1:
            state = "freed by a thread that does not own it, and not yet merged"
        else:
            for bits, heap in waiting:
                if bits >> index & 1:
                    state = f"freed by {self._holder(heap)}, which does not own it, and not yet on its way home"
        return f"{_inside(address, block)} the block {block:#x} of {stride} bytes, {state}", more, block

    def _caches(self, begin: int, end: int, size_class: int) -> dict[int, Heap]:
        """Block -> the heap that caches it."""
        out = {}
        for heap in self._heaps:
            for cache in heap.bins:
                if cache.size_class == size_class:
                    try:
                        out.update({at: heap for at in self._walker.cached_blocks(cache) if begin <= at < end})
                    except Unreadable:
                        continue
        return out

    def _waiting(self, slab: int) -> list[tuple[int, Heap]]:
        """Bits of blocks of the slab in out-boxes, and whose these are."""
        out = []
        layout = self._view.structure("outbox_entry")
        for heap in self._heaps:
            record = self._view.read("heap", heap.address)
            for index in range(self._view.structure("heap").fields["outbox"].count):
                entry = record.inner("outbox", layout, index)
                if entry["slab"] == slab:
                    out.append((entry["mask"] << 64 * (entry["key"] & 0xFFFF), heap))
        return out

    def _owner(self, word: int, size_class: int) -> str:
        if word <= REGISTRY_LAST_TAG:
            return "nobody"
        offset = self._view.structure("heap").fields["bins"].offset + self._view.array("bin_offsets", 2)[size_class]
        for heap in self._heaps:
            if heap.address == word - offset:
                return self._holder(heap)
        return "a heap that is none"

    def _holder(self, heap: Heap) -> str:
        if heap.state == "active":
            return self._thread(heap.thread[0]) if heap.thread else "a thread"
        if heap.state == "parked":
            return "a thread that has ended"
        if heap.state == "class":
            return f"site rules, class {heap.name}"
        return "a thread that vanished in a fork" if heap.state == "lost" else "threads that are ending"

    def _thread(self, number: int) -> str:
        name = self._names.get(number)
        return f"thread {number} ({name})" if name else f"thread {number}"

    # --- the flight recorder ---

    def _read_events(self) -> Iterator[Event]:
        """Of each ring the last operation first."""
        view = self._view
        if not view.has_root("recorder_rings"):
            return
        ring_layout, row_layout = view.structure("recorder_ring"), view.structure("recorder_row")
        for address in view.array("recorder_rings")[: view.number("recorder_ring_count")]:
            if address == 0:
                continue
            try:
                ring = view.read("recorder_ring", address)
                count, capacity = ring["count"], ring["capacity"]
                data = self._memory.read(address + ring_layout.size, capacity * row_layout.size)
            except Unreadable:
                continue
            for ago in range(1, min(count, capacity) + 1):
                at = (count - ago) % capacity * row_layout.size
                row = Record(row_layout, 0, data[at : at + row_layout.size])
                packed = row["op_and_size"]
                yield Event(
                    packed >> _OP_SHIFT,
                    row["ptr"],
                    packed & (1 << _OP_SHIFT) - 1,
                    row["caller"],
                    row["time_ns"],
                    ago,
                    ring["thread"],
                )

    def _history(self, address: int, block: Optional[int]) -> list[Event]:
        if block is None:
            around = [e for e in self._events if e.operation != _FREE and e.pointer <= address < e.pointer + e.size]
            block = max(around, key=lambda event: event.time_ns).pointer if around else address
        events = [event for event in self._events if event.pointer == block and block]
        return sorted(events, key=lambda event: -event.time_ns)[:_BLOCK_LINES]

    def _event(self, event: Event, with_block: bool) -> str:
        out = _OPERATIONS.get(event.operation, "?")
        if event.operation != _FREE and event.pointer == 0:
            out = "refused"
        elif with_block:
            out += f" {event.pointer:#x}"
        if event.operation != _FREE:
            out += f" for {event.size} bytes"
        out += " by the last operation" if event.ago == 1 else f" {event.ago} operations ago"
        if not with_block:
            out += (" of " if event.ago == 1 else " by ") + self._thread(event.thread)
        before = self._now_ns - event.time_ns
        if before > 0:
            out += f", {duration(before)} before the last one recorded"
        if event.caller:
            out += f", from {self._code(event.caller)}"
        return out

    def _code(self, address: int) -> str:
        at = bisect.bisect_right(self._starts, address) - 1
        mapping: Optional[Mapping] = self._mappings[at] if at >= 0 else None
        if mapping is None or address >= mapping.end or not mapping.is_file:
            return f"{address:#x}"
        return f"{address:#x} ({mapping.path}+{address - mapping.start + mapping.offset:#x})"


def _inside(address: int, block: int) -> str:
    return "the start of" if address == block else f"{address - block} bytes inside"
