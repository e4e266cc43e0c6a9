"""Tests of fleet: what it would run for every target of this repository, and one small target for real."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import zipfile
from typing import Optional

from fuzz_lib import build_files, fleet
from fuzz_lib.errors import FuzzError
from fuzz_lib.fleet import ROOT, Plan, Settings
from fuzz_lib.targets import Target, read_options

_SMALL_TARGET = "options_fuzz"


def _settings(folder: str, **variables: str) -> Settings:
    return Settings.from_environment({"OUT": f"{folder}/out", "WORK": f"{folder}/work", **variables})


class SettingsTest(unittest.TestCase):
    """The environment of OSS-Fuzz."""

    def test_variables(self) -> None:
        """Flags are split as a shell would."""
        settings = _settings("/x", CC="cc1", CXX="cxx1", CFLAGS="-O1 -DA='b c'", SANITIZER="undefined", CXXFLAGS="-O2",
                             LIB_FUZZING_ENGINE="-fsanitize=fuzzer")
        self.assertEqual((settings.cc, settings.cxx), ("cc1", "cxx1"))
        self.assertEqual((settings.cflags, settings.cxxflags), (["-O1", "-DA=b c"], ["-O2"]))
        self.assertEqual(settings.engine, ["-fsanitize=fuzzer"])
        self.assertEqual(settings.defines()["hak_sanitizer"], "undefined")
        self.assertEqual(str(settings.out), "/x/out")

    def test_out_is_needed(self) -> None:
        """Nothing is written anywhere else."""
        with self.assertRaisesRegex(FuzzError, "OUT"):
            Settings.from_environment({"CC": "cc"})


class PlanTest(unittest.TestCase):
    """The commands for all targets; none is run."""

    def setUp(self) -> None:
        self.settings = _settings("/x", CFLAGS="-DFLEET", CXXFLAGS="-DFLEETXX", LIB_FUZZING_ENGINE="-fsanitize=fuzzer")
        self.plan = Plan(self.settings)

    def test_no_target_is_left_out(self) -> None:
        """Each has its own sources and at least one of a box or of tools/trace, and links what it compiles."""
        names = {path.stem for path in (ROOT / "fuzz").glob("*_fuzz.cc")}
        self.assertEqual({target.name for target in self.plan.targets}, names)
        for target in self.plan.targets:
            sources = [one.source for one in self.plan.compilations(target)]
            self.assertIn(f"fuzz/{target.name}.cc", sources)
            self.assertTrue([source for source in sources if source.startswith(("hakmem/", "tools/trace/"))], target.name)
            command = self.plan.link_command(target)
            self.assertEqual(command[-2:], ["-o", f"/x/out/{target.name}"])
            self.assertEqual(command.count("-fsanitize=fuzzer"), 1)

    def test_no_source_of_a_box_is_left_out(self) -> None:
        """Each C file is in some rule, and what the whole library has is in the target of the whole library."""
        files = build_files.BuildFiles(ROOT, {"hak_config": "debug"})
        for package in build_files.packages(ROOT, "hakmem"):
            named = {source for rule in files.rules(package).values() if rule.kind != "filegroup"
                     for source in rule.words("srcs")}
            found = {path.name for path in (ROOT / package).glob("*.c")}
            self.assertEqual(found - named, set(), package)
        whole = {one.source for rule in files.closure(files.rule("//hakmem:hakmem"))
                 for one in self.plan.compilations_of(rule)}
        self.assertGreater(len(whole), 15)
        api = next(target for target in self.plan.targets if target.name == "api_fuzz")
        self.assertEqual(whole - {one.source for one in self.plan.compilations(api)}, set())

    def test_flags(self) -> None:
        """The fleet's come first; warnings are no errors; ours say the language and the settings."""
        target = self.plan.targets[0]
        for one in self.plan.compilations(target):
            is_cxx = one.source.endswith(".cc")
            self.assertEqual(one.command[1], "-DFLEETXX" if is_cxx else "-DFLEET")
            self.assertIn("-std=c++17" if is_cxx else "-std=c11", one.command)
            self.assertIn("-DHAK_CONFIG_SANITIZE_ADDRESS=1", one.command)
            self.assertNotIn("-Werror", one.command)

    def test_without_engine(self) -> None:
        """The program that runs files, once, and no flag of an engine."""
        plan = Plan(_settings("/x"))
        target = plan.targets[0]
        self.assertIn("fuzz/replay_main.cc", [one.source for one in plan.compilations(target)])
        self.assertNotIn("fuzz/replay_main.cc", [one.source for one in self.plan.compilations(target)])
        self.assertEqual([word for word in plan.link_command(target) if "fuzzer" in word], [])


