"""Advice from figures that are known: what is better is found, and chance is not."""

from __future__ import annotations

import contextlib
import io
import random
import unittest
from typing import Any, Callable, Mapping
from unittest import mock

from tools.hakmem_lib import option_table
from tools.hakmem_lib.commands import advise as command
from tools.hakmem_lib.traces import advice, settings
from tools.hakmem_lib.traces.settings import DEFAULTS, Setting

MIB = 1 << 20
FASTER = Setting((("A", "1"),))
SMALLER = Setting((("B", "2k"),))
TRADER = Setting((("C", "3"),))
WORSE = Setting((("D", "4"),))
LEANER = Setting((("F", "5"),))
EVEN = [Setting((("E", str(value)),)) for value in range(20)]
FIGURES = {"operations": 1000, "program": "/bin/program"}

# Shares of time, of the peak and of what is left at the end.
EFFECTS = {"A": (0.8, 1.0, 1.0), "B": (1.0, 0.6, 1.0), "C": (0.7, 1.5, 1.0), "D": (1.3, 1.2, 1.0), "F": (1.0, 1.0, 0.5)}


def player(noise: float, seed: int = 1) -> Callable[[Setting], Mapping[str, Any]]:
    """A program of 100 ms and 100 MiB, of which 50 are left."""
    dice = random.Random(seed)

    def play(setting: Setting) -> Mapping[str, Any]:
        time = peak = end = 1.0
        for name, _ in setting.values:
            shares = EFFECTS.get(name, (1, 1, 1))
            time, peak, end = time * shares[0], peak * shares[1], end * shares[2]
        time *= 1 + dice.uniform(-noise, noise)
        return {
            "cpu_s": 0.1 * time, "peak_rss_bytes": 100 * MIB * peak, "end_rss_bytes": 50 * MIB * end,
            "page_faults": 1000 * peak, "own_rss_bytes": 10 * MIB, "start_cpu_s": 0.02,
        }  # fmt: skip

    return play


