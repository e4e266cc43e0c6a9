"""A mutation: a fault that a careless change could bring, as a replacement of text in one source file."""

from __future__ import annotations

import dataclasses
import pathlib
import tomllib


class MutationError(Exception):
    """A mutation that cannot be used; the text says why."""


@dataclasses.dataclass(frozen=True)
class Mutation:
    name: str
    path: str  # from the root of the repository
    old: str  # occurs once in the file
    new: str
    what: str  # the fault in words
    kind: str
    tests: tuple[str, ...] = ()  # Bazel targets to try before all others

    def apply(self, source: str) -> str:
        """`source` with the fault in it."""
        count = source.count(self.old)
        if count != 1:
            raise MutationError(f"{self.name}: its text occurs {count} times in {self.path}, not once")
        return source.replace(self.old, self.new)

    def target_groups(self) -> list[tuple[str, ...]]:
        """Targets in the order in which they are tried: those that know the fault's box best come first."""
        parts = pathlib.PurePosixPath(self.path).parts
        own_box = f"//{parts[0]}/{parts[1]}/..."
        groups: list[tuple[str, ...]] = [self.tests] if self.tests else []
        return groups + [(own_box,), ("//hakmem/...", "//fuzz/...", "//stress/...")]


_FIELDS = {field.name for field in dataclasses.fields(Mutation)} - {"name"}


def load(path: pathlib.Path) -> list[Mutation]:
    """The mutations of a TOML file, in its order."""
    with path.open("rb") as file:
        tables = tomllib.load(file)
    mutations = []
    for name, table in tables.items():
        unknown = set(table) - _FIELDS
        missing = _FIELDS - {"tests"} - set(table)
        if unknown or missing:
            raise MutationError(f"{name}: unknown: {sorted(unknown)}, missing: {sorted(missing)}")
        if table["old"] == table["new"]:
            raise MutationError(f"{name}: changes nothing")
        mutations.append(Mutation(name=name, **{**table, "tests": tuple(table.get("tests", ()))}))
    return mutations


def default_file() -> pathlib.Path:
    return pathlib.Path(__file__).with_name("mutations.toml")
