"""hakmem trace, replay and advise on real programs, with the tools and the library that Bazel has built."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from tools.hakmem_lib import cli

TOOLS = str(pathlib.Path("tools/trace").absolute())
LIBRARY = str(pathlib.Path("hakmem/libhakmem.so").absolute())
RECORDED = str(pathlib.Path("tools/trace/recorded").absolute())
SIZE = 77001


def hakmem(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own: it forks, and what it starts writes to its stdout."""
    return subprocess.run([sys.executable, "-B", "-m", "tools.hakmem_lib", *arguments], capture_output=True, text=True, check=False)


class CommandTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def record(self, *program: str, name: str = "it.trace") -> pathlib.Path:
        trace = self.folder / name
        done = hakmem("trace", "--tools", TOOLS, "--lib", LIBRARY, "-o", str(trace), "--", *program)
        self.assertEqual(done.returncode, 0, done.stderr)
        return trace


class Trace(CommandTest):
    def test_records_and_reports(self) -> None:
        trace = self.folder / "it.trace"
        done = hakmem("trace", "--tools", TOOLS, "--lib", LIBRARY, "-o", str(trace), "--", RECORDED, "functions")
        self.assertEqual((done.returncode, done.stdout), (0, "ok\n"), done.stderr)
        self.assertRegex(done.stderr, rf"^{trace}  recorded +\d+ operations +\d+\.\d bytes each\n$")

    def test_other_processes_have_traces_too(self) -> None:
        self.record(RECORDED, "fork", "libc")
        names = sorted(path.name for path in self.folder.iterdir())
        self.assertEqual(len(names), 2)
        self.assertEqual(names[0], "it.trace")
        self.assertRegex(names[1], r"^it\.trace\.\d+$")
        # The next record takes their place.
        self.record(RECORDED, "functions")
        self.assertEqual([path.name for path in self.folder.iterdir()], ["it.trace"])

    def test_many_processes(self) -> None:
        """Those with the most operations are named first, and as they are found from where the command was given."""
        script = 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; do "$0" functions; done'
        done = subprocess.run(
            [sys.executable, "-B", "-m", "tools.hakmem_lib", "trace", "--tools", TOOLS, "--lib", LIBRARY,
             "-o", os.path.relpath(self.folder / "many"), "--", "bash", "-c", script, RECORDED],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        lines = done.stderr.splitlines()
        self.assertEqual((done.returncode, len(lines)), (0, 17), done.stderr)
        self.assertTrue(all(line.startswith(os.path.relpath(self.folder / "many")) for line in lines[:16]), done.stderr)
        counts = [int(line.split("operation")[0].split()[-1].replace(",", "")) for line in lines[:16]]
        self.assertEqual(counts, sorted(counts, reverse=True))
        self.assertRegex(lines[16], r"^and \d+ more traces? with [\d,]+ operations: .*many\.\*$")

    def test_status_is_the_programs(self) -> None:
        for script, status in (("exit 7", 7), ("kill -9 $$", 137)):
            done = hakmem("trace", "--tools", TOOLS, "--lib", LIBRARY, "-o", str(self.folder / "t"), "--", "sh", "-c", script)
            self.assertEqual(done.returncode, status, done.stderr)
        self.assertIn("did not end by exit()", done.stderr)

    def test_summary(self) -> None:
        trace = str(self.record(RECORDED, "threads"))
        text = hakmem("trace", "--tools", TOOLS, "--summary", trace)
        self.assertEqual((text.returncode, text.stderr), (0, ""))
        for words in (f"{trace}: recorded, process", "operations", "64.0 KiB to 128.0 KiB", "freed by other threads", "of others' blocks"):
            self.assertIn(words, text.stdout)
        figures = json.loads(hakmem("trace", "--tools", TOOLS, "--json", "--summary", trace).stdout)
        self.assertEqual(len(figures["threads"]), 21)

    def test_summary_of_what_ends_early(self) -> None:
        trace = self.folder / "it.trace"
        hakmem("trace", "--tools", TOOLS, "--lib", LIBRARY, "-o", str(trace), "--", RECORDED, "end", "kill")
        done = hakmem("trace", "--tools", TOOLS, "--summary", str(trace))
        self.assertEqual(done.returncode, 0)
        self.assertIn("ends where the process did", done.stderr)

    def test_compare(self) -> None:
        left, right = str(self.record(RECORDED, "threads")), str(self.record(RECORDED, "operators", name="other"))
        same = hakmem("trace", "--tools", TOOLS, "--compare", left, left)
        self.assertEqual((same.returncode, same.stderr), (0, ""))
        self.assertRegex(same.stdout, r"^the same \d+ operations by 21 threads\n$")
        different = hakmem("trace", "--tools", TOOLS, "--compare", left, right)
        self.assertEqual((different.returncode, different.stderr), (1, ""))
        self.assertRegex(different.stdout, r"^different from operation \d+ of thread 0 on\n$")


class Replay(CommandTest):
    def test_table(self) -> None:
        trace = str(self.record(RECORDED, "threads"))
        done = hakmem("replay", "--tools", TOOLS, "--lib", f"hakmem={LIBRARY}", "--allocator", "glibc,hakmem", "--runs", "2", trace)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertRegex(lines[0], r"operations of recorded, 21 threads; medians of 2$")
        self.assertEqual([line.split()[0] for line in lines[1:]], ["allocator", "hakmem", "glibc"])

    def test_json_and_contents(self) -> None:
        trace = str(self.record(RECORDED, "many"))
        done = hakmem("replay", "--tools", TOOLS, "--lib", LIBRARY, "--verify", "--json", "--runs", "1", trace)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        row = json.loads(done.stdout)["hakmem"]
        self.assertEqual((row["wrong_bytes"], row["refused"], row["runs"]), (0, 0, 1))
        self.assertGreater(row["cpu_s"], 0)

    def test_check(self) -> None:
        trace = str(self.record(RECORDED, "threads"))
        done = hakmem("replay", "--tools", TOOLS, "--lib", f"hakmem={LIBRARY}", "--allocator", "glibc", "--check", trace)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"^hakmem: the same \d+ operations by 21 threads\nglibc: the same ")


