"""The rules of the architecture, checked over the sources: who includes whom, where #if may stand, how headers open.

    python3 -m hakmem.testing.architecture      in the root of the repository: prints what breaks a rule
"""

import ast
import re
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

BUILD_RULES = Path("tools/bazel/defs.bzl")
SOURCES = Path("hakmem")
PUBLIC_HEADER = "hakmem/include/hakmem/hakmem.h"

#: Where the kernel, the compiler and libc are told apart.
CONDITIONAL_BOXES = ("base", "os", "config")
CONDITIONAL_FILES = ("hakmem/gate/override.c", "hakmem/gate/override_new.c")

HEADER_WORDS = ("Purpose", "Owns", "Invariants", "Threads", "Cost", "Fails", "Fork")

#: Of C11, those that a freestanding compiler brings along.
STANDARD_HEADERS = ("float.h", "iso646.h", "limits.h", "stdalign.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h",
                    "stdnoreturn.h")


class Source(NamedTuple):
    path: str
    text: str


def parse_layers(build_rules: str) -> Dict[str, int]:
    """The dictionary LAYERS of tools/bazel/defs.bzl."""
    match = re.search(r"^LAYERS = (\{.*?^\})", build_rules, flags=re.M | re.S)
    if not match:
        raise ValueError("no LAYERS in " + str(BUILD_RULES))
    return ast.literal_eval(match.group(1))


def box_of(path: str) -> Optional[str]:
    """The box that a file belongs to; None for the files of hakmem/ itself."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 and parts[0] == "hakmem" else None


def without_comments(text: str) -> str:
    """`text` with comments blanked and lines kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0)) if match.group(0).startswith("/") else match.group(0)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def directives(text: str, pattern: str) -> List[re.Match]:
    return list(re.finditer(r"^[ \t]*#[ \t]*" + pattern, without_comments(text), flags=re.M))


def _line(text: str, match: re.Match) -> int:
    return text.count("\n", 0, match.start()) + 1


def include_findings(source: Source, layers: Dict[str, int]) -> List[str]:
    """Includes of boxes that are not below, and of other boxes' private headers."""
    box = box_of(source.path)
    findings = []
    for match in directives(source.text, r'include[ \t]*([<"])([^>"\n]+)[>"]'):
        name = match.group(2)
        where = "%s:%d: " % (source.path, _line(source.text, match))
        if name == "hakmem/hakmem.h" and match.group(1) == "<":
            continue
        if not name.startswith("hakmem/"):
            if match.group(1) == '"' and not name.startswith(("gtest/", "gmock/")):
                findings.append(where + "includes \"%s\": name it from the root of the repository" % name)
            continue
        target = box_of(name)
        if target not in layers:
            findings.append(where + "includes %s, which is in no box of LAYERS" % name)
        elif target != box and name.endswith("_inl.h"):
            findings.append(where + "includes %s, which is private to %s" % (name, target))
        elif target != box and layers[target] >= layers[box]:
            findings.append(where + "%s (layer %d) includes %s, of layer %d" % (box, layers[box], name, layers[target]))
    return findings


def _is_exempt(directive: str, text: str) -> bool:
    """Header guards and the question whether this is C++."""
    words = directive.split()
    if words in (["ifdef", "__cplusplus"], ["ifndef", "__cplusplus"]):
        return True
    first = directives(text, r"(\w+[^\n]*)\n[ \t]*#[ \t]*define[ \t]+(\w+)")
    return bool(first) and words == ["ifndef", first[0].group(2)] == first[0].group(1).split() and \
        without_comments(text)[:first[0].start()].strip() == ""


def conditional_findings(source: Source) -> List[str]:
    """#if outside the places that tell platforms apart."""
    if box_of(source.path) in CONDITIONAL_BOXES or source.path in CONDITIONAL_FILES:
        return []
    return ["%s:%d: #%s: write `if (HAK_CFG_...)`, or choose between files in the BUILD file" % (
        source.path, _line(source.text, match), match.group(1).strip())
            for match in directives(source.text, r"((?:if|ifdef|ifndef|elif)\b[^\n]*)")
            if not _is_exempt(match.group(1), source.text)]


def header_findings(source: Source) -> List[str]:
    """A box's header that does not open with its contract. Those for its tests are named test_*.h and have none."""
    name = source.path.rpartition("/")[2]
    is_box_header = name.endswith(".h") and not name.endswith("_inl.h") and not name.startswith("test_")
    if not is_box_header or box_of(source.path) in (None, "include", "testing"):
        return []
    opening = re.match(r"/\*(.*?)\*/", source.text, flags=re.S)
    if not opening:
        return ["%s: does not open with a comment" % source.path]
    return ["%s: its opening comment has no %s" % (source.path, word) for word in HEADER_WORDS
            if not re.search(r"\b%s\b[^:\n]{0,40}:" % word, opening.group(1))]


def public_header_findings(source: Source) -> List[str]:
    return ["%s:%d: the public header includes %s" % (source.path, _line(source.text, match), match.group(1))
            for match in directives(source.text, r"include[ \t]*(\S+)")
            if match.group(1).strip("<>") not in STANDARD_HEADERS or not match.group(1).startswith("<")]


def source_findings(source: Source, layers: Dict[str, int]) -> List[str]:
    if source.path == PUBLIC_HEADER:
        return public_header_findings(source) + conditional_findings(source)
    box = box_of(source.path)
    if box not in layers:
        return ["%s: belongs to no box of LAYERS" % source.path]
    return include_findings(source, layers) + conditional_findings(source) + header_findings(source)


def read_sources(root: Path) -> List[Source]:
    paths = sorted(path for path in (root / SOURCES).rglob("*") if path.suffix in (".c", ".cc", ".h"))
    return [Source(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def findings(sources: List[Source], layers: Dict[str, int]) -> List[str]:
    out = [finding for source in sources for finding in source_findings(source, layers)]
    present = {source.path for source in sources}
    out += ["%s: a box of LAYERS without hakmem/%s/%s.h" % (BUILD_RULES, box, box) for box in sorted(layers)
            if box != "testing" and "hakmem/%s/%s.h" % (box, box) not in present]
    return out + ([] if PUBLIC_HEADER in present else ["no " + PUBLIC_HEADER])


def main() -> int:
    root = Path(".")
    found = findings(read_sources(root), parse_layers((root / BUILD_RULES).read_text()))
    print("\n".join(found) if found else "no rule is broken")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
