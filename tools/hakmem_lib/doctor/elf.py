"""What one ELF file says of itself, as far as an allocator cares."""

from __future__ import annotations

import dataclasses
import functools
import mmap
import struct
from typing import Any, Iterator, Optional

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from tools.hakmem_lib.doctor import calls

# A function of the allocator that no other library would call so, and whose it is.
FAMILIES = {
    "je_malloc": "jemalloc",
    "mallocx": "jemalloc",
    "je_mallocx": "jemalloc",
    "_rjem_malloc": "jemalloc",
    "_rjem_mallocx": "jemalloc",
    "moz_arena_malloc": "mozjemalloc",
    "tc_malloc": "tcmalloc",
    "TCMallocInternalMalloc": "tcmalloc",
    "mi_malloc": "mimalloc",
    "rpmalloc": "rpmalloc",
    "scalable_malloc": "TBB's allocator",
    "sn_malloc": "snmalloc",
    "xxmalloc": "Hoard",
    "dlmalloc": "dlmalloc",
}
# What these say of themselves, where their names have been stripped.
_TRACES = {
    b"<jemalloc>: ": "jemalloc",
    b"MIMALLOC_": "mimalloc",
    b"TCMALLOC_": "tcmalloc",
    b"hakmem: broken invariant: ": "HAKMEM",
}
SANITIZERS = {
    "__asan_init": "AddressSanitizer",
    "__hwasan_init": "HWAddressSanitizer",
    "__lsan_init": "LeakSanitizer",
    "__msan_init": "MemorySanitizer",
    "__tsan_init": "ThreadSanitizer",
}
_NAMES = frozenset(FAMILIES) | frozenset(SANITIZERS) | {"malloc", "free", "dlopen", "dlmopen", "mlockall"}
_MACHINES = {"EM_X86_64": "x86-64", "EM_386": "i386", "EM_AARCH64": "aarch64", "EM_ARM": "arm"}
_DF_SYMBOLIC, _DF_STATIC_TLS, _DF_1_PIE = 2, 16, 0x8000000
RTLD_DEEPBIND = 8


class NotElf(Exception):
    """The file is no ELF file, or a damaged one."""


@dataclasses.dataclass(frozen=True)
class Object:
    """An ELF file. Names are those of _NAMES only."""

    path: str
    machine: str  # x86-64 and the like
    bits: int
    is_library: bool
    is_static: bool  # a program that no dynamic linker loads
    interpreter: str
    soname: str
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]
    exported: frozenset[str]  # defined, and seen by other files
    defined: frozenset[str]  # defined, seen or not
    imported: frozenset[str]
    traces: frozenset[str]  # allocators that its text speaks of
    is_symbolic: bool  # its own definitions come first for itself
    has_static_tls: bool
    tls_bytes: int
    page_bytes: int  # the largest that it can be loaded with
    needs_versions: frozenset[str]  # of libc
    has_versions: frozenset[str]
    is_go: bool
    dlopen_flags: frozenset[int]
    base_address: int
    slots: tuple[tuple[str, int], ...]  # where the dynamic linker puts the addresses of malloc and free

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def libc(self) -> str:
        """glibc, musl, another, or nothing where it needs none."""
        if "ld-musl" in self.interpreter or any(name.startswith(("libc.musl", "ld-musl")) for name in self.needed):
            return "musl"
        if "libc.so.6" in self.needed or self.needs_versions or "/ld-linux" in self.interpreter:
            return "glibc"
        return "musl" if "libc.so" in self.needed else ""

    @property
    def families(self) -> list[str]:
        """The allocators that are in it."""
        return sorted({FAMILIES[name] for name in self.defined if name in FAMILIES} | self.traces)

    @property
    def sanitizer(self) -> str:
        """The one it was built for."""
        for name, sanitizer in SANITIZERS.items():
            if name in self.defined or name in self.imported:
                return sanitizer
        return ""

    @property
    def has_hakmem(self) -> bool:
        """HAKMEM is linked into it, or it is HAKMEM."""
        return "HAKMEM" in self.traces and "malloc" in self.defined


@functools.lru_cache(maxsize=None)
def read(path: str) -> Object:
    """Reads a file. Raises NotElf, OSError."""
    with open(path, "rb") as file:
        magic = file.read(4)
        if magic != b"\x7fELF":
            raise NotElf(f"no ELF file: {path}")
        try:
            return _read(path, ELFFile(file))
        except (ELFError, AssertionError, KeyError, ValueError, TypeError, AttributeError, UnicodeDecodeError) as error:
            raise NotElf(f"damaged ELF file: {path}") from error


