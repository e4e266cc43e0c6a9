"""Debian packages: what is missing, and its installation when we are root."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Iterator

# What the runner itself needs: setpriv and env are essential packages of Debian.
RUNNER_PROGRAMS = {"/usr/bin/time": "time"}
_POLICY = pathlib.Path("/usr/sbin/policy-rc.d")


def missing_for_runner() -> list[str]:
    """Packages without which nothing can be measured."""
    return [package for program, package in RUNNER_PROGRAMS.items() if not os.path.exists(program)]


def still_missing_for_runner(may_install: bool) -> list[str]:
    """What the runner needs and cannot have; what is missing is installed first, where that is allowed and possible."""
    missing = missing_for_runner()
    return [] if missing and may_install and can_install() and install(missing) else missing


def can_install() -> bool:
    """True when apt may be asked."""
    return os.getuid() == 0 and shutil.which("apt-get") is not None


def install(packages: list[str], command: str = "clients") -> bool:
    """Installs just these packages, without what they recommend. True when all are there in the end."""
    wanted = sorted(set(packages))
    print(f"{command}: installing {' '.join(wanted)}", file=sys.stderr, flush=True)
    with _no_services_started():
        return _apt("install", *wanted) or (_apt("update") and _apt("install", *wanted))


def _apt(verb: str, *packages: str) -> bool:
    command = ["apt-get", "-q", "-y"] + (["--no-install-recommends"] if packages else []) + [verb, *packages]
    done = subprocess.run(
        command,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        sys.stderr.write(done.stdout.decode("utf-8", "replace")[-2000:])
    return done.returncode == 0


@contextlib.contextmanager
def _no_services_started() -> Iterator[None]:
    """Debian starts servers as it installs them; a policy that says no (101) keeps the machine as it was."""
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _POLICY.unlink(missing_ok=True)
