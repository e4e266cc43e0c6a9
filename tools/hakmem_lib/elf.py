"""Where in an address space HAKMEM's `hak_view` lies.

The symbol is looked for in the ELF files that are mapped: in libhakmem.so, in the program itself where HAKMEM is linked
into it, in any other. A program that was stripped has no symbol, and a file that was replaced is no longer to be had: then
the magic word that `hak_view` begins with is searched for in the constant and initialised data.
"""

from __future__ import annotations

import pathlib
import struct
from typing import BinaryIO, Iterator, Optional

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tools.hakmem_lib.memory import Mapping, Memory, Unreadable

MAGIC = b"HAKMEM\x01view\x1a\n\r\xff\0"
SYMBOL = "hak_view"

_SEARCH_CHUNK = 4 << 20
_SEARCH_MOST = 256 << 20


def find(memory: Memory) -> Optional[int]:
    """Address of hak_view; None where HAKMEM is not in there."""
    mappings = memory.mappings()
    for search in (_by_symbol, _by_magic):
        for address in search(memory, mappings):
            if is_view(memory, address):
                return address
    return None


def is_view(memory: Memory, address: int) -> bool:
    """Whether hak_view lies there: it begins with the magic word, and names its own address."""
    try:
        start = memory.read(address, len(MAGIC) + 8)
    except Unreadable:
        return False
    return start == MAGIC + struct.pack("<Q", address)


def _by_symbol(memory: Memory, mappings: list[Mapping]) -> Iterator[int]:
    files: dict[str, list[Mapping]] = {}
    for mapping in mappings:
        if mapping.is_file:
            files.setdefault(mapping.path, []).append(mapping)
    code = [path for path, parts in files.items() if any(part.is_executable for part in parts)]
    # The program comes first, as it does in the linker's search, and its mappings do too; then what is called like us.
    for path in code[:1] + sorted(code[1:], key=lambda path: "hakmem" not in pathlib.PurePath(path).name):
        address = _symbol_address(memory, files[path])
        if address is not None:
            yield address


def _symbol_address(memory: Memory, parts: list[Mapping]) -> Optional[int]:
    file = memory.open_file(parts[0])
    if file is None:
        return None
    with file:
        try:
            elf = ELFFile(file)
            value = _symbol_value(elf, file)
            bias = None if value is None else _bias(elf, parts)
        except (ELFError, ConstructError, ValueError, KeyError, struct.error):
            return None
    return None if value is None or bias is None else value + bias


def _symbol_value(elf: ELFFile, file: BinaryIO) -> Optional[int]:
    name = b"\0" + SYMBOL.encode() + b"\0"
    for section in elf.iter_sections():
        if not isinstance(section, SymbolTableSection) or elf.elfclass != 64:
            continue
        strings = elf.get_section(section["sh_link"])
        file.seek(strings["sh_offset"])
        at = file.read(strings["sh_size"]).find(name)
        if at < 0:
            continue
        file.seek(section["sh_offset"])
        # Elf64_Sym. By hand: the tables of large programs have a million rows.
        for where, _, _, index, value, _ in struct.iter_unpack("<IBBHQQ", file.read(section["sh_size"] // 24 * 24)):
            if where == at + 1 and index != 0:
                return int(value)
    return None


def _bias(elf: ELFFile, parts: list[Mapping]) -> Optional[int]:
    """What is to be added to the addresses in the file."""
    for segment in elf.iter_segments("PT_LOAD"):
        first_page = segment["p_offset"] & ~4095
        for part in parts:
            if part.offset <= first_page < part.offset + part.size and part.is_executable == bool(
                segment["p_flags"] & 1
            ):
                return int(part.start + first_page - part.offset - (segment["p_vaddr"] & ~4095))
    return None


def _by_magic(memory: Memory, mappings: list[Mapping]) -> Iterator[int]:
    # Relocated constants and initialised data come from a file, but a core file may not say from which.
    names_files = any(mapping.is_file for mapping in mappings)
    for mapping in mappings:
        if mapping.is_executable or mapping.permissions[:1] != "r" or mapping.size > _SEARCH_MOST:
            continue
        if names_files and not mapping.is_file:
            continue
        for start in range(mapping.start, mapping.end, _SEARCH_CHUNK):
            try:
                data = memory.read(start, min(_SEARCH_CHUNK, mapping.end - start))
            except Unreadable:
                continue
            at = data.find(MAGIC)
            while at >= 0:
                yield start + at
                at = data.find(MAGIC, at + 1)
