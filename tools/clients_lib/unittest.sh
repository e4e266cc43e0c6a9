#!/bin/sh
# Runs Python unittest modules (the arguments) with tools/ of the repository or of the test's runfiles as root.
set -eu
cd "${TEST_SRCDIR:-.}/${TEST_WORKSPACE:-.}/tools"
exec python3 -B -m unittest "$@"
