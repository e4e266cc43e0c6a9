"""hakmem doctor: what stands between a program and HAKMEM, and what to do about it."""

from __future__ import annotations

import argparse
import json
import textwrap

from tools.hakmem_lib.doctor import examine
from tools.hakmem_lib.doctor.finding import NOTHING, Finding
from tools.hakmem_lib.doctor.subject import Subject

SUMMARY = "say what keeps a program or process from running well on HAKMEM"
_WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what follows `hakmem doctor`."""
    parser.add_argument(
        "--lib", metavar="PATH", help="libhakmem.so to be preloaded (default: this checkout's, built now)"
    )
    parser.add_argument(
        "--plugin",
        metavar="PATH",
        action="append",
        default=[],
        help="a library that the program loads later; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("subject", metavar="PROGRAM|PID", help="a program, by name or path, or the number of a process")


def run(options: argparse.Namespace) -> int:
    """0 where there is nothing to do, 1 where there is a problem or a warning."""
    about = examine.gather(options.subject, options.lib, options.plugin)
    found = examine.findings(about)
    print(as_json(about, found) if options.json else as_text(about, found))
    return 1 if any(finding.counts for finding in found) else 0


def as_json(about: Subject, found: list[Finding]) -> str:
    """For programs."""
    return json.dumps(
        {
            "program": about.program.main.path,
            "pid": about.process.pid if about.process else None,
            "library": about.hakmem.path if about.hakmem else None,
            "version": about.version or None,
            "findings": [
                {"severity": finding.severity.value, "check": finding.check, "what": finding.what, "fix": finding.fix}
                for finding in found
            ],
        },
        indent=2,
    )


def as_text(about: Subject, found: list[Finding]) -> str:
    """For people."""
    main = about.program.main
    kind = " ".join(word for word in (main.machine, main.libc) if word)
    process = f", process {about.process.pid}" if about.process else ""
    lines = [f"{main.path} ({kind}, {len(about.program.libraries)} libraries){process}"]
    for finding in found:
        lines += _filled(f"{finding.severity.value:<8} {finding.check:<16} ", finding.what)
        if finding.fix != NOTHING:
            lines += _filled(" " * 9 + "fix" + " " * 14, finding.fix)
    counts = sum(finding.counts for finding in found)
    lines.append("nothing to do" if counts == 0 else f"{counts} to look at")
    return "\n".join(lines)


def _filled(head: str, text: str) -> list[str]:
    # Paths are for copying: never broken.
    return textwrap.wrap(
        text, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_long_words=False, break_on_hyphens=False
    )
