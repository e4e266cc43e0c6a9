"""The page: one HTML file with everything in it, that loads nothing. Made from what results.json holds."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from bench.runner.compared import LEVEL, Cell, Compared, Figure
from bench.runner.library import Library
from bench.runner.text import format_figure, format_ratio

_ASSETS = Path(__file__).parent
#: The lines of a table's cell: how the script calls each, what it shows, how people call it.
_MICRO_LINES = (("time", lambda cell: cell.time, "time"), ("rss", lambda cell: _mib(cell.rss_kb), "RSS"))
_REAL_LINES = (("time", lambda cell: cell.time, "CPU"), ("wall", lambda cell: cell.wall_s, "wall"),
               ("rss", lambda cell: _mib(cell.rss_kb), "RSS"))
#: Units that are easier to read: from which value on, how many make one, its name.
_LARGER_UNITS = {"kb": ((0, 1024, "MiB"),), "ns": ((1e6, 1e6, "ms"), (1e4, 1e3, "µs"))}
_TITLES = {False: "Micro and pattern programs", True: "Real programs"}
_ABOUT = {
    False: "First line of a cell: nanoseconds an operation, on the row's clock. Second line: peak RSS in MiB.",
    True: "First line of a cell: seconds of CPU time. Second line: seconds of wall time. Third line: peak RSS in MiB, "
          "of the largest process. Of redis and postgres the server is measured, not what drives it.",
}


def to_html(document: dict[str, Any], library: Library) -> str:
    """The whole page for the contents of a results.json."""
    compared = Compared(document)
    kinds = [real for real in (False, True) if compared.kind(real)]
    body = [_head(compared), _summary(compared, kinds), _charts(compared, library), _controls(compared)]
    body += [_table(compared, real) for real in kinds]
    body += [_extras(compared), _noisy(compared), _failures(compared), _footer()]
    scripts = [f"<script>{library.source}</script>"] if library.source else []
    scripts += [f'<script type="application/json" id="data">{_embedded(compared)}</script>',
                f"<script>{_asset('page.js')}</script>"]
    return "\n".join([
        '<!DOCTYPE html>', '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        # A page that shows figures has no business with the network.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        'style-src \'unsafe-inline\'; script-src \'unsafe-inline\'">',
        '<meta name="color-scheme" content="light dark">', "<title>HAKMEM: benchmark results</title>",
        f"<style>{_asset('page.css')}</style>", "</head>", "<body>", *body, *scripts, "</body>", "</html>", ""])


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _mib(kib: float | None) -> float | None:
    return None if kib is None else kib / 1024


def _text(value: object) -> str:
    return html.escape(str(value))


def _head(compared: Compared) -> str:
    document = compared.document
    machine, plan = document["machine"], document["plan"]
    facts = [(name, value) for name, value in machine.items()]
    facts.append(("plan", f"{plan['name']}: {plan['repeats']} interleaved runs of a cell, {plan['seconds']:g} s each "
                          "(real programs: as long as they take), medians; noisy rows repeated"))
    facts += [(one["name"], one["version"]) for one in document["allocators"]]
    listed = "".join(f'<div class="{"wide" if name in ("plan", "programs") else "fact"}"><dt>{_text(name)}</dt>'
                     f"<dd>{_text(value)}</dd></div>" for name, value in facts)
    cut = "" if document["complete"] else '<p class="warning">Interrupted: not every cell has all of its samples.</p>'
    return (f"<header><h1>HAKMEM beside other allocators</h1>{cut}"
            f"<p>Times and sizes: lower is better everywhere. {_text(compared.subject)}'s losses are shown like its "
            f"wins. Compare within a row, and take differences below its spread for none.</p>"
            f'<dl class="facts">{listed}</dl></header>')


def _summary(compared: Compared, kinds: list[bool]) -> str:
    """Geometric means and rows won."""
    parts = ["<section><h2>Geometric means</h2>"]
    for real in kinds:
        rows = compared.kind(real)
        parts.append(f"<h3>{_TITLES[real]}: {len(compared.common(real))} of {len(rows)} rows, "
                     "those on which every allocator has a result</h3>")
        parts.append('<div class="scroll"><table class="means"><thead><tr><th></th>')
        parts += [_column_head(compared, name) for name in compared.names]
        parts.append("</tr></thead><tbody>")
        for title, figure in (("time", _time), ("peak RSS", _rss)):
            for baseline in [*compared.baselines, None]:
                means = [compared.mean(name, baseline, figure, real) for name in compared.names]
                parts.append(_mean_line(compared, f"{title}, to {baseline or 'the best other of each row'}", means))
            counts = [compared.won(name, figure, real) for name in compared.names]
            cells = "".join(f"<td{_subject_class(compared, name)}>{count} of {len(rows)}</td>"
                            for name, count in zip(compared.names, counts))
            parts.append(f"<tr><th>rows with the best {title}, or within {LEVEL * 100:.0f} % of it</th>{cells}</tr>")
        parts.append("</tbody></table></div>")
    return "".join(parts) + "</section>"


def _time(cell: Cell) -> float | None:
    return cell.time


def _rss(cell: Cell) -> float | None:
    return cell.rss_kb


def _mean_line(compared: Compared, title: str, means: list[float | None]) -> str:
    lowest = min((mean for mean in means if mean is not None), default=None)
    cells = []
    for name, mean in zip(compared.names, means):
        kinds = [kind for kind, is_so in (("subject", name == compared.subject),
                                          ("win", mean is not None and mean == lowest)) if is_so]
        cells.append(f'<td class="{" ".join(kinds)}">{format_ratio(mean)}</td>')
    return f"<tr><th>{_text(title)}</th>{''.join(cells)}</tr>"


def _subject_class(compared: Compared, name: str) -> str:
    return ' class="subject"' if name == compared.subject else ""


def _column_head(compared: Compared, name: str) -> str:
    return f'<th scope="col"{_subject_class(compared, name)}>{_text(name)}</th>'


def _charts(compared: Compared, library: Library) -> str:
    if not library.source:
        return ('<section id="charts"><h2>Charts</h2><p class="warning">The charts are missing: '
                f"{_text(library.missing)}.</p></section>")
    curves = [(row["name"], name) for row in compared.rows for name in _curve_names(compared, row)]
    drawn = "".join(_curve(row, curve) for row, curve in curves)
    heading = "<h2>Latency curves</h2>" if curves else ""
    return ('<section id="charts"><h2>Time against memory</h2><p>Each dot is a row under an allocator, to the '
            "allocator chosen below; further left is faster, further down is leaner. The filters below hold here too; "
            'a click on a name hides its dots.</p><div class="chart tall"><canvas id="scatter"></canvas></div>'
            f'{heading}<div class="curves">{drawn}</div></section>')


def _curve(row: str, curve: str) -> str:
    title = f"{row}: {curve.rpartition('_')[0] or curve}, ns by share of calls that are not slower"
    return (f'<figure><figcaption>{_text(title)}</figcaption><div class="chart">'
            f'<canvas data-row="{_text(row)}" data-curve="{_text(curve)}"></canvas></div></figure>')


def _curve_names(compared: Compared, row: dict[str, Any]) -> list[str]:
    cells = [compared.cell(row, name) for name in compared.names]
    return list(dict.fromkeys(name for cell in cells for name in cell.record["curves"]))


def _controls(compared: Compared) -> str:
    groups = list(dict.fromkeys(row["group"] for row in compared.rows))
    group_options = "".join(f"<option>{_text(group)}</option>" for group in groups)
    bases = [compared.document["baseline"], *(name for name in compared.names
                                              if name != compared.document["baseline"])]
    base_options = "".join(f"<option>{_text(name)}</option>" for name in bases)
    subject = _text(compared.subject)
    return ('<div class="controls" role="search">'
            '<label>Rows <input id="filter" type="search" placeholder="part of a name"></label>'
            f'<label>Group <select id="group"><option value="">all</option>{group_options}</select></label>'
            '<label>Order <select id="order"><option value="">of the suite</option>'
            f'<option value="time">{subject}\'s time, worst first</option>'
            f'<option value="rss">{subject}\'s memory, worst first</option>'
            '<option value="name">by name</option></select></label>'
            f'<label>Ratios to <select id="base">{base_options}<option value="">best of the row</option></select>'
            '</label><span id="count" role="status"></span></div>')


def _table(compared: Compared, real: bool) -> str:
    lines = _REAL_LINES if real else _MICRO_LINES
    heads = "".join(_column_head(compared, name) for name in compared.names)
    rows = "".join(_row(compared, row, lines) for row in compared.kind(real))
    return (f'<section><h2>{_TITLES[real]}</h2><p>{_ABOUT[real]} Behind each figure its ratio; '
            f'<b class="win">the best of a row</b> is marked, <span class="noisy">~12 %</span> is the spread of a '
            "noisy cell.</p>"
            f'<div class="scroll"><table class="rows"><thead><tr><th scope="col">row</th><th scope="col">'
            f"{_text(compared.subject)} to the best other</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
            "</section>")


def _row(compared: Compared, row: dict[str, Any], lines: tuple[tuple[str, Figure, str], ...]) -> str:
    ratios = {line: compared.to_best_peer(row, compared.subject, figure) for line, figure, _ in lines}
    verdicts = "".join(_verdict(line, title, ratios[line]) for line, _, title in lines)
    data = {"name": row["name"], "group": row["group"], "about": row["about"],
            "time": ratios["time"] or "", "rss": ratios["rss"] or ""}
    attributes = "".join(f' data-{name}="{_text(value)}"' for name, value in data.items())
    cells = "".join(_cell(compared, row, name, lines) for name in compared.names)
    clock = f" Clock: {row['clock']}." if row["clock"] != "CPU" else ""
    name = _text(row["name"]).replace("_", "_<wbr>")
    return (f'<tr{attributes}><th scope="row">{name}<span class="about">{_text(row["about"])}.'
            f"{clock}</span></th><td>{verdicts}</td>{cells}</tr>")


def _verdict(line: str, title: str, ratio: float | None) -> str:
    """How the subject stands in a row, in words too: colours alone are not for everyone."""
    if ratio is None:
        return f'<span class="line">{title} -</span>'
    word = "level" if abs(ratio - 1) <= LEVEL else "ahead" if ratio < 1 else "behind"
    return f'<span class="line {word}" data-verdict="{line}">{title} {format_ratio(ratio)} {word}</span>'


def _cell(compared: Compared, row: dict[str, Any], name: str, lines: tuple[tuple[str, Figure, str], ...]) -> str:
    cell = compared.cell(row, name)
    subject = _subject_class(compared, name)
    if cell.time is None:
        failure = f'<span class="failure">{_text(cell.failure or "-")}</span>'
        return f'<td{subject} data-allocator="{_text(name)}">{failure}</td>'
    shown = []
    for line, figure, _ in lines:
        value = figure(cell)
        is_best = value is not None and value == compared.best(row, figure)
        ratio = compared.ratio(row, name, compared.document["baseline"], figure)
        noise = f'<span class="noisy">~{cell.spread * 100:.0f} %</span> ' if cell.is_noisy and line == "time" else ""
        figure_text = f"<b>{format_figure(value)}</b>" if is_best else f"<span>{format_figure(value)}</span>"
        shown.append(f'<span class="line{" win" if is_best else ""}" data-line="{line}" data-value="{value or 0:.6g}">'
                     f'{noise}{figure_text} <i class="ratio">{format_ratio(ratio)}</i></span>')
    samples = f"{cell.record['samples']} runs, spread {cell.spread * 100:.0f} %"
    return f'<td{subject} data-allocator="{_text(name)}" title="{samples}">{"".join(shown)}</td>'


def _extras(compared: Compared) -> str:
    """Figures that only some rows have; an allocator's best is not marked, as not all of them are better when lower."""
    lines = []
    for row in compared.rows:
        records = [compared.cell(row, name).record["extra"] for name in compared.names]
        for figure in dict.fromkeys(figure for record in records for figure in record):
            cells = "".join(f"<td{_subject_class(compared, name)}>{_with_unit(figure, record.get(figure))}</td>"
                            for name, record in zip(compared.names, records))
            title = figure.rpartition("_")[0].replace("_", " ") or figure
            lines.append(f"<tr><th>{_text(row['name'])}</th><th>{_text(title)}</th>{cells}</tr>")
    if not lines:
        return ""
    heads = "".join(_column_head(compared, name) for name in compared.names)
    return ('<section><h2>Further figures</h2><div class="scroll"><table class="extras"><thead><tr><th>row</th>'
            f"<th>figure</th>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div></section>")


