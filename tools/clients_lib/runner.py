"""The order of runs.

Each client's runs alternate between the modes (libc, candidate, candidate, libc, ...), so that slow drift of
the machine falls on both.
"""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile
import traceback
from typing import Optional

from clients_lib import compare, packages, preload, processes, report
from clients_lib.client import Client
from clients_lib.model import ClientError, ClientResult, Mode, RunResult
from clients_lib.session import Session, empty_folder


class Runner:
    """Runs clients one after the other. Owns a temporary folder, gone after `with`."""

    def __init__(self, candidate: Mode, repeats: int, may_install: bool, out: pathlib.Path) -> None:
        self._candidate = candidate
        self._repeats = repeats
        self._may_install = may_install
        self._out = out
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> "Runner":
        self._folder = tempfile.TemporaryDirectory(prefix="hakmem-clients-", ignore_cleanup_errors=True)
        os.chmod(self._folder.name, 0o755)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._folder is not None
        processes.kill_descendants(os.getpid())
        self._folder.cleanup()

    def run(self, client: Client) -> ClientResult:
        """All runs of a client, judged. Never raises for what a client does."""
        result, baseline, home = self.make_ready(client)
        if home is None:
            return result
        for number in range(self._repeats):
            order = [baseline, self._candidate] if number % 2 == 0 else [self._candidate, baseline]
            for mode in order:
                self._append(result, mode is baseline, self.run_once(client, mode, home))
        result.verdict, result.detail = compare.judge(result.baseline, result.candidate)
        if result.verdict == "different" and self._repeats == 1:
            # Is it the allocator, or is the program not repeatable? libc once more tells.
            self._append(result, True, self.run_once(client, baseline, home))
            result.verdict, result.detail = compare.judge(result.baseline, result.candidate)
        if not result.passed:
            report.write_evidence(self._out, result)
        return result

    def make_ready(self, client: Client) -> tuple[ClientResult, Mode, Optional[pathlib.Path]]:
        """An empty result, the baseline's mode, and the folder of all runs; none where the result is final already."""
        result = ClientResult(client.name, client.summary, client.normalised, client.informational, "skipped")
        report.clear_evidence(self._out, client.name)
        if client.note:
            result.notes.append(client.note)
        lacking = self._install(client)
        if lacking:
            result.verdict = "skipped" if not self._may_install else "failed"
            result.detail = lacking
            print(f"{client.name}: {lacking}", file=sys.stderr)
            return result, Mode("libc", None), None
        baseline = self._baseline_of(client, result)
        home = empty_folder(pathlib.Path(self._folder.name) / client.name)
        inputs = empty_folder(home / "inputs")
        try:
            client.prepare(inputs)
            client.warm()
        except Exception as error:  # pylint: disable=broad-except
            result.verdict, result.detail = "broken", f"cannot prepare: {error}"
            return result, baseline, None
        return result, baseline, home

    def _install(self, client: Client) -> str:
        """Installs what the client needs; returns what is still missing, as a sentence, or ""."""
        missing = client.missing_packages()
        if not missing:
            return ""
        if self._may_install and packages.can_install() and packages.install(missing):
            missing = client.missing_packages()
        return f"missing Debian packages: {' '.join(missing)}" if missing else ""

    @staticmethod
    def _baseline_of(client: Client, result: ClientResult) -> Mode:
        own = client.own_malloc()
        if not own:
            return Mode("libc", None)
        result.notes.append(
            f"linked with {own}: the baseline has libc.so.6 preloaded, so that glibc's malloc is found first"
        )
        return Mode("libc", preload.libc_object())

    @staticmethod
    def _append(result: ClientResult, is_baseline: bool, run: RunResult) -> None:
        (result.baseline if is_baseline else result.candidate).append(run)

    @staticmethod
    def run_once(client: Client, mode: Mode, home: pathlib.Path) -> RunResult:
        """One run of a client in the folder that make_ready() made. Never raises for what a client does."""
        session = Session(mode, empty_folder(home / "work"), home / "inputs", empty_folder(home / "logs"))
        error = None
        try:
            client.run(session)
        except ClientError as failure:
            error = str(failure)
        except Exception as failure:  # pylint: disable=broad-except
            # A driver that met a dying server: the reason is the server's, the place is worth knowing.
            where = traceback.extract_tb(failure.__traceback__)[-1]
            error = f"{type(failure).__name__}: {failure} ({pathlib.Path(where.filename).name}:{where.lineno})"
        return session.result(error)
