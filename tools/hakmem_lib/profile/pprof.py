"""pprof's profile.proto (github.com/google/pprof/proto/profile.proto), written field by field: gzip of one message Profile.

The wire format is varints and length-delimited bytes; there is no need for a library to write it.
"""

from __future__ import annotations

import gzip
from typing import Iterable, Sequence

from tools.hakmem_lib.memory import Mapping
from tools.hakmem_lib.profile.data import Profile, Sum
from tools.hakmem_lib.profile.symbols import Place, Symbols
from tools.hakmem_lib.profile.views import VIEWS

#: Names of the columns; pprof -sample_index picks one. The one of the live bytes has the name that pprof expects of heaps.
COLUMNS = {
    "live": ("inuse_objects", "inuse_space"),
    "peak": ("peak_objects", "peak_space"),
    "leak": ("leak_objects", "leak_space"),
    "fragmentation": ("stranding_objects", "stranded_space"),
    "allocated": ("alloc_objects", "alloc_space"),
}


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return b"" if value == 0 else _varint(field << 3) + _varint(value)


def _data(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _packed(field: int, values: Iterable[int]) -> bytes:
    return _data(field, b"".join(_varint(value) for value in values))


class _Strings:
    def __init__(self) -> None:
        self._index = {"": 0}

    def __call__(self, text: str) -> int:
        return self._index.setdefault(text, len(self._index))

    def encode(self) -> bytes:
        return b"".join(_data(6, text.encode()) for text in self._index)


class _Writer:
    """Numbers what the message refers to, as it is first met."""

    def __init__(self) -> None:
        self.strings = _Strings()
        self._functions: dict[tuple[str, str], int] = {}
        self._mappings: dict[Mapping, int] = {}
        self._locations: dict[int, int] = {}
        self._location_data: list[bytes] = []

    def value_type(self, kind: str, unit: str) -> bytes:
        return _number(1, self.strings(kind)) + _number(2, self.strings(unit))

    def location(self, place: Place) -> int:
        known = self._locations.get(place.address)
        if known is not None:
            return known
        index = len(self._locations) + 1
        self._locations[place.address] = index
        data = _number(1, index)
        if place.mapping is not None:
            data += _number(2, self._mappings.setdefault(place.mapping, len(self._mappings) + 1))
        data += _number(3, place.address)
        for line in place.lines:
            function = self._functions.setdefault((line.function, line.file), len(self._functions) + 1)
            data += _data(4, _number(1, function) + _number(2, line.line))
        self._location_data.append(_data(4, data))
        return index

    def tables(self) -> bytes:
        out = b""
        for mapping, index in self._mappings.items():
            data = _number(1, index) + _number(2, mapping.start) + _number(3, mapping.end) + _number(4, mapping.offset)
            data += _number(5, self.strings(mapping.path))
            out += _data(3, data + _number(7, 1) + _number(8, 1) + _number(9, 1) + _number(10, 1))
        out += b"".join(self._location_data)
        for (name, file), index in self._functions.items():
            text = self.strings(name)
            out += _data(5, _number(1, index) + _number(2, text) + _number(3, text) + _number(4, self.strings(file)))
        return out


def encode(profile: Profile, symbols: Symbols, by_view: dict[str, dict[int, Sum]], when_ns: int) -> bytes:
    """The message Profile, not compressed. `by_view` has the estimates of each view by site."""
    writer = _Writer()
    out = b""
    for view in VIEWS:
        objects, space = COLUMNS[view.name]
        out += _data(1, writer.value_type(objects, "count")) + _data(1, writer.value_type(space, "bytes"))
    for index, site in enumerate(profile.sites):
        values: list[int] = []
        for view in VIEWS:
            part = by_view[view.name].get(index, Sum())
            values += [round(part.blocks), round(part.bytes)]
        if any(values):
            locations: Sequence[int] = [writer.location(place) for place in symbols.stack(site.frames)]
            out += _data(2, _packed(1, locations) + _packed(2, values))
    out += writer.tables()
    period = writer.value_type("space", "bytes")
    comment = writer.strings(f"HAKMEM heap profile of {profile.name}, one sample in {profile.mean_bytes} bytes")
    default = writer.strings(COLUMNS["live"][1])
    out += writer.strings.encode()
    out += _number(9, when_ns) + _number(10, profile.duration_ms * 1_000_000)
    out += _data(11, period) + _number(12, profile.mean_bytes) + _packed(13, [comment]) + _number(14, default)
    return out


def compress(message: bytes) -> bytes:
    """As pprof reads it. The same bytes for the same message."""
    return gzip.compress(message, mtime=0)
