"""Stress programs of the shell, for the tests."""

import pathlib

from soak_lib.model import Plan, Program

GOOD = """echo '{"row":"a","ops":5,"wall_s":1.0,"cpu_s":1.0,"peak_rss_kb":100}'
echo '{"row":"b","ops":7,"wall_s":1.0,"cpu_s":1.0,"peak_rss_kb":80}'
"""
BAD = GOOD + "echo damaged >&2\nexit 3\n"


def plan(folder: pathlib.Path, name: str, script: str, seed: int = 9) -> Plan:
    """A run of the script."""
    path = folder / name
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return Plan(Program(name, path), seed, 4, 0.5)