def _with_unit(figure: str, value: float | None) -> str:
    """A figure's unit is the last word of its name."""
    if value is None:
        return "-"
    unit = figure.rpartition("_")[2]
    for large, divisor, name in _LARGER_UNITS.get(unit, ()):
        if value >= large:
            return f"{format_figure(value / divisor)} {name}"
    return f"{format_figure(value)} {_text(unit)}"


def _noisy(compared: Compared) -> str:
    """The spread of every cell."""
    noisy = [row["name"] for row in compared.rows if any(compared.cell(row, name).is_noisy for name in compared.names)]
    heads = "".join(_column_head(compared, name) for name in compared.names)
    lines = []
    for row in compared.rows:
        cells = [compared.cell(row, name) for name in compared.names]
        shown = "".join(_spread(cell) for cell in cells)
        lines.append(f"<tr><th>{_text(row['name'])}{' ~' if row['name'] in noisy else ''}</th>{shown}</tr>")
    return (f"<section><h2>Spread</h2><p>{len(noisy)} of {len(compared.rows)} rows have a cell whose spread, "
            "(max - min) / median, is above 15 %. They were repeated for all allocators, and are marked where that did "
            f"not help.</p><details><summary>Spread and number of runs of each cell</summary>"
            f'<div class="scroll"><table><thead><tr><th>row</th>{heads}</tr></thead><tbody>{"".join(lines)}'
            "</tbody></table></div></details></section>")


