"""The list of programs, from the build, and the programs themselves."""

from __future__ import annotations

import os
import pathlib
import shlex
import shutil
import subprocess

from soak_lib import bazelrc
from soak_lib.model import Program, SoakError

_QUERY = 'kind("cc_binary rule", //stress:all)'


def names(root: pathlib.Path) -> list[str]:
    """The stress programs that the build has."""
    labels = _bazel(root, "query", [_QUERY]).split()
    return sorted(label.rpartition(":")[2] for label in labels)


def build(root: pathlib.Path, wanted: list[str], config: str, folder: pathlib.Path) -> list[Program]:
    """Builds the programs `wanted`; copies them to `folder`, where no other build replaces them."""
    options = bazelrc.options(config)
    _bazel(root, "build", [*options, *(f"//stress:{name}" for name in wanted)])
    built = pathlib.Path(_bazel(root, "info", [*options, "bazel-bin"]).strip()) / "stress"
    folder.mkdir(parents=True, exist_ok=True)
    programs = []
    for name in wanted:
        copy = folder / name
        copy.unlink(missing_ok=True)
        shutil.copy(built / name, copy)
        programs.append(Program(name, copy))
    return programs


def _bazel(root: pathlib.Path, verb: str, arguments: list[str]) -> str:
    command = shlex.split(os.environ.get("SOAK_BAZEL", "bazel"))
    flags = shlex.split(os.environ.get("SOAK_BAZEL_FLAGS", ""))
    done = subprocess.run(
        [*command, verb, *flags, "--noshow_progress", *arguments],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[-20:])
        raise SoakError(f"bazel {verb} {' '.join(arguments)} failed:\n{tail}")
    return done.stdout
