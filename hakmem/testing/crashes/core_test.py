"""hakmem why, stat and map on core files that the kernel writes."""

from __future__ import annotations

import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from hakmem.testing.crashes import kernel_core
from hakmem.testing.harness import process
from hakmem.testing.inside import running
from hakmem.testing.inside.commands import Given, hakmem
from tools.hakmem_lib.maps import model, page, store

CRASHER = pathlib.Path("hakmem/testing/crashes/crasher").absolute()
RECORDED = {"PATH": "/usr/bin:/bin", "HAKMEM_FLIGHT_RECORDER": "64"}
NO_HEADERS, ALL_FILES, NOTHING = 0x23, 0x3F, 0  # of coredump_filter


class CoreTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def crash(self, *arguments: str, name: str = "ran", **more: object) -> tuple[pathlib.Path, str]:
        return kernel_core.crash(self.folder / name, CRASHER, *arguments, env=RECORDED, **more)  # type: ignore[arg-type]

    def check_refused(self, core: pathlib.Path, words: str) -> None:
        for command in (("why", core), ("why", core, "0x10"), ("stat", core), ("map", core, "-o", self.folder / "a.html")):
            given = hakmem(*command)
            self.assertEqual((given.status, given.stdout, given.stderr.count("\n")), (2, "", 1), given)
            self.assertIn(words, given.stderr)
        self.assertFalse((self.folder / "a.html").exists())


