"""Tests of libfuzzer: lines as clang 14 writes them, and the arguments."""

import pathlib
import tempfile
import unittest

from fuzz_lib import libfuzzer
from fuzz_lib.libfuzzer import Log
from fuzz_lib.targets import Target


def _log(*lines: str) -> Log:
    log = Log()
    for line in lines:
        log.add(line)
    return log


class LogTest(unittest.TestCase):
    """What the lines come to."""

    def test_progress(self) -> None:
        """The figures of the last line count."""
        log = _log(
            "INFO: seed corpus: files: 59 min: 1b max: 295b total: 4292b rss: 30Mb",
            "#62\tINITED cov: 1509 ft: 5610 corp: 59/4292b exec/s: 62 rss: 68Mb",
            '#69\tNEW    cov: 1510 ft: 5642 corp: 62/4538b lim: 295 exec/s: 69 rss: 68Mb L: 124/295 MS: 1 CMP- DE: "x"-',
        )
        self.assertEqual((log.figures.executions, log.figures.per_second), (69, 69))
        self.assertEqual((log.figures.coverage, log.figures.features, log.figures.corpus), (1510, 5642, 62))
        self.assertTrue(log.figures.is_initialised)
        self.assertEqual(len(log.lines), 1)

    def test_pulse_keeps_what_it_does_not_tell(self) -> None:
        """A pulse while it minimises has no coverage."""
        log = _log("#3\tNEW    cov: 4 ft: 5 corp: 2/10b exec/s: 0 rss: 30Mb", "#1048576\tpulse  exec/s: 524288 rss: 75Mb")
        self.assertEqual((log.figures.executions, log.figures.coverage), (1048576, 4))

    def test_final_statistics_are_exact(self) -> None:
        """They come after the last line of progress."""
        log = _log("#8\tNEW    cov: 4 ft: 5 corp: 2/10b exec/s: 0 rss: 30Mb", "stat::number_of_executed_units: 4242")
        self.assertEqual(log.figures.executions, 4242)

    def test_a_stack_is_no_progress(self) -> None:
        """Its numbers begin with # as well."""
        log = _log("    #7 0x55bd in LLVMFuzzerTestOneInput fuzz/api_fuzz.cc:6:111")
        self.assertEqual((log.figures.executions, len(log.lines)), (0, 1))
        self.assertFalse(log.figures.is_initialised)

    def test_only_the_end_is_kept(self) -> None:
        """A target that chats fills no memory."""
        log = _log(*(f"line {i}" for i in range(10000)))
        self.assertEqual(log.lines[-1], "line 9999")
        self.assertLess(len(log.lines), 1000)


class ArgumentsTest(unittest.TestCase):
    """The command lines."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
        self.addCleanup(temporary.cleanup)
        self.target = Target("a_fuzz", "fuzz", pathlib.Path(temporary.name))

    def test_options_file_has_the_last_word(self) -> None:
        """max_len is passed on, timeout is replaced."""
        self.target.options_file.parent.mkdir()
        self.target.options_file.write_text("[libfuzzer]\nmax_len = 600\ntimeout = 5\n[asan]\nx = 1\n")
        arguments = libfuzzer.common_arguments(self.target)
        self.assertIn("-max_len=600", arguments)
        self.assertIn("-timeout=5", arguments)
        self.assertNotIn("-timeout=30", arguments)
        self.assertNotIn("-x=1", arguments)

    def test_fuzz_command(self) -> None:
        """Limits, the dictionary where there is one, and the corpus at the end."""
        paths = [pathlib.Path(name) for name in ("program", "corpus", "found")]
        command = libfuzzer.fuzz_command(paths[0], self.target, paths[1], paths[2], 0, 7)
        self.assertEqual((command[0], command[-1]), ("program", "corpus"))
        self.assertTrue({"-max_total_time=1", "-runs=7", "-artifact_prefix=found/"} <= set(command))
        self.assertFalse([word for word in command if word.startswith("-dict")])
        (self.target.folder / "dictionaries").mkdir()
        (self.target.folder / "dictionaries/a_fuzz.dict").write_text('"x"\n')
        command = libfuzzer.fuzz_command(paths[0], self.target, paths[1], paths[2], 9)
        self.assertIn(f"-dict={self.target.dictionary}", command)
        self.assertFalse([word for word in command if word.startswith("-runs")])


if __name__ == "__main__":
    unittest.main()
