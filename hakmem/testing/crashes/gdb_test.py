"""tools/gdb/hakmem_gdb.py in gdb: its commands and its printers."""

import pathlib
import re
import shutil
import tempfile
import unittest

from hakmem.testing.crashes import kernel_core
from hakmem.testing.crashes.debugger import RECORDED, gdb
from hakmem.testing.harness import process

FOLDER = pathlib.Path("hakmem/testing/crashes")
SCRIPT = "tools/gdb/hakmem_gdb.py"
PREPARED = ("-x", SCRIPT, "-ex", "set startup-with-shell off")


@process.not_emulated("gdb is for this machine's programs")
class Gdb(unittest.TestCase):
    def test_of_a_program_that_is_linked_with_hakmem(self) -> None:
        prints = [part for name in ("*heap", "*bin", "*slab", "*span", "*superslab", "*of_whale") for part in ("-ex", f"print {name}")]
        said = gdb(
            *PREPARED, "-ex", "run", *prints,
            "-ex", "hak-block block + 3", "-ex", "hak-block freed", "-ex", "hak-heap", "-ex", "hak-superslabs",
            str(FOLDER / "debugged"),
        )  # fmt: skip
        for pattern in (
            r"^\$1 = active heap: \d+ refills, \d+ spills$",
            r"^\$2 = 1024 B: \d+ of \d+ cached, \d+ in the run$",
            r"^\$3 = slab 0x[0-9a-f]+: 585 blocks of 112 B, \d+ free$",
            r"^\$4 = span 0x[0-9a-f]+ of 16 units$",
            r"^\$5 = SuperSlab 0 at 0x[0-9a-f]+: \d+ slabs and spans, \d+ units free$",
            r"^\$6 = whale 0x[0-9a-f]+ of 3145728 B$",
            r"^0x[0-9a-f]+ is 3 bytes inside the block 0x[0-9a-f]+ of 112 bytes, live$",
            r"^  allocated for 100 bytes \d+ operations ago by thread \d+",
            r"^0x[0-9a-f]+ is the start of the block 0x[0-9a-f]+ of 1024 bytes, free, cached by thread \d+ \(debugged\)$",
            r"^ *heap +thread +state +taken +cached +refills +spills$",
            r"^ *0x[0-9a-f]+ +\d+ debugged +active +",
            r"^1 SuperSlab; live .*, and 3.0 MiB in whales$",
            r"^ *memory +descriptor +tier +slabs +spans +free +dirty +in slabs +taken$",
            r"^ *0x[0-9a-f]+ +0x[0-9a-f]+ +(hot|draining) +\d +1 +\d+ +\d+ +\d+\.\d KiB +\d+\.\d KiB$",
            r"^1 SuperSlab; \d+ of 32 units free$",
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

    def test_of_a_core_file_of_the_kernel_s(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            library = pathlib.Path(folder, "libhakmem.so")
            shutil.copy(process.LIBRARY, library)
            program = (FOLDER / "crasher").absolute()
            core, said = kernel_core.crash(
                pathlib.Path(folder, "ran"), program, "after_free", env=RECORDED, library=library
            )
            asked = (*PREPARED, "-ex", f"hak-block {said.strip()}", "-ex", "hak-heap", "-ex", "hak-superslabs")
            found = gdb(*asked, str(program), str(core))
            self.assertIn(f"{said.strip()} is not HAKMEM's\nwhat was done with {said.strip()}, the last first:\n  freed ", found)
            self.assertIn("1 SuperSlab; live ", found)
            self.assertIn("1 SuperSlab; 31 of 32 units free\n", found)
            data = bytearray(library.read_bytes())
            for name in re.finditer(rb"size_classes\0", bytes(data)):
                data[name.start()] ^= 1
            library.unlink()
            library.write_bytes(data)
            self.assertIn("hak-heap: HAKMEM's file is not the one that the process had", gdb(*asked, str(program), str(core)))

    def test_wrong_input(self) -> None:
        program = str(FOLDER / "crasher")
        for command, line in (
            ("hak-block 0x10", "there is no process and no core file"),
            ("hak-block", "hak-block: which address?"),
            ("hak-heap all", "hak-heap takes no argument"),
            ("hak-superslabs", "there is no process and no core file"),
            ("hak-superslabs all", "hak-superslabs takes no argument"),
            ("hak-block nothing_of_this_name", 'No symbol "nothing_of_this_name" in current context.'),
        ):
            with self.subTest(command):
                self.assertIn(line + "\n", gdb(*PREPARED, "-ex", command, program))
        said = gdb(*PREPARED, "-ex", "run", "-ex", "hak-heap", "--args", program, "abort")
        self.assertIn("hak-heap: what gdb debugs does not run on HAKMEM\n", said)


if __name__ == "__main__":
    unittest.main()
