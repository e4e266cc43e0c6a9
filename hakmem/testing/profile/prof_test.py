"""`hakmem prof` on programs whose culprits are known, on python3, and on what it cannot work with."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from hakmem.testing.harness import process
from tools.hakmem_lib import cli, memory
from tools.hakmem_lib import view as views_of
from tools.hakmem_lib.commands import prof
from tools.hakmem_lib.profile import data
from tools.hakmem_lib.profile.pprof_test import parse
from tools.hakmem_lib.profile.report import Report
from tools.hakmem_lib.profile.symbols import Symbols


def setUpModule() -> None:
    process.skip_emulated("it would see the emulator")


FOLDER = pathlib.Path("hakmem/testing/profile")
LEAKS, PINS = str(FOLDER / "leaks"), str(FOLDER / "pins")
VIEW = re.compile(r"^(live|peak|leak|fragmentation|allocated): .*\n.*\n(  .*)?", re.MULTILINE)


def hakmem(*arguments: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of a command in this process; of a program that it runs, the streams are the test's."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            status = cli.main(list(arguments))
        except SystemExit as ended:
            status = int(ended.code or 0)
    return status, stdout.getvalue(), stderr.getvalue()


def first_rows(text: str) -> dict[str, str]:
    """The first row of each view's table."""
    return {match.group(1): match.group(2) or "" for match in VIEW.finditer(text)}


