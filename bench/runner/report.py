"""Writing results down: CSV for tools, JSON with every sample, Markdown and a page for people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.runner import library, page
from bench.runner.allocators import Allocator
from bench.runner.results import Cell, Results
from bench.runner.rows import Row
from bench.runner.session import Plan
from bench.runner.stats import NOISY_SPREAD
from bench.runner.text import format_figure, format_ratio

_CSV_FIELDS = ("row", "group", "clock", "allocator", "time", "unit", "mops_per_s", "speed_ratio", "wall_s", "cpu_s",
               "peak_rss_kb", "rss_ratio", "spread", "samples", "times", "noisy", "extra", "failure")


def write_all(folder: Path, results: Results, plan: Plan, machine: dict[str, str], is_complete: bool) -> list[Path]:
    """Writes results.csv, results.json, results.md and index.html into `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    document = to_json(results, plan, machine, is_complete)
    texts = {
        "results.csv": to_csv(results),
        "results.json": document,
        "results.md": to_markdown(results, plan, machine, is_complete),
        "index.html": page.to_html(json.loads(document), library.load()),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _cell_record(results: Results, row: Row, allocator: Allocator) -> dict[str, object]:
    cell = results.cell(row, allocator)
    return {
        "row": row.name,
        "group": row.group,
        "clock": row.clock.value,
        "allocator": allocator.name,
        "time": _rounded(cell.time),
        "unit": "s" if row.is_real else "ns/op",
        "mops_per_s": None if row.is_real else _rounded(cell.rate),
        "speed_ratio": _rounded(results.speed_ratio(row, allocator)),
        "wall_s": _rounded(cell.wall_s),
        "cpu_s": _rounded(cell.cpu_s),
        "peak_rss_kb": _rounded(cell.rss_kb),
        "rss_ratio": _rounded(results.rss_ratio(row, allocator)),
        "spread": _rounded(cell.spread),
        "samples": len(cell.samples),
        "times": [_rounded(value) for value in cell.times],
        "noisy": cell.is_noisy,
        "extra": {name: _rounded(value) for name, value in cell.extra.items()},
        "failure": cell.failure.reason if cell.failure else None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def to_csv(results: Results) -> str:
    """One line a cell; the time of each run and the further figures in a field of their own, parted by spaces."""
    out = io.StringIO()
    writer = csv.DictWriter(out, _CSV_FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in results.rows:
        for allocator in results.allocators:
            record = _cell_record(results, row, allocator)
            cell = results.cell(row, allocator)
            record["times"] = " ".join(f"{value:.5g}" for value in cell.times)
            record["extra"] = " ".join(f"{name}={value:.5g}" for name, value in cell.extra.items())
            writer.writerow(record)
    return out.getvalue()


def to_json(results: Results, plan: Plan, machine: dict[str, str], is_complete: bool) -> str:
    """Everything, raw samples included."""
    cells = []
    for row in results.rows:
        for allocator in results.allocators:
            cell = results.cell(row, allocator)
            record = _cell_record(results, row, allocator)
            record["detail"] = cell.failure.detail if cell.failure else None
            record["curves"] = {name: [[x, _rounded(y)] for x, y in curve] for name, curve in cell.curves.items()}
            record["runs"] = [{name: value for name, value in vars(sample).items() if value not in ({}, [])}
                              for sample in cell.samples]
            cells.append(record)
    document = {
        "machine": machine,
        "plan": vars(plan),
        "complete": is_complete,
        "baseline": results.baseline.name,
        "allocators": [{"name": one.name, "version": one.version, "mean_speed": _rounded(results.mean_speed(one)),
                        "mean_rss": _rounded(results.mean_rss(one)),
                        "mean_speed_real": _rounded(results.mean_speed(one, real=True)),
                        "mean_rss_real": _rounded(results.mean_rss(one, real=True))} for one in results.allocators],
        "rows": [{"name": row.name, "group": row.group, "real": row.is_real, "clock": row.clock.value, "about": row.about,
                  "command": " ".join((row.program, *row.args))} for row in results.rows],
        "cells": cells,
    }
    return _in_lines(document)


def _in_lines(document: dict[str, object]) -> str:
    """JSON with a line for each member, and for each entry of a list in it: small, and still told apart by diff."""
    members = []
    for name, value in document.items():
        text = json.dumps(value)
        if isinstance(value, list) and value:
            text = "[\n  " + ",\n  ".join(json.dumps(entry) for entry in value) + "\n ]"
        members.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(members) + "\n}\n"


def to_markdown(results: Results, plan: Plan, machine: dict[str, str], is_complete: bool) -> str:
    """Tables of speed, memory and means, with what is needed to judge them."""
    parts = ["# Benchmark results", ""]
    if not is_complete:
        parts += ["**Interrupted: not every cell has all of its samples.**", ""]
    parts += _heading(results, plan, machine)
    marks = f"The best of a row is bold. `~` marks a spread above {NOISY_SPREAD:.0%}, `-` a cell without a result."
    to_baseline = f"(ratio to {results.baseline.name})"
    micro, real = results.kind(real=False), results.kind(real=True)
    if micro:
        parts += [f"## Speed: million operations a second {to_baseline}", "", f"Higher is better. {marks}", ""]
        parts += _table(results, micro, _speed_text, max, lambda cell: cell.rate)
        parts += ["", f"## Peak RSS: MiB {to_baseline}", "", "Lower is better.", ""]
        parts += _table(results, micro, _rss_text, min, lambda cell: cell.rss_kb)
        parts += [""]
    if real:
        parts += [f"## Real programs: seconds of CPU time {to_baseline}", "", f"Lower is better. {marks}", ""]
        parts += _table(results, real, _cpu_text, min, lambda cell: cell.cpu_s)
        parts += ["", f"## Real programs: seconds of wall time {to_baseline}", "", "Lower is better.", ""]
        parts += _table(results, real, _wall_text, min, lambda cell: cell.wall_s)
        parts += ["", f"## Real programs: peak RSS in MiB {to_baseline}", "",
                  "Of the largest process. Lower is better.", ""]
        parts += _table(results, real, _rss_text, min, lambda cell: cell.rss_kb)
        parts += [""]
    parts += _extras(results) + _means(results) + _spreads(results) + _failures(results)
    return "\n".join(parts) + "\n"


def _heading(results: Results, plan: Plan, machine: dict[str, str]) -> list[str]:
    lines = [f"- {name}: {value}" for name, value in machine.items()]
    lines += [f"- plan: {plan.name}, {plan.seconds:g} s a run, {plan.repeats} interleaved runs a cell, "
              "medians; noisy rows repeated"]
    lines += [f"- {one.name}: {one.version}" for one in results.allocators]
    return lines + [""]


def _speed_text(results: Results, row: Row, allocator: Allocator) -> str:
    cell = results.cell(row, allocator)
    mark = "~" if cell.is_noisy else ""
    return f"{format_figure(cell.rate)}{mark} ({format_ratio(results.speed_ratio(row, allocator))})"


def _cpu_text(results: Results, row: Row, allocator: Allocator) -> str:
    cell = results.cell(row, allocator)
    ratio = results.ratio(row, allocator, lambda cell: cell.cpu_s)
    return f"{format_figure(cell.cpu_s)}{'~' if cell.is_noisy else ''} ({format_ratio(ratio)})"


def _wall_text(results: Results, row: Row, allocator: Allocator) -> str:
    ratio = results.ratio(row, allocator, lambda cell: cell.wall_s)
    return f"{format_figure(results.cell(row, allocator).wall_s)} ({format_ratio(ratio)})"


def _rss_text(results: Results, row: Row, allocator: Allocator) -> str:
    rss_kb = results.cell(row, allocator).rss_kb
    mib = None if rss_kb is None else rss_kb / 1024
    return f"{format_figure(mib)} ({format_ratio(results.rss_ratio(row, allocator))})"


def _table(results: Results, rows: Sequence[Row], text: Callable[[Results, Row, Allocator], str],
           best: Callable[[list[float]], float], value: Callable[[Cell], float | None]) -> list[str]:
    """One line a row, one column an allocator, the best one bold."""
    names = [one.name for one in results.allocators]
    left = ["row", "clock"] if not any(row.is_real for row in rows) else ["row"]
    lines = [_line([*left, *names]), _line(["---"] * len(left) + ["---:"] * len(names))]
    for row in rows:
        values = {one.name: value(results.cell(row, one)) for one in results.allocators}
        known = [number for number in values.values() if number is not None]
        winner = best(known) if known else None
        shown = []
        for one in results.allocators:
            cell = results.cell(row, one)
            if not cell.is_measured:
                shown.append(cell.failure.reason if cell.failure else "-")
                continue
            words = text(results, row, one)
            shown.append(f"**{words}**" if values[one.name] == winner else words)
        lines.append(_line([*[row.name, row.clock.value][:len(left)], *shown]))
    return lines


def _extras(results: Results) -> list[str]:
    """What rows measured beside time and memory."""
    lines = []
    for row in results.rows:
        cells = [results.cell(row, one) for one in results.allocators]
        for name in dict.fromkeys(name for cell in cells for name in cell.extra):
            figures = [format_figure(cell.extra.get(name)) for cell in cells]
            lines.append(_line([row.name, name, *figures]))
    if not lines:
        return []
    names = [one.name for one in results.allocators]
    return ["## Further figures", "", "The last word of a name is the unit.", "", _line(["row", "figure", *names]),
            _line(["---"] * 2 + ["---:"] * len(names)), *lines, ""]


def _means(results: Results) -> list[str]:
    lines = [f"## Geometric means to {results.baseline.name}", "",
             "Over the rows on which every allocator has a result; speed: higher is better, RSS: lower.", "",
             _line(["rows", "of", "mean of", *(one.name for one in results.allocators)]),
             _line(["---", "---:", "---"] + ["---:"] * len(results.allocators))]
    for real, kind in ((False, "programs of our own"), (True, "real programs")):
        total, common = len(results.kind(real)), len(results.common_rows(real))
        if total == 0:
            continue
        for title, mean in (("speed", results.mean_speed), ("peak RSS", results.mean_rss)):
            means = [format_ratio(mean(one, real)) for one in results.allocators]
            lines.append(_line([kind, f"{common}/{total}", title, *means]))
    return lines + [""]


def _spreads(results: Results) -> list[str]:
    noisy = results.noisy_rows()
    if not noisy:
        return ["No row is noisy.", ""]
    lines = ["## Noisy rows", "", "Spread of each cell and its number of samples, after repeating.", "",
             _line(["row", *(one.name for one in results.allocators)]),
             _line(["---"] + ["---:"] * len(results.allocators))]
    for row in noisy:
        cells = [results.cell(row, one) for one in results.allocators]
        shown = ["-" if cell.spread is None else f"{cell.spread:.0%} of {len(cell.samples)}" for cell in cells]
        lines.append(_line([row.name, *shown]))
    return lines + [""]


def _failures(results: Results) -> list[str]:
    failures = results.failures()
    if not failures:
        return []
    lines = ["## Failed cells", ""]
    for row, allocator, failure in failures:
        detail = f": `{failure.detail}`" if failure.detail else ""
        lines.append(f"- {row.name} under {allocator.name}: {failure.reason}{detail}")
    return lines + [""]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
