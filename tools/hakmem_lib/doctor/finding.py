"""A finding, its severity and its fix."""

from __future__ import annotations

import dataclasses
import enum

NOTHING = "nothing to do"  # where there is nothing to fix


class Severity(enum.Enum):
    """How bad it is. A note is nothing to worry about, and does not change the exit status."""

    PROBLEM = "problem"  # HAKMEM does not serve the program, or the program cannot run on it
    WARNING = "warning"  # it works, but not as well as it could, or not for long
    NOTE = "note"  # good to know


@dataclasses.dataclass(frozen=True)
class Finding:
    """`check` is a stable name, `what` says what was found where, and `fix` what to do about it."""

    severity: Severity
    check: str
    what: str
    fix: str

    @property
    def counts(self) -> bool:
        """True where something should be done."""
        return self.severity is not Severity.NOTE


def problem(check: str, what: str, fix: str) -> Finding:
    """HAKMEM does not serve the program, or the program cannot run on it."""
    return Finding(Severity.PROBLEM, check, what, fix)


def warning(check: str, what: str, fix: str) -> Finding:
    """It works, but not as well as it could, or not for long."""
    return Finding(Severity.WARNING, check, what, fix)


def note(check: str, what: str, fix: str) -> Finding:
    """Good to know."""
    return Finding(Severity.NOTE, check, what, fix)


def size_text(size_bytes: float) -> str:
    """1536 -> '1.5 KiB'."""
    value, unit = float(size_bytes), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if value == int(value) or value >= 100 else f"{value:.1f} {unit}"
