"""Entry point of `python3 -m fuzz_lib`."""

import sys

from fuzz_lib.cli import main

sys.exit(main(sys.argv[1:]))
