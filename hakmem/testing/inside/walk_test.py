"""The heap of a process as tools/hakmem_lib walks it from outside, against what the process is known to have."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

from hakmem.testing.harness import process
from hakmem.testing.inside.running import FOLDER, Running
from tools.hakmem_lib import core_file, core_writer, elf, heap, memory, view
from tools.hakmem_lib.errors import CommandError


def setUpModule() -> None:
    process.skip_emulated("it would see the emulator")


KIB, MIB = 1 << 10, 1 << 20
# Class of each size of known.c, and how many of each there are.
FULL = {768: 1000, 2048: 1000, 14336: 1000, 192 * KIB: 10}
LESS = {768: 500, 2048: 900, 14336: 1000, 192 * KIB: 10}


def walker(pid: int) -> heap.Walker:
    return heap.Walker(view.attach(memory.LiveProcess(pid)))


def live(snapshot: heap.Snapshot) -> dict[int, int]:
    """Blocks that the program has, by size of the class."""
    return {row.block_bytes: row.live for row in snapshot.class_figures()}


def stripped(program: pathlib.Path, folder: str) -> pathlib.Path:
    out = pathlib.Path(folder) / program.name
    subprocess.run(["strip", "-o", out, program], check=True)
    return out


class Walk(unittest.TestCase):
    def check_phase(
        self, walk: heap.Walker, before: dict[int, int], more: dict[int, int], spans: list[int], whales: list[int]
    ):
        snapshot = walk.snapshot()
        now = live(snapshot)
        self.assertEqual(sum(snapshot.doubts.values()), 0, snapshot.doubts)
        self.assertEqual({size: now[size] - before[size] for size in more}, more)
        self.assertEqual(sorted(span.bytes for span in snapshot.spans()), spans)
        self.assertEqual(sorted(whale.size for whale in snapshot.live_whales()), whales)
        for row in snapshot.class_figures():
            self.assertEqual(row.blocks, row.free + row.cached + row.remote + row.live)
        self.check_bitmaps(walk, snapshot)
        self.check_units(snapshot)
        return snapshot

    def check_bitmaps(self, walk: heap.Walker, snapshot: heap.Snapshot) -> None:
        """The bitmaps say what the counts say, and every cached block is a taken one of a slab of its class."""
        taken: dict[int, int] = {}
        for slab in snapshot.slabs():
            bits = walk.bitmap(slab)
            self.assertEqual(bits.bit_count(), slab.free)
            if not slab.is_span:
                for index in range(slab.blocks):
                    if not bits >> index & 1:
                        taken[slab.base + index * slab.block_bytes] = slab.size_class
        cached = [
            (block, cache.size_class)
            for owner in snapshot.heaps
            for cache in owner.bins
            for block in walk.cached_blocks(cache)
        ]
        self.assertEqual(len({block for block, _ in cached}), len(cached))
        for block, size_class in cached:
            self.assertEqual(taken.get(block), size_class)

    def check_units(self, snapshot: heap.Snapshot) -> None:
        """Every unit is free, or of one slab, span or room."""
        for superslab in snapshot.superslabs:
            held = sum(slab.units + slab.room_units for slab in superslab.slabs)
            self.assertEqual(held + superslab.free_count, heap.UNITS, superslab)

    def check_known(self, program: os.PathLike[str] | str, preload: bool) -> None:
        with Running(program, preload) as running:
            running.reached("start")
            walk = walker(running.pid)
            before = live(walk.snapshot())
            running.go_to("full")
            snapshot = self.check_phase(walk, before, FULL, [448 * KIB, 1024 * KIB], [46 * 64 * KIB, 77 * 64 * KIB])
            self.check_threads(snapshot, running.pid)
            running.go_to("less")
            snapshot = self.check_phase(walk, before, LESS, [448 * KIB], [46 * 64 * KIB])
            cached = [whale.size for whale in snapshot.whales if whale.state != "live"]
            self.assertLessEqual(sum(cached), 77 * 64 * KIB)
            self.assertEqual(sum(row.remote for row in snapshot.class_figures() if row.block_bytes == 2048), 100)
            running.go_to("end")
            snapshot = self.check_phase(walk, before, LESS, [448 * KIB], [46 * 64 * KIB])
            self.assertEqual(
                sorted(owner.state for owner in snapshot.heaps if owner.state != "common"), ["active", "parked"]
            )

    def check_threads(self, snapshot: heap.Snapshot, pid: int) -> None:
        by_name = {owner.thread[1]: owner for owner in snapshot.heaps if owner.thread}
        self.assertEqual({name[:5] for name in by_name}, {"worke", "known"})
        self.assertIn(pid, [owner.thread[0] for owner in by_name.values()])
        owned = [slab.heap for slab in snapshot.slabs() if not slab.is_span and slab.block_bytes == 14336]
        self.assertEqual(set(owned), {by_name["worker"].address})

    def test_preloaded(self) -> None:
        self.check_known(FOLDER / "known", preload=True)

    def test_linked(self) -> None:
        for way in ("dynamic", "static", "static_pie"):
            with self.subTest(way):
                self.check_known(FOLDER / f"known_{way}", preload=False)

    def test_stripped(self) -> None:
        """No symbols at all: the view is found by the word that it begins with."""
        with tempfile.TemporaryDirectory() as folder:
            for way in ("dynamic", "static", "static_pie"):
                with self.subTest(way):
                    program = stripped(FOLDER / f"known_{way}", folder)
                    self.check_known(program, preload=False)

    def test_a_library_that_was_replaced(self) -> None:
        """As a package's update does it: the old one is mapped, and its file is gone."""
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / "libold.so"
            copy.write_bytes(process.LIBRARY.read_bytes())
            with Running(FOLDER / "known", False, {"LD_PRELOAD": str(copy)}) as running:
                running.reached("start")
                copy.unlink()
                self.assertGreater(sum(live(walker(running.pid).snapshot()).values()), 0)

    def test_the_registry_knows_every_block(self) -> None:
        with Running(FOLDER / "known") as running:
            running.reached("start")
            running.go_to("full")
            walk = walker(running.pid)
            snapshot = walk.snapshot()
            heaps = {owner.address: owner for owner in snapshot.heaps}
            for slab in snapshot.slabs():
                for unit in range(slab.units):
                    word, owner = walk.look_up(slab.base + unit * heap.UNIT_BYTES + 100)
                    self.assertEqual(owner, slab.address)
                    if slab.is_span:
                        self.assertEqual(word, heap.REGISTRY_SPAN)
                    else:
                        caches = {cache.size_class: cache.address for cache in heaps[slab.heap].bins}
                        self.assertEqual(word, caches[slab.size_class])
            for whale in snapshot.live_whales():
                self.assertEqual(walk.look_up(whale.base), (heap.REGISTRY_WHALE, whale.address))
                self.assertEqual(walk.look_up(whale.base + heap.UNIT_BYTES), (0, 0))
            for nobodys in (0, 4096, id(self) & ~15, 1 << 47, 1 << 63):
                self.assertEqual(walk.look_up(nobodys), (0, 0), hex(nobodys))

    def check_core(self, program: pathlib.Path, preload: bool) -> None:
        """A core file of a process says what the process says."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "core"
            with Running(program, preload) as running:
                running.reached("start")
                running.go_to("full")
                live_process = memory.LiveProcess(running.pid)
                expected = heap.Walker(view.attach(live_process)).snapshot()
                path.write_bytes(core_writer.core_of(live_process))
            file = core_file.CoreFile(path)
            self.addCleanup(file.close)
            walk = heap.Walker(view.attach(file))
            found = walk.snapshot()
            self.assertEqual(found.doubts, {})
            self.assertEqual(live(found), live(expected))
            self.assertEqual(found.superslabs, expected.superslabs)
            self.assertEqual(found.whales, expected.whales)
            self.assertEqual([owner.thread[0] for owner in found.heaps], [owner.thread[0] for owner in expected.heaps])
            self.check_bitmaps(walk, found)

    def test_core_files(self) -> None:
        self.check_core(FOLDER / "known", preload=True)
        self.check_core(FOLDER / "known_static", preload=False)

    def test_a_core_file_of_another_program(self) -> None:
        with Running(FOLDER / "known", preload=False) as running, tempfile.TemporaryDirectory() as folder:
            running.reached("start")
            path = pathlib.Path(folder) / "core"
            path.write_bytes(core_writer.core_of(memory.LiveProcess(running.pid)))
            file = core_file.CoreFile(path)
            self.addCleanup(file.close)
            with self.assertRaisesRegex(CommandError, rf"^core file {path} does not run on HAKMEM$"):
                view.attach(file)

    def test_options_in_force(self) -> None:
        with Running(FOLDER / "known", env={"HAKMEM_DECAY_MS": "123"}) as running:
            running.reached("start")
            options = view.options(walker(running.pid).view)
            self.assertEqual((options["DECAY_MS"], options["HUGE_PAGES"]), (123, 1))

    def test_options_as_a_user_would_spell_them(self) -> None:
        environment = {"HAKMEM_CONF": "on_error:warn,stats_file:/tmp/a b", "HAKMEM_ZEROING": "purge"}
        with Running(FOLDER / "known", env=environment) as running:
            running.reached("start")
            options = {option.name: option for option in view.options_in_force(walker(running.pid).view)}
            for name, value, source in (
                ("ON_ERROR", "warn", "HAKMEM_CONF"),
                ("STATS_FILE", "/tmp/a b", "HAKMEM_CONF"),
                ("ZEROING", "purge", "environment"),
                ("DECAY_MS", "500", "default"),
            ):
                self.assertEqual((options[name].value, options[name].source), (value, source))

    def test_while_the_process_is_stopped(self) -> None:
        with Running(FOLDER / "known") as running:
            running.reached("start")
            walk = walker(running.pid)
            before = live(walk.snapshot())
            running.go_to("full")
            os.kill(running.pid, signal.SIGSTOP)
            self.check_phase(walk, before, FULL, [448 * KIB, 1024 * KIB], [46 * 64 * KIB, 77 * 64 * KIB])

    def test_control_words_can_be_set(self) -> None:
        with Running(FOLDER / "known") as running:
            running.reached("start")
            reader = memory.LiveProcess(running.pid)
            seen = view.attach(reader)
            word = seen.control("profile_interval_bytes")
            self.assertEqual(reader.word(word), 0)
            reader.write(word, (0).to_bytes(8, "little"))
            self.assertEqual(reader.word(word), 0)


class Refusals(unittest.TestCase):
    def test_not_on_hakmem(self) -> None:
        with Running(FOLDER / "known", preload=False) as running:
            running.reached("start")
            with self.assertRaisesRegex(CommandError, rf"^process {running.pid} \(known\) does not run on HAKMEM$"):
                view.attach(memory.LiveProcess(running.pid))

    def test_another_version(self) -> None:
        with Running(FOLDER / "other_version", preload=False) as running:
            running.reached("start")
            with self.assertRaisesRegex(
                CommandError, r"another version, HAKMEM 9\.8\.7 with view 2: this command reads view 1$"
            ):
                view.attach(memory.LiveProcess(running.pid))

    def test_no_such_process(self) -> None:
        with self.assertRaisesRegex(CommandError, "^no such process: 4194304$"):
            memory.LiveProcess(1 << 22)

    def test_a_process_that_has_ended(self) -> None:
        with Running(FOLDER / "known") as running:
            running.reached("start")
            walk = walker(running.pid)
            os.kill(running.pid, signal.SIGKILL)
            os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
            with self.assertRaisesRegex(CommandError, "has ended|has no memory|no memory"):
                walk.snapshot()
            with self.assertRaisesRegex(CommandError, "no memory"):
                memory.LiveProcess(running.pid)

    def test_another_file_with_the_word_in_it_is_no_view(self) -> None:
        """This process has it among its constants."""
        self.assertIn(elf.MAGIC, [elf.MAGIC])
        self.assertIsNone(elf.find(memory.LiveProcess(os.getpid())))


if __name__ == "__main__":
    unittest.main()
