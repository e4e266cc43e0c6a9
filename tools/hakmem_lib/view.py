"""What `hak_view` describes: structures by field, variables by name. hakmem/view/view.h is the other side of it."""

from __future__ import annotations

import dataclasses
import struct
from typing import Callable, Iterator, Sequence

from tools.hakmem_lib import elf
from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.memory import Memory, Unreadable

ABI = 1

_HEADER = struct.Struct("<16sQII24sIIII")
_NAME_BYTES = 24
_FIELD = struct.Struct(f"<{_NAME_BYTES}s{_NAME_BYTES}sIII")
_ROOT = struct.Struct(f"<{_NAME_BYTES}sI")
_PART = struct.Struct("<QQQII")
_LETTERS = {1: "B", 2: "H", 4: "I", 8: "Q"}
_BUILDS = {1: "asan", 2: "debug", 4: "paranoid"}


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a structure. `size` is that of one of `count` elements."""

    offset: int
    size: int
    count: int


class Structure:
    """A structure of the C sources."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = 0
        self.fields: dict[str, Field] = {}

    def unpacker(self, *names: str) -> struct.Struct:
        """For so many bytes of the structure as there are, from the first on: gives the values of these fields, which are
        numbers, in the order of their offsets."""
        fields = [self.fields[name] for name in names]
        if fields != sorted(fields, key=lambda field: field.offset):
            raise AssertionError(f"{self.name}: not in the order of their offsets: {names}")
        out, at = "<", 0
        for field in fields:
            out += f"{field.offset - at}x{_LETTERS[field.size]}"
            at = field.offset + field.size
        return struct.Struct(out + f"{self.size - at}x")

    def reader(self, *names: str) -> Callable[[bytes, int], tuple[int, ...]]:
        """As unpacker, for the structure at an offset of some bytes, its values in the order of the names."""
        ordered = sorted(names, key=lambda name: self.fields[name].offset)
        unpack = self.unpacker(*ordered).unpack_from
        if list(names) == ordered:
            return unpack
        places = [ordered.index(name) for name in names]

        def read(data: bytes, offset: int = 0) -> tuple[int, ...]:
            values = unpack(data, offset)
            return tuple(values[place] for place in places)

        return read


class Record:
    """The bytes of one structure. record["field"] is a number; fields that are no numbers have an address."""

    def __init__(self, structure: Structure, address: int, data: bytes) -> None:
        self.structure = structure
        self.address = address
        self._data = data

    def __getitem__(self, name: str) -> int:
        field = self.structure.fields[name]
        return int(struct.unpack_from("<" + _LETTERS[field.size], self._data, field.offset)[0])

    def address_of(self, name: str, index: int = 0) -> int:
        """Where an element of a field lies."""
        field = self.structure.fields[name]
        return self.address + field.offset + index * field.size

    def bytes_of(self, name: str) -> bytes:
        """All of a field."""
        field = self.structure.fields[name]
        return self._data[field.offset : field.offset + field.size * field.count]

    def inner(self, name: str, structure: Structure, index: int = 0) -> Record:
        """A structure that lies in this one."""
        field = self.structure.fields[name]
        at = field.offset + index * field.size
        return Record(structure, self.address + at, self._data[at : at + structure.size])

    def numbers(self) -> dict[str, int]:
        """Every field that is one number."""
        return {
            name: self[name]
            for name, field in self.structure.fields.items()
            if field.count == 1 and field.size in _LETTERS
        }


