"""Commands of tools/hakmem as a test gives them."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import os
from typing import Optional

from tools.hakmem_lib import cli

# Now: for another user the modules may lie where nobody may read.
for _name in cli.COMMANDS:
    importlib.import_module(f"tools.hakmem_lib.commands.{_name}")


@dataclasses.dataclass(frozen=True)
class Given:
    """What a command said."""

    status: int
    stdout: str
    stderr: str


def hakmem(*arguments: str) -> Given:
    """One command, in this very process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
    return Given(status, stdout.getvalue(), stderr.getvalue())


def in_child(*arguments: str, user: Optional[int] = None) -> Given:
    """One command in a process of its own, of another user where one is given."""
    back, forth = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if user is not None:
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
            given = hakmem(*arguments)
            os.write(forth, "\0".join([str(given.status), given.stdout, given.stderr]).encode())
        finally:
            os._exit(0)
    os.close(forth)
    os.waitpid(child, 0)
    with open(back, "rb") as file:
        said = file.read().decode().split("\0")
    if len(said) != 3:
        raise AssertionError(f"hakmem {' '.join(map(str, arguments))} did not end as a command does")
    return Given(int(said[0]), said[1], said[2])