class Advise(CommandTest):
    def test_finds_a_cache_that_is_too_small(self) -> None:
        """A block of 24 MiB that is freed and taken again: the first time it goes back, and it is faster to keep it. Seven
        rounds: of three, beside other tests, two can differ by a quarter in themselves, and half the time is told from no
        more than that."""
        trace = str(self.record(RECORDED, "whales"))
        done = hakmem("advise", "--tools", TOOLS, "--lib", LIBRARY, "--rounds", "7", trace)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertRegex(done.stdout, r"HAKMEM_SURPLUS_BYTES=32m +\d+\.\d ms +-\d\d ±\d+ %", done.stdout)

    def test_json(self) -> None:
        trace = str(self.record(RECORDED, "functions"))
        done = hakmem("advise", "--tools", TOOLS, "--lib", LIBRARY, "--rounds", "1", "--json", trace)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        found = json.loads(done.stdout)
        self.assertGreater(found["tried"], 25)
        self.assertEqual(set(found["defaults"]), {"cpu_s", "peak_rss_bytes", "end_rss_bytes", "page_faults"})
        quick = hakmem("advise", "--tools", TOOLS, "--lib", LIBRARY, "--quick", "--rounds", "1", "--json", trace)
        self.assertEqual((quick.returncode, quick.stderr), (0, ""))
        self.assertLess(json.loads(quick.stdout)["tried"], found["tried"])


