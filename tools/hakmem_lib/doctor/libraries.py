"""Which files a program loads, as the dynamic linker would find them; nothing is run."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Iterable, Iterator, Mapping, Optional

from tools.hakmem_lib.doctor import elf
from tools.hakmem_lib.doctor.files import Files

_GLIBC_FOLDERS = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")
_MUSL_FOLDERS = ("/lib", "/usr/local/lib", "/usr/lib")
_CACHED = re.compile(r"^\s*(\S+) \(([^)]*)\) => (\S+)$", re.MULTILINE)


class Loader:
    """Follows the names that files ask for."""

    def __init__(self, files: Files, environment: Mapping[str, str]) -> None:
        self._files = files
        self._given = [folder for folder in re.split("[:;]", environment.get("LD_LIBRARY_PATH", "")) if folder]
        self._cache: Optional[dict[str, list[str]]] = None

    def closure(self, program: elf.Object) -> tuple[list[elf.Object], list[str]]:
        """All libraries that it loads at its start, in the linker's order, and the names of those not found."""
        found: list[elf.Object] = []
        missing: list[str] = []
        seen = {program.name}
        todo = [(program, name) for name in program.needed]
        while todo:
            asking, name = todo.pop(0)
            if name in seen:
                continue
            seen.add(name)
            library = self._find(program, asking, name)
            if library is None:
                missing.append(name)
                continue
            seen.update((library.name, library.soname))
            found.append(library)
            todo += [(library, needed) for needed in library.needed]
        return found, missing

    def _find(self, program: elf.Object, asking: elf.Object, name: str) -> Optional[elf.Object]:
        for path in self._candidates(program, asking, name):
            try:
                library = elf.read(str(self._files.path(path)))
            except (elf.NotElf, OSError):
                continue
            if (library.bits, library.machine) == (program.bits, program.machine):
                return library
        return None

    def _candidates(self, program: elf.Object, asking: elf.Object, name: str) -> Iterator[str]:
        if "/" in name:
            yield name
            return
        if not asking.runpath:
            yield from _in_folders(asking.rpath, asking, name)
            yield from _in_folders(program.rpath, program, name)
        yield from _in_folders(self._given, program, name)
        yield from _in_folders(asking.runpath, asking, name)
        if program.libc == "musl":
            listed = self._files.text(f"/etc/ld-musl-{_musl_machine(program)}.path")
            folders = re.split(r"[:\n]", listed.strip()) if listed else _MUSL_FOLDERS
            yield from _in_folders(folders, program, name)
            return
        yield from self._cached().get(name, [])
        yield from _in_folders(_GLIBC_FOLDERS, program, name)

    def _cached(self) -> dict[str, list[str]]:
        """What ldconfig has noted: paths by name."""
        if self._cache is None:
            self._cache = {}
            for ldconfig in ("/sbin/ldconfig", "/usr/sbin/ldconfig"):
                try:
                    listing = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False).stdout
                except OSError:
                    continue
                for name, _, path in _CACHED.findall(listing):
                    self._cache.setdefault(name, []).append(path)
                break
        return self._cache


def _in_folders(folders: Iterable[str], asking: elf.Object, name: str) -> Iterator[str]:
    origin = os.path.dirname(os.path.realpath(asking.path))
    for folder in folders:
        folder = folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)
        if "$" not in folder:
            yield os.path.join(os.path.abspath(folder), name)


def _musl_machine(program: elf.Object) -> str:
    return program.interpreter.rsplit("ld-musl-", 1)[-1].removesuffix(".so.1")
