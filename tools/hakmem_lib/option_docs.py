"""The parts of the documents that are made from the table of options.

    python3 -m tools.hakmem_lib.option_docs      in the root of the repository: writes them anew
"""

from __future__ import annotations

import pathlib
import sys

from tools.hakmem_lib import option_table

TUNING = "docs/tuning.md"
MANUAL = "docs/man/hakmem.conf.5"


def updated(root: pathlib.Path) -> dict[str, str]:
    """Each page's path, and its text as it should be."""
    options = option_table.read(root / "hakmem/config/options.h")
    return {
        TUNING: option_table.replaced(
            (root / TUNING).read_text(encoding="utf-8"),
            "<!-- options -->",
            "<!-- end of options -->",
            option_table.markdown(options),
        ),
        MANUAL: option_table.replaced(
            (root / MANUAL).read_text(encoding="utf-8"),
            '.\\" options',
            '.\\" end of options',
            option_table.roff(options),
        ),
    }


def main() -> int:
    """Writes the pages."""
    root = option_table.ROOT
    for name, text in updated(root).items():
        (root / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
