"""redis-server under load, saving by fork all the while, and started again from what it saved."""

from __future__ import annotations

import pathlib
import threading
import time

from clients_lib.model import ClientError
from clients_lib.programs.redis import Connection, answers, commands
from clients_lib.session import Session, Word
from suites_lib import suite

_BATCH = 500
_SAVE_TIMEOUT_S = 120
_PAUSE_S = 0.2
_BENCHMARK_TIMEOUT_S = 900.0
# All but the long LRANGE: those send gigabytes.
_TESTS = "set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,mset"


class Saver(threading.Thread):
    """Saves the dump and rewrites the log in turn, each by a forked child, until told to stop."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self._path = path
        self._stopped = threading.Event()
        self.failures: list[str] = []
        self.saves = 0

    def run(self) -> None:
        connection = Connection(self._path)
        try:
            while not self._stopped.is_set():
                _fork(connection, "BGSAVE", b"rdb_bgsave_in_progress", b"rdb_last_bgsave_status")
                _fork(connection, "BGREWRITEAOF", b"aof_rewrite_in_progress", b"aof_last_bgrewrite_status")
                self.saves += 1
                self._stopped.wait(_PAUSE_S)
        except (ClientError, OSError) as error:
            self.failures.append(str(error))
        finally:
            connection.close()

    def stop(self) -> None:
        """Returns when the save that is under way has ended."""
        self._stopped.set()
        self.join()


@suite.register
class Redis(suite.Suite):
    """A long-lived heap with several threads, copied by fork while it changes."""

    name = "redis"
    summary = (
        "360,000 commands of all types, redis-benchmark with 50 clients while BGSAVE and BGREWRITEAOF run in turn, "
        "eviction, lazy freeing; DEBUG DIGEST after reload and after restart from the dump and from the log."
    )
    programs = {"redis-server": "redis-server", "redis-benchmark": "redis-tools"}
    package = "redis-server"
    note = "Debian links it with jemalloc: preloading replaces its malloc, not the mallctl it also calls"

    def run(self, session: Session) -> None:
        path = session.work / "redis.sock"
        digest = self._serve_load(session, path)
        (log,) = (session.work / "appendonlydir").glob("*.manifest")
        suite.step(session, "redis-check-aof", ["redis-check-aof", log])
        suite.step(session, "redis-check-rdb", ["redis-check-rdb", session.work / "dump.rdb"])
        for source, is_log in (("log", "yes"), ("dump", "no")):
            with _server(session, f"restart from the {source}", path, ["--appendonly", is_log]) as connection:
                suite.check(session, f"digest after restart from the {source}", _digest(connection) == digest)

    def _serve_load(self, session: Session, path: pathlib.Path) -> object:
        with _server(session, "server", path, ["--appendonly", "yes"]) as connection:
            made = commands()[: 40_000 if self.quick else None]
            with session.timed("commands"):
                for start in range(0, len(made), _BATCH):
                    connection.pipeline(made[start : start + _BATCH])
            suite.check_same(session, "digest after the commands", repr(_digest(connection)).encode())
            self._benchmark(session, path)
            _evict(session, connection)
            digest = _digest(connection)
            with session.timed("reloads"):
                connection.command("DEBUG", "RELOAD")
                suite.check(session, "digest after DEBUG RELOAD", _digest(connection) == digest)
                connection.command("DEBUG", "LOADAOF")
                suite.check(session, "digest after DEBUG LOADAOF", _digest(connection) == digest)
            return digest

    def _benchmark(self, session: Session, path: pathlib.Path) -> None:
        saver = Saver(path)
        saver.start()
        count = "5000" if self.quick else "50000"
        argv: list[Word] = ["redis-benchmark", "-s", path, "-q", "-n", count, "-c", "50", "-P", "16"]
        for size, more in (("20", ",lrange_100"), ("3000", "")):
            words = ["-d", size, "-r", "20000", "-t", _TESTS + more]
            suite.step(session, f"redis-benchmark -d {size}", [*argv, *words], timeout_s=_BENCHMARK_TIMEOUT_S)
        saver.stop()
        suite.check(session, f"saves under load {'; '.join(saver.failures)}".strip(), not saver.failures)
        suite.check(session, "saved under load at least once", saver.saves > 0)


def _evict(session: Session, connection: Connection) -> None:
    """A limit below what is used: keys are evicted, big ones freed by another thread."""
    used = _info(connection, "memory", b"used_memory")
    connection.command("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    connection.command("CONFIG", "SET", "maxmemory", int(used) * 3 // 4)
    connection.command("SET", "after", "eviction")
    evicted = int(_info(connection, "stats", b"evicted_keys"))
    suite.check(session, "keys were evicted", evicted > 0)
    connection.command("CONFIG", "SET", "maxmemory", 0)
    made = [("RPUSH", "big", *(b"x" * 100 for _ in range(1000))) for _ in range(100)]
    connection.pipeline([*made, ("UNLINK", "big")])


def _server(session: Session, label: str, path: pathlib.Path, more: list[Word]):
    return _Serving(session, label, path, more)


class _Serving:
    """A server and a connection to it, for the length of a block."""

    def __init__(self, session: Session, label: str, path: pathlib.Path, more: list[Word]) -> None:
        path.unlink(missing_ok=True)
        argv: list[Word] = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", session.work]
        argv += ["--enable-debug-command", "yes", "--daemonize", "no", "--io-threads", "2", "--appendfsync", "no"]
        argv += ["--auto-aof-rewrite-percentage", "0", *more]  # rewritten when the saver says so, and only then
        self._server = session.server(label, argv, lambda: answers(path))
        self._path = path

    def __enter__(self) -> Connection:
        self._server.__enter__()
        self._connection = Connection(self._path)
        return self._connection

    def __exit__(self, *error: object) -> None:
        self._connection.close()
        self._server.__exit__(*error)


def _digest(connection: Connection) -> object:
    return connection.command("DEBUG", "DIGEST")


def _info(connection: Connection, section: str, field: bytes) -> bytes:
    info = connection.command("INFO", section)
    assert isinstance(info, bytes)
    return next(line.split(b":", 1)[1] for line in info.splitlines() if line.startswith(field + b":"))


def _fork(connection: Connection, command: str, running: bytes, status: bytes) -> None:
    connection.command(command)
    until_s = time.monotonic() + _SAVE_TIMEOUT_S
    while _info(connection, "persistence", running) != b"0":
        if time.monotonic() > until_s:
            raise ClientError(f"{command} does not end")
        time.sleep(0.02)
    if _info(connection, "persistence", status) != b"ok":
        raise ClientError(f"{command} failed in the forked child")