class AdviceTest(unittest.TestCase):
    def test_what_is_better_is_found(self) -> None:
        found = advice.advise(player(0.02), [FASTER, SMALLER, LEANER, TRADER, WORSE, *EVEN], 7)
        self.assertEqual({effect.setting for effect in found.better}, {FASTER, SMALLER, LEANER})
        self.assertEqual([effect.setting for effect in found.traded], [TRADER])
        changes = {effect.setting: effect.changes for effect in found.better}
        self.assertAlmostEqual(changes[FASTER]["cpu_s"].shown, -0.2, delta=0.03)
        self.assertEqual(changes[FASTER]["peak_rss_bytes"].shown, 0)
        self.assertAlmostEqual(changes[SMALLER]["peak_rss_bytes"].shown, -0.4, delta=0.01)
        self.assertEqual(changes[SMALLER]["cpu_s"].shown, 0)
        self.assertAlmostEqual(changes[LEANER]["end_rss_bytes"].shown, -0.5, delta=0.01)
        self.assertAlmostEqual(changes[LEANER]["end_rss_bytes"].value, 25 * MIB)

    def test_the_spread_is_what_half_of_the_rounds_are_within(self) -> None:
        found = advice.advise(player(0.02), [FASTER], 21)
        change = found.better[0].changes["cpu_s"]
        self.assertGreater(change.spread, 0.002)
        self.assertLess(change.spread, 0.02)
        self.assertEqual(found.better[0].changes["peak_rss_bytes"].spread, 0)

    def test_the_best_together_is_measured_too(self) -> None:
        found = advice.advise(player(0.02), [FASTER, SMALLER, Setting((("A", "9"),))], 7)
        assert found.together is not None
        self.assertEqual({name for name, _ in found.together.setting.values}, {"A", "B"})
        self.assertAlmostEqual(found.together.changes["cpu_s"].shown, -0.2, delta=0.03)
        self.assertAlmostEqual(found.together.changes["peak_rss_bytes"].shown, -0.4, delta=0.01)
        self.assertIsNone(advice.advise(player(0.02), [FASTER], 7).together)

    def test_chance_is_no_advice(self) -> None:
        for rounds in (1, 3, 7):
            for seed in range(40):
                found = advice.advise(player(0.15, seed), EVEN, rounds)
                self.assertEqual((found.better, found.traded, found.together), ([], [], None), seed)

    def test_what_differs_from_round_to_round_is_no_advice(self) -> None:
        """A setting whose own time wavers, where that of the defaults does not."""
        play, dice = player(0.0), random.Random(1)

        def wavering(setting: Setting) -> Mapping[str, Any]:
            return {**play(setting), "cpu_s": 0.1 * dice.uniform(0.8, 1.0) if setting == FASTER else 0.1}

        for _ in range(20):
            found = advice.advise(wavering, [FASTER], 7)
            for effect in found.better:
                change = effect.changes["cpu_s"]
                self.assertGreater(-change.share, 2 * change.spread)

    def test_small_memory_does_not_count(self) -> None:
        play = player(0.0)

        def small(setting: Setting) -> Mapping[str, Any]:
            figures = play(setting)
            return {**figures, "peak_rss_bytes": figures["peak_rss_bytes"] / 100}

        self.assertEqual(advice.advise(small, [SMALLER], 5).better, [])

    def test_what_is_done_at_the_start_is_not_for_nothing(self) -> None:
        """It takes 30 MiB and 15 ms before the first operation, and just that is missing afterwards."""
        play, early = player(0.0), Setting((("P", "30m"),), is_at_start=True)

        def playing(setting: Setting) -> Mapping[str, Any]:
            figures = dict(play(setting))
            if setting == early:
                figures["own_rss_bytes"] += 30 * MIB
                figures["start_cpu_s"] += 0.015
                figures["peak_rss_bytes"] -= 30 * MIB
                figures["cpu_s"] -= 0.015
            return figures

        (change,) = (advice.effect(advice.play_rounds(playing, [early], 5, lambda _: None), early).changes,)
        self.assertAlmostEqual(change["peak_rss_bytes"].share, 0)
        self.assertAlmostEqual(change["cpu_s"].share, 0)
        self.assertAlmostEqual(change["cpu_s"].value, 0.1)
        self.assertAlmostEqual(change["end_rss_bytes"].share, 0.6)

    def test_what_is_to_come_is_said_before(self) -> None:
        expected, played = [], []
        play = player(0.02)

        def counted(setting: Setting) -> Mapping[str, Any]:
            self.assertGreater(sum(expected), len(played))
            played.append(setting)
            return play(setting)

        advice.advise(counted, [FASTER, SMALLER, *EVEN], 4, expected.append)
        self.assertEqual(sum(expected), len(played))
        self.assertEqual(expected[0], 24 * 4)


class TextTest(unittest.TestCase):
    def text(self, tried: list[Setting]) -> str:
        return command.as_text("program.trace", FIGURES, advice.advise(player(0.01), tried, 5))

    def test_better(self) -> None:
        text = self.text([FASTER, SMALLER, LEANER, TRADER])
        self.assertIn("100.0 ms of CPU time, 100.0 MiB at the peak, 50.0 MiB at the end, 1,000 page faults", text.replace("99.9", "100.0"))
        self.assertRegex(text, r"HAKMEM_A=1 +\d+\.\d ms +-(19|20|21) ±[0-2] % +100\.0 MiB +same +50\.0 MiB +same +1,000 +same")
        self.assertRegex(text, r"HAKMEM_B=2k +\d+\.\d ms +same +60\.0 MiB +-40 ±0 % +50\.0 MiB +same +600 +-40 ±0 %")
        self.assertRegex(text, r"HAKMEM_F=5 +\d+\.\d ms +same +100\.0 MiB +same +25\.0 MiB +-50 ±0 % +1,000 +same")
        self.assertIn("together", text)
        self.assertIn("time for memory", text)

    def test_as_good(self) -> None:
        self.assertIn("The defaults are as good", self.text([*EVEN]))

    def test_with_a_price(self) -> None:
        self.assertIn("Nothing is better without a price", self.text([TRADER]))

    def test_progress_is_for_terminals(self) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        for stream, shown in ((io.StringIO(), False), (Terminal(), True)):
            with mock.patch.dict("os.environ", {"TERM": "xterm", "COLUMNS": "120"}), contextlib.redirect_stderr(stream):
                with command._shown(player(0.0)) as (play, expect):
                    expect(5)
                    play(FASTER)
                    play(DEFAULTS)
            self.assertEqual("2/5" in stream.getvalue(), shown, stream.getvalue())
            self.assertEqual("left:" in stream.getvalue(), shown)


