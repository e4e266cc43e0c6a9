"""The crimes, what HAKMEM does about each, and the table of docs/misuse.md.

From the root of the repository, after `bazel build //hakmem/testing/misuse/... //hakmem:malloc_preload`:

    python3 -m hakmem.testing.misuse.crimes bazel-bin [LIBRARY]

prints name and verdict of each crime with LIBRARY preloaded, or on libc's malloc.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys

from hakmem.testing.harness import process

FOLDER = pathlib.Path("hakmem/testing/misuse")

NO_HARM = "no harm"
DOUBLE = "double free of {ptr} (size class %d)"
FOREIGN = "foreign pointer {ptr} (not a live block of this allocator)"
INTERIOR = "interior pointer {ptr} (size class %d)"
WRONG_SIZE = "wrong size given to the free of {ptr} (size class %d)"

_SHORT = ("double free", "foreign pointer", "interior pointer", "wrong size")


@dataclasses.dataclass(frozen=True)
class Crime:
    """A program of this folder, the text of its report (after "hakmem: "), and the verdicts on it."""

    name: str
    report: str
    release: str
    uncached: str  # with HAKMEM_THREAD_CACHE_BYTES=0
    paranoid: str


def _everywhere(name: str, verdict_text: str, report: str = "") -> Crime:
    return Crime(name, report, verdict_text, verdict_text, verdict_text)


def _at_once(name: str, report: str) -> Crime:
    return _everywhere(name, f"abort: {_short(report)}", report)


def _late(name: str, report: str, harm: str, uncached: str = "abort", paranoid: str = "abort") -> Crime:
    short = _short(report)
    return Crime(name, report, f"{harm}later abort: {short}", f"{uncached}: {short}", f"{paranoid}: {short}")


def _short(report: str) -> str:
    """Begins like the report: enough for the table."""
    return next((text for text in _SHORT if text in report), report)


TWICE = "handed out twice, "

CRIMES = (
    _at_once("double_free_small", DOUBLE % 64),
    _at_once("double_free_mid", DOUBLE % 20480),
    _at_once("double_free_unit", DOUBLE % 131072),
    _at_once("double_free_span", FOREIGN),
    _at_once("double_free_whale", FOREIGN),
    _at_once("double_free_aligned", DOUBLE % 4096),
    _at_once("double_free_realloc_zero", DOUBLE % 64),
    _at_once("double_free_in_child", DOUBLE % 64),
    _late("double_free_delayed_small", DOUBLE % 64, TWICE),
    _late("double_free_delayed_unit", DOUBLE % 131072, TWICE),
    _at_once("double_free_delayed_span", FOREIGN),
    _at_once("double_free_delayed_whale", FOREIGN),
    _late("double_free_long_delayed", DOUBLE % 64, TWICE),
    _late("double_free_refilled", DOUBLE % 64, TWICE),
    _at_once("double_free_before_others", DOUBLE % 64),
    _at_once("double_free_reused", DOUBLE % 64),
    _at_once("double_free_released", FOREIGN),
    _at_once("double_free_one_other", DOUBLE % 64),
    _at_once("double_free_two_threads", DOUBLE % 64),
    _late("double_free_owner_then_other", DOUBLE % 64, TWICE, "later abort", TWICE + "later abort"),
    _late("double_free_other_then_owner", DOUBLE % 64, TWICE, "later abort"),
    _at_once("double_free_of_ended_thread", DOUBLE % 64),
    _at_once("double_free_delayed_of_ended_thread", DOUBLE % 64),
    _late("interior_small", INTERIOR % 64, TWICE),
    _late("unaligned", INTERIOR % 64, TWICE),
    _late("interior_aligned", INTERIOR % 5120, TWICE),
    _at_once("interior_other_thread", INTERIOR % 64),
    _at_once("interior_span", INTERIOR % 327680),
    _at_once("interior_whale_near", INTERIOR % 4063232),
    _at_once("interior_whale", INTERIOR % 4063232),
    _at_once("interior_whale_far", "interior pointer {ptr}"),
    _at_once("free_stack", FOREIGN),
    _at_once("free_static", FOREIGN),
    _at_once("free_wild", FOREIGN),
    _at_once("free_noncanonical", FOREIGN),
    _at_once("free_small_number", FOREIGN),
    _at_once("free_mapping", FOREIGN),
    _at_once("free_code", FOREIGN),
    _at_once("free_block_of_other_libc", FOREIGN),
    _at_once("free_sized_too_big", WRONG_SIZE % 64),
    _everywhere("free_sized_too_small", NO_HARM),
    _everywhere("mismatched_delete", NO_HARM),
    _everywhere("mismatched_delete_array", NO_HARM),
    _everywhere("sized_delete_too_big", NO_HARM),
    _everywhere("sized_delete_too_small", NO_HARM),
    _at_once("realloc_freed_small", DOUBLE % 64),
    _at_once("realloc_freed_whale", FOREIGN),
    _at_once("realloc_freed_interior", INTERIOR % 64),
    _at_once("realloc_stack", FOREIGN),
    _at_once("realloc_interior", INTERIOR % 64),
    _at_once("usable_size_stack", FOREIGN),
    _everywhere("usable_size_freed", NO_HARM),
    _at_once("usable_size_freed_whale", FOREIGN),
    _everywhere("write_after_free", NO_HARM),
    _everywhere("write_after_free_huge", "SIGSEGV"),
    _everywhere("overflow", NO_HARM),
    _everywhere("overflow_zero", NO_HARM),
    _everywhere("underflow", NO_HARM),
    _everywhere("overflow_whale", "SIGSEGV"),
    _everywhere("underflow_whale", "SIGSEGV"),
)


def verdict(outcome: process.Outcome) -> str:
    """What became of a crime, in the words of the table."""
    lines = outcome.stdout.splitlines()
    if "not offered" in lines:
        return "not offered"
    harm = TWICE if "aliased" in lines else ""
    if outcome.status == 0:
        return NO_HARM if "disjoint" in lines and "ended" in lines else f"{harm}unnoticed"
    when = "later " if "went on" in lines else ""
    if outcome.signal_name != "SIGABRT":
        return f"{harm}{when}{outcome.signal_name or f'exit status {outcome.status}'}"
    reason = (outcome.stderr.splitlines() or ["no message"])[0]
    return f"{harm}{when}abort: {_short(reason) if reason.startswith('hakmem:') else reason}"


AT_ONCE, LATER, CRASH, SILENT, HARMLESS = KINDS = (
    "detected at once",
    "detected later",
    "crash",
    "silent corruption",
    "no harm",
)


def kind(verdict_text: str) -> str:
    """Which of KINDS a verdict is; nothing for a function that the allocator does not offer."""
    if verdict_text == "not offered":
        return ""
    if verdict_text.startswith("abort"):
        return AT_ONCE
    if "later abort" in verdict_text:
        return LATER
    if "SIG" in verdict_text:
        return CRASH
    return HARMLESS if verdict_text == NO_HARM else SILENT


def summary() -> list[str]:
    """The lines of the page's first table: the crimes by what becomes of them in each build."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for crime in CRIMES:
        verdicts = (crime.release, crime.uncached, crime.paranoid)
        groups.setdefault(tuple(kind(text) for text in verdicts), []).append(f"`{crime.name}`")
    lines = ["| default | without caches | paranoid build | crimes |", "|---|---|---|---|"]
    for kinds, names in sorted(groups.items(), key=lambda item: [KINDS.index(one) for one in item[0]]):
        lines.append("| " + " | ".join(kinds) + f" | {len(names)}: {', '.join(names)} |")
    return lines


def main() -> None:
    root = pathlib.Path(sys.argv[1])
    for crime in CRIMES:
        outcome = process.run(root / FOLDER / crime.name, preload=sys.argv[2:3])
        print(f"| `{crime.name}` | {verdict(outcome)} |")


if __name__ == "__main__":
    main()
