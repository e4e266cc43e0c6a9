"""The frames of `hakmem top`."""

from __future__ import annotations

from typing import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tools.hakmem_lib.figures import Report
from tools.hakmem_lib.rates import Rates, Sample
from tools.hakmem_lib.text import counted, percent, size

_BARS = " ▁▂▃▄▅▆▇█"
HISTORY = 48
BAR = 8

#: What classes are sorted by: label, and the key.
SORTS = (
    ("bytes", lambda row: -row["slab_bytes"]),
    ("idle bytes", lambda row: row["live_bytes"] - row["slab_bytes"]),
    ("live blocks", lambda row: -row["live"]),
    ("size", lambda row: row["block_bytes"]),
)


def frame(samples: Sequence[Sample], sort: int, rows: int, note: str = "") -> RenderableType:
    """One frame of `rows` lines, of the last of the samples and how it came to that."""
    now = samples[-1]
    rates = Rates(samples[-2] if len(samples) > 1 else None, now)
    report = now.report
    left = max(rows - 19, 6)
    thread_rows = min(max(left // 3, 3), len(report["threads"]) + 1)
    parts: list[RenderableType] = [
        _title(report, rates, note),
        _memory(samples),
        _slow_paths(report, rates),
        _classes(report, rates, sort, max(left - thread_rows, 3)),
        _threads(report, rates, thread_rows),
        Text(" q quit   s sort classes   space now", style="dim"),
    ]
    return Group(*parts)


def sparkline(values: Sequence[float], width: int) -> str:
    """The last `width` values as bars from 0 to the largest of them."""
    shown = list(values[-width:])
    top = max(shown, default=0)
    if top <= 0:
        return _BARS[0] * len(shown)
    return "".join(_BARS[min(int(value / top * 8 + 0.5), 8)] for value in shown)


def _title(report: Report, rates: Rates, note: str) -> Text:
    process = report["process"]
    out = Text(" ")
    out.append(process["name"], style="bold")
    out.append(f"  process {process['pid']}   HAKMEM {report['hakmem']['version']}")
    out.append(f"   CPU {rates.cpu() * 100:.0f} %   misuse {report['misuse']}")
    if note:
        out.append(f"   {note}", style="yellow")
    return out


def _memory(samples: Sequence[Sample]) -> RenderableType:
    totals = samples[-1].report["totals"]
    mapped = totals["mapped"] + totals["whales"] + totals["cached_whales"]
    table = _table()
    for _ in range(2):
        table.add_column(no_wrap=True)
        table.add_column(justify="right", min_width=9, no_wrap=True)
        table.add_column(no_wrap=True)
    idle = totals["cached"] + totals["remote"] + totals["free"] + totals["tails"]
    table.add_row(
        "resident",
        size(samples[-1].usage.resident_bytes),
        _trend(samples, "resident"),
        "free for any class",
        size(totals["free_units"]),
        Text(f"{size(totals['dirty_units'])} of it resident", style="dim"),
    )
    table.add_row(
        "live",
        size(totals["live"]),
        _trend(samples, "live"),
        "freed whales",
        size(totals["cached_whales"]),
        Text(_of_live(totals), style="dim"),
    )
    table.add_row(
        "in caches",
        size(totals["cached"]),
        _trend(samples, "cached"),
        "returned so far",
        size(totals["returned"]),
        Text(f"mapped {size(mapped)}", style="dim"),
    )
    slabs = totals["slabs"]
    table.add_row(
        "idle in slabs",
        size(idle),
        _trend(samples, "idle"),
        "fragmentation",
        percent(idle, slabs),
        Text("of slabs is not live", style="dim"),
    )
    return _panel("memory", table)


def _of_live(totals: Report) -> str:
    """There is room for one figure: where a heap profile knows it, the rarer one."""
    if totals["rounding_samples"]:
        return f"{size(totals['rounding'])} not asked for"
    return f"{totals['live_blocks']:,} blocks live"


def _trend(samples: Sequence[Sample], name: str) -> Text:
    values: list[float] = []
    for sample in samples[-HISTORY:]:
        totals = sample.report["totals"]
        if name == "resident":
            values.append(sample.usage.resident_bytes)
        elif name == "idle":
            values.append(totals["cached"] + totals["remote"] + totals["free"] + totals["tails"])
        else:
            values.append(totals[name])
    return Text(sparkline(values, 24).rjust(24), style="cyan")


def _slow_paths(report: Report, rates: Rates) -> RenderableType:
    table = _table()
    for _ in range(4):
        table.add_column(no_wrap=True)
        table.add_column(justify="right", min_width=8, no_wrap=True)
    slow = lambda name: _rate(rates.of("slow_paths", name))  # noqa: E731
    calls = lambda name: _rate(rates.of("system_calls", name))  # noqa: E731
    came = lambda name: _rate(rates.of("slabs_from", name))  # noqa: E731
    table.add_row("refills", slow("refills"), "remote words out", slow("remote_published"), "map", calls("map"),
                  "from free units", came("units"))  # fmt: skip
    table.add_row("spills", slow("spills"), "remote blocks in", slow("remote_merged"), "unmap", calls("unmap"),
                  "from empty", came("empty"))  # fmt: skip
    table.add_row("slabs acquired", slow("slabs_acquired"), "slabs adopted", slow("slabs_adopted"), "purge", calls("purge"),
                  "from new", came("new"))  # fmt: skip
    table.add_row("slabs released", slow("slabs_released"), "page faults", _rate(rates.page_faults()), "move", calls("move"),
                  "from orphans", came("orphan"))  # fmt: skip
    return _panel("slow paths, system calls and slabs, a second", table)


def _classes(report: Report, rates: Rates, sort: int, rows: int) -> RenderableType:
    label, key = SORTS[sort % len(SORTS)]
    table = _table(header=True)
    for name in ("block", "slabs", "live", "cached", "remote", "free", "live bytes", "slab bytes", "refills/s", "spills/s"):
        table.add_column(name, justify="right")
    table.add_column("live share", no_wrap=True)
    shown = sorted(report["classes"], key=key)
    for row in shown[:rows]:
        share = row["live_bytes"] / row["slab_bytes"]
        table.add_row(
            size(row["block_bytes"]),
            *(f"{row[name]:,}" for name in ("slabs", "live", "cached", "remote", "free")),
            size(row["live_bytes"]),
            size(row["slab_bytes"]),
            *(_rate(rates.of_class(row, name)) for name in ("refills", "spills")),
            _bar(share),
        )
    spans = f"   spans {report['spans']['live']:,}, whales {report['whales']['live']:,} live"
    tiers = "   SuperSlabs " + ", ".join(f"{name} {count}" for name, count in report["superslabs"].items() if count)
    return _panel(f"{len(shown)} size classes by {label}", table, spans + tiers)


def _bar(share: float) -> Text:
    full = round(min(max(share, 0), 1) * BAR)
    style = "green" if share > 0.75 else "yellow" if share > 0.4 else "red"
    out = Text("█" * full, style=style)
    out.append("░" * (BAR - full), style="dim")
    out.append(f" {share * 100:3.0f} %")
    return out


def _threads(report: Report, rates: Rates, rows: int) -> RenderableType:
    table = _table(header=True)
    table.add_column("thread", justify="right")
    table.add_column("name", min_width=15)
    for name in ("slabs", "taken", "cached", "refills/s", "spills/s", "remote in/s", "remote out/s"):
        table.add_column(name, justify="right")
    shown = sorted(report["threads"], key=lambda row: (row["state"] != "active", -row["slab_bytes"]))
    for row in shown[: rows - 1]:
        table.add_row(
            str(row["tid"] or row["state"]),
            row["name"] or "",
            size(row["slab_bytes"]),
            size(row["taken_bytes"]),
            size(row["cached_bytes"]),
            *(_rate(rates.of_thread(row, name)) for name in ("refills", "spills", "remote_merged", "remote_published")),
        )
    active = sum(row["state"] == "active" for row in shown)
    return _panel(f"{counted(active, 'thread')}, {counted(len(shown), 'heap')}", table)


def _rate(a_second: float) -> str:
    return f"{a_second:,.0f}" if a_second >= 10 else f"{a_second:.1f}" if a_second > 0 else "0"


def _table(header: bool = False) -> Table:
    return Table(box=None, show_header=header, header_style="bold", padding=(0, 1), pad_edge=False)


def _panel(title: str, inside: RenderableType, subtitle: str = "") -> Panel:
    return Panel(
        inside,
        title=title,
        title_align="left",
        subtitle=subtitle.strip() or None,
        subtitle_align="left",
        box=box.ROUNDED,
        border_style="blue",
        padding=(0, 1),
    )
