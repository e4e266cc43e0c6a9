"""The base class of a suite, and the registry of all of them."""

from __future__ import annotations

import hashlib
import os
import pathlib
import pwd
import subprocess
from typing import Any, ClassVar, Optional, TypeVar

from clients_lib.client import Client
from clients_lib.model import ClientError
from clients_lib.session import Session, Word

WORKLOADS = pathlib.Path(__file__).parent / "workloads"
CHECK = "check "
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

_registry: dict[str, "Suite"] = {}
_S = TypeVar("_S", bound=type["Suite"])


class Suite(Client):
    """A client whose run shows many checks, each with an outcome of its own.

    A check may fail, as long as it fails on libc's malloc too. What a step prints is not compared by itself; a step
    that ends with another status than it expects is a failed check.
    """

    # A Debian package whose version is the suite's.
    package: ClassVar[str]
    # True: a short choice of the checks. Set by the command line.
    quick: bool = False

    def again(self, session: Session, names: list[str]) -> None:
        """Runs those checks once more that failed on HAKMEM only; the whole suite where it cannot choose."""
        del names
        self.run(session)

    def version(self) -> str:
        """The package's version, without the epoch."""
        query = ["dpkg-query", "-W", "-f=${Version}", self.package]
        text = subprocess.run(query, capture_output=True, text=True, check=False).stdout
        return text.split(":")[-1] or "unknown"


def register(suite: _S) -> _S:
    """Class decorator: makes the suite known to the command."""
    assert suite.name not in _registry, f"two suites named {suite.name}"
    _registry[suite.name] = suite()
    return suite


def all_suites() -> list[Suite]:
    """Every registered suite, in the order of registration."""
    return list(_registry.values())


def check(session: Session, name: str, outcome: bool | str) -> None:
    """Records a check: passed or failed, or one of the outcomes in words."""
    text = outcome if isinstance(outcome, str) else PASSED if outcome else FAILED
    session.observe(CHECK + name, text.encode())


def check_same(session: Session, name: str, data: bytes) -> None:
    """Records a check that passes where `data` is what the run on libc showed."""
    check(session, name, f"same {hashlib.sha256(data).hexdigest()[:16]}")


def unprivileged() -> Optional[str]:
    """The user for programs that refuse root, or behave differently for it; None when we are not root."""
    return "nobody" if os.getuid() == 0 else None


def home_for(session: Session, user: Optional[str]) -> pathlib.Path:
    """A folder in the run's own, which `user` may write to."""
    home = session.work / "home"
    home.mkdir(exist_ok=True)
    if user:
        account = pwd.getpwnam(user)
        os.chown(home, account.pw_uid, account.pw_gid)
    return home


def step(session: Session, label: str, argv: list[Word], **options: Any) -> bytes:
    """Session.step(), where a hang is a failed check and the suite goes on. Returns stdout, as far as it got."""
    try:
        return session.step(label, argv, **options)
    except ClientError:
        check(session, f"{label}: ends in time", False)
        return b""
