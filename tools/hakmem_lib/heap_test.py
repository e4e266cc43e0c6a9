"""The walk over a heap made for it: what is there is found, and what is torn is left out and said."""

from __future__ import annotations

import struct
import unittest

from tools.hakmem_lib import figures, heap, view
from tools.hakmem_lib.fake_memory import FakeHakmem

BASE = 0x7F0000000000
SUPERSLAB = heap.SUPERSLAB_BYTES
UNIT = heap.UNIT_BYTES


class HeapTest(unittest.TestCase):
    def setUp(self) -> None:
        self.hakmem = FakeHakmem()
        self.walker = heap.Walker(view.attach(self.hakmem.memory))

    def classes(self, snapshot: heap.Snapshot) -> dict[int, tuple[int, int, int, int, int]]:
        return {
            row.block_bytes: (row.blocks, row.free, row.cached, row.remote, row.live)
            for row in snapshot.class_figures()
            if row.slabs
        }

    def doubts(self, snapshot: heap.Snapshot) -> list[str]:
        return sorted(snapshot.doubts)


class Whole(HeapTest):
    def test_nothing_yet(self) -> None:
        snapshot = self.walker.snapshot()
        self.assertEqual(
            (snapshot.superslabs, snapshot.heaps, snapshot.whales, self.doubts(snapshot)), ([], [], [], [])
        )

    def test_slabs_caches_and_remote_frees_add_up(self) -> None:
        owner, other = self.hakmem.heap(), self.hakmem.heap()
        superslab = self.hakmem.superslab(BASE)
        slab = self.hakmem.slab(superslab, 0, 1, owner, free=10, pending=1)
        self.hakmem.slab(superslab, 3, 2, owner, free=1)
        self.hakmem.slab(superslab, 6, 0xFF, 0, free=0, units=5, asked_bytes=300000, room=11 | 15 << 8)
        self.hakmem.cache(owner, 1, [BASE + 20 * 1024, BASE + 21 * 1024], run_mask=0b1011, run_base=BASE + 30 * 1024)
        self.hakmem.set("outbox_entry", self.hakmem.at("heap", other, "outbox", 1), slab=slab, mask=0b111, key=1 << 16)
        self.hakmem.memory.write(self.remote_bits(slab), b"\x00\x00\x00\x00\x03")
        snapshot = self.walker.snapshot()
        self.assertEqual(self.doubts(snapshot), [])
        self.assertEqual(self.classes(snapshot), {1024: (64, 10, 5, 5, 44), 24576: (8, 1, 0, 0, 7)})
        span = snapshot.spans()[0]
        self.assertEqual(
            (span.base, span.bytes, span.room_units, span.asked_bytes), (BASE + 6 * UNIT, 5 * UNIT, 4, 300000)
        )
        found = snapshot.superslabs[0]
        self.assertEqual((found.tier, found.used_units, found.free_count), ("draining", 9, 23))
        self.assertEqual({slab.heap for slab in snapshot.slabs() if not slab.is_span}, {owner})
        self.assertEqual(self.walker.bitmap(found.slabs[0]), (1 << 10) - 1)
        cache = next(row for row in snapshot.heaps if row.address == owner).bins[0]
        self.assertEqual(
            self.walker.cached_blocks(cache),
            [BASE + 20 * 1024, BASE + 21 * 1024, BASE + 30 * 1024, BASE + 31 * 1024, BASE + 33 * 1024],
        )

    def remote_bits(self, slab: int) -> int:
        return int.from_bytes(self.hakmem.memory.read(self.hakmem.at("slab", slab, "remote_bits"), 8), "little")

    def test_ids_in_chunks(self) -> None:
        for number in range(11):
            self.hakmem.superslab(BASE + number * SUPERSLAB)
        snapshot = self.walker.snapshot()
        self.assertEqual([superslab.id for superslab in snapshot.superslabs], list(range(11)))
        self.assertEqual({superslab.tier for superslab in snapshot.superslabs}, {"empty"})

    def test_superslabs_without_memory_are_none(self) -> None:
        self.hakmem.superslab(BASE, in_use=0)
        self.hakmem.superslab(BASE + SUPERSLAB, free_units=0, dirty_units=0xFF)
        snapshot = self.walker.snapshot()
        self.assertEqual(
            [(found.id, found.tier, found.dirty_count) for found in snapshot.superslabs], [(1, "empty", 8)]
        )

    def test_tiers(self) -> None:
        owner = self.hakmem.heap()
        for number, (slabs, tier) in enumerate(((16, "draining"), (17, "hot"), (32, "full"))):
            superslab = self.hakmem.superslab(BASE + number * SUPERSLAB)
            for unit in range(slabs):
                self.hakmem.slab(superslab, unit, 0, owner, free=0)
            self.assertEqual(self.walker.snapshot().superslabs[number].tier, tier)

    def test_a_parked_span_is_free(self) -> None:
        superslab = self.hakmem.superslab(BASE)
        self.hakmem.slab(superslab, 0, 0xFF, 0, free=0, units=3)
        self.hakmem.slab(superslab, 5, 0xFF, 0, free=1, units=4)
        snapshot = self.walker.snapshot()
        self.assertEqual([span.first_unit for span in snapshot.spans()], [0])
        self.assertEqual([span.first_unit for span in snapshot.parked_spans()], [5])
        totals = figures.of_snapshot(snapshot)["totals"]
        self.assertEqual((totals["spans"], totals["live_blocks"], totals["free_units"]), (3 * UNIT, 1, 29 * UNIT))
        self.assertEqual(totals["mapped"], totals["slabs"] + totals["spans"] + totals["rooms"] + totals["free_units"])

    def test_whales(self) -> None:
        live = self.hakmem.whale(BASE, 40 * UNIT)
        parked = self.hakmem.whale(BASE + 100 * UNIT, 50 * UNIT)
        self.hakmem.whale(BASE + 200 * UNIT, 60 * UNIT, "cached", freed_ms=5)
        self.hakmem.put("berths", parked, self.hakmem.layouts["berth"]["guest"][0] // 8)
        snapshot = self.walker.snapshot()
        self.assertEqual(
            sorted((whale.size // UNIT, whale.state) for whale in snapshot.whales),
            [(40, "live"), (50, "parked"), (60, "cached")],
        )
        self.assertEqual([whale.address for whale in snapshot.live_whales()], [live])

    def test_heaps_that_come_later_are_found(self) -> None:
        first = self.hakmem.heap()
        self.assertEqual(self.walker.heap_addresses(), [first])
        second, third = self.hakmem.heap(), self.hakmem.heap(state=2)
        self.assertEqual(self.walker.heap_addresses(), [third, second, first])
        self.assertEqual([found.state for found in self.walker.snapshot().heaps], ["parked", "active", "active"])

    def test_the_common_heap_counts_where_it_is_used(self) -> None:
        self.hakmem.set("heap", self.hakmem.roots["common_heap"][0], state=4)
        self.assertEqual([found.state for found in self.walker.snapshot().heaps], ["common"])

    def test_the_heap_of_a_class_of_site_rules_has_its_name(self) -> None:
        found = self.hakmem.heap(state=6)
        self.hakmem.memory.write(self.hakmem.at("heap", found, "name"), b"long\0")
        heap = self.walker.snapshot().heaps[0]
        self.assertEqual((heap.state, heap.name, heap.thread), ("class", "long", None))

    def test_slow_paths_by_class(self) -> None:
        owner = self.hakmem.heap()
        counters = self.hakmem.at("heap", owner, "counters")
        for name, index, value in (("refills", 2, 5), ("spills", 1, 6), ("spills", 2, 7), ("carries", 2, 3 << 16 | 2)):
            at = self.hakmem.at("heap_counters", counters, f"class_{name}", index)
            self.hakmem.memory.write(at, value.to_bytes(4, "little"))
        found = self.walker.snapshot().heaps[0]
        self.assertEqual(found.class_refills, (0, 0, (2 << 32) + 5))
        self.assertEqual(found.class_spills, (0, 6, (3 << 32) + 7))
        self.assertEqual(found.counters, {"refills": 0, "spills": 0})

    def test_misuse_by_kind(self) -> None:
        self.hakmem.memory.write(self.hakmem.roots["misuse_by_kind"][0], struct.pack("<4Q", 1, 0, 3, 4))
        kinds = {"double_frees": 1, "interior_pointers": 0, "foreign_pointers": 3, "wrong_sizes": 4}
        self.assertEqual(figures.of_snapshot(self.walker.snapshot())["misuse_kinds"], kinds)

    def test_rounding(self) -> None:
        superslab = self.hakmem.superslab(BASE)
        self.hakmem.slab(superslab, 0, 1, self.hakmem.heap(), free=10)
        self.hakmem.slab(superslab, 6, 0xFF, 0, free=0, units=5)
        totals = figures.of_snapshot(self.walker.snapshot())["totals"]
        self.assertEqual((totals["rounding"], totals["rounding_samples"]), (0, 0))
        self.assertEqual(totals["rounding_max"], 54 * (1024 - 17) + UNIT - 1)
        at = self.hakmem.roots["profile"][0]
        self.hakmem.memory.write(self.hakmem.at("profile", at, "live"), struct.pack("<QQ", 3 * 256, 300))
        self.hakmem.set("profile", at, live_block_bytes=400, live_samples=3)
        totals = figures.of_snapshot(self.walker.snapshot())["totals"]
        self.assertEqual(totals["rounding"], totals["live"] // 4)
        self.assertEqual(totals["rounding_samples"], 3)

    def test_times(self) -> None:
        self.assertEqual(self.walker.snapshot().times, {})
        self.hakmem.put("latency_is_on", 1, size=4)
        self.hakmem.put("latency_first_shift", 7, size=4)
        self.hakmem.memory.write(self.hakmem.roots["latency_names"][0], b"refill\0\0map\0")
        second = self.hakmem.roots["latencies"][0] + self.hakmem.sizes["latency"]
        self.hakmem.set("latency", second, sum_ns=1000)
        for index, count in enumerate((50, 49, 1)):
            place = self.hakmem.at("latency", second, "buckets", index)
            self.hakmem.memory.write(place, count.to_bytes(8, "little"))
        times = self.walker.snapshot().times
        self.assertEqual(list(times), ["refill", "map"])
        self.assertEqual((times["map"].count, times["map"].sum_ns), (100, 1000))
        self.assertEqual([times["map"].below_ns(share) for share in (0.5, 0.51, 0.99, 1)], [128, 256, 256, 512])
        self.assertEqual((times["refill"].count, times["refill"].below_ns(0.5)), (0, 128))

    def test_in_turn(self) -> None:
        owner = self.hakmem.heap()
        places = [self.hakmem.superslab(BASE + number * SUPERSLAB) for number in range(6)]
        self.assertEqual(len(self.walker.snapshot(most=2).superslabs), 6)
        for place in places:
            self.hakmem.slab(place, 0, 0, owner, free=0)
        for looks in range(1, 4):
            snapshot = self.walker.snapshot(most=2)
            self.assertEqual(len(snapshot.superslabs), 6)
            self.assertEqual(sum(bool(superslab.slabs) for superslab in snapshot.superslabs), 2 * looks)
        self.hakmem.set("superslab", places[0], in_use=0)
        for _ in range(3):
            snapshot = self.walker.snapshot(most=2)
        self.assertEqual(len(snapshot.superslabs), 5)
        self.hakmem.set("superslab", places[0], in_use=1)
        self.assertEqual(len(self.walker.snapshot(most=2).superslabs), 6)


class Torn(HeapTest):
    def setUp(self) -> None:
        super().setUp()
        self.owner = self.hakmem.heap()
        self.superslab = self.hakmem.superslab(BASE)

    def check_slabs(self, doubt: str, left: int) -> None:
        snapshot = self.walker.snapshot()
        self.assertEqual(self.doubts(snapshot), [doubt])
        self.assertEqual(len(list(snapshot.slabs())), left)

    def test_a_superslab_that_lies_nowhere(self) -> None:
        self.hakmem.set("superslab", self.superslab, base=BASE + UNIT)
        self.check_slabs("a SuperSlab that lies nowhere", 0)

    def test_a_slab_of_another_place(self) -> None:
        self.hakmem.slab(self.superslab, 0, 0, self.owner, free=0, base=BASE + UNIT)
        self.check_slabs("a slab that changed hands", 0)

    def test_a_class_that_is_none(self) -> None:
        self.hakmem.slab(self.superslab, 0, 0, self.owner, free=0, shape=77 | 1 << 8)
        self.check_slabs("a slab that changed hands", 0)

    def test_units_that_do_not_fit_the_class(self) -> None:
        self.hakmem.slab(self.superslab, 0, 0, self.owner, free=0, shape=0 | 2 << 8)
        self.check_slabs("a slab that changed hands", 0)

    def test_units_past_the_end(self) -> None:
        self.hakmem.slab(self.superslab, 30, 2, self.owner, free=0)
        self.check_slabs("a slab that changed hands", 0)

    def test_slabs_that_overlap(self) -> None:
        self.hakmem.slab(self.superslab, 0, 2, self.owner, free=0)
        self.hakmem.slab(self.superslab, 2, 0, self.owner, free=0)
        self.check_slabs("a slab that changed hands", 1)

    def test_a_slab_in_free_units(self) -> None:
        self.hakmem.slab(self.superslab, 0, 0, self.owner, free=0)
        self.hakmem.set("superslab", self.superslab, free_units=0xFFFFFFFF)
        self.check_slabs("a slab that changed hands", 0)

    def test_more_free_blocks_than_there_are(self) -> None:
        self.hakmem.slab(self.superslab, 0, 1, self.owner, free=64, free_count=65)
        self.check_slabs("a slab with more free blocks than it has", 1)
        self.assertEqual(self.classes(self.walker.snapshot())[1024], (64, 64, 0, 0, 0))

    def test_a_cache_that_was_changing(self) -> None:
        place = self.hakmem.cache(self.owner, 1, [BASE])
        self.hakmem.set("bin", place, top=1)
        snapshot = self.walker.snapshot()
        self.assertEqual((self.doubts(snapshot), snapshot.heaps[0].bins), (["a cache that was changing"], []))

    def test_more_in_caches_than_there_is(self) -> None:
        self.hakmem.slab(self.superslab, 0, 2, self.owner, free=7)
        self.hakmem.cache(self.owner, 2, [BASE, BASE + 24576])
        self.assertEqual(self.classes(self.walker.snapshot())[24576], (8, 7, 2, 0, 0))

    def test_a_list_of_heaps_in_a_circle(self) -> None:
        self.hakmem.set("heap", self.owner, next_heap=self.owner)
        self.assertEqual(self.doubts(self.walker.snapshot()), ["the list of heaps is no list"])

    def test_a_heap_that_is_gone(self) -> None:
        self.hakmem.set("heap", self.owner, next_heap=0x40000000)
        snapshot = self.walker.snapshot()
        self.assertEqual(len(snapshot.heaps), 1)
        self.assertEqual(self.doubts(snapshot), ["a heap that cannot be read"])

    def test_whales_in_a_circle(self) -> None:
        whale = self.hakmem.whale(BASE, 40 * UNIT)
        self.hakmem.set("whale", whale, older=whale)
        snapshot = self.walker.snapshot()
        self.assertEqual((len(snapshot.whales), self.doubts(snapshot)), (1, ["the list of whales is no list"]))

    def test_whales_that_change_or_go(self) -> None:
        self.hakmem.whale(BASE, 1)
        self.hakmem.whale(0, 40 * UNIT)
        self.assertEqual(self.doubts(self.walker.snapshot()), ["a whale that was changing"])
        self.hakmem.set("whale", self.hakmem.whale(BASE, UNIT), older=0x40000000)
        self.assertIn("a whale that cannot be read", self.doubts(self.walker.snapshot()))

    def test_a_chunk_of_superslabs_that_is_not_there(self) -> None:
        self.hakmem.put("superslab_id_end", 9, size=4)
        self.assertIn("a chunk of SuperSlabs is missing", self.doubts(self.walker.snapshot()))


class Registry(HeapTest):
    def test_window_and_leaves(self) -> None:
        leaf = self.hakmem.place(self.hakmem.sizes["registry_leaf"], 4096)
        near, far = BASE + 5 * UNIT, 0x123400000000 + 7 * UNIT
        self.hakmem.memory.write(self.hakmem.roots["registry_window"][0], bytes(1 << 20))
        self.hakmem.put("registry_minus_base", (1 << 64) - BASE)
        for table, index in ((self.hakmem.roots["registry_window"][0], 5), (leaf, 7)):
            self.hakmem.memory.write(self.hakmem.at("registry_leaf", table, "word", index), (2).to_bytes(8, "little"))
            self.hakmem.memory.write(
                self.hakmem.at("registry_leaf", table, "owner", index), (4711).to_bytes(8, "little")
            )
        root = self.hakmem.roots["registry_root"][0]
        self.hakmem.memory.write(root, bytes(1 << 19))
        self.hakmem.memory.write(root + 0x1234 * 8, leaf.to_bytes(8, "little"))
        for address in (near, near + 100, far, far + 65535):
            self.assertEqual(self.walker.look_up(address), (2, 4711), hex(address))
        for address in (near + UNIT, far + UNIT, 0, 1 << 47, 1 << 60):
            self.assertEqual(self.walker.look_up(address), (0, 0), hex(address))

    def test_before_the_first_malloc(self) -> None:
        self.hakmem.put("registry_minus_base", 1 << 63)
        root = self.hakmem.roots["registry_root"][0]
        self.hakmem.memory.write(root, bytes(1 << 19))
        self.assertEqual(self.walker.look_up(1 << 63), (0, 0))
        self.assertEqual(self.walker.look_up(12345), (0, 0))


class Threads(HeapTest):
    def numbers(self, *pointers: int) -> dict[int, tuple[int, str]]:
        return heap.ThreadNumbers(self.hakmem.memory).of(list(pointers))

    def test_the_place_that_tells_all_threads_apart(self) -> None:
        memory = self.hakmem.memory
        memory.names = {100: "main", 101: "first", 102: "second"}
        pointers = [self.hakmem.place(8192, 4096) + 64 for _ in range(3)]
        for number, pointer in zip((100, 101, 102), pointers):
            memory.write(pointer + 40, (100).to_bytes(4, "little"))  # the process's own number, in every thread
            memory.write(pointer + 720, number.to_bytes(4, "little"))
        self.assertEqual(self.numbers(*pointers), dict(zip(pointers, [(100, "main"), (101, "first"), (102, "second")])))

    def test_before_the_pointer(self) -> None:
        memory = self.hakmem.memory
        memory.names = {100: "main", 101: "first"}
        pointers = [self.hakmem.place(8192, 4096) + 4096 for _ in range(2)]
        for number, pointer in zip((100, 101), pointers):
            memory.write(pointer - 1200, number.to_bytes(4, "little"))
        self.assertEqual([number for number, _ in self.numbers(*pointers).values()], [100, 101])

    def test_pointers_to_nowhere(self) -> None:
        self.assertEqual(self.numbers(0, 0x40000000), {})
        self.assertEqual(self.numbers(), {})

    def test_where_the_system_says(self) -> None:
        self.hakmem.memory.pointers = {7000: 1}
        self.assertEqual(self.numbers(7000, 8000), {7000: (1, "fake")})


if __name__ == "__main__":
    unittest.main()
