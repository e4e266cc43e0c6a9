"""The map of a running process, or of a core file.

A process goes on meanwhile. A slab that is another one after its bitmaps were read is left out, a block that is in
two places is where it was seen first, and `doubts` counts both.
"""

from __future__ import annotations

import dataclasses
import os
import struct
import time
import zlib
from typing import Optional

from tools.hakmem_lib import heap as heaps
from tools.hakmem_lib.figures import of_resident
from tools.hakmem_lib.heap import SUPERSLAB_BYTES, UNIT_BYTES
from tools.hakmem_lib.maps import model
from tools.hakmem_lib.core_file import CoreFile
from tools.hakmem_lib.memory import LiveProcess, Memory
from tools.hakmem_lib.resident import reconcile

DETAIL_BYTES = 3 << 20

_WHALE_CELLS = 256
_DIGITS = bytes.maketrans(b"\0\1", b"01")


def capture(memory: Memory, walker: heaps.Walker, detail_bytes: int = DETAIL_BYTES) -> model.Map:
    """The heap now. Bitmaps that take more than `detail_bytes` when packed are left out, those of the smallest blocks
    first; the counts of their slabs stay."""
    snapshot = walker.snapshot()
    out = of_walk(walker, snapshot, os.sysconf("SC_PAGE_SIZE"))
    if isinstance(memory, LiveProcess):
        _look_at_pages(memory, out)
        out.resident = of_resident(reconcile(memory, walker, snapshot))
    elif isinstance(memory, CoreFile):
        out.is_core, out.taken = True, memory.written
    out.pid, out.name = memory.pid, memory.command
    limit(out, detail_bytes)
    return out


