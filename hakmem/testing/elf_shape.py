"""What the dynamic linker sees of libhakmem.so: its symbols, what it needs, its segments.

    python3 -m hakmem.testing.elf_shape [--renew] bazel-bin/hakmem/libhakmem.so
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import List, Set

GOLDEN = Path(__file__).with_name("exported_symbols.txt")

SONAME = "libhakmem.so.1"
#: The dynamic linker is named by libraries that use thread-local storage on some machines.
MAY_NEED = re.compile(r"libc\.so\.6|libc\.musl-\w+\.so\.1|ld-linux[\w.-]*\.so\.\d+|ld-musl-\w+\.so\.1")
#: A library that is loaded by dlopen finds little static TLS left, where others came first.
STATIC_TLS_MAX_BYTES = 96

HOW_TO_RENEW = """
Every exported name is part of the interface: a new one can never go away again, and a missing one breaks programs.
Names come from hakmem/libhakmem.map. If the change is meant, run in the root of the repository
    python3 -m hakmem.testing.elf_shape --renew bazel-bin/hakmem/libhakmem.so"""


def exported(nm_output: str) -> List[str]:
    """The names in `nm -D --defined-only` output, versions (which there should be none of) included."""
    return sorted(line.split()[2] for line in nm_output.splitlines() if len(line.split()) == 3)


def parse_golden(text: str) -> List[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def compare_symbols(found: List[str], golden: List[str]) -> List[str]:
    findings = ["no longer exported: " + name for name in sorted(set(golden) - set(found))]
    findings += ["newly exported: " + name for name in sorted(set(found) - set(golden))]
    return findings + ([HOW_TO_RENEW] if findings else [])


def map_names(version_script: str) -> Set[str]:
    """The names that the linker version script exports."""
    text = re.sub(r"/\*.*?\*/", "", version_script, flags=re.S)
    exports = text[text.index("global:") + len("global:"):text.index("local:")]
    return {name.strip() for name in exports.split(";") if name.strip()}


def _dynamic(readelf_output: str, tag: str) -> List[str]:
    return re.findall(r"\(%s\)\s+(.*)" % tag, readelf_output)


def _bracketed(readelf_output: str, tag: str) -> List[str]:
    return [match for line in _dynamic(readelf_output, tag) for match in re.findall(r"\[(.*)\]", line)]


def _segments(readelf_output: str, kind: str) -> List[List[str]]:
    """Of each segment: offset, address, physical address, bytes in the file, bytes in memory, flags."""
    rows = re.findall(r"^\s+%s\s+(.*)$" % kind, readelf_output, flags=re.M)
    return [[*row.split()[:5], "".join(row.split()[5:-1])] for row in rows]


def shape_findings(readelf_output: str) -> List[str]:
    """What is wrong in `readelf -ldW` output."""
    out = readelf_output
    findings = []
    if _bracketed(out, "SONAME") != [SONAME]:
        findings.append("the soname is %s, not %s" % (_bracketed(out, "SONAME"), SONAME))
    findings += ["needs " + name for name in _bracketed(out, "NEEDED") if not MAY_NEED.fullmatch(name)]
    for tag in ("RPATH", "RUNPATH", "TEXTREL"):
        findings += ["has a " + tag for _ in _dynamic(out, tag)]
    flags = " ".join(_dynamic(out, "FLAGS_1")).split()
    findings += ["not marked " + flag for flag in ("NOW", "NODELETE") if flag not in flags]
    if not _segments(out, "GNU_RELRO"):
        findings.append("no RELRO: the table of functions stays writable")
    for segment in _segments(out, "TLS"):
        if int(segment[4], 16) > STATIC_TLS_MAX_BYTES:
            findings.append("%d bytes of static TLS, more than %d" % (int(segment[4], 16), STATIC_TLS_MAX_BYTES))
    stacks = _segments(out, "GNU_STACK")
    if not stacks or any("E" in segment[5] for segment in stacks):
        findings.append("asks for an executable stack")
    findings += ["a segment both writable and executable" for segment in _segments(out, "LOAD")
                 if "W" in segment[5] and "E" in segment[5]]
    return findings


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout


def library_symbols(library: str) -> List[str]:
    return exported(_run("nm", "-D", "--defined-only", library))


def check(library: str, golden_text: str) -> List[str]:
    findings = compare_symbols(library_symbols(library), parse_golden(golden_text))
    return findings + shape_findings(_run("readelf", "-ldW", library))


def renew(library: str, golden_text: str) -> str:
    comments = [line for line in golden_text.splitlines() if line.startswith("#")]
    return "\n".join(comments + library_symbols(library)) + "\n"


def main(arguments: List[str]) -> int:
    if len(arguments) == 2 and arguments[0] == "--renew":
        GOLDEN.write_text(renew(arguments[1], GOLDEN.read_text()))
        return 0
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    findings = check(arguments[0], GOLDEN.read_text())
    print("\n".join(findings) if findings else "as it should be")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
