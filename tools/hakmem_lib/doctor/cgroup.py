"""The limits of a container: control groups, version 2 and the memory and cpu controllers of version 1."""

from __future__ import annotations

import dataclasses
import os
from typing import Optional

from tools.hakmem_lib.doctor.files import Files

# The kernel's "no limit" of version 1 is the largest multiple of a page below 2^63.
_V1_NONE = 1 << 62


@dataclasses.dataclass(frozen=True)
class Limits:
    """None where there is no limit, or no figure."""

    version: int = 0  # of the memory controller; 0: none
    memory_max: Optional[int] = None
    memory_high: Optional[int] = None
    memory_current: Optional[int] = None
    cpus: Optional[float] = None
    oom_kills: int = 0
    over_high: int = 0
    pressure: Optional[float] = None  # % of the last 10 s in which somebody waited for memory
    is_hidden: bool = False  # the process is in a group whose files cannot be seen

    @property
    def memory(self) -> Optional[int]:
        """The lower of the two limits."""
        return min((limit for limit in (self.memory_max, self.memory_high) if limit is not None), default=None)


def read(files: Files, process: str) -> Limits:
    """Those of `process`, a number or `self`."""
    groups = {}
    for line in (files.text(f"/proc/{process}/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    memory, cpu = _chain(files, process, groups, "memory"), _chain(files, process, groups, "cpu")
    unified = _chain(files, process, groups, "")
    pressure = _pressure(files, unified)
    # Both versions may be mounted; the controller is in one of them.
    if memory:
        limits = _memory_v1(files, memory)
    elif unified and any(files.exists(f"{folder}/memory.current") for folder in unified):
        limits = _memory_v2(files, unified)
    else:
        limits = Limits(is_hidden=bool(groups) and not unified)
    cpus = _cpus_v1(files, cpu) if cpu else _cpus_v2(files, unified)
    return dataclasses.replace(limits, cpus=cpus, pressure=pressure)


def _chain(files: Files, process: str, groups: dict[str, str], controller: str) -> list[str]:
    """Folders of the group and of those around it, as far as they can be seen."""
    if controller not in groups:
        return []
    for line in (files.text(f"/proc/{process}/mountinfo") or "").splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = (rest.split(" ") + ["", "", ""])[:3]
        if not (kind == "cgroup2" if controller == "" else kind == "cgroup" and controller in options.split(",")):
            continue
        root, mount = fields.split(" ")[3:5]
        path = groups[controller]
        inside = os.path.relpath(path, root) if path == root or path.startswith(root.rstrip("/") + "/") else "."
        folder = os.path.normpath(os.path.join(mount, inside))
        if not files.exists(folder):
            folder = mount
        chain = [folder]
        while folder != mount and folder.startswith(mount):
            folder = os.path.dirname(folder)
            chain.append(folder)
        return chain
    return []


def _least(files: Files, chain: list[str], name: str, none: Optional[int] = None) -> Optional[int]:
    numbers = [files.number(f"{folder}/{name}") for folder in chain]
    return min((n for n in numbers if n is not None and (none is None or n < none)), default=None)


def _table(files: Files, name: str) -> dict[str, int]:
    pairs = [line.split() for line in (files.text(name) or "").splitlines()]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _memory_v2(files: Files, chain: list[str]) -> Limits:
    events = _table(files, f"{chain[0]}/memory.events")
    return Limits(
        version=2,
        memory_max=_least(files, chain, "memory.max"),
        memory_high=_least(files, chain, "memory.high"),
        memory_current=files.number(f"{chain[0]}/memory.current"),
        oom_kills=events.get("oom_kill", 0),
        over_high=events.get("high", 0),
    )


def _memory_v1(files: Files, chain: list[str]) -> Limits:
    return Limits(
        version=1,
        memory_max=_least(files, chain, "memory.limit_in_bytes", _V1_NONE),
        memory_current=files.number(f"{chain[0]}/memory.usage_in_bytes"),
        oom_kills=_table(files, f"{chain[0]}/memory.oom_control").get("oom_kill", 0),
    )


def _cpus_v2(files: Files, chain: list[str]) -> Optional[float]:
    quotas = [(files.text(f"{folder}/cpu.max") or "").split() for folder in chain]
    return min((int(q[0]) / int(q[1]) for q in quotas if len(q) == 2 and q[0].isdigit() and int(q[1])), default=None)


def _cpus_v1(files: Files, chain: list[str]) -> Optional[float]:
    quotas = [(files.number(f"{f}/cpu.cfs_quota_us"), files.number(f"{f}/cpu.cfs_period_us")) for f in chain]
    return min((quota / period for quota, period in quotas if quota and period), default=None)


def _pressure(files: Files, unified: list[str]) -> Optional[float]:
    names = [f"{folder}/memory.pressure" for folder in unified[:1]] + ["/proc/pressure/memory"]
    for name in names:
        for word in (files.text(name) or "").split():
            if word.startswith("avg10="):  # the first line's: some
                return float(word.partition("=")[2])
    return None
