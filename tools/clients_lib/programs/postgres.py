"""postgres: initdb, pgbench, and queries that sort and hash."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import re
import signal
from typing import Iterator, Optional

from clients_lib.client import WORKLOADS, Client, register
from clients_lib.model import ClientError, Mode
from clients_lib.session import Session, Word

_PACKAGED = pathlib.Path("/usr/lib/postgresql")
_CONFIG = """
listen_addresses = ''
fsync = off
shared_buffers = 16MB
work_mem = 32MB
max_parallel_workers_per_gather = 2
min_parallel_table_scan_size = 0
parallel_setup_cost = 0
jit = off
autovacuum = off
log_min_messages = fatal
"""


def binaries() -> Optional[pathlib.Path]:
    """Folder of the newest server on this machine; Debian keeps it out of PATH."""
    found = [path.parent for path in _PACKAGED.glob("*/bin/postgres")]
    return max(found, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0), default=None)


def server_user() -> Optional[str]:
    """postgres refuses to run as root: its own user, or nobody; None when we are not root."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@register
class Postgres(Client):
    """A process for each connection; memory contexts on malloc; parallel workers."""

    name = "postgres"
    summary = "initdb, pgbench -i -s 5, 4 x 1,500 pgbench transactions with a fixed seed, sorting and hashing queries."
    normalised = (
        "pgbench's rates and times, initdb's wording; its psql output is compared whole "
        "(final balances are sums, so the order of transactions is no matter)"
    )
    note = "peak RSS counts the shared buffers (16 MB) once for the process that touched most of them"

    def missing_packages(self) -> list[str]:
        return [] if binaries() else ["postgresql"]

    def run(self, session: Session) -> None:
        home = session.work / "home"
        make_cluster(session, home)
        with serve(session, home) as env:
            fill(session, env, scale=5)
            transact(session, env, each=1500)
            queries = ["-X", "-v", "ON_ERROR_STOP=1", "-f", WORKLOADS / "queries.sql"]
            session.step("queries", [_binaries() / "psql", *queries], env=env)


def make_cluster(session: Session, home: pathlib.Path) -> None:
    """A fresh cluster in the new folder `home`."""
    user = server_user()
    home.mkdir()
    if user:
        account = pwd.getpwnam(user)
        os.chown(home, account.pw_uid, account.pw_gid)
    command = [_binaries() / "initdb", "-D", home / "data", "-A", "trust", "-U", "client", "--no-sync"]
    command += ["-E", "UTF8", "--locale=C"]
    session.step("initdb", command, user=user, cwd=home, normalise_stdout=lambda _: b"")
    with open(home / "data/postgresql.conf", "a", encoding="utf-8") as config:
        config.write(_CONFIG)


@contextlib.contextmanager
def serve(session: Session, home: pathlib.Path) -> Iterator[dict[str, str]]:
    """A server of the cluster in `home`, as "postgres" for the length of a block; gives its clients' environment."""
    data, socket = home / "data", home / ".s.PGSQL.5432"
    argv: list[Word] = [_binaries() / "postgres", "-D", data, "-k", home]
    user = server_user()
    with session.server("postgres", argv, lambda: _ready(data, socket), stop_signal=signal.SIGINT, user=user):
        yield {"PGHOST": str(home), "PGUSER": "client", "PGDATABASE": "postgres"}


def fill(session: Session, env: dict[str, str], scale: int) -> None:
    """pgbench's tables, of `scale` times 100,000 accounts."""
    command = [_binaries() / "pgbench", "-i", "-q", "-s", str(scale)]
    session.step("pgbench -i", command, env=env, normalise_stderr=lambda _: b"")


def transact(session: Session, env: dict[str, str], each: int, mode: Optional[Mode] = None) -> None:
    """pgbench: four connections with `each` transactions each; `mode` is pgbench's own."""
    command = [_binaries() / "pgbench", "-n", "-c", "4", "-j", "2", "-t", str(each), "--random-seed=1"]
    session.step("pgbench", command, env=env, normalise_stdout=counted, mode=mode)


def _binaries() -> pathlib.Path:
    folder = binaries()
    if folder is None:
        raise ClientError("postgres is not installed")
    return folder


def counted(output: bytes) -> bytes:
    """pgbench's lines on how much was done, without those on how fast."""
    return b"\n".join(line for line in output.splitlines() if b"number of transactions" in line)


def _ready(data: pathlib.Path, connection: pathlib.Path) -> bool:
    try:
        return connection.exists() and "ready" in (data / "postmaster.pid").read_text()
    except OSError:
        return False
