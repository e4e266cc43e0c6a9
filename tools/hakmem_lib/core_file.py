"""The memory of a process that has ended: core files, as the kernel or a debugger writes them.

The kernel leaves out most pages that come from files (core(5), /proc/PID/coredump_filter) and names the files instead. They
are read from there, if they are still those that the process had: the first page of each is in the core file as well, and in
it the build ID.
"""

from __future__ import annotations

import argparse
import bisect
import contextlib
import dataclasses
import os
import pathlib
import struct
from typing import Any, BinaryIO, Iterator, Optional

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.memory import LiveProcess, Mapping, Memory, Unreadable, pid_argument

MAGIC = b"\x7fELF"

_NT_FILE = "NT_FILE"
_NT_ARM_TLS = 0x401
_NT_SIGINFO = 0x53494749
_PAGE_BYTES = 4096
_PT_NOTE = 4
_PACKED = {b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4", b"\xfd7zX": "xz", b"\x1f\x8b": "gzip"}


@dataclasses.dataclass(frozen=True)
class Crash:
    """Why there is a core file. `address` is the one that failed where `is_fault`."""

    signal: int
    thread: int
    is_fault: bool
    address: int


# Signals whose siginfo has an address, where the kernel has sent them (si_code above 0).
_FAULTS = (4, 5, 7, 8, 11)


class CoreFile(Memory):
    """What the kernel or a debugger wrote of a process that ended."""

    def __init__(self, path: os.PathLike[str] | str) -> None:
        self.name = f"core file {path}"
        self.pid, self.command = 0, "?"
        #: None where the process was not ended by a signal.
        self.crash: Optional[Crash] = None
        try:
            self._file = open(path, "rb")  # pylint: disable=consider-using-with
            #: When it was written, in seconds since 1970.
            self.written = os.fstat(self._file.fileno()).st_mtime
        except OSError as error:
            raise CommandError(f"cannot open {path}: {error.strerror}") from error
        try:
            self._read_headers(path)
        except BaseException:
            self._file.close()
            raise

    def _read_headers(self, path: os.PathLike[str] | str) -> None:
        self._files: list[Mapping] = []
        self._pointers: dict[int, int] = {}
        self._numbers: list[int] = []
        self._opened: dict[str, Optional[BinaryIO]] = {}
        self._faults: dict[str, str] = {}  # path -> why the file is of no use
        try:
            self._check_start(path)
            elf = ELFFile(self._file)
            if elf.header["e_type"] != "ET_CORE":
                raise CommandError(f"{path} is no core file")
            self._segments = sorted(
                (segment["p_vaddr"], segment["p_filesz"], segment["p_memsz"], segment["p_offset"], segment["p_flags"])
                for segment in elf.iter_segments("PT_LOAD")
            )
            for segment in elf.iter_segments("PT_NOTE"):
                for note in segment.iter_notes():
                    self._note(note, elf.header["e_machine"])
        except OSError as error:
            raise CommandError(f"cannot read {path}: {error.strerror}") from error
        except ConstructError as error:
            raise CommandError(f"{path} is no core file that can be read: a note of it is damaged") from error
        except (ELFError, struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
            raise CommandError(f"{path} is no core file that can be read: {error or 'it is cut off'}") from error
        if not self._segments:
            raise CommandError(f"{path} has no memory in it")
        size = os.fstat(self._file.fileno()).st_size
        if any(offset + filesz > size for _, filesz, _, offset, _ in self._segments):
            raise CommandError(f"{path} is cut off: {size} bytes are not all of it")
        self._starts = [segment[0] for segment in self._segments]
        self.pid = self.pid or (self._numbers[0] if self._numbers else 0)

    def _check_start(self, path: os.PathLike[str] | str) -> None:
        start = self._file.read(4)
        for magic, name in _PACKED.items():
            if start.startswith(magic):
                raise CommandError(f"{path} is packed by {name}: unpack it first")
        if start != MAGIC:
            raise CommandError(f"{path} is no core file")
        self._file.seek(0)

    def close(self) -> None:
        for file in (self._file, *self._opened.values()):
            if file is not None:
                file.close()

    def read(self, address: int, size: int) -> bytes:
        out = b""
        while len(out) < size:
            at, left = address + len(out), size - len(out)
            piece = self._own(at, left) or self._from_file(at, left)
            if not piece:
                raise Unreadable(f"{self.name}: no memory at {at:#x}")
            out += piece
        return out

    def mappings(self) -> list[Mapping]:
        out = []
        for start, _, size, _, flags in self._segments:
            file = self._file_at(start)
            permissions = (
                "".join(letter if flags & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1))) + "p"
            )
            offset = file.offset + start - file.start if file else 0
            out.append(Mapping(start, start + size, permissions, offset, file.path if file else ""))
        return out

    def open_file(self, mapping: Mapping) -> Optional[BinaryIO]:
        path = mapping.path
        if not mapping.is_file or path in self._faults:
            return None
        if path.endswith(" (deleted)"):
            self._faults[path] = "had been deleted"
            return None
        try:
            file = open(path, "rb")  # pylint: disable=consider-using-with
            had, has = _identity(self._first_page(path)), _identity(file.read(_PAGE_BYTES))
        except OSError as error:
            self._faults[path] = f"cannot be read: {error.strerror}"
            return None
        if had is not None and had != has:
            file.close()
            self._faults[path] = "is another file now: its build ID is not the one in the core file"
            return None
        return file

    def threads(self) -> dict[int, str]:
        return {number: self.command if number == self.pid and self.command != "?" else "" for number in self._numbers}

    def thread_pointers(self) -> dict[int, int]:
        return dict(self._pointers)

    def what_is_missing(self) -> Optional[str]:
        if not any(filesz and flags & 2 for _, filesz, _, _, flags in self._segments):
            return "it has no variables of the process in it: /proc/PID/coredump_filter left them out"
        paths = sorted(self._faults, key=lambda path: "hakmem" not in pathlib.PurePath(path).name)
        return f"{paths[0]}, which it names, {self._faults[paths[0]]}" if paths else None

    def _note(self, note: Any, machine: str) -> None:
        kind = note["n_type"]
        if kind == _NT_FILE:
            description = note["n_desc"]
            unit = description["page_size"]
            for place, name in zip(description["Elf_Nt_File_Entry"], description["filename"]):
                path = name.decode("utf-8", "replace")
                start, end = place["vm_start"], place["vm_end"]
                self._files.append(Mapping(start, end, "", place["page_offset"] * unit, path))
        elif kind == "NT_PRPSINFO":
            self.pid = note["n_desc"]["pr_pid"]
            self.command = note["n_desc"]["pr_fname"].split(b"\0")[0].decode("utf-8", "replace") or "?"
        elif kind == "NT_PRSTATUS":
            data = _payload(note)
            # struct elf_prstatus: pr_pid at 32, the registers from 112 on; of x86-64 fs_base is the 22nd of them.
            number = struct.unpack_from("<i", data, 32)[0]
            # The thread that crashed comes first.
            if not self._numbers and struct.unpack_from("<H", data, 12)[0]:
                self.crash = Crash(struct.unpack_from("<H", data, 12)[0], number, False, 0)
            self._numbers.append(number)
            pointer = struct.unpack_from("<Q", data, 112 + 21 * 8)[0] if machine == "EM_X86_64" else 0
            if pointer != 0:
                self._pointers[pointer] = number
        elif kind in ("NT_SIGINFO", _NT_SIGINFO):
            number, _, code, _, address = struct.unpack_from("<iiiiQ", _payload(note))
            # SI_KERNEL: x86 does not say which address, where it was none.
            is_fault = number in _FAULTS and 0 < code < 0x80
            if number and self._numbers:
                self.crash = Crash(number, self._numbers[0], is_fault, address if is_fault else 0)
        elif kind in ("NT_ARM_TLS", _NT_ARM_TLS) and self._numbers:
            # Behind the NT_PRSTATUS of its thread.
            self._pointers[struct.unpack_from("<Q", _payload(note))[0]] = self._numbers[-1]

    def _file_at(self, address: int) -> Optional[Mapping]:
        return next((file for file in self._files if file.start <= address < file.end), None)

    def _first_page(self, path: str) -> bytes:
        """Of a file, as the process had it; nothing where the core file does not have it."""
        first = next((file for file in self._files if file.path == path and file.offset == 0), None)
        return self._own(first.start, _PAGE_BYTES) if first else b""

    def _own(self, address: int, size: int) -> bytes:
        """As many of the bytes as one segment of the core file has, from `address` on."""
        at = bisect.bisect_right(self._starts, address) - 1
        if at < 0:
            return b""
        start, filesz, _, offset, _ = self._segments[at]
        inside = address - start
        if inside >= filesz:
            return b""
        self._file.seek(offset + inside)
        return self._file.read(min(size, filesz - inside))

    def _from_file(self, address: int, size: int) -> bytes:
        mapping = self._file_at(address)
        if mapping is None:
            return b""
        if mapping.path not in self._opened:
            self._opened[mapping.path] = self.open_file(mapping)
        file = self._opened[mapping.path]
        if file is None:
            return b""
        # No further than the mapping, nor over what the next segment has.
        at = bisect.bisect_right(self._starts, address)
        end = min(mapping.end, self._starts[at] if at < len(self._starts) else mapping.end)
        size = min(size, end - address)
        file.seek(mapping.offset + address - mapping.start)
        data = file.read(size)
        return data + bytes(size - len(data)) if data else b""


