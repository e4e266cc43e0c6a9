"""Counts the instructions that libhakmem.so spends on fixed amounts of work, and compares with the golden file.

callgrind counts, and only what runs inside the library: libc's part differs from one release to the next. The work is
workloads.c, the same in each run, so that a count depends on nothing but the code and its compiler. It may move by 2 %;
more, up or down, needs a new golden file and a reason.

    python3 -m hakmem.testing.instruction_counts [--renew REASON] LIBRARY WORKLOADS
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List

from hakmem.testing import golden

GOLDEN = Path(__file__).with_name("instruction_golden.txt")
TOLERANCE_PERCENT = 2
_TIMEOUT_S = 300

HOW_TO_RENEW = """
If the new cost is meant, run in the root of the repository
    bazel build //hakmem:libhakmem.so //hakmem/testing:workloads
    python3 -m hakmem.testing.instruction_counts --renew 'why it changed' \\
        bazel-bin/hakmem/libhakmem.so bazel-bin/hakmem/testing/workloads
and say why in the commit too, with time measured before and after where the count went up."""

_OBJECT = re.compile(r"ob=\((\d+)\)(?: (.*))?")
_NAMES_OBJECT = re.compile(r"cob=\((\d+)\) (.*)")
_COST = re.compile(r"[+\-*]?\d* (\d+)")


class CannotCount(Exception):
    """Why there is nothing to compare."""


def count_in(profile: str, library_name: str) -> int:
    """The instructions in a callgrind profile that ran inside a library, which is known by its file name."""
    names: Dict[str, str] = {}
    total = 0
    is_inside = False
    is_call = False
    for line in profile.splitlines():
        named = _NAMES_OBJECT.fullmatch(line)
        if named:
            names[named.group(1)] = named.group(2)
        entered = _OBJECT.fullmatch(line)
        if entered:
            if entered.group(2):
                names[entered.group(1)] = entered.group(2)
            is_inside = names[entered.group(1)].rpartition("/")[2] == library_name
        cost = _COST.fullmatch(line)
        # The line after `calls=` is what the callee cost, which is counted where it ran.
        if cost and is_inside and not is_call:
            total += int(cost.group(1))
        is_call = line.startswith("calls=")
    return total


def profile(library: str, command: List[str]) -> str:
    """callgrind's profile of a command that `library` is preloaded into."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CannotCount("valgrind is not installed")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "profile")
        environment = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(Path(library).resolve())}
        whole = [valgrind, "--tool=callgrind", "--dump-line=no", "--callgrind-out-file=%s" % out] + command
        done = subprocess.run(whole, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True, timeout=_TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise CannotCount("`%s` failed:\n%s" % (" ".join(whole), done.stdout))
        return out.read_text()


def count(library: str, program: str, workload: str) -> int:
    """The instructions that `library`, preloaded, spends on a workload."""
    counted = count_in(profile(library, [str(Path(program).resolve()), workload]), Path(library).resolve().name)
    if counted == 0:
        raise CannotCount("nothing of %s ran inside %s" % (workload, library))
    return counted


def workloads(program: str) -> List[str]:
    """The names of all workloads."""
    return golden.run(program, "--list").split()


def compare(line: golden.Line, counted: int) -> str:
    """What is wrong with a count, or an empty string."""
    if 100 * abs(counted - line.count) <= TOLERANCE_PERCENT * line.count:
        return ""
    change = 100 * (counted / line.count - 1)
    return "%s: %d instructions (%s), %+.1f %% to the %d of the golden file; %d %% are allowed either way" % (
        line.name, counted, line.compiler, change, line.count, TOLERANCE_PERCENT)


def lines_for(library: str, golden_text: str) -> List[golden.Line]:
    """The lines for the compiler that built the library; another release of it counts as another one."""
    compiler = golden.version_of(golden.comment_of(library))
    lines = [line for line in golden.parse(golden_text) if line.compiler == compiler]
    if not lines:
        raise CannotCount("the golden file has no counts for %s" % compiler)
    return lines


def measure(library: str, program: str, lines: List[golden.Line]) -> Dict[str, int]:
    """The count of each line's workload."""
    return {line.name: count(library, program, line.name) for line in lines}


def findings(lines: List[golden.Line], counts: Dict[str, int]) -> List[str]:
    """What is wrong, workload by workload; then how to renew."""
    found = [finding for finding in (compare(line, counts[line.name]) for line in lines) if finding]
    return found + [HOW_TO_RENEW] if found else []


def renew(golden_text: str, lines: List[golden.Line], counts: Dict[str, int], reason: str) -> str:
    """The golden file with new counts and the reason where a count is out of bounds. The others keep theirs, so that
    small changes cannot add up unseen."""
    changed = {line.name: counts[line.name] for line in lines if compare(line, counts[line.name])}
    return golden.with_counts(golden_text, lines[0].compiler, changed, reason)


def main(arguments: List[str]) -> int:
    reason = arguments[1] if len(arguments) == 4 and arguments[0] == "--renew" else ""
    if len(arguments) != (4 if reason else 2):
        print(__doc__, file=sys.stderr)
        return 2
    library, program = arguments[-2:]
    text = GOLDEN.read_text()
    try:
        lines = lines_for(library, text)
        counts = measure(library, program, lines)
    except CannotCount as problem:
        print(problem, file=sys.stderr)
        return 1
    if reason:
        GOLDEN.write_text(renew(text, lines, counts, reason))
        return 0
    found = findings(lines, counts)
    for line in lines:
        print("%-12s %10d  %+.2f %%" % (line.name, counts[line.name], 100 * (counts[line.name] / line.count - 1)))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
