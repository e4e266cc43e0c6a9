"""git: a repository made on the spot, cloned, packed, checked and read."""

from __future__ import annotations

import pathlib
import random
import re
from typing import ClassVar

from clients_lib.client import Client, register
from clients_lib.session import Session

_FIRST_DATE = 1_500_000_000
_CONFIG = """[user]
  name = Client
  email = client@example.org
[gc]
  auto = 0
[init]
  defaultBranch = main
[pack]
  threads = 2
[advice]
  detachedHead = false
"""


def history(commits: int, files: int) -> bytes:
    """A stream for `git fast-import`: `commits` commits, each of which rewrites a few of `files` files."""
    rng = random.Random(7)
    texts = {i: [f"line {j} of file {i}: {rng.getrandbits(64):x}" for j in range(200)] for i in range(files)}
    out = []
    for number in range(commits):
        date = _FIRST_DATE + number * 3600
        message = f"change {number}\n\nWhy: {rng.getrandbits(256):x}\n"
        out.append(f"commit refs/heads/main\ncommitter Client <client@example.org> {date} +0000\n")
        out.append(f"data {len(message)}\n{message}\n")
        for _ in range(4):
            chosen = rng.randrange(files)
            for _ in range(5):
                texts[chosen][rng.randrange(200)] = f"changed in {number}: {rng.getrandbits(64):x}"
            body = "\n".join(texts[chosen]) + "\n"
            out.append(f"M 100644 inline dir{chosen % 20}/file{chosen}.txt\ndata {len(body)}\n{body}\n")
    return "".join(out).encode()


def environment(inputs: pathlib.Path) -> dict[str, str]:
    """What makes git's commits the same everywhere, with the inputs of a client's prepare()."""
    return {
        "GIT_CONFIG_GLOBAL": str(inputs / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_DATE": f"{_FIRST_DATE} +0000",
        "GIT_COMMITTER_DATE": f"{_FIRST_DATE} +0000",
        "GIT_PAGER": "cat",
    }


@register
class Git(Client):
    """Many short processes, and threads in pack-objects."""

    name = "git"
    summary = "fast-import of 1,500 commits with fixed dates, clone, gc, fsck, log -p, blame, grep, merge."
    programs = {"git": "git"}
    commits: ClassVar[int] = 1500
    files: ClassVar[int] = 400
    normalised = "statistics of fast-import are left out; of packs (threads split them) not the bytes but the objects"

    def prepare(self, inputs: pathlib.Path) -> None:
        (inputs / "history").write_bytes(history(self.commits, self.files))
        (inputs / "gitconfig").write_text(_CONFIG)

    def run(self, session: Session) -> None:
        env = environment(session.inputs)
        made, clone = session.work / "made", session.work / "clone"
        session.step("init", ["git", "init", "-q", made], env=env)
        session.step(
            "import",
            ["git", "-C", made, "fast-import", "--quiet"],
            stdin=session.inputs / "history",
            env=env,
            normalise_stderr=lambda text: re.sub(rb"(?s)git-fast-import statistics.*", b"", text),
        )
        session.step("clone", ["git", "clone", "-q", "--no-local", made, clone], env=env)
        session.step("gc", ["git", "-C", clone, "gc", "-q", "--aggressive"], env=env)
        session.step("fsck", ["git", "-C", clone, "fsck", "--full", "--strict", "--no-progress"], env=env)
        session.step("log", ["git", "-C", clone, "log", "-p", "--stat", "--no-color"], env=env)
        session.step("blame", ["git", "-C", clone, "blame", "dir0/file0.txt"], env=env)
        session.step("grep", ["git", "-C", clone, "grep", "-c", "changed in 1[0-9]*:"], env=env)
        session.step("side branch", ["git", "-C", clone, "checkout", "-q", "-b", "side", "HEAD~50"], env=env)
        session.step("side commit", ["git", "-C", clone, "commit", "-q", "--allow-empty", "-m", "side"], env=env)
        session.step("merge", ["git", "-C", clone, "merge", "-q", "--no-edit", "main"], env=env)
        objects = ["git", "-C", clone, "cat-file", "--batch-all-objects", "--batch-check"]
        session.step("objects", [*objects], env=env)
