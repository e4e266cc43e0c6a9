"""stress-ng: its stressors of malloc, memory, processes and threads, checking themselves."""

from __future__ import annotations

import pathlib

from clients_lib.session import Session
from suites_lib import suite

# Left out of the memory class: those that fill the machine (bigheap, brk, resources, oom-pipe), and those that only
# exercise the processor.
STRESSORS = (
    "malloc bsearch context fault fork heapsort hsearch judy list lsearch matrix memcpy memfd memthrash "
    "mergesort mincore mmap mmapfork mremap mutex pthread qsort radixsort randlist remap rmap shellsort sigsegv skiplist "
    "sparsematrix stack stackmmap str tlb-shootdown tree tsearch vfork vm vm-rw vm-segv wcs zlib zombie"
).split()
MALLOC = (
    ("malloc: threads", ["--malloc-pthreads", "8"]),
    ("malloc: touch", ["--malloc-touch"]),
    ("malloc: zeroed frees", ["--malloc-zerofree"]),
    ("malloc: small", ["--malloc-bytes", "1K", "--malloc-max", "200000"]),
    ("malloc: large", ["--malloc-bytes", "16M", "--malloc-max", "32"]),
)
_QUICK = ("malloc", "fork", "pthread", "tree")
_TIMEOUT_S = 120.0


@suite.register
class StressNg(suite.Suite):
    """What it allocates it verifies; a stressor that finds a wrong byte ends with a status of its own."""

    name = "stress-ng"
    summary = "48 stressors of malloc, memory, processes and threads, five seconds each with --verify."
    programs = {"stress-ng": "stress-ng"}
    package = "stress-ng"

    def run(self, session: Session) -> None:
        home = suite.home_for(session, suite.unprivileged())
        for name in STRESSORS:
            if not self.quick or name in _QUICK:
                self._stress(session, home, name, ["--" + name, "2"])
        for label, more in MALLOC:
            self._stress(session, home, label, ["--malloc", "2", *more])

    def _stress(self, session: Session, home: pathlib.Path, label: str, words: list[str]) -> None:
        argv = ["stress-ng", "--seed", "1", "--verify", "--temp-path", home, "--timeout", "1" if self.quick else "5"]
        user = suite.unprivileged()
        suite.step(session, label, [*argv, *words], user=user, cwd=home, timeout_s=_TIMEOUT_S)
