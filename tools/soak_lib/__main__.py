"""Entry point of `python3 -m soak_lib`."""

import sys

from soak_lib.cli import main

sys.exit(main(sys.argv[1:]))
