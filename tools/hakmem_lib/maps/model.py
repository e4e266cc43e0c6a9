"""A heap block by block, and the JSON that snapshots and pages have of it.

The JSON is made of rows, so that a heap of a gibibyte is a page of a few megabytes at most; page.js reads it too. A bitmap
is "" where no bit is set, "*" where all are, else base64 of its bytes, the lowest bit first.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
from typing import Any, Iterator, Optional

from tools.hakmem_lib.heap import ALL_UNITS, SPAN, SUPERSLAB_BYTES, UNIT_BYTES, UNITS

FORMAT = 1

SAME, APPEARED, VANISHED, CHANGED = "same", "appeared", "vanished", "changed"
_CHANGES = (SAME, APPEARED, VANISHED, CHANGED)
WHALE_STATES = ("live", "cached", "parked")


class Damaged(Exception):
    """No JSON of a map."""


@dataclasses.dataclass
class Bits:
    """The blocks of a slab by where they are; those in none of the three the program has."""

    free: int
    cached: int
    remote: int

    @property
    def idle(self) -> int:
        """Those that the program does not have."""
        return self.free | self.cached | self.remote


@dataclasses.dataclass
class Change:
    """Between two snapshots. `gained`: blocks that the program has now and had not; `lost`: the other way round."""

    kind: str
    gained: int = 0
    lost: int = 0
    gained_bits: Optional[int] = None
    lost_bits: Optional[int] = None
    was: str = ""  # what was in its units before


@dataclasses.dataclass
class Slab:
    """A slab or span."""

    first_unit: int
    units: int
    size_class: int
    block_bytes: int
    blocks: int
    owner: int  # index of its heap; -1: none, or not known
    room_units: int
    asked_bytes: int
    free: int
    cached: int
    remote: int
    bits: Optional[Bits]  # None: left out
    change: Optional[Change] = None

    @property
    def is_span(self) -> bool:
        """Whether it is one block of whole units."""
        return self.size_class == SPAN

    @property
    def live(self) -> int:
        """Blocks that the program has."""
        return max(self.blocks - self.free - self.cached - self.remote, 0)

    @property
    def mask(self) -> int:
        """Its units."""
        return ((1 << self.units) - 1) << self.first_unit


@dataclasses.dataclass
class SuperSlab:
    """2 MiB."""

    base: int
    number: int
    free_units: int
    dirty_units: int
    age_ms: Optional[int]  # since a unit of it was freed last
    resident: Optional[int]  # bitmap of its pages; None: nobody says
    slabs: list[Slab]
    change: str = SAME


@dataclasses.dataclass
class Whale:
    """A block too large for a SuperSlab."""

    base: int
    size: int
    state: str
    age_ms: Optional[int]  # since it was freed
    resident_bytes: Optional[int]
    cells: bytes  # how much of each of so many equal parts is resident, 255: all
    change: str = SAME


@dataclasses.dataclass
class Heap:
    """A thread's heap, or one of site rules, with the name of its class."""

    address: int
    state: str
    tid: Optional[int]
    name: str


@dataclasses.dataclass
class Map:
    """All of it. `old`: of a difference, what the page says of the snapshot before."""

    pid: int
    name: str
    version: str
    build: str
    taken: float  # seconds since 1970
    page_bytes: int
    classes: list[tuple[int, int, int]]  # bytes of a block, blocks, units
    heaps: list[Heap]
    superslabs: list[SuperSlab]
    whales: list[Whale]
    resident: Optional[dict[str, int]]  # as `hakmem stat --json` has it
    doubts: dict[str, int]
    is_core: bool = False  # of a core file, which does not say what was resident
    left_out: int = 0  # slabs of which only the counts are here
    left_out_over: int = 0  # bytes that the bitmaps may take
    old: Optional[dict[str, Any]] = None

    def slabs(self) -> Iterator[Slab]:
        """Slabs and spans of all SuperSlabs."""
        for superslab in self.superslabs:
            yield from superslab.slabs

    @property
    def pages_per_superslab(self) -> int:
        """Bits of SuperSlab.resident."""
        return SUPERSLAB_BYTES // self.page_bytes


