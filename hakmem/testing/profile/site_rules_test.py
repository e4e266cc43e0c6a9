"""HAKMEM_SITE_RULES on real programs: what is kept apart, what it saves, and what is said of a file that is wrong."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import unittest

from hakmem.testing.harness import process
from tools.hakmem_lib import cli

FOLDER = pathlib.Path("hakmem/testing/profile")
SESSIONS, CALLERS, PINS = (str((FOLDER / name).absolute()) for name in ("sessions", "callers", "pins"))
WAYS = re.findall(r"^KEEP\((\w+),", (FOLDER / "callers.cc").read_text(), re.MULTILINE)


class SiteRules(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.rules = self.folder / "rules"

    def run_with(self, program: str, rules: str | None = None, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a program on HAKMEM; `rules` are the text of a file, or None."""
        env = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(process.LIBRARY.absolute()), **environment}
        if rules is not None:
            self.rules.write_text(rules)
            env["HAKMEM_SITE_RULES"] = str(self.rules)
        return subprocess.run([program, *arguments], env=env, capture_output=True, text=True, timeout=120, check=False)

    def hakmem(self, *arguments: str) -> tuple[int, str, str]:
        stdout, stderr = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            status = cli.main(list(arguments))
        return status, stdout.getvalue(), stderr.getvalue()


class WhatIsKeptApart(SiteRules):
    def check(self, rules: str | None, beside: list[str], **environment: str) -> None:
        done = self.run_with(CALLERS, rules, **environment)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout.split(), beside * 3, "in the main thread, another one, and a child of a fork")

    def test_without_rules(self) -> None:
        self.check(None, WAYS)

    def test_each_way_to_allocate_is_told_by_its_caller(self) -> None:
        self.check("".join(f"long callers!keep_{way}\n" for way in WAYS), [])

    def test_one_is_not_the_others(self) -> None:
        for way in ("malloc", "realloc", "new", "posix_memalign"):
            self.check(f"long keep_{way}\n", [other for other in WAYS if other != way])

    def test_usual_takes_a_site_out(self) -> None:
        self.check("usual keep_new\n" + "".join(f"long keep_{way}\n" for way in WAYS), ["new"])

    def test_with_all_else_that_looks_at_mallocs(self) -> None:
        rules = "".join(f"long callers!keep_{way}\n" for way in WAYS)
        self.check(rules, [], HAKMEM_FLIGHT_RECORDER="64", HAKMEM_CRASH_REPORTS="1", HAKMEM_THREAD_CACHE_BYTES="0")
        self.check(rules, [], HAKMEM_PROFILE="1", HAKMEM_BACKGROUND_THREAD="1", HAKMEM_DECAY_MS="0")


    def test_twice_freed_is_reported_and_told_whose_it_is(self) -> None:
        done = self.run_with(CALLERS, "long keep_malloc\n", "twice", HAKMEM_CRASH_REPORTS="1")
        self.assertEqual(done.returncode, -signal.SIGABRT)
        self.assertIn("hakmem: double free of 0x", done.stderr)
        self.assertIn(" of site rules, class long has ", done.stderr)


class WhatItSaves(SiteRules):
    """sessions.c: 400,000 requests of 48 to 384 B, and a session that stays with each 400th, 0.2 MiB in all."""

    def resident_mib(self, rules: str | None) -> float:
        done = self.run_with(SESSIONS, rules)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        full, after = (int(word) / 1024 for word in done.stdout.split())
        self.assertGreater(full, 80, "all of it was resident")
        return after

    def test_what_stays_resident(self) -> None:
        before, after = self.resident_mib(None), self.resident_mib("long open_session\n")
        self.assertGreater(before, 45, "the culprit is one")
        self.assertLess(after, 9)
        self.assertLess(after, before / 5)

    def test_profile_rules_run(self) -> None:
        status, stdout, stderr = self.hakmem(
            "prof", "--lib", str(process.LIBRARY), "--bytes", "16k", "--site-rules", str(self.rules), "--", SESSIONS
        )
        self.assertEqual((status, stdout), (0, ""), stderr)
        self.assertIn(f"1 site rule written to {self.rules}", stderr)
        text = self.rules.read_text()
        self.assertRegex(text, r"\n# open_session sessions\.c:\d+ < main .*\nlong /\S*/sessions\+0x[0-9a-f]+\n$")
        self.assertLess(self.resident_mib(text), 9)

    def test_what_is_mostly_freed_is_no_rule(self) -> None:
        """In pins.c one function calls malloc for all the others."""
        _, _, stderr = self.hakmem("prof", "--lib", str(process.LIBRARY), "--bytes", "8k", "--site-rules", str(self.rules), "--", PINS)
        self.assertIn("0 site rules written", stderr)
        self.assertRegex(self.rules.read_text(), r"take the fragmentation along:\n# long /\S*/pins\+0x[0-9a-f]+\n$")


class WhatIsWrong(SiteRules):
    def test_lines_are_named_and_the_rest_kept(self) -> None:
        done = self.run_with(CALLERS, "long\nlong keep_new\n\nlong callers+0xzz\n")
        self.assertEqual(
            done.stderr.splitlines(),
            [
                f"hakmem: {self.rules}:1: ignored long: no call site behind the class",
                f"hakmem: {self.rules}:4: ignored long callers+0xzz: the offset is not a number in hexadecimal, as 0x1f2e",
            ],
        )
        self.assertNotIn("new ", done.stdout)
        self.assertIn("new_array ", done.stdout)

    def test_no_file(self) -> None:
        done = self.run_with(CALLERS, HAKMEM_SITE_RULES="/nowhere/rules")
        self.assertEqual(done.stderr, "hakmem: no site rules: cannot read /nowhere/rules\n")
        self.assertEqual(done.stdout.split(), WAYS * 3)

    def test_a_file_of_rules_is_not_written_over(self) -> None:
        self.rules.write_text("mine\n")
        status, _, stderr = self.hakmem("prof", "--lib", str(process.LIBRARY), "--site-rules", str(self.rules), "--", SESSIONS)
        self.assertEqual((status, stderr), (2, f"hakmem prof: {self.rules} is there already, and left alone\n"))
        self.assertEqual(self.rules.read_text(), "mine\n")

    def test_nothing_to_write_rules_for(self) -> None:
        status, _, stderr = self.hakmem(
            "prof", "--lib", str(process.LIBRARY), "--bytes", "4k", "--site-rules", str(self.rules), "--", str((FOLDER / "leaks").absolute())
        )
        self.assertEqual(status, 2)
        self.assertIn("no site rules: no call site keeps half-empty slabs", stderr)
        self.assertFalse(os.path.exists(self.rules))


if __name__ == "__main__":
    unittest.main()
