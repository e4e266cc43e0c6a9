"""The fuzz targets: found in the BUILD files, with the inputs and settings that lie beside them."""

from __future__ import annotations

import configparser
import dataclasses
import fnmatch
import pathlib
from typing import Mapping, Optional, Sequence

from fuzz_lib import build_files
from fuzz_lib.errors import FuzzError, UsageError

_FOLDER = "fuzz"
_TAG = "fuzz"


@dataclasses.dataclass(frozen=True)
class Target:
    """One hak_fuzz_test."""

    name: str
    package: str
    folder: pathlib.Path  # of the package

    @property
    def label(self) -> str:
        """What Bazel calls it."""
        return f"//{self.package}:{self.name}"

    @property
    def corpus(self) -> pathlib.Path:
        """The committed inputs that reach what the fuzzer has reached."""
        return self.folder / "corpus" / self.name

    @property
    def regressions(self) -> pathlib.Path:
        """One input for each bug found."""
        return self.folder / "regressions" / self.name

    @property
    def dictionary(self) -> Optional[pathlib.Path]:
        """Words of the input, or None."""
        path = self.folder / "dictionaries" / f"{self.name}.dict"
        return path if path.is_file() else None

    @property
    def options_file(self) -> pathlib.Path:
        """Settings in OSS-Fuzz's form; need not exist."""
        return self.folder / "options" / f"{self.name}.options"

    def seeds(self) -> list[pathlib.Path]:
        """All committed inputs."""
        folders = [folder for folder in (self.corpus, self.regressions) if folder.is_dir()]
        return sorted(path for folder in folders for path in folder.iterdir() if path.is_file())

    def libfuzzer_options(self) -> dict[str, str]:
        """Section [libfuzzer] of the settings."""
        return read_options(self.options_file).get("libfuzzer", {})


def find(root: pathlib.Path) -> list[Target]:
    """All fuzz targets of the repository, by name."""
    files = build_files.BuildFiles(root)
    found = []
    try:
        for package in build_files.packages(root, _FOLDER):
            for rule in files.rules(package).values():
                if rule.kind == "cc_test" and _TAG in rule.words("tags"):
                    found.append(Target(rule.name, package, root / package))
    except build_files.BuildFileError as error:
        raise FuzzError(str(error)) from None
    return sorted(found, key=lambda target: target.name)


def choose(targets: Sequence[Target], wanted: Sequence[str]) -> list[Target]:
    """Those that the words name (shell patterns and labels too); all when there are no words."""
    if not wanted:
        return list(targets)
    chosen = []
    for word in wanted:
        pattern = word.rpartition(":")[2]
        matching = [target for target in targets if fnmatch.fnmatchcase(target.name, pattern)]
        if not matching:
            raise UsageError(f"no such fuzz target: {word} (there are {', '.join(one.name for one in targets)})")
        chosen += [target for target in matching if target not in chosen]
    return chosen


def read_options(path: pathlib.Path) -> dict[str, dict[str, str]]:
    """The sections of an .options file; none where there is no file."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read(path)
    except configparser.Error as error:
        raise FuzzError(f"{path}: {error}") from None
    return {section: dict(parser[section]) for section in parser.sections()}


def options_text(sections: Mapping[str, Mapping[str, str]]) -> str:
    """The sections as an .options file."""
    lines = []
    for section, entries in sections.items():
        lines += [f"[{section}]"] + [f"{name} = {value}" for name, value in entries.items()] + [""]
    return "\n".join(lines)
