"""What a client sees while it runs: steps, servers, timed blocks, things to compare.

One Session is one run of one client in one mode. Its work folder has the same path in every run, so that
paths in a program's output need no normalising.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import signal
import socket
import time
from typing import Callable, Iterator, Optional, Union

from clients_lib import launch, processes
from clients_lib.model import ClientError, Mode, Observation, RunResult, Usage

Normalise = Callable[[bytes], bytes]
Word = Union[str, pathlib.Path]

# Outputs up to this size are kept as they are, larger ones as a digest: enough to show a difference.
_KEEP_BYTES = 1 << 20
_EVIDENCE_TAIL_BYTES = 64 << 10
STEP_TIMEOUT_S = 300.0
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 60.0
_OUR_LINE = re.compile(rb"^.*(?:hakmem:|ERROR: ld\.so).*$", re.MULTILINE)


def condensed(data: bytes) -> bytes:
    """`data` itself when small, else its length and digest."""
    if len(data) <= _KEEP_BYTES:
        return data
    return f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}\n".encode()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Session:
    """One run. `work` is an empty folder of the run's own; `inputs` what the client's prepare() wrote."""

    def __init__(self, mode: Mode, work: pathlib.Path, inputs: pathlib.Path, logs: pathlib.Path) -> None:
        self.mode = mode
        self.work = work
        self.inputs = inputs
        self._logs = logs
        self._step_usage: dict[str, Usage] = {}
        self._observations: list[Observation] = []
        self._unexpected: list[str] = []
        self._evidence: dict[str, bytes] = {}
        self._servers: list[Server] = []

    # Steps -------------------------------------------------------------------------------------------------

    def step(
        self,
        label: str,
        argv: list[Word],
        *,
        expect: Optional[int] = 0,
        stdin: Optional[pathlib.Path] = None,
        cwd: Optional[pathlib.Path] = None,
        env: Optional[dict[str, str]] = None,
        user: Optional[str] = None,
        mode: Optional[Mode] = None,
        timeout_s: float = STEP_TIMEOUT_S,
        stdout_to: Optional[pathlib.Path] = None,
        normalise_stdout: Optional[Normalise] = None,
        normalise_stderr: Optional[Normalise] = None,
    ) -> bytes:
        """Runs a program in this session's mode, measured; its status, stdout and stderr are to be equal.

        `expect` is the exit status that shows the work was done, None where any will do as long as both
        modes agree. `stdout_to` sends stdout to a file instead of comparing it. `mode` is for what only drives the
        program in question: it need not run in the session's mode. Returns stdout.
        Raises ClientError on a hang, after which the run is over.
        """
        out_path = stdout_to or self._logs / f"{_slug(label)}.stdout"
        err_path = self._logs / f"{_slug(label)}.stderr"
        with contextlib.ExitStack() as files:
            process = launch.Process(
                [str(word) for word in argv],
                mode or self.mode,
                env={**launch.base_environment(self.work), **(env or {})},
                cwd=cwd or self.work,
                stdin=files.enter_context(open(stdin, "rb")) if stdin else None,
                stdout=files.enter_context(open(out_path, "wb")),
                stderr=files.enter_context(open(err_path, "wb")),
                rss_file=self._logs / f"{_slug(label)}.rss",
                user=user,
            )
        status, usage = self._wait(label, process, timeout_s, err_path)
        self.charge(label, usage)
        stdout = b"" if stdout_to else out_path.read_bytes()
        stderr = err_path.read_bytes()
        self.observe(f"{label}: exit status", str(status).encode())
        if not stdout_to:
            self.observe(f"{label}: stdout", normalise_stdout(stdout) if normalise_stdout else stdout)
        self.observe(f"{label}: stderr", normalise_stderr(stderr) if normalise_stderr else stderr)
        if expect is not None and status != expect:
            self._unexpected.append(f"{label}: exit status {status}, not {expect}{_last_line(stderr)}")
        if status != (expect or 0):
            self._keep_evidence(label, stdout, stderr)
        return stdout

    def _wait(
        self, label: str, process: launch.Process, timeout_s: float, err_path: pathlib.Path
    ) -> tuple[int, Usage]:
        try:
            return process.wait(timeout_s)
        except TimeoutError as error:
            self._evidence[f"{label}.stacks"] = process.stacks()
            self._evidence[f"{label}.stderr"] = _tail(err_path.read_bytes())
            raise ClientError(f"{label}: hang: {error}") from error
        finally:
            process.kill()

    def _keep_evidence(self, label: str, stdout: bytes, stderr: bytes) -> None:
        self._evidence[f"{label}.stdout"] = _tail(stdout)
        self._evidence[f"{label}.stderr"] = _tail(stderr)

    # Other things to measure and compare ---------------------------------------------------------------------

    def observe(self, label: str, data: bytes) -> None:
        """Adds something that must be the same in both modes."""
        self._observations.append(Observation(label, condensed(data)))

    def observe_file(self, label: str, path: pathlib.Path) -> None:
        """Adds a file's bytes to what must be the same. A missing file is an observation too."""
        self.observe(label, path.read_bytes() if path.exists() else b"(no such file)")

    def charge(self, label: str, usage: Usage) -> None:
        """Adds to the run's cost."""
        self._step_usage[label] = self._step_usage.get(label, Usage()).plus(usage)

    @contextlib.contextmanager
    def timed(self, label: str) -> Iterator[None]:
        """Counts the wall time of a block in which the runner drives a server. Not to be put around step()."""
        started_s = time.monotonic()
        yield
        self.charge(label, Usage(wall_s=time.monotonic() - started_s))

    # Servers -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def server(
        self,
        label: str,
        argv: list[Word],
        ready: Callable[[], bool],
        *,
        stop_signal: int = signal.SIGTERM,
        expect: int = 0,
        env: Optional[dict[str, str]] = None,
        user: Optional[str] = None,
    ) -> Iterator["Server"]:
        """A server for the length of a block: started, waited for, stopped, and always killed in the end.

        Compared are its exit status and those lines of its log that the allocator or the loader wrote
        (usually none). CPU and peak RSS count; the wall time is that of the timed blocks and steps inside.
        """
        server = Server(self, label, [str(word) for word in argv], env=env, user=user)
        self._servers.append(server)
        try:
            server.wait_ready(ready)
            yield server
            server.stop(stop_signal, expect)
        finally:
            server.kill()

    # End -----------------------------------------------------------------------------------------------------

    def result(self, error: Optional[str]) -> RunResult:
        """Closes the run: nothing of it is left alive, and all it showed is returned."""
        for server in self._servers:
            server.kill()
        processes.kill_descendants(os.getpid())
        self._collect_cores()
        total = Usage()
        for usage in self._step_usage.values():
            total = total.plus(usage)
        return RunResult(
            self.mode.name,
            self._observations,
            total,
            self._step_usage,
            error,
            self._unexpected,
            self._evidence,
        )

    def _collect_cores(self) -> None:
        """Turns cores left by crashes into stacks. Programs whose crash is their own business are no matter:
        evidence is only shown for runs that are found to differ."""
        for number, core in enumerate(sorted(self.work.rglob("core*"))[:4]):
            if core.is_file() and _starts_with(core, b"\x7fELF"):
                self._evidence[f"core-{number}.stacks"] = processes.stack_of_core(core)
                core.unlink()


