"""The heap of a process, walked from outside: SuperSlabs unit by unit, slabs, spans, whales, heaps and what they cache.

The process runs meanwhile, so what is read may be torn: a slab may have gone between its descriptor and its heap.
Everything is checked before it is believed; what cannot be is left out, and `Snapshot.doubts` counts it by what was wrong.
In a process that is stopped, or does not allocate, every figure is exact.
"""

from __future__ import annotations

import collections
import dataclasses
import struct
import time
from typing import Iterable, Iterator, Optional

from tools.hakmem_lib.memory import Memory, Unreadable
from tools.hakmem_lib.view import Record, View

UNIT_BYTES = 64 * 1024
UNITS = 32
SUPERSLAB_BYTES = UNITS * UNIT_BYTES
SPAN = 0xFF  # class of a span
ALL_UNITS = (1 << UNITS) - 1

REGISTRY_NONE, REGISTRY_WHALE, REGISTRY_SPAN, REGISTRY_LAST_TAG = 0, 1, 2, 15
_NO_WINDOW = 1 << 63
_LEAF_UNITS = 1 << 16

_STATES = {1: "active", 2: "parked", 3: "lost", 4: "common", 6: "class"}
_HEAPS_MOST = 1 << 20
_WHALES_MOST = 1 << 24


@dataclasses.dataclass(frozen=True)
class SizeClass:
    """A row of the table of classes."""

    index: int
    block_bytes: int
    blocks: int
    units: int


@dataclasses.dataclass
class Slab:
    """A slab, or a span: `size_class` is SPAN then, and it is one block."""

    address: int  # of the descriptor
    base: int
    first_unit: int
    units: int
    size_class: int
    block_bytes: int
    blocks: int
    free: int  # blocks that are free in the slab
    heap: int  # address of the owner; 0 for spans, and where it is not known
    free_bits: int  # address of the bitmap
    remote_bits: int
    is_pending: bool  # other threads' frees may be waiting
    room_units: int  # of a span: held behind it for its growth
    asked_bytes: int  # of a span that grows; else 0
    clean_bits: int
    fresh_word: int

    @property
    def is_span(self) -> bool:
        """Whether it is one block of whole units."""
        return self.size_class == SPAN

    @property
    def bytes(self) -> int:
        """Of its units."""
        return self.units * UNIT_BYTES

    @property
    def taken(self) -> int:
        """Blocks that have left it: with the program, or in a cache."""
        return self.blocks - self.free

    @property
    def words(self) -> int:
        """Of its bitmaps."""
        return (self.blocks + 63) // 64


@dataclasses.dataclass
class SuperSlab:
    """2 MiB of 32 units."""

    address: int  # of the descriptor
    id: int
    base: int
    free_units: int  # masks
    dirty_units: int
    freed_ms: int
    slabs: list[Slab]

    @property
    def is_empty(self) -> bool:
        """Whether it is cached, without a used unit."""
        return not self.slabs and self.free_units in (0, ALL_UNITS)

    @property
    def used_units(self) -> int:
        """Units in slabs and spans."""
        return sum(slab.units for slab in self.slabs)

    @property
    def free_count(self) -> int:
        """Units that are free, all of them where it is empty."""
        return UNITS if self.is_empty else self.free_units.bit_count()

    @property
    def dirty_count(self) -> int:
        """Free units that have been used and not been given back since."""
        return (self.dirty_units & (ALL_UNITS if self.is_empty else self.free_units)).bit_count()

    @property
    def tier(self) -> str:
        """Where the next unit comes from: hot ones first, so that draining ones empty."""
        if self.is_empty:
            return "empty"
        count = self.free_units.bit_count()
        return "full" if count == 0 else "hot" if count < 16 else "draining"


@dataclasses.dataclass
class Bin:
    """What a heap caches of a class."""

    address: int
    size_class: int
    block_bytes: int
    slots: int  # blocks in its slots
    cap: int  # that it may have
    top: int  # address of the first of the slots
    run_mask: int
    run_base: int

    @property
    def cached(self) -> int:
        """Blocks in slots and run."""
        return self.slots + self.run_mask.bit_count()


