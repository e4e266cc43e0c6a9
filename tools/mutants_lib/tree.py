"""The copy of the sources that faults are put into. It stays where it is, so that Bazel rebuilds only what changed."""

from __future__ import annotations

import contextlib
import filecmp
import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

from mutants_lib.mutation import Mutation

# Not resolved: in a test this is the root of the runfiles.
REPOSITORY = pathlib.Path(__file__).absolute().parents[2]


def default_folder() -> pathlib.Path:
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "hakmem-mutants"


def source_files(repository: pathlib.Path) -> list[str]:
    """The files that belong to the project: tracked ones, and new ones that git does not ignore."""
    command = ["git", "-C", str(repository), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()
    return [name for name in output.split("\0") if name and (repository / name).is_file()]


class Tree:
    """A folder with the files of the repository, as they are in the working tree."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def update(self, repository: pathlib.Path, extra: tuple[str, ...] = ("user.bazelrc",)) -> None:
        """Copies what differs and deletes what the repository no longer has."""
        names = set(source_files(repository)) | {name for name in extra if (repository / name).is_file()}
        for name in sorted(names):
            target = self.folder / name
            if target.is_file() and filecmp.cmp(repository / name, target, shallow=False):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / name, target)
        for folder, folders, files in os.walk(self.folder):
            # Bazel's links are links to folders, which os.walk lists as folders.
            folders[:] = [name for name in folders if not os.path.islink(os.path.join(folder, name))]
            for name in files:
                path = pathlib.Path(folder) / name
                if str(path.relative_to(self.folder)) not in names:
                    path.unlink()

    @contextlib.contextmanager
    def mutated(self, mutation: Mutation) -> Iterator[None]:
        """The tree with the fault in it; without it afterwards, whatever happens."""
        path = self.folder / mutation.path
        sound = path.read_text()
        path.write_text(mutation.apply(sound))
        try:
            yield
        finally:
            path.write_text(sound)
