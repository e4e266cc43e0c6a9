"""Programs that end by themselves, with less to do, or with only the work that a row is about."""

from __future__ import annotations

import pathlib
import subprocess

from clients_lib import launch
from clients_lib.client import WORKLOADS, Client
from clients_lib.model import Mode
from clients_lib.programs import archives, compilers, git, python, z3
from clients_lib.session import Session

_OWN_WORKLOADS = pathlib.Path(__file__).parent / "workloads"


class PythonScript(Client):
    """One of our scripts under Debian's python3, on its own small-object allocator, as users have it."""

    programs = {python.PYTHON: "python3"}

    def __init__(self, script: str) -> None:
        self._script = script

    def run(self, session: Session) -> None:
        env = {"PYTHONHASHSEED": "0"}
        session.step("script", [python.PYTHON, _OWN_WORKLOADS / self._script], env=env)


class Compile(Client):
    """A C++ file of templates and a generated C file, to object files."""

    def __init__(self, client: compilers.Compiler) -> None:
        self._client = client
        self.programs = client.programs

    def prepare(self, inputs: pathlib.Path) -> None:
        (inputs / "generated.c").write_text(compilers.generated_c(40))

    def run(self, session: Session) -> None:
        templates = [self._client.cxx, "-std=c++17", "-O1", "-g"]
        compilers.compile_one(session, "templates.cc", templates, WORKLOADS / "templates.cc")
        compilers.compile_one(session, "generated.c", [self._client.c, "-O2"], session.inputs / "generated.c")


class GitGc(git.Git):
    """`git gc` of a repository that is made once."""

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

    size_bytes = 5 << 20
    pack = ["xz", "-T2", "-5", "--block-size=1280KiB", "-c"]


class Zstd(archives.Zstd):
    """Two threads, and back."""

    size_bytes = 24 << 20


class Z3(z3.Z3):
    """Two of the three problems."""

    problems = ("pigeons", "arithmetic")
