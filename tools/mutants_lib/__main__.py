"""Entry point of `python3 -m mutants_lib`."""

import sys

from mutants_lib.cli import main

sys.exit(main(sys.argv[1:]))
