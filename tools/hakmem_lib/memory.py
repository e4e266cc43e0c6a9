"""Memory that can be read: `Memory` is what the modules above work on. `LiveProcess` is the one of a process; core_file has
that of a core file, and tests bring their own.
"""

from __future__ import annotations

import abc
import argparse
import ctypes
import dataclasses
import errno
import os
import pathlib
import re
import struct
from typing import BinaryIO, Iterable, Optional, Sequence

from tools.hakmem_lib.errors import CommandError

Range = tuple[int, int]  # address, bytes


class Unreadable(Exception):
    """Memory that is not there, or is no longer."""


@dataclasses.dataclass(frozen=True)
class Mapping:
    """One mapping of the address space, as a line of /proc/PID/maps has it."""

    start: int
    end: int
    permissions: str  # such as "rw-p"
    offset: int
    path: str  # "" for anonymous memory; may end in " (deleted)"

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start

    @property
    def is_file(self) -> bool:
        """Whether pages come from a file."""
        return self.path.startswith("/")

    @property
    def is_executable(self) -> bool:
        """Whether code may run there."""
        return "x" in self.permissions

    @property
    def is_writable(self) -> bool:
        """Whether the program may write there."""
        return "w" in self.permissions


class Memory(abc.ABC):
    """An address space."""

    #: What it is, for messages: "process 123 (redis-server)".
    name: str
    #: The number of the process, and what it calls itself.
    pid: int
    command: str

    @abc.abstractmethod
    def read(self, address: int, size: int) -> bytes:
        """Just so many bytes from `address` on, or Unreadable."""

    @abc.abstractmethod
    def mappings(self) -> list[Mapping]:
        """All there are, sorted; as they are now."""

    @abc.abstractmethod
    def open_file(self, mapping: Mapping) -> Optional[BinaryIO]:
        """The file behind a mapping as the process sees it, or None where it cannot be had."""

    @abc.abstractmethod
    def threads(self) -> dict[int, str]:
        """Number and name of each thread."""

    def thread_pointers(self) -> dict[int, int]:
        """Thread pointer -> number of the thread, where the system says so."""
        return {}

    def what_is_missing(self) -> Optional[str]:
        """Why memory that should be there cannot be read, where that is known."""
        return None

    def close(self) -> None:
        """Lets go of what is open. Nothing can be read afterwards."""

    def read_many(self, ranges: Sequence[Range]) -> list[Optional[bytes]]:
        """As read for each of `ranges`; None for what is unreadable."""
        out: list[Optional[bytes]] = []
        for address, size in ranges:
            try:
                out.append(self.read(address, size))
            except Unreadable:
                out.append(None)
        return out

    def word(self, address: int) -> int:
        """The 8 bytes at `address` as a number."""
        return int(struct.unpack("<Q", self.read(address, 8))[0])

    def text(self, address: int, limit: int = 256) -> str:
        """The C string at `address`, up to `limit` bytes of it."""
        out = b""
        while len(out) < limit and b"\0" not in out:
            step = min(64, 4096 - (address + len(out)) % 4096)
            out += self.read(address + len(out), step)
        return out.split(b"\0", 1)[0][:limit].decode("utf-8", "replace")


# --- a live process ---

_MAPS_LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) \S+ \d+ *(.*)")


def parse_maps(text: str) -> list[Mapping]:
    """The mappings of a /proc/PID/maps."""
    out = []
    for line in text.splitlines():
        match = _MAPS_LINE.fullmatch(line)
        if match:
            start, end, permissions, offset, path = match.groups()
            out.append(Mapping(int(start, 16), int(end, 16), permissions, int(offset, 16), path))
    return out


def pid_argument(text: str) -> int:
    """For argparse: the number of a process."""
    if not text.isdecimal() or not 0 < int(text) < 1 << 31:
        raise argparse.ArgumentTypeError(f"no process number: {text!r}")
    return int(text)


@dataclasses.dataclass(frozen=True)
class Usage:
    """Of a process since its start, and what is resident now."""

    cpu_s: float
    page_faults: int
    resident_bytes: int


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


_IOVECS_MAX = 1024  # IOV_MAX
_BATCH_BYTES = 16 << 20


