"""Core files made by tests."""

from __future__ import annotations

import struct

from tools.hakmem_lib.memory import LiveProcess, Unreadable

NT_PRSTATUS, NT_FILE = 1, 0x46494C45


def core(segments: list[tuple[int, bytes, int]], notes: bytes = b"", kind: int = 4, machine: int = 62) -> bytes:
    """An ELF file of `kind` (4: core) with segments of an address, bytes and length in memory."""
    count = len(segments) + bool(notes)
    at = 64 + 56 * count
    header = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
    )
    rows, data = b"", b""
    if notes:
        rows += struct.pack("<IIQQQQQQ", 4, 0, at, 0, 0, len(notes), 0, 4)
        data = notes
    for address, content, length in segments:
        rows += struct.pack("<IIQQQQQQ", 1, 6, at + len(data), address, 0, len(content), length, 1)
        data += content
    return header + rows + data


def note(name: bytes, kind: int, data: bytes) -> bytes:
    """One note of a core file."""
    padded = name + bytes(-len(name) % 4)
    return struct.pack("<III", len(name), len(data), kind) + padded + data + bytes(-len(data) % 4)


def core_of(process: LiveProcess) -> bytes:
    """What the kernel writes of a process by default (core(5), /proc/PID/coredump_filter 0x33): memory without a file, and
    files' pages where some of the mapping has been written to; the other mappings by name only. Its registers are all 0.
    """
    segments = []
    files = []
    for mapping, sizes in process.smaps():
        if mapping.permissions[0] != "r" or mapping.path in ("[vvar]", "[vsyscall]"):
            continue
        content = b""
        if not mapping.is_file or sizes.get("Anonymous", 0) > 0:
            try:
                content = process.read(mapping.start, mapping.size)
            except Unreadable:
                continue
        segments.append((mapping.start, content, mapping.size))
        if mapping.is_file:
            files.append(mapping)
    names = struct.pack("<QQ", len(files), 4096)
    names += b"".join(struct.pack("<QQQ", mapping.start, mapping.end, mapping.offset // 4096) for mapping in files)
    names += b"".join(mapping.path.encode() + b"\0" for mapping in files)
    notes = b"".join(
        note(b"CORE\0", NT_PRSTATUS, bytes(32) + struct.pack("<i", number) + bytes(300)) for number in process.threads()
    )
    return core(segments, notes + note(b"CORE\0", NT_FILE, names))
