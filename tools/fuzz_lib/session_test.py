"""Tests of a run: slices, limits, and what becomes of crashes. A script stands in for libFuzzer."""

import pathlib
import sys
import tempfile
import time
import unittest
import unittest.mock
from typing import Optional

from fuzz_lib.processes import Processes
from fuzz_lib.results import Results, digest
from fuzz_lib.session import Limits, Session, Unit, slice_seconds
from fuzz_lib.targets import Target
from fuzz_lib.totals import Totals

# Fails on every input with BUG in it, and "finds" one in each run when the file FIND lies beside it.
_FUZZER = '''#!%s
import hashlib, os, pathlib, signal, sys, time
options = dict(word[1:].partition("=")[::2] for word in sys.argv[1:] if word[0] == "-")
here, last = pathlib.Path(sys.argv[0]).parent, pathlib.Path(sys.argv[-1])
def die(data, prefix=None):
    kind = "other" if b"other" in data else "same"
    print("fuzz/fake.cc:7: does not hold: " + kind, "ERROR: libFuzzer: deadly signal", sep="\\n", flush=True)
    if prefix: pathlib.Path(prefix + "crash-" + hashlib.sha1(data).hexdigest()).write_bytes(data)
    sys.exit(77)
def interrupted(*_):
    os.write(1, b"stat::number_of_executed_units: 55\\n")
    os._exit(0)
signal.signal(signal.SIGUSR1, interrupted)
if "minimize_crash" in options:
    pathlib.Path(options["exact_artifact_path"]).write_bytes(last.read_bytes().replace(b"padding", b""))
    sys.exit(0)
if last.is_file():
    if last.read_bytes() == b"HANG": time.sleep(60)
    sys.exit(0) if b"BUG" not in last.read_bytes() else die(last.read_bytes())
for path in sorted(last.iterdir()):
    if b"BUG" in path.read_bytes(): die(path.read_bytes(), options["artifact_prefix"])
print("#10\\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 5 rss: 6Mb", flush=True)
if (here / "KILL").exists(): os.kill(os.getpid(), signal.SIGKILL)
if (here / "FIND").exists(): die((here / "FIND").read_bytes(), options["artifact_prefix"])
if (here / "SLOW").exists():
    data = (here / "SLOW").read_bytes()
    pathlib.Path(options["artifact_prefix"] + "timeout-" + hashlib.sha1(data).hexdigest()).write_bytes(data)
    print("ERROR: libFuzzer: timeout after 31 seconds", flush=True)
    (here / "SLOW").unlink()
    sys.exit(70)
if (here / "WAIT").exists(): time.sleep(60)
print("stat::number_of_executed_units: %%s" %% options.get("runs", 100))
'''


