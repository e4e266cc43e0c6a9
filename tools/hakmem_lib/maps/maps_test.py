"""Maps of heaps that are made for it: what is captured is what is there, comes back from files and pages as it was, and two
of them compared say what changed."""

from __future__ import annotations

import copy
import dataclasses
import gzip
import html.parser
import json
import random
import re
import unittest
from typing import Any, Optional

from tools.hakmem_lib import heap, view
from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.fake_memory import FakeHakmem
from tools.hakmem_lib.maps import capture, diff, model, page, store
from tools.hakmem_lib.maps.model import APPEARED, CHANGED, SAME, VANISHED, Bits, Map, Slab, SuperSlab, Whale

BASE = 0x7F0000000000
UNIT = heap.UNIT_BYTES
SUPERSLAB = heap.SUPERSLAB_BYTES
CLASSES = [(16, 4096, 1), (1024, 64, 1), (24576, 8, 3)]


def slab(unit: int, size_class: int = 1, free: int = 0, cached: int = 0, remote: int = 0, owner: int = 0) -> Slab:
    """A slab of which the bits are given."""
    block, blocks, units = CLASSES[size_class]
    counts = (free.bit_count(), cached.bit_count(), remote.bit_count())
    return Slab(unit, units, size_class, block, blocks, owner, 0, 0, *counts, Bits(free, cached, remote))


def span(unit: int, units: int, room: int = 0, asked: int = 0) -> Slab:
    """A span."""
    return Slab(unit, units, heap.SPAN, units * UNIT, 1, -1, room, asked, 0, 0, 0, Bits(0, 0, 0))


def superslab(number: int, *slabs: Slab, resident: Optional[int] = None) -> SuperSlab:
    """One with these in it."""
    free = heap.ALL_UNITS
    for found in slabs:
        free &= ~(found.mask | ((1 << found.room_units) - 1) << (found.first_unit + found.units))
    return SuperSlab(BASE + number * SUPERSLAB, number, free, 0b11 << 30, 1500, resident, list(slabs))


def map_of(*superslabs: SuperSlab, whales: tuple[Whale, ...] = (), taken: float = 1000.5, **values: Any) -> Map:
    """A map with these in it."""
    owners = [model.Heap(4096, "active", 17, "main"), model.Heap(8192, "parked", None, "")]
    return dataclasses.replace(
        Map(17, "redis", "0.1.0", "release", taken, 4096, CLASSES, owners, list(superslabs), list(whales), None, {}), **values
    )


