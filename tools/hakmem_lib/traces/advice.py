"""What the settings came to, against the noise of two equal ones.

Each round plays the defaults, every setting, and the defaults again. A figure of a setting is compared with the mean of the two
in its round, and what the two differ by is the noise. What counts is beyond the noise, and beyond what the rounds differ by.

Memory counts from what the defaults have when the trace begins, and so does the time of settings that change the start of a
process: memory that is there before the first operation is not for nothing.
"""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any, Callable, Mapping, Optional, Sequence

from tools.hakmem_lib.traces.settings import DEFAULTS, Setting

#: The figures that are judged, in the order of reports, and the smallest share that counts, whatever the noise.
JUDGED = {"cpu_s": 0.02, "peak_rss_bytes": 0.05, "end_rss_bytes": 0.05}
FIGURES = (*JUDGED, "page_faults")
_OTHER_SHARE_MIN = 0.02
#: As many bytes have to be at stake.
MEMORY_BYTES_MIN = 1 << 20
#: In so many of the rounds a change of time has to show.
_ROUNDS_SHARE = 0.8
#: Changes count from so many times the noise, or the spread, on.
_NOISE_FACTOR = 2.0

Figures = Mapping[str, Any]
#: Plays the trace under a setting.
Play = Callable[[Setting], Figures]
#: Is told how many plays are to come.
Expect = Callable[[int], None]


@dataclasses.dataclass(frozen=True)
class Round:
    """One turn of all settings."""

    before: Figures
    after: Figures
    of: Mapping[Setting, Figures]

    def value(self, setting: Setting, figure: str) -> float:
        """A figure of a setting; with what the start took beyond the defaults'."""
        at_start = _at_start(figure, setting)
        return self.of[setting][figure] + (self.of[setting][at_start] - self._default(at_start) if at_start else 0)

    def ratio(self, setting: Setting, figure: str) -> float:
        """A setting's figure to the defaults'."""
        return _ratio(self.value(setting, figure), self._default(figure))

    def noise(self, figure: str) -> float:
        """What the two runs of the defaults differ by, as a share."""
        return abs(_ratio(self.after[figure], self.before[figure]) - 1)

    def _default(self, figure: str) -> float:
        return (self.before[figure] + self.after[figure]) / 2


def _at_start(figure: str, setting: Setting) -> Optional[str]:
    """The figure's part from before the first operation."""
    if figure.endswith("_rss_bytes"):
        return "own_rss_bytes"
    return "start_cpu_s" if figure == "cpu_s" and setting.is_at_start else None


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference else 1.0


@dataclasses.dataclass(frozen=True)
class Change:
    """What a setting does to a figure: half of the rounds have a share within `spread` of `share`, which is that of the
    defaults' figure, negative for less."""

    value: float
    share: float
    spread: float
    is_shown: bool  # beyond the noise and the spread

    @property
    def shown(self) -> float:
        """The share; 0 where it may be chance."""
        return self.share if self.is_shown else 0.0


@dataclasses.dataclass(frozen=True)
class Effect:
    """What a setting changes, by figure."""

    setting: Setting
    changes: Mapping[str, Change]

    @property
    def helps(self) -> bool:
        """It saves something, and costs nothing that can be told."""
        return self.seems_to_help and all(self.changes[name].shown <= 0 for name in JUDGED)

    @property
    def seems_to_help(self) -> bool:
        """It saves something."""
        return any(self.changes[name].shown < 0 for name in JUDGED)

    @property
    def saved(self) -> float:
        """To sort by: negative for what saves most."""
        return sum(self.changes[name].shown for name in JUDGED)


@dataclasses.dataclass(frozen=True)
class Advice:
    """The outcome."""

    tried: int
    rounds: int
    noise: Mapping[str, float]
    defaults: Mapping[str, float]
    better: list[Effect]
    traded: list[Effect]
    together: Optional[Effect]


def play_rounds(play: Play, settings: Sequence[Setting], count: int, expect: Expect) -> list[Round]:
    """So many rounds."""
    expect((len(settings) + 2) * count)
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
    return Effect(setting, {figure: _change(rounds, setting, figure) for figure in FIGURES})


def _change(rounds: Sequence[Round], setting: Setting, figure: str) -> Change:
    shares = [one.ratio(setting, figure) - 1 for one in rounds]
    share = statistics.median(shares)
    spread = statistics.median(abs(one - share) for one in shares)
    limit = max(JUDGED.get(figure, _OTHER_SHARE_MIN), _NOISE_FACTOR * noise(rounds, figure), _NOISE_FACTOR * spread)
    same_way = sum(one * share > 0 for one in shares)
    is_shown = abs(share) > limit and same_way >= _ROUNDS_SHARE * len(shares)
    if figure.endswith("_bytes"):
        is_shown = is_shown and abs(share) * _default(rounds, figure) >= MEMORY_BYTES_MIN
    return Change(statistics.median(one.value(setting, figure) for one in rounds), share, spread, is_shown)


def _default(rounds: Sequence[Round], figure: str) -> float:
    return statistics.median(value[figure] for one in rounds for value in (one.before, one.after))


def advise(play: Play, settings: Sequence[Setting], rounds: int, expect: Expect = lambda _: None) -> Advice:
    """Tries all settings, then once more, in rounds of their own, those that seemed to matter: of many settings some seem
    to by chance."""
    first = play_rounds(play, settings, rounds, expect)
    seeming = [setting for setting in settings if effect(first, setting).seems_to_help]
    second = play_rounds(play, seeming, _again(rounds), expect) if seeming else first
    effects = [effect(second, setting) for setting in seeming]
    better = sorted((found for found in effects if found.helps), key=lambda found: found.saved)
    traded = [found for found in effects if found.seems_to_help and not found.helps]
    return Advice(
        len(settings),
        rounds,
        {figure: noise(second, figure) for figure in FIGURES},
        {figure: _default(second, figure) for figure in FIGURES},
        better,
        sorted(traded, key=lambda found: found.changes["cpu_s"].shown),
        _together(play, better, rounds, expect),
    )


def _again(rounds: int) -> int:
    """As many rounds of what seemed to matter. From three on a spread can be told."""
    return max(rounds + rounds // 2, 3)


def _together(play: Play, better: Sequence[Effect], rounds: int, expect: Expect) -> Optional[Effect]:
    """The best value of each option at once, where that is better still."""
    joint = DEFAULTS
    for found in better:
        taken = {name for name, _ in joint.values}
        if not taken.intersection(name for name, _ in found.setting.values):
            joint = joint.beside(found.setting)
    if len(joint.values) < 2:
        return None
    found = effect(play_rounds(play, [joint], _again(rounds), expect), joint)
    return found if found.helps else None
