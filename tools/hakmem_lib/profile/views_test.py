"""Tests of the views: leaks by age, fragmentation by what pins it; and of reading files."""

from __future__ import annotations

import pathlib
import struct
import tempfile
import unittest
import xml.etree.ElementTree

from tools.hakmem_lib.errors import CommandError
from tools.hakmem_lib.profile import data, flame, symbols, views
from tools.hakmem_lib.profile.data import ClassTotal, Profile, Sample, Site, Sum
from tools.hakmem_lib.profile.symbols import Line


def _profile(samples: list[Sample], sites: int = 3, classes: tuple[ClassTotal, ...] = ()) -> Profile:
    rows = [Site((), Sum(), Sum(), Sum(), 1, 0, 0) for _ in range(sites)]
    return Profile(1, 1024, 1000, 11000, rows, samples, list(classes), 0, [])


class Leak(unittest.TestCase):
    def test_old_is_a_tenth_of_the_profile(self) -> None:
        profile = _profile([Sample(1, 100, 112, 2, 10500, 0), Sample(2, 100, 112, 2, 9000, 1), Sample(3, 50, 64, 3, 1000, 1)])
        self.assertEqual(views.leak(profile), {1: Sum(5, 350)})

    def test_and_older_than_blocks_of_its_site_become(self) -> None:
        profile = _profile([Sample(1, 100, 112, 1, 3000, 0)])
        self.assertIn(0, views.leak(profile))
        profile.sites[0].freed_samples, profile.sites[0].freed_age_ms = 2, 6000
        self.assertEqual(views.leak(profile), {})

    def test_or_what_the_user_says(self) -> None:
        profile = _profile([Sample(1, 100, 112, 1, 10000, 0), Sample(2, 100, 112, 1, 8000, 1)])
        self.assertEqual(list(views.leak(profile, 2000)), [1])


def _pinning(site: int, weight: float, free: int, size_class: int = 0) -> Sample:
    sample = Sample(1, 64, 64, weight, 1000, site)
    sample.size_class, sample.slab_blocks, sample.slab_free = size_class, 1000, free
    return sample


class Fragmentation(unittest.TestCase):
    def test_a_block_alone_in_its_slab_has_all_of_it(self) -> None:
        classes = (ClassTotal(64, 2000, 1001),)
        out = views.fragmentation(_profile([_pinning(0, 1, 999), _pinning(1, 1, 0)], classes=classes))
        self.assertEqual(list(out), [0], "full slabs have nothing that is free")
        self.assertAlmostEqual(out[0].bytes, 999 * 64)

    def test_shares_follow_weight_and_crowd_and_come_to_what_there_is(self) -> None:
        classes = (ClassTotal(64, 10000, 4000),)
        out = views.fragmentation(_profile([_pinning(0, 10, 900), _pinning(1, 90, 500)], classes=classes))
        first, second = 10 * 900 / 100, 90 * 500 / 500
        self.assertAlmostEqual(out[0].bytes / out[1].bytes, first / second)
        self.assertAlmostEqual(views.total(out).bytes, 6000 * 64)
        self.assertEqual(views.stranded(_profile([], classes=classes)), 6000 * 64)

    def test_classes_are_apart(self) -> None:
        classes = (ClassTotal(64, 1000, 500), ClassTotal(80, 1000, 999))
        out = views.fragmentation(_profile([_pinning(0, 1, 500), _pinning(1, 1000, 1, 1)], classes=classes))
        self.assertAlmostEqual(out[0].bytes, 500 * 64)
        self.assertAlmostEqual(out[1].bytes, 80)

    def test_large_blocks_pin_no_slab(self) -> None:
        self.assertEqual(views.fragmentation(_profile([Sample(1, 1 << 20, 1 << 20, 1, 0, 0)])), {})


def _file(**changed: int) -> bytes:
    header = {"pid": 7, "mean": 512, "started": 10, "now": 20, "classes": 1, "sites": 1, "samples": 2, "dropped": 3}
    header.update(changed)
    words = [14, *header.values(), 0, 0, 0, 0, 0, 0]
    words += [64, 1000, 2, 1500]  # a class
    words += [2, 256, 64, 512, 128, 256, 64, 5, 2, 30, 0x1234, 0x5678]  # a site
    words += [0x7000, 60, 64, 384, 12, 0, 1, 1000, 400]
    words += [0, 0, 0, 0, 0, 0, 0, 0, 0]
    return data.MAGIC + struct.pack(f"<{len(words)}Q", *words) + b"1000-2000 r-xp 00000000 08:01 12 /bin/thing\nend\n"


