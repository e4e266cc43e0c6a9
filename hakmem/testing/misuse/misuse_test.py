"""Commits every crime on HAKMEM and looks at exit status, message and the state of the heap afterwards."""

import os
import pathlib
import re
import unittest

from hakmem.testing.harness import process
from hakmem.testing.misuse import crimes

IS_PARANOID = os.environ.get("HAKMEM_TEST_LEVEL") == "paranoid"
PAGE = pathlib.Path("docs/misuse.md")
PEERS = "\n## Beside the peers\n"


def commit(crime: crimes.Crime, **env: str) -> process.Outcome:
    program = crimes.FOLDER / crime.name
    return process.run(program, env=env, preload=[process.LIBRARY], preexec_fn=process.fix_addresses)


# dlmopen; what lies behind a mapping.
NEED_GLIBC = {"free_block_of_other_libc", "overflow_whale"}
# The counters' file is mapped right behind a large block.
NOT_FOR_COVERAGE = {"overflow_whale"}
NOT_BUILT = NEED_GLIBC if process.IS_MUSL else set()
NOT_RUN = NOT_FOR_COVERAGE if "HAKMEM_TEST_COVERAGE" in os.environ else set()
CRIMES = [crime for crime in crimes.CRIMES if crime.name not in NOT_BUILT | NOT_RUN]


def expected(crime: crimes.Crime) -> str:
    return crime.paranoid if IS_PARANOID else crime.release


def report_of(crime: crimes.Crime, outcome: process.Outcome) -> str:
    """The line that the crime's report must be, from the address that the program names."""
    victim = outcome.stdout.splitlines()[0].removeprefix("victim ")
    return f"hakmem: {crime.report.format(ptr=victim)}\n" if crime.report else ""


class Misuse(unittest.TestCase):
    def test_verdict_and_message(self) -> None:
        for crime in CRIMES:
            with self.subTest(crime.name):
                outcome = commit(crime)
                self.assertEqual(crimes.verdict(outcome), expected(crime), str(outcome))
                self.assertEqual(outcome.stderr, report_of(crime, outcome), str(outcome))

    def test_without_caches(self) -> None:
        for crime in CRIMES:
            with self.subTest(crime.name):
                outcome = commit(crime, HAKMEM_THREAD_CACHE_BYTES="0")
                # Nothing is handed out twice where no cache holds it.
                verdict = crime.paranoid.removeprefix(crimes.TWICE) if IS_PARANOID else crime.uncached
                self.assertEqual(crimes.verdict(outcome), verdict, str(outcome))
                self.assertEqual(outcome.stderr, report_of(crime, outcome), str(outcome))

    def test_a_warning_leaves_the_program_running(self) -> None:
        for crime in CRIMES:
            if not crime.report:
                continue
            with self.subTest(crime.name):
                outcome = commit(crime, HAKMEM_ON_ERROR="warn")
                self.assertEqual(outcome.status, 0, str(outcome))
                self.assertEqual(outcome.stdout.splitlines()[-1], "ended", str(outcome))
                self.assertIn(report_of(crime, outcome), outcome.stderr.splitlines(keepends=True), str(outcome))
                self.check_heap(crime, outcome)

    def test_ignoring_is_silent(self) -> None:
        for crime in CRIMES:
            if not crime.report:
                continue
            with self.subTest(crime.name):
                outcome = commit(crime, HAKMEM_ON_ERROR="ignore")
                self.assertEqual(outcome.status, 0, str(outcome))
                self.assertEqual(outcome.stderr, "", str(outcome))
                self.check_heap(crime, outcome)

    def check_heap(self, crime: crimes.Crime, outcome: process.Outcome) -> None:
        """A crime that is reported before any harm is done leaves the heap as it was."""
        harmed = expected(crime).startswith(crimes.TWICE)
        self.assertIn("aliased" if harmed else "disjoint", outcome.stdout.splitlines(), str(outcome))


class Page(unittest.TestCase):
    def rows(self, text: str) -> dict[str, tuple[str, ...]]:
        """The cells behind each crime's name."""
        found = {}
        for line in text.splitlines():
            if re.match(r"\| `\w+` \|", line):
                name, *verdicts = (cell.strip() for cell in line.strip("|").split("|"))
                found[name.strip("`")] = tuple(verdicts)
        return found

    def test_the_page_tells_what_is_tested(self) -> None:
        own, _, _ = PAGE.read_text(encoding="utf-8").partition(PEERS)
        tested = {crime.name: (crime.release, crime.uncached, crime.paranoid) for crime in crimes.CRIMES}
        self.assertEqual(self.rows(own), tested)

    def test_the_page_begins_with_the_summary(self) -> None:
        own, _, _ = PAGE.read_text(encoding="utf-8").partition(PEERS)
        self.assertIn("\n".join(crimes.summary()) + "\n", own)

    def test_every_crime_is_beside_the_peers(self) -> None:
        """`tools/misuse` writes this table; HAKMEM's column is known here."""
        _, _, beside = PAGE.read_text(encoding="utf-8").partition(PEERS)
        found = {name: verdicts[0] for name, verdicts in self.rows(beside).items()}
        self.assertEqual(found, {crime.name: crime.release.split(":")[0] for crime in crimes.CRIMES})

    def test_every_program_is_committed(self) -> None:
        """Programs beside the table would never run."""
        built = {path.name for path in crimes.FOLDER.iterdir() if path.suffix == "" and path.is_file()}
        self.assertEqual(built - {"misuse_test"}, {crime.name for crime in CRIMES} | NOT_RUN)


if __name__ == "__main__":
    unittest.main()
