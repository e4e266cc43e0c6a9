"""Reads the BUILD files and tools/bazel/defs.bzl without Bazel: which rules there are, with which attributes.

Starlark is all but a subset of Python. Each file is run as Python with functions that note down the rules, so that
defs.bzl itself decides the options, as it does under Bazel, and nothing is written down twice.
"""

from __future__ import annotations

import ast
import dataclasses
import pathlib
import platform
from typing import Any, Callable, Iterator, Mapping, Optional

_BUILD_FILE = "BUILD.bazel"
_DEFAULT = "//conditions:default"
_TRUTHS = {"True": True, "False": False, "None": None}


class BuildFileError(Exception):
    """A BUILD file says something that is not understood here."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule: its kind (cc_library), its place, and what it was called with."""

    kind: str
    package: str
    name: str
    attributes: Mapping[str, Any]

    @property
    def label(self) -> str:
        """//package:name"""
        return f"//{self.package}:{self.name}"

    def words(self, attribute: str) -> list[str]:
        """An attribute that is a list of strings; empty when absent."""
        return list(self.attributes.get(attribute) or [])


class BuildFiles:
    """The packages below `root`, for a build with `defines` (--define=NAME=VALUE)."""

    def __init__(self, root: pathlib.Path, defines: Optional[Mapping[str, str]] = None) -> None:
        self._root = root
        self._defines = dict(defines or {})
        self._packages: dict[str, dict[str, Rule]] = {}
        self._extensions: dict[str, dict[str, Any]] = {}
        self._current: list[str] = []

    def rules(self, package: str) -> dict[str, Rule]:
        """All rules of a package, by name."""
        if package not in self._packages:
            self._packages[package] = {}
            self._current.append(package)
            try:
                self._run(self._root / package / _BUILD_FILE)
            finally:
                self._current.pop()
        return self._packages[package]

    def rule(self, label: str, package: str = "") -> Rule:
        """The rule that `label` names, seen from `package`."""
        where, name = split_label(label, package)
        try:
            return self.rules(where)[name]
        except KeyError:
            raise BuildFileError(f"no rule {label} (seen from //{package})") from None

    def closure(self, rule: Rule) -> list[Rule]:
        """The libraries below `rule`, each before those it depends on: the order that a linker wants."""
        finished: dict[str, Rule] = {}

        def visit(one: Rule) -> None:
            for label in one.words("deps"):
                below = self.rule(label, one.package)
                if below.label not in finished:
                    visit(below)
            finished[one.label] = one

        visit(rule)
        return list(reversed([one for label, one in finished.items() if label != rule.label]))

    # Running a file ----------------------------------------------------------------------------------------

    def _run(self, path: pathlib.Path) -> dict[str, Any]:
        try:
            tree = ast.parse(path.read_text(), str(path))
        except OSError as error:
            raise BuildFileError(f"cannot read {path}: {error.strerror}") from None
        names: dict[str, Any] = {
            "load": lambda label, *wanted: names.update(self._load(label, wanted)),
            "select": self._select,
            "glob": self._glob,
            "native": _Namespace(self, {"glob": self._glob, "package_name": lambda: self._current[-1]}),
            "fail": _fail,
        }
        # Rules that nothing here needs to know by name: they are noted down as well.
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id not in _TRUTHS and node.id not in _SHARED:
                names.setdefault(node.id, self._recorder(node.id))
        exec(compile(tree, str(path), "exec"), names)  # pylint: disable=exec-used
        return names

    def _load(self, label: str, wanted: tuple[str, ...]) -> dict[str, Any]:
        if not label.startswith("//"):
            return {name: _Namespace(self, {}, name) for name in wanted}
        if label not in self._extensions:
            package, file = split_label(label, "")
            self._extensions[label] = self._run(self._root / package / file)
        return {name: self._extensions[label][name] for name in wanted}

    def _recorder(self, kind: str) -> Callable[..., None]:
        def record(*_: Any, **attributes: Any) -> None:
            if "name" in attributes and self._current:
                rule = Rule(kind, self._current[-1], attributes["name"], attributes)
                self._packages[self._current[-1]][rule.name] = rule

        return record

    def _glob(self, include: list[str], exclude: Optional[list[str]] = None, **_: Any) -> list[str]:
        folder = self._root / self._current[-1]
        found = {path for pattern in include for path in folder.glob(pattern) if path.is_file()}
        found -= {path for pattern in exclude or [] for path in folder.glob(pattern)}
        return sorted(path.relative_to(folder).as_posix() for path in found)

    # Settings ----------------------------------------------------------------------------------------------

    def _select(self, branches: Mapping[str, Any]) -> Any:
        matching = [key for key in branches if key != _DEFAULT and self._holds(key)]
        if len(matching) > 1:
            raise BuildFileError(f"more than one branch applies: {matching}")
        key = matching[0] if matching else _DEFAULT
        if key not in branches:
            raise BuildFileError(f"no branch applies: {list(branches)}")
        return branches[key]

    def _holds(self, label: str) -> bool:
        if label.startswith("@"):
            return label == f"@platforms//cpu:{platform.machine()}"
        where, _ = split_label(label, self._current[-1] if self._current else "")
        rule = self.rule(label, where)
        if rule.kind == "config_setting":
            wanted: Mapping[str, str] = rule.attributes.get("define_values") or {}
            return all(self._defines.get(name) == value for name, value in wanted.items()) and all(
                self._holds_constraint(one, rule.package) for one in rule.words("constraint_values")
            )
        if rule.kind == "selects.config_setting_group":
            return any(self._holds_in(one, rule.package) for one in rule.words("match_any"))
        raise BuildFileError(f"{label} is no setting: {rule.kind}")

    def _holds_in(self, label: str, package: str) -> bool:
        where, name = split_label(label, package)
        return self._holds(f"//{where}:{name}")

    def _holds_constraint(self, label: str, package: str) -> bool:
        if label.startswith("@"):
            return self._holds(label)
        value = self.rule(label, package)
        setting = self.rule(value.attributes["constraint_setting"], value.package)
        return str(setting.attributes.get("default_constraint_value", "")).lstrip(":") == value.name


class _Namespace:
    """`native`, `selects` and other things whose members are rules; called, it is a rule itself."""

    def __init__(self, files: BuildFiles, members: Mapping[str, Any], name: str = "") -> None:
        self._files = files
        self._members = members
        self._name = name

    def __getattr__(self, member: str) -> Any:
        if member in self._members:
            return self._members[member]
        return self._files._recorder(f"{self._name}.{member}" if self._name else member)

    def __call__(self, **attributes: Any) -> None:
        self._files._recorder(self._name)(**attributes)


# What Starlark and Python both have.
_SHARED = frozenset(
    ["all", "any", "bool", "dict", "enumerate", "int", "len", "list", "max", "min", "range", "reversed", "sorted"]
    + ["str", "tuple", "zip", "print", "type", "hasattr", "getattr", "repr", "hash", "dir"]
)


def split_label(label: str, package: str) -> tuple[str, str]:
    """The package and the name that `label` means, seen from `package`."""
    if label.startswith("//"):
        where, colon, name = label[2:].partition(":")
        return where, name if colon else where.rpartition("/")[2]
    if label.startswith("@"):
        raise BuildFileError(f"not of this repository: {label}")
    return package, label.lstrip(":")


def _fail(message: str) -> None:
    raise BuildFileError(message)


def packages(root: pathlib.Path, folder: str) -> Iterator[str]:
    """The packages at and below `folder`."""
    for path in sorted((root / folder).rglob(_BUILD_FILE)):
        yield path.parent.relative_to(root).as_posix()
