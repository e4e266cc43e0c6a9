"""Programs that HAKMEM is linked into, and programs that load it beside libc's malloc."""

import pathlib
import struct
import unittest

from hakmem.testing.harness import process

FOLDER = pathlib.Path("hakmem/testing/override")
HUNGRY_STATIC = FOLDER / "libhungry_static.so"
HUNGRY_DYNAMIC = FOLDER / "libhungry_dynamic.so"
PT_INTERP, PT_TLS, ET_EXEC, ET_DYN = 3, 7, 2, 3


# In C++, or linked as musl-gcc cannot.
NOT_ON_MUSL = {"program", "operators", "static_pie"} if process.IS_MUSL else set()
WAYS = [way for way in ("dynamic", "static", "static_pie") if way not in NOT_ON_MUSL]


class Elf:
    """What the tests ask of a 64-bit little-endian ELF file."""

    def __init__(self, path: pathlib.Path) -> None:
        data = path.read_bytes()
        self.type = struct.unpack_from("<H", data, 16)[0]
        start = struct.unpack_from("<Q", data, 32)[0]
        entry_bytes, count = struct.unpack_from("<HH", data, 54)
        self.memory_bytes = {}
        for i in range(count):
            at = start + i * entry_bytes
            self.memory_bytes[struct.unpack_from("<I", data, at)[0]] = struct.unpack_from("<Q", data, at + 40)[0]


class Linked(unittest.TestCase):
    def check(self, outcome: process.Outcome) -> None:
        self.assertEqual((outcome.status, outcome.stdout, outcome.stderr), (0, "ok\n", ""), str(outcome))

    def test_programs(self) -> None:
        for program in {"program", "semantics", "operators", "crowd"} - NOT_ON_MUSL:
            for way in WAYS:
                with self.subTest(program=program, way=way):
                    self.check(process.run(FOLDER / f"{program}_{way}"))
                    verbose = process.run(FOLDER / f"{program}_{way}", env={"HAKMEM_VERBOSE": "1"})
                    self.assertRegex(verbose.stderr, r"^hakmem \d+\.\d+\.\d+ active: .*\n$", str(verbose))

    @process.not_emulated("qemu 7.2 aborts where the child of a fork starts threads, on any malloc")
    def test_forks(self) -> None:
        for way in WAYS:
            with self.subTest(way):
                self.check(process.run(FOLDER / f"forks_{way}"))

    def test_options_that_the_program_is_built_with(self) -> None:
        for way in WAYS:
            with self.subTest(way):
                program = FOLDER / f"options_{way}"
                outcome = process.run(program, "decay_ms")
                self.assertEqual((outcome.stdout, outcome.stderr), ("321\n", ""), str(outcome))
                outcome = process.run(program, "decay_ms", env={"HAKMEM_DECAY_MS": "7"})
                self.assertEqual((outcome.stdout, outcome.stderr), ("7\n", ""), str(outcome))
                outcome = process.run(program, "surplus_bytes", "64k")
                self.assertEqual((outcome.stdout, outcome.stderr), ("set 0\n65536\n", ""), str(outcome))

    @process.not_on_musl("no C++")
    def test_a_throwing_handler_under_nothrow(self) -> None:
        self.check(process.run(FOLDER / "operators_dynamic", "nothrow"))

    def test_they_are_linked_as_they_say(self) -> None:
        kinds = {"dynamic": (ET_DYN, True), "static": (ET_EXEC, False), "static_pie": (ET_DYN, False)}
        for way in WAYS:
            with self.subTest(way):
                elf = Elf(FOLDER / f"semantics_{way}")
                self.assertEqual((elf.type, PT_INTERP in elf.memory_bytes), kinds[way])

    def test_preloaded_into_a_program_that_has_it(self) -> None:
        """The preloaded library comes first even where the program has HAKMEM in it: one of them serves all."""
        self.check(process.run(FOLDER / "semantics_dynamic", preload=[process.LIBRARY]))


class Beside(unittest.TestCase):
    def check(self, outcome: process.Outcome) -> None:
        self.assertEqual((outcome.status, outcome.stdout, outcome.stderr), (0, "ok\n", ""), str(outcome))

    def test_the_api_beside_libc(self) -> None:
        self.check(process.run(FOLDER / "beside"))

    @process.not_on_musl("its dynamic linker loads nothing late that has thread-local variables at fixed places")
    def test_loaded_into_a_running_program(self) -> None:
        library = str(process.LIBRARY.absolute())
        hungry = [str(HUNGRY_DYNAMIC.absolute()), str(HUNGRY_STATIC.absolute())]
        for others in ([], hungry[:1], hungry[1:], hungry):
            with self.subTest([pathlib.Path(name).name for name in others]):
                self.check(process.run(FOLDER / "guest", library, *others))
        self.assertGreater(Elf(HUNGRY_STATIC).memory_bytes[PT_TLS], 1000)


if __name__ == "__main__":
    unittest.main()
