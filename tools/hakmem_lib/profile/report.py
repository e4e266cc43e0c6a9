"""A profile as files and as text."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
from typing import Optional

from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.profile import flame, pprof, views
from tools.hakmem_lib.profile.data import Profile, Sum
from tools.hakmem_lib.profile.symbols import Place, Symbols
from tools.hakmem_lib.text import columns, percent, size

_CALLERS = 3


@dataclasses.dataclass
class Report:
    """A profile with everything that is derived from it."""

    profile: Profile
    symbols: Symbols
    by_view: dict[str, views.By]

    @classmethod
    def of(cls, profile: Profile, older_ms: Optional[float] = None) -> Report:
        """Computes the views and finds the symbols of what is in them."""
        symbols = Symbols(profile.mappings)
        symbols.resolve(address for site in profile.sites for address in site.frames)
        by_view = {view.name: view.of(profile) for view in views.VIEWS}
        if older_ms is not None:
            by_view["leak"] = views.leak(profile, older_ms)
        return cls(profile, symbols, by_view)

    def stack(self, site: int) -> list[Place]:
        """Of a site, the innermost first, without the allocator."""
        return self.symbols.stack(self.profile.sites[site].frames)

    def ranked(self, view: str) -> list[tuple[list[Place], Sum]]:
        """Stacks of a view, the largest first. Sites that differ only in the allocator's own frames are one."""
        merged: dict[tuple[int, ...], tuple[list[Place], Sum]] = {}
        for site, part in self.by_view[view].items():
            stack = self.stack(site)
            key = tuple(place.address for place in stack)
            _, old = merged.get(key, (stack, Sum()))
            merged[key] = (stack, old + part)
        return sorted(merged.values(), key=lambda row: -row[1].bytes)

    # --- text ---

    def as_text(self, top: int) -> str:
        """The views as tables, `top` rows each."""
        profile = self.profile
        lines = [
            f"{profile.name or 'profile'}: {len(profile.samples):,} samples live, one in "
            f"{size(profile.mean_bytes)} on average, {profile.duration_ms / 1000:.1f} s"
        ]
        if profile.dropped:
            lines.append(f"{profile.dropped:,} samples found no room: the figures are too low")
        parts = ["\n".join(lines) + "\n"]
        parts += [self._table(view, top) for view in views.VIEWS]
        return "\n".join(parts)

    def _table(self, view: views.View, top: int) -> str:
        rows = self.ranked(view.name)
        whole = views.total(self.by_view[view.name])
        heading = f"{view.name}: {view.title}, {size(whole.bytes)}"
        if view.name == "fragmentation":
            heading += f" of {size(views.stranded(self.profile))} that are free in slabs"
        if not rows:
            return f"{heading}\n"
        table = [("", "bytes", "share", "blocks")]
        for stack, part in rows[:top]:
            table.append((brief(stack), size(part.bytes), percent(part.bytes, whole.bytes), f"{part.blocks:,.0f}"))
        out = f"{heading}\n{columns(table)}"
        if rows[top:]:
            rest = sum(part.bytes for _, part in rows[top:])
            out += f"  and {len(rows) - top} more with {size(rest)}\n"
        return out

    # --- files ---

    def save(self, folder: str | os.PathLike[str], top: int) -> list[pathlib.Path]:
        """heap.pb.gz, a flame graph for each view that has something in it, and the tables. Returns what was written."""
        target = pathlib.Path(folder)
        try:
            target.mkdir(parents=True, exist_ok=True)
            written = [target / "heap.pb.gz", target / "report.txt"]
            message = pprof.encode(self.profile, self.symbols, self.by_view, time.time_ns())
            written[0].write_bytes(pprof.compress(message))
            written[1].write_text(self.as_text(top))
            for view in views.VIEWS:
                if self.by_view[view.name]:
                    written.append(target / f"{view.name}.svg")
                    written[-1].write_text(self.flame_graph(view))
        except OSError as error:
            raise CommandError(f"cannot write to {target}: {error.strerror}") from error
        return written

    def flame_graph(self, view: views.View) -> str:
        """Of one view."""
        stacks = []
        for stack, part in self.ranked(view.name):
            calls = [
                (line.function, _module(place)) for place in reversed(stack) for line in reversed(place.lines)
            ]
            stacks.append((calls, part.bytes))
        whole = views.total(self.by_view[view.name])
        return flame.svg(
            flame.build(stacks),
            f"{self.profile.name}: {view.title}, {size(whole.bytes)}",
            f"HAKMEM heap profile, one sample in {size(self.profile.mean_bytes)}; click a frame to zoom",
        )


def _module(place: Place) -> str:
    return place.mapping.path if place.mapping is not None else ""


def brief(stack: list[Place]) -> str:
    """The innermost call with its line, and a few of its callers."""
    lines = [line for place in stack for line in place.lines]
    if not lines:
        return "[no stack]"
    callers = "".join(f" < {_cut(line.function)}" for line in lines[1 : 1 + _CALLERS])
    first = dataclasses.replace(lines[0], function=_cut(lines[0].function))
    return f"{first}{callers}"


def _cut(name: str) -> str:
    return name if len(name) <= 40 else name[:39] + "…"