class StandInTest(unittest.TestCase):
    """A library that replaces another one's object, as os_fake does."""

    def test_alwayslink_comes_before_archives(self) -> None:
        """As objects, so that the linker has its names before it looks into an archive."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "fuzz").mkdir()
            (root / "fuzz/BUILD.bazel").write_text(
                'cc_library(name = "real", srcs = ["real.c"])\n'
                'cc_library(name = "fake", srcs = ["fake.c"], alwayslink = True)\n'
                'cc_test(name = "t_fuzz", srcs = ["t_fuzz.cc"], tags = ["fuzz"], deps = [":real", ":fake"])\n')
            plan = Plan(_settings("/x", LIB_FUZZING_ENGINE="-lengine"), root)
            words = [pathlib.PurePath(word).name for word in plan.link_command(plan.targets[0])]
            order = [words.index(name) for name in ("t_fuzz.cc.o", "fake.c.o", "libreal.a", "-lengine")]
            self.assertEqual(order, sorted(order))


def _compiler(*names: str) -> Optional[str]:
    return next((name for name in names if shutil.which(name)), None)


class BuildTest(unittest.TestCase):
    """One target, with the compiler of this machine and without an engine."""

    def test_builds_and_runs(self) -> None:
        """The program passes its seeds; dictionary and options lie beside it."""
        compilers = _compiler("cc", "gcc", "clang"), _compiler("c++", "g++", "clang++")
        self.assertTrue(all(compilers), "no compiler")
        with tempfile.TemporaryDirectory() as folder:
            settings = _settings(folder, CC=str(compilers[0]), CXX=str(compilers[1]), SANITIZER="none",
                                 CFLAGS="-O0", CXXFLAGS="-O0")
            (target,) = fleet.build(settings, [_SMALL_TARGET])
            with zipfile.ZipFile(settings.out / f"{target.name}_seed_corpus.zip") as archive:
                self.assertEqual(len(archive.namelist()), len({path.read_bytes() for path in target.seeds()}))
                archive.extractall(f"{folder}/seeds")
            done = subprocess.run([settings.out / target.name, f"{folder}/seeds"], stdout=subprocess.PIPE, text=True,
                                  check=False)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn(f"{len(os.listdir(f'{folder}/seeds'))} inputs, 0 failed", done.stdout)
            self._check_companions(target, settings.out)

    def _check_companions(self, target: Target, out: pathlib.Path) -> None:
        options = read_options(out / f"{target.name}.options")
        self.assertEqual(options["asan"]["detect_leaks"], "0")
        self.assertEqual(options["libfuzzer"]["dict"], f"{target.name}.dict")
        self.assertTrue((out / f"{target.name}.dict").read_bytes())

    def test_mistakes_end_the_build(self) -> None:
        """The command and the compiler's words are shown."""
        with tempfile.TemporaryDirectory() as folder:
            settings = _settings(folder, CC="false", CXX="false")
            with self.assertRaisesRegex(FuzzError, "failed: false "):
                fleet.build(settings, [_SMALL_TARGET])


if __name__ == "__main__":
    unittest.main()
