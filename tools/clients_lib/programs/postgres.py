"""postgres: initdb, pgbench, and queries that sort and hash."""

from __future__ import annotations

import os
import pathlib
import pwd
import re
import signal
from typing import Optional

from clients_lib.client import WORKLOADS, Client, register
from clients_lib.session import Session, Word

_PACKAGED = pathlib.Path("/usr/lib/postgresql")
_CONFIG = """
listen_addresses = ''
unix_socket_directories = '{sockets}'
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
        folder = binaries()
        assert folder is not None
        user = server_user()
        home = session.work / "home"
        home.mkdir()
        if user:
            account = pwd.getpwnam(user)
            os.chown(home, account.pw_uid, account.pw_gid)
        data = home / "data"
        session.step(
            "initdb",
            [folder / "initdb", "-D", data, "-A", "trust", "-U", "client", "--no-sync", "-E", "UTF8", "--locale=C"],
            user=user,
            cwd=home,
            normalise_stdout=lambda _: b"",
        )
        with open(data / "postgresql.conf", "a", encoding="utf-8") as config:
            config.write(_CONFIG.format(sockets=home))
        argv: list[Word] = [folder / "postgres", "-D", data]
        ready = home / ".s.PGSQL.5432"
        with session.server("postgres", argv, lambda: _ready(data, ready), stop_signal=signal.SIGINT, user=user):
            self._drive(session, folder, home)

    @staticmethod
    def _drive(session: Session, folder: pathlib.Path, home: pathlib.Path) -> None:
        env = {"PGHOST": str(home), "PGUSER": "client", "PGDATABASE": "postgres"}
        session.step(
            "pgbench -i", [folder / "pgbench", "-i", "-q", "-s", "5"], env=env, normalise_stderr=lambda _: b""
        )
        session.step(
            "pgbench",
            [folder / "pgbench", "-n", "-c", "4", "-j", "2", "-t", "1500", "--random-seed=1"],
            env=env,
            normalise_stdout=counted,
        )
        session.step(
            "queries",
            [folder / "psql", "-X", "-v", "ON_ERROR_STOP=1", "-f", WORKLOADS / "queries.sql"],
            env=env,
        )


def counted(output: bytes) -> bytes:
    """pgbench's lines on how much was done, without those on how fast."""
    return b"\n".join(line for line in output.splitlines() if b"number of transactions" in line)


def _ready(data: pathlib.Path, connection: pathlib.Path) -> bool:
    try:
        return connection.exists() and "ready" in (data / "postmaster.pid").read_text()
    except OSError:
        return False