def totals(heap: Map) -> dict[str, int]:
    """Bytes by where they are; what vanished is not counted. Their sum is what is mapped for blocks."""
    names = ("live", "cached", "remote", "free", "tails", "rooms", "unused", "dirty", "unknown", "idle_whales")
    out = {name: 0 for name in names}
    for superslab in heap.superslabs:
        if superslab.change == VANISHED:
            continue
        units = UNITS
        for slab in superslab.slabs:
            if slab.change is not None and slab.change.kind == VANISHED:
                continue
            for name in ("live", "cached", "remote", "free"):
                out[name] += getattr(slab, name) * slab.block_bytes
            out["tails"] += slab.units * UNIT_BYTES - slab.blocks * slab.block_bytes
            out["rooms"] += slab.room_units * UNIT_BYTES
            units -= slab.units + slab.room_units
        dirty = (superslab.free_units & superslab.dirty_units).bit_count()
        out["dirty"] += dirty * UNIT_BYTES
        out["unused"] += (superslab.free_units.bit_count() - dirty) * UNIT_BYTES
        out["unknown"] += (units - superslab.free_units.bit_count()) * UNIT_BYTES
    for whale in heap.whales:
        if whale.change != VANISHED:
            out["live" if whale.state == "live" else "idle_whales"] += whale.size
    return out


# --- to JSON ---


