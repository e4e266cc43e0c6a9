#!/bin/bash -eu
# Builds the fuzz targets into $OUT as OSS-Fuzz and ClusterFuzzLite ask for; see README.md beside it.
#
# There it lies at $SRC/build.sh and the repository at $SRC/hakmem; here it finds the repository by its own place.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
[ -f "$root/tools/fuzz_lib/fleet.py" ] || root=$SRC/hakmem
PYTHONPATH=$root/tools exec python3 -B -m fuzz_lib.fleet "$@"
