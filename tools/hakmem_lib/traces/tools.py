"""The recorder and the replayer, and what the replayer says."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
from typing import Any, Mapping, Optional, Sequence

from tools.hakmem_lib import library
from tools.hakmem_lib.errors import CommandError

_TARGETS = ("//tools/trace:replay", "//tools/trace:libhakmem_trace.so")
_FOLDER = "tools/trace"
TOOLS_HELP = "folder with replay and libhakmem_trace.so (default: this checkout's, built now)"


@dataclasses.dataclass(frozen=True)
class Tools:
    """Where the two are."""

    replay: pathlib.Path
    recorder: pathlib.Path


def find(given: Optional[str]) -> Tools:
    """The tools in the folder `given`, or those of this checkout, built where they are not up to date."""
    if given is None:
        for target in _TARGETS:
            folder = library.build(target) / _FOLDER
    else:
        folder = pathlib.Path(given).resolve()
    tools = Tools(folder / "replay", folder / "libhakmem_trace.so")
    for path in (tools.replay, tools.recorder):
        if not os.path.isfile(path):
            raise CommandError(f"no such file: {path}")
    return tools


def check_readable(trace: str) -> None:
    """Before anything is built for a trace that is not there."""
    try:
        with open(trace, "rb"):
            pass
    except OSError as error:
        raise CommandError(f"cannot read {trace}: {error.strerror}") from error


def ask(tools: Tools, *arguments: str, environment: Optional[Mapping[str, str]] = None,
        statuses: Sequence[int] = (0,)) -> dict[str, Any]:
    """What the replayer answers. Raises CommandError with its line where it does not."""
    done = subprocess.run([str(tools.replay), *arguments], capture_output=True, text=True, check=False,
                          env=None if environment is None else dict(environment))
    if done.returncode in statuses:
        return json.loads(done.stdout)
    if done.returncode < 0:
        raise CommandError(f"the replay of {arguments[-1]} ended by signal {-done.returncode}")
    line = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    raise CommandError(line.removeprefix("replay: "))


def summary(tools: Tools, trace: str | os.PathLike[str]) -> dict[str, Any]:
    """The figures of a trace."""
    return ask(tools, "--summary", os.fspath(trace))


def bare_environment(libraries: Sequence[str], settings: Mapping[str, str]) -> dict[str, str]:
    """Nothing but the allocator and its settings, so that each is played under the same conditions."""
    environment = {"PATH": os.defpath, "LC_ALL": "C", **settings}
    if libraries:
        environment["LD_PRELOAD"] = ":".join(libraries)
    return environment


def program_name(figures: Mapping[str, Any]) -> str:
    """The recorded program's name without its folder."""
    return pathlib.Path(figures["program"]).name or "?"


def remark(trace: str, figures: Mapping[str, Any]) -> Optional[str]:
    """What is missing from a trace, in a line; None where it is whole."""
    if figures["stopped_by"]:
        return f"{trace} ends early: {os.strerror(figures['stopped_by'])}"
    if not figures["has_exited"]:
        return f"{trace} ends where the process did: it still runs, or ended by a signal, _exit or exec"
    return None
