"""Tests of build_files: a small repository, and this one's own BUILD files."""

import os
import pathlib
import tempfile
import unittest

from fuzz_lib import targets
from fuzz_lib.build_files import BuildFileError, BuildFiles, packages
from fuzz_lib.errors import UsageError
from fuzz_lib.targets import Target

# The sources, and not the links to some of them that a test sees.
ROOT = pathlib.Path(os.path.realpath(__file__)).parents[2]

_DEFS = """
load("@rules_cc//cc:defs.bzl", "cc_library")
_COPTS = select({"//:checked": ["-DCHECKED"], "//conditions:default": []})
def hak_box(name, srcs = [], **kwargs):
    native.filegroup(name = name + "_all", srcs = native.glob(["*.c"]))
    cc_library(name = name, srcs = srcs, copts = _COPTS, **kwargs)
"""
_ROOT_BUILD = """
config_setting(name = "on", define_values = {"level": "1"})
config_setting(name = "most", define_values = {"level": "2"})
load("@bazel_skylib//lib:selects.bzl", "selects")
selects.config_setting_group(name = "checked", match_any = [":on", ":most"])
"""
_BOX_BUILD = """
load("//tools:defs.bzl", "hak_box")
package(default_visibility = ["//visibility:public"])
NAMES = ["one"]
[genrule(name = name + "_rule", outs = [name]) for name in NAMES]
hak_box(name = "box", srcs = ["a.c"], deps = [":low", "//top"])
hak_box(name = "low")
"""


class SmallRepositoryTest(unittest.TestCase):
    """What the reader makes of each kind of statement."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
        self.addCleanup(temporary.cleanup)
        self.root = pathlib.Path(temporary.name)
        self._write("tools/defs.bzl", _DEFS)
        self._write("BUILD.bazel", _ROOT_BUILD)
        self._write("box/BUILD.bazel", _BOX_BUILD)
        self._write("box/a.c", "")
        self._write("top/BUILD.bazel", 'cc_library(name = "top", deps = ["//box:low"])\n')

    def _write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(exist_ok=True)
        (self.root / path).write_text(text)

    def test_macros_globs_and_comprehensions(self) -> None:
        """A rule is what the macro makes of it."""
        rules = BuildFiles(self.root).rules("box")
        self.assertEqual((rules["box"].kind, rules["box"].words("srcs")), ("cc_library", ["a.c"]))
        self.assertEqual(rules["box_all"].words("srcs"), ["a.c"])
        self.assertEqual(rules["one_rule"].kind, "genrule")

    def test_closure_puts_dependents_first(self) -> None:
        """As a linker wants them, each once."""
        files = BuildFiles(self.root)
        labels = [rule.label for rule in files.closure(files.rule("//box"))]
        self.assertEqual(labels, ["//top:top", "//box:low"])

    def test_select(self) -> None:
        """The defines of the build decide; groups as well."""
        for level, copts in (("0", []), ("1", ["-DCHECKED"]), ("2", ["-DCHECKED"])):
            files = BuildFiles(self.root, {"level": level})
            self.assertEqual(files.rule("//box").words("copts"), copts)

    def test_mistakes_are_named(self) -> None:
        """A rule or a file that is not there."""
        with self.assertRaisesRegex(BuildFileError, "//box:no"):
            BuildFiles(self.root).rule("//box:no")
        with self.assertRaisesRegex(BuildFileError, "cannot read"):
            BuildFiles(self.root).rule("//nowhere")


class OwnRepositoryTest(unittest.TestCase):
    """The BUILD files that the commands read."""

    def test_every_fuzz_target_is_found(self) -> None:
        """One for each source with the entry point."""
        sources = {path.stem for path in (ROOT / "fuzz").rglob("*.cc") if "LLVMFuzzerTestOneInput(const uint8_t* data, "
                   "size_t size_bytes) {" in path.read_text()}
        found = targets.find(ROOT)
        self.assertEqual({target.name for target in found}, sources)
        self.assertGreater(len(found), 2)
        for target in found:
            self.assertTrue(target.seeds(), target.name)

    def test_every_package_can_be_read(self) -> None:
        """And every library that a fuzz target needs."""
        files = BuildFiles(ROOT, {"hak_config": "debug"})
        for folder in ("hakmem", "fuzz"):
            for package in packages(ROOT, folder):
                self.assertTrue(files.rules(package), package)
        for target in targets.find(ROOT):
            for rule in files.closure(files.rule(target.label)):
                for source in rule.words("srcs"):
                    self.assertTrue((ROOT / rule.package / source).is_file(), f"{rule.label}: {source}")

    def test_choice(self) -> None:
        """Names, labels and patterns; each once."""
        some = [Target(name, "fuzz", ROOT / "fuzz") for name in ("a_fuzz", "b_fuzz", "slab_fuzz")]
        self.assertEqual([one.name for one in targets.choose(some, ["//fuzz:b_fuzz", "?_fuzz"])], ["b_fuzz", "a_fuzz"])
        self.assertEqual(targets.choose(some, []), some)
        with self.assertRaisesRegex(UsageError, "no such fuzz target: c_fuzz"):
            targets.choose(some, ["c_fuzz"])


if __name__ == "__main__":
    unittest.main()
