"""Two snapshots of a process laid over each other: what appeared, what vanished, what changed.

The result is the map of the later one, with the changes at its slabs, and with the slabs and SuperSlabs that are gone
where nothing else has taken their place. A block that was freed and handed out again meanwhile is the same to it.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Optional

from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.heap import UNIT_BYTES
from tools.hakmem_lib.maps import model
from tools.hakmem_lib.maps.model import APPEARED, CHANGED, SAME, VANISHED, Change, Map, Slab, SuperSlab
from tools.hakmem_lib.text import size


def compare(old: Map, new: Map) -> Map:
    """CommandError: they are not of one process, or not in this order."""
    if (old.pid, old.name) != (new.pid, new.name):
        raise CommandError(
            f"the snapshots are of two processes, {old.pid} ({old.name}) and {new.pid} ({new.name}): "
            "the same addresses are not the same blocks"
        )
    if (old.version, old.classes, old.page_bytes) != (new.version, new.classes, new.page_bytes):
        raise CommandError(f"the snapshots are of two versions of HAKMEM, {old.version} and {new.version}")
    if old.taken > new.taken:
        raise CommandError("the first snapshot is the younger one: give the older one first")
    heaps = list(new.heaps)
    known = {heap.address: index for index, heap in enumerate(heaps)}
    for heap in old.heaps:
        if heap.address not in known:
            known[heap.address] = len(heaps)
            heaps.append(heap)
    owners = [known[heap.address] for heap in old.heaps]
    out = dataclasses.replace(
        new, heaps=heaps, superslabs=_superslabs(old, new, owners), whales=_whales(old, new),
        left_out=max(old.left_out, new.left_out), left_out_over=max(old.left_out_over, new.left_out_over),
    )  # fmt: skip
    out.old = {"taken": old.taken, "totals": model.totals(old), "counts": counts(out)}
    return out


def counts(heap: Map) -> dict[str, Any]:
    """How many of each have changed, and blocks gained and lost, of a map that compare has made."""
    out: dict[str, Any] = {}
    for name, rows in (
        ("superslabs", [superslab.change for superslab in heap.superslabs]),
        ("slabs", [slab.change.kind for slab in heap.slabs() if slab.change]),
        ("whales", [whale.change for whale in heap.whales]),
    ):
        out[name] = {kind: rows.count(kind) for kind in (APPEARED, VANISHED, CHANGED, SAME)}
    changes = [slab.change for slab in heap.slabs() if slab.change]
    out["blocks"] = {
        "gained": sum(change.gained for change in changes),
        "lost": sum(change.lost for change in changes),
    }
    return out


def _superslabs(old: Map, new: Map, owners: list[int]) -> list[SuperSlab]:
    before = {superslab.base: superslab for superslab in old.superslabs}
    out = []
    for superslab in new.superslabs:
        past = before.pop(superslab.base, None)
        slabs = _slabs(past.slabs if past else [], superslab.slabs, owners)
        kind = APPEARED if past is None else SAME
        if past is not None and (
            any(slab.change and slab.change.kind != SAME for slab in slabs) or past.free_units != superslab.free_units
        ):
            kind = CHANGED
        out.append(dataclasses.replace(superslab, slabs=slabs, change=kind))
    for past in before.values():
        out.append(dataclasses.replace(past, slabs=_slabs(past.slabs, [], owners), change=VANISHED))
    return sorted(out, key=lambda superslab: superslab.base)


def _slabs(old: list[Slab], new: list[Slab], owners: list[int]) -> list[Slab]:
    before = {(slab.first_unit, slab.units, slab.size_class): slab for slab in old}
    out = []
    taken = 0
    lost: list[Slab] = []
    for slab in new:
        past = before.pop((slab.first_unit, slab.units, slab.size_class), None)
        taken |= slab.mask
        change = _appeared(slab) if past is None else _change(past, slab)
        out.append(dataclasses.replace(slab, change=change))
    for past in before.values():
        if past.mask & taken == 0:
            owner = owners[past.owner] if past.owner >= 0 else -1
            out.append(dataclasses.replace(past, owner=owner, room_units=0, change=_vanished(past)))
        else:
            lost.append(past)
    for past in lost:
        # Said at one of the slabs that are in its place.
        heir = next(slab for slab in out if slab.change and slab.mask & past.mask)
        assert heir.change is not None
        heir.change.lost += past.live
        heir.change.was += ("; " if heir.change.was else "") + _name(past)
    return sorted(out, key=lambda slab: slab.first_unit)


def _name(slab: Slab) -> str:
    if slab.is_span:
        return f"a span of {size(slab.units * UNIT_BYTES)}"
    return f"a slab of {size(slab.block_bytes)} blocks, {slab.live} of {slab.blocks} live"


def _all(slab: Slab) -> Optional[int]:
    return None if slab.bits is None else ((1 << slab.blocks) - 1) & ~slab.bits.idle


def _appeared(slab: Slab) -> Change:
    return Change(APPEARED, slab.live, 0, _all(slab), 0)


def _vanished(slab: Slab) -> Change:
    return Change(VANISHED, 0, slab.live, 0, _all(slab))


def _change(old: Slab, new: Slab) -> Change:
    before, now = _all(old), _all(new)
    if before is None or now is None:
        more = new.live - old.live
        kind = SAME if (new.free, new.cached, new.remote) == (old.free, old.cached, old.remote) else CHANGED
        return Change(kind, max(more, 0), max(-more, 0))
    gained, lost = now & ~before, before & ~now
    kind = SAME if new.bits == old.bits and new.asked_bytes == old.asked_bytes else CHANGED
    return Change(kind, gained.bit_count(), lost.bit_count(), gained, lost)


def _whales(old: Map, new: Map) -> list[model.Whale]:
    before = {whale.base: whale for whale in old.whales}
    out = []
    for whale in new.whales:
        past = before.pop(whale.base, None)
        kind = APPEARED
        if past is not None:
            kind = SAME if (past.size, past.state) == (whale.size, whale.state) else CHANGED
        out.append(dataclasses.replace(whale, change=kind))
    out += [dataclasses.replace(past, change=VANISHED) for past in before.values()]
    return sorted(out, key=lambda whale: whale.base)