class Capture(unittest.TestCase):
    def setUp(self) -> None:
        self.hakmem = FakeHakmem()
        self.walker = heap.Walker(view.attach(self.hakmem.memory))
        self.owner, self.other = self.hakmem.heap(), self.hakmem.heap()
        self.superslab = self.hakmem.superslab(BASE)

    def map(self) -> Map:
        return capture.of_walk(self.walker, self.walker.snapshot(), 4096)

    def remote_bits(self, descriptor: int) -> int:
        return int.from_bytes(self.hakmem.memory.read(self.hakmem.at("slab", descriptor, "remote_bits"), 8), "little")

    def test_every_block_is_where_it_is(self) -> None:
        found = self.hakmem.slab(self.superslab, 0, 1, self.owner, free=10, pending=1)
        self.hakmem.slab(self.superslab, 6, 0xFF, 0, free=0, units=5, asked_bytes=300000, room=11 | 15 << 8)
        self.hakmem.cache(self.owner, 1, [BASE + 20 * 1024, BASE + 21 * 1024], run_mask=0b101, run_base=BASE + 30 * 1024)
        box = self.hakmem.at("heap", self.other, "outbox", 1)
        self.hakmem.set("outbox_entry", box, slab=found, mask=1 << 50, key=1 << 16)
        self.hakmem.memory.write(self.remote_bits(found), b"\x00\x00\x00\x00\x00\x03")
        heap_map = self.map()
        self.assertEqual(heap_map.doubts, {})
        first, second = heap_map.superslabs[0].slabs
        self.assertEqual(
            first.bits, Bits(free=(1 << 10) - 1, cached=0b11 << 20 | 0b101 << 30, remote=0b11 << 40 | 1 << 50)
        )
        self.assertEqual((first.free, first.cached, first.remote, first.live), (10, 4, 3, 47))
        self.assertEqual(heap_map.heaps[first.owner].address, self.owner)
        self.assertEqual((second.is_span, second.live, second.room_units, second.asked_bytes), (True, 1, 4, 300000))
        self.assertEqual(sum(model.totals(heap_map).values()), SUPERSLAB)

    def test_a_parked_span_is_free(self) -> None:
        self.hakmem.slab(self.superslab, 0, 0xFF, 0, free=0, units=3)
        self.hakmem.slab(self.superslab, 6, 0xFF, 0, free=1, units=5)
        heap_map = self.map()
        live, parked = heap_map.superslabs[0].slabs
        self.assertEqual((live.live, parked.live, parked.free), (1, 0, 1))
        self.assertEqual(sum(model.totals(heap_map).values()), SUPERSLAB)

    def test_words_of_the_outbox(self) -> None:
        found = self.hakmem.slab(self.superslab, 0, 0, self.owner, free=0)
        box = self.hakmem.at("heap", self.other, "outbox", 0)
        self.hakmem.set("outbox_entry", box, slab=found, mask=0b1001, key=3)
        self.assertEqual(self.map().superslabs[0].slabs[0].bits.remote, 0b1001 << 192)
        self.hakmem.set("outbox_entry", box, key=3 | 2 << 16)  # the slab is another class's by now
        self.assertEqual(self.map().superslabs[0].slabs[0].bits.remote, 0)

    def test_ages(self) -> None:
        self.hakmem.put("pool_clock_ms", 5000)
        self.hakmem.set("superslab", self.superslab, freed_ms=4000)
        self.hakmem.superslab(BASE + SUPERSLAB)
        self.hakmem.superslab(BASE + 2 * SUPERSLAB, freed_ms=6000)  # torn
        self.hakmem.whale(BASE + 8 * SUPERSLAB, 40 * UNIT, freed_ms=1)
        self.hakmem.whale(BASE + 4 * SUPERSLAB, 40 * UNIT, "cached", freed_ms=4500)
        found = self.map()
        self.assertEqual([row.age_ms for row in found.superslabs], [1000, None, None])
        self.assertEqual([(row.state, row.age_ms) for row in found.whales], [("cached", 500), ("live", None)])

    def test_a_cached_block_that_is_free_is_free(self) -> None:
        self.hakmem.slab(self.superslab, 0, 1, self.owner, free=3)
        self.hakmem.cache(self.owner, 1, [BASE, BASE + 5 * 1024])
        found = self.map()
        self.assertEqual(found.superslabs[0].slabs[0].bits, Bits(0b111, 1 << 5, 0))
        self.assertEqual(found.doubts, {"a block that was changing hands": 1})

    def test_cached_blocks_that_lie_nowhere(self) -> None:
        self.hakmem.slab(self.superslab, 0, 1, self.owner, free=0)
        self.hakmem.slab(self.superslab, 1, 0, self.owner, free=0)
        self.hakmem.cache(self.owner, 1, [BASE + 1, BASE + UNIT, BASE + 9 * UNIT, 0])
        found = self.map()
        self.assertEqual([row.cached for row in found.superslabs[0].slabs], [0, 0])
        self.assertEqual(found.doubts, {"a cached block that lies nowhere": 4})

    def test_a_slab_that_changes_hands_meanwhile_is_left_out(self) -> None:
        self.hakmem.slab(self.superslab, 0, 1, self.owner, free=0)
        gone = self.hakmem.slab(self.superslab, 1, 1, self.owner, free=0)
        snapshot = self.walker.snapshot()
        self.hakmem.set("slab", gone, shape=0 | 1 << 8)
        found = capture.of_walk(self.walker, snapshot, 4096)
        self.assertEqual([row.first_unit for row in found.superslabs[0].slabs], [0])
        self.assertEqual(found.doubts, {"a slab that changed hands": 1})
        self.assertEqual(model.totals(found)["unknown"], UNIT)

    def test_bits_past_the_last_block(self) -> None:
        found = self.hakmem.slab(self.superslab, 0, 2, self.owner, free=8, pending=1)
        bits = int.from_bytes(self.hakmem.memory.read(self.hakmem.at("slab", found, "free_bits"), 8), "little")
        self.hakmem.memory.write(bits, b"\xff\xff")
        row = self.map().superslabs[0].slabs[0]
        self.assertEqual((row.free, row.bits.free), (8, 0xFF))


