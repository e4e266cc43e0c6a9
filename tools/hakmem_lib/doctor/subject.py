"""The program or process under examination: every fact that the checks look at."""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import mmap
import os
import re
import resource
import shutil
import stat
import struct
from typing import Mapping, Optional

from tools.hakmem_lib.doctor import cgroup, elf, libraries
from tools.hakmem_lib.doctor.files import Files
from tools.hakmem_lib.errors import CommandError

_AT_PAGESZ, _AT_SECURE = 6, 23
_LIMITS = {"address space": "RLIMIT_AS", "data size": "RLIMIT_DATA", "locked memory": "RLIMIT_MEMLOCK"}
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) \S+ \d+ *(.*)$")
_SHEBANGS_MAX = 4


@dataclasses.dataclass(frozen=True)
class Machine:
    """What the system allows. Limits are in bytes, None: none."""

    page_bytes: int = 4096
    overcommit: int = 0
    commit_limit: Optional[int] = None
    committed: Optional[int] = None
    max_map_count: Optional[int] = None
    huge_pages: str = ""  # always, madvise, never; nothing where there are none
    limits: Mapping[str, Optional[int]] = dataclasses.field(default_factory=dict)
    group: cgroup.Limits = cgroup.Limits()
    refused: tuple[str, ...] = ()  # system calls that a filter refuses


@dataclasses.dataclass(frozen=True)
class Program:
    """What is on disk."""

    main: elf.Object
    libraries: tuple[elf.Object, ...] = ()
    missing: tuple[str, ...] = ()
    script: str = ""  # that is run by it
    is_set_id: bool = False
    has_capabilities: bool = False
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    plugins: tuple[elf.Object, ...] = ()  # loaded later: named by the user, or seen in the process
    absent_preloads: tuple[str, ...] = ()  # in LD_PRELOAD, and not there

    @property
    def files(self) -> list[elf.Object]:
        """The program and all its libraries."""
        return [self.main, *self.libraries, *self.plugins]


@dataclasses.dataclass(frozen=True)
class Process:
    """What runs."""

    pid: int
    is_secure: bool = False
    seccomp: int = 0
    mappings: int = 0
    address_bytes: int = 0
    locked_bytes: int = 0
    huge_pages_off: bool = False
    hakmem_path: str = ""  # in its maps
    hakmem_is_deleted: bool = False
    malloc_file: str = ""  # where the main program's calls of malloc go; nothing where that cannot be seen
    valgrind: bool = False


@dataclasses.dataclass(frozen=True)
class Subject:
    """All of it. `hakmem` is the library to be preloaded, or that is loaded."""

    program: Program
    machine: Machine = Machine()
    process: Optional[Process] = None
    hakmem: Optional[elf.Object] = None
    version: str = ""
    option_names: frozenset[str] = frozenset()  # without HAKMEM_; none: unknown


