"""hakmem stat and hakmem top on real processes: figures that are exact, and that the kernel agrees with."""

from __future__ import annotations

import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
import unittest
import xml.etree.ElementTree

from hakmem.testing.harness import process
from hakmem.testing.inside.commands import hakmem
from hakmem.testing.inside.running import FOLDER, Running


def setUpModule() -> None:
    process.skip_emulated("it would see the emulator")


KIB, MIB = 1 << 10, 1 << 20
# Of a program that needs no more than libc.
PYTHON = "/usr/bin/python3"


def report(pid: int) -> dict:
    given = hakmem("stat", pid, "--json")
    if given.status != 0 or given.stderr:
        raise AssertionError(given)
    return json.loads(given.stdout)


class Stat(unittest.TestCase):
    def check_sums(self, found: dict) -> None:
        totals, resident = found["totals"], found["resident"]
        self.assertEqual(totals["mapped"], totals["slabs"] + totals["spans"] + totals["rooms"] + totals["free_units"])
        in_classes = sum(row["live_bytes"] for row in found["classes"])
        self.assertEqual(totals["live"], in_classes + totals["spans"] + totals["whales"])
        parts = in_classes + totals["cached"] + totals["remote"] + totals["free"] + totals["tails"]
        self.assertEqual(totals["slabs"], parts)
        self.assertEqual(
            sum(found["superslabs"][tier] for tier in ("full", "hot", "draining", "empty")), found["superslabs"]["all"]
        )
        kinds = sum(resident[kind] for kind in ("superslabs", "whales", "descriptors", "library"))
        self.assertEqual(resident["ours"], kinds)
        self.assertEqual(resident["kernel"], resident["ours"] + resident["others"] + resident["unexplained"])
        self.assertEqual(found["doubts"], {})

    def check_kernel_agrees(self, pid: int, found: dict) -> None:
        """Within 2 % of what smaps has, and of the sizes that HAKMEM knows of."""
        resident, totals = found["resident"], found["totals"]
        rss = 0
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                rss = int(line.split()[1]) * KIB
        self.assertLess(abs(resident["kernel"] - rss), 0.02 * rss)
        self.assertLess(abs(resident["unexplained"]), 0.02 * rss, resident)

    def test_known_blocks(self) -> None:
        with Running(FOLDER / "known") as running:
            running.reached("start")
            before = report(running.pid)
            self.check_sums(before)
            running.go_to("full")
            full = report(running.pid)
            self.check_sums(full)
            self.check_kernel_agrees(running.pid, full)
            live = {row["block_bytes"]: row["live"] for row in full["classes"]}
            self.assertEqual(
                (live[14336], live[192 * KIB], full["spans"]["live"], full["whales"]["live"]), (1000, 10, 2, 2)
            )
            self.assertEqual(full["totals"]["live_blocks"] - before["totals"]["live_blocks"], 3014)
            # Every byte of these was written to; what else is resident is what the kernel says is.
            written = 1000 * (700 + 1900 + 13000) + 10 * 150000 + 1400 * 1000 + 8000 * 1000
            resident = full["resident"]["superslabs"] + full["resident"]["whales"]
            self.assertGreater(resident, written)
            self.assertLess(resident, full["totals"]["mapped"] + full["totals"]["whales"] + 1)
            self.assertGreater(full["resident"]["whales"], 8000 * 1000 - 2 * 4096)
            self.assertEqual(sorted(row["name"] for row in full["threads"] if row["name"]), ["known", "worker"])
            self.assertGreater(full["slow_paths"]["refills"], before["slow_paths"]["refills"])
            self.assertGreater(full["system_calls"]["map"], before["system_calls"]["map"])

    def test_rounding(self) -> None:
        """Of blocks whose sizes are known, each of them sampled; without samples only a bound."""
        asked = 1000 * (700 + 1900 + 13000) + 10 * 150000 + 1400 * 1000 + 8000 * 1000
        had = 1000 * (768 + 2048 + 14336) + 10 * 3 * 65536 + (7 + 16 + 46 + 77) * 65536
        with Running(FOLDER / "known") as running:
            running.reached("start")
            running.go_to("full")
            totals = report(running.pid)["totals"]
            self.assertEqual((totals["rounding"], totals["rounding_samples"]), (0, 0))
            self.assertGreater(totals["rounding_max"], had - asked)
            self.assertIn("      not asked for, as sizes are rounded up, at most ", hakmem("stat", running.pid).stdout)
        with Running(FOLDER / "known", env={"HAKMEM_PROFILE": "1", "HAKMEM_PROFILE_BYTES": "1"}) as running:
            running.reached("start")
            running.go_to("full")
            totals = report(running.pid)["totals"]
            self.assertGreaterEqual(totals["rounding_samples"], 3014)
            self.assertAlmostEqual(totals["rounding"] / totals["live"], 1 - asked / had, delta=0.0005)
            self.assertRegex(hakmem("stat", running.pid).stdout, r"(?m)^      not asked for, by 3,\d+ samples ")
            self.assertIn(" not asked for", hakmem("top", running.pid, "--once", "--interval", "0.1").stdout)

    def test_linked_statically(self) -> None:
        with Running(FOLDER / "known_static", preload=False) as running:
            running.reached("start")
            running.go_to("full")
            found = report(running.pid)
            self.check_sums(found)
            self.check_kernel_agrees(running.pid, found)

    def check_program(self, code: str) -> dict:
        """A program of Python's, on HAKMEM, that ends in a wait for its stdin."""
        environment = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(process.LIBRARY.absolute()), "PYTHONMALLOC": "malloc"}
        command = [PYTHON, "-S", "-c", code + "\nprint('start', flush=True)\nimport sys\nsys.stdin.read()"]
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as program:
            try:
                self.assertEqual(program.stdout.readline(), "start\n")
                found = report(program.pid)
                self.check_sums(found)
                self.check_kernel_agrees(program.pid, found)
                return found
            finally:
                program.kill()

    def test_a_real_program(self) -> None:
        found = self.check_program("blocks = [bytes(n % 3000) for n in range(60000)]")
        self.assertGreater(found["totals"]["live"], 80 * MIB)
        self.assertGreater(found["resident"]["ours"], 80 * MIB)

    def test_a_fragmented_program(self) -> None:
        """Every other block freed, whales come and gone, some memory mapped by the program itself."""
        found = self.check_program(
            """
import mmap
own = mmap.mmap(-1, 30 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
own.write(b'x' * (30 << 20))
blocks = [bytes(n % 3000) for n in range(60000)]
del blocks[::2]
large = [bytes(5 << 20) for _ in range(4)]
del large[::2]
"""
        )
        self.assertGreater(found["totals"]["free"], 20 * MIB)
        self.assertGreater(found["resident"]["others"], 30 * MIB)

    def test_text(self) -> None:
        with Running(FOLDER / "known") as running:
            running.reached("start")
            running.go_to("full")
            given = hakmem("stat", running.pid)
            self.assertEqual((given.status, given.stderr), (0, ""))
            self.assertRegex(given.stdout, rf"^known, process {running.pid}, on HAKMEM \d+\.\d+\.\d+(?: \([a-z+]+\))?\n")
            self.assertRegex(given.stdout, r"(?m)^ +14\.0 KiB +\d+ +1,000 +\d+ +0 +\d+ ")
            self.assertRegex(given.stdout, r"(?m)^  \d+ +worker ")
            self.assertRegex(given.stdout, r"(?m)^  misuse reported: 0$")
            self.assertNotIn("\x1b", given.stdout)
            for line in given.stdout.splitlines():
                self.assertEqual(line, line.rstrip())

    def test_while_it_works(self) -> None:
        """Many looks at a process that allocates and frees as fast as it can: what is torn is left out, the rest makes
        sense."""
        code = """
import threading
def work():
    while True:
        [bytes(n * 37 % 5000) for n in range(3000)]
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
"""
        environment = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(process.LIBRARY.absolute()), "PYTHONMALLOC": "malloc"}
        command = [PYTHON, "-S", "-c", code + "\nprint('start', flush=True)\nimport sys\nsys.stdin.read()"]
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as program:
            try:
                self.assertEqual(program.stdout.readline(), "start\n")
                for _ in range(30):
                    found = report(program.pid)
                    self.assertGreater(found["totals"]["mapped"], 0)
                    self.assertLessEqual(
                        found["totals"]["live"],
                        found["totals"]["slabs"] + found["totals"]["spans"] + found["totals"]["whales"],
                    )
                    self.assertLess(sum(found["doubts"].values()), 20)
            finally:
                program.kill()


