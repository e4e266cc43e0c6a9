"""What a snapshot comes to, as plain numbers: the report of `hakmem stat --json`, from which the others are written.

Sizes are in bytes, and add up:

    mapped     = slabs + spans + rooms + free_units           SuperSlabs, whole
    slabs      = live + cached + remote + free + tails        of classes; see `classes` for each
"""

from __future__ import annotations

from typing import Any, Optional

from tools.hakmem_lib import view as views
from tools.hakmem_lib.heap import SUPERSLAB_BYTES, UNIT_BYTES, Heap, Snapshot, Walker
from tools.hakmem_lib.memory import LiveProcess, Memory
from tools.hakmem_lib.resident import KINDS, Resident, reconcile

Report = dict[str, Any]


def collect(memory: Memory, walker: Walker) -> Report:
    """Everything, now. A core file does not say which pages were resident."""
    snapshot = walker.snapshot()
    report = of_snapshot(snapshot)
    resident = reconcile(memory, walker, snapshot) if isinstance(memory, LiveProcess) else None
    report["process"] = {"pid": memory.pid, "name": memory.command, "is_core": not isinstance(memory, LiveProcess)}
    report["resident"] = of_resident(resident)
    report["options"] = views.options(walker.view)
    return report


def of_snapshot(snapshot: Snapshot) -> Report:
    """All that the snapshot alone has."""
    classes = _classes(snapshot)
    slabs = {name: sum(row[name] for row in classes) for name in ("slab_bytes", "tail_bytes")}
    spans = snapshot.spans()
    whales = snapshot.live_whales()
    idle = [whale for whale in snapshot.whales if whale.state != "live"]
    parked_spans = snapshot.parked_spans()
    parked = sum(span.bytes for span in parked_spans)
    rooms = sum(span.room_units for span in spans + parked_spans) * UNIT_BYTES
    return {
        "hakmem": {"version": snapshot.version, "build": snapshot.build},
        "totals": {
            "live_blocks": sum(row["live"] for row in classes) + len(spans) + len(whales),
            "live": sum(row["live_bytes"] for row in classes)
            + sum(span.bytes for span in spans)
            + sum(whale.size for whale in whales),
            "cached": sum(row["cached"] * row["block_bytes"] for row in classes),
            "remote": sum(row["remote"] * row["block_bytes"] for row in classes),
            "free": sum(row["free"] * row["block_bytes"] for row in classes),
            "tails": slabs["tail_bytes"],
            "slabs": slabs["slab_bytes"],
            "spans": sum(span.bytes for span in spans),
            "rooms": rooms,
            "free_units": sum(superslab.free_count for superslab in snapshot.superslabs) * UNIT_BYTES + parked,
            "dirty_units": sum(superslab.dirty_count for superslab in snapshot.superslabs) * UNIT_BYTES + parked,
            "mapped": len(snapshot.superslabs) * SUPERSLAB_BYTES,
            "whales": sum(whale.size for whale in whales),
            "cached_whales": sum(whale.size for whale in idle),
            "metadata": snapshot.metadata_bytes,
            "returned": snapshot.counters["pool"]["purged_bytes"],
            **_rounding(snapshot, classes),
        },
        "classes": classes,
        "spans": {"live": len(spans)},
        "whales": {"live": len(whales), "cached": len(idle), **snapshot.counters["whales"]},
        "threads": _threads(snapshot),
        "superslabs": _tiers(snapshot),
        "slow_paths": _slow_paths(snapshot),
        "slabs_from": {
            name.removeprefix("from_"): count
            for name, count in snapshot.counters["pool"].items()
            if name.startswith("from_")
        },
        "system_calls": {
            name.removesuffix("_calls"): count
            for name, count in snapshot.counters["os"].items()
            if name.endswith("_calls")
        },
        "times": {
            name: {
                "count": times.count,
                "sum_ns": times.sum_ns,
                "half_below_ns": times.below_ns(0.5),
                "most_below_ns": times.below_ns(0.99),
                "buckets": list(times.buckets),
            }
            for name, times in snapshot.times.items()
        },
        "misuse": snapshot.misuse,
        "misuse_kinds": snapshot.misuse_kinds,
        "doubts": dict(snapshot.doubts),
    }


