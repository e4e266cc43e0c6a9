"""Running libFuzzer: one process a call, its lines read as they come, its CPU time counted."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
import subprocess
import threading
import time
from typing import Mapping, Optional, Sequence

from fuzz_lib.libfuzzer import INTERRUPTED, Log

# After these, what is stronger than a request.
_PATIENCE_S = 3.0
_GRACE_S = 20.0


_OUR_SIGNALS = frozenset([signal.SIGINT, signal.SIGKILL, signal.SIGUSR1])


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended."""

    status: int  # minus the signal, for one that died of a signal
    cpu_s: float
    wall_s: float
    was_stopped: bool  # by us
    was_late: bool = False  # and so killed by us

    @property
    def is_failure(self) -> bool:
        """True when the target failed, and not when the time was up or somebody interrupted it."""
        stopped = (self.was_stopped or self.was_late) and -self.status in _OUR_SIGNALS
        return self.status not in (0, INTERRUPTED) and not stopped


class Processes:
    """Starts processes from several threads; stop() ends them all and every later one."""

    def __init__(self, root: pathlib.Path, environment: Mapping[str, str]) -> None:
        self._root = root
        self._environment = {**os.environ, **environment}
        self._mutex = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = threading.Event()

    @property
    def is_stopped(self) -> bool:
        """True after stop()."""
        return self._stopped.is_set()

    def wait_for_stop(self, seconds: float) -> bool:
        """Waits that long at most; True when stopped."""
        return self._stopped.wait(seconds)

    def run(self, command: Sequence[str], log: Optional[Log] = None, limit_s: Optional[float] = None) -> Ended:
        """Runs `command` to its end, and kills it when it takes longer than `limit_s`."""
        log = log if log is not None else Log()
        begin = time.monotonic()
        # In a session of its own: a Ctrl-C is for us, and we pass on what libFuzzer needs to end well.
        process = subprocess.Popen(  # pylint: disable=consider-using-with
            list(command), cwd=self._root, env=self._environment, start_new_session=True, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        with self._mutex:
            self._running.add(process)
        if self.is_stopped:
            _signal_group(process, signal.SIGINT)
        late = threading.Event()

        def kill() -> None:
            late.set()
            _signal_group(process, signal.SIGKILL)

        killer = threading.Timer(limit_s, kill) if limit_s else None
        if killer:
            killer.daemon = True
            killer.start()
        assert process.stdout is not None
        for line in process.stdout:
            log.add(line.rstrip("\n"))
        _, status, usage = os.wait4(process.pid, 0)
        process.stdout.close()
        if killer:
            killer.cancel()
        with self._mutex:
            self._running.discard(process)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu_s = usage.ru_utime + usage.ru_stime
        return Ended(process.returncode, cpu_s, time.monotonic() - begin, self.is_stopped, late.is_set())

    def stop(self) -> None:
        """Asks every process to end, and kills those that do not."""
        self._stopped.set()
        # libFuzzer then ends between two inputs. At a SIGINT it ends at once, and where the target has stderr in its hands
        # its last figures are lost.
        self._signal_all(signal.SIGUSR1)
        for delay_s, number in ((_PATIENCE_S, signal.SIGINT), (_GRACE_S, signal.SIGKILL)):
            timer = threading.Timer(delay_s, self._signal_all, (number,))
            timer.daemon = True
            timer.start()

    def _signal_all(self, number: int) -> None:
        with self._mutex:
            for process in self._running:
                _signal_group(process, number)


def _signal_group(process: "subprocess.Popen[str]", number: int) -> None:
    """To the process and its children: while it minimises, libFuzzer runs itself."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass
