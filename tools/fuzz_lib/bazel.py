"""What tools/fuzz asks Bazel for."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
from typing import Sequence

from fuzz_lib.errors import FuzzError
from fuzz_lib.targets import Target

CONFIGS = ("fuzz", "fuzz_bare")
_ENVIRONMENT = re.compile(r"^test:\w+ --test_env=([A-Z]+SAN_OPTIONS)=(\S+)$", re.MULTILINE)


def build(root: pathlib.Path, config: str, targets: Sequence[Target]) -> dict[str, pathlib.Path]:
    """Builds the targets in a configuration; where each program lies, until the next build."""
    _bazel(root, ["build", f"--config={config}", *(target.label for target in targets)], sys.stderr.fileno())
    said = _bazel(root, ["info", f"--config={config}", "bazel-bin"], subprocess.PIPE)
    folder = pathlib.Path(said.strip().splitlines()[-1])
    return {target.name: folder / target.package / target.name for target in targets}


def sanitizer_environment(root: pathlib.Path) -> dict[str, str]:
    """The sanitizers' settings under `bazel test`."""
    return dict(_ENVIRONMENT.findall((root / ".bazelrc").read_text()))


def _bazel(root: pathlib.Path, arguments: list[str], stdout: int) -> str:
    done = subprocess.run([str(root / "tools/lib/bazel"), *arguments], cwd=root, stdout=stdout, text=True, check=False)
    if done.returncode != 0:
        raise FuzzError(f"'bazel {arguments[0]}' failed with status {done.returncode}")
    return done.stdout or ""