@dataclasses.dataclass
class Heap:
    """A thread's heap, or that of a class of the site rules."""

    address: int
    state: str  # active, parked, lost, common or class
    thread_pointer: int
    thread: Optional[tuple[int, str]]  # number and name, where known
    bins: list[Bin]
    outbox: dict[int, int]  # class -> blocks of other threads that wait in its out-box
    counters: dict[str, int]
    class_refills: tuple[int, ...]  # what of refills and spills each class has
    class_spills: tuple[int, ...]
    budget_bytes: int
    granted_bytes: int
    caps_grown: int
    caps_shrunk: int
    in_slow_path: bool
    name: str = ""  # of a class

    @property
    def cached_bytes(self) -> int:
        """Of all bins."""
        return sum(bin.cached * bin.block_bytes for bin in self.bins)


@dataclasses.dataclass
class Whale:
    """A block too large for a SuperSlab. `state` is live, cached, or parked (freed, and its thread's to take again)."""

    address: int  # of the descriptor
    base: int
    size: int
    state: str
    freed_ms: int


@dataclasses.dataclass
class ClassFigures:
    """What there is of a class. blocks = free + cached + remote + live."""

    block_bytes: int
    slabs: int = 0
    blocks: int = 0
    free: int = 0  # in the slabs
    cached: int = 0  # in threads' caches
    remote: int = 0  # freed by other threads, on their way back
    slab_bytes: int = 0

    @property
    def live(self) -> int:
        """Blocks that the program has. Never below 0, whatever was torn."""
        return max(self.blocks - self.free - self.cached - self.remote, 0)

    @property
    def live_bytes(self) -> int:
        """Of the blocks that the program has."""
        return self.live * self.block_bytes

    @property
    def free_bytes(self) -> int:
        """Of the blocks that nobody has, cached ones not among them."""
        return self.free * self.block_bytes


@dataclasses.dataclass
class Times:
    """How long the slow paths of one cause took, since they are measured. Bucket 0: below 2**first_shift ns, and so on."""

    buckets: tuple[int, ...]
    first_shift: int
    sum_ns: int

    @property
    def count(self) -> int:
        """Of slow paths."""
        return sum(self.buckets)

    def below_ns(self, share: float) -> int:
        """This share of them took less."""
        seen = 0
        for index, count in enumerate(self.buckets):
            seen += count
            if seen >= share * self.count:
                return 1 << (self.first_shift + index)
        return 0


@dataclasses.dataclass(frozen=True)
class Sampled:
    """Of the live blocks that a heap profile has sampled, each for what it stands for: bytes asked for, and that they have."""

    asked_bytes: int
    block_bytes: int
    samples: int


MISUSE_KINDS = ("double_frees", "interior_pointers", "foreign_pointers", "wrong_sizes")


@dataclasses.dataclass
class Snapshot:
    """All that a walk found. Sizes in bytes."""

    version: str
    build: str
    taken: float  # time.monotonic()
    clock_ms: int  # the pool's, which freed_ms is by
    classes: list[SizeClass]
    superslabs: list[SuperSlab]
    heaps: list[Heap]
    whales: list[Whale]
    remote: dict[int, int]  # class -> blocks in the remote bitmaps
    counters: dict[str, dict[str, int]]  # pool, whales, os
    times: dict[str, Times]  # by cause; none where they are not measured
    metadata_bytes: int
    misuse: int
    misuse_kinds: dict[str, int]
    sampled: Sampled
    doubts: collections.Counter[str]

    def slabs(self) -> Iterator[Slab]:
        """Slabs and spans."""
        for superslab in self.superslabs:
            yield from superslab.slabs

    def spans(self) -> list[Slab]:
        """Live ones."""
        return [slab for slab in self.slabs() if slab.is_span and slab.taken]

    def parked_spans(self) -> list[Slab]:
        """Those that a thread has freed, and takes again next."""
        return [slab for slab in self.slabs() if slab.is_span and not slab.taken]

    def live_whales(self) -> list[Whale]:
        """Those that the program has."""
        return [whale for whale in self.whales if whale.state == "live"]

    def class_figures(self) -> list[ClassFigures]:
        """By class."""
        out = [ClassFigures(row.block_bytes) for row in self.classes]
        for slab in self.slabs():
            if slab.is_span:
                continue
            row = out[slab.size_class]
            row.slabs += 1
            row.blocks += slab.blocks
            row.free += slab.free
            row.slab_bytes += slab.bytes
        for heap in self.heaps:
            for cache in heap.bins:
                out[cache.size_class].cached += cache.cached
            for index, count in heap.outbox.items():
                out[index].remote += count
        for index, count in self.remote.items():
            out[index].remote += count
        return out