class WrongInput(unittest.TestCase):
    def check(self, named: str, *arguments: object) -> None:
        given = hakmem(*arguments)
        self.assertEqual((given.status, given.stdout, given.stderr.count("\n")), (2, "", 1), given)
        self.assertIn(named, given.stderr)

    def test_processes(self) -> None:
        for command, redis in (
            (["stat"], "neither the number of a process nor a core file: redis"),
            (["top", "--once"], "no process number: 'redis'"),
        ):
            with self.subTest(command=command):
                self.check("no such process: 4194304", *command, 1 << 22)
                self.check(redis, *command, "redis")
                self.check("no process number: '0'", *command, "0")
                self.check("PID", *command)
                with Running(FOLDER / "known", preload=False) as running:
                    running.reached("start")
                    self.check(f"process {running.pid} (known) does not run on HAKMEM", *command, running.pid)
                with Running(FOLDER / "other_version", preload=False) as running:
                    running.reached("start")
                    self.check("another version, HAKMEM 9.8.7 with view 2", *command, running.pid)
                with Running(FOLDER / "known") as running:
                    running.reached("start")
                    os.kill(running.pid, signal.SIGKILL)
                    os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
                    self.check("no memory", *command, running.pid)

    def test_options(self) -> None:
        self.check("--wide", "stat", "1", "--wide")
        for wrong in ("fast", "0", "-1", "1e9", "nan"):
            self.check("not a number of seconds from 0.1 to 3600", "top", "1", f"--interval={wrong}")
        self.check("--svg draws one frame", "top", os.getpid(), "--svg", "a.svg")

    def test_no_terminal(self) -> None:
        with Running(FOLDER / "known") as running:
            running.reached("start")
            self.check("stdout is no terminal; --once prints one frame", "top", running.pid)

    def test_a_picture_that_cannot_be_written(self) -> None:
        with Running(FOLDER / "known") as running:
            running.reached("start")
            self.check(
                "cannot write /no/such/a.svg: No such file",
                "top",
                running.pid,
                "--once",
                "--interval",
                "0.1",
                "--svg",
                "/no/such/a.svg",
            )


