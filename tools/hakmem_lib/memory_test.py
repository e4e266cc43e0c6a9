"""Memory of this process, of others, and of core files that a debugger or a test has written."""

from __future__ import annotations

import ctypes
import os
import pathlib
import struct
import tempfile
import unittest
from unittest import mock

from tools.hakmem_lib import memory
from tools.hakmem_lib.core_file import CoreFile
from tools.hakmem_lib.core_writer import core, note
from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.memory import LiveProcess, Mapping, Unreadable


class Maps(unittest.TestCase):
    def test_lines(self) -> None:
        text = (
            "55d0a000-55d0b000 r-xp 00002000 08:01 123    /usr/bin/a b (deleted)\n"
            "7f00000-7f01000 rw-p 00000000 00:00 0 \n"
            "not a line\n"
        )
        self.assertEqual(
            memory.parse_maps(text),
            [
                Mapping(0x55D0A000, 0x55D0B000, "r-xp", 0x2000, "/usr/bin/a b (deleted)"),
                Mapping(0x7F00000, 0x7F01000, "rw-p", 0, ""),
            ],
        )


class Live(unittest.TestCase):
    def setUp(self) -> None:
        self.process = LiveProcess(os.getpid())
        self.addCleanup(self.process.close)
        self.text = b"here it is" * 1000
        self.buffer = ctypes.create_string_buffer(self.text, len(self.text))
        self.address = ctypes.addressof(self.buffer)

    def check_reading(self) -> None:
        self.assertEqual(self.process.read(self.address, len(self.text)), self.text)
        self.assertEqual(self.process.read(self.address, 0), b"")
        with self.assertRaisesRegex(Unreadable, "no memory at 0x10"):
            self.process.read(16, 8)
        ranges = [(self.address, 4), (16, 8), (self.address + 4, 6), (32, 1), (48, 1), (self.address, 1)] * 400
        self.assertEqual(self.process.read_many(ranges), [b"here", None, b" it is", None, None, b"h"] * 400)

    def test_reading(self) -> None:
        self.check_reading()

    def test_reading_where_the_call_is_filtered(self) -> None:
        def refused(*_: object) -> int:
            ctypes.set_errno(38)
            return -1

        with mock.patch.object(self.process, "_libc", mock.Mock(process_vm_readv=refused)):
            self.check_reading()

    def test_more_than_a_batch(self) -> None:
        size = memory._BATCH_BYTES // 2 + 4096  # pylint: disable=protected-access
        large = ctypes.create_string_buffer(size)
        parts = self.process.read_many([(ctypes.addressof(large), size)] * 3)
        self.assertEqual([len(part) for part in parts], [size] * 3)

    def test_mappings_and_files(self) -> None:
        own = next(mapping for mapping in self.process.mappings() if mapping.is_file and mapping.is_executable)
        with self.process.open_file(own) as file:
            self.assertEqual(file.read(4), b"\x7fELF")

    def test_resident_pages(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        first = (self.address + page - 1) // page * page
        self.assertEqual(self.process.resident_pages(first, 2), b"\1\1")
        self.assertEqual(self.process.count_resident([(first, page), (first, 2 * page)], page), 3 * page)
        self.assertEqual(self.process.resident_pages(page, 3), b"\0\0\0")

    def test_what_the_kernel_counts(self) -> None:
        total = sum(sizes["Rss"] for _, sizes in self.process.smaps())
        usage = self.process.usage()
        self.assertLess(abs(total - usage.resident_bytes), total / 4)
        self.assertGreater(usage.page_faults, 0)
        self.assertEqual(int(self.process.status()["Pid"]), os.getpid())
        self.assertFalse(self.process.has_ended())

    def test_threads(self) -> None:
        self.assertIn(os.getpid(), self.process.threads())

    def test_writing(self) -> None:
        self.process.write(self.address + 5, b"IT")
        self.assertEqual(self.buffer.raw[:10], b"here IT is")
        with self.assertRaisesRegex(CommandError, "cannot be written to"):
            self.process.write(16, b"x")


class Core(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def open(self, content: bytes) -> CoreFile:
        path = self.folder / "core"
        path.write_bytes(content)
        found = CoreFile(path)
        self.addCleanup(found.close)
        return found

    def test_segments(self) -> None:
        found = self.open(core([(0x1000, b"abcd", 4), (0x1004, b"efgh", 4), (0x9000, b"ijkl", 4)]))
        self.assertEqual(found.read(0x1002, 4), b"cdef")
        self.assertEqual(found.read_many([(0x9000, 4), (0x9001, 4), (0x1000, 1)]), [b"ijkl", None, b"a"])
        self.assertEqual([(mapping.start, mapping.end, mapping.permissions) for mapping in found.mappings()],
                         [(0x1000, 0x1004, "rw-p"), (0x1004, 0x1008, "rw-p"), (0x9000, 0x9004, "rw-p")])  # fmt: skip

    def test_what_is_only_named_comes_from_its_file(self) -> None:
        library = self.folder / "lib.so"
        library.write_bytes(b"0" * 4096 + b"constants")
        names = struct.pack("<QQQQQ", 1, 4096, 0x5000, 0x6000, 1) + str(library).encode() + b"\0"
        found = self.open(core([(0x5000, b"", 0x1000), (0x7000, b"x", 1)], note(b"CORE\0", 0x46494C45, names)))
        self.assertEqual(found.read(0x5000, 9), b"constants")
        self.assertEqual(found.mappings()[0].path, str(library))
        library.unlink()
        with self.assertRaises(Unreadable):
            self.open(core([(0x5000, b"", 0x1000)], note(b"CORE\0", 0x46494C45, names))).read(0x5000, 9)

    def test_threads(self) -> None:
        registers = [0] * 27
        registers[21] = 0x7F1234
        status = bytes(32) + struct.pack("<i", 4711) + bytes(76) + struct.pack("<27Q", *registers) + bytes(8)
        found = self.open(core([(0x1000, b"a", 1)], note(b"CORE\0", 1, status)))
        self.assertEqual((found.threads(), found.thread_pointers()), ({4711: ""}, {0x7F1234: 4711}))

    def test_threads_of_aarch64(self) -> None:
        status = bytes(32) + struct.pack("<i", 4711) + bytes(356)
        notes = note(b"CORE\0", 1, status) + note(b"LINUX\0", 0x401, struct.pack("<QQ", 0x7F5678, 0))
        found = self.open(core([(0x1000, b"a", 1)], notes, machine=183))
        self.assertEqual((found.threads(), found.thread_pointers()), ({4711: ""}, {0x7F5678: 4711}))

    def check_refused(self, content: bytes, words: str) -> None:
        with self.assertRaisesRegex(CommandError, words):
            self.open(content)

    def test_what_is_no_core_file(self) -> None:
        self.check_refused(b"", "no core file")
        self.check_refused(b"#!/bin/sh\n" * 100, "no core file")
        self.check_refused(core([(0x1000, b"a", 1)], kind=2), "is no core file$")
        self.check_refused(core([]), "has no memory in it")

    def test_a_note_whose_name_does_not_end(self) -> None:
        self.check_refused(core([(0x5000, b"", 0x1000)], note(b"CORE", 1, bytes(336))), "read: a note of it is damaged$")

    def test_what_was_cut_off(self) -> None:
        whole = core([(0x1000, b"a" * 100, 100)], note(b"CORE\0", 0x46494C45, struct.pack("<QQ", 0, 4096)))
        self.assertEqual(self.open(whole).read(0x1000, 2), b"aa")
        for size in (20, 63, 64, 100, 170, len(whole) - 1):
            with self.subTest(size):
                self.check_refused(whole[:size], "no core file|cut off|no memory")

    def test_no_file(self) -> None:
        with self.assertRaisesRegex(CommandError, "^cannot open /no/core: No such file or directory$"):
            CoreFile("/no/core")


if __name__ == "__main__":
    unittest.main()