class SessionTest(unittest.TestCase):
    """A run over targets of a fake package."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.binary = self.folder / "fuzzer"
        self.binary.write_text(_FUZZER % sys.executable)
        self.binary.chmod(0o755)
        self.results = Results(self.folder / "results")
        self.processes = Processes(self.folder, {})
        self.said: list[str] = []

    def _session(self, names: str = "a", jobs: int = 1, limits: Optional[Limits] = None) -> Session:
        units = []
        for name in names:
            target = Target(name, "fuzz", self.folder / "fuzz")
            self.results.prepare(target)
            units.append(Unit(target, "fuzz", self.binary))
        return Session(units, jobs, limits or Limits(executions=250), self.processes, self.results,
                       Totals(self.results.totals), self.said.append)

    def _run(self, session: Session) -> Session:
        session.run(lambda: None, every_s=0.02)
        return session

    def test_each_target_runs_to_its_executions(self) -> None:
        """With fewer jobs than targets, and counted in the totals as well."""
        session = self._run(self._session("abc", jobs=2))
        self.assertEqual([unit.executions for unit in session.units], [250, 250, 250])
        self.assertEqual(session.units[0].last.coverage, 3)
        self.assertEqual([total.executions for _, _, total in Totals(self.results.totals).items()], [250, 250, 250])
        self.assertEqual(session.crash_count(), 0)

    def test_crash_is_filed_small_and_once(self) -> None:
        """The original is kept, the small one becomes a regression, and fuzzing goes on."""
        (self.folder / "FIND").write_bytes(b"paddingBUG")
        session = self._session(limits=Limits(executions=25))
        self._run(session)
        unit = session.units[0]
        (name,) = unit.crashes
        self.assertEqual(unit.crashes, {name: 3})
        regressions = list(unit.target.regressions.iterdir())
        self.assertEqual([path.read_bytes() for path in regressions], [b"BUG"])
        self.assertEqual(regressions[0].name, name)
        self.assertRegex(name, "^check-fake-7-[0-9a-f]{8}$")
        kept = self.results.crash(unit.target, name)
        self.assertEqual((kept / f"crash-{digest(b'paddingBUG')}").read_bytes(), b"paddingBUG")
        self.assertIn("does not hold: same", (kept / "log.txt").read_text())
        self.assertEqual(session.new_regressions, regressions)
        total = Totals(self.results.totals).of("a", "fuzz")
        self.assertEqual((total.crashes, total.executions_since_crash), (unit.crashes[name], 0))

    def test_regression_that_still_fails(self) -> None:
        """It is no new crash, and does not stop the target from running: it leaves the corpus."""
        self._file(b"BUG")
        second = self._run(self._session())
        self.assertEqual(second.units[0].executions, 250)
        self.assertEqual(second.crash_count(), 1)
        self.assertEqual(second.new_regressions, [])
        self.assertEqual(len(list(second.units[0].target.regressions.iterdir())), 1)

    def test_jobs_share_the_executions_of_one_target(self) -> None:
        """And do not each run all of them."""
        session = self._run(self._session(jobs=3, limits=Limits(executions=301)))
        self.assertGreaterEqual(session.units[0].executions, 301)
        self.assertLess(session.units[0].executions, 310)

    def _file(self, content: bytes) -> None:
        (self.folder / "FIND").write_bytes(content)
        session = self._session(limits=Limits(executions=10))
        self._run(session)
        (self.folder / "FIND").unlink()
        self.assertEqual(len(session.new_regressions), 1)

    def test_same_name_after_the_first_was_mended(self) -> None:
        """A filed regression that passes does not hide a new crash of its kind."""
        session = self._session(limits=Limits(executions=10))
        (self.folder / "FIND").write_bytes(b"BUG")
        self._run(session)
        (filed,) = session.new_regressions
        filed.write_bytes(b"mended")
        again = self._session(limits=Limits(executions=10))
        self._run(again)
        self.assertEqual([path.name for path in again.new_regressions], [filed.name + "-2"])

    def test_small_one_that_fails_differently(self) -> None:
        """Both are filed, each under its own name."""
        (self.folder / "FIND").write_bytes(b"BUG othpaddinger")
        session = self._run(self._session(limits=Limits(executions=10)))
        contents = {path.read_bytes() for path in session.new_regressions}
        self.assertEqual(contents, {b"BUG othpaddinger", b"BUG other"})
        self.assertEqual(session.crash_count(), 2)

    def test_killed_process(self) -> None:
        """Counted as a crash, although there is no input to keep."""
        (self.folder / "KILL").touch()
        session = self._run(self._session(limits=Limits(executions=10)))
        self.assertEqual(list(session.units[0].crashes), ["no-input-status--9"])

    def test_slow_input_that_passes_alone(self) -> None:
        """No crash: something else kept the machine busy. The input is kept, in the corpus."""
        (self.folder / "SLOW").write_bytes(b"fine")
        session = self._run(self._session(limits=Limits(executions=10)))
        unit = session.units[0]
        self.assertEqual((session.crash_count(), session.new_regressions), (0, []))
        self.assertEqual(Totals(self.results.totals).of("a", "fuzz").crashes, 0)
        self.assertTrue((self.results.corpus(unit.target) / digest(b"fine")).exists())
        self.assertRegex(self.said[0], "^a: timeout-[0-9a-f]+ took too long, and passes alone")

    def test_slow_input_that_fails_alone(self) -> None:
        """A hang is filed like a crash."""
        (self.folder / "SLOW").write_bytes(b"BUG")
        session = self._run(self._session(limits=Limits(executions=10)))
        self.assertEqual([path.read_bytes() for path in session.new_regressions], [b"BUG"])
        self.assertEqual(session.crash_count(), 1)

    def test_slow_input_that_does_not_end_alone(self) -> None:
        """Nor is a hang that libFuzzer cannot end itself taken for a busy machine."""
        (self.folder / "SLOW").write_bytes(b"HANG")
        with unittest.mock.patch("fuzz_lib.session._OVERTIME_S", 2.0):
            session = self._run(self._session(limits=Limits(executions=10)))
        self.assertEqual([path.read_bytes() for path in session.new_regressions], [b"HANG"])
        self.assertEqual(session.crash_count(), 1)

    def test_process_that_does_not_end_in_time(self) -> None:
        """It is killed, which says nothing about the target."""
        (self.folder / "WAIT").touch()
        corpus = self.folder / "corpus"
        corpus.mkdir()
        ended = self.processes.run([str(self.binary), str(corpus)], None, 0.5)
        self.assertTrue(ended.was_late)
        self.assertFalse(ended.is_failure)

    def test_stop_keeps_the_figures(self) -> None:
        """The process is asked to end, and what it says at the end is counted."""
        (self.folder / "WAIT").touch()
        session = self._session(limits=Limits())
        begin = time.monotonic()
        session.run(lambda: session.units[0].executions_now() and self.processes.stop(), every_s=0.02)
        self.assertLess(time.monotonic() - begin, 50)
        self.assertEqual((session.units[0].executions, session.crash_count()), (55, 0))
        self.assertEqual(Totals(self.results.totals).of("a", "fuzz").executions, 55)

    def test_leftovers_of_a_killed_command(self) -> None:
        """What crashes is filed, what passes goes to the corpus, and nothing is lost."""
        session = self._session()
        found = self.results.found(session.units[0].target) / "job-3"
        found.mkdir()
        (found / "crash-1").write_bytes(b"BUG")
        (found / "crash-2").write_bytes(b"fine")
        session.file_leftovers()
        self.assertEqual([path.read_bytes() for path in session.new_regressions], [b"BUG"])
        self.assertTrue((self.results.corpus(session.units[0].target) / digest(b"fine")).exists())
        self.assertEqual(list(found.iterdir()), [])

    def test_target_that_cannot_start(self) -> None:
        """It is given up, and the command ends."""
        self.binary.write_text("#!/bin/sh\nexit 3\n")
        session = self._run(self._session())
        self.assertTrue(session.units[0].is_stuck)
        self.assertEqual(list(session.units[0].crashes), ["no-input-status-3"])


class SliceTest(unittest.TestCase):
    """How time is shared."""

    def test_bounded_run_gives_all_a_turn(self) -> None:
        """Five targets, two jobs, one minute."""
        self.assertLessEqual(slice_seconds(Limits(seconds=60), 2, 5) * 5, 60 * 2)
        self.assertEqual(slice_seconds(Limits(seconds=60), 5, 5), 60)
        self.assertEqual(slice_seconds(Limits(), 1, 9), Limits.slice_s)
        self.assertGreater(slice_seconds(Limits(seconds=1), 1, 100), 1)


if __name__ == "__main__":
    unittest.main()
