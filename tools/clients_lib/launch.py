"""One measured process.

Purpose: start a program with or without a preloaded allocator, wait for it with a limit, say what it cost.

How it is measured:
  CPU time is that of the program and of all descendants it waited for (wait4).
  Peak RSS is the largest single process among them, read by GNU time's wait4. The program is a child of
  `time`, not of this one, because Linux counts the memory of the process that called fork into the child's
  peak: below this Python every program would seem to need at least Python's memory. `time` needs 2 MiB.

LD_PRELOAD is set by `env` behind `time`, so neither `time` nor the runner is ever preloaded.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import resource
import select
import signal
import subprocess
import time
from typing import IO, Optional

from clients_lib import processes
from clients_lib.model import ClientError, Mode, Usage

TIME = "/usr/bin/time"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CORE_LIMIT_BYTES = 2 << 30
_REAP_EVERY_S = 0.5

# Ids of the `time` processes that wait() is going to reap.
_wrappers: set[int] = set()


def base_environment(home: pathlib.Path) -> dict[str, str]:
    """The environment of every client: nothing is inherited, so runs compare from machine to machine."""
    return {
        "PATH": PATH,
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": "1700000000",
    }


def as_user(user: Optional[str]) -> list[str]:
    """Words to put before a command so that it runs as `user`; none when we are not root."""
    if user is None or os.getuid() != 0:
        return []
    # By number: nobody's group is called nogroup here, nobody there.
    account = pwd.getpwnam(user)
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]


class Process:
    """A started program. Owns the `time` process around it and the file its peak RSS is written to."""

    def __init__(
        self,
        argv: list[str],
        mode: Mode,
        *,
        env: dict[str, str],
        cwd: pathlib.Path,
        stdin: Optional[IO[bytes]],
        stdout: IO[bytes],
        stderr: IO[bytes],
        rss_file: pathlib.Path,
        user: Optional[str] = None,
    ) -> None:
        self._rss_file = rss_file
        self._command = argv
        preload = [f"LD_PRELOAD={mode.preload}"] if mode.preload else []
        settings = [f"{name}={value}" for name, value in mode.env.items()]
        self._started_s = time.monotonic()
        self._time = subprocess.Popen(
            [TIME, "-q", "-f", "%M", "-o", str(rss_file), *as_user(user), "env", *settings, *preload, *argv],
            env=env,
            cwd=cwd,
            stdin=stdin if stdin is not None else subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=_allow_core,
        )
        _wrappers.add(self._time.pid)

    def target_pid(self) -> Optional[int]:
        """Id of the program itself, once it exists."""
        below = processes.descendants(self._time.pid)
        return below[0] if below else None

    def running(self) -> bool:
        """True until the program has ended. Does not reap."""
        return os.waitid(os.P_PID, self._time.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait(self, timeout_s: float) -> tuple[int, Usage]:
        """Exit status (128 + n for signal n) and cost. Raises TimeoutError and leaves a hung program alone."""
        until_s = time.monotonic() + timeout_s
        handle = os.pidfd_open(self._time.pid)
        try:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            while not poll.poll(min(_REAP_EVERY_S, timeout_s) * 1000):
                if time.monotonic() >= until_s:
                    raise TimeoutError(f"{self._command[0]} still runs after {timeout_s:.0f} s")
                # Orphans are ours: somebody may wait for them to be gone.
                processes.reap_orphans(keep=_wrappers)
        finally:
            os.close(handle)
        ended_s = time.monotonic()
        _, raw, cost = os.wait4(self._time.pid, 0)
        status = os.waitstatus_to_exitcode(raw)
        self._time.returncode = status
        _wrappers.discard(self._time.pid)
        usage = Usage(ended_s - self._started_s, cost.ru_utime + cost.ru_stime, self._peak_rss_kib())
        return status, usage

    def signal(self, number: int) -> None:
        """Sends a signal to the program itself."""
        pid = self.target_pid()
        if pid is not None:
            os.kill(pid, number)

    def stacks(self) -> bytes:
        """Stacks of the program and all below it."""
        return processes.stacks(processes.descendants(self._time.pid))

    def kill(self) -> None:
        """Kills the program and all below it. Never fails."""
        if self._time.returncode is not None:
            return
        processes.kill_descendants(self._time.pid)
        # `time` may only now be about to fork: its group (its own, by start_new_session) goes with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._time.pid, signal.SIGKILL)
        self._time.wait()
        _wrappers.discard(self._time.pid)

    def _peak_rss_kib(self) -> int:
        try:
            return int(self._rss_file.read_text().split()[-1])
        except (OSError, ValueError, IndexError) as error:
            raise ClientError(f"{TIME} left no peak RSS for {self._command[0]}: {error}") from error


def _allow_core() -> None:
    """Between fork and exec: a crash may leave a core, for the stack."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = _CORE_LIMIT_BYTES if hard == resource.RLIM_INFINITY else min(hard, _CORE_LIMIT_BYTES)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, hard))
