"""hakmem stat: what the heap of a process comes to, reconciled with the kernel's figures."""

from __future__ import annotations

import argparse
import json
import textwrap

from tools.hakmem_lib import core_file, figures, heap, view
from tools.hakmem_lib.figures import Report
from tools.hakmem_lib.text import columns, duration, percent, size

SUMMARY = "the heap in figures, of a running process or of a core file"

NO_BREAK = "\xa0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what follows `hakmem stat`."""
    parser.add_argument("where", metavar="PID|CORE", help="the number of a process, which is not stopped; or a core file")
    parser.add_argument("--json", action="store_true", help="everything, for programs")
    parser.add_argument("--classes", action="store_true", help="every size class in use, not only the largest")


def run(options: argparse.Namespace) -> int:
    """Looks once and prints."""
    with core_file.core_or_process(options.where) as source:
        report = figures.collect(source, heap.Walker(view.attach(source)))
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print(as_text(report, all_classes=options.classes), end="")
    return 0


def as_text(report: Report, all_classes: bool = False) -> str:
    """The report for people."""
    process, hakmem = report["process"], report["hakmem"]
    build = "" if hakmem["build"] == "release" else f" ({hakmem['build']})"
    where = ", in a core file" if process["is_core"] else ""
    parts = [
        f"{process['name']}, process {process['pid']}{where}, on HAKMEM {hakmem['version']}{build}\n",
        "memory\n" + _resident(report),
        "blocks\n" + _blocks(report["totals"]),
        "size classes\n" + _classes(report["classes"], all_classes),
        "threads\n" + _threads(report["threads"]),
        "the rest\n" + _rest(report),
    ]
    if report["times"]:
        parts.append("times of slow paths\n" + _times(report["times"]))
    if report["doubts"]:
        doubts = ", ".join(f"{what} ({count})" for what, count in report["doubts"].items())
        why = "it contradicts itself" if process["is_core"] else "the process went on meanwhile"
        parts.append(f"left out, as {why}: {doubts}\n")
    return "\n".join(parts)


def _resident(report: Report) -> str:
    resident = report["resident"]
    if resident is None:
        what = "a core file does not say which pages were" if report["process"]["is_core"] else "the kernel does not say which pages are"
        return f"  {what} resident\n"
    whole = resident["kernel"]
    rows = [("resident, as the kernel counts", size(whole), "")]
    for label, name in (
        ("  HAKMEM's", "ours"),
        ("    SuperSlabs: blocks, and what is free", "superslabs"),
        ("    whales: blocks too large for a SuperSlab", "whales"),
        ("    descriptors and registry", "descriptors"),
        ("    the library", "library"),
        ("  not HAKMEM's: program, libraries, stacks", "others"),
        ("  unexplained", "unexplained"),
    ):
        rows.append((label, size(resident[name]), percent(resident[name], whole)))
    if resident["swapped"]:
        rows.append(("swapped out", size(resident["swapped"]), ""))
    return columns(rows)


def _blocks(totals: Report) -> str:
    mapped = totals["mapped"] + totals["whales"] + totals["cached_whales"]
    rows = [("mapped for blocks", size(mapped), "")]
    rounding = ("    not asked for, as sizes are rounded up, at most", totals["rounding_max"])
    if totals["rounding_samples"]:
        rounding = (f"    not asked for, by {totals['rounding_samples']:,} samples", totals["rounding"])
    for label, count in (
        (f"  live: {totals['live_blocks']:,} blocks of the program", totals["live"]),
        rounding,
        ("  cached by threads", totals["cached"]),
        ("  freed by other threads, on the way back", totals["remote"]),
        ("  free in slabs that others of their class use", totals["free"]),
        ("  tails of slabs", totals["tails"]),
        ("  room for blocks that grow", totals["rooms"]),
        ("  free for any class", totals["free_units"]),
        ("    of it still resident, to be returned in time", totals["dirty_units"]),
        ("  freed whales, to be used again or returned", totals["cached_whales"]),
    ):
        rows.append((label, size(count), percent(count, mapped)))
    rows.append(("returned to the kernel since the start", size(totals["returned"]), ""))
    return columns(rows)


def _classes(classes: list[Report], all_classes: bool) -> str:
    shown = sorted(classes, key=lambda row: -row["slab_bytes"])
    rest = [] if all_classes else shown[12:]
    shown = shown if all_classes else shown[:12]
    rows: list[tuple[str, ...]] = [
        ("block", "slabs", "live", "cached", "remote", "free", "live bytes", "slab bytes", "live share")
    ]
    for row in shown:
        rows.append(
            (
                size(row["block_bytes"]),
                *(f"{row[name]:,}" for name in ("slabs", "live", "cached", "remote", "free")),
                size(row["live_bytes"]),
                size(row["slab_bytes"]),
                percent(row["live_bytes"], row["slab_bytes"]),
            )
        )
    out = columns(rows, left=0)
    if rest:
        out += f"  and {len(rest)} more with {size(sum(row['slab_bytes'] for row in rest))}: --classes\n"
    return out


def _threads(threads: list[Report]) -> str:
    shown = sorted(threads, key=lambda row: -row["slab_bytes"])
    rows: list[tuple[str, ...]] = [
        ("thread", "name", "slabs", "taken", "cached", "budget", "refills", "spills", "remote in", "remote out")
    ]
    for row in shown[:16]:
        rows.append(
            (
                str(row["tid"]) if row["tid"] else row["state"],
                row["name"] or "",
                size(row["slab_bytes"]),
                size(row["taken_bytes"]),
                size(row["cached_bytes"]),
                size(row["budget_bytes"]),
                *(f"{row[name]:,}" for name in ("refills", "spills", "remote_merged", "remote_published")),
            )
        )
    out = columns(rows, left=2)
    if shown[16:]:
        out += f"  and {len(shown) - 16} more heaps with {size(sum(row['slab_bytes'] for row in shown[16:]))}\n"
    return out


def _times(times: Report) -> str:
    rows: list[tuple[str, ...]] = [("cause", "count", "mean", "half below", "99 % below")]
    for name, found in times.items():
        if found["count"]:
            mean = found["sum_ns"] / found["count"]
            rows.append(
                (
                    name,
                    f"{found['count']:,}",
                    duration(mean),
                    duration(found["half_below_ns"]),
                    duration(found["most_below_ns"]),
                )
            )
    return columns(rows)


def _rest(report: Report) -> str:
    lines = []
    for label, name in (
        ("SuperSlabs", "superslabs"),
        ("whales", "whales"),
        ("slow paths", "slow_paths"),
        ("slabs came from", "slabs_from"),
        ("system calls", "system_calls"),
    ):
        # A count stays on the line of its name.
        counts = ", ".join(f"{key.replace('_', NO_BREAK)}{NO_BREAK}{count:,}" for key, count in report[name].items())
        wrapped = textwrap.wrap(f"{label}: {counts}", 110, initial_indent="  ", subsequent_indent="    ")
        lines += [line.replace(NO_BREAK, " ") for line in wrapped]
    lines.append(f"  spans: live {report['spans']['live']:,}")
    kinds = ", ".join(f"{kind.replace('_', ' ')} {count:,}" for kind, count in report["misuse_kinds"].items() if count)
    lines.append(f"  misuse reported: {report['misuse']:,}" + (f" ({kinds})" if kinds else ""))
    return "\n".join(lines) + "\n"
