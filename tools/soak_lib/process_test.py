"""One run, of programs that are good, bad, and stuck."""

import pathlib
import tempfile
import time
import unittest

from soak_lib import fakes, process


class ProcessTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_rows_are_summed_and_the_largest_peak_is_kept(self) -> None:
        result = process.run(fakes.plan(self.folder, "good", fakes.GOOD), {})
        self.assertEqual((result.status, result.ops, result.peak_rss_kib), (0, 12, 100))
        self.assertFalse(result.failed)

    def test_failed_run_keeps_its_words(self) -> None:
        result = process.run(fakes.plan(self.folder, "bad", fakes.BAD), {})
        self.assertEqual(result.status, 3)
        self.assertTrue(result.failed)
        self.assertIn(b"damaged", result.output)

    def test_signal_gives_128_and_its_number(self) -> None:
        self.assertEqual(process.run(fakes.plan(self.folder, "crash", "kill -SEGV $$\n"), {}).status, 139)

    def test_stuck_run_is_ended_with_all_that_it_started(self) -> None:
        mark = self.folder / "alive"
        script = f"(sleep 1; touch {mark}) & sleep 1000\n"
        self.assertEqual(process.run(fakes.plan(self.folder, "stuck", script), {}, 0.2).status, process.STATUS_HUNG)
        time.sleep(1.2)
        self.assertFalse(mark.exists())

    def test_arguments_and_environment_reach_the_program(self) -> None:
        result = process.run(fakes.plan(self.folder, "echo", 'echo "$@ $SOAK_TEST"\n'), {"SOAK_TEST": "there"})
        self.assertEqual(result.output, b"--threads=4 --seconds=0.5 --seed=9 there\n")

    def test_line_that_is_cut_off_counts_nothing(self) -> None:
        self.assertEqual(process.figures(b'{"row":"a","ops":5,'), (0, 0))


if __name__ == "__main__":
    unittest.main()
