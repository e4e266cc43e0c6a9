"""Counts the instructions of a hit path in the machine code of libhakmem.so, and compares with the golden file.

The hit path of a function is what runs when no branch is taken: HAK_LIKELY lays it out that way. It has to end in a
`ret` without a call, a jump, a loop or a locked instruction on the way; anything else is a finding, whatever the count.

    python3 -m hakmem.testing.hit_path [--renew] bazel-bin/hakmem/libhakmem.so
"""

import functools
import re
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

from hakmem.testing import golden as golden_file

GOLDEN = Path(__file__).with_name("hit_path_golden.txt")

HOW_TO_RENEW = """
If the new cost is meant: say why in the commit, build the library with the compiler in question
(bazel build [--config=clang] //hakmem:libhakmem.so) and run, in the root of the repository,
    python3 -m hakmem.testing.hit_path --renew bazel-bin/hakmem/libhakmem.so
The limit is part of the contract in hakmem/hot_box/hot_box.h: --renew does not touch it."""

# Locked read-modify-writes (an xchg with memory needs no prefix), fences, string loops, ways into the kernel.
_PREFIXES = r"(?:(?:notrack|bnd|addr32|data16|[c-g]s)\s+)*"
_FORBIDDEN = re.compile(_PREFIXES + r"(lock|rep\w*|xacquire|xrelease|call\w*|jmp\w*|loop\w*|syscall|sysenter|int"
                        r"|cmpxchg\w*|xadd\w*|[lsm]fence|pause|cpuid|rdtscp?)\b")
_XCHG_WITH_MEMORY = re.compile(r"xchg\w*\s.*\(")
_CONDITIONAL_JUMP = re.compile(_PREFIXES + r"j(?!mp)\w+\s+([0-9a-f]+)\b")
_RETURN = re.compile(_PREFIXES + r"ret\w*\b")


class Instruction(NamedTuple):
    address: int
    text: str


class GoldenLine(NamedTuple):
    compiler: str
    function: str
    count: int
    limit: int


class NotAHitPath(Exception):
    """What stands between the entry of a function and a plain return."""


def parse_disassembly(text: str) -> List[Instruction]:
    """The instructions in `objdump -d --no-show-raw-insn` output, in order of address."""
    instructions = []
    for line in text.splitlines():
        match = re.match(r"\s+([0-9a-f]+):\t(.+)", line)
        if match:
            code = match.group(2).split("#")[0].strip()
            instructions.append(Instruction(int(match.group(1), 16), code))
    return sorted(instructions)


def hit_path(instructions: List[Instruction], entry: int) -> List[Instruction]:
    """The instructions from `entry` to the first return with no branch taken. Raises NotAHitPath."""
    path: List[Instruction] = []
    for instruction in instructions:
        if instruction.address < entry:
            continue
        if not path and instruction.address != entry:
            break
        path.append(instruction)
        if _RETURN.match(instruction.text):
            return path
        _check(instruction, entry)
    raise NotAHitPath("there is no return")


def _check(instruction: Instruction, entry: int) -> None:
    forbidden = _FORBIDDEN.match(instruction.text) or _XCHG_WITH_MEMORY.match(instruction.text)
    if forbidden:
        raise NotAHitPath("`%s` at +0x%x" % (instruction.text, instruction.address - entry))
    jump = _CONDITIONAL_JUMP.match(instruction.text)
    if jump and entry <= int(jump.group(1), 16) <= instruction.address:
        raise NotAHitPath("a loop, `%s` at +0x%x" % (instruction.text, instruction.address - entry))


def parse_golden(text: str) -> List[GoldenLine]:
    return [GoldenLine(line.compiler, line.name, line.count, int(line.rest[0])) for line in golden_file.parse(text)]


def compare(golden: GoldenLine, path: List[Instruction]) -> str:
    """What is wrong with `path`, or an empty string."""
    listing = "\n".join("    " + instruction.text for instruction in path)
    if golden.count > golden.limit:
        return "the golden file itself says %d instructions for %s, above its limit of %d" % (
            golden.count, golden.function, golden.limit)
    if len(path) <= golden.count:
        return ""
    return "%s hits in %d instructions (%s), more than the %d of the golden file (limit %d):\n%s\n%s" % (
        golden.function, len(path), golden.compiler, golden.count, golden.limit, listing, HOW_TO_RENEW)


def addresses(nm_output: str) -> Dict[str, int]:
    rows = [line.split() for line in nm_output.splitlines()]
    return {row[2].split("@")[0]: int(row[0], 16) for row in rows if len(row) == 3}


@functools.lru_cache(maxsize=1)
def _disassemble(library: str) -> List[Instruction]:
    return parse_disassembly(golden_file.run("objdump", "-d", "--no-show-raw-insn", library))


def measure(library: str, functions: List[str]) -> Dict[str, List[Instruction]]:
    symbols = addresses(golden_file.run("nm", "-D", "--defined-only", library))
    instructions = _disassemble(library)
    paths = {}
    for function in functions:
        try:
            paths[function] = hit_path(instructions, symbols[function])
        except NotAHitPath as found:
            raise NotAHitPath("%s: on the way that takes no branch there is %s" % (function, found)) from None
    return paths


def check(library: str, golden_text: str) -> Tuple[str, List[str]]:
    """The compiler of `library`, and what is wrong with its hit paths."""
    compiler = golden_file.compiler_of(golden_file.comment_of(library))
    golden = [line for line in parse_golden(golden_text) if line.compiler == compiler]
    paths = measure(library, [line.function for line in golden])
    findings = [compare(line, paths[line.function]) for line in golden]
    return compiler, [finding for finding in findings if finding]


def renew(library: str, golden_text: str) -> str:
    """The golden file with the counts of `library` in the lines of its compiler."""
    compiler = golden_file.compiler_of(golden_file.comment_of(library))
    lines = [line for line in parse_golden(golden_text) if line.compiler == compiler]
    paths = measure(library, [line.function for line in lines])
    return golden_file.with_counts(golden_text, compiler, {function: len(path) for function, path in paths.items()})


def main(arguments: List[str]) -> int:
    if len(arguments) == 2 and arguments[0] == "--renew":
        GOLDEN.write_text(renew(arguments[1], GOLDEN.read_text()))
        return 0
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    compiler, findings = check(arguments[0], GOLDEN.read_text())
    print("\n".join(findings) if findings else "the hit paths by %s cost what the golden file says" % compiler)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
