"""hakmem why on core files and on processes that run."""

import contextlib
import os
import pathlib
import re
import struct
import subprocess
import tempfile
import time
import unittest

from hakmem.testing.crashes.debugger import gdb, RECORDED
from hakmem.testing.harness import process
from hakmem.testing.inside.commands import Given, hakmem
from tools.hakmem_lib import core_writer, memory

CRASHER = pathlib.Path("hakmem/testing/crashes/crasher").absolute()


@process.not_emulated("gdb and cores are for this machine's programs")
class WhyCore(unittest.TestCase):
    """A program that writes to a whale which it has freed, in a core file."""

    folder: tempfile.TemporaryDirectory
    core: pathlib.Path
    said: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        cls.core = pathlib.Path(cls.folder.name, "core")
        cls.said = gdb(
            "-ex", f"set environment LD_PRELOAD {process.LIBRARY.absolute()}",
            "-ex", "set startup-with-shell off", "-ex", "run", "-ex", f"generate-core-file {cls.core}",
            "--args", str(CRASHER), "after_free",
        )  # fmt: skip
        if not cls.core.is_file():
            raise AssertionError(cls.said)
        cls.whale = int(re.search(r"^0x[0-9a-f]+$", cls.said, re.MULTILINE).group(0), 16)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.folder.cleanup()

    def check(self, given: Given, *patterns: str) -> None:
        self.assertEqual((given.status, given.stderr), (0, ""), given)
        at = 0
        for line in given.stdout.splitlines():
            if at < len(patterns) and re.search(patterns[at], line):
                at += 1
        self.assertEqual(patterns[at:], (), given)

    def test_the_address_that_failed(self) -> None:
        self.check(
            hakmem("why", self.core),
            rf"^SIGSEGV in thread \d+, at address {self.whale + 12345:#x}$",
            f"^{self.whale + 12345:#x} is not HAKMEM's$",
            f"^what was done with {self.whale:#x}, the last first:$",
            r"^  freed \d+ operations ago by thread \d+",
            r"^  allocated for 67108864 bytes \d+ operations ago by thread \d+",
            r"^last operations of thread \d+",
            r"^  freed 0x[0-9a-f]+ by the last operation",
        )

    def test_another_address(self) -> None:
        freed = re.search(r"freed (0x[0-9a-f]+) by the last operation", hakmem("why", self.core).stdout).group(1)
        for address in (freed, int(freed, 16)):
            self.check(
                hakmem("why", self.core, address),
                "^SIGSEGV in thread",
                f"^{freed} is the start of the block {freed} of 16 bytes, free, cached by thread",
                r"^  its slab 0x[0-9a-f]+ of thread \d+.* has 4096 blocks of 16 bytes: 0 live, ",
            )
        self.check(hakmem("why", self.core, "0x10"), "^0x10 is near NULL")
        self.check(hakmem("why", self.core, "0xfff0000000000000"), "no address that a program can have")

    def test_cut_off(self) -> None:
        whole = self.core.read_bytes()
        for size in (0, 3, 40, 64, 1000, len(whole) // 2, len(whole) - 1):
            with self.subTest(size):
                short = pathlib.Path(self.folder.name, "short")
                short.write_bytes(whole[:size])
                self.check_refused(hakmem("why", short), "short")

    def check_refused(self, given: Given, what: str) -> None:
        self.assertEqual((given.status, given.stdout, given.stderr.count("\n")), (2, "", 1), given)
        self.assertIn(what, given.stderr)

    def test_wrong_input(self) -> None:
        self.check_refused(hakmem("why", "/nowhere/core"), "cannot open /nowhere/core")
        self.check_refused(hakmem("why", CRASHER), "is no core file")
        self.check_refused(hakmem("why", __file__), "is no core file")
        self.check_refused(hakmem("why", self.core, "here"), "no address: 'here'")
        self.check_refused(hakmem("why", self.core, "0x10000000000000000"), "no address: ")
        self.check_refused(hakmem("why", str(os.getpid())), "which address?")
        self.check_refused(hakmem("why", "999999999", "0x10"), "no such process: 999999999")
        self.check_refused(hakmem("why"), "required: CORE|PID")

    def test_a_core_without_hakmem(self) -> None:
        other = pathlib.Path(self.folder.name, "other")
        note = core_writer.note(b"CORE\0", core_writer.NT_PRSTATUS, bytes(32) + struct.pack("<i", 7) + bytes(300))
        other.write_bytes(core_writer.core([(0x10000, bytes(4096), 4096)], note))
        self.check_refused(hakmem("why", other, "0x10"), "does not run on HAKMEM")

    def test_another_version(self) -> None:
        data = bytearray(self.core.read_bytes())
        for magic in re.finditer(rb"HAKMEM\x01view\x1a\n\r\xff\0", bytes(data)):  # a constant may be there twice
            data[magic.start() + 28 : magic.start() + 32] = struct.pack("<I", 9999)
        other = pathlib.Path(self.folder.name, "version")
        other.write_bytes(data)
        self.check_refused(hakmem("why", other), "runs another version")


@process.not_emulated("it would see the emulator")
class WhyProcess(unittest.TestCase):
    def test_a_process_and_its_core_say_the_same(self) -> None:
        environment = {**RECORDED, "LD_PRELOAD": str(process.LIBRARY.absolute())}
        with subprocess.Popen([CRASHER, "waits"], env=environment, stdout=subprocess.PIPE, text=True) as running:
            with contextlib.ExitStack() as stack:
                stack.callback(running.kill)
                block, whale = (running.stdout.readline().strip() for _ in range(2))
                time.sleep(0.05)
                given = hakmem("why", running.pid, hex(int(block, 16) + 5))
                self.assertEqual((given.status, given.stderr), (0, ""), given)
                self.assertIn(f"is 5 bytes inside the block {block} of 112 bytes, live\n", given.stdout)
                self.assertIn("allocated for 100 bytes", given.stdout)
                gone = hakmem("why", running.pid, whale)
                self.assertIn(f"{whale} is not HAKMEM's\nwhat was done with {whale}", gone.stdout)
                with tempfile.NamedTemporaryFile() as core:
                    core.write(core_writer.core_of(memory.LiveProcess(running.pid)))
                    core.flush()
                    again = hakmem("why", core.name, hex(int(block, 16) + 5))
                    self.assertEqual(again.stdout.replace(" (crasher)", ""), given.stdout.replace(" (crasher)", ""))
                    unnamed = hakmem("why", core.name)
                    self.assertEqual((unnamed.status, unnamed.stdout), (2, ""), unnamed)
                    self.assertIn("does not say which address failed", unnamed.stderr)


if __name__ == "__main__":
    unittest.main()
