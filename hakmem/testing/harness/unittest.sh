#!/bin/sh
# Runs Python unittest modules (the arguments) from the root of the repository or of the test's runfiles.
set -eu
cd "${TEST_SRCDIR:-.}/${TEST_WORKSPACE:-.}"
exec python3 -B -m unittest "$@"
