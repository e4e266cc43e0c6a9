"""Lines that no test reaches, from an lcov file, beside the reasons in unreached.toml.

A reason belongs to the text of a line, not to its number, so that it stays true when the file changes above it.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import tomllib


@dataclasses.dataclass(frozen=True)
class Line:
    path: str  # from the root of the repository
    number: int  # from 1
    count: int  # how often it ran


@dataclasses.dataclass(frozen=True)
class Report:
    reached: int
    total: int
    explained: list[tuple[Line, str, str]]  # line, text, reason
    unexplained: list[tuple[Line, str]]
    unused: list[tuple[str, str]]  # reasons for lines that are reached, or gone

    def text(self) -> str:
        out = []
        by_reason: dict[str, list[str]] = collections.defaultdict(list)
        for line, _, reason in self.explained:
            by_reason[reason].append(f"{line.path}:{line.number}")
        for reason, places in sorted(by_reason.items()):
            out.append(f"{reason}\n    {' '.join(places)}")
        out += [f"{line.path}:{line.number}: no reason given: {text}" for line, text in self.unexplained]
        out += [f"{path}: a reason for what is reached, or gone: {text}" for path, text in self.unused]
        share = 100 * self.reached / self.total if self.total else 0
        out.append(
            f"lines of hakmem/: {self.reached} of {self.total} reached ({share:.2f} %), "
            f"{len(self.explained)} explained, {len(self.unexplained)} without a reason"
        )
        return "\n".join(out) + "\n"


def is_product(path: str) -> bool:
    """True for a source of a box: tests and what they are made of do not count."""
    parts = pathlib.PurePosixPath(path).parts
    name = parts[-1]
    is_test = "_test." in name or name.startswith("test_") or "_test_inl." in name
    return parts[0] == "hakmem" and parts[1] != "testing" and not is_test and name != "os_fake.c"


def parse_lcov(text: str, repository: pathlib.Path) -> list[Line]:
    """Each line of each box's sources once, with the highest count where a header was compiled several times."""
    counts: dict[tuple[str, int], int] = {}
    path = ""
    for row in text.splitlines():
        if row.startswith("SF:"):
            path = row[3:].removeprefix("/proc/self/cwd/").removeprefix(f"{repository}/")
        elif row.startswith("DA:") and path.startswith("hakmem/") and is_product(path):
            number, count = row[3:].split(",")[:2]
            key = (path, int(number))
            counts[key] = max(counts.get(key, 0), int(count))
    return [Line(where, number, count) for (where, number), count in sorted(counts.items())]


def load_reasons(path: pathlib.Path) -> dict[tuple[str, str], str]:
    """(path, text of the line) -> reason. The file has a table a reason: `why`, and a list of lines a source file."""
    with path.open("rb") as file:
        tables = tomllib.load(file)
    reasons = {}
    for table in tables.values():
        for source, lines in table["lines"].items():
            for line in lines:
                reasons[(source, line)] = table["why"]
    return reasons


def explain(lines: list[Line], reasons: dict[tuple[str, str], str], repository: pathlib.Path) -> Report:
    explained, unexplained, used = [], [], set()
    sources: dict[str, list[str]] = {}
    for line in lines:
        if line.count != 0:
            continue
        if line.path not in sources:
            sources[line.path] = (repository / line.path).read_text().splitlines()
        text = sources[line.path][line.number - 1].strip()
        if not text.strip("{}; "):
            continue  # a brace belongs to the lines beside it
        reason = reasons.get((line.path, text))
        if reason is None:
            unexplained.append((line, text))
        else:
            used.add((line.path, text))
            explained.append((line, text, reason))
    reached = sum(1 for line in lines if line.count != 0)
    unused = sorted(set(reasons) - used)
    return Report(reached, len(lines), explained, unexplained, unused)