class Files(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "profile"

    def read(self, content: bytes) -> Profile:
        self.path.write_bytes(content)
        return data.read_file(self.path)

    def test_all_of_it(self) -> None:
        profile = self.read(_file())
        self.assertEqual((profile.pid, profile.mean_bytes, profile.duration_ms, profile.dropped), (7, 512, 10, 3))
        (site,) = profile.sites
        self.assertEqual(site.frames, (0x1234, 0x5678))
        self.assertEqual((site.allocated, site.live, site.peak), (Sum(1, 64), Sum(2, 128), Sum(1, 64)))
        self.assertEqual((site.samples, site.freed_samples, site.mean_age_ms), (5, 2, 15))
        (sample,) = profile.samples
        self.assertEqual((sample.size, sample.weight, sample.bytes), (60, 1.5, 90))
        self.assertEqual((sample.size_class, sample.slab_blocks, sample.slab_free), (0, 1000, 400))
        self.assertEqual(profile.classes[0].stranded, 500 * 64)
        self.assertEqual(profile.mappings[0].path, "/bin/thing")

    def test_wrong_files_are_named(self) -> None:
        whole = _file()
        cases = {b"": "not a heap profile", b"ELF": "not a heap profile", b"HAKPROF2" + whole[8:]: "another version"}
        cases[whole[:8] + struct.pack("<Q", 15) + whole[16:]] = "another version"
        for cut in (8, 12, 16, 100, 200, 300, len(whole) - 48, len(whole) - 20, len(whole) - 4, len(whole) - 1):
            cases[whole[:cut]] = "cut off"
        for content, message in cases.items():
            with self.assertRaisesRegex(CommandError, f"{self.path}: .*{message}"):
                self.read(content)
        with self.assertRaisesRegex(CommandError, "cannot read /no/such"):
            data.read_file("/no/such")

    def test_samples_of_later_sites_are_left_out(self) -> None:
        content = bytearray(_file())
        at = len(data.MAGIC) + 8 * (15 + 4 + 12 + 5)
        content[at : at + 8] = struct.pack("<Q", 9)
        self.assertEqual(self.read(bytes(content)).samples, [])


class Symbolizer(unittest.TestCase):
    def test_output_with_inlined_calls(self) -> None:
        output = (
            "0x1139\ninner\n/src/a.c:5\nmain\n/src/a.c:12 (discriminator 2)\n"
            "0x2000\n??\n??:0\n0x2010\nf(int)\n??:?\n\n0x2020\ng\n/src/b.c:3:17\n"
        )
        self.assertEqual(
            symbols.parse_lines(output),
            [
                [Line("inner", "/src/a.c", 5), Line("main", "/src/a.c", 12)],
                [Line("??")],
                [Line("f(int)")],
                [Line("g", "/src/b.c", 3)],
            ],
        )


class FlameGraph(unittest.TestCase):
    def test_frames_lie_over_their_callers_and_are_as_wide_as_their_bytes(self) -> None:
        root = flame.build([([("main", "/bin/x"), ("f<int>", "/bin/x")], 300), ([("main", "/bin/x")], 100)])
        self.assertEqual((root.value, root.children[("main", "/bin/x")].own), (400, 100))
        text = flame.svg(root, "a & b", "c")
        tree = xml.etree.ElementTree.fromstring(text)
        groups = [group for group in tree.iter("{http://www.w3.org/2000/svg}g") if group.get("class") == "f"]
        seen = {group[0].text.splitlines()[0]: group for group in groups}
        self.assertEqual(set(seen), {"all", "main", "f<int>"})
        self.assertEqual(float(seen["f<int>"].get("data-w")), 0.75)
        self.assertEqual([seen[name].get("data-r") for name in ("all", "main", "f<int>")], ["0", "1", "2"])
        tops = [float(seen[name][1].get("y")) for name in ("all", "main", "f<int>")]
        self.assertEqual(tops, sorted(tops, reverse=True))
        self.assertIn("300 B, 75.0 %", seen["f<int>"][0].text)

    def test_deep_stacks_and_narrow_frames(self) -> None:
        deep = [(f"f{i}", "m") for i in range(3000)]
        text = flame.svg(flame.build([(deep, 1e6), ([("tiny", "m")], 1)]), "t", "s")
        self.assertIn(">f2999<", text.replace("\n", "<"))
        self.assertNotIn("tiny", text)
        flame.svg(flame.build([]), "nothing", "s")


if __name__ == "__main__":
    unittest.main()
