"""The command line of tools/soak."""

from __future__ import annotations

import argparse
import fnmatch
import math
import pathlib
import random
import signal
import sys
from typing import NoReturn, Optional

from soak_lib import bazelrc, build, rotation
from soak_lib.model import Program, SoakError, Total
from soak_lib.soak import Soak

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
_HOURS_AT_MOST = 24.0 * 365.0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, and no more."""
        self.exit(2, f"soak: {message}\n")


def main(arguments: list[str]) -> int:
    """Runs the command; 0 when every run was good, 1 when not, 2 where none could be made."""
    options = _parse(arguments)
    text = (REPOSITORY / ".bazelrc").read_text(encoding="utf-8")
    unknown = bazelrc.unknown_parts(text, options.config)
    if unknown:
        return _cannot(f"no such configuration: {unknown[0]}")
    if options.check:
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    out = options.out.absolute()
    try:
        programs = _programs(options.only, options.config, out)
    except SoakError as error:
        return _cannot(str(error))
    except KeyboardInterrupt:
        return 1
    return _soak(options, programs, bazelrc.environment(text, options.config), out)


def _soak(options: argparse.Namespace, programs: list[Program], environment: dict[str, str], out: pathlib.Path) -> int:
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1, 1 << 40)
    seconds = options.hours * 3600.0
    each_s = options.seconds or rotation.seconds_a_run(len(programs), seconds)
    print(f"soak: seed {seed}, {options.config}, {len(programs)} programs, {each_s:g} s a run", flush=True)
    soak = Soak(options.config, environment, out, {program.name: Total() for program in programs})
    try:
        soak.run(rotation.rotation(programs, seed, each_s), seconds)
    except KeyboardInterrupt:
        print("soak: interrupted", file=sys.stderr)
    return 0 if soak.end() else 1


def _programs(only: Optional[str], config: str, out: pathlib.Path) -> list[Program]:
    known = build.names(REPOSITORY)
    wanted = [name for name in known if only is None or any(fnmatch.fnmatch(name, p) for p in only.split(","))]
    if not wanted:
        raise SoakError(f"no program matches {only}; there are {' '.join(known)}")
    return build.build(REPOSITORY, wanted, config, out / "programs" / config)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="tools/soak",
        description="Runs the stress programs in rotation, each time with a new seed and number of threads.",
        allow_abbrev=False,
    )
    time = parser.add_mutually_exclusive_group()
    time.add_argument("--hours", metavar="N", type=_hours, default=1.0, help="how long (default: 1)")
    time.add_argument("--minutes", metavar="N", type=_minutes, dest="hours", help="the same in minutes")
    parser.add_argument("--seconds", metavar="N", type=_seconds, help="length of one run (default: 30 at most)")
    parser.add_argument("--only", metavar="PATTERN", help="programs to run, shell patterns with commas")
    parser.add_argument("--config", metavar="NAME", default="default", help=".bazelrc's, two joined by a plus: clang+debug")
    parser.add_argument("--seed", metavar="S", type=_whole, help="of the order, seeds and thread counts (default: random)")
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, default=REPOSITORY / "soak-results", help="log, failures")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _number(text: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value <= most:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0, {most:g} at most")
    return value


def _hours(text: str) -> float:
    return _number(text, _HOURS_AT_MOST)


def _minutes(text: str) -> float:
    return _number(text, _HOURS_AT_MOST * 60.0) / 60.0


def _seconds(text: str) -> float:
    return _number(text, 3600.0)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number")
    return int(text)


def _interrupt(_number_of_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _cannot(reason: str) -> int:
    print(f"soak: {reason}", file=sys.stderr)
    return 2
