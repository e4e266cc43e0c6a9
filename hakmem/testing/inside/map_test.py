"""hakmem map on real processes: the map is the heap, what is saved comes back, wrong input is refused."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

from hakmem.testing.harness import process
from hakmem.testing.inside.commands import Given, hakmem
from hakmem.testing.inside.running import FOLDER, Running
from tools.hakmem_lib import heap, memory, view
from tools.hakmem_lib.maps import model, page, store
from tools.hakmem_lib.maps.model import Map


def setUpModule() -> None:
    process.skip_emulated("it would see the emulator")


PYTHON = "/usr/bin/python3"
MIB = 1 << 20


class MapTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def map(self, *arguments: object) -> Given:
        given = hakmem("map", *arguments)
        self.assertEqual((given.status, given.stderr), (0, ""), given)
        return given

    def look(self, pid: int, name: str = "a") -> Map:
        path = self.folder / f"{name}.json.gz"
        self.map(pid, "--save", path)
        return store.read(str(path))


class Real(MapTest):
    def live(self, found: Map, size: int) -> int:
        return sum(slab.live for slab in found.slabs() if slab.block_bytes == size)

    def check_is_the_heap(self, pid: int, found: Map) -> None:
        """Of a process that waits, the map is what the walk finds, block by block."""
        walker = heap.Walker(view.attach(memory.LiveProcess(pid)))
        snapshot = walker.snapshot()
        self.assertEqual(found.doubts, {})
        walked = {(slab.base, slab.size_class): slab for slab in snapshot.slabs()}
        mapped = {
            (superslab.base + slab.first_unit * heap.UNIT_BYTES, slab.size_class): slab
            for superslab in found.superslabs
            for slab in superslab.slabs
        }
        self.assertEqual(set(walked), set(mapped))
        for key, slab in mapped.items():
            assert slab.bits is not None
            if not slab.is_span:
                self.assertEqual(slab.bits.free, walker.bitmap(walked[key]))
        for index, row in enumerate(snapshot.class_figures()):
            slabs = [slab for slab in found.slabs() if slab.size_class == index]
            for name in ("free", "cached", "remote", "live"):
                self.assertEqual(sum(getattr(slab, name) for slab in slabs), getattr(row, name), (row.block_bytes, name))
        self.assertEqual(
            sorted((whale.base, whale.size, whale.state) for whale in found.whales),
            sorted((whale.base, whale.size, whale.state) for whale in snapshot.whales),
        )
        whales = sum(whale.size for whale in found.whales)
        self.assertEqual(sum(model.totals(found).values()), len(found.superslabs) * 2 * MIB + whales)

    def check_resident(self, found: Map) -> None:
        """Page by page and by HAKMEM's own sum."""
        assert found.resident is not None
        pages = sum((superslab.resident or 0).bit_count() for superslab in found.superslabs)
        self.assertAlmostEqual(pages * found.page_bytes, found.resident["superslabs"], delta=64 * 4096)
        whales = sum(whale.resident_bytes or 0 for whale in found.whales)
        self.assertAlmostEqual(whales, found.resident["whales"], delta=16 * 4096)

    def test_phases(self) -> None:
        with Running(FOLDER / "known") as running:
            running.reached("start")
            maps = {}
            for phase in ("full", "less"):
                running.go_to(phase)
                maps[phase] = self.look(running.pid, phase)
                self.check_is_the_heap(running.pid, maps[phase])
                self.check_resident(maps[phase])
            full, less = maps["full"], maps["less"]
            self.assertEqual([self.live(full, size) - self.live(less, size) for size in (768, 2048, 14336)], [500, 100, 0])
            self.assertEqual(sum(whale.state == "live" for whale in less.whales), 1)
            self.assertEqual({owner.name for owner in less.heaps if owner.tid}, {"known", "worker"})
            # The whale that is live was written to, all that was asked for.
            whale = next(found for found in less.whales if found.state == "live")
            self.assertGreaterEqual(whale.resident_bytes or 0, 3000 * 1000)
            self.assertEqual(set(whale.cells[:128]), {255})
            said = self.map("--diff", self.folder / "full.json.gz", self.folder / "less.json.gz", "-o", self.folder / "d.html")
            self.assertIn("SuperSlabs: ", said.stdout)
            compared = page.data_of((self.folder / "d.html").read_bytes())
            changes = [slab.change for slab in compared.slabs() if slab.change and slab.block_bytes == 768]
            self.assertEqual(sum(change.lost - change.gained for change in changes), 500)
            self.assertEqual(model.totals(compared), model.totals(less))

    def test_page_and_snapshot_have_the_same(self) -> None:
        with Running(FOLDER / "known") as running:
            running.reached("start")
            running.go_to("full")
            html, saved, again = (self.folder / name for name in ("a.html", "a.json.gz", "b.html"))
            said = self.map(running.pid, "-o", html, "--save", saved)
            self.assertRegex(said.stdout, r"a\.html: [\d,]+ SuperSlabs, [\d,]+ slabs and spans, 2 whales in [\d.]+ KiB\n")
            self.map(saved, "-o", again)
            self.assertEqual(html.read_bytes(), again.read_bytes())
            self.assertEqual(page.data_of(html.read_bytes()), store.read(str(saved)))

    def test_less_detail(self) -> None:
        with Running(FOLDER / "known") as running:
            running.reached("start")
            running.go_to("full")
            running.go_to("less")
            said = self.map(running.pid, "--detail", "0", "-o", self.folder / "a.html")
            found = page.data_of((self.folder / "a.html").read_bytes())
            self.assertGreater(found.left_out, 0)
            self.assertIn(f"{found.left_out:,} slabs without single blocks", said.stdout)
            self.assertEqual({slab.bits for slab in found.slabs() if 0 < slab.free < slab.blocks and slab.blocks > 1}, {None})

    def test_a_program_that_hakmem_is_linked_into(self) -> None:
        with Running(FOLDER / "known_static", preload=False) as running:
            running.reached("start")
            running.go_to("full")
            found = self.look(running.pid)
            self.check_is_the_heap(running.pid, found)

    def test_while_it_works(self) -> None:
        """What is torn is counted, and every map is one that can be."""
        code = """
import threading
def work():
    while True:
        [bytes(n * 37 % 5000) for n in range(3000)]
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
print('start', flush=True)
import sys
sys.stdin.read()
"""
        environment = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(process.LIBRARY.absolute()), "PYTHONMALLOC": "malloc"}
        with subprocess.Popen(
            [PYTHON, "-S", "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as program:
            try:
                assert program.stdout is not None
                self.assertEqual(program.stdout.readline(), "start\n")
                maps = [self.look(program.pid) for _ in range(8)]
                for found in maps:
                    self.assertGreater(len(found.superslabs), 0)
                    self.assertEqual(model.from_json(model.to_json(found)), found)
                    heads = sum(1 for _ in found.slabs()) + found.doubts.get("a slab that changed hands", 0)
                    self.assertLessEqual(heads, heap.UNITS * len(found.superslabs), "each unit is a slab's or a doubt once")
            finally:
                program.kill()


class WrongInput(MapTest):
    def check(self, named: str, *arguments: object) -> None:
        given = hakmem("map", *arguments)
        self.assertEqual((given.status, given.stdout, given.stderr.count("\n")), (2, "", 1), given)
        self.assertIn(named, given.stderr)

    def test_processes(self) -> None:
        out = self.folder / "a.html"
        self.check("no such process: 4194304", 1 << 22, "-o", out)
        self.check("no process number: '0'", "0", "-o", out)
        with Running(FOLDER / "known", preload=False) as running:
            running.reached("start")
            self.check(f"process {running.pid} (known) does not run on HAKMEM", running.pid, "-o", out)
        with Running(FOLDER / "other_version", preload=False) as running:
            running.reached("start")
            self.check("another version, HAKMEM 9.8.7 with view 2", running.pid, "-o", out)
        with Running(FOLDER / "known") as running:
            running.reached("start")
            os.kill(running.pid, signal.SIGKILL)
            os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
            self.check("no memory", running.pid, "-o", out)
        self.assertFalse(out.exists())

    def test_options(self) -> None:
        self.check("--wide", "1", "--wide")
        self.check("name a PID, a core file or a snapshot", "-o", "a.html")
        self.check("nowhere to write to: -o FILE.html or --save FILE.json.gz", "1")
        self.check("nowhere to write to: -o FILE.html", "--diff", "a", "b")
        self.check("--diff takes two snapshots", "1", "--diff", "a", "b", "-o", "c")
        self.check("--diff takes two snapshots", "--diff", "a", "b", "--save", "c")
        self.check("expected 2 arguments", "--diff", "a", "-o", "c")
        for wrong in ("all", "-1", "nan", "5000"):
            self.check("not a number of MiB from 0 to 1024", "1", f"--detail={wrong}", "-o", "a.html")

    def test_files(self) -> None:
        out = self.folder / "a.html"
        self.check("cannot read /no/such.json.gz: No such file", "/no/such.json.gz", "-o", out)
        self.check("cannot read /: Is a directory", "/", "-o", out)
        with Running(FOLDER / "known") as running:
            running.reached("start")
            self.check("cannot write /no/such/a.html: No such file", running.pid, "-o", "/no/such/a.html")
            self.check("cannot write /no/such/a.json.gz: No such file", running.pid, "--save", "/no/such/a.json.gz")
            saved = self.folder / "a.json.gz"
            self.map(running.pid, "--save", saved)
        half = self.folder / "half.json.gz"
        half.write_bytes(saved.read_bytes()[:-100])
        self.check(f"{half} is truncated", half, "-o", out)
        self.check(f"{half} is truncated", "--diff", saved, half, "-o", out)
        other = self.folder / "other"
        other.write_text("something else")
        self.check(f"{other} is no snapshot of hakmem map", other, "-o", out)
        with Running(FOLDER / "known") as running:
            running.reached("start")
            self.map(running.pid, "--save", other)
        self.check("the snapshots are of two processes", "--diff", saved, other, "-o", out)
        self.assertFalse(out.exists())


if __name__ == "__main__":
    unittest.main()
