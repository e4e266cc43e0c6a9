"""The allocators that are compared: how each is found, installed and preloaded."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.runner.errors import BenchError, UsageError

#: The name under which our own library is measured.
OURS = "hakmem"
#: What ratios refer to, where it is measured; otherwise the next that is.
BASELINES = ("mimalloc", "glibc")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class Allocator:
    """One column: a name, the library to preload (None: libc's own malloc), and where its version is known from."""

    name: str
    library: str | None
    version: str


@dataclass(frozen=True)
class Peer:
    """An allocator that Debian packages; newest first where releases differ in soname and package."""

    name: str
    sonames: tuple[str, ...]
    packages: tuple[str, ...]


PEERS: tuple[Peer, ...] = (
    Peer("glibc", (), ("libc6",)),
    Peer("mimalloc", ("libmimalloc.so.3", "libmimalloc.so.2"), ("libmimalloc3", "libmimalloc2.0")),
    Peer("jemalloc", ("libjemalloc.so.2",), ("libjemalloc2",)),
    Peer("tcmalloc", ("libtcmalloc_minimal.so.4",), ("libtcmalloc-minimal4t64", "libtcmalloc-minimal4")),
)


def peer_names() -> list[str]:
    """The names --peers accepts."""
    return [peer.name for peer in PEERS]


def parse_peers(text: str | None) -> list[Peer]:
    """The peers that a comma-separated list names; all of them for None."""
    if text is None:
        return list(PEERS)
    known = {peer.name: peer for peer in PEERS}
    names = list(dict.fromkeys(part for part in text.split(",") if part))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"--peers: no peer named {', '.join(unknown)}; known: {', '.join(known)}")
    return [known[name] for name in names]


def parse_library(text: str) -> Allocator:
    """The allocator that --lib NAME=PATH describes."""
    name, equals, path = text.partition("=")
    if not equals or not _NAME.fullmatch(name):
        raise UsageError(f"--lib: '{text}' is not NAME=PATH")
    if name in known_names():
        raise UsageError(f"--lib: the name '{name}' is taken by a known allocator")
    return own_library(name, path)


def known_names() -> set[str]:
    """Names that --lib may not reuse. Our own may be: that is how a build from elsewhere is measured."""
    return set(peer_names())


def own_library(name: str, path: str) -> Allocator:
    """An allocator from a file; a clear error where it cannot be read."""
    full = os.path.abspath(path)
    if not os.access(full, os.R_OK) or not os.path.isfile(full):
        raise BenchError(f"{name}: no readable library at {path}")
    return Allocator(name, full, f"file {os.path.basename(path)}")


def find_peers(peers: Iterable[Peer]) -> list[Allocator]:
    """Finds every peer, installing from Debian what is missing. Raises BenchError where that is not possible."""
    wanted = list(peers)
    missing = [peer for peer in wanted if peer.sonames and _find_library(peer.sonames) is None]
    if missing:
        _install(missing)
    found = []
    for peer in wanted:
        library = _find_library(peer.sonames) if peer.sonames else None
        if peer.sonames and library is None:
            raise BenchError(f"{peer.name}: {' or '.join(peer.sonames)} not found, even after installing its package")
        found.append(Allocator(peer.name, library, package_version(peer.packages)))
    return found


def _find_library(sonames: Sequence[str]) -> str | None:
    """The path of the first of `sonames` that the dynamic linker knows or that lies in a standard folder."""
    listing = _output([shutil.which("ldconfig") or "/sbin/ldconfig", "-p"])
    for soname in sonames:
        paths = _listed_paths(listing, soname)
        for folder in ("/usr/lib", "/usr/lib64", "/usr/local/lib", f"/usr/lib/{os.uname().machine}-linux-*"):
            paths += sorted(glob.glob(f"{folder}/{soname}"))
        if paths:
            return paths[0]
    return None


def _listed_paths(listing: str, soname: str) -> list[str]:
    """Where `ldconfig -p` has `soname` for 64-bit programs."""
    line = re.compile(rf"^\s*{re.escape(soname)} \(([^)]*)\) => (\S+)$", re.MULTILINE)
    return [path for abi, path in line.findall(listing) if "64" in abi]


def _install(missing: Sequence[Peer]) -> None:
    """Installs one package for each missing peer through apt."""
    names = ", ".join(peer.name for peer in missing)
    hint = " ".join(peer.packages[-1] for peer in missing)
    advice = f"install it (Debian: apt-get install {hint}) or leave it out with --peers"
    if shutil.which("apt-get") is None:
        raise BenchError(f"not found: {names}, and there is no apt-get here; {advice}")
    if os.geteuid() != 0:
        raise BenchError(f"not found: {names}, and only root can install packages; {advice}")
    print(f"bench: installing {names}", file=sys.stderr)
    _apt("update")
    packages = [_known_package(peer) for peer in missing]
    if not _apt("install", "-y", "--no-install-recommends", *packages):
        raise BenchError(f"apt-get could not install {' '.join(packages)}; {advice}")


def _known_package(peer: Peer) -> str:
    """The first of the peer's packages that apt can install; the last one where none is known."""
    for package in peer.packages:
        candidate = re.search(r"Candidate: (\S+)", _output(["apt-cache", "policy", package]))
        if candidate and candidate.group(1) != "(none)":
            return package
    return peer.packages[-1]


def _apt(*args: str) -> bool:
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    done = subprocess.run(["apt-get", "-q", *args], env=environment, stdout=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def package_version(packages: Sequence[str]) -> str:
    """"package version" of the first installed one; "unknown" where dpkg knows none."""
    for package in packages:
        version = _output(["dpkg-query", "-W", "-f=${Version}", package]).strip()
        if version:
            return f"{package} {version}"
    return "unknown"


def _output(command: Sequence[str]) -> str:
    """What `command` prints; nothing where it cannot be run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""