class View:
    """The structures and variables of the HAKMEM in a memory."""

    def __init__(self, memory: Memory, address: int) -> None:
        self.memory = memory
        self.address = address
        header = memory.read(address, _HEADER.size)
        magic, itself, _, self.abi, version, build, parts, field_bytes, root_bytes = _HEADER.unpack(header)
        if magic != elf.MAGIC or itself != address:
            raise CommandError(f"{memory.name}: no view of HAKMEM at {address:#x}")
        #: Of the library, such as "0.1.0".
        self.version = _text(version)
        #: "release", or what the build had more.
        self.build = "+".join(word for bit, word in _BUILDS.items() if build & bit) or "release"
        if self.abi != ABI or field_bytes != _FIELD.size or root_bytes != _ROOT.size:
            raise CommandError(
                f"{memory.name} runs another version, HAKMEM {self.version} with view {self.abi}: this command reads view {ABI}"
            )
        self.structures: dict[str, Structure] = {}
        self._roots: dict[str, tuple[int, int]] = {}
        for part in struct.unpack(f"<{parts}Q", memory.read(address + _HEADER.size, parts * 8)):
            self._read_part(part)

    def structure(self, name: str) -> Structure:
        """By its name in the C sources, without hak_."""
        return self.structures[name]

    def root(self, name: str) -> tuple[int, int]:
        """Address and bytes of a variable."""
        return self._roots[name]

    def has_root(self, name: str) -> bool:
        """Whether the library has such a variable: newer ones may have more than older ones."""
        return name in self._roots

    def roots(self) -> Iterator[tuple[str, int, int]]:
        """Name, address and bytes of each variable."""
        for name, (address, size) in self._roots.items():
            yield name, address, size

    def number(self, root: str) -> int:
        """A variable that is one number."""
        address, size = self._roots[root]
        return int(struct.unpack("<" + _LETTERS[size], self.memory.read(address, size))[0])

    def array(self, root: str, size: int = 8) -> tuple[int, ...]:
        """A variable that is an array of numbers of `size` bytes."""
        address, total = self._roots[root]
        return struct.unpack(f"<{total // size}{_LETTERS[size]}", self.memory.read(address, total))

    def read(self, structure: str, address: int) -> Record:
        """The structure at an address."""
        layout = self.structures[structure]
        return Record(layout, address, self.memory.read(address, layout.size))

    def record(self, root: str, structure: str, index: int = 0) -> Record:
        """A variable that is a structure, or one of an array of them."""
        return self.read(structure, self._roots[root][0] + index * self.structures[structure].size)

    def records(self, root: str, structure: str) -> list[Record]:
        """A variable that is an array of structures."""
        address, total = self._roots[root]
        data = self.memory.read(address, total)
        layout = self.structures[structure]
        return [
            Record(layout, address + at, data[at : at + layout.size])
            for at in range(0, total - layout.size + 1, layout.size)
        ]

    def control(self, name: str) -> int:
        """Address of a control word (hakmem/base/control.h)."""
        return self._roots["control"][0] + self.structures["control"].fields[name].offset

    def _read_part(self, address: int) -> None:
        fields, roots, addresses, field_count, root_count = _PART.unpack(self.memory.read(address, _PART.size))
        for structure, name, offset, size, count in _FIELD.iter_unpack(
            self.memory.read(fields, field_count * _FIELD.size)
        ):
            layout = self.structures.setdefault(_text(structure), Structure(_text(structure)))
            if _text(name):
                layout.fields[_text(name)] = Field(offset, size, count)
            else:
                layout.size = size
        places = struct.unpack(f"<{root_count}Q", self.memory.read(addresses, root_count * 8))
        names = _ROOT.iter_unpack(self.memory.read(roots, root_count * _ROOT.size))
        for place, (name, size) in zip(places, names):
            self._roots[_text(name)] = (place, size)


def attach(memory: Memory) -> View:
    """The view of the HAKMEM in `memory`. CommandError: there is none, or it is another version."""
    address = elf.find(memory)
    if address is None:
        missing = memory.what_is_missing()
        raise CommandError(f"{memory.name} does not run on HAKMEM" + (f", as far as can be told: {missing}" if missing else ""))
    try:
        return View(memory, address)
    except Unreadable as error:
        missing = memory.what_is_missing() or str(error)
        raise CommandError(f"{memory.name}: what hak_view names cannot be read: {missing}") from error


_TYPE_WORD, _TYPE_TEXT = 2, 3  # option_type of hakmem/config/config.c


def options(view: View) -> dict[str, int]:
    """The options in force, by name: numbers, which of the words, and where a text lies (0: it is empty)."""
    names = (_text(row.bytes_of("name")) for row in view.records("options", "option"))
    return dict(zip(names, view.array("option_values")))


#: What hak_config_source_name says.
OPTION_SOURCES = ("default", "hak_conf", "/etc/hakmem.conf", "HAKMEM_CONF", "environment", "hak_option_set")


@dataclasses.dataclass(frozen=True)
class InForce:
    """An option of a process: its value as a user would spell it, and where that came from."""

    name: str
    value: str
    source: str


def options_in_force(view: View) -> list[InForce]:
    """Every option, in the order of the table that the process has."""
    rows = view.records("options", "option")
    out = []
    for row, value, source in zip(rows, view.array("option_values"), view.array("option_sources", 4)):
        words = row.bytes_of("words").rstrip(b"\0").split(b"\0")
        if row["type"] == _TYPE_TEXT:
            text = view.memory.text(value) if value else ""
        elif row["type"] == _TYPE_WORD and value < len(words):
            text = words[value].decode("ascii", "replace")
        else:
            text = str(value)
        named = OPTION_SOURCES[source] if source < len(OPTION_SOURCES) else str(source)
        out.append(InForce(_text(row.bytes_of("name")), text, named))
    return out


def pick(values: Sequence[int], index: int, default: int = 0) -> int:
    """values[index], or `default` where there is none."""
    return values[index] if 0 <= index < len(values) else default


def _text(name: bytes) -> str:
    return name.split(b"\0", 1)[0].decode("ascii", "replace")
