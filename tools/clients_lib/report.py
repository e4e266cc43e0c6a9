"""The table, the JSON, the Markdown, and the evidence of failures."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import platform
import re
import shutil
import statistics
from typing import Callable, Optional

from clients_lib.model import ClientResult, RunResult, Usage

RSS_LIMIT = 1.15
_HEADINGS = ["client", "verdict", "wall libc s", "wall ratio", "CPU ratio", "RSS libc MiB", "RSS here MiB", "ratio", ""]
_NO_FIGURE = "-"


@dataclasses.dataclass(frozen=True)
class Figures:
    """Medians over the repeats of one client, both modes; ratios are candidate over libc."""

    baseline: Usage
    candidate: Usage

    @property
    def wall_ratio(self) -> Optional[float]:
        """Wall time against libc's."""
        return _ratio(self.candidate.wall_s, self.baseline.wall_s)

    @property
    def cpu_ratio(self) -> Optional[float]:
        """CPU time against libc's."""
        return _ratio(self.candidate.cpu_s, self.baseline.cpu_s)

    @property
    def rss_ratio(self) -> Optional[float]:
        """Peak RSS against libc's."""
        return _ratio(self.candidate.peak_rss_kib, self.baseline.peak_rss_kib)

    @property
    def over_limit(self) -> bool:
        """True when the candidate needs more memory than is allowed."""
        return self.rss_ratio is not None and self.rss_ratio > RSS_LIMIT


def figures(result: ClientResult) -> Optional[Figures]:
    """The medians, or None when one of the sides has no finished run."""
    sides = [[run.usage for run in runs if run.error is None] for runs in (result.baseline, result.candidate)]
    if not all(sides):
        return None
    return Figures(*(_median(usages) for usages in sides))


def row(result: ClientResult) -> list[str]:
    """One line of the table, as strings."""
    verdict = result.verdict + (" (info)" if result.informational else "")
    found = figures(result)
    if found is None:
        return [result.name, verdict] + [_NO_FIGURE] * 6 + [""]
    return [
        result.name,
        verdict,
        f"{found.baseline.wall_s:.2f}",
        _two(found.wall_ratio),
        _two(found.cpu_ratio),
        f"{found.baseline.peak_rss_kib / 1024:.1f}",
        f"{found.candidate.peak_rss_kib / 1024:.1f}",
        _two(found.rss_ratio),
        f"> {RSS_LIMIT}" if found.over_limit else "",
    ]


def text_table(results: list[ClientResult]) -> str:
    """The table for a terminal."""
    rows = [_HEADINGS] + [row(result) for result in results]
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(_HEADINGS))]
    lines = []
    for cells in rows:
        left = [cells[i].ljust(widths[i]) for i in (0, 1)]
        right = [cells[i].rjust(widths[i]) for i in range(2, len(cells) - 1)]
        lines.append("  ".join(left + right + [cells[-1]]).rstrip())
    return "\n".join(lines)


def markdown(results: list[ClientResult], candidate_name: str, repeats: int) -> str:
    """The report for people: table, reasons, notes, normalisations."""
    lines = [
        f"# Client programs: {candidate_name} against libc's malloc",
        "",
        f"{platform.platform()}, {platform.libc_ver()[1]} glibc, {repeats} run(s) a mode, medians. Ratios are",
        f"{candidate_name} over libc. Peak RSS is that of the largest single process. {count_line(results)}.",
        "",
        "| " + " | ".join(_HEADINGS) + " |",
        "|---|---|" + "---:|" * (len(_HEADINGS) - 3) + "---|",
    ]
    lines += ["| " + " | ".join(row(result)) + " |" for result in results]
    lines += ["", "## What differs", ""]
    lines += [f"- **{r.name}**: {r.verdict}: {r.detail}" for r in results if not r.passed] or ["Nothing."]
    lines += ["", "## Notes", ""]
    lines += [f"- **{r.name}**: {note}" for r in results for note in r.notes] or ["None."]
    lines += ["", "## Work, and what is normalised before comparing", ""]
    lines += [f"- **{r.name}**: {r.summary} Normalised: {r.normalised}." for r in results]
    return "\n".join(lines) + "\n"


def count_line(results: list[ClientResult]) -> str:
    """The last line of the command: `N passed, N failed`."""
    counted = [result for result in results if result.counted]
    passed = sum(result.passed for result in counted)
    return f"{passed} passed, {len(counted) - passed} failed"


def as_json(results: list[ClientResult], candidate_name: str, repeats: int) -> str:
    """Everything measured, for programs."""
    return json.dumps(
        {
            "candidate": candidate_name,
            "repeats": repeats,
            "platform": platform.platform(),
            "rss_limit": RSS_LIMIT,
            "clients": [_client_json(result) for result in results],
        },
        indent=1,
    )


def write(out: pathlib.Path, results: list[ClientResult], candidate_name: str, repeats: int) -> None:
    """Writes results.json and results.md."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(as_json(results, candidate_name, repeats))
    (out / "results.md").write_text(markdown(results, candidate_name, repeats))


def write_evidence(out: pathlib.Path, result: ClientResult) -> None:
    """For a client that is not equal: what differs, and the tails of outputs, logs and stacks of each run."""
    folder = _evidence_folder(out, result.name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "reason.txt").write_text(f"{result.verdict}: {result.detail}\n")
    for runs in (result.baseline, result.candidate):
        for number, run in enumerate(runs):
            _write_run(folder, f"{run.mode}-{number}", run)


def clear_evidence(out: pathlib.Path, name: str) -> None:
    """Removes what an earlier command left about a client."""
    shutil.rmtree(_evidence_folder(out, name), ignore_errors=True)


def _evidence_folder(out: pathlib.Path, name: str) -> pathlib.Path:
    return out / "failures" / name


def _write_run(folder: pathlib.Path, prefix: str, run: RunResult) -> None:
    for label, data in run.evidence.items():
        (folder / f"{prefix}-{_file_name(label)}").write_bytes(data)
    with open(folder / f"{prefix}-observations.txt", "wb") as out:
        for observation in run.observations:
            out.write(f"=== {observation.label}\n".encode() + observation.data + b"\n")


def _client_json(result: ClientResult) -> dict[str, object]:
    found = figures(result)
    return {
        "name": result.name,
        "verdict": result.verdict,
        "detail": result.detail,
        "informational": result.informational,
        "normalised": result.normalised,
        "notes": result.notes,
        "wall_ratio": found and found.wall_ratio,
        "cpu_ratio": found and found.cpu_ratio,
        "rss_ratio": found and found.rss_ratio,
        "runs": [
            {
                "mode": run.mode,
                "error": run.error,
                **dataclasses.asdict(run.usage),
                "steps": {label: dataclasses.asdict(usage) for label, usage in run.step_usage.items()},
            }
            for run in result.baseline + result.candidate
        ],
    }


def _median(usages: list[Usage]) -> Usage:
    def of(field: Callable[[Usage], float]) -> float:
        return statistics.median(field(usage) for usage in usages)

    return Usage(of(lambda u: u.wall_s), of(lambda u: u.cpu_s), int(of(lambda u: u.peak_rss_kib)))


def _ratio(value: float, reference: float) -> Optional[float]:
    return value / reference if reference > 0 else None


def _two(ratio: Optional[float]) -> str:
    return _NO_FIGURE if ratio is None else f"{ratio:.2f}"


def _file_name(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", label)
