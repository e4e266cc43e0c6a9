"""What the settings came to, against the noise of two equal ones.

Each round plays the defaults, every setting, and the defaults again. A figure of a setting is compared with the mean of the two
in its round, and what the two differ by is the noise.
"""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any, Callable, Mapping, Optional, Sequence

from tools.hakmem_lib.traces.settings import DEFAULTS, Setting

#: A figure has to change by so much, whatever the noise.
TIME_SHARE_MIN = 0.02
MEMORY_SHARE_MIN = 0.05
MEMORY_BYTES_MIN = 1 << 20
#: In so many of the rounds a change of time has to show.
_ROUNDS_SHARE = 0.8
#: Changes count from so many times the noise on.
_NOISE_FACTOR = 2.0

#: Plays the trace under a setting.
Play = Callable[[Setting], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Round:
    """One turn of all settings."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    of: Mapping[Setting, Mapping[str, Any]]

    def ratio(self, setting: Setting, figure: str) -> float:
        """A setting's figure to the defaults'."""
        return _ratio(self.of[setting][figure], (self.before[figure] + self.after[figure]) / 2)

    def noise(self, figure: str) -> float:
        """What the two runs of the defaults differ by, as a share."""
        return abs(_ratio(self.after[figure], self.before[figure]) - 1)


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference else 1.0


@dataclasses.dataclass(frozen=True)
class Effect:
    """What a setting changes: shares of the defaults' figures, negative for less; 0 where it is within the noise."""

    setting: Setting
    time: float
    memory: float
    faults: float
    cpu_s: float
    peak_rss_bytes: float

    @property
    def helps(self) -> bool:
        """It saves something, and costs nothing that can be told."""
        return (self.time < 0 or self.memory < 0) and self.time <= 0 and self.memory <= 0

    @property
    def trades(self) -> bool:
        """It saves time for memory, or memory for time."""
        return self.time * self.memory < 0


@dataclasses.dataclass(frozen=True)
class Advice:
    """The outcome."""

    tried: int
    rounds: int
    time_noise: float
    memory_noise: float
    defaults: Mapping[str, float]
    better: list[Effect]
    traded: list[Effect]
    together: Optional[Effect]


def play_rounds(play: Play, settings: Sequence[Setting], count: int) -> list[Round]:
    """So many rounds."""
    rounds = []
    for number in range(count):
        before = play(DEFAULTS)
        # Every other round backwards, so that none always follows the same.
        order = settings if number % 2 == 0 else list(reversed(settings))
        of = {setting: play(setting) for setting in order}
        rounds.append(Round(before, play(DEFAULTS), of))
    return rounds


def noise(rounds: Sequence[Round], figure: str) -> float:
    """The median difference of two equal runs, as a share."""
    return statistics.median(one.noise(figure) for one in rounds)


def effect(rounds: Sequence[Round], setting: Setting) -> Effect:
    """What the setting changes beyond the noise."""
    time = [one.ratio(setting, "cpu_s") - 1 for one in rounds]
    memory = statistics.median(one.ratio(setting, "peak_rss_bytes") for one in rounds) - 1
    default_peak = _default(rounds, "peak_rss_bytes")
    time_shown = _is_steady(time, max(TIME_SHARE_MIN, _NOISE_FACTOR * noise(rounds, "cpu_s")))
    memory_limit = max(MEMORY_SHARE_MIN, _NOISE_FACTOR * noise(rounds, "peak_rss_bytes"))
    memory_shown = abs(memory) > memory_limit and abs(memory) * default_peak >= MEMORY_BYTES_MIN
    return Effect(
        setting,
        statistics.median(time) if time_shown else 0.0,
        memory if memory_shown else 0.0,
        statistics.median(one.ratio(setting, "page_faults") for one in rounds) - 1,
        statistics.median(one.of[setting]["cpu_s"] for one in rounds),
        statistics.median(one.of[setting]["peak_rss_bytes"] for one in rounds),
    )


def _is_steady(changes: Sequence[float], limit: float) -> bool:
    """The median is beyond the limit, and nearly all changes go the same way."""
    middle = statistics.median(changes)
    same_way = sum(change * middle > 0 for change in changes)
    return abs(middle) > limit and same_way >= _ROUNDS_SHARE * len(changes)


def _default(rounds: Sequence[Round], figure: str) -> float:
    return statistics.median(value[figure] for one in rounds for value in (one.before, one.after))


def advise(play: Play, settings: Sequence[Setting], rounds: int) -> Advice:
    """Tries all settings, then once more, in rounds of their own, those that seemed to matter: of many settings some seem
    to by chance."""
    first = play_rounds(play, settings, rounds)
    seeming = [found.setting for found in (effect(first, setting) for setting in settings) if found.time < 0 or found.memory < 0]
    second = play_rounds(play, seeming, rounds + rounds // 2) if seeming else first
    effects = [effect(second, setting) for setting in seeming]
    better = sorted((found for found in effects if found.helps), key=lambda found: found.time + found.memory)
    traded = sorted((found for found in effects if found.trades), key=lambda found: found.time)
    return Advice(len(settings), rounds, noise(second, "cpu_s"), noise(second, "peak_rss_bytes"),
                  {figure: _default(second, figure) for figure in ("cpu_s", "peak_rss_bytes", "page_faults")},
                  better, traded, _together(play, better, rounds))


def _together(play: Play, better: Sequence[Effect], rounds: int) -> Optional[Effect]:
    """The best value of each option at once, where that is better still."""
    joint = DEFAULTS
    for found in better:
        taken = {name for name, _ in joint.values}
        if not taken.intersection(name for name, _ in found.setting.values):
            joint = joint.beside(found.setting)
    if len(joint.values) < 2:
        return None
    found = effect(play_rounds(play, [joint], rounds + rounds // 2), joint)
    return found if found.helps else None
