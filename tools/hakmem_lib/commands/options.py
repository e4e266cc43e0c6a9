"""hakmem options: what can be set, and where."""

from __future__ import annotations

import argparse
import dataclasses
import json
import textwrap
from typing import Optional

from tools.hakmem_lib import memory, option_table, view
from tools.hakmem_lib.errors import CommandError

SUMMARY = "list the options, their defaults, and what they do"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what follows `hakmem options`."""
    parser.add_argument("--json", action="store_true", help="as JSON, numbers as numbers")
    parser.add_argument("--pid", type=memory.pid_argument, metavar="PID", help="what is in force in a process, and where it came from")
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these, in any spelling: decay_ms, HAKMEM_DECAY_MS")


def run(options: argparse.Namespace) -> int:
    """Prints the table."""
    if options.pid is not None:
        names = {row.name for row in _chosen(options.names)} if options.names else None
        return _show_process(options.pid, names, options.json)
    rows = _chosen(options.names)
    if options.json:
        print(json.dumps([_fields(row) for row in rows], indent=2))
        return 0
    for row in rows:
        print(f"{row.name.lower()}  ({row.type_text}: {row.range_text}; default {row.default_text}; {row.when_text})")
        print(textwrap.fill(row.meaning.replace("`", ""), 100, initial_indent="    ", subsequent_indent="    "))
    if not options.names:
        print("\nSet with HAKMEM_<NAME>=VALUE, HAKMEM_CONF=name:value,..., /etc/hakmem.conf or hak_option_set: hakmem.conf(5).")
    return 0


def _show_process(pid: int, names: Optional[set[str]], as_json: bool) -> int:
    in_force = view.options_in_force(view.attach(memory.LiveProcess(pid)))
    shown = [option for option in in_force if names is None or option.name in names]
    if as_json:
        print(json.dumps([{**dataclasses.asdict(option), "name": option.name.lower()} for option in shown], indent=2))
        return 0
    for option in shown:
        source = "" if option.source == "default" else f"  ({option.source})"
        print(f"{option.name.lower():<20} {option.value}{source}".rstrip())
    return 0


def _chosen(names: list[str]) -> list[option_table.Option]:
    rows = option_table.read()
    if not names:
        return rows
    known = {row.name: row for row in rows}
    chosen = []
    for name in names:
        row = known.get(name.upper().removeprefix("HAKMEM_"))
        if row is None:
            raise CommandError(f"no such option: {name}")
        chosen.append(row)
    return chosen


def _fields(row: option_table.Option) -> dict[str, object]:
    fields: dict[str, object] = {"name": row.name.lower(), "variable": f"HAKMEM_{row.name}", "type": row.type}
    if row.type == "number":
        fields |= {"unit": row.unit, "default": row.default, "min": row.least, "max": row.most}
    elif row.type == "flag":
        fields |= {"default": row.default}
    elif row.type == "word":
        fields |= {"default": row.words[0], "values": list(row.words)}
    else:
        fields |= {"default": "", "max_bytes": row.most}
    return {**fields, "when": row.when_text, "meaning": row.meaning.replace("`", "")}
