"""The table of real programs. A new row is one entry here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.real import servers, tools
from bench.runner.allocators import package_version
from bench.runner.rows import REAL, Clock, Row
from clients_lib.client import Client
from clients_lib.programs import compilers, documents, postgres, python


@dataclass(frozen=True)
class Program:
    """A row and the client that does its work.

    CPU time and memory are those of the steps or servers named in `cost`, wall time that of the steps in `wall`;
    of all of them where nothing is named.
    """

    row: Row
    client: Client
    cost: tuple[str, ...] = ()
    wall: tuple[str, ...] = ()


    def packages(self) -> list[str]:
        """The Debian packages of what is run."""
        if isinstance(self.client, postgres.Postgres):
            folder = postgres.binaries()
            return [f"postgresql-{folder.parent.name}"] if folder else []
        return [names.split()[0] for names in self.client.programs.values()]


def versions(programs: Iterable[Program]) -> str:
    """What is run, each "package version", for the record."""
    packages = dict.fromkeys(package for program in programs for package in program.packages())
    known = {package: package_version([package]) for package in packages}
    return ", ".join(text for text in known.values() if text != "unknown")


def _program(name: str, client: Client, about: str, cost: tuple[str, ...] = (), wall: tuple[str, ...] = ()) -> Program:
    row = Row(name, REAL, next(iter(client.programs), name), (), Clock.CPU, about, full_only=True)
    return Program(row, client, cost, wall)


PROGRAMS: tuple[Program, ...] = (
    _program("redis_set", servers.redis_set(), "redis: pipelined SET of 100 B; the server's CPU time",
             ("redis-server",), ("set",)),
    _program("redis_get", servers.redis_get(), "redis: pipelined GET of 100 B, on keys set before",
             ("redis-server",), ("get",)),
    _program("redis_lrange", servers.redis_lrange(), "redis: pipelined LPUSH, and LRANGE of 100 elements",
             ("redis-server",), ("lrange_100",)),
    _program("postgres", servers.Pgbench(), "postgres: pgbench, four connections; all server processes",
             ("postgres",), ("pgbench",)),
    _program("sqlite3", tools.Sqlite(), "sqlite3: 150,000 rows inserted, sorted, joined, dumped"),
    _program("python_json", tools.python_script("json_documents.py"), "python3: JSON written and read"),
    _program("python_classes", tools.python_script("classes.py"), "python3: a script heavy in classes"),
    _program("python_malloc", python.Objects(), "python3 with PYTHONMALLOC=malloc: containers, text, threads"),
    _program("lua", tools.lua_tables(), "lua5.4: tables, closures, coroutines, strings"),
    _program("perl", tools.perl_words(), "perl: a word index, regular expressions, nested structures"),
    _program("node", tools.node_work(), "node: JSON, maps, buffers, zlib, four worker threads"),
    _program("gcc", tools.Compile(compilers.Gcc()), "gcc and g++: a C++ file of templates, a generated C file"),
    _program("clang", tools.Compile(compilers.Clang()), "clang: the same files"),
    _program("ghostscript", documents.Ghostscript(), "gs: a PostScript document rendered at 150 dpi"),
    _program("z3", tools.Z3(), "z3: three SMT problems"),
    _program("git_gc", tools.GitGc(), "git gc --aggressive: a history of 300 commits, two threads", ("gc",), ("gc",)),
    _program("xz", tools.Xz(), "xz: text packed by two threads, and unpacked"),
    _program("zstd", tools.Zstd(), "zstd: text packed by two threads, and unpacked"),
)

ROWS: tuple[Row, ...] = tuple(program.row for program in PROGRAMS)
