"""Where and when a run took place. Nothing here names a user, a host or a folder."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path


def describe(root: Path) -> dict[str, str]:
    """Machine, system, commit and time of this run, ready for JSON."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu_model(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": _memory(),
        "kernel": f"{platform.system()} {platform.release()}",
        "distribution": _distribution(),
        "libc": " ".join(platform.libc_ver()).strip(),
        "load": f"{os.getloadavg()[0]:.2f}",
        "commit": _commit(root),
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _field(text: str, name: str, separator: str) -> str | None:
    for line in text.splitlines():
        key, found, value = line.partition(separator)
        if found and key.strip() == name:
            return value.strip().strip('"')
    return None


def _cpu_model() -> str:
    return _field(_read("/proc/cpuinfo"), "model name", ":") or platform.machine()


def _memory() -> str:
    total = _field(_read("/proc/meminfo"), "MemTotal", ":")
    return f"{int(total.split()[0]) / 1024 / 1024:.1f} GiB" if total else "unknown"


def _distribution() -> str:
    return _field(_read("/etc/os-release"), "PRETTY_NAME", "=") or "unknown"


def _commit(root: Path) -> str:
    """The short commit id, with "+" where the tree differs from it."""
    commit = _git(root, "rev-parse", "--short=12", "HEAD")
    if not commit:
        return "unknown"
    return commit + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")


def _git(root: Path, *args: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
