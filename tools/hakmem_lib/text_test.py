"""Sizes, columns, trends and rates as they are written."""

from __future__ import annotations

import unittest

from tools.hakmem_lib import rates, screen, text
from tools.hakmem_lib.memory import Usage


class Text(unittest.TestCase):
    def test_sizes(self) -> None:
        for count, words in (
            (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (-40960, "-40.0 KiB"), (1536 << 10, "1.5 MiB"),
            (1023 << 10, "1023 KiB"), (3 << 30, "3.0 GiB"), (5 << 40, "5.0 TiB"), (None, "-"),
        ):  # fmt: skip
            self.assertEqual(text.size(count), words)

    def test_durations(self) -> None:
        for ns, words in ((0, "0 ns"), (999, "999 ns"), (1500, "1.5 us"), (2.5e6, "2.5 ms"), (3e9, "3.0 s")):
            self.assertEqual(text.duration(ns), words)

    def test_percent(self) -> None:
        self.assertEqual((text.percent(1, 8), text.percent(1, 0)), ("12.5 %", "-"))

    def test_counts(self) -> None:
        self.assertEqual([text.counted(n, "page") for n in (0, 1, 2, 1000)], ["0 pages", "1 page", "2 pages", "1,000 pages"])

    def test_columns(self) -> None:
        self.assertEqual(text.columns([("a", "1"), ("long", "22", "x")]), "  a      1\n  long  22  x\n")
        self.assertEqual(text.columns([]), "")


class Trends(unittest.TestCase):
    def test_bars(self) -> None:
        self.assertEqual(screen.sparkline([0, 1, 2, 4, 8], 9), " ▁▂▄█")
        self.assertEqual(screen.sparkline([1, 2, 4], 2), "▄█")
        self.assertEqual(screen.sparkline([0, 0], 9), "  ")
        self.assertEqual(screen.sparkline([], 9), "")


def sample(at_s: float, refills: int, thread_refills: int, cpu_s: float = 0, faults: int = 0) -> rates.Sample:
    report = {"slow_paths": {"refills": refills}, "threads": [{"heap": "0x1", "refills": thread_refills}]}
    return rates.Sample(at_s, Usage(cpu_s, faults, 0), report)


class Rates(unittest.TestCase):
    def test_between_two(self) -> None:
        now = sample(12, 300, 50, cpu_s=1, faults=60)
        between = rates.Rates(sample(10, 100, 20, cpu_s=0.5, faults=20), now)
        self.assertEqual(between.of("slow_paths", "refills"), 100)
        self.assertEqual(between.of_thread(now.report["threads"][0], "refills"), 15)
        self.assertEqual((between.cpu(), between.page_faults()), (0.25, 20))

    def test_classes(self) -> None:
        before, now = sample(10, 0, 0), sample(12, 0, 0)
        before.report["classes"], now.report["classes"] = [{"block_bytes": 64, "refills": 3}], [
            {"block_bytes": 64, "refills": 9}
        ]
        between = rates.Rates(before, now)
        self.assertEqual(between.of_class({"block_bytes": 64, "refills": 9}, "refills"), 3)
        self.assertEqual(between.of_class({"block_bytes": 80, "refills": 4}, "refills"), 2)

    def test_a_thread_that_is_new(self) -> None:
        now = sample(12, 0, 50)
        self.assertEqual(rates.Rates(sample(10, 0, 0), now).of_thread({"heap": "0x2", "refills": 8}, "refills"), 4)

    def test_without_one_before(self) -> None:
        now = sample(12, 300, 50)
        first = rates.Rates(None, now)
        self.assertEqual(
            (first.of("slow_paths", "refills"), first.of_thread(now.report["threads"][0], "refills"), first.cpu()),
            (0, 0, 0),
        )

    def test_what_went_down_is_no_rate(self) -> None:
        """A heap left out of one sample."""
        self.assertEqual(rates.Rates(sample(10, 100, 0), sample(11, 50, 0)).of("slow_paths", "refills"), 0)


if __name__ == "__main__":
    unittest.main()
