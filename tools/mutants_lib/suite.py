"""Runs tests by Bazel and reads which of them noticed something."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import tempfile

# bazel test: some tests failed; the tests could not be built; no target is a test.
_TESTS_FAILED, _BUILD_FAILED, _NO_TESTS = 3, 1, 4
# A fault may hang a test. No sound one takes as long.
_TEST_TIMEOUT_SECONDS = 150


class SuiteError(Exception):
    """The tests did not come to run; the text says why."""


@dataclasses.dataclass(frozen=True)
class Failure:
    test: str  # label
    how: str  # "failed" or "hung"


def failures_of(events: str) -> list[Failure]:
    """The tests that failed, from Bazel's build event file: one JSON object a line.

    A sharded test that is stopped at its first failure has no status of its own: each run of a shard says how it went.
    """
    statuses = {}
    for line in events.splitlines():
        event = json.loads(line)
        label = event.get("id", {}).get("testResult", {}).get("label")
        status = event.get("testResult", {}).get("status")
        if label and status in ("FAILED", "TIMEOUT", "FLAKY"):
            statuses.setdefault(label, status)
    return [Failure(label, "hung" if status == "TIMEOUT" else "failed") for label, status in statuses.items()]


class Suite:
    """The tests of the tree at `folder`."""

    def __init__(self, folder: pathlib.Path, bazel: list[str], flags: list[str]) -> None:
        self._folder = folder
        self._bazel = bazel
        self._flags = flags

    def run(self, targets: tuple[str, ...]) -> list[Failure]:
        """Runs the tests until one fails; those that failed."""
        with tempfile.NamedTemporaryFile("r", suffix=".json") as events:
            command = [*self._bazel, "test", *self._flags, "--noshow_progress", "--test_output=errors"]
            command += [f"--build_event_json_file={events.name}", "--nokeep_going", "--test_keep_going=false"]
            command += [f"--test_timeout={_TEST_TIMEOUT_SECONDS}", "--flaky_test_attempts=1"]
            # A test that counts instructions notices every change, harmless ones too, and so says nothing.
            command += ["--test_tag_filters=-cost", "--", *targets]
            done = subprocess.run(command, cwd=self._folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            failures = failures_of(events.read())
        output = done.stdout.decode(errors="replace")
        if failures or done.returncode in (0, _NO_TESTS):
            return failures
        raise SuiteError(f"bazel test {' '.join(targets)}: status {done.returncode}\n{output[-3000:]}")

    def shut_down(self) -> None:
        subprocess.run([*self._bazel, "shutdown"], cwd=self._folder, stderr=subprocess.DEVNULL)
