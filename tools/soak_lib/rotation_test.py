"""Which program runs next."""

import itertools
import pathlib
import unittest

from soak_lib import rotation
from soak_lib.model import Program

PROGRAMS = [Program(name, pathlib.Path(name)) for name in "abcde"]


class RotationTest(unittest.TestCase):
    def test_every_program_has_its_turn_in_every_round(self) -> None:
        plans = list(itertools.islice(rotation.rotation(PROGRAMS, 1, 1.0), 20))
        for start in range(0, 20, 5):
            self.assertEqual(sorted(plan.program.name for plan in plans[start : start + 5]), list("abcde"))

    def test_seeds_and_threads_vary(self) -> None:
        plans = list(itertools.islice(rotation.rotation(PROGRAMS, 1, 1.0), 50))
        self.assertEqual(len({plan.seed for plan in plans}), 50)
        self.assertGreater(len({plan.threads for plan in plans}), 3)
        self.assertGreaterEqual(min(plan.threads for plan in plans), 2)

    def test_same_seed_same_rotation(self) -> None:
        first, again, other = (list(itertools.islice(rotation.rotation(PROGRAMS, s, 1.0), 20)) for s in (3, 3, 4))
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_short_soak_has_short_runs(self) -> None:
        self.assertEqual(rotation.seconds_a_run(10, 60.0), 3.0)
        self.assertEqual(rotation.seconds_a_run(10, 36000.0), 30.0)
        self.assertEqual(rotation.seconds_a_run(10, 1.0), 1.0)


if __name__ == "__main__":
    unittest.main()
