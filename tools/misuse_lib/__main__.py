"""Entry point of `python3 -m tools.misuse_lib`."""

import sys

from tools.misuse_lib.cli import main

sys.exit(main(sys.argv[1:]))
