"""redis-server, driven by redis-benchmark and by commands of our own."""

from __future__ import annotations

import pathlib
import random
import re
import socket
import time

from clients_lib.client import Client, register
from clients_lib.model import ClientError
from clients_lib.session import Session, Word

_KEYS = 60_000
_BATCH = 500


class Connection:
    """Just enough of the protocol: commands out, replies in."""

    def __init__(self, path: pathlib.Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(str(path))
        self._replies = self._socket.makefile("rb")

    def close(self) -> None:
        """Closes the connection."""
        self._replies.close()
        self._socket.close()

    def command(self, *words: object) -> object:
        """Sends one command and returns its reply."""
        return self.pipeline([words])[0]

    def pipeline(self, commands: list[tuple[object, ...]]) -> list[object]:
        """Sends commands together and returns their replies. Raises ClientError for an error reply."""
        self._socket.sendall(b"".join(_encoded(words) for words in commands))
        return [self._reply() for _ in commands]

    def _reply(self) -> object:
        line = self._replies.readline()
        kind, rest = line[:1], line[1:].strip()
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._replies.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self._reply() for _ in range(int(rest))]
        raise ClientError(f"redis-server replied {line!r}")


def _encoded(words: tuple[object, ...]) -> bytes:
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def commands() -> list[tuple[object, ...]]:
    """A fixed mix of all value types, with growing, shrinking, expiring and deleted values."""
    rng = random.Random(11)
    made: list[tuple[object, ...]] = []
    for number in range(_KEYS):
        value = b"%x" % rng.getrandbits(64) * (1 + rng.getrandbits(rng.randrange(6)))
        made.append(("SET", f"string:{number}", value))
        made.append(("APPEND", f"string:{rng.randrange(number + 1)}", value))
        made.append(("HSET", f"hash:{number % 2000}", f"field:{number}", value))
        made.append(("ZADD", f"sorted:{number % 300}", rng.getrandbits(20), f"member:{number}"))
        made.append(("RPUSH", f"list:{number % 500}", value))
        made.append(("SADD", f"set:{number % 700}", f"{rng.getrandbits(24)}"))
        if number % 3 == 0:
            made.append(("DEL", f"string:{rng.randrange(number + 1)}"))
        if number % 50 == 0:
            made.append(("DEL", f"list:{rng.randrange(500)}"))
    return made


@register
class Redis(Client):
    """A long-lived server with a large heap, that forks to save."""

    name = "redis-server"
    summary = (
        "360,000 commands on all value types, redis-benchmark SET/GET/LPUSH/LRANGE, BGSAVE, DEBUG RELOAD; "
        "DBSIZE and DEBUG DIGEST compared. Cost is the server's and redis-benchmark's."
    )
    programs = {"redis-server": "redis-server", "redis-benchmark": "redis-tools"}
    normalised = "of redis-benchmark's output the rates and latencies"

    def run(self, session: Session) -> None:
        path = session.work / "redis.sock"
        with session.server("redis-server", command(path), lambda: answers(path)):
            connection = Connection(path)
            try:
                self._drive(session, connection, path)
            finally:
                connection.close()

    @staticmethod
    def _drive(session: Session, connection: Connection, path: pathlib.Path) -> None:
        made = commands()
        with session.timed("commands"):
            for start in range(0, len(made), _BATCH):
                connection.pipeline(made[start : start + _BATCH])
        _observe_state(session, connection, "commands")
        benchmark = ["redis-benchmark", "-s", path, "-q", "-n", "60000", "-c", "20", "-P", "4", "-d", "100"]
        session.step(
            "redis-benchmark",
            [*benchmark, "-t", "set,get,lpush,lrange_100"],
            normalise_stdout=test_names,
        )
        with session.timed("save"):
            connection.command("BGSAVE")
            _wait_saved(connection)
            connection.command("DEBUG", "RELOAD")
        _observe_state(session, connection, "after reload")
        with session.timed("flush"):
            connection.command("FLUSHALL")
        _observe_state(session, connection, "after flush")


def command(path: pathlib.Path) -> list[Word]:
    """redis-server with an empty store, on the socket `path` only."""
    server: list[Word] = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", path.parent]
    return server + ["--appendonly", "no", "--enable-debug-command", "yes", "--daemonize", "no", "--bind", "127.0.0.1"]


def test_names(output: bytes) -> bytes:
    """The names of redis-benchmark's tests that gave a result, in order."""
    return b"\n".join(re.findall(rb"(?:^|\r|\n)([A-Z][^\r\n:]*): [\d.]+ requests per second", output))


def answers(path: pathlib.Path) -> bool:
    """A server at this socket is up, and has loaded what it had saved."""
    try:
        connection = Connection(path)
    except OSError:
        return False
    try:
        return connection.command("PING") == b"PONG"
    except ClientError:
        return False  # still loading
    finally:
        connection.close()


def _wait_saved(connection: Connection) -> None:
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        info = connection.command("INFO", "persistence")
        assert isinstance(info, bytes)
        if b"rdb_bgsave_in_progress:0" in info:
            if b"rdb_last_bgsave_status:ok" not in info:
                raise ClientError("BGSAVE failed in the forked child")
            return
        time.sleep(0.01)
    raise ClientError("BGSAVE does not end")


def _observe_state(session: Session, connection: Connection, when: str) -> None:
    session.observe(f"{when}: DBSIZE", str(connection.command("DBSIZE")).encode())
    session.observe(f"{when}: DEBUG DIGEST", str(connection.command("DEBUG", "DIGEST")).encode())
