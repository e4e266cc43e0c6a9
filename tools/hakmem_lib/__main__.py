"""Entry point of `python3 -m tools.hakmem_lib`."""

import sys

from tools.hakmem_lib.cli import main

sys.exit(main(sys.argv[1:]))
