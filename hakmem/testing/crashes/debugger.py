"""Runs gdb for the tests."""

import shutil
import subprocess
import unittest

from hakmem.testing.harness import process

RECORDED = {"PATH": "/usr/bin:/bin", "HAKMEM_FLIGHT_RECORDER": "64"}


def gdb(*arguments: str, env: dict[str, str] = RECORDED) -> str:
    """gdb of a program, in batch mode; HAKMEM is in the program alone."""
    if shutil.which("gdb") is None:
        raise unittest.SkipTest("gdb is not installed")
    done = subprocess.run(
        ["gdb", "-q", "-nx", "-batch", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env,
        timeout=process.TIMEOUT_S,
        check=False,
    )
    if "Operation not permitted" in done.stdout:
        raise unittest.SkipTest("gdb may not look at processes here")
    return done.stdout