def _number_after(text: str, name: str) -> int:
    match = re.search(rf"^{name}:?\s+(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else 0


# --- the machine ---


def _limits_of(files: Files, process: str) -> dict[str, Optional[int]]:
    out: dict[str, Optional[int]] = {}
    for line in (files.text(f"/proc/{process}/limits") or "").splitlines():
        match = re.match(r"Max (address space|data size|locked memory)\s+(\S+)", line)
        if match:
            out[_LIMITS[match[1]]] = int(match[2]) if match[2].isdigit() else None
    return out


def refused_calls() -> tuple[str, ...]:
    """System calls of HAKMEM's that a filter over this process, and over all that it starts, refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    size_bytes = mmap.PAGESIZE
    base = ctypes.c_void_p(libc.mmap(None, size_bytes, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0))
    tries = {
        "madvise": lambda: libc.madvise(base, ctypes.c_size_t(size_bytes), mmap.MADV_DONTNEED),
        "mremap": lambda: libc.mremap(base, ctypes.c_size_t(size_bytes), ctypes.c_size_t(size_bytes), 0),
        "munmap": lambda: libc.munmap(base, ctypes.c_size_t(size_bytes)),
    }
    return tuple(name for name, attempt in tries.items() if attempt() in (-1, 2**64 - 1))


def look_at_machine(files: Files, process: str) -> Machine:
    """`process` is a number, or `self`."""
    mode = re.search(r"\[(\w+)\]", files.text("/sys/kernel/mm/transparent_hugepage/enabled") or "")
    memory = files.text("/proc/meminfo") or ""
    return Machine(
        page_bytes=resource.getpagesize(),
        overcommit=files.number("/proc/sys/vm/overcommit_memory") or 0,
        commit_limit=_number_after(memory, "CommitLimit") * 1024 or None,
        committed=_number_after(memory, "Committed_AS") * 1024 or None,
        max_map_count=files.number("/proc/sys/vm/max_map_count"),
        huge_pages=mode[1] if mode else "",
        limits=_limits_of(files, process),
        group=cgroup.read(files, process),
        refused=refused_calls() if process == "self" else (),
    )


# --- a program ---


def _interpreter_of(path: str) -> Optional[str]:
    """Of a script: what runs it."""
    with open(path, "rb") as file:
        line = file.readline(256)
    if not line.startswith(b"#!"):
        return None
    words = line[2:].decode(errors="replace").split()
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return words[0] if words else ""


def _find_program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        if os.path.isdir(name):
            raise CommandError(f"a folder, not a program: {name}")
        if os.path.exists(name):
            raise CommandError(f"not executable: {name}")
        raise CommandError(f"no such program or process: {name}")
    return path


def look_at_file(path: str) -> elf.Object:
    """An ELF file that the user has named."""
    try:
        return elf.read(path)
    except elf.NotElf as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error


def look_at_program(name: str, plugins: list[str], environment: Mapping[str, str]) -> Program:
    """A program by its name or path."""
    script, path = "", _find_program(name)
    for _ in range(_SHEBANGS_MAX):
        try:
            interpreter = _interpreter_of(path)
        except OSError as error:
            raise CommandError(f"cannot read {path}: {error.strerror}") from error
        if interpreter is None:
            break
        script, path = script or path, _find_program(interpreter)
    main = look_at_file(path)
    if main.is_library:
        raise CommandError(f"a library, not a program: {path}")
    found, missing = libraries.Loader(Files(), environment).closure(main)
    mode = os.stat(path)
    obeys = not os.statvfs(path).f_flag & os.ST_NOSUID
    preloads = [word for word in re.split("[: ]", environment.get("LD_PRELOAD", "")) if "/" in word]
    return Program(
        main=main,
        libraries=tuple(found),
        missing=tuple(missing),
        script=script,
        is_set_id=obeys and bool(mode.st_mode & (stat.S_ISUID | stat.S_ISGID)),
        has_capabilities=obeys and _has_capabilities(path),
        environment=environment,
        plugins=tuple(look_at_file(plugin) for plugin in plugins),
        absent_preloads=tuple(preload for preload in preloads if not os.path.exists(preload)),
    )


def _has_capabilities(path: str) -> bool:
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


# --- a process ---


@dataclasses.dataclass(frozen=True)
class _Mapping:
    begin: int
    end: int
    access: str
    offset: int
    path: str


def _auxv(contents: bytes) -> dict[int, int]:
    return {key: value for key, value in struct.iter_unpack("NN", contents[: len(contents) // 16 * 16])}


def _read_process_file(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise CommandError(f"no such process: {pid}") from error
    except ProcessLookupError as error:
        raise CommandError(f"process {pid} has ended") from error
    except PermissionError as error:
        raise CommandError(f"no permission to look at process {pid}: run as its user, or as root") from error


def _mappings(pid: int) -> list[_Mapping]:
    out = []
    for line in _read_process_file(pid, "maps").decode(errors="replace").splitlines():
        match = _MAPPING.match(line)
        if match:
            out.append(_Mapping(int(match[1], 16), int(match[2], 16), match[3], int(match[4], 16), match[5]))
    return out


_DELETED = " (deleted)"


def _object_of(pid: int, mapping: _Mapping) -> Optional[elf.Object]:
    """The file of a mapping; read through the mapping where it is no longer there, or another one now."""
    path = mapping.path.removesuffix(_DELETED)
    names = [f"/proc/{pid}/map_files/{mapping.begin:x}-{mapping.end:x}"]
    if path == mapping.path:
        names.insert(0, f"/proc/{pid}/root{path}")
    for name in names:
        try:
            return dataclasses.replace(elf.read(name), path=path)
        except (elf.NotElf, OSError):
            continue
    return None


def _malloc_file(pid: int, main: elf.Object, mappings: list[_Mapping]) -> str:
    """Where the main program's calls of malloc go: the file that the address in its slot lies in."""
    slot = next((at for name, at in main.slots if name == "malloc"), None)
    first = next((m for m in mappings if m.path == main.path and m.offset == 0), None)
    if slot is None or first is None or main.bits != 64:
        return ""
    at = slot + first.begin - main.base_address
    try:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    except OSError:
        return ""
    try:
        target = struct.unpack("<Q", os.pread(memory, 8, at))[0]
    except (OSError, struct.error):
        return ""
    finally:
        os.close(memory)
    found = next((m for m in mappings if m.begin <= target < m.end), None)
    # In the main program itself: not called yet.
    return found.path if found is not None and found.path != main.path else ""


def look_at_process(pid: int, plugins: list[str]) -> tuple[Program, Process, Optional[elf.Object], int]:
    """The program of a process, the process, the HAKMEM that is in it, and its page size."""
    status = _read_process_file(pid, "status").decode(errors="replace")
    try:
        executable = os.readlink(f"/proc/{pid}/exe")
    except FileNotFoundError as error:
        if re.search(r"^State:\s+Z", status, re.MULTILINE):
            raise CommandError(f"process {pid} has ended (zombie)") from error
        raise CommandError(f"process {pid} is a thread of the kernel") from error
    except PermissionError as error:
        raise CommandError(f"no permission to look at process {pid}: run as its user, or as root") from error
    except OSError as error:
        gone = error.errno == errno.ESRCH
        raise CommandError(f"process {pid} has ended" if gone else f"cannot look at process {pid}") from error
    mappings = _mappings(pid)
    environment = dict(
        entry.decode(errors="replace").split("=", 1)
        for entry in _read_process_file(pid, "environ").split(b"\0")
        if b"=" in entry
    )
    auxv = _auxv(_read_process_file(pid, "auxv"))
    try:
        main = dataclasses.replace(elf.read(f"/proc/{pid}/exe"), path=executable.removesuffix(_DELETED))
    except elf.NotElf as error:
        raise CommandError(f"cannot read the program of process {pid}") from error
    finally:
        elf.read.cache_clear()  # names in /proc are of one process only
    loaded = _loaded(pid, mappings, main)
    hakmem = next((library for library in loaded if library.has_hakmem), None)
    known, missing = libraries.Loader(Files(f"/proc/{pid}/root"), environment).closure(main)
    # Mapped files go by the names that links end at: told by what they call themselves.
    at_start = {known_library.soname or known_library.name for known_library in known}
    preload = environment.get("LD_PRELOAD", "")
    start, late = [], []
    for library in loaded:
        name = library.soname or library.name
        if library is not hakmem and library.name not in preload:
            (start if name in at_start or name.startswith("ld-") else late).append(library)
    program = Program(
        main=main,
        libraries=tuple(start),
        missing=tuple(missing),
        environment=environment,
        plugins=(*late, *(look_at_file(plugin) for plugin in plugins)),
    )
    path = hakmem.path if hakmem is not None else ""
    process = Process(
        pid=pid,
        is_secure=auxv.get(_AT_SECURE, 0) != 0,
        seccomp=_number_after(status, "Seccomp"),
        mappings=len(mappings),
        address_bytes=_number_after(status, "VmSize") * 1024,
        locked_bytes=_number_after(status, "VmLck") * 1024,
        huge_pages_off=re.search(r"^THP_enabled:\s+0", status, re.MULTILINE) is not None,
        hakmem_path=path,
        hakmem_is_deleted=any(m.path == path + _DELETED for m in mappings),
        malloc_file=_malloc_file(pid, main, mappings),
        valgrind="/valgrind/" in executable or any("/vgpreload_" in m.path for m in mappings),
    )
    return program, process, hakmem, auxv.get(_AT_PAGESZ, resource.getpagesize())


def _loaded(pid: int, mappings: list[_Mapping], main: elf.Object) -> list[elf.Object]:
    """The ELF files in the process, without the main program."""
    out: dict[str, elf.Object] = {}
    for mapping in mappings:
        path = mapping.path.removesuffix(_DELETED)
        if mapping.offset != 0 or not path.startswith("/") or path in out or path == main.path:
            continue
        found = _object_of(pid, mapping)
        if found is not None:
            out[path] = found
    return list(out.values())