def bitmap_text(bits: int, count: int) -> str:
    """A bitmap of `count` bits."""
    if bits == 0:
        return ""
    if bits == (1 << count) - 1:
        return "*"
    return base64.b64encode(bits.to_bytes((count + 7) // 8, "little")).decode("ascii")


def to_json(heap: Map) -> dict[str, Any]:
    """For json.dumps."""
    out = {field.name: getattr(heap, field.name) for field in dataclasses.fields(Map)}
    out["heaps"] = [dataclasses.astuple(row) for row in heap.heaps]
    out["superslabs"] = [_superslab_row(heap, superslab) for superslab in heap.superslabs]
    out["whales"] = [
        [whale.base, whale.size, whale.state, whale.age_ms, whale.resident_bytes,
         base64.b64encode(whale.cells).decode("ascii"), whale.change]
        for whale in heap.whales
    ]  # fmt: skip
    return {"hakmem_map": FORMAT, **out}


def _superslab_row(heap: Map, superslab: SuperSlab) -> list[Any]:
    resident = None if superslab.resident is None else bitmap_text(superslab.resident, heap.pages_per_superslab)
    slabs = [_slab_row(slab) for slab in superslab.slabs]
    return [
        superslab.base, superslab.number, superslab.free_units, superslab.dirty_units, superslab.age_ms, resident, slabs,
        superslab.change,
    ]  # fmt: skip


def bits_texts(slab: Slab) -> tuple[Optional[str], Optional[str], Optional[str]]:
    """Its bitmaps as they go into the JSON."""
    if slab.bits is None:
        return None, None, None
    free, cached, remote = (
        bitmap_text(bits, slab.blocks) for bits in (slab.bits.free, slab.bits.cached, slab.bits.remote)
    )
    return free, cached, remote


def _slab_row(slab: Slab) -> list[Any]:
    row: list[Any] = [
        slab.first_unit, slab.units, slab.size_class, slab.owner, slab.room_units, slab.asked_bytes, slab.free, slab.cached,
        slab.remote, *bits_texts(slab),
    ]  # fmt: skip
    change = slab.change
    if change is not None:
        texts = [
            None if bits is None else bitmap_text(bits, slab.blocks) for bits in (change.gained_bits, change.lost_bits)
        ]
        row.append([change.kind, change.gained, change.lost, *texts, change.was])
    return row


# --- from JSON ---


def from_json(document: Any) -> Map:
    """The map that a JSON is of; every value of it is one that may be. Damaged: it is none."""
    if not isinstance(document, dict) or "hakmem_map" not in document:
        raise Damaged("it is no map of hakmem")
    try:
        return _Reader(document).map()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(str(error) or type(error).__name__) from error


class _Reader:
    """Reads the JSON of one map; ValueError and its like where it cannot."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._classes = [
            (_number(block), _number(blocks), _number(units)) for block, blocks, units in document["classes"]
        ]
        self._page_bytes = _number(document["page_bytes"])
        if self._page_bytes not in (4096, 16384, 65536):
            raise ValueError(f"pages of {self._page_bytes} bytes")
        self._heaps = [
            Heap(_number(address), _text(state), None if tid is None else _number(tid), _text(name))
            for address, state, tid, name in document["heaps"]
        ]

    def map(self) -> Map:
        """All of it."""
        get = self._document.__getitem__
        resident = get("resident")
        return Map(
            pid=_number(get("pid")), name=_text(get("name")), version=_text(get("version")), build=_text(get("build")),
            taken=float(get("taken")), page_bytes=self._page_bytes, classes=self._classes, heaps=self._heaps,
            superslabs=[self._superslab(*row) for row in get("superslabs")],
            whales=[self._whale(*row) for row in get("whales")],
            resident=None if resident is None else {_text(name): int(count) for name, count in resident.items()},
            doubts={_text(name): _number(count) for name, count in get("doubts").items()},
            is_core=self._document.get("is_core", False) is True,
            left_out=_number(get("left_out")), left_out_over=_number(get("left_out_over")), old=get("old"),
        )  # fmt: skip

    def _superslab(
        self, base: Any, number: Any, free: Any, dirty: Any, age: Any, resident: Any, slabs: Any, change: Any
    ) -> SuperSlab:
        if _number(base) % SUPERSLAB_BYTES or base == 0 or max(_number(free), _number(dirty)) > ALL_UNITS:
            raise ValueError(f"a SuperSlab at {base}")
        pages = SUPERSLAB_BYTES // self._page_bytes
        return SuperSlab(
            base, _number(number), free, dirty, _age(age), _bitmap(resident, pages),
            [self._slab(row) for row in slabs], _one_of(change, _CHANGES),
        )  # fmt: skip

    def _slab(self, row: list[Any]) -> Slab:
        first, units, size_class, owner, room, asked, free, cached, remote = (int(value) for value in row[:9])
        if not (0 <= first and 1 <= units <= UNITS - first and 0 <= room <= UNITS - first - units):
            raise ValueError(f"a slab of units {first} and {units} more")
        if size_class == SPAN:
            block_bytes, blocks = units * UNIT_BYTES, 1
        else:
            block_bytes, blocks, class_units = self._classes[_number(size_class)]
            if class_units != units:
                raise ValueError(f"a slab of class {size_class} in {units} units")
        if min(free, cached, remote, asked) < 0 or free + cached + remote > blocks or not -1 <= owner < len(self._heaps):
            raise ValueError(f"a slab of {blocks} blocks with {free}, {cached} and {remote}")
        maps = [_bitmap(text, blocks) for text in row[9:12]]
        bits = None if maps[0] is None or maps[1] is None or maps[2] is None else Bits(maps[0], maps[1], maps[2])
        counts = bits and (bits.free.bit_count(), bits.cached.bit_count(), bits.remote.bit_count())
        if counts not in (None, (free, cached, remote)):
            raise ValueError("a slab whose bitmaps are not what its counts are")
        change = None
        if len(row) > 12:
            kind, gained, lost, gained_text, lost_text, was = row[12]
            change = Change(
                _one_of(kind, _CHANGES), _number(gained), _number(lost), _bitmap(gained_text, blocks),
                _bitmap(lost_text, blocks), _text(was),
            )  # fmt: skip
        return Slab(
            first, units, size_class, block_bytes, blocks, owner, room, asked, free, cached, remote, bits, change
        )

    def _whale(self, base: Any, size: Any, state: Any, age: Any, resident: Any, cells: Any, change: Any) -> Whale:
        if _number(base) % UNIT_BYTES or _number(size) % UNIT_BYTES or size == 0:
            raise ValueError(f"a whale at {base}")
        return Whale(
            base, size, _one_of(state, WHALE_STATES), _age(age), None if resident is None else _number(resident),
            base64.b64decode(cells, validate=True), _one_of(change, _CHANGES),
        )  # fmt: skip


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _age(value: Any) -> Optional[int]:
    return None if value is None else _number(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _one_of(value: Any, words: tuple[str, ...]) -> str:
    if value not in words:
        raise ValueError(f"{value!r} is none of {', '.join(words)}")
    return str(value)


@functools.lru_cache(maxsize=4096)
def _bitmap(text: Any, count: int) -> Optional[int]:
    if text is None:
        return None
    if text == "*":
        return (1 << count) - 1
    data = base64.b64decode(_text(text), validate=True)
    bits = int.from_bytes(data, "little")
    if bits >> count or (data and len(data) != (count + 7) // 8):
        raise ValueError(f"a bitmap of more than {count} bits")
    return bits
