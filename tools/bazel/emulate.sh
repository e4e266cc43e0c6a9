#!/bin/sh
# For --run_under: runs a test that is compiled for another processor by qemu. A test that is a script runs as it is,
# and starts the programs it tests as HAKMEM_TEST_EMULATOR says; so does a program that starts itself anew.
#
# HAKMEM_TEST_PAGE_BYTES: size of the pages that the test sees, 4096 unless set.
set -eu

page_bytes=${HAKMEM_TEST_PAGE_BYTES:-4096}
HAKMEM_TEST_EMULATOR="qemu-aarch64 -p $page_bytes -L /usr/aarch64-linux-gnu"
# Where its pages are larger than the machine's, qemu 7.2 now and then finds no address for a mapping (ENOMEM) unless
# it has set the address space aside: 256 GiB.
[ "$page_bytes" = 4096 ] || HAKMEM_TEST_EMULATOR="$HAKMEM_TEST_EMULATOR -R 0x4000000000"
export HAKMEM_TEST_EMULATOR

if [ "$(head -c 4 "$1" | tail -c 3)" = ELF ]; then
  # qemu notes down each page of a mapping, touched or not: the terabytes that a fuzz target asks for take it minutes.
  # A program's own RLIMIT_AS it ignores. Both fit into 64 GiB.
  [ "$page_bytes" != 4096 ] || ulimit -v 67108864
  # shellcheck disable=SC2086
  exec $HAKMEM_TEST_EMULATOR "$@"
fi
exec "$@"
