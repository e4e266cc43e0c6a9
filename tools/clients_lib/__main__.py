"""Entry point of `python3 -m clients_lib`."""

import sys

from clients_lib.cli import main

sys.exit(main(sys.argv[1:]))
