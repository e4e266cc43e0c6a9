"""The background thread and the metrics in real programs."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from collections.abc import Callable

from hakmem.testing.harness import process

FOLDER = pathlib.Path("hakmem/testing/preload")
PYTHON = "/usr/bin/python3"
IDLE = """
import time
def resident(): return int(open("/proc/self/statm").read().split()[1]) * 4096
blocks = [b"x" * 300000 for _ in range(200)]
del blocks
freed = resident()
time.sleep({sleep_s})
print(freed - resident())
"""
FORKS = """
import os, time
held = [b"x" * 1000 for _ in range(2000)]
child = os.fork()
if child == 0:
    more = [b"y" * (1000 + i) for i in range(20000)]
    time.sleep(0.5)
    names = [open(f"/proc/self/task/{task}/comm").read() for task in os.listdir("/proc/self/task")]
    os._exit(0 if names.count("hakmem\\n") == 1 else 9)
print(os.waitpid(child, 0)[1])
"""


def is_whole(text: str) -> bool:
    return text.startswith("# TYPE hakmem info\n") and text.endswith("\n# EOF\n")


def connected(path: pathlib.Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return client


def asked(path: pathlib.Path) -> str:
    with connected(path) as client, client.makefile() as answer:
        return answer.read()


@process.not_on_musl("the machine's Python is no program of musl's")
@process.not_emulated("the machine's Python is a program of this processor")
class Background(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def comes(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertTrue(condition())

    def python(self, script: str, **env: str) -> process.Outcome:
        outcome = process.run(PYTHON, "-c", script, preload=[process.LIBRARY], env=env)
        self.assertEqual((outcome.status, outcome.stderr), (0, ""), str(outcome))
        return outcome

    def test_an_idle_process_gives_its_memory_back(self) -> None:
        options = {"HAKMEM_SURPLUS_BYTES": "1g", "HAKMEM_DECAY_MS": "100", "HAKMEM_PURGE_IN_WAITS": "0"}
        kept = int(self.python(IDLE.format(sleep_s=2), **options).stdout)
        given = int(self.python(IDLE.format(sleep_s=2), HAKMEM_BACKGROUND_THREAD="1", **options).stdout)
        self.assertLess(kept, 4 << 20)
        self.assertGreater(given, 8 << 20)

    def test_the_file_is_whole_whenever_it_is_read(self) -> None:
        path = self.folder / "metrics.prom"
        env = {"LD_PRELOAD": str(process.LIBRARY.absolute()), "HAKMEM_METRICS": str(path), "HAKMEM_METRICS_SECONDS": "1"}
        with subprocess.Popen([PYTHON, "-c", "import time; time.sleep(60)"], env=env) as program:
            deadline = time.monotonic() + 20
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            first = path.stat().st_ino
            while path.stat().st_ino == first and time.monotonic() < deadline:
                self.assertTrue(is_whole(path.read_text()))
                time.sleep(0.02)
            self.assertNotEqual(path.stat().st_ino, first, "it is another file each time")
            program.send_signal(signal.SIGTERM)
            self.assertEqual(program.wait(20), -signal.SIGTERM)
        self.assertLessEqual(len(os.listdir(self.folder)), 2, "at most one was being written")

    def test_the_last_word_is_of_the_end(self) -> None:
        path = self.folder / "metrics.prom"
        self.python("kept = [b'x' * 1000000 for _ in range(30)]; import gc", HAKMEM_METRICS=str(path))
        self.assertTrue(is_whole(path.read_text()))
        self.assertEqual([name for name in os.listdir(self.folder)], ["metrics.prom"])

    def test_children_of_a_fork(self) -> None:
        path = self.folder / "metrics"
        self.assertEqual(self.python(FORKS, HAKMEM_METRICS=f"{path}.%p", HAKMEM_BACKGROUND_THREAD="1").stdout, "0\n")
        self.assertEqual(len(os.listdir(self.folder)), 2, "of parent and child")
        self.assertEqual(self.python(FORKS, HAKMEM_BACKGROUND_THREAD="1").stdout, "0\n")

    def test_forks_and_execs(self) -> None:
        outcome = process.run(
            FOLDER / "forks", preload=[process.LIBRARY], env={"HAKMEM_BACKGROUND_THREAD": "1", "HAKMEM_DECAY_MS": "1"}
        )
        self.assertEqual((outcome.status, outcome.stdout, outcome.stderr), (0, "ok\n", ""), str(outcome))
        outcome = process.run(
            FOLDER / "execs", "exec", "30", preload=[process.LIBRARY], env={"HAKMEM_METRICS": str(self.folder / "m")}
        )
        self.assertEqual((outcome.status, outcome.stdout, outcome.stderr), (0, "ok\n", ""), str(outcome))

    def test_clients_that_neither_read_nor_close(self) -> None:
        """Others are answered, the program goes on, and it ends when it wants to."""
        path = self.folder / "metrics.sock"
        env = {"LD_PRELOAD": str(process.LIBRARY.absolute()), "HAKMEM_METRICS": f"unix:{path}"}
        script = "import sys; print('ready', flush=True); sys.stdin.readline(); print(len([bytes(1000) for _ in range(99999)]))"
        with subprocess.Popen(
            [PYTHON, "-c", script], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as program, contextlib.ExitStack() as silent:
            self.assertEqual(program.stdout.readline(), "ready\n")
            deadline = time.monotonic() + 20
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            for _ in range(20):
                silent.enter_context(connected(path))
            begin = time.monotonic()
            self.assertTrue(is_whole(asked(path)))
            self.assertLess(time.monotonic() - begin, 10)
            silent.enter_context(connected(path))
            self.assertEqual(program.communicate("go on\n", timeout=20)[0], "99999\n")
            self.assertEqual(program.returncode, 0)
        self.assertFalse(path.exists())

    def test_a_folder_that_goes_and_comes_back(self) -> None:
        """One line for all failures, and the figures are there again with the folder."""
        folder = self.folder / "run"
        folder.mkdir()
        path = folder / "metrics.prom"
        env = {"LD_PRELOAD": str(process.LIBRARY.absolute()), "HAKMEM_METRICS": str(path), "HAKMEM_METRICS_SECONDS": "1"}
        with subprocess.Popen(
            [PYTHON, "-c", "input()"], env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as program:
            self.comes(path.exists)
            away = self.folder / "away"
            folder.rename(away)
            time.sleep(3)
            self.assertTrue(is_whole((away / "metrics.prom").read_text()))
            folder.mkdir()
            self.comes(path.exists)
            folder.rename(self.folder / "gone")
            said = program.communicate("\n", timeout=20)[1]
        self.assertEqual((program.returncode, said), (0, f"hakmem: cannot write metrics to {path}: no such folder\n"))
        self.assertTrue(is_whole((self.folder / "gone" / "metrics.prom").read_text()))
        self.assertEqual(os.listdir(away), ["metrics.prom"], "no half file beside it")

    def test_a_folder_that_nobody_may_write_to(self) -> None:
        env = {"HAKMEM_METRICS": "/sys/metrics.prom", "HAKMEM_METRICS_SECONDS": "1"}
        outcome = process.run("/bin/sleep", "2.5", preload=[process.LIBRARY], env=env)
        self.assertEqual(outcome.status, 0, str(outcome))
        why = "(permission denied|the file system is read-only)"
        self.assertRegex(outcome.stderr, rf"^hakmem: cannot write metrics to /sys/metrics.prom: {why}\n$")

    def test_what_cannot_be_written_is_one_line(self) -> None:
        outcome = process.run(
            FOLDER / "hello", preload=[process.LIBRARY], env={"HAKMEM_METRICS": "/no/such/folder/metrics"}
        )
        line = "hakmem: cannot write metrics to /no/such/folder/metrics: no such folder\n"
        self.assertEqual((outcome.status, outcome.stdout, outcome.stderr), (0, "ok\n", line), str(outcome))


if __name__ == "__main__":
    unittest.main()