class Files(unittest.TestCase):
    def full(self) -> Map:
        return map_of(
            superslab(0, slab(0, 1, 0b1, 0b10, 0b100), slab(3, 2, 0xFF, owner=-1), span(9, 4, 2, 250000), resident=0),
            superslab(2, slab(0, 0, (1 << 4096) - 1, owner=1), resident=(1 << 512) - 1),
            superslab(5, slab(7, 0, 0b1011 << 4090), resident=0b101),
            whales=(Whale(BASE + (1 << 40), 50 * UNIT, "parked", 3, 4096, bytes(range(256))),),
            resident={"kernel": 5, "unexplained": -7}, doubts={"a slab that changed hands": 2},
        )  # fmt: skip

    def test_there_and_back(self) -> None:
        heap_map = self.full()
        self.assertEqual(store.unpack("it", store.pack(heap_map)), heap_map)
        self.assertEqual(page.data_of(page.build(heap_map)), heap_map)
        later = map_of(superslab(0, slab(0)), superslab(1), taken=2000)
        compared = diff.compare(heap_map, later)
        self.assertEqual(page.data_of(page.build(compared)), compared)

    def test_nothing(self) -> None:
        self.assertEqual(page.data_of(page.build(map_of())), map_of())

    def check_refused(self, named: str, data: bytes) -> None:
        with self.assertRaises(CommandError) as caught:
            store.unpack("a.json.gz", data)
        self.assertIn(named, str(caught.exception))
        self.assertTrue(str(caught.exception).startswith("a.json.gz "))
        self.assertNotIn("\n", str(caught.exception))

    def test_truncated_anywhere(self) -> None:
        data = store.pack(self.full())
        for length in range(2, len(data)):
            self.check_refused("is truncated", data[:length])

    def test_other_files(self) -> None:
        for data in (b"", b"\x1f", b"text", b"{}"):
            self.check_refused("is no snapshot of hakmem map", data)
        for data in (b"text", b"{}", b"[]", b"7", b'{"hakmem_map": 1}', b"[" * 100000, b"\xff"):
            self.check_refused("no snapshot of hakmem map", gzip.compress(data))
        damaged = bytearray(store.pack(self.full()))
        damaged[len(damaged) // 2] ^= 0xFF
        self.check_refused("is damaged", bytes(damaged))

    def test_another_format(self) -> None:
        self.check_refused(
            "is a snapshot of format 2: this command reads format 1", gzip.compress(b'{"hakmem_map": 2}')
        )

    def test_values_that_cannot_be(self) -> None:
        good = model.to_json(self.full())
        slab_row = ("superslabs", 0, 6, 0)
        for path, value in (
            (("pid",), -1), (("name",), 5), (("page_bytes",), 4095), (("classes",), 5), (("heaps", 0), [1]),
            (("taken",), "now"), (("doubts",), {"a": -1}), (("resident",), {"a": []}),
            (("superslabs", 0, 0), BASE + 1), (("superslabs", 0, 0), 0), (("superslabs", 0, 2), 1 << 32), (("superslabs", 0, 5), "AAAA"),
            (("superslabs", 0, 7), "torn"), (("superslabs", 0), []),
            (slab_row + (0,), 32), (slab_row + (0,), -1), (slab_row + (1,), 2), (slab_row + (2,), 3), (slab_row + (2,), -1),
            (slab_row + (3,), 2), (slab_row + (3,), -2), (slab_row + (4,), 32), (slab_row + (6,), 65), (slab_row + (6,), 2),
            (slab_row + (9,), "//////////////8="), (slab_row + (9,), "?"), (slab_row + (9,), 7),
            (("whales", 0, 0), 5), (("whales", 0, 1), 0), (("whales", 0, 2), "dead"), (("whales", 0, 5), "?"),
        ):  # fmt: skip
            document = json.loads(json.dumps(good))
            place: Any = document
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = value
            with self.subTest(path=path, value=value), self.assertRaises(model.Damaged):
                model.from_json(document)
        self.assertEqual(model.from_json(json.loads(json.dumps(good))), self.full())


class Parser(html.parser.HTMLParser):
    """What opens, closes, and points elsewhere."""

    VOID = {"meta", "input", "link", "img", "br"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.elsewhere: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.elsewhere += [name for name, _ in attrs if name in ("src", "href", "action", "srcset", "data")]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise AssertionError(f"</{tag}> closes something else")


class Page(unittest.TestCase):
    def setUp(self) -> None:
        self.text = page.build(map_of(superslab(0, slab(0)), name="</script><b>&")).decode()

    def test_well_formed(self) -> None:
        parser = Parser()
        parser.feed(self.text)
        parser.close()
        self.assertEqual((parser.open, parser.elsewhere), ([], []))
        self.assertEqual(len(parser.ids), len(set(parser.ids)))
        for wanted in re.findall(r'getElementById\("([a-z-]+)"\)', self.text):
            self.assertIn(wanted, parser.ids)

    def test_needs_nothing_else(self) -> None:
        for word in ("http:", "https:", "url(", "@import", "import(", "fetch(", "XMLHttpRequest", "WebSocket", "innerHTML", "eval("):
            self.assertNotIn(word, self.text)
        self.assertIn("default-src 'none'", self.text)

    def test_names_are_data(self) -> None:
        self.assertNotIn("<b>", self.text)
        self.assertEqual(page.data_of(self.text.encode()).name, "</script><b>&")


class Size(unittest.TestCase):
    """A gibibyte of the smallest blocks, each of them free or not by chance: nothing packs worse."""

    def test_a_gibibyte(self) -> None:
        chance = random.Random(5)
        superslabs = []
        for number in range(512):
            slabs = [slab(unit, 0, chance.getrandbits(4096)) for unit in range(31)]
            superslabs.append(superslab(number, *slabs, slab(31, 1, chance.getrandbits(64)), resident=chance.getrandbits(512)))
        heap_map = map_of(*superslabs)
        totals = model.totals(heap_map)
        capture.limit(heap_map, capture.DETAIL_BYTES)
        self.assertLess(len(page.build(heap_map)), 6 << 20)
        self.assertEqual(heap_map.left_out_over, 3 << 20)
        left_out = [row for row in heap_map.slabs() if row.bits is None]
        self.assertEqual(len(left_out), heap_map.left_out)
        self.assertEqual({row.size_class for row in left_out}, {0})  # the smallest blocks go first
        self.assertGreater(31 * 512 - len(left_out), 3000)
        self.assertEqual(model.totals(heap_map), totals)

    def test_full_and_empty_slabs_cost_nothing(self) -> None:
        heap_map = map_of(superslab(0, slab(0, 0), slab(1, 0, (1 << 4096) - 1), slab(2, 1, 1)))
        capture.limit(heap_map, 0)
        self.assertEqual([row.bits is None for row in heap_map.slabs()], [False, False, True])


class Diff(unittest.TestCase):
    def kinds(self, found: Map) -> list[list[tuple[int, str, int, int]]]:
        return [
            [(row.first_unit, row.change.kind, row.change.gained, row.change.lost) for row in place.slabs]
            for place in found.superslabs
        ]

    def test_nothing_changed(self) -> None:
        old = map_of(superslab(0, slab(0, 1, 0b1), span(4, 2)))
        found = diff.compare(old, dataclasses.replace(copy.deepcopy(old), taken=2000))
        self.assertEqual(self.kinds(found), [[(0, SAME, 0, 0), (4, SAME, 0, 0)]])
        self.assertEqual(found.superslabs[0].change, SAME)

    def test_blocks(self) -> None:
        old = map_of(superslab(0, slab(0, 1, 0b0110, 0b1000), slab(1, 1, 0b1)))
        new = map_of(superslab(0, slab(0, 1, 0b0011, 0b0100), slab(1, 1, 0, 0b1)), taken=2000)
        found = diff.compare(old, new)
        # Block 0 was freed, block 3 handed out; 1 and 2 are the program's no more than before, wherever they are.
        self.assertEqual(self.kinds(found), [[(0, CHANGED, 1, 1), (1, CHANGED, 0, 0)]])
        change = found.superslabs[0].slabs[0].change
        self.assertEqual((change.gained_bits, change.lost_bits), (0b1000, 0b0001))
        self.assertEqual(found.superslabs[0].change, CHANGED)
        self.assertEqual(found.old["counts"]["blocks"], {"gained": 1, "lost": 1})
        self.assertEqual(found.old["totals"], model.totals(old))

    def test_slabs_and_superslabs_come_and_go(self) -> None:
        old = map_of(superslab(0, slab(0, 1, 0b1), slab(1, 1, 0b11)), superslab(1, slab(2)))
        new = map_of(superslab(0, slab(0, 1, 0b1), slab(9, 1, 0b111)), superslab(3, span(0, 5)), taken=2000)
        found = diff.compare(old, new)
        self.assertEqual([row.change for row in found.superslabs], [CHANGED, VANISHED, APPEARED])
        self.assertEqual(
            self.kinds(found),
            [[(0, SAME, 0, 0), (1, VANISHED, 0, 62), (9, APPEARED, 61, 0)], [(2, VANISHED, 0, 64)], [(0, APPEARED, 1, 0)]],
        )
        self.assertEqual(found.old["counts"]["slabs"], {APPEARED: 2, VANISHED: 2, CHANGED: 0, SAME: 1})
        self.assertEqual(model.totals(found), model.totals(new))

    def test_units_that_another_slab_has_now(self) -> None:
        old = map_of(superslab(0, slab(0, 1, 0b1), slab(1, 1), span(2, 1)))
        new = map_of(superslab(0, slab(0, 2, 0b1)), taken=2000)
        row = diff.compare(old, new).superslabs[0].slabs[0]
        self.assertEqual((row.change.kind, row.change.gained, row.change.lost), (APPEARED, 7, 63 + 64 + 1))
        self.assertEqual(
            row.change.was,
            "a slab of 1.0 KiB blocks, 63 of 64 live; a slab of 1.0 KiB blocks, 64 of 64 live; a span of 64.0 KiB",
        )

    def test_without_single_blocks(self) -> None:
        old, new = map_of(superslab(0, slab(0, 1, 0b11))), map_of(superslab(0, slab(0, 1, 0b1)), taken=2000)
        capture.limit(old, 0)
        row = diff.compare(old, new).superslabs[0].slabs[0]
        self.assertEqual((row.change.kind, row.change.gained, row.change.gained_bits), (CHANGED, 1, None))

    def test_whales(self) -> None:
        def whale(number: int, units: int, state: str = "live") -> Whale:
            return Whale(BASE + (number << 30), units * UNIT, state, None, None, b"")

        old = map_of(whales=(whale(0, 40), whale(1, 40), whale(2, 40), whale(3, 40)))
        new = map_of(whales=(whale(0, 40), whale(1, 50), whale(2, 40, "cached"), whale(4, 40)), taken=2000)
        found = diff.compare(old, new).whales
        self.assertEqual([row.change for row in found], [SAME, CHANGED, CHANGED, VANISHED, APPEARED])

    def test_owners_are_found_again(self) -> None:
        old = map_of(superslab(0, slab(0, owner=1)))
        new = map_of(superslab(1), heaps=[model.Heap(4096, "active", 18, "other")], taken=2000)
        found = diff.compare(old, new)
        self.assertEqual(found.heaps[found.superslabs[0].slabs[0].owner].address, 8192)

    def test_what_cannot_be_compared(self) -> None:
        for named, change in (
            ("of two processes, 17 (redis) and 18 (redis)", {"pid": 18}),
            ("of two processes", {"name": "other"}),
            ("two versions of HAKMEM, 0.1.0 and 0.2.0", {"version": "0.2.0"}),
            ("give the older one first", {"taken": 1.0}),
        ):
            with self.assertRaises(CommandError) as caught:
                diff.compare(map_of(), map_of(**change))
            self.assertIn(named, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
