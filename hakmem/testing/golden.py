"""Golden files of counts: what the shipped code costs, one line for a compiler and a thing counted.

    compiler  name  count  [limit]     # why it is what it is
"""

import re
import subprocess
from typing import Dict, List, NamedTuple


class Line(NamedTuple):
    compiler: str
    name: str
    count: int
    rest: List[str]  # further columns
    reason: str


def parse(text: str) -> List[Line]:
    lines = []
    for line in text.splitlines():
        columns, _, reason = line.partition("#")
        words = columns.split()
        if words:
            lines.append(Line(words[0], words[1], int(words[2]), words[3:], reason.strip()))
    return lines


def with_counts(text: str, compiler: str, counts: Dict[str, int], reason: str = "") -> str:
    """The file with other counts for a compiler, and with another reason in these lines where one is given."""
    for name, count in counts.items():
        pattern = r"(?m)^(%s +%s +)\d+\b([^#\n]*?)( *#.*)?$" % (re.escape(compiler), re.escape(name))
        match = re.search(pattern, text)
        if match is None:
            raise ValueError("no line for %s by %s" % (name, compiler))
        comment = "  # " + reason if reason else match.group(3) or ""
        text = text[:match.start()] + match.group(1) + str(count) + match.group(2) + comment + text[match.end():]
    return text


def compiler_of(comment_section: str) -> str:
    """"clang" or "gcc", from `readelf -p .comment`. A library by clang has start-up code by gcc in it as well."""
    return "clang" if "clang version" in comment_section else "gcc"


def version_of(comment_section: str) -> str:
    """The compiler and its release, as in "gcc-12"."""
    compiler = compiler_of(comment_section)
    pattern = r"clang version (\d+)" if compiler == "clang" else r"GCC: \(.*\) (\d+)"
    match = re.search(pattern, comment_section)
    return "%s-%s" % (compiler, match.group(1) if match else "unknown")


def run(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout


def comment_of(library: str) -> str:
    """What the compilers wrote about themselves."""
    return run("readelf", "-p", ".comment", library)
