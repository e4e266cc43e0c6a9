"""Snapshots: gzip files of the JSON of a map."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.maps import model


def pack(heap: model.Map) -> bytes:
    """The JSON, packed; the same bytes for the same map."""
    return gzip.compress(json.dumps(model.to_json(heap), separators=(",", ":")).encode(), 6, mtime=0)


def write(path: str, data: bytes) -> None:
    """Writes a file. CommandError: cannot be."""
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error


def read(path: str) -> model.Map:
    """A snapshot that was saved. CommandError: there is none, or it is of another version, truncated or damaged."""
    return unpack(path, start(path, -1))


def start(path: str, size: int) -> bytes:
    """The first bytes of a file, or all of them where `size` is -1. CommandError: it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error


def unpack(name: str, data: bytes) -> model.Map:
    """The map that a snapshot is of."""
    if data[:2] != b"\x1f\x8b":
        raise CommandError(f"{name} is no snapshot of hakmem map")
    try:
        document: Any = json.loads(gzip.decompress(data))
    except EOFError as error:
        raise CommandError(f"{name} is truncated") from error
    except (OSError, zlib.error, ValueError, RecursionError) as error:
        raise CommandError(f"{name} is damaged, or no snapshot of hakmem map") from error
    found = document.get("hakmem_map") if isinstance(document, dict) else None
    if found is not None and found != model.FORMAT:
        raise CommandError(f"{name} is a snapshot of format {found}: this command reads format {model.FORMAT}")
    try:
        heap = model.from_json(document)
    except model.Damaged as error:
        raise CommandError(f"{name} is no snapshot of hakmem map: {error}") from error
    return heap