class Walker:
    """Walks the heap of one memory, again and again."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.memory: Memory = view.memory
        self.classes = [
            SizeClass(index, row["block_bytes"], row["blocks"], row["units"])
            for index, row in enumerate(view.records("size_classes", "size_class"))
        ]
        self.doubts: collections.Counter[str] = collections.Counter()
        superslab = view.structure("superslab")
        self._head_bytes = superslab.fields["slabs"].offset + UNITS * superslab.fields["slabs"].size
        self._slabs_at = superslab.fields["slabs"].offset
        self._slab_bytes = superslab.fields["slabs"].size
        self._superslab = _prefix_reader(
            view, "superslab", ("base", "id", "free_units", "dirty_units", "heads", "in_use", "freed_ms")
        )
        self._slab = view.structure("slab").reader(
            "base", "shape", "free_count", "mailbox", "pending",
            "complete", "room", "asked_bytes", "free_bits", "remote_bits",
            "clean_bits", "fresh_word",
        )  # fmt: skip
        self._bin = view.structure("bin").reader("top", "end", "begin", "run_mask", "run_base", "stride", "size_class")
        heap = view.structure("heap")
        self._heap_bytes = heap.size
        self._mailboxes = heap.fields["mailboxes"]
        self._bin_offsets = view.array("bin_offsets", 2)
        self._threads = ThreadNumbers(self.memory)
        self._heap_list: list[int] = []
        self._seen_heaps: dict[int, Heap] = {}
        self._seen_superslabs: dict[int, Optional[SuperSlab]] = {}
        self._heap_turn, self._superslab_turn = _Turn(), _Turn()

    def snapshot(self, most: Optional[int] = None) -> Snapshot:
        """The heap as it is now. With `most`: only so many SuperSlabs and heaps are read anew, in turn, and the others are
        as they were when they were read last. Their first reading is of all."""
        view = self.view
        self.doubts = collections.Counter()
        heaps = self.heaps() if most is None else self._heaps_in_turn(most)
        superslabs = self.superslabs() if most is None else self._superslabs_in_turn(most)
        pools = view.record("pool_counts", "pool_counts").numbers()
        whales = view.record("whales", "whales")
        return Snapshot(
            version=view.version,
            build=view.build,
            taken=time.monotonic(),
            clock_ms=view.number("pool_clock_ms"),
            classes=self.classes,
            superslabs=superslabs,
            heaps=heaps,
            whales=self.whales(),
            remote=self.remote(slab for superslab in superslabs for slab in superslab.slabs),
            counters={
                "pool": pools,
                "whales": whales.inner("figures", view.structure("whale_figures")).numbers(),
                "os": view.record("os_counters", "os_counters").numbers(),
            },
            times=self.times(),
            metadata_bytes=view.record("metadata", "metadata")["used_bytes"] + view.number("registry_leaf_bytes"),
            misuse=view.number("misuse_count"),
            misuse_kinds=dict(zip(MISUSE_KINDS, view.array("misuse_by_kind"))),
            sampled=self.sampled(),
            doubts=self.doubts,
        )

    # --- SuperSlabs ---

    def descriptors(self) -> list[int]:
        """Addresses of the descriptors of all SuperSlabs that there have been, by id."""
        view = self.view
        end = view.number("superslab_id_end")
        out = list(view.array("first_superslabs"))[:end]
        chunks_at, chunks_bytes = view.root("superslab_chunks")
        per_chunk = view.number("superslab_ids_per_chunk")
        index = 0
        while len(out) < end and index * 8 < chunks_bytes:
            # Ids below the first array's length have no place in the chunks that is used.
            first_id = index * per_chunk
            skip = max(len(out) - first_id, 0)
            count = min(per_chunk, end - first_id) - skip
            if count > 0:
                chunk = self.memory.word(chunks_at + index * 8)
                if chunk == 0:
                    self.doubts["a chunk of SuperSlabs is missing"] += 1
                    break
                out += struct.unpack(f"<{count}Q", self.memory.read(chunk + skip * 8, count * 8))
            index += 1
        return out

    def superslabs(self, descriptors: Optional[Iterable[int]] = None) -> list[SuperSlab]:
        """Those of `descriptors` that have memory; of all by default."""
        places = [place for place in (self.descriptors() if descriptors is None else descriptors) if place]
        out = []
        for place, data in zip(places, self.memory.read_many([(place, self._head_bytes) for place in places])):
            superslab = None if data is None else self._parse_superslab(place, data)
            if superslab is not None:
                out.append(superslab)
        return out

    def _parse_superslab(self, address: int, data: bytes) -> Optional[SuperSlab]:
        base, number, free_units, dirty_units, heads, in_use, freed_ms = self._superslab(data)
        if not in_use:
            return None
        if base == 0 or base % SUPERSLAB_BYTES:
            self.doubts["a SuperSlab that lies nowhere"] += 1
            return None
        slabs = []
        taken = free_units
        while heads:
            unit = (heads & -heads).bit_length() - 1
            heads &= heads - 1
            slab = self._parse_slab(address, base, unit, data)
            if slab is None:
                continue
            mask = ((1 << slab.units) - 1) << unit
            if taken & mask:
                self.doubts["a slab that changed hands"] += 1
                continue
            taken |= mask
            slabs.append(slab)
        return SuperSlab(address, number, base, free_units, dirty_units, freed_ms, slabs)

    def _parse_slab(self, superslab: int, base: int, unit: int, data: bytes) -> Optional[Slab]:
        at = self._slabs_at + unit * self._slab_bytes
        (
            slab_base,
            shape,
            free,
            mailbox,
            pending,
            complete,
            room,
            asked,
            free_bits,
            remote_bits,
            clean,
            fresh,
        ) = self._slab(data, at)
        index, units = shape & 0xFF, shape >> 8
        is_span = index == SPAN
        if slab_base != base + unit * UNIT_BYTES or not 1 <= units <= UNITS - unit:
            self.doubts["a slab that changed hands"] += 1
            return None
        if is_span:
            block_bytes, blocks = units * UNIT_BYTES, 1
        elif index < len(self.classes) and self.classes[index].units == units:
            block_bytes, blocks = self.classes[index].block_bytes, self.classes[index].blocks
        else:
            self.doubts["a slab that changed hands"] += 1
            return None
        if free > blocks:
            self.doubts["a slab with more free blocks than it has"] += 1
            free = blocks
        heap = 0
        if not is_span and mailbox:
            heap = mailbox - self._mailboxes.offset - index * self._mailboxes.size
            if heap % 4096:
                heap = 0
        room_units = max((room >> 8) - (room & 0xFF), 0) if room and is_span else 0
        return Slab(
            superslab + at, slab_base, unit, units, index, block_bytes, blocks, free, heap, free_bits, remote_bits,
            (pending | complete) != 0, room_units, asked if is_span else 0, clean, fresh,
        )  # fmt: skip

    def remote(self, slabs: Iterable[Slab]) -> dict[int, int]:
        """Class -> blocks that other threads have freed and their slabs do not know of yet."""
        waiting = [slab for slab in slabs if slab.is_pending and not slab.is_span]
        out: dict[int, int] = {}
        for slab, bits in zip(waiting, self.memory.read_many([(slab.remote_bits, slab.words * 8) for slab in waiting])):
            if bits is not None:
                count = min(int.from_bytes(bits, "little").bit_count(), slab.taken)
                out[slab.size_class] = out.get(slab.size_class, 0) + count
        return out

    def bitmap(self, slab: Slab) -> int:
        """Bit i: block i is free in the slab."""
        return int.from_bytes(self.memory.read(slab.free_bits, slab.words * 8), "little")

    def remote_bitmap(self, slab: Slab) -> int:
        """Bit i: another thread has freed block i."""
        return int.from_bytes(self.memory.read(slab.remote_bits, slab.words * 8), "little")

    def bitmaps(self, slabs: list[Slab]) -> list[Optional[int]]:
        """As bitmap, for many at once."""
        found = self.memory.read_many([(slab.free_bits, slab.words * 8) for slab in slabs])
        return [None if bits is None else int.from_bytes(bits, "little") for bits in found]

    def _superslabs_in_turn(self, most: int) -> list[SuperSlab]:
        places = [place for place in self.descriptors() if place]
        fresh = [place for place in places if place not in self._seen_superslabs]
        for place in self._superslab_turn.take(places, most) + fresh:
            self._seen_superslabs[place] = None
        now = [place for place, known in self._seen_superslabs.items() if known is None]
        for superslab in self.superslabs(now):
            self._seen_superslabs[superslab.address] = superslab
        # What has no memory is looked at again next time: a descriptor that comes into use counts at once.
        kept = {place: known for place, known in self._seen_superslabs.items() if known is not None}
        self._seen_superslabs = dict(kept)
        return list(kept.values())

    # --- heaps ---

    def heap_addresses(self) -> list[int]:
        """Every heap there has been, the youngest first, but for the common heap. A heap stays where it is for good."""
        known = self._heap_list
        fresh: list[int] = []
        seen: set[int] = set()
        address = self.view.number("first_heap")
        next_at = self.view.structure("heap").fields["next_heap"].offset
        while address and (not known or address != known[0]) and len(fresh) < _HEAPS_MOST:
            if address in seen or address % 4096:
                self.doubts["the list of heaps is no list"] += 1
                break
            seen.add(address)
            fresh.append(address)
            try:
                address = self.memory.word(address + next_at)
            except Unreadable:
                self.doubts["a heap that cannot be read"] += 1
                break
        self._heap_list = fresh + known
        return self._heap_list

    def heaps(self, addresses: Optional[list[int]] = None) -> list[Heap]:
        """Every heap, with what it caches, or those at `addresses`. The common heap too, where it has been used."""
        records = []
        places = self.heap_addresses() if addresses is None else addresses
        layout = self.view.structure("heap")
        for place, data in zip(places, self.memory.read_many([(place, layout.size) for place in places])):
            if data is None:
                self.doubts["a heap that cannot be read"] += 1
            else:
                records.append(Record(layout, place, data))
        common = self.view.record("common_heap", "heap")
        if common["state"]:
            records.append(common)
        numbers = self._threads.of([record["thread_pointer"] for record in records if record["state"] == 1])
        return [self._parse_heap(record, numbers) for record in records]

    def _heaps_in_turn(self, most: int) -> list[Heap]:
        places = self.heap_addresses()
        turn = set(self._heap_turn.take(places, most))
        now = [place for place in places if place in turn or place not in self._seen_heaps]
        for heap in self.heaps(now):
            self._seen_heaps[heap.address] = heap
        return list(self._seen_heaps.values())

    def _parse_heap(self, record: Record, numbers: dict[int, tuple[int, str]]) -> Heap:
        bins_at = self.view.structure("heap").fields["bins"].offset
        data = record.bytes_of("bins")
        bins = []
        for index, offset in enumerate(self._bin_offsets):
            top, end, begin, run_mask, run_base, stride, size_class = self._bin(data, offset)
            if stride == 0:
                continue
            row = self.classes[index]
            if stride != row.block_bytes or size_class != index or not begin <= top <= end or (end - begin) > 1 << 20:
                self.doubts["a cache that was changing"] += 1
                continue
            bins.append(
                Bin(
                    record.address + bins_at + offset,
                    index,
                    stride,
                    (end - top) // 8,
                    (end - begin) // 8,
                    top,
                    run_mask,
                    run_base,
                )
            )
        outbox: dict[int, int] = {}
        entries = self.view.structure("heap").fields["outbox"].count
        layout = self.view.structure("outbox_entry")
        for index in range(entries):
            entry = record.inner("outbox", layout, index)
            size_class = entry["key"] >> 16
            if entry["slab"] and size_class < len(self.classes):
                outbox[size_class] = outbox.get(size_class, 0) + entry["mask"].bit_count()
        state = _STATES.get(record["state"], "unknown")
        counters = record.inner("counters", self.view.structure("heap_counters"))
        return Heap(
            address=record.address,
            state=state,
            thread_pointer=record["thread_pointer"],
            thread=numbers.get(record["thread_pointer"]) if state == "active" else None,
            bins=bins,
            outbox=outbox,
            counters=counters.numbers(),
            class_refills=self._class_counts(counters, "class_refills", 0),
            class_spills=self._class_counts(counters, "class_spills", 16),
            budget_bytes=record["budget.limit_bytes"],
            granted_bytes=record["budget.granted_bytes"],
            caps_grown=record["budget.grown"],
            caps_shrunk=record["budget.shrunk"],
            in_slow_path=record["in_slow_path"] != 0,
            name=record.bytes_of("name").split(b"\0")[0].decode("ascii", "replace") if state == "class" else "",
        )

    def _class_counts(self, counters: Record, name: str, shift: int) -> tuple[int, ...]:
        """Of each class 48 bits, the upper ones elsewhere."""
        lower, carries = (
            struct.unpack(f"<{len(self.classes)}I", counters.bytes_of(field)) for field in (name, "class_carries")
        )
        return tuple((carry >> shift & 0xFFFF) << 32 | count for count, carry in zip(lower, carries))

    def cached_blocks(self, cache: Bin) -> list[int]:
        """Addresses of the blocks that a bin caches, those of its slots first."""
        out = list(struct.unpack(f"<{cache.slots}Q", self.memory.read(cache.top, cache.slots * 8)))
        mask = cache.run_mask
        while mask:
            out.append(cache.run_base + ((mask & -mask).bit_length() - 1) * cache.block_bytes)
            mask &= mask - 1
        return out

    # --- whales ---

    def whales(self) -> list[Whale]:
        """Live and cached ones."""
        view = self.view
        lists = view.record("whales", "whales")
        parked = {berth["guest"] for berth in view.records("berths", "berth")} - {0}
        out: list[Whale] = []
        for name in ("live", "cached"):
            heads = lists.inner(name, view.structure("whale_list"))
            seen = set()
            address = heads["newest"]
            while address and len(out) < _WHALES_MOST:
                if address in seen:
                    self.doubts["the list of whales is no list"] += 1
                    break
                seen.add(address)
                try:
                    record = view.read("whale", address)
                except Unreadable:
                    self.doubts["a whale that cannot be read"] += 1
                    break
                state = "parked" if name == "live" and address in parked else name
                if record["base"] and record["base"] % UNIT_BYTES == 0 and record["size_bytes"] % UNIT_BYTES == 0:
                    out.append(Whale(address, record["base"], record["size_bytes"], state, record["freed_ms"]))
                else:
                    self.doubts["a whale that was changing"] += 1
                address = record["older"]
        return out

    # --- times ---

    def times(self) -> dict[str, Times]:
        """How long slow paths took, by cause."""
        view = self.view
        if not view.number("latency_is_on"):
            return {}
        records = view.records("latencies", "latency")
        names = view.memory.read(*view.root("latency_names"))
        width = len(names) // len(records)
        buckets = view.structure("latency").fields["buckets"].count
        out = {}
        for index, record in enumerate(records):
            name = names[index * width : (index + 1) * width].split(b"\0", 1)[0].decode("ascii", "replace")
            counts = struct.unpack(f"<{buckets}Q", record.bytes_of("buckets"))
            out[name] = Times(counts, view.number("latency_first_shift"), record["sum_ns"])
        return out

    # --- the profile ---

    def sampled(self) -> Sampled:
        """What the samples that are live add up to; nothing without a profile."""
        record = self.view.record("profile", "profile")
        _, asked = struct.unpack("<QQ", record.bytes_of("live"))
        return Sampled(asked, record["live_block_bytes"], record["live_samples"])

    # --- the registry ---

    def look_up(self, address: int) -> tuple[int, int]:
        """Word and owner that the registry has for the unit that holds `address`; (0, 0): nobody's."""
        view = self.view
        leaf = view.structure("registry_leaf").fields
        if not 0 <= address < 1 << 48:
            return 0, 0
        minus_base = view.number("registry_minus_base")
        index = ((address + minus_base) & (1 << 64) - 1) >> 16
        if minus_base != _NO_WINDOW and index < _LEAF_UNITS:
            at = view.root("registry_window")[0]
        else:
            at = self.memory.word(view.root("registry_root")[0] + (address >> 32) * 8)
            index = (address >> 16) & 0xFFFF
            if at == 0:
                return 0, 0
        word = self.memory.word(at + leaf["word"].offset + index * 8)
        if word == REGISTRY_NONE:
            return 0, 0
        return word, self.memory.word(at + leaf["owner"].offset + index * 8)

    def leaves(self) -> list[int]:
        """Addresses of the leaves of the registry beside its window."""
        out: list[int] = []
        root, _ = self.view.root("registry_root")
        # Only where something is mapped: the table is large, and to read its untouched pages would make the kernel fill
        # them in.
        if self.view.number("registry_leaf_bytes") == 0:
            return out
        for entry in sorted({mapping.start >> 32 for mapping in self.memory.mappings() if mapping.start < 1 << 48}):
            leaf = self.memory.word(root + entry * 8)
            if leaf:
                out.append(leaf)
        return out


