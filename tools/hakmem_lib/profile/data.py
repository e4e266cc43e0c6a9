"""What was sampled: read from a file that the library wrote when its process ended, or out of a running process."""

from __future__ import annotations

import dataclasses
import os
import struct
import time
from typing import Optional

from tools.hakmem_lib import heap
from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.memory import Mapping, Unreadable, parse_maps
from tools.hakmem_lib.view import View

MAGIC = b"HAKPROF1"
WEIGHT_ONE = 256  # a sample's weight is in parts of a block: HAK_PROFILE_WEIGHT_ONE
_HEADER_WORDS = 14
_CLASS_WORDS = 4
_SITE_WORDS = 10
_SAMPLE_WORDS = 9
_FRAMES_MOST = 64
_TRIES = 50


@dataclasses.dataclass(frozen=True)
class Sum:
    """Blocks and their bytes, estimated."""

    blocks: float = 0
    bytes: float = 0

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.blocks + other.blocks, self.bytes + other.bytes)

    def __sub__(self, other: Sum) -> Sum:
        return Sum(max(self.blocks - other.blocks, 0), max(self.bytes - other.bytes, 0))


@dataclasses.dataclass
class Site:
    """A call stack."""

    frames: tuple[int, ...]  # return addresses, the innermost first
    allocated: Sum
    live: Sum
    peak: Sum
    samples: int
    freed_samples: int
    freed_age_ms: int  # of those freed, together

    @property
    def mean_age_ms(self) -> float:
        """How old its blocks become, as far as they have been freed."""
        return self.freed_age_ms / self.freed_samples if self.freed_samples else 0


@dataclasses.dataclass
class Sample:
    """A block that is live."""

    address: int
    size: int  # asked for
    block_bytes: int
    weight: float  # how many blocks it stands for
    born_ms: int
    site: int
    size_class: Optional[int] = None  # of a small block: the slab that it would lie in ...
    slab_blocks: int = 0  # ... has so many blocks ...
    slab_free: int = 0  # ... and so many of them are free

    @property
    def bytes(self) -> float:
        """What it stands for."""
        return self.weight * self.size


@dataclasses.dataclass
class ClassTotal:
    """All slabs of a size class."""

    block_bytes: int
    blocks: int = 0  # in all slabs
    taken: int = 0

    @property
    def stranded(self) -> int:
        """Bytes of free blocks in slabs."""
        return max(self.blocks - self.taken, 0) * self.block_bytes


@dataclasses.dataclass
class Profile:
    """All that is known of a process."""

    pid: int
    mean_bytes: int
    started_ms: int
    now_ms: int
    sites: list[Site]
    samples: list[Sample]
    classes: list[ClassTotal]
    dropped: int
    mappings: list[Mapping]
    name: str = ""

    @property
    def duration_ms(self) -> int:
        """From the first sample on."""
        return max(self.now_ms - self.started_ms, 0)

    def since(self, before: Profile) -> Profile:
        """The same with only what was allocated after `before`, a profile of the same process. What is live stays."""
        sites = [dataclasses.replace(site) for site in self.sites]
        for site, old in zip(sites, before.sites):
            site.allocated = site.allocated - old.allocated
        return dataclasses.replace(self, sites=sites)


# --- from a file ---


class _Words:
    """Takes words off a file, from the beginning on."""

    def __init__(self, data: bytes, path: str) -> None:
        self._data = data
        self._at = 0
        self._path = path

    def take(self, count: int) -> tuple[int, ...]:
        end = self._at + 8 * count
        if end > len(self._data):
            raise CommandError(f"{self._path}: the profile is cut off")
        words = struct.unpack_from(f"<{count}Q", self._data, self._at)
        self._at = end
        return words

    def rest(self) -> bytes:
        return self._data[self._at :]


