"""hakmem advise: settings that would have been better for a recorded program."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from typing import Any, Callable, Iterator, Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tools.hakmem_lib import library, option_table
from tools.hakmem_lib.commands.replay import runs_argument
from tools.hakmem_lib.text import columns, counted, size
from tools.hakmem_lib.traces import advice, settings, tools
from tools.hakmem_lib.traces.advice import Advice, Change, Effect
from tools.hakmem_lib.traces.settings import Setting

SUMMARY = "say which settings would have been better for a recorded program, with the figures they would have had"
_ROUNDS, _QUICK_ROUNDS = 7, 1
_MANY_TIMES = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what follows `hakmem advise`."""
    parser.add_argument("trace", metavar="TRACE", help="what `hakmem trace` wrote")
    parser.add_argument("--lib", metavar="PATH", help="libhakmem.so to try (default: this checkout's, built now)")
    parser.add_argument(
        "--rounds", metavar="N", type=runs_argument, help=f"times that each setting is tried at least (default: {_ROUNDS})"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one round, and two values of an option: finds what matters most"
    )
    parser.add_argument("--loose", action="store_true", help="threads wait for each other's blocks only, not for their turn")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--tools", metavar="FOLDER", help=tools.TOOLS_HELP)


def run(options: argparse.Namespace) -> int:
    """Tries and prints."""
    tools.check_readable(options.trace)
    found = tools.find(options.tools)
    figures = tools.summary(found, options.trace)
    libraries = [str(library.find(options.lib))]
    tried = settings.candidates(
        option_table.read(), settings.in_force(libraries), figures["peak_live_bytes"], is_quick=options.quick
    )
    remark = tools.remark(options.trace, figures)
    if remark:
        print(f"hakmem advise: {remark}", file=sys.stderr)
    arguments = [*(["--loose"] if options.loose else []), options.trace]

    def play(setting: Setting) -> Mapping[str, Any]:
        return tools.ask(found, *arguments, environment=tools.bare_environment(libraries, setting.environment()))

    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    with _shown(play) as (shown_play, expect):
        outcome = advice.advise(shown_play, tried, rounds, expect)
    print(_as_json(outcome) if options.json else as_text(options.trace, figures, outcome), end="\n" if options.json else "")
    return 0


@contextlib.contextmanager
def _shown(play: advice.Play) -> Iterator[tuple[advice.Play, advice.Expect]]:
    """The same, with a bar of what has been played and how long the rest will take, where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield play, lambda _: None
        return
    bar = Progress(
        BarColumn(), MofNCompleteColumn(), TextColumn("left:"), TimeRemainingColumn(), TextColumn("{task.description}"),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip
    whole = 0
    with bar:
        task = bar.add_task("playing", total=None)

        def played(setting: Setting) -> Mapping[str, Any]:
            bar.update(task, description=str(setting) or "the defaults")
            outcome = play(setting)
            bar.advance(task)
            return outcome

        def expect(plays: int) -> None:
            nonlocal whole
            whole += plays
            bar.update(task, total=whole)

        yield played, expect


def _as_json(outcome: Advice) -> str:
    def of(effect: Effect) -> dict[str, Any]:
        changes = {
            name: {"value": change.value, "share": change.share, "spread": change.spread, "is_beyond_noise": change.is_shown}
            for name, change in effect.changes.items()
        }
        return {"setting": effect.setting.environment(), **changes}

    return json.dumps(
        {
            "tried": outcome.tried,
            "rounds": outcome.rounds,
            "noise": outcome.noise,
            "defaults": outcome.defaults,
            "better": [of(effect) for effect in outcome.better],
            "traded": [of(effect) for effect in outcome.traded],
            "together": of(outcome.together) if outcome.together else None,
        },
        indent=2,
    )


def as_text(trace: str, figures: Mapping[str, Any], outcome: Advice) -> str:
    """The advice for people."""
    values, noise = outcome.defaults, outcome.noise
    lines = [
        f"{trace}: {figures['operations']:,} operations of {tools.program_name(figures)}; {outcome.tried} settings, "
        f"{counted(outcome.rounds, 'round')}\n",
        f"with the defaults: {_time(values['cpu_s'])} of CPU time, {size(values['peak_rss_bytes'])} at the peak, "
        f"{size(values['end_rss_bytes'])} at the end, {_count(values['page_faults'])} page faults\n",
        f"two equal runs differ by {100 * noise['cpu_s']:.1f} % of the time and {100 * noise['peak_rss_bytes']:.1f} % of the memory\n",
    ]
    if outcome.better:
        lines.append("\nbetter than the defaults\n" + _table(outcome.better))
    if outcome.together:
        lines.append("\nthe best of them together\n" + _table([outcome.together]))
    if outcome.traded:
        lines.append("\ntime for memory, or memory for time\n" + _table(outcome.traded))
    if not outcome.better and not outcome.traded:
        lines.append("\nThe defaults are as good: no other setting saves more than the noise.\n")
    elif not outcome.better:
        lines.append("\nNothing is better without a price.\n")
    lines.append("\nA replay has no pauses: what depends on time, such as the decay, matters more in the program itself.\n")
    return "".join(lines)


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def _count(number: float) -> str:
    return f"{number:,.0f}"


_COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "cpu_s": ("CPU time", _time),
    "peak_rss_bytes": ("peak RSS", size),
    "end_rss_bytes": ("RSS at the end", size),
    "page_faults": ("page faults", _count),
}


def _share(change: Change) -> str:
    """The share with its spread; nothing to tell where it may be chance."""
    if not change.is_shown:
        return "same"
    if change.share > _MANY_TIMES:
        return f"{1 + change.share:.0f} ±{change.spread:.0f} times"
    return f"{100 * change.share:+.0f} ±{100 * change.spread:.0f} %"


def _table(effects: Sequence[Effect]) -> str:
    head = ["setting"]
    for heading, _ in _COLUMNS.values():
        head += [heading, ""]
    rows: list[Sequence[str]] = [head]
    for effect in effects:
        row = [str(effect.setting)]
        for name, (_, form) in _COLUMNS.items():
            change = effect.changes[name]
            row += [form(change.value), _share(change)]
        rows.append(row)
    return columns(rows)
