"""Addresses of code to functions and lines: ELF symbols, and DWARF lines by addr2line or llvm-symbolizer where there is one."""

from __future__ import annotations

import bisect
import dataclasses
import os
import re
import shutil
import struct
import subprocess
from typing import Iterable, Optional

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tools.hakmem_lib.memory import Mapping

_TOOL_TIMEOUT_S = 120
_STT_FUNC, _STT_GNU_IFUNC = 2, 10
_LIBRARY = re.compile(r"libhakmem[^/]*\.so[^/]*$")
#: Names by which programs ask for memory.
_ENTRIES = re.compile(
    r"(__libc_|__)?(malloc|calloc|realloc|reallocarray|memalign|aligned_alloc|posix_memalign|valloc|pvalloc)$"
    r"|hak_(malloc|calloc|realloc|reallocarray|rezalloc|aligned_alloc|posix_memalign|memalign|expand|malloc_batch)$"
    r"|_Zn[wa]m|operator new(\[\])?\("
)
_PRIVATE = re.compile(r"hak_(gate|instrument|profile|unified_cache|lifecycle)_")


@dataclasses.dataclass(frozen=True)
class Line:
    """Where in the sources; inlined functions make several for one address."""

    function: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.function} {os.path.basename(self.file)}:{self.line}" if self.file else self.function


@dataclasses.dataclass(frozen=True)
class Place:
    """A code address: its lines, the innermost function first."""

    address: int
    mapping: Optional[Mapping]
    lines: tuple[Line, ...]

    @property
    def function(self) -> str:
        """The outermost: the one that was compiled."""
        return self.lines[-1].function


class _Module:
    """A file with code."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.segments: list[tuple[int, int, int]] = []  # file offset, bytes, address
        self.has_lines = False
        self._starts: list[int] = []
        self._symbols: list[tuple[int, str]] = []  # size, name
        self._load()

    def _load(self) -> None:
        try:
            with open(self.path, "rb") as file:
                elf = ELFFile(file)
                self.segments = [
                    (segment["p_offset"], segment["p_filesz"], segment["p_vaddr"])
                    for segment in elf.iter_segments("PT_LOAD")
                ]
                self.has_lines = any(
                    elf.get_section_by_name(name) is not None
                    for name in (".debug_line", ".zdebug_line", ".gnu_debuglink", ".gnu_debugaltlink")
                )
                symbols = {}
                for section in elf.iter_sections():
                    if isinstance(section, SymbolTableSection):
                        symbols.update(_functions(file, elf, section))
        except (OSError, ELFError, ValueError, KeyError, struct.error):
            return
        self._starts = sorted(symbols)
        self._symbols = [symbols[start] for start in self._starts]

    def address_of(self, offset: int) -> Optional[int]:
        """The address in the file's own terms of what lies at a file offset."""
        for start, size, address in self.segments:
            if start <= offset < start + size:
                return offset - start + address
        return None

    def symbol(self, address: int) -> Optional[str]:
        """The function around an address of the file's."""
        index = bisect.bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        size, name = self._symbols[index]
        # Symbols without a size, as assembly has them, reach to the next.
        return name if size == 0 or address < self._starts[index] + size else None


