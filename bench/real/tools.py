"""Programs that end by themselves, with less to do, or with only the work that a row is about."""

from __future__ import annotations

import pathlib
import subprocess

from clients_lib import launch
from clients_lib.client import WORKLOADS, Client
from clients_lib.model import Mode
from clients_lib.programs import archives, compilers, git, python, sqlite, z3
from clients_lib.session import Session, Word

_OWN_WORKLOADS = pathlib.Path(__file__).parent / "workloads"


class Script(Client):
    """A script under its interpreter, as users have both: python3, for one, on its own small-object allocator."""

    def __init__(self, program: str, package: str, script: pathlib.Path, *arguments: str) -> None:
        self.programs = {program: package}
        self._argv: list[Word] = [program, script, *arguments]

    def run(self, session: Session) -> None:
        session.step("script", self._argv, env={"PYTHONHASHSEED": "0", "PERL_HASH_SEED": "0"})


def python_script(name: str) -> Script:
    """One of our own scripts."""
    return Script(python.PYTHON, "python3", _OWN_WORKLOADS / name)


def lua_tables() -> Script:
    """The client's script with one mode of the collector."""
    return Script("lua5.4", "lua5.4", WORKLOADS / "tables.lua", "generational")


def perl_words() -> Script:
    """A quarter of the client's script."""
    return Script("perl", "perl-base", WORKLOADS / "words.pl", "4")


def node_work() -> Script:
    """A quarter of the client's script."""
    return Script("node", "nodejs", WORKLOADS / "work.js", "4")


class Sqlite(sqlite.Sqlite):
    """The client's statements on 150,000 rows."""

    def prepare(self, inputs: pathlib.Path) -> None:
        statements = (WORKLOADS / "million.sql").read_text()
        (inputs / "rows.sql").write_text(statements.replace("id < 1000000", "id < 150000"))

    def run(self, session: Session) -> None:
        session.step("rows", ["sqlite3", "-bail", session.work / "rows.db"], stdin=session.inputs / "rows.sql")


class Compile(Client):
    """A C++ file of templates as for debugging and a generated C file optimised, to object files."""

    def __init__(self, client: compilers.Compiler) -> None:
        self._client = client
        self.programs = client.programs

    def prepare(self, inputs: pathlib.Path) -> None:
        (inputs / "generated.c").write_text(compilers.generated_c(40))

    def run(self, session: Session) -> None:
        templates = [self._client.cxx, "-std=c++17", "-O0", "-g", "-DTIMES=1"]
        compilers.compile_one(session, "templates.cc", templates, WORKLOADS / "templates.cc")
        compilers.compile_one(session, "generated.c", [self._client.c, "-O2"], session.inputs / "generated.c")


class GitGc(git.Git):
    """`git gc` of a repository that is made once."""

    commits = 300
    files = 80

    normalised = "packs (threads split them): compared is that the repository is whole"

    def prepare(self, inputs: pathlib.Path) -> None:
        super().prepare(inputs)
        env = {**launch.base_environment(inputs), **git.environment(inputs)}
        made = inputs / "made"
        subprocess.run(["git", "init", "-q", "--bare", made], env=env, check=True)
        with open(inputs / "history", "rb") as history:
            command = ["git", "-C", made, "fast-import", "--quiet"]
            subprocess.run(command, env=env, check=True, stdin=history, capture_output=True)

    def run(self, session: Session) -> None:
        env = git.environment(session.inputs)
        made = session.work / "made"
        subprocess.run(["cp", "-a", session.inputs / "made", made], check=True)
        session.step("gc", ["git", "-C", made, "gc", "-q", "--aggressive", "--prune=now"], env=env)
        whole = ["git", "-C", made, "fsck", "--connectivity-only", "--no-progress"]
        session.step("fsck", whole, env=env, mode=Mode("libc", None))


class Xz(archives.Xz):
    """Two threads, two blocks each, and back."""

    size_bytes = 3 << 20
    pack = ["xz", "-T2", "-5", "--block-size=768KiB", "-c"]


class Zstd(archives.Zstd):
    """Two threads, and back."""

    size_bytes = 12 << 20


class Z3(z3.Z3):
    """The client's problems, in sizes that take a second together."""

    def prepare(self, inputs: pathlib.Path) -> None:
        (inputs / "pigeons.smt2").write_text(z3.pigeons(9))
        (inputs / "factoring.smt2").write_text(z3.factoring(32, 64513 * 64007))
        (inputs / "arithmetic.smt2").write_text(z3.arithmetic(24))
