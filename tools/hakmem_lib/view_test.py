"""Finding and reading hak_view, in a memory made for it."""

from __future__ import annotations

import unittest

from tools.hakmem_lib import elf, view
from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.fake_memory import FakeHakmem, FakeMemory


class Finding(unittest.TestCase):
    def test_by_the_magic_word(self) -> None:
        self.assertEqual(elf.find(FakeHakmem().memory), FakeHakmem.VIEW)

    def test_a_copy_elsewhere_is_none(self) -> None:
        hakmem = FakeHakmem()
        copy = hakmem.memory.read(hakmem.VIEW, 80)
        hakmem.memory.write(0x1000, copy)  # before the real one
        self.assertEqual(elf.find(hakmem.memory), FakeHakmem.VIEW)
        hakmem.memory.write(hakmem.VIEW, bytes(80))
        self.assertIsNone(elf.find(hakmem.memory))

    def test_nothing_there(self) -> None:
        with self.assertRaisesRegex(CommandError, "^fake does not run on HAKMEM$"):
            view.attach(FakeMemory())

    def test_another_version(self) -> None:
        with self.assertRaisesRegex(
            CommandError, "^fake runs another version, HAKMEM 7.7.7 with view 99: this command reads view 1$"
        ):
            view.attach(FakeHakmem(abi=99, version=b"7.7.7").memory)

    def test_tables_that_are_not_there(self) -> None:
        hakmem = FakeHakmem()
        hakmem.memory.write(hakmem.VIEW + 72, (0xDEAD0000).to_bytes(8, "little"))
        with self.assertRaisesRegex(CommandError, "what hak_view names cannot be read: fake: no memory at 0xdead0000"):
            view.attach(hakmem.memory)


class Reading(unittest.TestCase):
    def setUp(self) -> None:
        self.hakmem = FakeHakmem()
        self.view = view.attach(self.hakmem.memory)

    def test_header(self) -> None:
        self.assertEqual((self.view.version, self.view.build, self.view.abi), ("1.2.3", "release", 1))

    def test_structures_and_variables(self) -> None:
        heap = self.hakmem.heap(budget__grown=77, state=2)
        record = self.view.read("heap", heap)
        self.assertEqual((record["budget.grown"], record["state"], record["next_heap"]), (77, 2, 0))
        self.assertEqual(self.view.number("first_heap"), heap)
        self.assertEqual(
            record.address_of("mailboxes", 2) - record.address_of("mailboxes", 1), self.hakmem.sizes["mailbox"]
        )
        self.assertNotIn("bins", record.numbers())
        self.assertIn("budget.grown", record.numbers())
        self.assertTrue(self.view.has_root("metadata"))
        self.assertFalse(self.view.has_root("nonesuch"))

    def test_unpackers_read_in_any_order(self) -> None:
        slab = self.view.structure("slab")
        data = bytearray(slab.size)
        for number, (name, field) in enumerate(slab.fields.items()):
            data[field.offset] = number + 1
        names = list(slab.fields)
        self.assertEqual(slab.reader(*names)(bytes(data), 0), tuple(range(1, len(names) + 1)))
        self.assertEqual(slab.reader(*names[::-1])(b"xy" + bytes(data), 2), tuple(range(len(names), 0, -1)))
        with self.assertRaises(AssertionError):
            slab.unpacker(*names[::-1])

    def test_options(self) -> None:
        for index, (name, value) in enumerate(((b"DECAY_MS", 500), (b"VERBOSE", 1))):
            row = self.hakmem.roots["options"][0] + index * self.hakmem.sizes["option"]
            self.hakmem.memory.write(self.hakmem.at("option", row, "name"), name + b"\0")
            self.hakmem.put("option_values", value, index)
        self.assertEqual(view.options(self.view), {"DECAY_MS": 500, "VERBOSE": 1})

    def test_control_words(self) -> None:
        self.assertEqual(
            self.view.control("profile_interval_bytes"),
            self.hakmem.at("control", self.hakmem.roots["control"][0], "profile_interval_bytes"),
        )

    def test_texts_end_somewhere(self) -> None:
        memory = self.hakmem.memory
        memory.write(0x5000FF0, b"abcdefghijklmnop" + b"q" * 300 + b"\0")
        self.assertEqual(memory.text(0x5000FF0)[:18], "abcdefghijklmnopqq")
        self.assertEqual(len(memory.text(0x5000FF0)), 256)
        self.assertEqual(memory.text(0x5000FFF, 1), "p")


if __name__ == "__main__":
    unittest.main()
