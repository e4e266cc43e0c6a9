"""Tests of the page: well-formed, complete, loading nothing, and right about who won. The charts are not drawn here."""

from __future__ import annotations

import html.parser
import json
import re
import tempfile
import unittest
from pathlib import Path

from bench.runner import library, page, report, testing
from bench.runner.compared import Compared
from bench.runner.library import Library
from bench.runner.measure import Failure, Sample
from bench.runner.results import Results
from bench.runner.session import FULL

_ALLOCATORS = [testing.OURS, testing.GLIBC, testing.MIMALLOC]
_WON, _LOST, _CRASHED = testing.row("won"), testing.row("lost"), testing.row("crashed<")
_REAL = testing.real_row("program")
_VOID = {"meta", "input", "wbr"}


def _document():
    """hakmem wins `won` in time and `lost` in memory; glibc crashes once; a real program that hakmem needs longest for."""
    results = Results([_WON, _LOST, _CRASHED, _REAL], _ALLOCATORS, 3)
    figures = {"won": ((200.0, 2048), (50.0, 1024), (100.0, 4096)), "lost": ((50.0, 1024), (100.0, 2048), (80.0, 4096)),
               "crashed<": ((1.0, 1024), (1.0, 1024), (1.0, 1024))}
    for row in (_WON, _LOST, _CRASHED):
        for allocator, (mops, rss_kb) in zip(_ALLOCATORS, figures[row.name]):
            for _ in range(3):
                results.cell(row, allocator).add(testing.sample(mops, rss_kb))
    results.cell(_CRASHED, testing.GLIBC).add(Failure("crash (SIGSEGV)", "a < b & c"))
    curve = {"malloc_ns": [[0.0, 10.0], [0.9, 20.0], [0.99, 50.0]]}
    for allocator, cpu_s, wall_s in zip(_ALLOCATORS, (1.5, 1.25, 1.0), (0.5, 1.0, 2.0)):
        for noise in (1.0, 1.0, 1.3 if allocator is testing.GLIBC else 1.0):
            results.cell(_REAL, allocator).add(Sample(1, wall_s, cpu_s * noise, 2048, {"rss_after_10s_kb": 5120.0}, curve))
    return json.loads(report.to_json(results, FULL, {"cores": "2", "commit": "abc"}, is_complete=True))


