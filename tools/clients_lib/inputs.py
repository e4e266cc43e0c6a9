"""Deterministic inputs that several clients share."""

from __future__ import annotations

import pathlib
import random


def text(seed: int, size_bytes: int) -> bytes:
    """English-like text, compressible about as much as a source file."""
    rng = random.Random(seed)
    letters = b"etaoinshrdlucmfwypvbgkjqxz"
    vocabulary = [
        bytes(letters[min(rng.getrandbits(5), 25)] for _ in range(2 + rng.getrandbits(3))) for _ in range(8000)
    ]
    out = bytearray()
    while len(out) < size_bytes:
        # The smaller of two draws: common words are common.
        out += vocabulary[min(rng.randrange(8000), rng.randrange(8000))]
        out += b"\n" if rng.getrandbits(4) == 0 else b" "
    return bytes(out[:size_bytes])


def tree(folder: pathlib.Path, files: int, bytes_each: int) -> None:
    """A folder of text files with fixed contents, in subfolders of 50."""
    body = text(1, 1 << 20)
    rng = random.Random(2)
    for number in range(files):
        path = folder / f"part{number // 50:03}" / f"file-{number:05}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        start = rng.randrange(len(body) - bytes_each)
        path.write_bytes(b"%d\n" % number + body[start : start + bytes_each])