def _rounding(snapshot: Snapshot, classes: list[dict[str, int]]) -> dict[str, int]:
    """What live blocks have more than was asked for: at most, and as the samples of a heap profile have it."""
    below = dict(zip((row.block_bytes for row in snapshot.classes[1:]), (row.block_bytes for row in snapshot.classes)))
    most = sum(row["live"] * (row["block_bytes"] - below.get(row["block_bytes"], -1) - 1) for row in classes)
    spans, whales = snapshot.spans(), snapshot.live_whales()
    live = sum(row["live_bytes"] for row in classes) + sum(span.bytes for span in spans) + sum(w.size for w in whales)
    sampled = snapshot.sampled
    unused = max(sampled.block_bytes - sampled.asked_bytes, 0)
    return {
        "rounding": live * unused // sampled.block_bytes if sampled.block_bytes else 0,
        "rounding_max": most + (len(spans) + len(whales)) * (UNIT_BYTES - 1),
        "rounding_samples": sampled.samples,
    }


def of_resident(resident: Optional[Resident]) -> Optional[Report]:
    """None where the kernel does not say."""
    if resident is None:
        return None
    return {
        "kernel": resident.kernel,
        "ours": resident.ours_total,
        **{kind: resident.ours[kind] for kind in KINDS},
        "others": resident.others,
        "unexplained": resident.unexplained,
        "swapped": resident.swapped,
    }


def _classes(snapshot: Snapshot) -> list[dict[str, int]]:
    """Those in use."""
    refills = [sum(heap.class_refills[row.index] for heap in snapshot.heaps) for row in snapshot.classes]
    spills = [sum(heap.class_spills[row.index] for heap in snapshot.heaps) for row in snapshot.classes]
    return [
        {
            "block_bytes": row.block_bytes,
            "slabs": row.slabs,
            "blocks": row.blocks,
            "live": row.live,
            "cached": row.cached,
            "remote": row.remote,
            "free": row.free,
            "live_bytes": row.live_bytes,
            "slab_bytes": row.slab_bytes,
            "tail_bytes": row.slab_bytes - row.blocks * row.block_bytes,
            "refills": refills[index],
            "spills": spills[index],
        }
        for index, row in enumerate(snapshot.class_figures())
        if row.slabs
    ]


def _threads(snapshot: Snapshot) -> list[Report]:
    owned: dict[int, list[int]] = {}
    for slab in snapshot.slabs():
        if not slab.is_span:
            row = owned.setdefault(slab.heap, [0, 0, 0])
            row[0] += 1
            row[1] += slab.bytes
            row[2] += slab.taken * slab.block_bytes
    return [_thread(heap, *owned.get(heap.address, (0, 0, 0))) for heap in snapshot.heaps]


def _thread(heap: Heap, slabs: int, slab_bytes: int, taken_bytes: int) -> Report:
    return {
        "heap": f"{heap.address:#x}",
        "state": heap.state,
        "tid": heap.thread[0] if heap.thread else None,
        "name": heap.thread[1] if heap.thread else heap.name or None,
        "slabs": slabs,
        "slab_bytes": slab_bytes,
        "taken_bytes": taken_bytes,
        "cached_bytes": heap.cached_bytes,
        "granted_bytes": heap.granted_bytes,
        "budget_bytes": heap.budget_bytes,
        **heap.counters,
        "caps_grown": heap.caps_grown,
        "caps_shrunk": heap.caps_shrunk,
    }


def _tiers(snapshot: Snapshot) -> dict[str, int]:
    out = {"all": len(snapshot.superslabs), "full": 0, "hot": 0, "draining": 0, "empty": 0}
    for superslab in snapshot.superslabs:
        out[superslab.tier] += 1
    return out


def _slow_paths(snapshot: Snapshot) -> dict[str, int]:
    out: dict[str, int] = {}
    for heap in snapshot.heaps:
        for name, count in heap.counters.items():
            out[name] = out.get(name, 0) + count
    out["slabs_taken_complete"] = snapshot.counters["pool"]["complete"]
    out["blocks_taken_complete"] = snapshot.counters["pool"]["complete_blocks"]
    out["caps_grown"] = sum(heap.caps_grown for heap in snapshot.heaps)
    out["caps_shrunk"] = sum(heap.caps_shrunk for heap in snapshot.heaps)
    return out
