"""Who may look into a process: root and its own user."""

from __future__ import annotations

import importlib
import os
import unittest

from hakmem.testing.harness import process
from hakmem.testing.inside.commands import Given, hakmem
from hakmem.testing.inside.running import FOLDER, Running
from tools.hakmem_lib import cli


def setUpModule() -> None:
    process.skip_emulated("it would see the emulator")


NOBODY = 65534

# Now: the modules may lie where nobody may read.
for _name in cli.COMMANDS:
    importlib.import_module(f"tools.hakmem_lib.commands.{_name}")


def as_nobody(*arguments: object) -> Given:
    """A command, given by a user who owns nothing."""
    back, forth = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        given = hakmem(*arguments)
        os.write(forth, "\0".join([str(given.status), given.stdout, given.stderr]).encode())
        os._exit(0)
    os.close(forth)
    os.waitpid(child, 0)
    with open(back, "rb") as file:
        status, stdout, stderr = file.read().decode().split("\0")
    return Given(int(status), stdout, stderr)


class Permission(unittest.TestCase):
    def check(self, given: Given, pid: int) -> None:
        self.assertEqual((given.status, given.stdout, given.stderr.count("\n")), (2, "", 1), given)
        self.assertIn(f"no permission to read process {pid} (", given.stderr)

    @unittest.skipIf(os.geteuid() != 0, "only root can become another user; see the test below")
    def test_root_s_process_is_not_for_nobody(self) -> None:
        with Running(FOLDER / "known") as running:
            running.reached("start")
            for command in (["stat"], ["top", "--once"], ["map", "-o", "/no/such.html"]):
                self.check(as_nobody(*command, running.pid), running.pid)

    @unittest.skipIf(os.geteuid() == 0, "root may read every process; see the test above")
    def test_another_s_process(self) -> None:
        self.check(hakmem("stat", 1), 1)


if __name__ == "__main__":
    unittest.main()