class Server:
    """A running server of a session. Made by Session.server only."""

    def __init__(
        self,
        session: Session,
        label: str,
        argv: list[str],
        *,
        env: Optional[dict[str, str]],
        user: Optional[str],
    ) -> None:
        self._session = session
        self._label = label
        self._log = session._logs / f"{_slug(label)}.log"
        with open(self._log, "wb") as log:
            self._process = launch.Process(
                argv,
                session.mode,
                env={**launch.base_environment(session.work), **(env or {})},
                cwd=session.work,
                stdin=None,
                stdout=log,
                stderr=log,
                rss_file=session._logs / f"{_slug(label)}.rss",
                user=user,
            )
        self._stopped = False

    @property
    def pid(self) -> int:
        """Id of the server's first process."""
        pid = self._process.target_pid()
        if pid is None:
            raise self._failure("has ended")
        return pid

    def wait_ready(self, ready: Callable[[], bool]) -> None:
        """Returns when `ready` does; checks that the preloaded object is really in the server."""
        until_s = time.monotonic() + _START_TIMEOUT_S
        while not ready():
            if not self._process.running():
                raise self._failure("ended before it was ready")
            if time.monotonic() > until_s:
                self._session._evidence[f"{self._label}.stacks"] = self._process.stacks()
                raise self._failure(f"was not ready after {_START_TIMEOUT_S:.0f} s")
            time.sleep(0.02)
        preload = self._session.mode.preload
        if preload is not None and not processes.maps_file(self.pid, preload.resolve()):
            raise self._failure("runs without the preloaded library")

    def stop(self, stop_signal: int, expect: int) -> None:
        """Ends the server in its own way and records its status and cost."""
        self._process.signal(stop_signal)
        try:
            status, usage = self._process.wait(_STOP_TIMEOUT_S)
        except TimeoutError as error:
            self._session._evidence[f"{self._label}.stacks"] = self._process.stacks()
            raise self._failure("does not stop") from error
        self._stopped = True
        self._session.charge(self._label, Usage(0.0, usage.cpu_s, usage.peak_rss_kib))
        log = self._log.read_bytes()
        self._session.observe(f"{self._label}: exit status", str(status).encode())
        self._session.observe(f"{self._label}: allocator's lines in the log", b"\n".join(_OUR_LINE.findall(log)))
        if status != expect:
            self._session._unexpected.append(f"{self._label}: exit status {status}, not {expect}{_last_line(log)}")
            self._session._evidence[f"{self._label}.log"] = _tail(log)

    def kill(self) -> None:
        """Makes sure that nothing of the server is left. Does nothing after stop()."""
        if not self._stopped:
            self._session._evidence.setdefault(f"{self._label}.log", _tail(self._log.read_bytes()))
            self._process.kill()
            self._stopped = True

    def _failure(self, what: str) -> ClientError:
        return ClientError(f"{self._label} {what}{_last_line(self._log.read_bytes())}")


def empty_folder(path: pathlib.Path) -> pathlib.Path:
    """Makes `path` an empty folder that other users can enter."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    path.chmod(0o755)
    return path


def _slug(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", label)


def _starts_with(path: pathlib.Path, start: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(start)) == start


def _last_line(data: bytes) -> str:
    lines = data.decode("utf-8", "replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""


def _tail(data: bytes) -> bytes:
    return data[-_EVIDENCE_TAIL_BYTES:]
