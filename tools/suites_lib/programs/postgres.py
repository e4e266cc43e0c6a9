"""postgres: pgbench in several modes, JIT, dump and restore, a killed backend and a crash."""

from __future__ import annotations

import os
import pathlib
import signal
import time

from clients_lib.client import WORKLOADS as CLIENT_WORKLOADS
from clients_lib.model import ClientError
from clients_lib.programs.postgres import binaries, server_user
from clients_lib.session import Session, Word
from suites_lib import suite

_CONFIG = """
listen_addresses = ''
unix_socket_directories = '{sockets}'
fsync = off
shared_buffers = 32MB
work_mem = 16MB
maintenance_work_mem = 32MB
max_parallel_workers_per_gather = 2
min_parallel_table_scan_size = 0
parallel_setup_cost = 0
jit = on
jit_above_cost = 1000
jit_inline_above_cost = 10000
jit_optimize_above_cost = 10000
log_min_messages = fatal
"""
_SUMS = """
SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT coalesce(sum(delta), 0) FROM pgbench_history),
       (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(bbalance) FROM pgbench_branches),
       (SELECT count(*) FROM pgbench_accounts);
"""
_DIGEST = "SELECT md5(string_agg(aid || ':' || abalance, ',' ORDER BY aid)) FROM pgbench_accounts"


@suite.register
class Postgres(suite.Suite):
    """A process for each connection, memory contexts on malloc, LLVM for expressions, recovery after crashes."""

    name = "postgres"
    summary = (
        "pgbench with 8 clients (simple, prepared, select-only), parallel and JIT-compiled queries, dump and restore, "
        "a backend killed, an immediate stop with recovery; balances and pg_amcheck."
    )
    package = "postgresql-15"

    def missing_packages(self) -> list[str]:
        return [] if binaries() else ["postgresql"]

    def run(self, session: Session) -> None:
        folder = binaries()
        assert folder is not None
        user = server_user()
        home = suite.home_for(session, user)
        data = home / "data"
        argv: list[Word] = [folder / "initdb", "-D", data, "-A", "trust", "-U", "suite", "--no-sync", "-E", "UTF8", "--locale=C"]
        suite.step(session, "initdb", argv, user=user, cwd=home)
        with open(data / "postgresql.conf", "a", encoding="utf-8") as config:
            config.write(_CONFIG.format(sockets=home))
        work = _Work(session, folder, home, self.quick)
        serve = [folder / "postgres", "-D", data]
        ready = lambda: work.answers()
        with session.server("postgres", serve, ready, stop_signal=signal.SIGINT, user=user) as server:
            work.load()
            work.dump_and_restore()
            work.kill_a_backend(server.pid)
        # SIGQUIT: the processes end where they are, as in a crash.
        with session.server("postgres, to be crashed", serve, ready, stop_signal=signal.SIGQUIT, user=user):
            work.pgbench("before the crash", [])
        with session.server("postgres, recovered", serve, ready, stop_signal=signal.SIGINT, user=user):
            work.consistent("after recovery")


class _Work:
    """What is done with a running server."""

    def __init__(self, session: Session, folder: pathlib.Path, home: pathlib.Path, quick: bool) -> None:
        self._session = session
        self._folder = folder
        self._home = home
        self._transactions = 50 if quick else 2500
        self._env = {"PGHOST": str(home), "PGUSER": "suite", "PGDATABASE": "postgres", "HOME": str(home)}

    def step(self, label: str, program: str, *words: Word, **options: object) -> bytes:
        """Runs one of the packaged programs against the server."""
        return suite.step(self._session, label, [self._folder / program, *words], env=self._env, **options)

    def sql(self, label: str, statement: str) -> bytes:
        """Output of a statement, bare."""
        return self.step(label, "psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement)

    def answers(self) -> bool:
        """True when the server takes connections. Outside of what is measured, and on libc's malloc."""
        return os.system(f"{self._folder}/pg_isready -q -h {self._home}") == 0

    def pgbench(self, label: str, words: list[str]) -> None:
        """A fixed number of transactions of 8 clients."""
        fixed = ["-n", "-c", "8", "-j", "2", "-t", str(self._transactions), "--random-seed=1"]
        self.step(f"pgbench, {label}", "pgbench", *fixed, *words)

    def consistent(self, when: str) -> None:
        """The sums that every transaction keeps equal, and the indexes."""
        sums = self.sql(f"sums {when}", _SUMS).decode().strip()
        suite.check(self._session, f"balances agree {when}", sums.startswith("t|t|"))
        self.step(f"pg_amcheck {when}", "pg_amcheck", "--heapallindexed")

    def load(self) -> None:
        """Transactions in each protocol, then the queries of tools/clients, compiled."""
        self.step("pgbench -i", "pgbench", "-i", "-q", "-s", "5")
        self.sql("amcheck", "CREATE EXTENSION amcheck")
        for protocol in ("simple", "extended", "prepared"):
            self.pgbench(protocol, ["-M", protocol])
        self.pgbench("select only", ["-S"])
        self.pgbench("reconnecting", ["-C", "-t", str(self._transactions // 10)])
        self.consistent("after pgbench")
        output = self.step("queries", "psql", "-X", "-v", "ON_ERROR_STOP=1", "-f", CLIENT_WORKLOADS / "queries.sql")
        suite.check_same(self._session, "output of the queries", output)

    def dump_and_restore(self) -> None:
        """A compressed dump into another database, by two processes."""
        before = self.sql("digest", _DIGEST)
        self.step("pg_dump", "pg_dump", "-Fc", "-Z6", "-f", self._session.work / "dump")
        self.sql("create", "CREATE DATABASE copy")
        self.step("pg_restore", "pg_restore", "-j2", "-d", "copy", self._session.work / "dump")
        after = self.step("digest of the copy", "psql", "-X", "-A", "-t", "-d", "copy", "-c", _DIGEST)
        suite.check(self._session, "the copy is equal", before == after and len(before) == 33)

    def kill_a_backend(self, postmaster: int) -> None:
        """SIGKILL to a backend: the server ends all others and starts anew on the same shared memory."""
        pid = int(self.sql("background writer", "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"))
        os.kill(pid, signal.SIGKILL)
        until_s = time.monotonic() + 60
        while os.path.exists(f"/proc/{pid}") or not self.answers():
            if time.monotonic() > until_s or not os.path.exists(f"/proc/{postmaster}"):
                raise ClientError("postgres does not recover from a killed process")
            time.sleep(0.05)
        self.consistent("after a killed process")