def _functions(file, elf: ELFFile, section: SymbolTableSection) -> dict[int, tuple[int, str]]:  # type: ignore[no-untyped-def]
    """Address -> size and name. By hand: large programs have a million symbols."""
    if elf.elfclass != 64:
        return {}
    strings = elf.get_section(section["sh_link"])
    file.seek(strings["sh_offset"])
    names = file.read(strings["sh_size"])
    file.seek(section["sh_offset"])
    out = {}
    rows = file.read(section["sh_size"] // 24 * 24)
    for name_at, info, _, index, value, size in struct.iter_unpack("<IBBHQQ", rows):
        if info & 15 in (_STT_FUNC, _STT_GNU_IFUNC) and index != 0 and value != 0:
            end = names.find(b"\0", name_at)
            out[value] = (size, names[name_at:end].decode("utf-8", "replace"))
    return out


class Symbols:
    """Of one process."""

    def __init__(self, mappings: list[Mapping]) -> None:
        self._mappings = sorted(mappings, key=lambda mapping: mapping.start)
        self._starts = [mapping.start for mapping in self._mappings]
        self._modules: dict[str, _Module] = {}
        self._places: dict[int, Place] = {}

    def mapping_of(self, address: int) -> Optional[Mapping]:
        """The mapping that holds an address."""
        index = bisect.bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._mappings[index].end:
            return None
        return self._mappings[index]

    def resolve(self, addresses: Iterable[int]) -> None:
        """Finds many at once: tools that read DWARF start slowly."""
        wanted: dict[str, dict[int, int]] = {}  # file -> address in the process -> address in the file
        for address in sorted(set(addresses) - set(self._places)):
            mapping = self.mapping_of(address)
            module = None if mapping is None or not mapping.is_file else self._module(mapping.path)
            # What was pushed is where a call returns to: the call is before it.
            at = None if module is None else module.address_of(address - 1 - mapping.start + mapping.offset)
            if module is None or at is None:
                self._places[address] = Place(address, mapping, (Line(_unknown(mapping, address)),))
                continue
            name = module.symbol(at) or _unknown(mapping, at)
            self._places[address] = Place(address, mapping, (Line(name),))
            if module.has_lines:
                wanted.setdefault(module.path, {})[address] = at
        for path, files in wanted.items():
            self._add_lines(path, files)
        self._demangle()

    def place(self, address: int) -> Place:
        """What an address is."""
        if address not in self._places:
            self.resolve([address])
        return self._places[address]

    def stack(self, frames: Iterable[int]) -> list[Place]:
        """A call stack without the allocator's own frames, the innermost first."""
        places = [self.place(address) for address in frames]
        first = 0
        for index, place in enumerate(places):
            path = place.mapping.path if place.mapping else ""
            if _LIBRARY.search(path) or _is_entry(place) or _PRIVATE.match(place.function):
                first = index + 1
            elif first and index > first + 3:
                break
        return places[first:] or places[-1:]

    def _module(self, path: str) -> _Module:
        if path not in self._modules:
            self._modules[path] = _Module(path)
        return self._modules[path]

    def _add_lines(self, path: str, addresses: dict[int, int]) -> None:
        for address, lines in zip(addresses, _tool_lines(path, list(addresses.values()))):
            known = [line for line in lines if line.function != "??"]
            if not known:
                continue
            place = self._places[address]
            if known[-1].file == "" and len(known) == 1:
                continue  # no more than the symbol said
            self._places[address] = dataclasses.replace(place, lines=tuple(known))

    def _demangle(self) -> None:
        names = {line.function for place in self._places.values() for line in place.lines if line.function.startswith("_Z")}
        plain = _demangled(sorted(names))
        if not plain:
            return
        for address, place in self._places.items():
            if any(line.function in plain for line in place.lines):
                lines = tuple(
                    dataclasses.replace(line, function=plain.get(line.function, line.function)) for line in place.lines
                )
                self._places[address] = dataclasses.replace(place, lines=lines)


def _is_entry(place: Place) -> bool:
    return any(_ENTRIES.match(line.function) for line in place.lines)


def _unknown(mapping: Optional[Mapping], address: int) -> str:
    if mapping is None or not mapping.path:
        return f"[code at {address:#x}]"
    return f"{os.path.basename(mapping.path.removesuffix(' (deleted)'))}+{address:#x}"


def _tool_lines(path: str, addresses: list[int]) -> list[list[Line]]:
    """For each address of a file, by whichever tool there is."""
    text = "".join(f"{address:#x}\n" for address in addresses)
    for tool in (
        ["llvm-symbolizer", "--output-style=GNU", "--inlines", "--demangle", f"--obj={path}", "--addresses"],
        ["addr2line", "-a", "-f", "-C", "-i", "-e", path],
    ):
        if shutil.which(tool[0]) is None:
            continue
        try:
            done = subprocess.run(
                tool, input=text, capture_output=True, text=True, errors="replace", timeout=_TOOL_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        out = parse_lines(done.stdout)
        if done.returncode == 0 and len(out) == len(addresses):
            return out
    return [[] for _ in addresses]


_ADDRESS = re.compile(r"0x[0-9a-f]+")
_FILE_LINE = re.compile(r"(.*?):(\d+|\?)(?::\d+)?(?: \(discriminator \d+\))?")


def parse_lines(output: str) -> list[list[Line]]:
    """What addr2line -a -f -i prints: an address, then a function and a file with a line for each inlined call."""
    out: list[list[Line]] = []
    function = ""
    for text in output.splitlines():
        if _ADDRESS.fullmatch(text):
            out.append([])
            function = ""
        elif not text or not out:
            continue
        elif not function:
            function = text
        else:
            match = _FILE_LINE.fullmatch(text)
            file, line = (match.group(1), match.group(2)) if match else ("", "0")
            known = file not in ("", "??") and line.isdecimal()
            out[-1].append(Line(function, file if known else "", int(line) if known else 0))
            function = ""
    return out


def _demangled(names: list[str]) -> dict[str, str]:
    tool = shutil.which("c++filt") or shutil.which("llvm-cxxfilt")
    if not names or tool is None:
        return {}
    try:
        done = subprocess.run([tool], input="\n".join(names) + "\n", capture_output=True, text=True, timeout=_TOOL_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    plain = done.stdout.splitlines()
    return dict(zip(names, plain)) if len(plain) == len(names) else {}
