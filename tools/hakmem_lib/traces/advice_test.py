"""Advice from figures that are known: what is better is found, and chance is not."""

from __future__ import annotations

import random
import unittest
from typing import Any, Callable, Mapping

from tools.hakmem_lib.commands import advise as command
from tools.hakmem_lib.traces import advice, settings
from tools.hakmem_lib.traces.settings import DEFAULTS, Setting

MIB = 1 << 20
FASTER = Setting((("A", 1),))
SMALLER = Setting((("B", 2 << 10),))
TRADER = Setting((("C", 3),))
WORSE = Setting((("D", 4),))
EVEN = [Setting((("E", value),)) for value in range(20)]
FIGURES = {"operations": 1000, "program": "/bin/program"}

# Shares of time and memory.
EFFECTS = {"A": (0.8, 1.0), "B": (1.0, 0.6), "C": (0.7, 1.5), "D": (1.3, 1.2)}


def player(noise: float, seed: int = 1) -> Callable[[Setting], Mapping[str, Any]]:
    """A program of 100 ms and 100 MiB."""
    dice = random.Random(seed)

    def play(setting: Setting) -> Mapping[str, Any]:
        time = memory = 1.0
        for name, _ in setting.values:
            time *= EFFECTS.get(name, (1, 1))[0]
            memory *= EFFECTS.get(name, (1, 1))[1]
        time *= 1 + dice.uniform(-noise, noise)
        return {"cpu_s": 0.1 * time, "peak_rss_bytes": 100 * MIB * memory, "page_faults": 1000 * memory}

    return play


class AdviceTest(unittest.TestCase):
    def test_what_is_better_is_found(self) -> None:
        found = advice.advise(player(0.02), [FASTER, SMALLER, TRADER, WORSE, *EVEN], 7)
        self.assertEqual({effect.setting for effect in found.better}, {FASTER, SMALLER})
        self.assertEqual([effect.setting for effect in found.traded], [TRADER])
        by_setting = {effect.setting: effect for effect in found.better}
        self.assertAlmostEqual(by_setting[FASTER].time, -0.2, delta=0.03)
        self.assertEqual(by_setting[FASTER].memory, 0)
        self.assertAlmostEqual(by_setting[SMALLER].memory, -0.4, delta=0.01)
        self.assertEqual(by_setting[SMALLER].time, 0)

    def test_the_best_together_is_measured_too(self) -> None:
        found = advice.advise(player(0.02), [FASTER, SMALLER, Setting((("A", 9),))], 7)
        assert found.together is not None
        self.assertEqual({name for name, _ in found.together.setting.values}, {"A", "B"})
        self.assertAlmostEqual(found.together.time, -0.2, delta=0.03)
        self.assertAlmostEqual(found.together.memory, -0.4, delta=0.01)
        self.assertIsNone(advice.advise(player(0.02), [FASTER], 7).together)

    def test_chance_is_no_advice(self) -> None:
        for seed in range(40):
            found = advice.advise(player(0.15, seed), EVEN, 7)
            self.assertEqual((found.better, found.traded, found.together), ([], [], None), seed)

    def test_small_memory_does_not_count(self) -> None:
        play = player(0.0)
        found = advice.advise(lambda setting: {**play(setting), "peak_rss_bytes": play(setting)["peak_rss_bytes"] / 100}, [SMALLER], 5)
        self.assertEqual(found.better, [])


class TextTest(unittest.TestCase):
    def text(self, tried: list[Setting]) -> str:
        return command.as_text("program.trace", FIGURES, advice.advise(player(0.01), tried, 5))

    def test_better(self) -> None:
        text = self.text([FASTER, SMALLER, TRADER])
        self.assertRegex(text, r"HAKMEM_A=1 +\d+\.\d ms +-(19|20|21) % +100\.0 MiB +same")
        self.assertRegex(text, r"HAKMEM_B=2k +\d+\.\d ms +same +60\.0 MiB +-40 % +-40 %")
        self.assertIn("together", text)
        self.assertIn("time for memory", text)

    def test_as_good(self) -> None:
        self.assertIn("The defaults are as good", self.text([*EVEN]))

    def test_with_a_price(self) -> None:
        self.assertIn("Nothing is better without a price", self.text([TRADER]))


class SettingsTest(unittest.TestCase):
    def test_numbers(self) -> None:
        self.assertEqual([settings.spell(n) for n in (0, 5, 1024, 3 << 20, 1 << 40)], ["0", "5", "1k", "3m", "1024g"])

    def test_only_what_there_is_and_is_no_default(self) -> None:
        tried = settings.candidates({"DECAY_MS": "50", "SURPLUS_BYTES": "4m", "OTHER": "1"})
        self.assertEqual([str(setting) for setting in tried], [
            "HAKMEM_SURPLUS_BYTES=0", "HAKMEM_SURPLUS_BYTES=64k", "HAKMEM_SURPLUS_BYTES=32m", "HAKMEM_SURPLUS_BYTES=1024g",
            "HAKMEM_DECAY_MS=0", "HAKMEM_DECAY_MS=5000"])

    def test_both(self) -> None:
        self.assertEqual(str(FASTER.beside(SMALLER)), "HAKMEM_A=1 HAKMEM_B=2k")
        self.assertEqual(DEFAULTS.environment(), {})


if __name__ == "__main__":
    unittest.main()
