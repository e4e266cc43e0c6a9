"""libFuzzer's command line, and what its lines say (clang 14 and later)."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import re
from typing import Optional

from fuzz_lib.targets import Target

INTERRUPTED = 72  # its exit status after SIGINT and SIGTERM
TIMEOUT_S = 30
_RSS_LIMIT_MIB = 2560
_KEPT_LINES = 600

_PROGRESS = re.compile(r"^#(\d+)\s+([A-Za-z]+)\b(.*)$")
_FIELD = re.compile(r"(cov|ft|corp|exec/s|rss): (\d+)")
_EXECUTED = re.compile(r"^stat::number_of_executed_units:\s*(\d+)$")


@dataclasses.dataclass
class Figures:
    """What one process has told so far."""

    executions: int = 0
    per_second: int = 0
    coverage: int = 0
    features: int = 0
    corpus: int = 0
    is_initialised: bool = False


class Log:
    """Reads the lines of one process: figures, and the lines that tell of a crash."""

    def __init__(self) -> None:
        self.figures = Figures()
        self.lines: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)

    def add(self, line: str) -> None:
        """Takes the next line, without its end."""
        executed = _EXECUTED.match(line)
        progress = _PROGRESS.match(line)
        if executed:
            self.figures.executions = int(executed.group(1))
        elif progress:
            self._take_progress(int(progress.group(1)), progress.group(2), progress.group(3))
        else:
            self.lines.append(line)

    def _take_progress(self, executions: int, event: str, rest: str) -> None:
        figures = self.figures
        figures.executions = executions
        figures.is_initialised = figures.is_initialised or event == "INITED"
        fields = {name: int(value) for name, value in _FIELD.findall(rest)}
        figures.per_second = fields.get("exec/s", figures.per_second)
        figures.coverage = fields.get("cov", figures.coverage)
        figures.features = fields.get("ft", figures.features)
        figures.corpus = fields.get("corp", figures.corpus)


def common_arguments(target: Target) -> list[str]:
    """For every use of a target; its .options file has the last word."""
    given = {
        "timeout": str(TIMEOUT_S),
        "rss_limit_mb": str(_RSS_LIMIT_MIB),
        "report_slow_units": "3600",
        "detect_leaks": "0",
    }
    given.update(target.libfuzzer_options())
    given.pop("dict", None)
    return [f"-{name}={value}" for name, value in given.items()]


def fuzz_command(
    binary: pathlib.Path,
    target: Target,
    corpus: pathlib.Path,
    artifacts: pathlib.Path,
    seconds: int,
    runs: Optional[int] = None,
) -> list[str]:
    """Fuzzes for `seconds`, or up to `runs` executions."""
    command = [str(binary), *common_arguments(target), "-print_final_stats=1", f"-max_total_time={max(1, seconds)}"]
    command.append(f"-artifact_prefix={artifacts}/")
    if runs is not None:
        command.append(f"-runs={runs}")
    if target.dictionary:
        command.append(f"-dict={target.dictionary}")
    return command + [str(corpus)]


def run_once_command(binary: pathlib.Path, target: Target, path: pathlib.Path) -> list[str]:
    """Runs one input."""
    return [str(binary), *common_arguments(target), str(path)]


def minimise_command(
    binary: pathlib.Path, target: Target, path: pathlib.Path, smaller: pathlib.Path, seconds: int
) -> list[str]:
    """Looks for a shorter input that crashes as well."""
    return [
        str(binary),
        *common_arguments(target),
        "-minimize_crash=1",
        f"-max_total_time={max(1, seconds)}",
        f"-exact_artifact_path={smaller}",
        str(path),
    ]


def merge_command(
    binary: pathlib.Path, target: Target, into: pathlib.Path, sources: list[pathlib.Path], few: bool
) -> list[str]:
    """Writes inputs of `sources` into `into` that together reach all of their edges: many short ones, or few long ones.

    -use_counters=0: an input for each edge, and not for each count of it.
    """
    how = "-set_cover_merge=1" if few else "-merge=1"
    return [str(binary), *common_arguments(target), how, "-use_counters=0", str(into), *map(str, sources)]
