"""Which of a process's resident pages are HAKMEM's, reconciled with what the kernel counts.

Two sources that know nothing of each other: /proc/PID/pagemap says page by page what is there, and is asked for the ranges
that the walk has found; /proc/PID/smaps says how much of each mapping counts. Mappings without anything of ours are taken
from smaps, those with something of ours from pagemap, in parts; what the sum misses of the kernel's figure is unexplained.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Iterable, Optional

from tools.hakmem_lib.heap import SUPERSLAB_BYTES, Snapshot, Walker
from tools.hakmem_lib.memory import LiveProcess, Mapping, Range
from tools.hakmem_lib.view import View

# Kinds of memory, in the order of reports.
SUPERSLABS, WHALES, DESCRIPTORS, LIBRARY = "superslabs", "whales", "descriptors", "library"
KINDS = (SUPERSLABS, WHALES, DESCRIPTORS, LIBRARY)

# Descriptors come in mappings of these sizes between guards (hakmem/metadata).
_DESCRIPTOR_MAPPINGS = (1 << 20, 64 << 10)


@dataclasses.dataclass
class Resident:
    """In bytes."""

    kernel: int  # Rss of all mappings
    ours: dict[str, int]  # by kind
    others: int
    swapped: int

    @property
    def ours_total(self) -> int:
        """Of all kinds."""
        return sum(self.ours.values())

    @property
    def unexplained(self) -> int:
        """What the two sources disagree on; pages come and go while they are read."""
        return self.kernel - self.ours_total - self.others


def ranges(walker: Walker, snapshot: Snapshot, mappings: list[Mapping]) -> list[tuple[str, int, int]]:
    """Kind, start and end of what is HAKMEM's, sorted; no two overlap."""
    out = [(SUPERSLABS, superslab.base, superslab.base + SUPERSLAB_BYTES) for superslab in snapshot.superslabs]
    out += [(WHALES, whale.base, whale.base + whale.size) for whale in snapshot.whales]
    out += [(DESCRIPTORS, start, end) for start, end in _descriptors(walker, snapshot, mappings)]
    out += [(LIBRARY, start, end) for start, end in _library(walker.view, mappings)]
    out.sort(key=lambda part: part[1])
    clear: list[tuple[str, int, int]] = []
    for kind, start, end in out:
        # One that was unmapped and its place taken while the walk went on.
        start = max(start, clear[-1][2]) if clear else start
        if start < end:
            clear.append((kind, start, end))
    return clear


def reconcile(process: LiveProcess, walker: Walker, snapshot: Snapshot) -> Optional[Resident]:
    """None where the kernel does not say which pages are there."""
    smaps = process.smaps()
    ours = ranges(walker, snapshot, [mapping for mapping, _ in smaps])
    page = os.sysconf("SC_PAGE_SIZE")
    out = Resident(kernel=0, ours={kind: 0 for kind in KINDS}, others=0, swapped=0)
    at = 0
    for mapping, sizes in smaps:
        rss = sizes.get("Rss", 0)
        out.kernel += rss
        out.swapped += sizes.get("Swap", 0)
        while at < len(ours) and ours[at][2] <= mapping.start:
            at += 1
        inside = []
        index = at
        while index < len(ours) and ours[index][1] < mapping.end:
            kind, start, end = ours[index]
            inside.append((kind, max(start, mapping.start), min(end, mapping.end)))
            index += 1
        if not inside:
            out.others += rss
            continue
        for kind, part in _parts(mapping, inside):
            count = process.count_resident([part], page)
            if count is None:
                return None
            if kind:
                out.ours[kind] += count
            else:
                out.others += count
    return out


def _parts(mapping: Mapping, inside: Iterable[tuple[str, int, int]]) -> list[tuple[str, Range]]:
    """A mapping cut into what is ours, by kind, and what is not: kind "". Only whole pages."""
    out: list[tuple[str, Range]] = []
    at = mapping.start
    for kind, start, end in inside:
        start, end = max((start + 4095) & ~4095, at), end & ~4095
        if start > at:
            out.append(("", (at, start - at)))
        if end > start:
            out.append((kind, (start, end - start)))
        at = max(at, start, end)
    if at < mapping.end:
        out.append(("", (at, mapping.end - at)))
    return out


def _descriptors(walker: Walker, snapshot: Snapshot, mappings: list[Mapping]) -> list[Range]:
    """Mappings that known descriptors lie in, and the leaves of the registry."""
    known = [superslab.address for superslab in snapshot.superslabs]
    known += [heap.address for heap in snapshot.heaps if heap.state != "common"]
    known += [whale.address for whale in snapshot.whales]
    known += [cache.top for heap in snapshot.heaps for cache in heap.bins]
    known.append(max(walker.view.record("metadata", "metadata")["end"] - 1, 0))
    known.sort()
    out = []
    at = 0
    for mapping in mappings:
        while at < len(known) and known[at] < mapping.start:
            at += 1
        if at < len(known) and known[at] < mapping.end and mapping.size in _DESCRIPTOR_MAPPINGS and not mapping.path:
            out.append((mapping.start, mapping.end))
    leaf_bytes = walker.view.structure("registry_leaf").size
    return out + [(leaf, leaf + leaf_bytes) for leaf in walker.leaves()]


def _library(view: View, mappings: list[Mapping]) -> list[Range]:
    """The library's code and variables. Of a program that HAKMEM is linked into, only the large tables can be told from the
    program's own."""
    own = next((mapping for mapping in mappings if mapping.start <= view.address < mapping.end), None)
    program = next((mapping for mapping in mappings if mapping.is_file), None)
    if own is None or not own.is_file or program is None or own.path == program.path:
        return [(address, address + size) for _, address, size in view.roots() if size >= 64 * 1024]
    out = []
    for before, mapping in zip([None, *mappings], mappings):
        is_bss = before is not None and before.path == own.path and before.end == mapping.start and not mapping.path
        if mapping.path == own.path or (is_bss and mapping.is_writable):
            out.append((mapping.start, min(mapping.end, _bss_end(view, mapping)) if is_bss else mapping.end))
    return out


def _bss_end(view: View, mapping: Mapping) -> int:
    """The kernel may have merged what lies behind the zeroed variables with them."""
    ends = [address + size for _, address, size in view.roots() if mapping.start <= address < mapping.end]
    return (max(ends) + 4095) & ~4095 if ends else mapping.end
