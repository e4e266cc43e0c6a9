"""Telling crashes apart and naming them, from what a process wrote before it died."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import re
from typing import Optional, Sequence

# A frame of the first stack that lies in our code: "#3 0x55 in hak_slab_give hakmem/slab/slab.c:12:3".
_FRAME = re.compile(r"^\s+#\d+ 0x[0-9a-f]+ in (.+?) (?:\S*/)??((?:hakmem|fuzz)/\S+?):(\d+)(?::\d+)?(?: .*)?$")
_ANY_FRAME = re.compile(r"^\s+#\d+ 0x")
_CHECK = re.compile(r"^(?:\S*/)?([^/\s]+):(\d+): does not hold: (.*)$")
_OUR_WORDS = re.compile(r"^hakmem: (.*)$")
_SANITIZER = re.compile(r"ERROR: (?:Address|Memory|Thread|Leak)Sanitizer:? ([A-Za-z-]+)")
_UNDEFINED = re.compile(r"^(?:\S*/)?([^/\s]+):(\d+):\d+: runtime error: (.*)$")
_LIBFUZZER = re.compile(r"ERROR: libFuzzer: ([a-z -]+?)(?: after.*| \(.*)?$")
# They end the program on behalf of their caller.
_MESSENGERS = re.compile(r"^(?:fuzz::FailedCheck|hak_die|hak_check|hak_report_(?:misuse|error))")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+|\b\d{3,}\b")
_ENTRY = "LLVMFuzzerTestOneInput"
_FRAMES_IN_KEY = 3
# Where a program that is too slow or too large happens to be is chance; who called is not.
_SAMPLED = frozenset(["timeout", "out-of-memory"])


@dataclasses.dataclass(frozen=True)
class Signature:
    """What kind of failure, where: equal for what looks like one bug."""

    kind: str
    place: str
    key: str

    @property
    def name(self) -> str:
        """For a file: heap-buffer-overflow-hak_slab_give-1a2b3c4d."""
        digest = hashlib.sha1(self.key.encode()).hexdigest()[:8]
        return "-".join(part for part in (_slug(self.kind, 40), _slug(self.place, 40), digest) if part)

    @property
    def is_sampled(self) -> bool:
        """A time-out or too much memory: slow to try again, so not minimised."""
        return self.kind in _SAMPLED


def signature(lines: Sequence[str]) -> Signature:
    """From the last lines of the process."""
    check = _last(_CHECK, lines)
    if check:
        file, line, condition = check.groups()
        return Signature("check", f"{pathlib.PurePath(file).stem}-{line}", f"check {file} {condition}")
    undefined = _last(_UNDEFINED, lines)
    if undefined:
        file, line, what = undefined.groups()
        what = _ADDRESS.sub("N", what)
        return Signature("runtime-error", f"{pathlib.PurePath(file).stem}-{line}", f"undefined {file} {what}")
    frames = _frames(lines)
    kind = _kind(lines, frames)
    culprits = [name for name in frames if not _MESSENGERS.match(name)] or frames
    near = culprits[-_FRAMES_IN_KEY:] if kind in _SAMPLED else culprits[:_FRAMES_IN_KEY]
    place = next((name for name in near if name != _ENTRY), "")
    return Signature(kind, place, " ".join([kind, *near]))


def _kind(lines: Sequence[str], frames: Sequence[str]) -> str:
    sanitizer = _last(_SANITIZER, lines)
    if sanitizer:
        return sanitizer.group(1)
    said = _last(_OUR_WORDS, lines)
    if said and any(_MESSENGERS.match(name) for name in frames):
        return _ADDRESS.sub("", said.group(1))
    told = _last(_LIBFUZZER, lines)
    if told:
        return told.group(1).strip().replace(" ", "-")
    return "crash"


def _frames(lines: Sequence[str]) -> list[str]:
    """The functions of our code in the first stack, innermost first; argument lists and spaces dropped."""
    names = []
    in_stack = False
    for line in lines:
        if not _ANY_FRAME.match(line):
            if in_stack:
                break
            continue
        in_stack = True
        frame = _FRAME.match(line)
        if frame:
            names.append(frame.group(1).partition("(")[0] or frame.group(1))
    return names


def _last(pattern: re.Pattern[str], lines: Sequence[str]) -> Optional[re.Match[str]]:
    return next((found for found in map(pattern.search, reversed(lines)) if found), None)


def _slug(text: str, length: int) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-")[:length].strip("-")
