"""memcached: four threads, many connections."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import pathlib
import random
import signal
import socket

from clients_lib.client import Client, register
from clients_lib.session import Session

_CONNECTIONS = 8
_KEYS_EACH = 10_000
_ROUNDS = 6
_BATCH = 50
# What of `stats` is determined by the commands.
_STATS = (b"curr_items", b"total_items", b"cmd_set", b"get_hits", b"get_misses", b"delete_hits", b"evictions", b"bytes")


@register
class Memcached(Client):
    """Items live in memcached's own slabs; malloc serves connections, buffers and large allocations."""

    name = "memcached"
    summary = "Sets, gets, appends and deletes on 8 connections to 4 threads; every value read back."
    programs = {"memcached": "memcached"}
    normalised = "of `stats` only the counters that the commands determine are compared"

    def run(self, session: Session) -> None:
        path = session.work / "memcached.sock"
        argv = ["memcached", "-s", path, "-a", "0700", "-t", "4", "-m", "256", "-M", "-I", "2m"]
        if os.getuid() == 0:
            argv += ["-u", "root"]
        with session.server("memcached", argv, lambda: _answers(path), stop_signal=signal.SIGINT):
            with session.timed("commands"):
                with concurrent.futures.ThreadPoolExecutor(_CONNECTIONS) as pool:
                    shares = [pool.submit(drive, path, number) for number in range(_CONNECTIONS)]
                    session.observe("values read", "\n".join(share.result() for share in shares).encode())
            session.observe("stats", _stats(path))


def drive(path: pathlib.Path, number: int) -> str:
    """The work of one connection, on keys of its own; returns a digest of all replies."""
    rng = random.Random(number)
    digest = hashlib.sha256()
    with _connect(path) as connection, connection.makefile("rb") as replies:
        for _ in range(_ROUNDS):
            for start in range(0, _KEYS_EACH, _BATCH):
                keys = [f"{number}:{key}" for key in range(start, start + _BATCH)]
                sets = b"".join(_set(rng, key) for key in keys)
                connection.sendall(sets + f"delete {keys[0]}\r\nappend {keys[1]} 0 0 4\r\nmore\r\n".encode())
                for _ in range(_BATCH + 2):
                    digest.update(replies.readline())
                connection.sendall(f"get {' '.join(keys)}\r\n".encode())
                while (line := replies.readline()) not in (b"END\r\n", b""):
                    digest.update(line + replies.read(int(line.split()[3]) + 2))
    return digest.hexdigest()


def _set(rng: random.Random, key: str) -> bytes:
    size = rng.getrandbits(rng.randrange(1, 13))
    return f"set {key} 0 0 {size}\r\n".encode() + bytes([97 + rng.getrandbits(4)]) * size + b"\r\n"


def _stats(path: pathlib.Path) -> bytes:
    with _connect(path) as connection, connection.makefile("rb") as replies:
        connection.sendall(b"stats\r\n")
        lines = []
        while (line := replies.readline()) not in (b"END\r\n", b""):
            if line.split()[1] in _STATS:
                lines.append(line)
        return b"".join(sorted(lines))


def _connect(path: pathlib.Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    connection.connect(str(path))
    return connection


def _answers(path: pathlib.Path) -> bool:
    try:
        _connect(path).close()
        return True
    except OSError:
        return False
