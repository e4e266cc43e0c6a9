"""Entry point of `python3 -m coverage_lib LCOV-FILE`: 1 when a line that no test reaches has no reason."""

import pathlib
import sys

from coverage_lib import unreached

repository = pathlib.Path(__file__).absolute().parents[2]
reasons = unreached.load_reasons(repository / "tools" / "coverage_lib" / "unreached.toml")
lines = unreached.parse_lcov(pathlib.Path(sys.argv[1]).read_text(), repository)
report = unreached.explain(lines, reasons, repository)
print(report.text(), end="")
sys.exit(0 if not report.unexplained else 1)
