"""Tests of allocators: what the command line accepts, and how libraries are found."""

import os
import tempfile
import unittest

from bench.runner import allocators
from bench.runner.errors import BenchError, UsageError

_LISTING = """
\tlibmimalloc.so.2 (libc6) => /lib/i386-linux-gnu/libmimalloc.so.2
\tlibmimalloc.so.2 (libc6,x86-64) => /lib/x86_64-linux-gnu/libmimalloc.so.2
\tlibjemalloc.so.2 (libc6,AArch64) => /lib/aarch64-linux-gnu/libjemalloc.so.2
"""


class ParseTest(unittest.TestCase):
    def test_peers(self):
        self.assertEqual([peer.name for peer in allocators.parse_peers(None)], allocators.peer_names())
        self.assertEqual([peer.name for peer in allocators.parse_peers("jemalloc,glibc")], ["jemalloc", "glibc"])
        self.assertEqual(allocators.parse_peers(""), [])

    def test_unknown_peer_is_named(self):
        with self.assertRaisesRegex(UsageError, "quickalloc"):
            allocators.parse_peers("glibc,quickalloc")

    def test_library(self):
        with tempfile.NamedTemporaryFile(suffix=".so") as file:
            found = allocators.parse_library(f"mine={file.name}")
            self.assertEqual((found.name, found.library), ("mine", file.name))
            self.assertEqual(found.version, f"file {os.path.basename(file.name)}")

    def test_bad_libraries_are_named(self):
        for text in ("noequals", "=x", "a b=x", "glibc=x"):
            with self.subTest(text), self.assertRaises(UsageError):
                allocators.parse_library(text)
        with self.assertRaisesRegex(BenchError, "no readable library at /nonexistent.so"):
            allocators.parse_library("mine=/nonexistent.so")


class FindTest(unittest.TestCase):
    def test_only_64_bit_libraries_count(self):
        self.assertEqual(allocators._listed_paths(_LISTING, "libmimalloc.so.2"),
                         ["/lib/x86_64-linux-gnu/libmimalloc.so.2"])
        self.assertEqual(allocators._listed_paths(_LISTING, "libjemalloc.so.2"),
                         ["/lib/aarch64-linux-gnu/libjemalloc.so.2"])
        self.assertEqual(allocators._listed_paths(_LISTING, "libmimalloc.so"), [])

    def test_glibc_needs_no_library(self):
        found = allocators.find_peers(allocators.parse_peers("glibc"))
        self.assertEqual([(one.name, one.library) for one in found], [("glibc", None)])


if __name__ == "__main__":
    unittest.main()
