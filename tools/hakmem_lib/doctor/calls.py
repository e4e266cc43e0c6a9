"""Constant arguments of calls, read from machine code: how a program calls dlopen.

A heuristic: the constant that was last put into the register of the second argument before the call. A compiler that
computes it, or moves it far away, is not followed; then nothing is said.
"""

from __future__ import annotations

import struct
from typing import Iterable, Iterator, Sequence

# How far before a call its argument is looked for.
_LOOK_BACK_X86_BYTES = 64
_LOOK_BACK_ARM_INSTRUCTIONS = 16

Section = tuple[int, bytes]  # address, contents


def second_arguments(machine: str, code: Sequence[Section], slots: Iterable[int]) -> Iterator[int]:
    """The constants that are passed as second argument to the function whose address the dynamic linker puts at
    `slots`. `code` is every executable section."""
    wanted = frozenset(slots)
    if not wanted:
        return
    if machine == "x86-64":
        yield from _x86_64(code, wanted)
    elif machine == "aarch64":
        yield from _aarch64(code, wanted)


def _signed(data: bytes, at: int) -> int:
    return struct.unpack_from("<i", data, at)[0]


def _find_all(data: bytes, pattern: bytes) -> Iterator[int]:
    at = data.find(pattern)
    while at >= 0:
        yield at
        at = data.find(pattern, at + 1)


def _x86_64(code: Sequence[Section], slots: frozenset[int]) -> Iterator[int]:
    stubs = set()
    for address, data in code:
        for at in _find_all(data, b"\xff\x25"):  # jmp *slot(%rip)
            if at + 6 <= len(data) and address + at + 6 + _signed(data, at + 2) in slots:
                # The stub begins with the jump, or with endbr64 and a prefix before it.
                stubs.update((address + at, address + at - 1, address + at - 4, address + at - 5))
    for address, data in code:
        for at in _find_all(data, b"\xff\x15"):  # call *slot(%rip)
            if at + 6 <= len(data) and address + at + 6 + _signed(data, at + 2) in slots:
                yield from _x86_64_argument(data, at)
        if not stubs:
            continue
        for opcode in (b"\xe8", b"\xe9"):  # call, and jump for a tail call
            for at in _find_all(data, opcode):
                if at + 5 <= len(data) and address + at + 5 + _signed(data, at + 1) in stubs:
                    yield from _x86_64_argument(data, at)


def _x86_64_argument(data: bytes, call: int) -> Iterator[int]:
    begin = max(0, call - _LOOK_BACK_X86_BYTES)
    at = data.rfind(b"\xbe", begin, call - 4)  # mov $constant, %esi
    while at >= begin:
        constant = struct.unpack_from("<I", data, at + 1)[0]
        if constant < 0x10000:  # else the byte belongs to something else
            yield constant
            return
        at = data.rfind(b"\xbe", begin, at)


def _aarch64(code: Sequence[Section], slots: frozenset[int]) -> Iterator[int]:
    stubs = set()
    words = {address: struct.unpack(f"<{len(data) // 4}I", data[: len(data) & ~3]) for address, data in code}
    for address, section in words.items():
        for i in range(len(section) - 1):
            adrp, load = section[i], section[i + 1]
            if adrp & 0x9F00001F != 0x90000010 or load & 0xFFC003FF != 0xF9400211:  # adrp x16; ldr x17, [x16, #n]
                continue
            pages = ((adrp >> 29) & 3) | ((adrp >> 5) & 0x7FFFF) << 2
            pages -= (pages & 0x100000) << 1
            slot = ((address + 4 * i) & ~0xFFF) + (pages << 12) + ((load >> 10) & 0xFFF) * 8
            if slot in slots:
                stubs.update((address + 4 * i, address + 4 * i - 4))  # with a landing pad before it
    for address, section in words.items():
        for i, word in enumerate(section):
            if word & 0x7C000000 != 0x14000000:  # b, bl
                continue
            offset = word & 0x3FFFFFF
            offset -= (offset & 0x2000000) << 1
            if address + 4 * (i + offset) not in stubs:
                continue
            for before in reversed(section[max(0, i - _LOOK_BACK_ARM_INSTRUCTIONS) : i]):
                if before & 0xFFE0001F == 0x52800001:  # mov w1, #constant
                    yield (before >> 5) & 0xFFFF
                    break
