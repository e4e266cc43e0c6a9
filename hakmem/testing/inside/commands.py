"""Commands of tools/hakmem as a test gives them."""

from __future__ import annotations

import contextlib
import dataclasses
import io

from tools.hakmem_lib import cli


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