@contextlib.contextmanager
def core_or_process(name: str) -> Iterator[CoreFile | LiveProcess]:
    """What a command names: a number is a process, all else a core file. What goes wrong with it inside is a CommandError."""
    source = _open(name)
    try:
        yield source
    except Unreadable as error:
        raise CommandError(str(error)) from error
    except (LookupError, struct.error, ValueError, OverflowError, MemoryError) as error:
        if isinstance(source, LiveProcess):
            raise
        raise CommandError(f"{source.name} is damaged: what it has of HAKMEM contradicts itself") from error
    finally:
        source.close()


def _open(name: str) -> CoreFile | LiveProcess:
    if not name.isdecimal():
        if "/" not in name and not os.path.exists(name):
            raise CommandError(f"neither the number of a process nor a core file: {name}")
        return CoreFile(name)
    try:
        return LiveProcess(pid_argument(name))
    except argparse.ArgumentTypeError as error:
        raise CommandError(str(error)) from error


def _payload(note: Any) -> bytes:
    data = note["n_descdata"] if "n_descdata" in note else note["n_desc"]
    return data if isinstance(data, bytes) else data.encode("latin-1")


def _identity(page: bytes) -> Optional[bytes]:
    """What tells an ELF file from others, from its first page: the build ID, or all of its headers where it has none. None
    where that is no page of such a file."""
    if len(page) < 64 or page[:5] != MAGIC + b"\2":
        return None
    at, size, count = struct.unpack_from("<Q", page, 32)[0], *struct.unpack_from("<HH", page, 54)
    if size != 56 or at + size * count > len(page):
        return None
    for kind, _, offset, _, _, length, _, _ in struct.iter_unpack("<IIQQQQQQ", page[at : at + size * count]):
        found = _build_id(page[offset : offset + length]) if kind == _PT_NOTE else None
        if found:
            return found
    return page[:64] + page[at : at + size * count]


def _build_id(notes: bytes) -> Optional[bytes]:
    """The NT_GNU_BUILD_ID among notes."""
    while len(notes) >= 12:
        name, size, kind = struct.unpack_from("<III", notes)
        begin = 12 + (name + 3) // 4 * 4
        if (notes[12 : 12 + name], kind) == (b"GNU\0", 3) and begin + size <= len(notes):
            return notes[begin : begin + size]
        notes = notes[begin + (size + 3) // 4 * 4 :]
    return None
