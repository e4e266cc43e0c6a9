"""The clients, one module a program. Importing a module registers its clients."""

import importlib

# The order of the table.
_MODULES = [
    "python",
    "perl",
    "lua",
    "node",
    "git",
    "sqlite",
    "compilers",
    "bash",
    "archives",
    "redis",
    "nginx",
    "memcached",
    "postgres",
    "documents",
    "images",
    "java",
    "stress_ng",
    "z3",
    "php",
]


def load_all() -> None:
    """Registers every client."""
    for module in _MODULES:
        importlib.import_module(f"clients_lib.programs.{module}")
