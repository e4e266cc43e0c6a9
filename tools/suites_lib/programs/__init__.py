"""The suites, one module a program. Importing a module registers its suites."""

import importlib

# The order of the table.
_MODULES = [
    "python",
    "glib",
    "redis",
    "postgres",
    "sqlite",
    "stress_ng",
    "node",
    "java",
    "chromium",
]


def load_all() -> None:
    """Registers every suite."""
    for module in _MODULES:
        importlib.import_module(f"suites_lib.programs.{module}")
