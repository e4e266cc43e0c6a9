"""The page of hakmem map in a real browser: what it shows is what was captured; zoom, filters, selection and difference do
what they say. Skipped where there is no Chromium (Debian: apt-get install chromium)."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tempfile
import unittest
from typing import Any

from hakmem.testing.harness import process
from hakmem.testing.inside import browser
from hakmem.testing.inside.browser import Browser
from hakmem.testing.inside.commands import hakmem
from hakmem.testing.inside.running import FOLDER, Running
from tools.hakmem_lib.maps import model, page, store
from tools.hakmem_lib.maps.model import Map


def setUpModule() -> None:
    process.skip_emulated("it would see the emulator")


# Of the light theme.
COLOURS = {"live": (0, 0x72, 0xB2), "free": (0xD5, 0xDA, 0xE1), "lost": (0xD5, 0x5E, 0), "same": (0xC9, 0xCE, 0xD6)}
NAMES = {"tails": "tail", "rooms": "room", "idle_whales": "idle"}


@unittest.skipUnless(browser.PROGRAM, "there is no Chromium here (Debian: apt-get install chromium)")
class MapPage(unittest.TestCase):
    folder: tempfile.TemporaryDirectory[str]
    browser: Browser
    full: Map
    less: Map

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # pylint: disable=consider-using-with
        cls.addClassCleanup(cls.folder.cleanup)
        with Running(FOLDER / "known") as running:
            running.reached("start")
            for phase in ("full", "less"):
                running.go_to(phase)
                cls.hakmem(running.pid, "--save", cls.path(f"{phase}.json.gz"), "-o", cls.path(f"{phase}.html"))
        cls.hakmem("--diff", cls.path("full.json.gz"), cls.path("less.json.gz"), "-o", cls.path("diff.html"))
        cls.full, cls.less = (store.read(str(cls.path(f"{phase}.json.gz"))) for phase in ("full", "less"))
        cls.browser = Browser(cls.folder.name + "/profile")
        cls.addClassCleanup(cls.browser.close)

    @classmethod
    def path(cls, name: str) -> pathlib.Path:
        return pathlib.Path(cls.folder.name) / name

    @classmethod
    def hakmem(cls, *arguments: object) -> None:
        given = hakmem("map", *arguments)
        if given.status != 0 or given.stderr:
            raise AssertionError(given)

    def setUp(self) -> None:
        self.browser.errors.clear()
        self.browser.requests.clear()

    def tearDown(self) -> None:
        self.assertEqual(self.browser.errors, [])
        self.assertEqual([url for url in self.browser.requests if not url.startswith(("file:", "about:"))], [])

    def open(self, name: str, fragment: str = "theme=light") -> None:
        self.browser.open(self.path(name), fragment)

    def text(self, name: str) -> str:
        return self.browser.run(f"document.getElementById({json.dumps(name)}).textContent")

    def choose(self, name: str, value: str) -> None:
        """As one picks from a list."""
        self.assertTrue(
            self.browser.run(
                f"(() => {{ const list = document.getElementById('{name}'); list.value = {json.dumps(value)};"
                "list.dispatchEvent(new Event('change')); return list.value; })()"
            )
            == value
        )
        self.browser.drawn()

    def shown(self) -> dict[str, dict[str, int]]:
        return self.browser.run("app.found")

    def bytes_shown(self) -> dict[str, int]:
        return {name: row["bytes"] for name, row in self.shown().items()}

    def screen(self, address: int) -> tuple[float, float]:
        """Where the middle of a block is, on the page."""
        x, y = self.browser.run(
            f"(() => {{ const at = placeOf(app.layout, {address}), box = app.canvas.getBoundingClientRect();"
            "return [box.left + (at.x - app.view.x) * app.view.scale, box.top + (at.y - app.view.y) * app.view.scale]; })()"
        )
        return x, y

    def colour(self, address: int) -> tuple[int, ...]:
        """What is drawn near the upper left corner of the block, beside its mark."""
        return tuple(
            self.browser.run(
                f"(() => {{ const at = placeOf(app.layout, {address}), slab = hitAt(app.layout, at.x, at.y).piece.slab;"
                "const x = at.x - 0.35 * slab.units / slab.columns, y = at.y - 0.35 / slab.rows, view = app.view;"
                "const pixel = app.canvas.getContext('2d').getImageData((x - view.x) * view.scale, (y - view.y) * view.scale, 1, 1);"
                "return [...pixel.data].slice(0, 3); })()"
            )
        )

    def go_to(self, address: int) -> None:
        self.browser.run(f"app.goTo({address})")
        self.browser.run("app.select(null)")
        self.browser.drawn()

    def block(self, heap: Map, size: int, kind: str) -> int:
        """Address of a block in such a state."""
        for superslab in heap.superslabs:
            for slab in superslab.slabs:
                bits = slab.bits
                if slab.block_bytes != size or bits is None:
                    continue
                mask = {"free": bits.free, "cached": bits.cached, "live": ((1 << slab.blocks) - 1) & ~bits.idle}[kind]
                if mask:
                    index = (mask & -mask).bit_length() - 1
                    return superslab.base + slab.first_unit * 65536 + index * size
        raise AssertionError(f"no such block: {size}, {kind}")

    # --- what it says ---

    def test_totals_are_those_of_the_snapshot(self) -> None:
        self.open("less.html")
        expected = {NAMES.get(name, name): count for name, count in model.totals(self.less).items()}
        self.assertEqual(self.bytes_shown(), expected)
        self.assertIn("heap of known, process", self.text("title"))
        blocks = sum(slab.live for slab in self.less.slabs()) + sum(whale.state == "live" for whale in self.less.whales)
        self.assertEqual(self.shown()["live"]["blocks"], blocks)

    def test_every_block_and_page(self) -> None:
        self.open("less.html")
        found: Any = self.browser.run(
            "app.heap.superslabs.map((superslab) => [superslab.base, superslab.resident && [...superslab.resident].join(''),"
            "superslab.slabs.map((slab) => [...slab.states()].join(''))])"
        )
        expected = []
        for superslab in self.less.superslabs:
            rows = []
            for slab in superslab.slabs:
                assert slab.bits is not None
                parts = ((slab.bits.free, "3"), (slab.bits.cached, "1"), (slab.bits.remote, "2"))
                rows.append(
                    "".join(
                        next((name for bits, name in parts if bits >> index & 1), "0") for index in range(slab.blocks)
                    )
                )
            pages = superslab.resident
            expected.append(
                [superslab.base, None if pages is None else "".join(str(pages >> page & 1) for page in range(512)), rows]
            )
        self.assertEqual(found, expected)

    def test_of_a_core_file_residency_is_not_known(self) -> None:
        superslabs = [dataclasses.replace(superslab, resident=None) for superslab in self.full.superslabs]
        whales = [dataclasses.replace(whale, resident_bytes=None, cells=b"") for whale in self.full.whales]
        core = dataclasses.replace(self.full, is_core=True, resident=None, superslabs=superslabs, whales=whales)
        self.path("core.html").write_bytes(page.build(core))
        self.open("core.html")
        self.assertIn(f"heap of known, process {core.pid}, in a core file", self.text("title"))
        self.assertIn("A core file does not say which pages were resident.", self.text("notes"))
        self.assertNotIn("dark where memory backs it", self.text("notes"))
        disabled = "[document.querySelector('#colour [value=resident]').disabled, document.getElementById('resident').disabled]"
        self.assertEqual(self.browser.run(disabled), [True, True])
        self.open("full.html")
        self.assertEqual(self.browser.run(disabled), [False, False])
        self.assertIn("dark where memory backs it", self.text("notes"))

    def test_every_place_is_found_again(self) -> None:
        """What is drawn where a block is said to be is that block."""
        self.open("less.html")
        wrong = self.browser.run(
            "app.heap.superslabs.flatMap((superslab) => superslab.slabs).filter((slab) => !slab.isSpan).flatMap((slab) =>"
            "[0, 1, slab.rows, slab.blocks >> 1, slab.blocks - 1].filter((block) => block < slab.blocks).filter((block) => {"
            "  const at = placeOf(app.layout, slab.base + block * slab.blockBytes + slab.blockBytes - 1);"
            "  const hit = hitAt(app.layout, at.x, at.y);"
            "  return !hit || hit.piece.slab !== slab || hit.block !== block; }).map((block) => [slab.base, block]))"
        )
        self.assertEqual(wrong, [])

    # --- zoom ---

    def test_the_wheel_zooms_where_the_mouse_is(self) -> None:
        self.open("less.html")
        x, y = self.screen(self.block(self.less, 768, "live"))
        under = (
            "(() => { const box = app.canvas.getBoundingClientRect();"
            f"return app.hit({x} - box.left, {y} - box.top).piece.slab.base; }})()"
        )
        before, scale = self.browser.run(under), self.browser.run("app.view.scale")
        for _ in range(4):
            self.browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-400)
        self.browser.drawn()
        self.assertEqual(self.browser.run(under), before)
        self.assertGreater(self.browser.run("app.view.scale"), 10 * scale)
        for _ in range(20):
            self.browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=400)
        self.assertLess(self.browser.run("app.view.scale"), scale)

    def test_near_by_every_block_has_its_colour(self) -> None:
        self.open("less.html")
        for kind in ("live", "free"):
            address = self.block(self.less, 768, kind)
            self.go_to(address)
            self.assertEqual(self.colour(address), COLOURS[kind], kind)

    def test_buttons_keys_and_dragging(self) -> None:
        self.open("less.html")
        scale = self.browser.run("app.view.scale")
        self.browser.run("document.getElementById('in').click()")
        self.assertAlmostEqual(self.browser.run("app.view.scale"), 1.6 * scale)
        self.browser.run("document.getElementById('out').click(); document.getElementById('map').focus()")
        self.browser.key("+")
        self.assertAlmostEqual(self.browser.run("app.view.scale"), 1.6 * scale)
        left = self.browser.run("app.view.x")
        self.browser.key("ArrowRight")
        self.assertGreater(self.browser.run("app.view.x"), left)
        self.browser.mouse("mousePressed", 400, 400, button="left", buttons=1, clickCount=1)
        self.browser.mouse("mouseMoved", 500, 450, button="left", buttons=1)
        self.browser.mouse("mouseReleased", 500, 450, button="left", clickCount=1)
        self.assertLess(self.browser.run("app.view.x"), left)
        self.assertIn("Click a block", self.text("details"))
        self.browser.key("0")
        self.assertAlmostEqual(self.browser.run("app.view.scale"), scale)

    def test_windows_of_another_size(self) -> None:
        self.addCleanup(self.browser.resize, 1300, 800)
        address = self.block(self.less, 768, "free")
        self.open("less.html", f"theme=light&at={address:#x}")
        for width, height in ((600, 1200), (1900, 500)):
            self.browser.resize(width, height)
            self.browser.drawn()
            self.assertEqual(self.colour(address), COLOURS["free"])
            self.browser.run("document.getElementById('whole').click()")
            self.browser.drawn()
            self.assertIn(f"at {address:#x}", self.text("details"))
            self.assertTrue(self.browser.run("app.layout.places.includes(app.selected.place)"))
            self.browser.run(f"app.goTo({address})")
            self.browser.drawn()

    # --- details ---

    def test_hover_click_and_the_way_back(self) -> None:
        self.open("less.html")
        address = self.block(self.less, 768, "free")
        self.go_to(address)
        x, y = self.screen(address)
        self.browser.mouse("mouseMoved", x, y)
        self.assertIn(f"at {address:#x}\nstate: free in its slab\nresident: ", self.text("tip"))
        self.assertIn("of: ", self.text("tip"))
        self.browser.click(x, y)
        self.assertIn(f"at {address:#x}\n", self.text("details"))
        fragment = self.browser.run("location.hash").lstrip("#")
        self.assertEqual(fragment, f"at={address:#x}")
        self.open("less.html", fragment)
        self.assertIn(f"at {address:#x}\n", self.text("details"))

    def test_spans_and_whales(self) -> None:
        self.open("less.html")
        whale = next(found for found in self.less.whales if found.state == "live")
        self.browser.run(f"app.goTo({whale.base + 5})")
        self.assertIn(f"whale at {whale.base:#x}", self.text("details"))
        self.assertIn("resident: ", self.text("details"))
        for superslab in self.less.superslabs:
            for slab in superslab.slabs:
                if slab.is_span:
                    self.browser.run(f"app.goTo({superslab.base + slab.first_unit * 65536})")
                    self.assertIn("span at ", self.text("details"))

    def test_addresses(self) -> None:
        self.open("less.html")
        find = "document.getElementById('address').value = '{}'; document.querySelector('button[type=submit]').click()"
        address = self.block(self.less, 2048, "live")
        self.browser.run(find.format(f"{address + 77:#x}"))
        self.assertIn(f"at {address:#x}\nstate: live", self.text("details"))
        for wrong in ("0x10", "redis", ""):
            self.browser.run(find.format(wrong))
            self.assertIn("is no address in a SuperSlab or whale", self.text("status"))

    # --- filters ---

    def test_class(self) -> None:
        self.open("less.html")
        index = next(index for index, row in enumerate(self.less.classes) if row[0] == 768)
        self.choose("class", str(index))
        slabs = [slab for slab in self.less.slabs() if slab.size_class == index]
        shown = self.shown()
        for name in ("live", "cached", "remote", "free"):
            self.assertEqual(shown[name]["blocks"], sum(getattr(slab, name) for slab in slabs), name)
        self.assertEqual(sum(self.bytes_shown().values()), sum(slab.units for slab in slabs) * 65536)
        inside, outside = self.block(self.less, 768, "live"), self.block(self.less, 2048, "live")
        self.go_to(inside)
        self.assertEqual(self.colour(inside), COLOURS["live"])
        self.go_to(outside)
        self.assertGreater(min(self.colour(outside)), 200)  # hardly there

    def test_state(self) -> None:
        self.open("less.html")
        self.choose("state", "free")
        shown = self.bytes_shown()
        self.assertEqual(shown.pop("free"), model.totals(self.less)["free"])
        self.assertEqual(sum(shown.values()), 0)
        free, live = self.block(self.less, 768, "free"), self.block(self.less, 768, "live")
        self.go_to(free)
        self.assertEqual(self.colour(free), COLOURS["free"])
        self.assertNotEqual(self.colour(live), COLOURS["live"])

    def test_threads_and_residency_share_the_heap_out(self) -> None:
        self.open("less.html")
        whole = self.shown()
        states = ("live", "cached", "remote", "free")
        for name in ("heap", "resident"):
            sums = {state: 0 for state in states}
            options = self.browser.run(f"[...document.getElementById('{name}').options].map((option) => option.value)")
            self.assertGreater(len(options), 2)
            for value in options[1:]:
                self.choose(name, value)
                for state in states:
                    sums[state] += self.shown()[state]["blocks"]
            self.choose(name, "")
            whales = sum(whale.state == "live" for whale in self.less.whales) if name == "heap" else 0
            for state in states:
                expected = whole[state]["blocks"] - (whales if state == "live" else 0)
                self.assertEqual(sums[state], expected, (name, state))

    def test_the_fragment_keeps_filters(self) -> None:
        self.open("less.html", "state=cached&colour=class&resident=yes&heap=nonsense")
        self.assertEqual(
            self.browser.run("['state', 'colour', 'resident', 'heap'].map((id) => document.getElementById(id).value)"),
            ["cached", "class", "yes", ""],
        )

    def test_every_colouring_draws(self) -> None:
        self.open("diff.html")
        pictures = set()
        for mode in ("state", "class", "heap", "resident", "age", "change"):
            self.choose("colour", mode)
            pictures.add(self.browser.run("app.canvas.toDataURL()"))
        self.browser.run("document.getElementById('theme').click()")
        self.browser.drawn()
        pictures.add(self.browser.run("app.canvas.toDataURL()"))
        self.assertEqual(len(pictures), 7)

    # --- difference ---

    def test_difference(self) -> None:
        self.open("diff.html")
        compared = page.data_of(self.path("diff.html").read_bytes())
        self.assertIn("what changed in known", self.text("title"))
        expected = {NAMES.get(name, name): count for name, count in model.totals(self.less).items()}
        self.assertEqual(self.bytes_shown(), expected)
        # known.c frees 500 blocks of 768 bytes, 100 of 2048, a span and a whale.
        self.assertIn("vanished", self.text("change-table"))
        lost = {768: 0, 2048: 0}
        for slab in compared.slabs():
            if slab.block_bytes in lost and slab.change is not None:
                lost[slab.block_bytes] += slab.change.lost - slab.change.gained
        self.assertEqual(lost, {768: 500, 2048: 100})
        where = next(
            (superslab.base + slab.first_unit * 65536, slab)
            for superslab in compared.superslabs
            for slab in superslab.slabs
            if slab.block_bytes == 768 and slab.change is not None and slab.change.lost_bits
        )
        base, slab = where
        assert slab.change is not None and slab.change.lost_bits and slab.bits is not None
        gone = (slab.change.lost_bits & -slab.change.lost_bits).bit_length() - 1
        stays = ((1 << slab.blocks) - 1) & ~slab.bits.idle & ~(slab.change.gained_bits or 0)
        kept = (stays & -stays).bit_length() - 1
        self.go_to(base + gone * 768)
        self.assertEqual(self.colour(base + gone * 768), COLOURS["lost"])
        self.assertEqual(self.colour(base + kept * 768), COLOURS["same"])
        self.browser.run(f"app.goTo({base + gone * 768})")
        self.assertIn("since: freed", self.text("details"))

    def test_filter_of_changes(self) -> None:
        self.open("diff.html")
        index = next(index for index, row in enumerate(self.less.classes) if row[0] == 768)
        self.choose("class", str(index))
        self.choose("change", "lost")
        shown = self.shown()
        self.assertEqual(shown["live"]["blocks"], 0)  # what was freed is not live
        self.assertEqual(sum(shown[state]["blocks"] for state in ("cached", "remote", "free")), 500)

    # --- what cannot be shown ---

    def test_damaged(self) -> None:
        data = self.path("less.html").read_bytes()
        at = data.index(b'id="data">') + 200
        self.path("damaged.html").write_bytes(data[:at] + b"AAAAAAAA" + data[at + 8 :])
        self.open("damaged.html")
        self.assertIn("This page cannot be shown", self.text("status"))
        self.browser.errors.clear()


if __name__ == "__main__":
    unittest.main()
