"""What a command is to write, looked at before it begins: nothing that took time is lost for want of a place."""

from __future__ import annotations

import errno
import os

from tools.hakmem_lib.errors import CommandError


def check_file(path: str | os.PathLike[str]) -> None:
    """CommandError: no such file can be written."""
    path = os.fspath(path)
    folder = os.path.dirname(path) or "."
    code = 0
    if os.path.isdir(path):
        code = errno.EISDIR
    elif not os.path.isdir(folder):
        code = errno.ENOTDIR if os.path.exists(folder) else _missing(folder)
    elif not os.access(path if os.path.exists(path) else folder, os.W_OK):
        code = errno.EACCES
    if code:
        raise CommandError(f"cannot write {path}: {os.strerror(code)}")


def make_folder(path: str | os.PathLike[str]) -> None:
    """A folder to write to, with those above it. CommandError: cannot be."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        code = errno.ENOTDIR if error.errno == errno.EEXIST else error.errno
        raise CommandError(f"cannot write to {os.fspath(path)}: {os.strerror(code)}") from error
    if not os.access(path, os.W_OK):
        raise CommandError(f"cannot write to {os.fspath(path)}: {os.strerror(errno.EACCES)}")


def _missing(folder: str) -> int:
    """Why there is no such folder."""
    try:
        os.stat(folder)
    except OSError as error:
        return error.errno or errno.ENOENT
    return errno.ENOENT
