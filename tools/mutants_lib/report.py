"""Results: kept in a file from run to run, and shown as the table in docs/testing.md."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib

from mutants_lib.mutation import Mutation

BEGIN = "<!-- mutants: written by tools/mutants --write -->"
END = "<!-- end of mutants -->"


@dataclasses.dataclass(frozen=True)
class Result:
    name: str
    digest: str  # of the mutation: a result of another text is none
    test: str  # label of the test that noticed; empty: none did
    how: str
    seconds: int


def digest_of(mutation: Mutation) -> str:
    text = "\0".join((mutation.path, mutation.old, mutation.new))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Results:
    """The latest result of each mutation, in a JSON file that is rewritten after each."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._by_name: dict[str, Result] = {}
        if path.exists():
            self._by_name = {row["name"]: Result(**row) for row in json.loads(path.read_text())}

    def add(self, result: Result) -> None:
        self._by_name[result.name] = result
        self._path.parent.mkdir(parents=True, exist_ok=True)
        rows = [dataclasses.asdict(row) for row in self._by_name.values()]
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(rows, indent=1) + "\n")
        temporary.replace(self._path)

    def of(self, mutation: Mutation) -> Result | None:
        result = self._by_name.get(mutation.name)
        return result if result is not None and result.digest == digest_of(mutation) else None


def table(mutations: list[Mutation], results: Results) -> str:
    """Markdown, grouped by kind."""
    lines = ["| fault | where | noticed first by |", "|---|---|---|"]
    for mutation in sorted(mutations, key=lambda m: m.kind):
        result = results.of(mutation)
        if result is None:
            verdict = "not run"
        elif not result.test:
            verdict = "**not noticed**"
        else:
            verdict = f"`{result.test}`" + (" (hung)" if result.how == "hung" else "")
        path = mutation.path.removeprefix("hakmem/")
        lines.append(f"| {mutation.kind}: {mutation.what} (`{mutation.name}`) | `{path}` | {verdict} |")
    return "\n".join(lines) + "\n"


def summary(mutations: list[Mutation], results: Results) -> str:
    found = [results.of(mutation) for mutation in mutations]
    noticed = sum(1 for result in found if result is not None and result.test)
    missed = sum(1 for result in found if result is not None and not result.test)
    not_run = sum(1 for result in found if result is None)
    return f"{noticed} of {len(mutations)} faults noticed, {missed} not noticed" + (
        f", {not_run} not run" if not_run else ""
    )


def write_between_marks(path: pathlib.Path, text: str) -> None:
    """Replaces what stands between BEGIN and END in the file."""
    document = path.read_text()
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise ValueError(f"{path}: needs the lines {BEGIN} and {END} once each")
    head, rest = document.split(BEGIN)
    tail = rest.split(END)[1]
    path.write_text(f"{head}{BEGIN}\n\n{text}\n{END}{tail}")