@process.not_emulated("cores are of this machine's programs")
class Why(CoreTest):
    def check(self, core: pathlib.Path, whale: int, number: int) -> None:
        given = hakmem("why", core)
        self.assertEqual((given.status, given.stderr), (0, ""), given)
        at = 0
        patterns = (
            rf"^SIGSEGV in thread {number}, at address {whale + 12345:#x}$",
            f"^{whale + 12345:#x} is not HAKMEM's$",
            f"^what was done with {whale:#x}, the last first:$",
            rf"^  freed \d+ operations ago by thread {number} \(crasher\)",
            rf"^  allocated for 67108864 bytes \d+ operations ago by thread {number} \(crasher\)",
            rf"^last operations of thread {number} \(crasher\):$",
            r"^  freed 0x[0-9a-f]+ by the last operation",
        )
        for line in given.stdout.splitlines():
            if at < len(patterns) and re.search(patterns[at], line):
                at += 1
        self.assertEqual(patterns[at:], (), given)
        freed = re.search(r"freed (0x[0-9a-f]+) by the last operation", given.stdout).group(1)
        self.assertIn(f"{freed} is the start of the block {freed} of 16 bytes, free, cached by thread {number}",
                      hakmem("why", core, freed).stdout)  # fmt: skip

    def test_whatever_of_files_is_in_it(self) -> None:
        for bits in (kernel_core.DEFAULT_FILTER, NO_HEADERS, ALL_FILES):
            with self.subTest(hex(bits)):
                core, said = self.crash("after_free", name=hex(bits), filter_bits=bits)
                self.check(core, int(said, 16), kernel_core.process_of(core))

    def test_without_variables(self) -> None:
        core, _ = self.crash("after_free", filter_bits=NOTHING)
        self.check_refused(core, "it has no variables of the process in it: /proc/PID/coredump_filter left them out")

    def test_cut_off_by_ulimit(self) -> None:
        core, _ = self.crash("after_free", most_bytes=1 << 16)
        self.check_refused(core, f"{core} is cut off: ")

    def test_another_thread(self) -> None:
        core, _ = self.crash("in_thread")
        said = hakmem("why", core).stdout
        pid = kernel_core.process_of(core)
        number = int(re.match(r"SIGSEGV in thread (\d+), at address 0x10\n0x10 is near NULL", said).group(1))
        self.assertNotEqual(number, pid)
        self.assertRegex(said, rf"last operations of thread {number}:\n  freed 0x[0-9a-f]+ by the last operation")

    def test_an_abort(self) -> None:
        core, _ = self.crash("abort")
        self.assertRegex(hakmem("why", core).stdout, r"^SIGABRT in thread \d+$")
        self.assertRegex(hakmem("why", core, "0x10").stdout, r"^SIGABRT in thread \d+\n0x10 is near NULL")

    def test_a_library_that_is_another_one_now(self) -> None:
        library = self.folder / "libhakmem.so"
        shutil.copy(process.LIBRARY, library)
        core, _ = self.crash("after_free", library=library)
        self.assertEqual(hakmem("why", core).status, 0)
        data = bytearray(library.read_bytes())
        # Another build ID, or where there is none another table of sections.
        at = data.find(b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0") + 16
        data[at if at > 15 else 40] ^= 1
        library.unlink()
        library.write_bytes(data)
        self.check_refused(core, f"{library}, which it names, is another file now: its build ID is not the one in the core")
        library.unlink()
        self.check_refused(core, f"{library}, which it names, cannot be read: No such file or directory")
        shutil.copy(process.LIBRARY, library)
        self.assertEqual(hakmem("why", core).status, 0)

    def test_a_library_that_was_deleted_before(self) -> None:
        library = self.folder / "libhakmem.so"
        shutil.copy(process.LIBRARY, library)

        def end(program: subprocess.Popen[str]) -> None:
            assert program.stdout is not None
            program.stdout.readline()
            library.unlink()
            program.send_signal(signal.SIGABRT)

        core, _ = self.crash("waits", library=library, meanwhile=end)
        self.check_refused(core, f"{library} (deleted), which it names, had been deleted")

    def test_what_is_damaged_is_said_so_or_read(self) -> None:
        core, _ = self.crash("after_free")
        whole = core.read_bytes()
        dice = random.Random(1)
        damaged = self.folder / "damaged"
        for _ in range(60):
            data = bytearray(whole)
            for at in dice.choices(range(0x1000, len(whole)), k=200):
                data[at] = dice.randrange(256)
            damaged.write_bytes(data)
            given = hakmem("why", damaged)
            self.assertIn((given.status, given.stderr.count("\n")), ((0, 0), (2, 1)), given)

    def test_packed(self) -> None:
        packed = self.folder / "core.zst"
        packed.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
        for command in ("why", "stat"):
            self.assertIn("core.zst is packed by zstd: unpack it first\n", hakmem(command, packed).stderr)


@process.not_emulated("cores are of this machine's programs")
class StatAndMap(CoreTest):
    def core_of_known(self, before: tuple[tuple[object, ...], ...]) -> tuple[pathlib.Path, list[Given]]:
        """A core file of the program `known` between two of its phases, and what commands said of it a moment before."""
        place = self.folder / "ran"
        place.mkdir()
        since = time.time()
        with running.Running(running.FOLDER / "known", cwd=place, preexec_fn=kernel_core.allowing()) as known:
            known.reached("start")
            known.go_to("full")
            known.go_to("less")
            said = [hakmem(command[0], known.pid, *command[1:]) for command in before]
            os.kill(known.pid, signal.SIGABRT)
            known.wait()
            return kernel_core.find(place, known.pid, since), said

    def test_the_same_as_of_the_process(self) -> None:
        saved = self.folder / "process.json.gz"
        core, said = self.core_of_known((("stat", "--json"), ("map", "--save", saved)))
        alive = json.loads(said[0].stdout)
        given = hakmem("stat", core, "--json")
        self.assertEqual((given.status, given.stderr), (0, ""), given)
        found = json.loads(given.stdout)
        self.assertEqual(found["process"], {"pid": alive["process"]["pid"], "name": "known", "is_core": True})
        self.assertIsNone(found["resident"])
        for part in ("totals", "classes", "spans", "whales", "superslabs", "slow_paths", "system_calls", "options", "doubts"):
            self.assertEqual(found[part], alive[part], part)
        self.check_map(core, saved)

    def check_map(self, core: pathlib.Path, saved: pathlib.Path) -> None:
        html, again = self.folder / "a.html", self.folder / "core.json.gz"
        given = hakmem("map", core, "-o", html, "--save", again)
        self.assertEqual((given.status, given.stderr), (0, ""), given)
        alive, found = store.read(str(saved)), page.data_of(html.read_bytes())
        self.assertEqual(store.read(str(again)), found)
        self.assertTrue(found.is_core)
        self.assertIsNone(found.resident)
        self.assertEqual({superslab.resident for superslab in found.superslabs}, {None})
        self.assertEqual(model.totals(found)["live"], model.totals(alive)["live"])
        self.assertEqual([slab.bits for slab in found.slabs()], [slab.bits for slab in alive.slabs()])
        compared = hakmem("map", "--diff", saved, again, "-o", self.folder / "diff.html")
        self.assertIn("blocks of slabs and spans: 0 handed out, 0 freed", compared.stdout, compared)

    def test_what_is_printed(self) -> None:
        core, _ = self.core_of_known(())
        given = hakmem("stat", core)
        self.assertEqual((given.status, given.stderr), (0, ""), given)
        self.assertRegex(given.stdout, r"^known, process \d+, in a core file, on HAKMEM \d+\.\d+\.\d+")
        self.assertIn("a core file does not say which pages were resident\n", given.stdout)


if __name__ == "__main__":
    unittest.main()