class Profiled(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def profile(self, *arguments: str, expected: int = 0) -> dict[str, str]:
        """Profiles a program; returns the first row of each view."""
        output = str(self.folder / "out")
        status, stdout, stderr = hakmem("prof", "--lib", str(process.LIBRARY), "-o", output, *arguments)
        self.assertEqual((status, stdout), (expected, ""), stderr)
        return first_rows(stderr)

    def check_files(self, *views: str) -> None:
        """Those that there should be are there; pprof's is one by its schema, with what the views say first."""
        written = {path.name for path in (self.folder / "out").iterdir()}
        self.assertLessEqual({"heap.pb.gz", "report.txt", *(f"{view}.svg" for view in views)}, written)
        message = parse((self.folder / "out" / "heap.pb.gz").read_bytes())
        self.assertTrue(message.sample)
        functions = {function.id for function in message.function}
        locations = {location.id: location for location in message.location}
        mappings = {mapping.id for mapping in message.mapping}
        for sample in message.sample:
            for location in sample.location_id:
                self.assertTrue({line.function_id for line in locations[location].line} <= functions)
                self.assertIn(locations[location].mapping_id, mappings | {0})


class CulpritsAreNamed(Profiled):
    def test_a_leak(self) -> None:
        rows = self.profile("--bytes", "16k", "--", LEAKS)
        for view in ("live", "leak"):
            self.assertRegex(rows[view], r"^  forget_about leaks\.c:\d+ < main .*100\.0 %", view)
        self.assertRegex(rows["allocated"], r"^  work leaks\.c:\d+ < main ")
        self.check_files("live", "peak", "leak", "allocated")

    def test_the_estimate_of_a_leak(self) -> None:
        """40,000 blocks of 200 B: about 490 samples, so that 4 standard deviations are 18 %."""
        self.profile("--bytes", "16k", "--", LEAKS)
        message = parse((self.folder / "out" / "heap.pb.gz").read_bytes())
        live = sum(sample.value[1] for sample in message.sample)
        self.assertAlmostEqual(live / (40000 * 200), 1, delta=0.18)

    def test_what_pins_slabs(self) -> None:
        rows = self.profile("--bytes", "8k", "--", PINS)
        self.assertRegex(rows["fragmentation"], r" remember ")
        self.assertRegex(rows["live"], r" load_dictionary ", "which holds much more, and is not to blame")
        self.check_files("live", "peak", "leak", "fragmentation", "allocated")

    def test_python(self) -> None:
        """Blocks above 512 B are malloc's also without PYTHONMALLOC. What a module holds is freed at the end: the peak."""
        program = "kept = [bytearray(2000 + i % 100) for i in range(20000)]"
        rows = self.profile("--bytes", "128k", "--", "/usr/bin/python3", "-c", program)
        self.assertRegex(rows["peak"], r"(?i)bytearray", rows)

    def test_at_the_default_interval(self) -> None:
        self.assertIn("forget_about", self.profile("--", LEAKS)["live"])


class Processes(Profiled):
    @contextlib.contextmanager
    def running(self, **environment: str):  # type: ignore[no-untyped-def]
        env = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(process.LIBRARY.absolute()), **environment}
        program = subprocess.Popen(
            [str(pathlib.Path(LEAKS).absolute()), "wait"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            self.assertEqual(program.stdout.readline(), "ready\n")
            yield program
        finally:
            program.stdin.close()
            program.kill()
            program.wait()
            program.stdout.close()

    def control(self, pid: int, name: str) -> int:
        view = views_of.attach(memory.LiveProcess(pid))
        return view.memory.word(view.control(name))

    def test_a_running_process_is_switched_on_and_off(self) -> None:
        with self.running() as program:
            status, stdout, stderr = hakmem("prof", "--bytes", "4k", str(program.pid), "--seconds", "0.4", "-o", str(self.folder / "out"))
            self.assertEqual((status, stderr), (0, ""))
            rows = first_rows(stdout)
            self.assertRegex(rows["live"], r"^  forget_about leaks\.c:\d+ < main ")
            self.assertRegex(rows["leak"], r"^  forget_about ")
            self.assertRegex(rows["allocated"], r"^  work ")
            self.assertNotIn("fill_cache", stdout, "allocated before")
            self.assertEqual(self.control(program.pid, "instrument") & 1, 0, "off again")
            self.assertEqual(self.control(program.pid, "profile_interval_bytes"), 0)
            self.assertTrue((self.folder / "out" / "live.svg").exists())

    def test_what_was_allocated_before_is_not_counted_again(self) -> None:
        with self.running() as program:
            arguments = ("prof", "--bytes", "4k", "--seconds", "0.3", str(program.pid))
            first, second = (hakmem(*arguments)[1] for _ in range(2))
            for text in (first, second):
                self.assertRegex(first_rows(text)["allocated"], r"^  work ")
            sizes = [re.search(r"^live: live now, (\S+) ", text, re.MULTILINE) for text in (first, second)]
            self.assertTrue(all(sizes))

    def test_a_profile_from_the_start_is_read_at_once_and_goes_on(self) -> None:
        with self.running(HAKMEM_PROFILE="1", HAKMEM_PROFILE_BYTES="4k") as program:
            status, stdout, _ = hakmem("prof", str(program.pid))
            self.assertEqual(status, 0)
            self.assertIn("fill_cache", stdout)
            self.assertEqual(self.control(program.pid, "instrument") & 1, 1)


class Files(Profiled):
    def run_profiled(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": "/usr/bin:/bin",
            "LD_PRELOAD": str(process.LIBRARY.absolute()),
            "HAKMEM_PROFILE": "1",
            "HAKMEM_PROFILE_BYTES": "16k",
            "HAKMEM_PROFILE_FILE": str(self.folder / "p.%p"),
            **environment,
        }
        return subprocess.run(arguments, env=env, capture_output=True, text=True, check=False)

    def test_a_file_that_the_library_wrote(self) -> None:
        self.run_profiled(LEAKS)
        (path,) = self.folder.iterdir()
        self.assertTrue(data.is_profile(str(path)))
        status, stdout, _ = hakmem("prof", str(path))
        self.assertEqual(status, 0)
        self.assertIn("forget_about", first_rows(stdout)["leak"])
        shutil.copy(path, self.folder / "cut")
        with open(self.folder / "cut", "r+b") as file:
            file.truncate(1000)
        status, _, stderr = hakmem("prof", str(self.folder / "cut"))
        self.assertEqual((status, stderr.count("\n")), (2, 1))
        self.assertIn("cut off", stderr)

    def test_every_process_of_a_tree_has_a_file(self) -> None:
        script = f"{LEAKS}; {LEAKS} & wait"
        done = self.run_profiled("/bin/sh", "-c", script)
        self.assertEqual(done.stderr, "")
        leaking = 0
        for path in self.folder.iterdir():
            profile = data.read_file(path)
            report = Report.of(profile)
            leaking += any(stack[0].function == "forget_about" for stack, _ in report.ranked("leak"))
        self.assertEqual(leaking, 2)

    def test_a_file_that_cannot_be_written_is_named(self) -> None:
        done = self.run_profiled(LEAKS, HAKMEM_PROFILE_FILE="/no/such/folder/p")
        self.assertEqual(done.stderr, "hakmem: cannot write the heap profile to /no/such/folder/p\n")
        self.assertEqual(done.returncode, 0)

    def test_nothing_is_written_without_a_profile(self) -> None:
        self.run_profiled(LEAKS, HAKMEM_PROFILE="0")
        self.assertEqual(list(self.folder.iterdir()), [])


class ProgramsEnd(Profiled):
    def test_the_status_is_the_programs(self) -> None:
        self.profile("--bytes", "1k", "--", "/usr/bin/python3", "-c", "import sys; sys.exit(7)", expected=7)

    def test_a_program_that_is_killed_leaves_none(self) -> None:
        status, _, stderr = hakmem("prof", "--lib", str(process.LIBRARY), "--", "/bin/sh", "-c", "kill -9 $$")
        self.assertEqual(status, 2)
        self.assertIn("left no profile", stderr)
        self.assertEqual(stderr.count("\n"), 1)


class SymbolsAreFound(unittest.TestCase):
    def test_functions_of_this_process(self) -> None:
        mappings = memory.LiveProcess(os.getpid()).mappings()
        symbols = Symbols(mappings)
        code = next(m for m in mappings if m.is_executable and "libc" in m.path)
        place = symbols.place(code.start + code.size // 2)
        self.assertTrue(place.function)
        self.assertEqual(symbols.place(0x10).function, "[code at 0x10]")


class WrongInput(unittest.TestCase):
    def check(self, named: str, *arguments: str, status: int = 2) -> None:
        got, stdout, stderr = hakmem("prof", *arguments)
        self.assertEqual((got, stdout, stderr.count("\n")), (status, "", 1), stderr)
        self.assertRegex(stderr, named)

    def test_processes(self) -> None:
        self.check(r"no such process: 2147483646", "2147483646")
        self.check(r"no process number: '99999999999'", "99999999999")
        with subprocess.Popen(["/bin/sleep", "60"]) as sleeper:
            try:
                self.check(rf"process {sleeper.pid} \(.*\) does not run on HAKMEM", str(sleeper.pid))
            finally:
                sleeper.kill()

    def test_programs_and_files(self) -> None:
        self.check("no such program: /no/such", "/no/such")
        self.check("no such library: /no/lib.so", "--lib", "/no/lib.so", "true")
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"something else")
            file.flush()
            self.check(f"neither a program nor a heap profile: {file.name}", file.name)

    def test_options(self) -> None:
        self.check("no number of bytes from 1 to 1024g: 'many'", "--bytes", "many", "true")
        self.check("no number of bytes from 1 to 1024g: '0'", "--bytes", "0", "true")
        self.check("no number of bytes from 1 to 1024g: '2048g'", "--bytes", "2048g", "true")
        self.check("no number of seconds: '-1'", "--seconds=-1", "1")
        self.check("no number of seconds: 'x'", "--older", "x", "1")
        self.check("no number of rows: '0'", "--top", "0", "1")
        self.check("--seconds is for a process", "--seconds", "3", "true")
        self.check("unrecognized arguments|required", "--dance")
        self.check("no such option: --dance", "1", "--dance")
        self.check("one too many: 2", "1", "-s", "3", "2")
        self.check("no number of seconds: 'x'", "1", "--seconds", "x")

    def test_bytes(self) -> None:
        self.assertEqual([prof._bytes(text) for text in ("1", "64k", "2M", "1g")], [1, 65536, 1 << 21, 1 << 30])


if __name__ == "__main__":
    sys.exit(unittest.main())
