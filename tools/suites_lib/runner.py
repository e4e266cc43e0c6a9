"""The order of runs of a suite: libc, HAKMEM, and both again where a check failed on HAKMEM only."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from typing import Optional

from clients_lib import report
from clients_lib.model import ClientResult, Mode, RunResult
from clients_lib.runner import Runner
from suites_lib import compare
from suites_lib.suite import Suite

_PAIRS_AGAIN = 3


@dataclasses.dataclass
class SuiteResult:
    """One suite: its runs, and what is made of them. No verdict: it could not be run, for the reason in `detail`."""

    suite: Suite
    version: str
    detail: str = ""
    notes: list[str] = dataclasses.field(default_factory=list)
    baseline: Optional[RunResult] = None
    candidate: Optional[RunResult] = None
    verdict: Optional[compare.Verdict] = None
    measured: str = dataclasses.field(default_factory=lambda: datetime.date.today().isoformat())

    @property
    def passed(self) -> bool:
        """True where the suite ran to its end on libc, and nothing fails that passes there."""
        return self.verdict is not None and not self.verdict.new


class SuiteRunner(Runner):
    """Runs suites one after the other. Owns a temporary folder, gone after `with`."""

    def __init__(self, candidate: Mode, may_install: bool, out: pathlib.Path) -> None:
        super().__init__(candidate, 1, may_install, out)

    def measure(self, suite: Suite) -> SuiteResult:
        """Both runs of a suite, judged. Never raises for what a suite does."""
        ready, baseline, home = self.make_ready(suite)
        result = SuiteResult(suite, suite.version(), ready.detail, ready.notes)
        if home is None:
            return result
        result.baseline = self.run_once(suite, baseline, home)
        broken = result.baseline.error or compare.hardly_works(result.baseline)
        if broken:
            result.detail = f"does not run on libc's malloc: {broken}"
            report.write_evidence(self._out, self._evidence(result, []))
            return result
        result.candidate = self.run_once(suite, self._candidate, home)
        pairs = []
        suspects = compare.only_here(result.baseline, result.candidate)
        if suspects:
            rerun = _Again(suite, suspects)
            modes = (baseline, self._candidate)
            pairs = [tuple(self.run_once(rerun, mode, home) for mode in modes) for _ in range(_PAIRS_AGAIN)]
        result.verdict = compare.judge(result.baseline, result.candidate, pairs)
        if result.verdict.failed_on_libc or suspects:
            report.write_evidence(self._out, self._evidence(result, pairs))
        return result

    @staticmethod
    def _evidence(result: SuiteResult, pairs: list[tuple[RunResult, RunResult]]) -> ClientResult:
        reason = result.detail
        if result.candidate:
            only_here = compare.only_here(result.baseline, result.candidate)
            reason = "failed on HAKMEM only, at first: " + (", ".join(only_here) or "nothing")
        baseline = [result.baseline, *(libc for libc, _ in pairs)]
        candidate = [result.candidate, *(here for _, here in pairs)] if result.candidate else []
        return ClientResult(result.suite.name, "", "", False, "suite", reason, [], baseline, candidate)


class _Again(Suite):
    """The checks of a suite that failed on one side only."""

    def __init__(self, suite: Suite, names: list[str]) -> None:
        self._suite = suite
        self._names = names

    def run(self, session) -> None:
        self._suite.again(session, self._names)