class LiveProcess(Memory):
    """A running process, read with process_vm_readv(2): it need not help, is not stopped and gets no signal.

    Where that call is filtered, as in some containers, /proc/PID/mem serves.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._proc = pathlib.Path(f"/proc/{pid}")
        self._mem: Optional[int] = None
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.process_vm_readv.restype = ctypes.c_ssize_t
        if not self._proc.is_dir():
            raise CommandError(f"no such process: {pid}")
        self.command = self._command()
        self.name = f"process {pid} ({self.command})"
        # Whether it may be read shows at once, and in a way that says why not.
        try:
            lines = (self._proc / "maps").read_text()
        except PermissionError as error:
            raise self._no_permission() from error
        except (FileNotFoundError, ProcessLookupError) as error:
            raise CommandError(f"no such process: {pid}") from error
        if not lines:
            state = "a thread of the kernel, or a process that has ended"
            raise CommandError(f"{self.name} has no memory: it is {state}")

    def read(self, address: int, size: int) -> bytes:
        buffer = self.read_many([(address, size)])[0]
        if buffer is None:
            raise Unreadable(f"{self.name}: no memory at {address:#x}")
        return buffer

    def read_many(self, ranges: Sequence[Range]) -> list[Optional[bytes]]:
        out: list[Optional[bytes]] = []
        while len(out) < len(ranges):
            batch: list[Range] = []
            total = 0
            for address, size in ranges[len(out) : len(out) + _IOVECS_MAX]:
                if batch and total + size > _BATCH_BYTES:
                    break
                batch.append((address, size))
                total += size
            out += self._read_batch(batch, total)
        return out

    def mappings(self) -> list[Mapping]:
        try:
            return parse_maps((self._proc / "maps").read_text())
        except OSError as error:
            raise self._ended(error) from error

    def open_file(self, mapping: Mapping) -> Optional[BinaryIO]:
        path = mapping.path.removesuffix(" (deleted)")
        # map_files is right whatever has become of the path, but for those who may; then the path as the process sees it.
        names = [f"map_files/{mapping.start:x}-{mapping.end:x}"]
        if path == mapping.path:
            names.append(f"root{path}")
        for name in names:
            try:
                return open(self._proc / name, "rb")  # pylint: disable=consider-using-with
            except OSError:
                continue
        return None

    def threads(self) -> dict[int, str]:
        out = {}
        try:
            for task in (self._proc / "task").iterdir():
                try:
                    out[int(task.name)] = (task / "comm").read_text().rstrip("\n")
                except OSError:
                    continue  # it ended
        except OSError as error:
            raise self._ended(error) from error
        return out

    def resident_pages(self, address: int, pages: int) -> Optional[bytes]:
        """A byte for each of `pages` pages from `address` on: 1 where memory backs it. None where nobody says."""
        data = self._pagemap(address, pages)
        return None if data is None else data.translate(_PRESENT)

    def count_resident(self, ranges: Iterable[Range], page_bytes: int) -> Optional[int]:
        """Bytes of `ranges` (multiples of the page) that memory backs. None where nobody says."""
        total = 0
        for address, size in ranges:
            while size > 0:
                step = min(size, 1 << 30)
                resident = self.resident_pages(address, step // page_bytes)
                if resident is None:
                    return None
                total += resident.count(1)
                address, size = address + step, size - step
        return total * page_bytes

    def smaps(self) -> list[tuple[Mapping, dict[str, int]]]:
        """Each mapping with its sizes in bytes, by the names of /proc/PID/smaps."""
        try:
            lines = (self._proc / "smaps").read_text().splitlines()
        except OSError as error:
            raise self._ended(error) from error
        out: list[tuple[Mapping, dict[str, int]]] = []
        for line in lines:
            match = _MAPS_LINE.fullmatch(line)
            if match:
                out.append((parse_maps(line)[0], {}))
                continue
            name, _, value = line.partition(":")
            if value.endswith(" kB"):
                out[-1][1][name] = int(value[:-3]) * 1024
        return out

    def status(self) -> dict[str, str]:
        """/proc/PID/status."""
        try:
            lines = (self._proc / "status").read_text().splitlines()
        except OSError as error:
            raise self._ended(error) from error
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def usage(self) -> Usage:
        """What it has used up to now."""
        try:
            text = (self._proc / "stat").read_text()
            pages = int((self._proc / "statm").read_text().split()[1])
        except (OSError, IndexError) as error:
            raise self._ended(error if isinstance(error, OSError) else OSError()) from error
        # The name, in brackets, may have anything in it.
        values = text.rpartition(")")[2].split()
        ticks = os.sysconf("SC_CLK_TCK")
        return Usage(
            cpu_s=(int(values[11]) + int(values[12])) / ticks,
            page_faults=int(values[7]) + int(values[9]),
            resident_bytes=pages * os.sysconf("SC_PAGE_SIZE"),
        )

    def close(self) -> None:
        if self._mem is not None:
            os.close(self._mem)
            self._mem = None

    def has_ended(self) -> bool:
        """Whether there is nothing left to read."""
        try:
            return (self._proc / "maps").read_text() == ""
        except OSError:
            return True

    def write(self, address: int, data: bytes) -> None:
        """Writes, as a debugger would. For the words of hak_control_words, which wait for it."""
        local, remote = self._vectors([(address, len(data))], ctypes.create_string_buffer(data, len(data)))
        done = self._libc.process_vm_writev(self.pid, local, 1, remote, 1, 0)
        if done == len(data):
            return
        if ctypes.get_errno() == errno.EPERM:
            raise self._no_permission()
        raise CommandError(f"{self.name} cannot be written to: {os.strerror(ctypes.get_errno())}")

    def _command(self) -> str:
        try:
            return (self._proc / "comm").read_text().rstrip("\n")
        except OSError:
            return "?"

    def _no_permission(self) -> CommandError:
        return CommandError(
            f"no permission to read {self.name}: only root and, where kernel.yama.ptrace_scope is 0, its own user may"
        )

    def _ended(self, error: OSError) -> CommandError:
        if isinstance(error, PermissionError):
            return self._no_permission()
        return CommandError(f"{self.name} has ended")

    @staticmethod
    def _vectors(ranges: Sequence[Range], buffer: ctypes.Array) -> tuple[ctypes.Array, ctypes.Array]:
        local = (_Iovec * 1)(_Iovec(ctypes.addressof(buffer), ctypes.sizeof(buffer)))
        remote = (_Iovec * len(ranges))(*[_Iovec(address, size) for address, size in ranges])
        return local, remote

    def _read_batch(self, batch: Sequence[Range], total: int) -> list[Optional[bytes]]:
        """What was read, in order. Ends before, or with None for, the first range that cannot be."""
        if self._mem is not None:
            return [self._read_mem(*batch[0])]
        buffer = ctypes.create_string_buffer(max(total, 1))
        local, remote = self._vectors(batch, buffer)
        done = self._libc.process_vm_readv(self.pid, local, 1, remote, len(batch), 0)
        if done < 0:
            code = ctypes.get_errno()
            if code in (errno.EPERM, errno.ENOSYS):
                self._open_mem()
                return []
            if code == errno.ESRCH:
                raise CommandError(f"{self.name} has ended")
            return [None]
        data = memoryview(buffer)
        out: list[Optional[bytes]] = []
        at = 0
        for _, size in batch:
            if at + size > done:
                return out if out else [None]
            out.append(bytes(data[at : at + size]))
            at += size
        return out

    def _open_mem(self) -> None:
        try:
            self._mem = os.open(self._proc / "mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._ended(error) from error

    def _read_mem(self, address: int, size: int) -> Optional[bytes]:
        assert self._mem is not None
        try:
            data = os.pread(self._mem, size, address)
        except (OSError, OverflowError):
            return None
        return data if len(data) == size else None

    def _pagemap(self, address: int, pages: int) -> Optional[bytes]:
        """The last byte of each page's entry, which has the flags."""
        page_bytes = os.sysconf("SC_PAGE_SIZE")
        try:
            with open(self._proc / "pagemap", "rb", buffering=0) as file:
                file.seek(address // page_bytes * 8)
                data = file.read(pages * 8)
        except OSError:
            return None
        return data[7::8] if len(data) == pages * 8 else None


# Bit 63 of an entry of pagemap: the page is there.
_PRESENT = bytes(flags >> 7 for flags in range(256))