def is_profile(path: str) -> bool:
    """Whether a file begins as a profile does."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_file(path: str | os.PathLike[str]) -> Profile:
    """The profile that HAKMEM_PROFILE_FILE named."""
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error
    if not data.startswith(MAGIC[:-1]):
        raise CommandError(f"{path}: not a heap profile of HAKMEM")
    if not data.startswith(MAGIC):
        raise CommandError(f"{path}: a heap profile of another version of HAKMEM")
    words = _Words(data[len(MAGIC) :], path)
    (count,) = words.take(1)
    if count != _HEADER_WORDS:
        raise CommandError(f"{path}: a heap profile of another version of HAKMEM")
    pid, mean, started, now, classes, sites, samples, dropped, *_ = words.take(count)
    out = Profile(pid, max(mean, 1), started, now, [], [], [], dropped, [], os.path.basename(path))
    for _ in range(classes):
        block_bytes, blocks, slabs, taken = words.take(_CLASS_WORDS)
        out.classes.append(ClassTotal(block_bytes, blocks * slabs, taken))
    for _ in range(sites):
        depth, *sums = words.take(_SITE_WORDS)
        out.sites.append(_site(words.take(depth), sums))
    for _ in range(samples):
        address, size, block_bytes, weight, born, site, size_class, blocks, free = words.take(_SAMPLE_WORDS)
        if address == 0 or site >= sites:  # unused, or of a site that came while the file was written
            continue
        sample = Sample(address, size, block_bytes, weight / WEIGHT_ONE, born, site)
        if size_class != 0:
            sample.size_class, sample.slab_blocks, sample.slab_free = size_class - 1, blocks, free
        out.samples.append(sample)
    *maps, end, nothing = ["", *words.rest().decode("utf-8", "replace").split("\n")]
    if (end, nothing) != ("end", ""):
        raise CommandError(f"{path}: the profile is cut off")
    out.mappings = parse_maps("\n".join(maps))
    return out


def _site(frames: tuple[int, ...], sums: list[int]) -> Site:
    allocated, live, peak = (Sum(sums[i] / WEIGHT_ONE, sums[i + 1]) for i in (0, 2, 4))
    return Site(frames, allocated, live, peak, *sums[6:9])


# --- out of a process ---


class Reader:
    """Reads the tables of a process again and again."""

    def __init__(self, view: View) -> None:
        if not view.has_root("profile"):
            raise CommandError(f"{view.memory.name}: its HAKMEM has no heap profile")
        self._view = view
        self._memory = view.memory
        self._walker = heap.Walker(view)
        self._sample = view.structure("profile_sample").reader(
            "address", "size_bytes", "weight", "born_ms", "slab", "site", "block_bytes"
        )
        self._slab = view.structure("slab").reader("size_class", "blocks", "free_count")

    def read(self) -> Profile:
        """What is there now. Tables that change while they are read are read again."""
        for _ in range(_TRIES):
            before = self._head()
            try:
                out = self._read_tables(before)
            except Unreadable:
                continue
            if self._head()["changes"] == before["changes"] and before["changes"] % 2 == 0:
                break
        else:
            out = self._read_tables(self._head())  # a busy process: what does not fit together is left out
        # Of the library's clock, which may have stood still since the last sample.
        out.now_ms = max(out.now_ms, int(time.clock_gettime(time.CLOCK_MONOTONIC) * 1000)) if out.started_ms else 0
        self._add_slabs(out)
        self._add_classes(out)
        out.mappings = self._memory.mappings()
        return out

    def _head(self):  # type: ignore[no-untyped-def]
        return self._view.record("profile", "profile")

    def _read_tables(self, head) -> Profile:  # type: ignore[no-untyped-def]
        pid = getattr(self._memory, "pid", 0)
        out = Profile(pid, max(head["mean_bytes"], 1), head["started_ms"], head["now_ms"], [], [], [], head["dropped"], [])
        out.name = self._memory.name
        out.sites = self._sites(head)
        self._slab_of: dict[int, int] = {}
        structure = self._view.structure("profile_sample")
        for data in self._rows(head, "samples", structure.size, head["sample_count"]):
            address, size, weight, born, slab, site, block_bytes = self._sample(data, 0)
            if address == 0 or site >= len(out.sites):
                continue
            if slab:
                self._slab_of[len(out.samples)] = slab
            out.samples.append(Sample(address, size, block_bytes, weight / WEIGHT_ONE, born, site))
        return out

    def _rows(self, head, name: str, size: int, count: int) -> list[bytes]:  # type: ignore[no-untyped-def]
        """The first `count` rows of a table in chunks."""
        chunks = struct.unpack(f"<{len(head.bytes_of(name)) // 8}Q", head.bytes_of(name))
        per_chunk = 64 * 1024 // size
        out: list[bytes] = []
        for chunk in chunks:
            rows = min(per_chunk, count - len(out))
            if rows <= 0:
                break
            data = self._memory.read(chunk, rows * size)
            out += [data[i : i + size] for i in range(0, len(data), size)]
        return out

    def _sites(self, head) -> list[Site]:  # type: ignore[no-untyped-def]
        structure = self._view.structure("profile_site")
        fields = structure.fields
        numbers = structure.reader("frames", "peak_at", "samples", "freed_age_ms", "freed_samples", "depth")
        rows = self._rows(head, "sites", structure.size, head["site_count"])
        heads = [numbers(row, 0) for row in rows]
        frames = self._memory.read_many([(h[0], 8 * min(h[5], _FRAMES_MOST)) for h in heads])
        out = []
        for row, (_, peak_at, samples, age, freed, _), data in zip(rows, heads, frames):
            live, peak, allocated = (struct.unpack_from("<2Q", row, fields[name].offset) for name in ("live", "peak", "allocated"))
            if peak_at != head["peak_at"]:
                peak = live
            addresses = struct.unpack(f"<{len(data) // 8}Q", data) if data else ()
            out.append(_site(addresses, [*allocated, *live, *peak, samples, freed, age]))
        return out

    def _add_slabs(self, profile: Profile) -> None:
        """How full the slabs are that the sampled blocks would lie in."""
        addresses = sorted(set(self._slab_of.values()))
        size = self._view.structure("slab").size
        found = {}
        for address, data in zip(addresses, self._memory.read_many([(a, size) for a in addresses])):
            if data is not None:
                found[address] = self._slab(data, 0)
        for index, address in self._slab_of.items():
            size_class, blocks, free = found.get(address, (0, 0, 0))
            if 0 < blocks and free < blocks:  # else it has changed hands meanwhile
                sample = profile.samples[index]
                sample.size_class, sample.slab_blocks, sample.slab_free = size_class, blocks, free

    def _add_classes(self, profile: Profile) -> None:
        for row in self._walker.snapshot().class_figures():
            profile.classes.append(ClassTotal(row.block_bytes, row.blocks, row.blocks - row.free))
