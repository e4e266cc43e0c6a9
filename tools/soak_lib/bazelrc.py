"""The configurations of .bazelrc, and the environment that it gives to tests of a configuration."""

from __future__ import annotations

import re


def unknown_parts(text: str, config: str) -> list[str]:
    """The parts of `config` (`clang+debug` has two) that the .bazelrc `text` does not know."""
    known = set(re.findall(r"^build:(\w+) ", text, re.MULTILINE)) | {"default"}
    return [part for part in config.split("+") if part not in known]


def options(config: str) -> list[str]:
    """What Bazel is told for `config`."""
    return [f"--config={part}" for part in config.split("+") if part != "default"]


def environment(text: str, config: str) -> dict[str, str]:
    """Variables that tests of `config` get, by --test_env of the part or of a configuration that it includes."""
    found: dict[str, str] = {}
    parts = config.split("+")
    for part in parts:  # grows while it is walked
        parts += [p for p in re.findall(rf"^build:{part} --config=(\w+)", text, re.MULTILINE) if p not in parts]
        found.update(re.findall(rf"^test:{part} --test_env=(\w+)=(\S*)", text, re.MULTILINE))
    return found
