"""One run: started, timed, read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from typing import Mapping, Optional

from soak_lib.model import Plan, Result

STATUS_HUNG = 124
_OUTPUT_BYTES = 1 << 20


def time_limit_s(seconds: float) -> float:
    """When a run is ended from outside: after its own alarm, which says more, has had its chance."""
    return 240.0 + 10.0 * seconds


def run(plan: Plan, environment: Mapping[str, str], limit_s: Optional[float] = None) -> Result:
    """Runs the program and all that it starts in a process group of its own, none of which is left in the end."""
    limit_s = time_limit_s(plan.seconds) if limit_s is None else limit_s
    started_s = time.monotonic()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            [str(plan.program.path), *plan.arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            status = STATUS_HUNG
        finally:
            _kill_group(process)
        out.seek(max(0, out.seek(0, os.SEEK_END) - _OUTPUT_BYTES))
        output = out.read()
    ops, peak_rss_kib = figures(output)
    if status < 0:
        status = 128 - status
    return Result(plan, status, output, time.monotonic() - started_s, ops, peak_rss_kib)


def figures(output: bytes) -> tuple[int, int]:
    """Operations and peak RSS (KiB) of the result lines of a run: the sum, and the largest."""
    ops = peak_rss_kib = 0
    for line in output.splitlines():
        if not line.startswith(b'{"row":'):
            continue
        try:
            row = json.loads(line)
        except ValueError:
            continue  # cut off by a crash
        ops += row["ops"]
        peak_rss_kib = max(peak_rss_kib, row["peak_rss_kb"])
    return ops, peak_rss_kib


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
