"""Site rules out of a profile: the call sites whose blocks keep half-empty slabs, for HAKMEM_SITE_RULES."""

from __future__ import annotations

import dataclasses
import os
import re
from typing import Iterable

from tools.hakmem_lib import output
from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.profile import views
from tools.hakmem_lib.profile.data import Site, Sum
from tools.hakmem_lib.profile.report import Report, brief
from tools.hakmem_lib.profile.symbols import Place
from tools.hakmem_lib.text import percent, size

#: A site that keeps less of what is free in slabs is not worth a rule.
LEAST_SHARE = 0.02
LEAST_BYTES = 256 << 10
#: A site most of whose blocks are freed soon would take the fragmentation with it.
MOST_FREED = 0.5

#: What the parser of the library would take for something else.
_UNWRITABLE = re.compile(r"(^|\s)#|[\x00-\x1f\x7f]| \(deleted\)$|^$")


@dataclasses.dataclass
class Pin:
    """A place in the program that calls malloc, and what its blocks keep."""

    place: Place
    stack: list[Place]  # that which keeps most
    kept: Sum
    share: float
    allocated: float
    live: float
    freed: int
    freed_age_ms: int
    duration_ms: int

    @property
    def is_mixed(self) -> bool:
        """Most of its blocks are freed soon: a wrapper around malloc, often."""
        age_ms = self.freed_age_ms / self.freed if self.freed else self.duration_ms
        return self.live < (1 - MOST_FREED) * self.allocated and age_ms < views.OLD_SHARE * self.duration_ms

    @property
    def site(self) -> str:
        """MODULE+0xOFFSET, as the library finds a call's return address."""
        mapping = self.place.mapping
        if mapping is None or not mapping.is_file or _UNWRITABLE.search(mapping.path):
            return ""
        return f"{mapping.path}+{self.place.address - mapping.start + mapping.offset:#x}"


def pins(report: Report) -> list[Pin]:
    """The call sites of the fragmentation view that keep more than a little, the first most. Stacks that end in the same call
    are one site: that is all that malloc sees."""
    found: dict[int, Pin] = {}
    whole = views.total(report.by_view["fragmentation"]).bytes
    for stack, part in report.ranked("fragmentation"):
        if not stack:
            continue
        pin = found.setdefault(stack[0].address, Pin(stack[0], stack, Sum(), 0, 0, 0, 0, 0, report.profile.duration_ms))
        pin.kept += part
        pin.share = pin.kept.bytes / whole
    for index, site in enumerate(report.profile.sites):
        stack = report.stack(index)
        if stack and stack[0].address in found:
            _add(found[stack[0].address], site)
    out = [pin for pin in found.values() if pin.share >= LEAST_SHARE and pin.kept.bytes >= LEAST_BYTES]
    return sorted(out, key=lambda pin: -pin.kept.bytes)


def _add(pin: Pin, site: Site) -> None:
    pin.allocated += site.allocated.bytes
    pin.live += site.live.bytes
    pin.freed += site.freed_samples
    pin.freed_age_ms += site.freed_age_ms


def as_text(reports: Iterable[Report]) -> str:
    """A file of rules, each with who it is in a comment; what no rule would help as a comment alone. Empty: there are none."""
    lines = []
    seen = set()
    for report in reports:
        for pin in pins(report):
            if not pin.site or pin.site in seen:
                continue
            seen.add(pin.site)
            kept = f"{size(pin.kept.bytes)} free in its slabs, {percent(pin.share, 1)}"
            lines.append(f"# {_comment(brief(pin.stack))}: {kept}")
            if pin.is_mixed:
                lines.append("# most of its blocks are freed soon; a rule for it would take the fragmentation along:")
            lines.append(f"{'# ' if pin.is_mixed else ''}long {pin.site}")
    if not lines:
        return ""
    return "# Call sites whose blocks keep half-empty slabs: HAKMEM_SITE_RULES=this file. Offsets are of these very builds.\n" + "\n".join(lines) + "\n"


def check(path: str) -> None:
    """CommandError: the file cannot be written, or is there already, with somebody's changes perhaps."""
    output.check_file(path)
    if os.path.lexists(path):
        raise CommandError(f"{path} is there already, and left alone")


def save(path: str, reports: Iterable[Report]) -> str:
    """Writes the file. Returns what to tell."""
    text = as_text(reports)
    if not text:
        raise CommandError("no site rules: no call site keeps half-empty slabs in this profile; a larger part shows with fewer --bytes")
    try:
        with open(path, "x", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except FileExistsError as error:
        raise CommandError(f"{path} is there already, and left alone") from error
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
    rules = sum(not line.startswith("#") for line in text.splitlines())
    return f"{rules} site rule{'' if rules == 1 else 's'} written to {path}: HAKMEM_SITE_RULES={os.path.abspath(path)}"


def _comment(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", "?", text)
