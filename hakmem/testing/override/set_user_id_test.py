"""A set-user-ID program ignores the environment. It is linked with HAKMEM, as LD_PRELOAD does not reach such programs."""

import os
import pathlib
import shutil
import stat
import subprocess
import tempfile
import unittest

from hakmem.testing.harness import process

LINKED = pathlib.Path("hakmem/testing/override/semantics_dynamic")
ENV = {"HAKMEM_VERBOSE": "1", "HAKMEM_DECAY_MS": "never", "HAKMEM_STATS_AT_EXIT": "1"}
NOBODY = 65534


@process.not_emulated("set-user-ID would be that of the emulator")
class SetUserId(unittest.TestCase):
    def test_the_environment_is_ignored(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("only root can run this; what decides on AT_SECURE is tested by //hakmem/config:config_test")
        # Not in the test's own folder, where another user may have no way in.
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            os.chmod(folder, 0o755)
            program = pathlib.Path(folder, "program")
            shutil.copy(LINKED, program)
            program.chmod(0o755)
            try:
                plain = process.run(program, env=ENV, user=NOBODY, cwd=folder)
            except (PermissionError, subprocess.SubprocessError) as error:
                self.skipTest(f"cannot become another user ({error}); see //hakmem/config:config_test")
            self.assertEqual((plain.status, plain.stdout), (0, "ok\n"), str(plain))
            for text in ("ignored HAKMEM_DECAY_MS=never", " active: ", "misuse reported: 0"):
                self.assertIn(text, plain.stderr, str(plain))
            program.chmod(0o755 | stat.S_ISUID)
            secure = process.run(program, env=ENV, user=NOBODY, cwd=folder)
            self.assertEqual((secure.status, secure.stdout, secure.stderr), (0, "ok\n", ""), str(secure))


if __name__ == "__main__":
    unittest.main()
