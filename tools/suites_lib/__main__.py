"""Entry point of `python3 -m suites_lib`."""

import sys

from suites_lib.cli import main

sys.exit(main(sys.argv[1:]))