class WrongInput(CommandTest):
    def check(self, named: str, *arguments: str) -> None:
        stdout, stderr = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            try:
                status = cli.main(list(arguments))
            except SystemExit as ended:
                status = ended.code
        self.assertEqual((status, stdout.getvalue(), stderr.getvalue().count("\n")), (2, "", 1), stderr.getvalue())
        self.assertIn(named, stderr.getvalue())

    def test_options(self) -> None:
        self.check("nothing to do", "trace")
        self.check("not allowed with", "trace", "--summary", "a", "--output", "b")
        self.check("nothing is recorded with --summary", "trace", "--summary", "a", "true")
        self.check("no such program: /no/such", "trace", "/no/such")
        self.check("--compare", "trace", "--compare", "a")
        self.check("--dance", "replay", "--dance", "a")
        self.check("TRACE", "replay")
        self.check("'0' is not a number", "replay", "--runs", "0", "a")
        self.check("invalid choice: 'some'", "replay", "--touch", "some", "a")
        self.check("TRACE", "advise")
        self.check("'x' is not a number", "advise", "--rounds", "x", "a")

    def test_files_that_are_not_there(self) -> None:
        for arguments in (("trace", "--summary"), ("trace", "--compare", "/no/such"), ("replay",), ("advise",)):
            self.check("cannot read /no/such: No such file or directory", *arguments, "/no/such")
        trace = str(self.record(RECORDED, "functions"))
        for arguments in (("trace", "--summary"), ("replay",), ("advise",)):
            self.check("no such file: /no/such/replay", *arguments, "--tools", "/no/such", trace) if arguments[0] != "trace" else \
                self.check("no such file: /no/such/replay", "trace", "--tools", "/no/such", "--summary", trace)
        self.check("no such library: /no/lib.so", "replay", "--tools", TOOLS, "--lib", "/no/lib.so", trace)
        self.check("no such library: /no/lib.so", "advise", "--tools", TOOLS, "--lib", "/no/lib.so", trace)
        self.check("no such library: /no/lib.so", "trace", "--tools", TOOLS, "--lib", "/no/lib.so", "-o", str(self.folder / "o"), "true")
        self.check("no allocator named dance; known: hakmem", "replay", "--tools", TOOLS, "--allocator", "dance", trace)

    def test_what_is_no_trace(self) -> None:
        other = self.folder / "other"
        other.write_text("x" * 5000)
        whole = self.record(RECORDED, "many").read_bytes()
        cut = self.folder / "cut"
        cut.write_bytes(whole[:len(whole) - 70000])
        changed = self.folder / "changed"
        changed.write_bytes(whole[:9000] + bytes([whole[9000] ^ 1]) + whole[9001:])
        newer = self.folder / "newer"
        newer.write_bytes(whole[:8] + b"\x09" + whole[9:])
        for path, words in ((other, "is no trace"), (cut, "is cut off: it ends at byte"), (changed, "has another checksum"),
                            (newer, "is a trace of version 9")):
            for arguments in (("trace", "--summary", str(path)), ("replay", str(path)), ("advise", str(path)),
                              ("trace", "--compare", str(path), str(path))):
                self.check(words, arguments[0], "--tools", TOOLS, *arguments[1:])

    def test_places_that_cannot_be_written_to(self) -> None:
        self.check("cannot write /no/such/trace: No such file or directory", "trace", "--tools", TOOLS, "--lib", LIBRARY, "-o", "/no/such/trace", "true")
        precious = self.folder / "precious"
        precious.write_text("not a trace")
        self.check("is there, and no trace: it stays", "trace", "--tools", TOOLS, "--lib", LIBRARY, "-o", str(precious), "true")
        self.assertEqual(precious.read_text(), "not a trace")

    def test_library_that_is_not_hakmem(self) -> None:
        trace = str(self.record(RECORDED, "functions"))
        self.check("is no library of HAKMEM's", "advise", "--tools", TOOLS, "--lib", f"{TOOLS}/libhakmem_trace.so", trace)

    @unittest.skipIf(os.geteuid() != 0, "needs to be root to become somebody else")
    def test_no_permission(self) -> None:
        trace = self.record(RECORDED, "functions")
        try:
            os.seteuid(65534)
        except OSError as error:
            self.skipTest(f"nobody else is there to become: {error.strerror}")
        try:
            self.check(f"cannot read {trace}: Permission denied", "replay", "--tools", TOOLS, str(trace))
        finally:
            os.seteuid(0)


if __name__ == "__main__":
    unittest.main()
