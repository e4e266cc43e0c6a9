"""tools/gdb/hakmem_gdb.py in gdb: its commands and its printers."""

import pathlib
import re
import unittest

from hakmem.testing.crashes.debugger import gdb
from hakmem.testing.harness import process

FOLDER = pathlib.Path("hakmem/testing/crashes")
SCRIPT = "tools/gdb/hakmem_gdb.py"
PREPARED = ("-x", SCRIPT, "-ex", "set startup-with-shell off")


@process.not_emulated("gdb is for this machine's programs")
class Gdb(unittest.TestCase):
    def test_of_a_program_that_is_linked_with_hakmem(self) -> None:
        prints = [part for name in ("*heap", "*bin", "*slab", "*of_whale") for part in ("-ex", f"print {name}")]
        said = gdb(
            *PREPARED, "-ex", "run", *prints,
            "-ex", "hak-block block + 3", "-ex", "hak-block freed", "-ex", "hak-heap", str(FOLDER / "debugged"),
        )  # fmt: skip
        for pattern in (
            r"^\$1 = active heap: \d+ refills, \d+ spills$",
            r"^\$2 = 1024 B: \d+ of \d+ cached, \d+ in the run$",
            r"^\$3 = slab 0x[0-9a-f]+: 585 blocks of 112 B, \d+ free$",
            r"^\$4 = whale 0x[0-9a-f]+ of 3145728 B$",
            r"^0x[0-9a-f]+ is 3 bytes inside the block 0x[0-9a-f]+ of 112 bytes, live$",
            r"^  allocated for 100 bytes \d+ operations ago by thread \d+",
            r"^0x[0-9a-f]+ is the start of the block 0x[0-9a-f]+ of 1024 bytes, free, cached by thread \d+ \(debugged\)$",
            r"^ *heap +thread +state +taken +cached +refills +spills$",
            r"^ *0x[0-9a-f]+ +\d+ debugged +active +",
            r"^1 SuperSlabs; live .*, and 3.0 MiB in whales$",
        ):
            self.assertRegex(said, re.compile(pattern, re.MULTILINE))

    def test_of_a_program_that_it_is_preloaded_into(self) -> None:
        said = gdb(
            *PREPARED, "-ex", f"set environment LD_PRELOAD {process.LIBRARY.absolute()}", "-ex", "run",
            "-ex", "hak-block $_siginfo._sifields._sigfault.si_addr", "--args", str(FOLDER / "crasher"), "after_free",
        )  # fmt: skip
        self.assertRegex(
            said, r"0x[0-9a-f]+ is not HAKMEM's\nwhat was done with 0x[0-9a-f]+, the last first:\n  freed "
        )

    def test_wrong_input(self) -> None:
        program = str(FOLDER / "crasher")
        for command, line in (
            ("hak-block 0x10", "there is no process and no core file"),
            ("hak-block", "hak-block: which address?"),
            ("hak-heap all", "hak-heap takes no argument"),
        ):
            with self.subTest(command):
                self.assertIn(line + "\n", gdb(*PREPARED, "-ex", command, program))
        said = gdb(*PREPARED, "-ex", "run", "-ex", "hak-heap", "--args", program, "abort")
        self.assertIn("hak-heap: what gdb debugs does not run on HAKMEM\n", said)


if __name__ == "__main__":
    unittest.main()