class SettingsTest(unittest.TestCase):
    def test_numbers(self) -> None:
        self.assertEqual([settings.spell(n) for n in (0, 5, 1024, 3 << 20, 1 << 40)], ["0", "5", "1k", "3m", "1024g"])

    def test_values_follow_from_the_table(self) -> None:
        table = {option.name: option for option in option_table.parse(r'''
HAK_NUMBER(COUNT, COUNT, 40, 1, 1000, NOW, "")
HAK_NUMBER(SIZE, BYTES, 4 * KIB, 0, 32 * KIB, NOW, "")
HAK_NUMBER(AUTO, COUNT, 0, 0, 100, NOW, "")
HAK_NUMBER(EARLY, BYTES, 0, 0, 4 * GIB, START, "")
HAK_NUMBER(FULL, COUNT, 1000, 1, 1000, NOW, "")
HAK_FLAG(ON, 1, NOW, "")
HAK_FLAG(OFF, 0, START, "")
HAK_WORD(WAY, "up\0down\0left", NOW, "")
HAK_TEXT(PATH, 255, NOW, "")
''')}  # fmt: skip
        for name, values in (
            ("COUNT", ["1", "5", "320"]),
            ("SIZE", ["0", "512", "32k"]),
            ("AUTO", ["8", "64"]),
            ("EARLY", ["11m"]),
            ("FULL", ["1", "125"]),
            ("ON", ["0"]),
            ("OFF", ["1"]),
            ("WAY", ["down", "left"]),
            ("PATH", []),
        ):
            self.assertEqual(settings.values(table[name], 10 * MIB + 1), values, name)

    def test_only_what_there_is_and_is_no_default(self) -> None:
        table = option_table.read()
        defaults = {"DECAY_MS": "62", "SURPLUS_BYTES": "4m", "PREWARM_BYTES": "0", "OTHER": "1", "VERBOSE": "0"}
        tried = settings.candidates(table, defaults, 5 * MIB)
        self.assertEqual([str(setting) for setting in tried], [
            "HAKMEM_DECAY_MS=0", "HAKMEM_DECAY_MS=4000", "HAKMEM_DECAY_MS=32000",
            "HAKMEM_SURPLUS_BYTES=0", "HAKMEM_SURPLUS_BYTES=64k", "HAKMEM_SURPLUS_BYTES=32m", "HAKMEM_PREWARM_BYTES=5m"])
        self.assertEqual([setting.is_at_start for setting in tried], [False] * 6 + [True])
        quick = settings.candidates(table, defaults, 5 * MIB, is_quick=True)
        self.assertEqual([str(setting) for setting in quick], [
            "HAKMEM_DECAY_MS=0", "HAKMEM_DECAY_MS=32000", "HAKMEM_SURPLUS_BYTES=0", "HAKMEM_SURPLUS_BYTES=32m",
            "HAKMEM_PREWARM_BYTES=5m"])

    def test_every_option_is_tried_or_not_for_a_reason(self) -> None:
        """A new row of the table is tried by itself. What can be told of speed and memory has values."""
        table = option_table.read()
        self.assertLessEqual(set(settings.NOT_TRIED), {option.name for option in table})
        tried = settings.candidates(table, {option.name: option.default_value for option in table}, MIB)
        names = {name for setting in tried for name, _ in setting.values}
        self.assertEqual(names | set(settings.NOT_TRIED), {option.name for option in table if option.type != "text"})
        self.assertLessEqual({
            "DECAY_MS", "SURPLUS_BYTES", "SUPERSLAB_CACHE", "WHALE_CACHE_BYTES", "THREAD_CACHE_BYTES", "CACHE_BLOCKS",
            "REFILL_BLOCKS", "SPILL_BLOCKS", "OUTBOX_BYTES", "TIERS", "ZEROING", "PREFAULT", "PREWARM_BYTES", "HUGE_PAGES",
        }, names)  # fmt: skip

    def test_both(self) -> None:
        self.assertEqual(str(FASTER.beside(SMALLER)), "HAKMEM_A=1 HAKMEM_B=2k")
        self.assertTrue(FASTER.beside(Setting((("P", "1"),), is_at_start=True)).is_at_start)
        self.assertEqual(DEFAULTS.environment(), {})


if __name__ == "__main__":
    unittest.main()
