"""The background thread and the metrics in real programs."""

import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

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


@process.not_on_musl("the machine's Python is no program of musl's")
@process.not_emulated("the machine's Python is a program of this processor")
class Background(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def python(self, script: str, **env: str) -> process.Outcome:
        outcome = process.run(PYTHON, "-c", script, preload=[process.LIBRARY], env=env)
        self.assertEqual((outcome.status, outcome.stderr), (0, ""), str(outcome))
        return outcome

    def test_an_idle_process_gives_its_memory_back(self) -> None:
        options = {"HAKMEM_SURPLUS_BYTES": "1g", "HAKMEM_DECAY_MS": "100"}
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

    def test_what_cannot_be_written_is_one_line(self) -> None:
        outcome = process.run(
            FOLDER / "hello", preload=[process.LIBRARY], env={"HAKMEM_METRICS": "/no/such/folder/metrics"}
        )
        line = "hakmem: cannot write metrics to /no/such/folder/metrics: no such folder\n"
        self.assertEqual((outcome.status, outcome.stdout, outcome.stderr), (0, "ok\n", line), str(outcome))


if __name__ == "__main__":
    unittest.main()