class Terminal:
    """hakmem top in a terminal of its own."""

    def __init__(self, *arguments: object, lines: int = 44, columns: int = 118) -> None:
        self._screen, side = pty.openpty()
        termios.tcsetwinsize(side, (lines, columns))
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ".", "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        command = [sys.executable, "-B", "-m", "tools.hakmem_lib", "top", *[str(argument) for argument in arguments]]
        self.before = termios.tcgetattr(side)
        self._side = side
        self._process = subprocess.Popen(
            command, env=environment, stdin=side, stdout=side, stderr=side, start_new_session=True
        )
        self.text = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._screen)
        os.close(self._side)

    def press(self, key: str) -> None:
        os.write(self._screen, key.encode())

    def wait_for(self, words: str) -> None:
        """Reads until the words come, after what was read before."""
        until = time.monotonic() + process.TIMEOUT_S
        shown = ""
        while words not in shown:
            if time.monotonic() > until:
                raise AssertionError(f"no {words!r} in {shown!r}")
            if select.select([self._screen], [], [], 0.1)[0]:
                shown += os.read(self._screen, 65536).decode("utf-8", "replace")
        self.text += shown

    def ended(self) -> int:
        """Waits for its end; returns its status."""
        until = time.monotonic() + process.TIMEOUT_S
        while self._process.poll() is None and time.monotonic() < until:
            if select.select([self._screen], [], [], 0.1)[0]:
                self.text += os.read(self._screen, 65536).decode("utf-8", "replace")
        return self._process.wait(timeout=1)

    def is_as_before(self) -> bool:
        """Whether the terminal shows what is typed again, a line at a time."""
        return termios.tcgetattr(self._side)[3] == self.before[3]