def _look_at_pages(process: LiveProcess, out: model.Map) -> None:
    for superslab in out.superslabs:
        pages = process.resident_pages(superslab.base, SUPERSLAB_BYTES // out.page_bytes)
        superslab.resident = None if pages is None else int(pages[::-1].translate(_DIGITS), 2)
    for whale in out.whales:
        _look_at_whale(process, whale, out.page_bytes)


def of_walk(walker: heaps.Walker, snapshot: heaps.Snapshot, page_bytes: int) -> model.Map:
    """What the walk alone has: nothing of pages."""
    taken = time.time()
    indexes = {found.address: index for index, found in enumerate(snapshot.heaps)}
    bits = _Blocks(walker, snapshot).read()
    now = snapshot.clock_ms
    return model.Map(
        pid=0,
        name="",
        version=snapshot.version,
        build=snapshot.build,
        taken=taken,
        page_bytes=page_bytes,
        classes=[(row.block_bytes, row.blocks, row.units) for row in snapshot.classes],
        heaps=[
            model.Heap(found.address, found.state, *(found.thread or (None, found.name))) for found in snapshot.heaps
        ],
        superslabs=[
            model.SuperSlab(
                base=superslab.base,
                number=superslab.id,
                free_units=heaps.ALL_UNITS if superslab.is_empty else superslab.free_units,
                dirty_units=superslab.dirty_units,
                age_ms=_age_ms(now, superslab.freed_ms),
                resident=None,
                slabs=[
                    _slab(slab, bits[slab.address], indexes) for slab in superslab.slabs if slab.address in bits
                ],
            )
            for superslab in sorted(snapshot.superslabs, key=lambda superslab: superslab.base)
        ],
        whales=[
            model.Whale(
                base=whale.base,
                size=whale.size,
                state=whale.state,
                age_ms=None if whale.state == "live" else _age_ms(now, whale.freed_ms),
                resident_bytes=None,
                cells=b"",
            )
            for whale in sorted(snapshot.whales, key=lambda whale: whale.base)
        ],
        resident=None,
        doubts=dict(walker.doubts),
    )  # fmt: skip


def limit(out: model.Map, detail_bytes: int) -> None:
    """Leaves out the bitmaps that are too many."""
    left = detail_bytes
    for slab in sorted(out.slabs(), key=lambda slab: slab.blocks):
        texts = [text for text in model.bits_texts(slab) if text and text != "*"]
        if not texts:
            continue
        left -= len(zlib.compress("".join(texts).encode("ascii"), 1))
        if left < 0:
            slab.bits = None
            out.left_out += 1
            out.left_out_over = detail_bytes


def _age_ms(now: int, then: int) -> Optional[int]:
    return now - then if 0 < then <= now else None


def _slab(slab: heaps.Slab, bits: model.Bits, indexes: dict[int, int]) -> model.Slab:
    counts = (bits.free.bit_count(), bits.cached.bit_count(), bits.remote.bit_count())
    return model.Slab(
        slab.first_unit, slab.units, slab.size_class, slab.block_bytes, slab.blocks, indexes.get(slab.heap, -1),
        slab.room_units, slab.asked_bytes, *counts, bits,
    )  # fmt: skip


def _look_at_whale(process: LiveProcess, whale: model.Whale, page_bytes: int) -> None:
    pages, parts = whale.size // page_bytes, []
    for first in range(0, pages, 1 << 18):
        part = process.resident_pages(whale.base + first * page_bytes, min(pages - first, 1 << 18))
        if part is None:
            return
        parts.append(part)
    data = b"".join(parts)
    whale.resident_bytes = data.count(1) * page_bytes
    cells = min(pages, _WHALE_CELLS)
    edges = [index * pages // cells for index in range(cells + 1)]
    whale.cells = bytes(data.count(1, start, end) * 255 // (end - start) for start, end in zip(edges, edges[1:]))


@dataclasses.dataclass
class _Blocks:
    """Finds out where each block is."""

    walker: heaps.Walker
    snapshot: heaps.Snapshot

    def read(self) -> dict[int, model.Bits]:
        """By address of the slab's descriptor; of those that were the same before and after."""
        slabs = [slab for slab in self.snapshot.slabs() if not slab.is_span]
        units = {slab.base // UNIT_BYTES + unit: slab for slab in slabs for unit in range(slab.units)}
        # A span has one block, which is free while it is parked.
        out = {slab.address: model.Bits(slab.free if slab.is_span else 0, 0, 0) for slab in self.snapshot.slabs()}
        for slab, bits in zip(slabs, self.walker.bitmaps(slabs)):
            out[slab.address].free = (bits or 0) & ((1 << slab.blocks) - 1)
        self._add_remote(slabs, out)
        self._add_cached(units, out)
        after = {slab.address: slab for superslab in self.walker.superslabs() for slab in superslab.slabs}
        for slab in self.snapshot.slabs():
            now = after.get(slab.address)
            if now is None or (now.base, now.size_class, now.units) != (slab.base, slab.size_class, slab.units):
                self.walker.doubts["a slab that changed hands"] += 1
                del out[slab.address]
        return out

    def _add_remote(self, slabs: list[heaps.Slab], out: dict[int, model.Bits]) -> None:
        """What waits in the slabs' remote bitmaps and in threads' out-boxes."""
        waiting = [slab for slab in slabs if slab.is_pending]
        memory, view = self.walker.memory, self.walker.view
        found = memory.read_many([(slab.remote_bits, slab.words * 8) for slab in waiting])
        for slab, data in zip(waiting, found):
            self._add(out, slab, "remote", int.from_bytes(data or b"", "little"))
        by_address = {slab.address: slab for slab in slabs}
        layout, entry = view.structure("heap"), view.structure("outbox_entry")
        boxes = layout.fields["outbox"]
        size = boxes.size * boxes.count
        read = entry.reader("key", "slab", "mask")
        places = [(found.address + boxes.offset, size) for found in self.snapshot.heaps]
        for box in memory.read_many(places):
            for at in range(0, len(box or b""), boxes.size):
                key, address, mask = read(box, at)
                slab = by_address.get(address)
                if slab is not None and key >> 16 == slab.size_class:
                    self._add(out, slab, "remote", mask << (key & 0xFFFF) * 64)

    def _add_cached(self, units: dict[int, heaps.Slab], out: dict[int, model.Bits]) -> None:
        """What is in the slots and runs of threads' caches, as they are now."""
        bins = [cache for found in self.walker.heaps() for cache in found.bins]
        slots = self.walker.memory.read_many([(cache.top, cache.slots * 8) for cache in bins])
        for cache, data in zip(bins, slots):
            places = list(struct.unpack(f"<{len(data) // 8}Q", data)) if data else []
            places += _run(cache)
            masks: dict[int, int] = {}
            for place in places:
                slab = units.get(place // UNIT_BYTES)
                if slab is None or slab.size_class != cache.size_class or (place - slab.base) % slab.block_bytes:
                    self.walker.doubts["a cached block that lies nowhere"] += 1
                    continue
                first, index = slab.base // UNIT_BYTES, (place - slab.base) // slab.block_bytes
                masks[first] = masks.get(first, 0) | 1 << index
            for first, mask in masks.items():
                self._add(out, units[first], "cached", mask)

    def _add(self, out: dict[int, model.Bits], slab: heaps.Slab, kind: str, mask: int) -> None:
        bits = out[slab.address]
        mask &= (1 << slab.blocks) - 1
        twice = mask & bits.idle
        if twice:
            self.walker.doubts["a block that was changing hands"] += twice.bit_count()
        setattr(bits, kind, getattr(bits, kind) | mask & ~twice)


def _run(cache: heaps.Bin) -> list[int]:
    return [cache.run_base + bit * cache.block_bytes for bit in range(64) if cache.run_mask >> bit & 1]
