"""Says which functions of libhakmem.so that a program runs lie beyond its first 64 KiB.

The kernel maps 64 KiB of a file around a page that is touched, and a small process should hold no more of the library than
that: neither when it starts nor with what most programs come to run. callgrind says what runs, nm where it lies;
hakmem/libhakmem.lds lists what is to lie in front.

    python3 -m hakmem.testing.start_up LIBRARY PROGRAM [ARGUMENT...]
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Set

from hakmem.testing import instruction_counts

MOST_BYTES = 64 * 1024


def run_inside(profile: str, library_name: str) -> Set[str]:
    """The functions of a library that a callgrind profile has costs of."""
    names: Dict[str, str] = {}
    found = set()
    is_inside = False
    for line in profile.splitlines():
        kind, equals, rest = line.partition("=")
        if not equals or kind not in ("ob", "cob", "fn", "cfn"):
            continue
        number, _, name = rest.partition(" ")
        key = kind.lstrip("c") + number
        if name:
            names[key] = name
        if kind == "ob":
            is_inside = names[key].rpartition("/")[2] == library_name
        elif kind == "fn" and is_inside:
            found.add(names[key].partition("'")[0])  # foo'2: foo, called by itself
    return found


def addresses_in(listing: str) -> Dict[str, int]:
    """Where the functions lie that `nm` lists; the last one of those that share a name."""
    found: Dict[str, int] = {}
    for line in listing.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in "tTwW":
            found[words[2]] = max(int(words[0], 16), found.get(words[2], 0))
    return found


def findings(run: Set[str], addresses: Dict[str, int]) -> List[str]:
    """One line for each function that lies too far behind, the nearest first."""
    late = sorted((addresses[name], name) for name in run & set(addresses) if addresses[name] >= MOST_BYTES)
    return ["%s runs and lies at %#x: hakmem/libhakmem.lds has to list it" % (name, address)
            for address, name in late]


def check(library: str, command: List[str]) -> List[str]:
    """Findings for a library that `command` runs with. CannotCount: valgrind or the command failed."""
    with tempfile.TemporaryDirectory() as folder:
        bare = str(Path(folder, Path(library).name))  # valgrind cannot read every compiler's debug information
        subprocess.run(["strip", "--strip-debug", "-o", bare, library], check=True)
        run = run_inside(instruction_counts.profile(bare, command), Path(bare).name)
    listing = subprocess.run(["nm", "--defined-only", library], stdout=subprocess.PIPE, universal_newlines=True, check=True)
    addresses = addresses_in(listing.stdout)
    if not {"malloc", "hak_shared_pool_acquire"} <= run & set(addresses):
        return ["%s did not allocate from %s" % (" ".join(command), library)]
    return findings(run, addresses)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    FOUND = check(sys.argv[1], sys.argv[2:])
    print("\n".join(FOUND) or "all of it lies within %d KiB" % (MOST_BYTES // 1024))
    sys.exit(1 if FOUND else 0)
