"""A memory made by a test, with a small HAKMEM in it.

Its layout is not that of any build, so that what is read is read by name.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, Optional

from tools.hakmem_lib import elf
from tools.hakmem_lib.memory import Mapping, Memory, Unreadable

_LETTERS = {1: "B", 2: "H", 4: "I", 8: "Q"}
ABI = 1

CLASSES = [(16, 4096, 1), (1024, 64, 1), (24576, 8, 3)]  # block, blocks, units

# Structure -> (field, bytes of an element, elements), in the order of the offsets; 8 bytes of nothing lie between two.
LAYOUT: dict[str, list[tuple[str, int, int]]] = {
    "size_class": [("units", 1, 1), ("blocks", 2, 1), ("block_bytes", 4, 1)],
    "slab": [
        ("shape", 4, 1), ("base", 8, 1), ("free_count", 4, 1), ("mailbox", 8, 1), ("pending", 4, 1), ("complete", 4, 1), ("room", 4, 1),
        ("asked_bytes", 4, 1), ("free_bits", 8, 1), ("remote_bits", 8, 1), ("clean_bits", 8, 1), ("fresh_word", 2, 1),
    ],
    "superslab": [
        ("id", 4, 1), ("base", 8, 1), ("free_units", 4, 1), ("dirty_units", 4, 1), ("heads", 4, 1), ("in_use", 4, 1),
        ("freed_ms", 8, 1), ("slabs", 0, 32),
    ],
    "bin": [
        ("stride", 4, 1), ("size_class", 1, 1), ("top", 8, 1), ("end", 8, 1), ("begin", 8, 1), ("run_mask", 8, 1),
        ("run_base", 8, 1),
    ],
    "mailbox": [("head", 8, 1)],
    "outbox_entry": [("key", 4, 1), ("slab", 8, 1), ("mask", 8, 1)],
    "heap_counters": [("refills", 8, 1), ("class_refills", 4, len(CLASSES)), ("spills", 8, 1), ("class_spills", 4, len(CLASSES)), ("class_carries", 4, len(CLASSES))],
    "latency": [("sum_ns", 8, 1), ("buckets", 8, 4)],
    "heap": [
        ("next_heap", 8, 1), ("state", 4, 1), ("thread_pointer", 8, 1), ("in_slow_path", 4, 1), ("budget.limit_bytes", 8, 1),
        ("budget.granted_bytes", 8, 1), ("budget.grown", 8, 1), ("budget.shrunk", 8, 1), ("counters", 0, 1),
        ("outbox", 0, 2), ("mailboxes", 0, len(CLASSES)), ("bins", 0, len(CLASSES)), ("name", 1, 24),
    ],
    "whale": [("size_bytes", 8, 1), ("base", 8, 1), ("freed_ms", 8, 1), ("older", 8, 1)],
    "whale_list": [("oldest", 8, 1), ("newest", 8, 1)],
    "whale_figures": [("from_new", 8, 1), ("moved", 8, 1)],
    "whales": [("cached", 0, 1), ("live", 0, 1), ("figures", 0, 1)],
    "berth": [("guest", 8, 1)],
    "pool_counts": [("from_units", 8, 1), ("complete", 8, 1), ("complete_blocks", 8, 1), ("purged_bytes", 8, 1)],
    "os_counters": [("map_calls", 8, 1)],
    "metadata": [("end", 8, 1), ("used_bytes", 8, 1)],
    "registry_leaf": [("owner", 8, 1 << 16), ("word", 8, 1 << 16)],
    "option": [("initial", 8, 1), ("name", 1, 24)],
    "profile": [("live", 16, 1), ("live_block_bytes", 8, 1), ("live_samples", 8, 1)],
    "control": [("profile_interval_bytes", 8, 1)],
}  # fmt: skip
_INNER = {
    ("superslab", "slabs"): "slab", ("heap", "counters"): "heap_counters", ("heap", "outbox"): "outbox_entry",
    ("heap", "mailboxes"): "mailbox", ("heap", "bins"): "bin", ("whales", "cached"): "whale_list",
    ("whales", "live"): "whale_list", ("whales", "figures"): "whale_figures",
}  # fmt: skip


class FakeMemory(Memory):
    """Pages by address; what was never written to is unreadable."""

    name = "fake"

    def __init__(self) -> None:
        self.pages: dict[int, bytearray] = {}
        self.extra_mappings: list[Mapping] = []
        self.names: dict[int, str] = {1: "fake"}
        self.pointers: dict[int, int] = {}

    def read(self, address: int, size: int) -> bytes:
        out = b""
        while size > 0:
            page = self.pages.get(address >> 12)
            if page is None:
                raise Unreadable(f"fake: no memory at {address:#x}")
            step = min(size, 4096 - address % 4096)
            out += page[address % 4096 : address % 4096 + step]
            address, size = address + step, size - step
        return out

    def write(self, address: int, data: bytes) -> None:
        """Makes pages where there are none."""
        while data:
            page = self.pages.setdefault(address >> 12, bytearray(4096))
            step = min(len(data), 4096 - address % 4096)
            page[address % 4096 : address % 4096 + step] = data[:step]
            address, data = address + step, data[step:]

    def mappings(self) -> list[Mapping]:
        return [
            Mapping(page << 12, (page + 1) << 12, "rw-p", 0, "") for page in sorted(self.pages)
        ] + self.extra_mappings

    def open_file(self, mapping: Mapping) -> Optional[BinaryIO]:
        return None

    def threads(self) -> dict[int, str]:
        return self.names

    def thread_pointers(self) -> dict[int, int]:
        return self.pointers


class FakeHakmem:
    """Variables, structures and the view that names them."""

    VIEW = 0x70000000

    def __init__(self, abi: int = ABI, version: bytes = b"1.2.3") -> None:
        self.memory = FakeMemory()
        self._next = 0x10000000
        self.layouts: dict[str, dict[str, tuple[int, int, int]]] = {}
        self.sizes: dict[str, int] = {}
        for name in LAYOUT:
            self._lay_out(name)
        self.roots: dict[str, tuple[int, int]] = {}
        classes = self.root("size_classes", self.sizes["size_class"] * len(CLASSES))
        for index, (block, blocks, units) in enumerate(CLASSES):
            at = classes + index * self.sizes["size_class"]
            self.set("size_class", at, block_bytes=block, blocks=blocks, units=units)
        offsets = [index * self.sizes["bin"] for index in range(len(CLASSES))]
        self.memory.write(self.root("bin_offsets", 2 * len(CLASSES)), struct.pack(f"<{len(CLASSES)}H", *offsets))
        for name, size in (
            ("superslab_id_end", 4), ("first_superslabs", 8 * 4), ("superslab_chunks", 8 * 4), ("superslab_ids_per_chunk", 4),
            ("first_heap", 8), ("common_heap", self.sizes["heap"]), ("whales", self.sizes["whales"]),
            ("berths", self.sizes["berth"] * 2), ("pool_counts", self.sizes["pool_counts"]), ("pool_clock_ms", 8),
            ("os_counters", self.sizes["os_counters"]), ("metadata", self.sizes["metadata"]), ("registry_leaf_bytes", 8),
            ("registry_root", 1 << 19), ("registry_window", 1 << 20), ("registry_minus_base", 8), ("misuse_count", 8),
            ("misuse_by_kind", 8 * 4), ("profile", self.sizes["profile"]),
            ("latencies", self.sizes["latency"] * 2), ("latency_names", 16), ("latency_first_shift", 4), ("latency_is_on", 4),
            ("options", self.sizes["option"] * 2), ("option_values", 16), ("option_sources", 8), ("control", 8),
        ):  # fmt: skip
            self.root(name, size)
        self.put("superslab_ids_per_chunk", 4, size=4)
        self._write_view(abi, version)

    # --- writing ---

    def place(self, size: int, alignment: int = 64) -> int:
        """New memory, all zero."""
        at = -(-self._next // alignment) * alignment
        self._next = at + size
        self.memory.write(at, bytes(size))
        return at

    def root(self, name: str, size: int) -> int:
        """A variable. Of the large tables only the first page is there."""
        at = self.place(min(size, 4096), 4096 if size > 4096 else 64)
        self._next = max(self._next, at + size)
        self.roots[name] = (at, size)
        return at

    def put(self, root: str, value: int, index: int = 0, size: int = 8) -> None:
        """Sets a variable, or one of an array."""
        self.memory.write(self.roots[root][0] + index * size, value.to_bytes(size, "little"))

    def set(self, structure: str, address: int, **values: int) -> None:
        """Sets fields. `budget__grown` is the field budget.grown."""
        for name, value in values.items():
            offset, size, _ = self.layouts[structure][name.replace("__", ".")]
            self.memory.write(address + offset, value.to_bytes(size, "little"))

    def at(self, structure: str, address: int, field: str, index: int = 0) -> int:
        """Where an element of a field is."""
        offset, size, _ = self.layouts[structure][field]
        return address + offset + index * size

    # --- a heap ---

    def heap(self, **values: int) -> int:
        """A new heap, listed."""
        at = self.place(self.sizes["heap"], 4096)
        first = struct.unpack("<Q", self.memory.read(self.roots["first_heap"][0], 8))[0]
        self.set("heap", at, **{"next_heap": first, "state": 1, **values})
        self.put("first_heap", at)
        return at

    def cache(
        self, heap: int, size_class: int, blocks: list[int], cap: int = 8, run_mask: int = 0, run_base: int = 0
    ) -> int:
        """What a heap caches of a class."""
        slots = self.place(8 * (cap + 1))
        top = slots + 8 * (cap - len(blocks))
        self.memory.write(top, struct.pack(f"<{len(blocks)}Q", *blocks))
        at = self.at("heap", heap, "bins", size_class)
        self.set("bin", at, stride=CLASSES[size_class][0], size_class=size_class, begin=slots, top=top, end=slots + 8 * cap,
                 run_mask=run_mask, run_base=run_base)  # fmt: skip
        return at

    def superslab(self, base: int, **values: int) -> int:
        """A new SuperSlab with all units free, listed."""
        at = self.place(self.sizes["superslab"], 4096)
        number = struct.unpack("<I", self.memory.read(self.roots["superslab_id_end"][0], 4))[0]
        self.set("superslab", at, **{"id": number, "base": base, "free_units": 0xFFFFFFFF, "in_use": 1, **values})
        if number < 4:
            self.put("first_superslabs", at, number)
        else:
            chunk = struct.unpack("<Q", self.memory.read(self.roots["superslab_chunks"][0] + number // 4 * 8, 8))[0]
            chunk = chunk or self.place(32)
            self.put("superslab_chunks", chunk, number // 4)
            self.memory.write(chunk + number % 4 * 8, at.to_bytes(8, "little"))
        self.put("superslab_id_end", number + 1, size=4)
        return at

    def slab(
        self, superslab: int, unit: int, size_class: int, heap: int, free: int, units: int = 0, **values: int
    ) -> int:
        """A slab (or span, of `units`) in it; its lowest `free` blocks are free."""
        is_span = size_class == 0xFF
        units = units or CLASSES[size_class][2]
        at = self.at("superslab", superslab, "slabs", unit)
        base = int.from_bytes(self.memory.read(self.at("superslab", superslab, "base"), 8), "little")
        bits = self.place(1024)
        self.memory.write(bits, ((1 << free) - 1).to_bytes(512, "little"))
        mailbox = 0 if is_span else self.at("heap", heap, "mailboxes", size_class)
        self.set("slab", at, **{
            "base": base + (unit << 16), "shape": size_class | units << 8, "free_count": free, "mailbox": mailbox,
            "free_bits": bits, "remote_bits": bits + 512, **values,
        })  # fmt: skip
        for name, change in (
            ("free_units", lambda mask: mask & ~(((1 << units) - 1) << unit)),
            ("heads", lambda mask: mask | 1 << unit),
        ):
            old = int.from_bytes(self.memory.read(self.at("superslab", superslab, name), 4), "little")
            self.set("superslab", superslab, **{name: change(old)})
        return at

    def whale(self, base: int, size: int, listed: str = "live", **values: int) -> int:
        """A whale at the head of a list."""
        at = self.place(self.sizes["whale"])
        head = self.at("whales", self.roots["whales"][0], listed) + self.layouts["whale_list"]["newest"][0]
        older = struct.unpack("<Q", self.memory.read(head, 8))[0]
        self.set("whale", at, **{"base": base, "size_bytes": size, "older": older, **values})
        self.memory.write(head, at.to_bytes(8, "little"))
        return at

    # --- the view ---

    def _lay_out(self, name: str) -> None:
        if name in self.layouts:
            return
        out, at = {}, 8
        for field, size, count in LAYOUT[name]:
            inner = _INNER.get((name, field))
            if inner:
                self._lay_out(inner)
                size = self.sizes[inner]
            alignment = min(size & -size, 8)
            at = -(-at // alignment) * alignment
            out[field] = (at, size, count)
            at += size * count + 8
        self.layouts[name], self.sizes[name] = out, -(-at // 8) * 8

    def _write_view(self, abi: int, version: bytes) -> None:
        rows = b""
        count = 0
        for name, fields in self.layouts.items():
            rows += struct.pack("<24s24sIII", name.encode(), b"", 0, self.sizes[name], 1)
            for field, (offset, size, elements) in fields.items():
                rows += struct.pack("<24s24sIII", name.encode(), field.encode(), offset, size, elements)
            count += 1 + len(fields)
        names = b"".join(struct.pack("<24sI", name.encode(), size) for name, (_, size) in self.roots.items())
        addresses = struct.pack(f"<{len(self.roots)}Q", *[address for address, _ in self.roots.values()])
        places = []
        for data in (rows, names, addresses):
            places.append(self.place(len(data)))
            self.memory.write(places[-1], data)
        part = self.place(32)
        self.memory.write(part, struct.pack("<QQQII", *places, count, len(self.roots)))
        header = struct.pack("<16sQII24sIIII", elf.MAGIC, self.VIEW, 80, abi, version, 0, 1, 60, 28)
        self.memory.write(self.VIEW, header + struct.pack("<Q", part))
