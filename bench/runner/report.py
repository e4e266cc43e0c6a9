"""Writing results down: CSV for tools, JSON with every sample, Markdown for people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.runner.allocators import Allocator
from bench.runner.results import Cell, Results
from bench.runner.rows import Row
from bench.runner.session import Plan
from bench.runner.stats import NOISY_SPREAD

_CSV_FIELDS = ("row", "group", "clock", "allocator", "mops_per_s", "speed_ratio", "peak_rss_kb", "rss_ratio", "spread",
               "samples", "noisy", "failure")


def write_all(folder: Path, results: Results, plan: Plan, machine: dict[str, str], is_complete: bool) -> list[Path]:
    """Writes results.csv, results.json and results.md into `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "results.csv": to_csv(results),
        "results.json": to_json(results, plan, machine, is_complete),
        "results.md": to_markdown(results, plan, machine, is_complete),
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
        "mops_per_s": _rounded(cell.rate),
        "speed_ratio": _rounded(results.speed_ratio(row, allocator)),
        "peak_rss_kb": _rounded(cell.rss_kb),
        "rss_ratio": _rounded(results.rss_ratio(row, allocator)),
        "spread": _rounded(cell.spread),
        "samples": len(cell.samples),
        "noisy": cell.is_noisy,
        "failure": cell.failure.reason if cell.failure else None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def to_csv(results: Results) -> str:
    """One line a cell."""
    out = io.StringIO()
    writer = csv.DictWriter(out, _CSV_FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in results.rows:
        for allocator in results.allocators:
            writer.writerow(_cell_record(results, row, allocator))
    return out.getvalue()


def to_json(results: Results, plan: Plan, machine: dict[str, str], is_complete: bool) -> str:
    """Everything, raw samples included."""
    cells = []
    for row in results.rows:
        for allocator in results.allocators:
            cell = results.cell(row, allocator)
            record = _cell_record(results, row, allocator)
            record["detail"] = cell.failure.detail if cell.failure else None
            record["runs"] = [vars(sample) for sample in cell.samples]
            cells.append(record)
    document = {
        "machine": machine,
        "plan": vars(plan),
        "complete": is_complete,
        "baseline": results.baseline.name,
        "allocators": [{"name": one.name, "version": one.version, "mean_speed": _rounded(results.mean_speed(one)),
                        "mean_rss": _rounded(results.mean_rss(one))} for one in results.allocators],
        "rows": [{"name": row.name, "group": row.group, "clock": row.clock.value, "about": row.about,
                  "command": " ".join((row.program, *row.args))} for row in results.rows],
        "cells": cells,
    }
    return json.dumps(document, indent=1) + "\n"


def to_markdown(results: Results, plan: Plan, machine: dict[str, str], is_complete: bool) -> str:
    """Tables of speed, memory and means, with what is needed to judge them."""
    parts = ["# Benchmark results", ""]
    if not is_complete:
        parts += ["**Interrupted: not every cell has all of its samples.**", ""]
    parts += _heading(results, plan, machine)
    parts += ["## Speed: million operations a second (ratio to " + results.baseline.name + ")", "",
              "Higher is better; the best of a row is bold. `~` marks a spread above "
              f"{NOISY_SPREAD:.0%}, `-` a cell without a result.", ""]
    parts += _table(results, ["row", "clock"], lambda row: [row.name, row.clock.value], _speed_text, best=max,
                    value=lambda cell: cell.rate)
    parts += ["", "## Peak RSS: MiB (ratio to " + results.baseline.name + ")", "", "Lower is better.", ""]
    parts += _table(results, ["row"], lambda row: [row.name], _rss_text, best=min, value=lambda cell: cell.rss_kb)
    parts += [""] + _means(results) + _spreads(results) + _failures(results)
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
    return f"{format_figure(cell.rate)}{mark} ({_format_ratio(results.speed_ratio(row, allocator))})"


def _rss_text(results: Results, row: Row, allocator: Allocator) -> str:
    rss_kb = results.cell(row, allocator).rss_kb
    mib = None if rss_kb is None else rss_kb / 1024
    return f"{format_figure(mib)} ({_format_ratio(results.rss_ratio(row, allocator))})"


def _table(results: Results, left: Sequence[str], left_cells: Callable[[Row], list[str]],
           text: Callable[[Results, Row, Allocator], str], best: Callable[[list[float]], float],
           value: Callable[[Cell], float | None]) -> list[str]:
    """One line a row, one column an allocator, the best one bold."""
    names = [one.name for one in results.allocators]
    lines = [_line([*left, *names]), _line(["---"] * len(left) + ["---:"] * len(names))]
    for row in results.rows:
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
        lines.append(_line([*left_cells(row), *shown]))
    return lines


def _means(results: Results) -> list[str]:
    common = len(results.common_rows())
    lines = [f"## Geometric means to {results.baseline.name}", "",
             f"Over the {common} of {len(results.rows)} rows on which every allocator has a result.", "",
             _line(["allocator", "speed", "peak RSS"]), _line(["---", "---:", "---:"])]
    for one in results.allocators:
        lines.append(_line([one.name, _format_ratio(results.mean_speed(one)), _format_ratio(results.mean_rss(one))]))
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


def _format_ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def format_figure(value: float | None) -> str:
    """Three significant digits without an exponent."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"