class Top(unittest.TestCase):
    def test_one_frame(self) -> None:
        with Running(FOLDER / "known") as running:
            running.reached("start")
            running.go_to("full")
            given = hakmem("top", running.pid, "--once", "--interval", "0.2")
            self.assertEqual((given.status, given.stderr), (0, ""))
            for words in (f"known  process {running.pid}", "14.0 KiB", "worker", "2 threads, 2 heaps", "fragmentation"):
                self.assertIn(words, given.stdout)
            self.assertLessEqual(max(len(line) for line in given.stdout.splitlines()), 118)

    def test_picture(self) -> None:
        with Running(FOLDER / "known") as running, tempfile.TemporaryDirectory() as folder:
            running.reached("start")
            path = pathlib.Path(folder) / "top.svg"
            given = hakmem("top", running.pid, "--once", "--interval", "0.1", "--svg", path)
            self.assertEqual((given.status, given.stdout, given.stderr), (0, "", ""))
            root = xml.etree.ElementTree.parse(path).getroot()
            self.assertTrue(root.tag.endswith("svg"))
            text = "".join(root.itertext()).replace("\xa0", " ")
            self.assertIn("size classes by bytes", text)
            self.assertNotIn("http", path.read_text().replace("http://www.w3.org/2000/svg", ""))

    def test_watching(self) -> None:
        with Running(FOLDER / "known") as running:
            running.reached("start")
            with Terminal(running.pid, "--interval", "0.2") as terminal:
                terminal.wait_for("size classes by bytes")
                running.go_to("full")
                terminal.wait_for("1,000")
                terminal.press("s")
                terminal.wait_for("size classes by idle bytes")
                terminal.press("q")
                self.assertEqual(terminal.ended(), 0)
                self.assertTrue(terminal.is_as_before())
                self.assertIn("\x1b[?1049l", terminal.text)  # the screen of before is back

    def test_small_terminals(self) -> None:
        with Running(FOLDER / "known") as running:
            running.reached("start")
            with Terminal(running.pid, "--interval", "0.2", lines=20, columns=60) as terminal:
                terminal.wait_for("memory")
                terminal.press("q")
                self.assertEqual(terminal.ended(), 0)

    def test_the_process_ends(self) -> None:
        with Running(FOLDER / "known") as running:
            running.reached("start")
            with Terminal(running.pid, "--interval", "0.2") as terminal:
                terminal.wait_for("size classes")
                os.kill(running.pid, signal.SIGKILL)
                self.assertEqual(terminal.ended(), 0)
                self.assertIn(f"process {running.pid} (known) has ended", terminal.text)
                self.assertTrue(terminal.is_as_before())

    def test_the_process_becomes_another_program(self) -> None:
        environment = {"LD_PRELOAD": str(process.LIBRARY.absolute())}
        command = ["/bin/sh", "-c", "echo start; read line; unset LD_PRELOAD; exec /bin/sleep 100"]
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as program:
            try:
                self.assertEqual(program.stdout.readline(), "start\n")
                with Terminal(program.pid, "--interval", "0.2") as terminal:
                    terminal.wait_for("size classes")
                    program.stdin.write("\n")
                    program.stdin.flush()
                    self.assertEqual(terminal.ended(), 2)
                    self.assertIn("has become another program", terminal.text)
            finally:
                program.kill()


class Run(unittest.TestCase):
    """hakmem run becomes the program, so each is a process of its own."""

    def run_it(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": "."}
        command = [sys.executable, "-B", "-m", "tools.hakmem_lib", "run", "--lib", str(process.LIBRARY)]
        return subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=False)

    def test_the_report(self) -> None:
        for arguments, first in (((), "hakmem 0."), (("--json",), '{"version":"'), (("--quiet",), "")):
            done = self.run_it(*arguments, PYTHON, "-c", "import sys; print(sys.argv[1])", "--json")
            self.assertEqual((done.returncode, done.stdout), (0, "--json\n"), done)
            self.assertTrue(done.stderr.startswith(first) and bool(done.stderr) == bool(first), done)

    def test_the_report_in_a_file(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            script = "import os, subprocess; os.chdir('/'); exit(3 + subprocess.call(['/bin/true']))"
            done = self.run_it("--json", "-o", f"{folder}/%p", PYTHON, "-c", script)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (3, "", ""))
            reports = [json.loads(path.read_text()) for path in pathlib.Path(folder).iterdir()]
        self.assertEqual([report["stats_version"] for report in reports], [reports[0]["stats_version"]] * 2)


if __name__ == "__main__":
    unittest.main()