class _Tree(html.parser.HTMLParser):
    """Checks that every element is closed in its turn, and remembers what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str]]] = []
        self.loads: list[str] = []
        self.texts: list[tuple[tuple[str, str, str, str], str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        assert all(name in found for name, _ in attrs) and len(found) == len(attrs), f"an attribute twice: {attrs}"
        self.loads += [found[name] for name in ("src", "href", "data", "poster", "srcset") if found.get(name)]
        if tag not in _VOID:
            self.open.append((tag, found))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        def nearest(name):
            return next((found[name] for _, found in reversed(self.open) if name in found), "")
        if data.strip():
            key = (nearest("data-name"), nearest("data-allocator"), nearest("data-line"), nearest("class"))
            self.texts.append((key, data.strip()))


class PageTest(unittest.TestCase):
    def setUp(self):
        self.text = page.to_html(_document(), Library("/* the library */"))
        self.tree = _Tree(self.text)

    def bold(self, row, line):
        """The allocators whose figure is marked as the best of a row."""
        pattern = re.compile(rf'<span class="line win" data-line="{line}"')
        body = re.search(rf'<tr data-name="{row}".*?</tr>', self.text, re.S).group()
        cells = re.findall(r'<td[^>]*data-allocator="(\w+)"[^>]*>(.*?)</td>', body, re.S)
        self.assertEqual([name for name, _ in cells], ["hakmem", "glibc", "mimalloc"])
        return [name for name, cell in cells if pattern.search(cell)]

    def assert_shown(self, words):
        self.assertTrue(words in self.text, f"not in the page: {words}")

    def test_is_well_formed(self):
        self.assertEqual(self.tree.open, [])
        self.assertTrue(self.text.startswith("<!DOCTYPE html>"))

    def test_loads_nothing(self):
        self.assertEqual(sorted(self.tree.loads), ["results.csv", "results.json"])
        self.assert_shown("default-src 'none'")
        self.assertIsNone(re.search(r"@import|url\(|https?://|fetch\(|XMLHttpRequest", self.text))

    def test_has_every_row_and_allocator(self):
        for row in ("won", "lost", "crashed&lt;", "program"):
            self.assertEqual(self.text.count(f'<tr data-name="{row}"'), 1)
        for words in ("libc6 2.36", "libmimalloc2.0 2.0.9", "<dd>abc</dd>", "2 of 3 rows"):
            self.assert_shown(words)

    def test_winners(self):
        self.assertEqual(self.bold("won", "time"), ["hakmem"])
        self.assertEqual(self.bold("won", "rss"), ["glibc"])
        self.assertEqual(self.bold("lost", "time"), ["glibc"])
        self.assertEqual(self.bold("lost", "rss"), ["hakmem"])
        self.assertEqual(self.bold("program", "time"), ["mimalloc"])
        self.assertEqual(self.bold("program", "wall"), ["hakmem"])
        self.assertEqual(self.bold("program", "rss"), ["hakmem", "glibc", "mimalloc"])

    def test_losses_are_said_like_wins(self):
        verdicts = re.findall(r'<span class="line (\w+)" data-verdict="(\w+)">([^<]*)<', self.text)
        self.assertEqual(verdicts[:4], [("ahead", "time", "time 0.50 ahead"), ("behind", "rss", "RSS 2.00 behind"),
                                        ("behind", "time", "time 2.00 behind"), ("ahead", "rss", "RSS 0.50 ahead")])
        self.assertIn(("behind", "time", "CPU 1.50 behind"), verdicts)
        style = re.search(r"<style>(.*?)</style>", self.text, re.S).group(1)
        rules = re.findall(r"([^{}]*)\{([^{}]*)\}", style)
        for selector, rule in rules:
            if re.search(r"\.(behind|ahead|line|win)\b", selector):
                self.assertNotRegex(rule, r"font-size|opacity|display: none")

    def test_figures_and_units(self):
        shown = {key[:3]: text for key, text in reversed(self.tree.texts) if key[1]}
        self.assertEqual(shown["won", "hakmem", "time"], "5.00")
        self.assertEqual(shown["won", "glibc", "rss"], "1.00")
        self.assertEqual(shown["program", "mimalloc", "wall"], "2.00")
        self.assertEqual([text for key, text in self.tree.texts if key[:3] == ("lost", "glibc", "rss")], ["2.00", "0.50"])
        self.assert_shown("<td>5.00 MiB</td>")

    def test_large_units(self):
        shown = [page._with_unit("x_ns", value) for value in (9999.0, 12340.0, 8.881e6)]
        self.assertEqual(shown, ["9999 ns", "12.3 µs", "8.88 ms"])
        self.assertEqual(page._with_unit("rss_kb", None), "-")

    def test_means_are_apart_for_real_programs(self):
        lines = re.findall(r"<tr><th>(time, to [^<]*)</th>(.*?)</tr>", self.text)
        means = [(title, re.findall(r">([\d.]+)<", cells)) for title, cells in lines]
        self.assertEqual(means[0], ("time, to mimalloc", ["0.89", "1.26", "1.00"]))
        self.assertEqual(means[3], ("time, to mimalloc", ["1.50", "1.25", "1.00"]))

    def test_noise_and_failures_are_shown(self):
        self.assert_shown('<span class="noisy">~23 %</span>')
        self.assert_shown('<span class="failure">crash (SIGSEGV)</span>')
        self.assert_shown("crashed&lt; under glibc: crash (SIGSEGV): <code>a &lt; b &amp; c</code>")

    def test_script_gets_the_curves(self):
        data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', self.text, re.S).group(1))
        self.assertEqual(data["curves"]["program"]["glibc"]["malloc_ns"][2], [0.99, 50.0])
        self.assertEqual(self.text.count('<canvas data-row="program" data-curve="malloc_ns">'), 1)

    def test_library_is_embedded_once(self):
        self.assertEqual(self.text.count("/* the library */"), 1)


class NoLibraryTest(unittest.TestCase):
    def test_page_says_what_is_missing_and_why(self):
        missing = library.load([Path("/nonexistent/chart.min.js")])
        text = page.to_html(_document(), missing)
        self.assertEqual(_Tree(text).open, [])
        self.assertIn("The charts are missing: Chart.js is not installed (Debian: apt-get install libjs-chart.js).", text)
        self.assertNotIn("<canvas", text)
        self.assertIn('<tr data-name="won"', text)

    def test_library_that_would_end_the_script_is_not_embedded(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "chart.min.js"
            path.write_text("'</SCRIPT>'", encoding="utf-8")
            self.assertEqual(library.load([path]).source, "")
            path.write_text("let x;", encoding="utf-8")
            self.assertEqual(library.load([Path("/nonexistent"), path]).source, "let x;")


class ComparedTest(unittest.TestCase):
    def test_won_counts_what_is_level_with_the_best(self):
        compared = Compared(_document())
        self.assertEqual(compared.won("hakmem", lambda cell: cell.time, real=False), 2)
        self.assertEqual(compared.won("mimalloc", lambda cell: cell.time, real=True), 1)
        self.assertEqual(compared.won("hakmem", lambda cell: cell.time, real=True), 0)

    def test_subject_is_the_first_where_hakmem_was_not_measured(self):
        document = _document()
        document["allocators"] = document["allocators"][1:]
        self.assertEqual(Compared(document).subject, "glibc")


if __name__ == "__main__":
    unittest.main()
