"""Builds every fuzz target as OSS-Fuzz and ClusterFuzzLite ask for: with their compiler, flags and engine, without Bazel.

Which sources, with which options and in which order is read from the BUILD files, so a new target or box needs nothing
here. Each library becomes an archive, as under Bazel: os_fake stands in for os in the targets that depend on it.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import pathlib
import platform
import shlex
import shutil
import subprocess
import sys
import zipfile
from typing import Mapping, Sequence

from fuzz_lib import targets as fuzz_targets
from fuzz_lib.build_files import BuildFileError, BuildFiles, Rule
from fuzz_lib.errors import FuzzError
from fuzz_lib.results import digest
from fuzz_lib.targets import Target

ROOT = pathlib.Path(os.path.realpath(__file__)).parents[2]
_DEFAULT_OPTIONS = "tools/oss-fuzz/default.options"
_STANDALONE = "//fuzz:replay_main"
# What .bazelrc defines for the same sanitizer. All but coverage have ASSERT.
_DEFINES = {
    "address": {"hak_config": "debug", "hak_sanitizer": "address"},
    "undefined": {"hak_config": "debug", "hak_sanitizer": "undefined"},
    "thread": {"hak_config": "debug", "hak_sanitizer": "thread"},
    "coverage": {"hak_coverage": "true"},
}
_DEFINES_OF_OTHERS = {"hak_config": "debug"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the fleet says in the environment."""

    cc: str
    cxx: str
    cflags: list[str]
    cxxflags: list[str]
    ldflags: list[str]
    engine: list[str]  # empty: none, a program that runs files
    sanitizer: str
    archiver: str
    out: pathlib.Path
    work: pathlib.Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Reads the variables; only OUT has to be there."""
        if not environment.get("OUT"):
            raise FuzzError("OUT is not set: the folder for the programs")
        out = pathlib.Path(environment["OUT"]).absolute()

        def words(name: str) -> list[str]:
            return shlex.split(environment.get(name, ""))

        return cls(
            environment.get("CC") or "clang", environment.get("CXX") or "clang++", words("CFLAGS"), words("CXXFLAGS"),
            words("LDFLAGS"), words("LIB_FUZZING_ENGINE"), environment.get("SANITIZER") or "address",
            environment.get("AR") or "ar", out, pathlib.Path(environment.get("WORK") or out / "work").absolute(),
        )

    def defines(self) -> dict[str, str]:
        """For the BUILD files."""
        return {**_DEFINES.get(self.sanitizer, _DEFINES_OF_OTHERS), "hak_fuzz": "true"}


@dataclasses.dataclass(frozen=True)
class Compilation:
    """One source and the command that makes its object."""

    source: str
    object: pathlib.Path
    command: list[str]


class Plan:
    """The commands, without running any."""

    def __init__(self, settings: Settings, root: pathlib.Path = ROOT) -> None:
        self._settings = settings
        self._root = root
        self._files = BuildFiles(root, settings.defines())
        self.targets = fuzz_targets.find(root)

    def libraries(self, target: Target) -> list[Rule]:
        """What the target links, each before what it depends on; without an engine, the program that runs files."""
        rule = self._files.rule(target.label)
        below = self._files.closure(rule)
        if not self._settings.engine:
            main = self._files.rule(_STANDALONE)
            known = {one.label for one in below}
            below = [one for one in [main, *self._files.closure(main)] if one.label not in known] + below
        return below

    def compilations(self, target: Target) -> list[Compilation]:
        """Of the target's own sources and of all that it links."""
        rules = [self._files.rule(target.label), *self.libraries(target)]
        return [one for rule in rules for one in self.compilations_of(rule)]

    def compilations_of(self, rule: Rule) -> list[Compilation]:
        """Of one rule. Headers among its sources need no command."""
        includes = [
            f"-isystem{self._root / one.package / path}"
            for one in [rule, *self._files.closure(rule)] for path in one.words("includes")
        ]
        # Another compiler warns of other things, which are no reason not to fuzz.
        options = [option for option in rule.words("copts") if option != "-Werror"] + [f"-I{self._root}", *includes]
        if self._settings.sanitizer != "coverage":
            options.append("-UNDEBUG")
        found = []
        for source in rule.words("srcs"):
            is_cxx = source.endswith(".cc")
            if not is_cxx and not source.endswith(".c"):
                continue
            path = f"{rule.package}/{source}"
            place = self._settings.work / "objects" / f"{path}.o"
            compiler = [self._settings.cxx, *self._settings.cxxflags] if is_cxx else (
                [self._settings.cc, *self._settings.cflags])
            # In this order: the fleet's flags choose, and ours say what the language and the settings are.
            found.append(Compilation(path, place, [*compiler, *options, "-c", str(self._root / path), "-o", str(place)]))
        return found

    def archive(self, rule: Rule) -> pathlib.Path:
        """Where the archive of a library goes."""
        return self._settings.work / "archives" / rule.package / f"lib{rule.name}.a"

    def link_command(self, target: Target) -> list[str]:
        """Makes $OUT/<target>."""
        rule = self._files.rule(target.label)
        own = [str(one.object) for one in self.compilations_of(rule)]
        options = [option for option in rule.words("linkopts") if not option.startswith("-fsanitize=")]
        archives = []
        for library in self.libraries(target):
            options += [option for option in library.words("linkopts") if option not in options]
            objects = [str(one.object) for one in self.compilations_of(library)]
            if library.attributes.get("alwayslink"):
                own += objects
            elif objects:
                archives.append(str(self.archive(library)))
        settings = self._settings
        return [settings.cxx, *settings.cxxflags, *settings.ldflags, *own, *archives, *settings.engine, *options,
                "-o", str(settings.out / target.name)]


