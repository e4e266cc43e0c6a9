"""What a set-user-ID program has to be without. It is linked with HAKMEM, as LD_PRELOAD does not reach such programs."""

import os
import pathlib
import shutil
import stat
import subprocess
import tempfile
import unittest
from typing import Mapping, Optional

from hakmem.testing.harness import process

FOLDER = pathlib.Path("hakmem/testing/override")
NOBODY = 65534
IGNORED = {"HAKMEM_VERBOSE": "1", "HAKMEM_DECAY_MS": "never", "HAKMEM_STATS_AT_EXIT": "1"}
WATCHED = {
    "HAKMEM_CRASH_REPORTS": "1",
    "HAKMEM_FLIGHT_RECORDER": "64",
    "HAKMEM_BACKGROUND_THREAD": "1",
    "HAKMEM_METRICS": "metrics",
    "HAKMEM_STATS_AT_EXIT": "1",
    "HAKMEM_STATS_FILE": "stats",
    "HAKMEM_PROFILE": "1",
    "HAKMEM_PROFILE_BYTES": "1",
    "HAKMEM_PROFILE_FILE": "profile",
}


@process.not_emulated("set-user-ID would be that of the emulator")
@unittest.skipIf(os.geteuid() != 0, "only root can run this; what decides on AT_SECURE is tested by //hakmem/config:config_test")
class SetUserId(unittest.TestCase):
    def setUp(self) -> None:
        # Not in the test's own folder, where another user may have no way in.
        folder = tempfile.TemporaryDirectory(dir="/tmp")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.folder.chmod(0o755)
        self.own = self.folder / "own"  # where the other user may write

    def run_it(
        self, program: str, *arguments: str, is_secure: bool, env: Optional[Mapping[str, str]] = None
    ) -> tuple[process.Outcome, list[str]]:
        """How it ended as another user's, and the files that it left."""
        shutil.rmtree(self.own, ignore_errors=True)
        self.own.mkdir()
        self.own.chmod(0o777)
        copy = self.folder / program
        shutil.copy(FOLDER / program, copy)
        copy.chmod(0o755 | (stat.S_ISUID if is_secure else 0))
        try:
            outcome = process.run(copy, *arguments, env=env, user=NOBODY, cwd=self.own)
        except (PermissionError, subprocess.SubprocessError) as error:
            self.skipTest(f"cannot become another user ({error}); see //hakmem/config:config_test")
        return outcome, sorted(os.listdir(self.own))

    def test_the_environment_is_ignored(self) -> None:
        plain, _ = self.run_it("semantics_dynamic", is_secure=False, env=IGNORED)
        self.assertEqual((plain.status, plain.stdout), (0, "ok\n"), str(plain))
        for text in ("ignored HAKMEM_DECAY_MS=never", " active: ", "misuse reported: 0"):
            self.assertIn(text, plain.stderr, str(plain))
        secure, _ = self.run_it("semantics_dynamic", is_secure=True, env=IGNORED)
        self.assertEqual((secure.status, secure.stdout, secure.stderr), (0, "ok\n", ""), str(secure))

    def test_no_thread_no_handler_no_file(self) -> None:
        for program, env in (("watched", WATCHED), ("watched_by_itself", None)):
            with self.subTest(program):
                plain, files = self.run_it(program, is_secure=False, env=env)
                self.assertEqual((plain.status, plain.stdout), (0, "threads 2, handler set\n"), str(plain))
                self.assertEqual((plain.stderr, files), ("", ["metrics", "profile", "stats"]))
                secure, files = self.run_it(program, is_secure=True, env=env)
                self.assertEqual((secure.status, secure.stdout, files), (0, "threads 1, handler none\n", []), str(secure))
                # The program's own wish for statistics is met where they do no harm.
                self.assertEqual(secure.stderr.count("misuse reported: 0\n"), 0 if env else 1, str(secure))

    def test_no_crash_report(self) -> None:
        for program, env in (("watched", WATCHED), ("watched_by_itself", None)):
            with self.subTest(program):
                plain, _ = self.run_it(program, "crash", is_secure=False, env=env)
                self.assertEqual(plain.signal_name, "SIGSEGV", str(plain))
                self.assertIn("hakmem: SIGSEGV in thread ", plain.stderr)
                secure, files = self.run_it(program, "crash", is_secure=True, env=env)
                self.assertEqual((secure.signal_name, secure.stderr, files), ("SIGSEGV", "", []), str(secure))


if __name__ == "__main__":
    unittest.main()