def _read(path: str, elf: Any) -> Object:
    loads = [segment for segment in elf.iter_segments() if segment["p_type"] == "PT_LOAD"]
    if not loads:
        raise NotElf(f"nothing to load in {path}")
    interpreter = next((s.get_interp_name() for s in elf.iter_segments() if s["p_type"] == "PT_INTERP"), "")
    tags = _dynamic_tags(elf)
    is_pie = bool(_number(tags, "DT_FLAGS_1") & _DF_1_PIE)
    exported, imported = _symbols(elf, ".dynsym")
    inside, _ = _symbols(elf, ".symtab")
    slots = _slots(elf)
    machine = _MACHINES.get(elf["e_machine"], str(elf["e_machine"]).removeprefix("EM_").lower())
    opens = [at for name, at in slots if name == "dlopen"]
    flags = calls.second_arguments(machine, _code(elf) if opens else [], opens)
    is_library = elf["e_type"] == "ET_DYN" and not interpreter and not is_pie
    return Object(
        path=path,
        machine=machine,
        bits=elf.elfclass,
        is_library=is_library,
        is_static=not interpreter and not is_library,
        interpreter=interpreter,
        soname="".join(tags.get("DT_SONAME", [])),
        needed=tuple(tags.get("DT_NEEDED", [])),
        rpath=_folders(tags, "DT_RPATH"),
        runpath=_folders(tags, "DT_RUNPATH"),
        exported=frozenset(exported),
        defined=frozenset(exported | inside),
        imported=frozenset(imported),
        traces=_traces(elf),
        is_symbolic="DT_SYMBOLIC" in tags or bool(_number(tags, "DT_FLAGS") & _DF_SYMBOLIC),
        has_static_tls=bool(_number(tags, "DT_FLAGS") & _DF_STATIC_TLS),
        tls_bytes=sum(segment["p_memsz"] for segment in elf.iter_segments() if segment["p_type"] == "PT_TLS"),
        page_bytes=min(segment["p_align"] for segment in loads),
        needs_versions=frozenset(_needs_versions(elf)),
        has_versions=frozenset(_has_versions(elf)),
        is_go=elf.get_section_by_name(".go.buildinfo") is not None,
        dlopen_flags=frozenset(flags),
        base_address=min(segment["p_vaddr"] - segment["p_offset"] for segment in loads),
        slots=tuple((name, at) for name, at in slots if name in ("malloc", "free")),
    )


def _dynamic_tags(elf: Any) -> dict[str, list[Any]]:
    tags: dict[str, list[Any]] = {}
    for section in elf.iter_sections():
        if not isinstance(section, DynamicSection) or section["sh_type"] == "SHT_NOBITS":
            continue
        for tag in section.iter_tags():
            name = str(tag.entry.d_tag)
            text = {"DT_NEEDED": "needed", "DT_SONAME": "soname", "DT_RPATH": "rpath", "DT_RUNPATH": "runpath"}.get(
                name
            )
            tags.setdefault(name, []).append(getattr(tag, text) if text else tag.entry.d_val)
    return tags


def _number(tags: dict[str, list[Any]], name: str) -> int:
    return int(tags.get(name, [0])[0])


def _folders(tags: dict[str, list[Any]], name: str) -> tuple[str, ...]:
    return tuple(folder for text in tags.get(name, []) for folder in text.split(":") if folder)


def _symbols(elf: Any, table: str) -> tuple[set[str], set[str]]:
    """Names of _NAMES that the table defines, and that it asks for."""
    defined: set[str] = set()
    asked: set[str] = set()
    section = elf.get_section_by_name(table)
    if not isinstance(section, SymbolTableSection):
        return defined, asked
    # Most tables are long and have none of the names: one look at their text saves a walk.
    text = section.stringtable.data()
    if not any(name.encode() + b"\0" in text for name in _NAMES):
        return defined, asked
    for symbol in section.iter_symbols():
        if symbol.name not in _NAMES or symbol["st_info"]["type"] in ("STT_FILE", "STT_SECTION"):
            continue
        (asked if symbol["st_shndx"] == "SHN_UNDEF" else defined).add(symbol.name)
    return defined, asked


def _traces(elf: Any) -> frozenset[str]:
    with mmap.mmap(elf.stream.fileno(), 0, access=mmap.ACCESS_READ) as contents:
        return frozenset(name for trace, name in _TRACES.items() if contents.find(trace) >= 0)


def _needs_versions(elf: Any) -> Iterator[str]:
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for library, versions in section.iter_versions():
                if library.name == "libc.so.6":
                    yield from (version.name for version in versions)


def _has_versions(elf: Any) -> Iterator[str]:
    for section in elf.iter_sections():
        if isinstance(section, GNUVerDefSection):
            for _, names in section.iter_versions():
                yield next(names).name


def _slots(elf: Any) -> list[tuple[str, int]]:
    """Where the dynamic linker puts the addresses of malloc, free and dlopen."""
    symbols = elf.get_section_by_name(".dynsym")
    if not isinstance(symbols, SymbolTableSection):
        return []
    wanted = {}
    for name in ("malloc", "free", "dlopen"):
        if name.encode() + b"\0" in symbols.stringtable.data():
            wanted.update((number, name) for number, s in enumerate(symbols.iter_symbols()) if s.name == name)
    if not wanted:
        return []
    slots = []
    for section in elf.iter_sections():
        if isinstance(section, RelocationSection):
            slots += [(wanted[number], at) for at, number in _relocations(elf, section) if number in wanted]
    return slots


def _relocations(elf: Any, section: Any) -> Iterator[tuple[int, int]]:
    """Address and symbol number of each. By hand: a large program has half a million."""
    number = "Q" if elf.elfclass == 64 else "I"
    layout = ("<" if elf.little_endian else ">") + number * 2 + (number.lower() if section.is_RELA() else "")
    data = section.data()
    size_bytes = struct.calcsize(layout)
    for at, info, *_ in struct.iter_unpack(layout, data[: len(data) - len(data) % size_bytes]):
        yield at, info >> (32 if elf.elfclass == 64 else 8)


def _code(elf: Any) -> list[tuple[int, bytes]]:
    return [
        (section["sh_addr"], section.data())
        for section in elf.iter_sections()
        if section["sh_flags"] & 4 and section["sh_type"] == "SHT_PROGBITS"
    ]


def dlopen_evidence(found: Object) -> Optional[int]:
    """The flags of a call of dlopen that binds deeply, where there is one."""
    return next((flags for flags in sorted(found.dlopen_flags) if flags & RTLD_DEEPBIND), None)