def build(settings: Settings, names: Sequence[str] = (), root: pathlib.Path = ROOT) -> list[Target]:
    """Builds the targets (all by default) into settings.out, with seeds, dictionaries and options."""
    plan = Plan(settings, root)
    chosen = fuzz_targets.choose(plan.targets, names)
    compilations = {one.object: one for target in chosen for one in plan.compilations(target)}
    _run_all([(one.object, one.command) for one in compilations.values()])
    libraries = {rule.label: rule for target in chosen for rule in plan.libraries(target)}
    for rule in libraries.values():
        objects = [str(one.object) for one in plan.compilations_of(rule)]
        if objects:
            place = plan.archive(rule)
            place.unlink(missing_ok=True)
            _run_all([(place, [settings.archiver, "rcs", str(place), *objects])])
    _run_all([(settings.out / target.name, plan.link_command(target)) for target in chosen])
    for target in chosen:
        _write_companions(target, settings.out, root)
    return chosen


def _run_all(commands: Sequence["tuple[pathlib.Path, list[str]]"]) -> None:
    """Runs commands in parallel, each of which makes a file; shows the words of the first that fails."""
    for made, _ in commands:
        made.parent.mkdir(parents=True, exist_ok=True)

    def run(command: list[str]) -> None:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise FuzzError(f"failed: {shlex.join(command)}\n{done.stdout}")

    with concurrent.futures.ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        for result in [pool.submit(run, command) for _, command in commands]:
            result.result()


def _write_companions(target: Target, out: pathlib.Path, root: pathlib.Path) -> None:
    seeds = {digest(path.read_bytes()): path for path in target.seeds()}
    with zipfile.ZipFile(out / f"{target.name}_seed_corpus.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(seeds.items()):
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
    sections = fuzz_targets.read_options(root / _DEFAULT_OPTIONS)
    for section, entries in fuzz_targets.read_options(target.options_file).items():
        sections.setdefault(section, {}).update(entries)
    if target.dictionary:
        shutil.copyfile(target.dictionary, out / f"{target.name}.dict")
        sections.setdefault("libfuzzer", {})["dict"] = f"{target.name}.dict"
    (out / f"{target.name}.options").write_text(fuzz_targets.options_text(sections))


def main(arguments: Sequence[str]) -> int:
    """Builds the targets named, or all."""
    try:
        if platform.system() != "Linux":
            raise FuzzError(f"HAKMEM runs on Linux; this is {platform.system()}")
        settings = Settings.from_environment(os.environ)
        built = build(settings, arguments)
    except (FuzzError, fuzz_targets.UsageError, BuildFileError) as error:
        print(f"build.sh: {error}", file=sys.stderr)
        return 1
    print(f"{len(built)} fuzz targets in {settings.out}: {' '.join(target.name for target in built)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
