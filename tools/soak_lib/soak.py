"""The loop: one run after the other until the time is over, the table always up to date."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import time
from typing import Iterator, TextIO

from soak_lib import process, report
from soak_lib.model import Plan, Result, Total, total_of


@dataclasses.dataclass
class Soak:
    """One command: where it writes, and what it has counted so far."""

    config: str
    environment: dict[str, str]
    out: pathlib.Path
    totals: dict[str, Total]
    screen: TextIO = sys.stdout
    _lines_drawn: int = 0

    def run(self, plans: Iterator[Plan], seconds: float) -> None:
        """Makes runs for `seconds`; a run that has begun is finished. KeyboardInterrupt ends it."""
        until_s = time.monotonic() + seconds
        for plan in plans:
            left_s = until_s - time.monotonic()
            if left_s <= 0.0:
                return
            self._draw(f"running: {plan.program.name} {' '.join(plan.arguments)}, {report.duration(left_s)} left")
            self.count(process.run(plan, self.environment))

    def count(self, result: Result) -> None:
        """Adds a run to the table, the log and the totals."""
        one = total_of(result)
        name = result.plan.program.name
        self.totals.setdefault(name, Total()).add(one)
        report.log_run(self.out, result, self.config)
        path = self.out / "totals.json"
        ever = report.load_totals(path)
        ever.setdefault(f"{name} {self.config}", Total()).add(one)
        report.save_totals(path, ever)
        if result.failed:
            self._say(f"FAILED with status {result.status}: {report.command_line(result.plan, self.config)}")
            for line in result.output.decode("utf-8", "replace").splitlines()[-4:]:
                self._say(f"    {line}")
        elif not self.screen.isatty():
            self._say(f"ok: {name} {' '.join(result.plan.arguments)}: {result.ops:,} operations")

    def _say(self, line: str) -> None:
        self._erase()
        print(line, file=self.screen, flush=True)

    def _draw(self, below: str) -> None:
        """The live table; only where somebody watches."""
        if not self.screen.isatty():
            return
        self._erase()
        text = f"{report.table(self.totals)}\n{below}"
        print(text, file=self.screen, flush=True)
        self._lines_drawn = text.count("\n") + 1

    def _erase(self) -> None:
        if self._lines_drawn:
            self.screen.write(f"\x1b[{self._lines_drawn}F\x1b[J")
            self._lines_drawn = 0

    def end(self) -> bool:
        """Prints the summary. True where nothing has failed."""
        self._erase()
        print(report.table(self.totals), file=self.screen)
        ever = report.sum_totals(self.out / "totals.json")
        print(
            f"all commands so far: {ever.runs} runs, {ever.failures} failures, {ever.ops:,} operations, "
            f"{report.duration(ever.wall_s)}; log and failures: {self.out}",
            file=self.screen,
            flush=True,
        )
        return all(total.failures == 0 for total in self.totals.values())