def _spread(cell: Cell) -> str:
    if cell.spread is None:
        return "<td>-</td>"
    kind = "noisy" if cell.is_noisy else "quiet"
    return f'<td class="{kind}">{cell.spread * 100:.0f} % of {cell.record["samples"]}</td>'


def _failures(compared: Compared) -> str:
    failed = []
    for row in compared.rows:
        for name in compared.names:
            cell = compared.cell(row, name)
            if cell.failure:
                detail = f": <code>{_text(cell.record['detail'])}</code>" if cell.record["detail"] else ""
                failed.append(f"<li>{_text(row['name'])} under {_text(name)}: {_text(cell.failure)}{detail}</li>")
    return f"<section><h2>Failed cells</h2><ul>{''.join(failed)}</ul></section>" if failed else ""


def _footer() -> str:
    return ('<footer><p>Raw data, every run included: <a href="results.csv">results.csv</a>, '
            '<a href="results.json">results.json</a>. How it was measured: bench/README.md of the repository. '
            "Figures of two machines do not compare.</p></footer>")


def _embedded(compared: Compared) -> str:
    """What the script needs beyond the tables: the curves, and which allocator is meant."""
    curves = {row["name"]: {name: compared.cell(row, name).record["curves"] for name in compared.names}
              for row in compared.rows if _curve_names(compared, row)}
    data = {"names": compared.names, "subject": compared.subject, "curves": curves}
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
