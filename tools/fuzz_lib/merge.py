"""Makes the committed corpus of a target anew from what was found."""

from __future__ import annotations

import pathlib
import shutil
import tempfile

from fuzz_lib import libfuzzer
from fuzz_lib.errors import FuzzError
from fuzz_lib.libfuzzer import Log
from fuzz_lib.processes import Processes
from fuzz_lib.results import Results
from fuzz_lib.targets import Target


# More are slow to replay in every build: then few long ones, even if they are harder to read.
_MOST_FILES = 60


def merge(target: Target, binary: pathlib.Path, results: Results, processes: Processes) -> tuple[int, int]:
    """Replaces the committed corpus by a small one that reaches the same edges. Returns old and new number of files."""
    sources = [folder for folder in (results.corpus(target), target.corpus) if folder.is_dir()]
    with tempfile.TemporaryDirectory(prefix="hakmem-corpus-") as temporary:
        kept: list[pathlib.Path] = []
        for few in (False, True):
            small = pathlib.Path(temporary) / f"few-{few}"
            small.mkdir()
            kept = _merge_into(small, few, target, binary, sources, processes)
            if len(kept) <= _MOST_FILES:
                break
        return _replace(target.corpus, kept), len(kept)


def _merge_into(
    small: pathlib.Path, few: bool, target: Target, binary: pathlib.Path, sources: list[pathlib.Path],
    processes: Processes,
) -> list[pathlib.Path]:
    log = Log()
    ended = processes.run(libfuzzer.merge_command(binary, target, small, sources, few), log)
    if processes.is_stopped:
        raise FuzzError(f"{target.name}: interrupted, the corpus is as it was")
    kept = sorted(path for path in small.iterdir() if path.is_file())
    if ended.status != 0 or not kept:
        raise FuzzError(f"{target.name}: the merge failed, the corpus is as it was: {' '.join(list(log.lines)[-3:])}")
    return kept


def _replace(corpus: pathlib.Path, kept: list[pathlib.Path]) -> int:
    """Brings the new files in before the old ones go."""
    corpus.mkdir(parents=True, exist_ok=True)
    old = [path for path in corpus.iterdir() if path.is_file()]
    for path in kept:
        shutil.copyfile(path, corpus / path.name)
    names = {path.name for path in kept}
    for path in old:
        if path.name not in names:
            path.unlink()
    return len(old)
