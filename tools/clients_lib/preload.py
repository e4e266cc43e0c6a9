"""The library under test: built or given, copied to where every user can read it, shown to load."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

from clients_lib.launch import PATH
from clients_lib.model import Mode

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
_TARGET = "//hakmem:malloc_preload"
_BUILT = REPOSITORY / "bazel-bin/hakmem/libhakmem.so"
# Options of the allocators go to the candidate's runs; nothing else of the environment reaches a client.
_OPTION_PREFIXES = ("HAKMEM_", "MIMALLOC_", "MALLOC_CONF")


class PreloadError(Exception):
    """There is no usable library; the text says why, in one line."""


def build() -> pathlib.Path:
    """Builds HAKMEM and returns its shared object."""
    # tools/run installs Bazel where it is missing, and its last word is an error in one line.
    command = [str(REPOSITORY / "tools/run"), "--", "/bin/true"]
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PreloadError(f"cannot build {_TARGET}: {error}") from error
    if done.returncode != 0 or not _BUILT.exists():
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise PreloadError(f"`{' '.join(command)}` gave no library: {reason}")
    return _BUILT


def candidate(lib: pathlib.Path, folder: pathlib.Path) -> Mode:
    """The mode of a library under test, with the allocators' options from the environment."""
    options = {name: value for name, value in os.environ.items() if name.startswith(_OPTION_PREFIXES)}
    return readable("hakmem" if "hakmem" in lib.name else lib.name.split(".")[0], lib, folder, options)


def readable(name: str, lib: pathlib.Path, folder: pathlib.Path, options: dict[str, str]) -> Mode:
    """The mode of a library: copied into `folder` (Bazel's own is root's alone) and checked to load."""
    if not lib.exists():
        raise PreloadError(f"{lib} does not exist")
    copy = folder / lib.resolve().name
    shutil.copy(lib, copy)
    copy.chmod(0o755)
    mode = Mode(name, copy, options)
    _check_loads(mode)
    return mode


def chosen(lib: str | None, folder: pathlib.Path) -> Mode:
    """What --lib names: a library, libc once more for "libc", HAKMEM as it is built here for None."""
    if lib == "libc":
        return libc_again()
    return candidate(pathlib.Path(lib) if lib else build(), folder)


def libc_again() -> Mode:
    """A candidate that is libc once more: what differs then is volatile, not the allocator's doing."""
    return Mode("libc-again", None)


def libc_object() -> pathlib.Path:
    """Path of the libc.so.6 that programs here run on."""
    maps = subprocess.run(["/bin/cat", "/proc/self/maps"], capture_output=True, text=True, check=True)
    for line in maps.stdout.splitlines():
        if line.endswith("/libc.so.6"):
            return pathlib.Path(line.split()[-1])
    raise PreloadError("found no libc.so.6: is this a glibc system?")


def _check_loads(mode: Mode) -> None:
    done = subprocess.run(
        ["/bin/cat", "/proc/self/maps"],
        env={"PATH": PATH, "LD_PRELOAD": str(mode.preload)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or str(mode.preload.resolve()) not in done.stdout:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise PreloadError(f"{mode.preload.name} does not load into /bin/cat: {reason}")
