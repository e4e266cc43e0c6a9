"""The base class of a client, and the registry of all of them."""

from __future__ import annotations

import contextlib
import pathlib
import re
import shutil
import subprocess
from typing import ClassVar, TypeVar

from clients_lib import launch
from clients_lib.session import Session

WORKLOADS = pathlib.Path(__file__).parent / "workloads"
_ALLOCATORS = ("libjemalloc", "libtcmalloc", "libmimalloc", "libsnmalloc", "librpmalloc")

_registry: dict[str, "Client"] = {}
_C = TypeVar("_C", bound=type["Client"])


class Client:
    """A program with work to do. Subclasses set the attributes and write run().

    run() is called once a run with a fresh Session; prepare() once, before any run and on libc's malloc,
    for inputs that are the same in all runs.
    """

    # Name on the command line and in the table.
    name: ClassVar[str]
    # One line: the work that is done.
    summary: ClassVar[str]
    # Executables needed, each with the Debian packages (space-separated) that provide it.
    programs: ClassVar[dict[str, str]] = {}
    # What is volatile in the output, and how it is made comparable. Shown in the report.
    normalised: ClassVar[str] = "nothing"
    # True: shown, but it decides nothing.
    informational: ClassVar[bool] = False
    # A sentence for the report, if there is anything to know about the result.
    note: ClassVar[str] = ""

    def prepare(self, inputs: pathlib.Path) -> None:
        """Writes the inputs of all runs into `inputs`."""

    def run(self, session: Session) -> None:
        """Does the work once. Raises ClientError where it cannot go on."""
        raise NotImplementedError

    def missing_packages(self) -> list[str]:
        """Debian packages to install before this client can run; empty when all is there."""
        return [
            package
            for program, packages in self.programs.items()
            if find_program(program) is None
            for package in packages.split()
        ]

    def warm(self) -> None:
        """Reads the programs and their libraries once, so that the first run does not wait for the disk."""
        for program in self.programs:
            path = find_program(program)
            for file in re.findall(r"(/\S+)", f"{path} {_linked(path)}") if path else ():
                with contextlib.suppress(OSError):
                    pathlib.Path(file).read_bytes()

    def own_malloc(self) -> str:
        """Name of another malloc that one of the programs is linked with, "" if none.

        Such a program would run on that one instead of libc's, so its baseline needs libc preloaded.
        """
        for program in self.programs:
            path = find_program(program)
            for allocator in _ALLOCATORS if path else ():
                if allocator in _linked(path):
                    return allocator
        return ""


def register(client: _C) -> _C:
    """Class decorator: makes the client known to the runner."""
    assert client.name not in _registry, f"two clients named {client.name}"
    _registry[client.name] = client()
    return client


def all_clients() -> list[Client]:
    """Every registered client, in the order of registration."""
    return list(_registry.values())


def find_program(name: str) -> str | None:
    """Path of an executable as the clients see it."""
    return shutil.which(name, path=launch.PATH)


def _linked(path: str) -> str:
    done = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
    return done.stdout
