"""Shows results.json: every row's speed and peak RSS beside the baseline's, the page that tools/bench writes, or a summary.

Run by tools/chart; pictures need matplotlib.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bench.runner import library, page, summary

_OURS = "hakmem"
_COLOURS = {"hakmem": "#c8102e", "mimalloc": "#1f77b4", "tcmalloc": "#2ca02c", "jemalloc": "#9467bd", "glibc": "#7f7f7f"}
_OTHER_COLOURS = ("#ff7f0e", "#17becf", "#8c564b")
_PANELS = (("speed_ratio", "Speed", "faster →"), ("rss_ratio", "Peak RSS", "← leaner"))


def load(path: Path) -> dict[str, Any]:
    """The document that tools/bench wrote; ValueError, naming what is wrong, where it is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        cells = document["cells"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no results.json of tools/bench: {error!r}") from error
    if not cells:
        raise ValueError(f"{path} holds no results")
    return document


def in_order(names: list[str]) -> list[str]:
    """Each once, in order of appearance, our own last: it is drawn on top."""
    unique = list(dict.fromkeys(names))
    return [name for name in unique if name != _OURS] + [name for name in unique if name == _OURS]


def baseline_of(cells: list[dict[str, Any]]) -> str:
    """The allocator that all ratios refer to: the one whose own are all 1."""
    for name in in_order([cell["allocator"] for cell in cells]):
        ratios = [cell["speed_ratio"] for cell in cells if cell["allocator"] == name and cell["speed_ratio"] is not None]
        if ratios and all(ratio == 1 for ratio in ratios):
            return name
    raise ValueError("no allocator has the ratio 1 throughout: nothing to compare with")


def draw(document: dict[str, Any], out: Path) -> None:
    """Writes the picture; its format follows from the name's ending."""
    import matplotlib  # pylint: disable=import-outside-toplevel

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "hakmem"
    from matplotlib import pyplot  # pylint: disable=import-outside-toplevel

    cells = document["cells"]
    rows = list(dict.fromkeys(cell["row"] for cell in cells))
    names = in_order([cell["allocator"] for cell in cells])
    baseline = baseline_of(cells)
    figure, panels = pyplot.subplots(1, 2, sharey=True, figsize=(11, 1.5 + 0.25 * len(rows)))
    spare_colours = iter(_OTHER_COLOURS * len(names))
    colours = {name: _COLOURS.get(name) or next(spare_colours) for name in names}
    for panel, (field, title, better) in zip(panels, _PANELS):
        panel.axvline(1, color=colours[baseline], linewidth=1)
        for name in names:
            points = [(cell[field], rows.index(cell["row"])) for cell in cells
                      if cell["allocator"] == name and cell[field] is not None]
            panel.scatter([x for x, _ in points], [y for _, y in points], label=name, color=colours[name],
                          s=46 if name == _OURS else 20, zorder=3 if name == _OURS else 2)
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda x, _: f"{x:g}×"))
        panel.set_title(f"{title}, {baseline} = 1   ({better})", fontsize=11)
        panel.grid(axis="both", color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
    panels[0].set_yticks(range(len(rows)), rows, fontsize=9)
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="lower center", ncols=len(names), frameon=False)
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)


def write(document: dict[str, Any], out: Path) -> None:
    """Writes the page for a name that ends in .html, the summary into a file that ends in .md, a picture otherwise."""
    if out.suffix not in (".html", ".md"):
        draw(document, out)
        return
    try:
        if out.suffix == ".md":
            summary.write(document, out)
        else:
            out.write_text(page.to_html(document, library.load()), encoding="utf-8")
    except KeyError as error:
        raise ValueError(f"the results lack {error}: they are of an older tools/bench") from error


def main(argv: list[str]) -> int:
    """`RESULTS.json PICTURE`: the exit status."""
    if len(argv) != 2 or argv[0].startswith("-"):
        print("usage: tools/chart RESULTS.json PICTURE.svg    draws what tools/bench measured; as a page with all figures "
              "where the name ends in .html; as a summary between its two marks in a file whose name ends in .md", file=sys.stderr)
        return 0 if argv in (["-h"], ["--help"]) else 2
    try:
        write(load(Path(argv[0])), Path(argv[1]))
    except (OSError, ValueError) as error:
        print(f"chart: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
