"""Verdicts: is the candidate's run the same as libc's?

The rule: what the program shows (statuses, outputs, files, failing tests) under the candidate equals what it
shows on libc's malloc in the same invocation. A baseline that did not do its work proves nothing, whatever
the candidate does, so it is a failure of its own kind ("broken").
"""

from __future__ import annotations

from typing import Optional

from clients_lib.model import Observation, RunResult

_EXCERPT_BYTES = 160


def first_difference(left: list[Observation], right: list[Observation]) -> Optional[str]:
    """One line on the first thing that differs, None when all is equal."""
    for one, other in zip(left, right):
        if one.label != other.label:
            return f"{one.label!r} against {other.label!r}: another order of steps"
        if one.data != other.data:
            return f"{one.label}: {_excerpts(one.data, other.data)}"
    if len(left) != len(right):
        longer = left if len(left) > len(right) else right
        return f"only one run got to {longer[min(len(left), len(right))].label!r}"
    return None


def judge(baseline: list[RunResult], candidate: list[RunResult]) -> tuple[str, str]:
    """Verdict and its reason, from all runs of both modes; the first run on libc is the reference."""
    reference = baseline[0]
    for run in baseline:
        if not run.healthy:
            return "broken", f"on libc: {run.error or run.unexpected[0]}"
        change = first_difference(reference.observations, run.observations)
        if change:
            return "broken", f"libc differs from itself: {change}"
    for run in candidate:
        if run.error:
            return "failed", run.error
        if run.unexpected:
            return "failed", run.unexpected[0]
        change = first_difference(reference.observations, run.observations)
        if change:
            return "different", change
    return "equal", ""


def _excerpts(one: bytes, other: bytes) -> str:
    """The place where two outputs part, from both of them."""
    at = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
    start = one.rfind(b"\n", 0, at) + 1 if at - one.rfind(b"\n", 0, at) < _EXCERPT_BYTES // 2 else at
    return f"{_show(one[start:])} on libc, {_show(other[start:])} here (byte {at})"


def _show(data: bytes) -> str:
    line = data[:_EXCERPT_BYTES].split(b"\n", 1)[0]
    return repr(line.decode("utf-8", "backslashreplace")) if data else "nothing"
