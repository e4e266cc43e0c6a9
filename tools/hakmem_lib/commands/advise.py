"""hakmem advise: settings that would have been better for a recorded program."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import Any, Mapping, Sequence

from tools.hakmem_lib import library
from tools.hakmem_lib.commands.replay import runs_argument
from tools.hakmem_lib.text import columns, size
from tools.hakmem_lib.traces import advice, settings, tools
from tools.hakmem_lib.traces.advice import Advice, Effect
from tools.hakmem_lib.traces.settings import Setting

SUMMARY = "say which settings would have been better for a recorded program, with the figures they would have had"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what follows `hakmem advise`."""
    parser.add_argument("trace", metavar="TRACE", help="what `hakmem trace` wrote")
    parser.add_argument("--lib", metavar="PATH", help="libhakmem.so to try (default: this checkout's, built now)")
    parser.add_argument("--rounds", metavar="N", type=runs_argument, default=7, help="times that each setting is tried at least (default: 7)")
    parser.add_argument("--loose", action="store_true", help="threads wait for each other's blocks only, not for their turn")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--tools", metavar="FOLDER", help=tools.TOOLS_HELP)


def run(options: argparse.Namespace) -> int:
    """Tries and prints."""
    tools.check_readable(options.trace)
    found = tools.find(options.tools)
    figures = tools.summary(found, options.trace)
    libraries = [str(library.find(options.lib))]
    tried = settings.candidates(settings.in_force(libraries))
    remark = tools.remark(options.trace, figures)
    if remark:
        print(f"hakmem advise: {remark}", file=sys.stderr)
    arguments = [*(["--loose"] if options.loose else []), options.trace]

    def play(setting: Setting) -> Mapping[str, Any]:
        return tools.ask(found, *arguments, environment=tools.bare_environment(libraries, setting.environment()))

    outcome = advice.advise(play, tried, options.rounds)
    print(_as_json(outcome) if options.json else as_text(options.trace, figures, outcome), end="\n" if options.json else "")
    return 0


def _as_json(outcome: Advice) -> str:
    def of(effect: Effect) -> dict[str, Any]:
        return {**dataclasses.asdict(effect), "setting": effect.setting.environment()}

    return json.dumps({**dataclasses.asdict(outcome), "better": [of(effect) for effect in outcome.better],
                       "traded": [of(effect) for effect in outcome.traded],
                       "together": of(outcome.together) if outcome.together else None}, indent=2)


def as_text(trace: str, figures: Mapping[str, Any], outcome: Advice) -> str:
    """The advice for people."""
    default = outcome.defaults
    lines = [
        f"{trace}: {figures['operations']:,} operations of {tools.program_name(figures)}; {outcome.tried} settings, "
        f"{outcome.rounds} rounds\n",
        f"with the defaults: {_time(default['cpu_s'])} of CPU time, {size(default['peak_rss_bytes'])} at the peak, "
        f"{default['page_faults']:,.0f} page faults\n",
        f"two equal runs differ by {100 * outcome.time_noise:.1f} % of the time and {100 * outcome.memory_noise:.1f} % of the memory\n",
    ]
    if outcome.better:
        lines.append("\nbetter than the defaults\n" + _table(outcome.better))
    if outcome.together:
        lines.append("\nthe best of them together\n" + _table([outcome.together]))
    if outcome.traded:
        lines.append("\ntime for memory, or memory for time\n" + _table(outcome.traded))
    if not outcome.better and not outcome.traded:
        lines.append("\nThe defaults are as good: no other setting differs by more than the noise.\n")
    elif not outcome.better:
        lines.append("\nNothing is better without a price.\n")
    lines.append("\nA replay has no pauses: what depends on time, such as the decay, matters more in the program itself.\n")
    return "".join(lines)


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def _share(change: float) -> str:
    return "same" if change == 0 else f"{100 * change:+.0f} %"


def _table(effects: Sequence[Effect]) -> str:
    rows: list[Sequence[str]] = [("setting", "CPU time", "", "peak RSS", "", "page faults")]
    for effect in effects:
        rows.append((str(effect.setting), _time(effect.cpu_s), _share(effect.time), size(effect.peak_rss_bytes),
                     _share(effect.memory), f"{100 * effect.faults:+.0f} %"))
    return columns(rows)
