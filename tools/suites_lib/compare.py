"""What fails on libc's malloc, what on HAKMEM, and what is new.

The rule: a check that fails under the candidate must fail on libc's malloc too, in the same invocation. A check that
the baseline has and the candidate has not is a failure: its process died before it. A check that fails on the candidate
only is run again on both, because timing fails tests of its own; it is new unless it then passes on the candidate every
time, or fails on libc as well.
"""

from __future__ import annotations

import dataclasses

from clients_lib.model import RunResult
from suites_lib.suite import CHECK, FAILED, SKIPPED

# What a session notes of every step and server, whatever it shows.
_STEP = ": exit status"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How many checks and steps ran on libc's malloc; names of checks, sorted."""

    ran: int
    failed_on_libc: list[str]
    failed_here: list[str]
    new: list[str]
    unsteady: list[str]


def outcomes(run: RunResult) -> dict[str, str]:
    """Outcome of each check of a run; what went wrong outside of a check is a failed check too."""
    found = {o.label[len(CHECK) :]: o.data.decode() for o in run.observations if o.label.startswith(CHECK)}
    for reason in run.unexpected:
        # Without the program's last words, which may hold an address or a process id.
        found[reason.split(", not ")[0]] = FAILED
    if run.error:
        found[run.error] = FAILED
    return found


def failures(run: RunResult, reference: RunResult) -> set[str]:
    """Checks that fail in a run: those that say so, those that show something else than the reference, those missing."""
    here, there = outcomes(run), outcomes(reference)
    wrong = {name for name, outcome in here.items() if outcome == FAILED or _differs(outcome, there.get(name))}
    return wrong | {name for name, outcome in there.items() if outcome != FAILED and name not in here}


def only_here(baseline: RunResult, candidate: RunResult) -> list[str]:
    """Checks that fail on the candidate and not on libc, in this pair of runs."""
    return sorted(failures(candidate, baseline) - failures(baseline, baseline))


def judge(baseline: RunResult, candidate: RunResult, again: list[tuple[RunResult, RunResult]]) -> Verdict:
    """From one run a mode, and pairs of runs (libc, candidate) of the checks that failed on the candidate only."""
    on_libc, here = failures(baseline, baseline), failures(candidate, baseline)
    suspects = here - on_libc
    also_libc = {name for libc, _ in again for name in failures(libc, libc)}
    again_here = {name for libc, run in again for name in failures(run, libc)}
    new = suspects if not again else (suspects & again_here) | (again_here - on_libc)
    new -= also_libc
    return Verdict(_ran(baseline), sorted(on_libc), sorted(here), sorted(new), sorted(suspects - new))


def hardly_works(run: RunResult) -> str:
    """Why a run on libc's malloc is worth no comparison, as a sentence, or "": a machine without what the suite needs."""
    failed, ran = len(failures(run, run)), _ran(run)
    return f"{failed} of {ran} checks fail" if failed * 2 > ran or ran == 0 else ""


def _ran(run: RunResult) -> int:
    checks = sum(outcome != SKIPPED for outcome in outcomes(run).values())
    steps = sum(observation.label.endswith(_STEP) for observation in run.observations)
    return checks + steps - len(run.unexpected)  # a step that went wrong is a check already


def _differs(outcome: str, reference: str | None) -> bool:
    return outcome.startswith("same ") and reference is not None and outcome != reference
