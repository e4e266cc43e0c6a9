#!/bin/sh
# Runs Python unittest modules (the arguments after the first) with the folder that the first names as root of the
# modules, seen from the root of the repository or of the test's runfiles.
set -eu
cd "${TEST_SRCDIR:-.}/${TEST_WORKSPACE:-.}/$1"
shift
exec python3 -B -m unittest "$@"
