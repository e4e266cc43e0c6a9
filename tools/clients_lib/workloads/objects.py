"""Churn of Python objects: every line is a digest of what was made, so a wrong byte shows."""

import collections
import gc
import hashlib
import pickle
import random
import re
import threading


def digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def words(rng: random.Random, count: int) -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(letters[rng.getrandbits(8) % 26] for _ in range(1 + rng.getrandbits(4))) for _ in range(count)]


def index(rng: random.Random) -> None:
    table: dict[str, list[int]] = collections.defaultdict(list)
    for position, word in enumerate(words(rng, 120_000)):
        table[word].append(position)
    print("index", len(table), digest(sorted(table.items())))
    copy = pickle.loads(pickle.dumps(table))
    print("pickle", digest(sorted(copy.items())))


def cycles(rng: random.Random) -> None:
    for _ in range(5):
        ring = [[] for _ in range(40_000)]
        for i, node in enumerate(ring):
            node.append(ring[(i + rng.getrandbits(16)) % len(ring)])
        del ring
        gc.collect()
    print("cycles", gc.garbage)


def text(rng: random.Random) -> None:
    body = " ".join(words(rng, 100_000))
    for _ in range(4):
        body = re.sub(r"([aeiou])(\w)", lambda m: m.group(2) + m.group(1), body)
    print("text", len(body), digest(body))


def grow(seed: int, out: dict[int, str]) -> None:
    rng = random.Random(seed)
    buffers: list[bytearray] = [bytearray() for _ in range(200)]
    for _ in range(40_000):
        buffer = buffers[rng.getrandbits(16) % len(buffers)]
        if len(buffer) > 60_000:
            buffer.clear()
        buffer += bytes([rng.getrandbits(8)]) * rng.getrandbits(10)
    # One buffer after the other: the peak must not depend on how many threads are here at once.
    checksum = hashlib.sha256()
    for buffer in buffers:
        checksum.update(buffer)
    out[seed] = checksum.hexdigest()[:16]


def threads() -> None:
    results: dict[int, str] = {}
    workers = [threading.Thread(target=grow, args=(seed, results)) for seed in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print("threads", sorted(results.items()))


rng = random.Random(1)
index(rng)
cycles(rng)
text(rng)
threads()
