"""Servers, measured alone: what drives them runs on libc's malloc, and neither its CPU time nor its memory counts."""

from __future__ import annotations

import pathlib
import subprocess

from clients_lib.model import ClientError, Mode
from clients_lib.programs import postgres, redis
from clients_lib.session import Session, empty_folder

#: What drives a server.
DRIVER = Mode("libc", None)

_REDIS_REQUESTS = 400_000
_REDIS_RANGES = 60_000
_TRANSACTIONS_EACH = 500


class RedisTest(redis.Redis):
    """redis-server under pipelines of redis-benchmark."""

    normalised = "of redis-benchmark's output the rates and latencies"

    def __init__(self, tests: list[tuple[str, int]]) -> None:
        self._tests = tests

    def run(self, session: Session) -> None:
        path = session.work / "redis.sock"
        with session.server("redis-server", redis.command(path), lambda: redis.answers(path)):
            benchmark = ["redis-benchmark", "-s", path, "-q", "-c", "20", "-P", "16", "-d", "100", "-r", "100000"]
            for test, requests in self._tests:
                argv = [*benchmark, "-n", str(requests), "-t", test]
                session.step(test, argv, mode=DRIVER, normalise_stdout=redis.test_names)


def redis_set() -> RedisTest:
    """SET of 100 B, 100,000 keys."""
    return RedisTest([("set", _REDIS_REQUESTS)])


def redis_get() -> RedisTest:
    """GET of 100 B, after as many keys as a quarter of the requests were set."""
    return RedisTest([("set", _REDIS_REQUESTS // 4), ("get", _REDIS_REQUESTS)])


def redis_lrange() -> RedisTest:
    """LPUSH, and LRANGE of 100 elements."""
    return RedisTest([("lrange_100", _REDIS_RANGES)])


class Pgbench(postgres.Postgres):
    """pgbench on a cluster that is made once."""

    def prepare(self, inputs: pathlib.Path) -> None:
        session = Session(DRIVER, empty_folder(inputs / "making"), inputs, empty_folder(inputs / "logs"))
        try:
            postgres.make_cluster(session, inputs / "home")
            with postgres.serve(session, inputs / "home") as env:
                postgres.fill(session, env, scale=2)
        finally:
            made = session.result(None)
        if not made.healthy:
            raise ClientError(f"no cluster: {made.unexpected[0]}")

    def run(self, session: Session) -> None:
        home = session.work / "home"
        subprocess.run(["cp", "-a", session.inputs / "home", home], check=True)
        with postgres.serve(session, home) as env:
            postgres.transact(session, env, _TRANSACTIONS_EACH, DRIVER)