class _Turn:
    """Takes some of many, others each time."""

    def __init__(self) -> None:
        self._next = 0

    def take(self, items: list[int], most: int) -> list[int]:
        """`most` of them at most, those that come after the last ones."""
        if len(items) <= most:
            return items
        first = self._next % len(items)
        self._next = first + most
        return (items[first:] + items[:first])[:most]


class ThreadNumbers:
    """Which thread a thread pointer is of. libc keeps a thread's number somewhere near the pointer: where, shows in the
    numbers that there are."""

    _NEAR = 4096

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._known = memory.thread_pointers()
        self._place: Optional[int] = None

    def of(self, pointers: list[int]) -> dict[int, tuple[int, str]]:
        """Number and name, by pointer; of those that are known."""
        names = self._memory.threads()
        out = {pointer: self._known[pointer] for pointer in pointers if pointer in self._known}
        wanted = [pointer for pointer in pointers if pointer and pointer not in out]
        if self._place is None:
            self._place = self._find_place(wanted[:64], set(names))
        if self._place is not None:
            data = self._memory.read_many([(pointer + self._place, 4) for pointer in wanted])
            for pointer, number in zip(wanted, data):
                if number is not None and int.from_bytes(number, "little") in names:
                    out[pointer] = int.from_bytes(number, "little")
        return {pointer: (number, names.get(number, "")) for pointer, number in out.items()}

    def _find_place(self, pointers: list[int], numbers: set[int]) -> Optional[int]:
        """The distance at which most of the threads have a number of a thread, each another one."""
        found: dict[int, set[int]] = {}
        for pointer in pointers:
            for distance, number in self._numbers_near(pointer, numbers):
                found.setdefault(distance, set()).add(number)
        if not found:
            return None
        return min(found, key=lambda distance: (-len(found[distance]), distance < 0, abs(distance)))

    def _numbers_near(self, pointer: int, numbers: set[int]) -> Iterator[tuple[int, int]]:
        first = (pointer - self._NEAR) & ~4095
        pages = [page for page in range(first, pointer + self._NEAR, 4096)]
        for page, data in zip(pages, self._memory.read_many([(page, 4096) for page in pages])):
            if data is None:
                continue
            for index, number in enumerate(struct.unpack("<1024I", data)):
                distance = page + index * 4 - pointer
                if number in numbers and -self._NEAR <= distance < self._NEAR:
                    yield distance, number


def _prefix_reader(view: View, structure: str, names: tuple[str, ...]):
    """A reader of the first fields of a large structure, which needs the bytes of these only."""
    fields = view.structure(structure).fields
    out, at, order = "<", 0, sorted(names, key=lambda name: fields[name].offset)
    for name in order:
        field = fields[name]
        out += f"{field.offset - at}x" + {1: "B", 2: "H", 4: "I", 8: "Q"}[field.size]
        at = field.offset + field.size
    unpack = struct.Struct(out).unpack_from
    places = [order.index(name) for name in names]

    def read(data: bytes) -> tuple[int, ...]:
        values = unpack(data)
        return tuple(values[place] for place in places)

    return read
