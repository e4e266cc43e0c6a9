"""GLib: its installed tests, C programs with many threads."""

from __future__ import annotations

import pathlib
import re

from clients_lib.session import Session
from suites_lib import suite

_FOLDER = pathlib.Path("/usr/libexec/installed-tests/glib")
_DESCRIPTIONS = pathlib.Path("/usr/share/installed-tests/glib")
_RESULT = re.compile(r"^(not )?ok\b *\d* *-? *([^#\n]*?) *(?:# *(SKIP|TODO).*)?$", re.MULTILINE | re.IGNORECASE)
_TIMEOUT_S = 300.0
# Some tests draw their names.
_SEED = "R02S00000000000000000000000000000001"

# Measure how fast GLib is, for minutes; or preload something themselves.
_LEFT_OUT = {"performance", "performance-threaded", "gsocketclient-slow", "static-link"}
QUICK = "array-test hash list mem-overflow slice-threadinit string thread thread-pool-slow timeloop tree".split()


def outcomes(tap: str) -> dict[str, str]:
    """Outcome of each test in the output of a program that speaks TAP."""
    found: dict[str, str] = {}
    for is_wrong, name, directive in _RESULT.findall(tap):
        if directive:
            found[name] = suite.SKIPPED
        else:
            found[name] = suite.FAILED if is_wrong else suite.PASSED
    return found


def plain_programs() -> list[str]:
    """Names of the tests that are a program and nothing else."""
    names = []
    for path in sorted(_DESCRIPTIONS.glob("*.test")):
        line = f"Exec={_FOLDER / path.stem}"
        if path.stem not in _LEFT_OUT and line in path.read_text(encoding="utf-8").splitlines():
            names.append(path.stem)
    return names


@suite.register
class GLib(suite.Suite):
    """GLib's slices, queues, threads and main loops are malloc's since its 2.76, and most of them before."""

    name = "glib"
    summary = "the installed tests of GLib and GIO: C programs, most of them with threads."
    programs = {str(_FOLDER / "hash"): "libglib2.0-tests"}
    package = "libglib2.0-tests"

    def run(self, session: Session) -> None:
        self._programs(session, [name for name in plain_programs() if not self.quick or name in QUICK])

    def again(self, session: Session, names: list[str]) -> None:
        self._programs(session, sorted({name.split(":")[0] for name in names}))

    @staticmethod
    def _programs(session: Session, names: list[str]) -> None:
        user = suite.unprivileged()
        home = suite.home_for(session, user)
        env = {"HOME": str(home), "TMPDIR": str(home), "XDG_RUNTIME_DIR": str(home), "G_TEST_SRCDIR": str(_FOLDER)}
        for name in names:
            argv = [_FOLDER / name, "--tap", "--seed", _SEED]
            output = suite.step(session, name, argv, user=user, cwd=home, env=env, timeout_s=_TIMEOUT_S)
            for test, outcome in outcomes(output.decode("utf-8", "replace")).items():
                suite.check(session, f"{name}: {test}", outcome)
