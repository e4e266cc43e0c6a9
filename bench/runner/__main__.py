"""`python3 -m bench.runner`, which is what tools/bench runs."""

import sys
from pathlib import Path

from bench.runner.cli import main

sys.exit(main(sys.argv[1:], Path(__file__).resolve().parents[2]))
