"""The symbols, needs and segments of libhakmem.so; first that a library out of shape would be noticed."""

import unittest
from pathlib import Path

from hakmem.testing import elf_shape

_LIBRARY = "hakmem/libhakmem.so"
_MAP = Path("hakmem/libhakmem.map")

_GOOD = """
Program Headers:
  Type           Offset   VirtAddr           PhysAddr           FileSiz  MemSiz   Flg Align
  LOAD           0x002000 0x0000000000002000 0x0000000000002000 0x008675 0x008675 R E 0x1000
  LOAD           0x00eb38 0x000000000000fb38 0x000000000000fb38 0x0004d0 0x142490 RW  0x1000
  TLS            0x00eb38 0x000000000000fb38 0x000000000000fb38 0x000008 0x00000a R   0x8
  GNU_STACK      0x000000 0x0000000000000000 0x0000000000000000 0x000000 0x000000 RW  0x10
  GNU_RELRO      0x00eb38 0x000000000000fb38 0x000000000000fb38 0x0004c8 0x0004c8 R   0x1

Dynamic section at offset 0xece8 contains 27 entries:
  Tag        Type                         Name/Value
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
 0x0000000000000001 (NEEDED)             Shared library: [ld-linux-x86-64.so.2]
 0x000000000000000e (SONAME)             Library soname: [libhakmem.so.1]
 0x000000000000001e (FLAGS)              BIND_NOW STATIC_TLS
 0x000000006ffffffb (FLAGS_1)            Flags: NOW NODELETE
"""


class ShapeTest(unittest.TestCase):
    def test_good_as_it_is(self):
        self.assertEqual(elf_shape.shape_findings(_GOOD), [])

    def assert_finding(self, old, new, words):
        self.assertIn(old, _GOOD)
        findings = elf_shape.shape_findings(_GOOD.replace(old, new))
        self.assertEqual(len(findings), 1, findings)
        self.assertIn(words, findings[0])

    def test_what_else_it_needs(self):
        self.assert_finding("ld-linux-x86-64.so.2", "libstdc++.so.6", "needs libstdc++.so.6")
        self.assert_finding("ld-linux-x86-64.so.2", "libpthread.so.0", "needs libpthread.so.0")
        self.assert_finding("[libc.so.6]", "[libc.so.60]", "needs libc.so.60")

    def test_soname(self):
        self.assert_finding("[libhakmem.so.1]", "[libhakmem.so.2]", "the soname is ['libhakmem.so.2']")
        self.assert_finding("(SONAME)", "(OTHER)", "the soname is []")

    def test_flags(self):
        self.assert_finding("NOW NODELETE", "NOW", "not marked NODELETE")
        self.assert_finding("Flags: NOW NODELETE", "Flags: NODELETE", "not marked NOW")
        self.assert_finding("GNU_RELRO ", "GNU_OTHER ", "no RELRO")
        self.assert_finding("(FLAGS)  ", "(TEXTREL)", "has a TEXTREL")
        self.assert_finding("(FLAGS)  ", "(RUNPATH)", "has a RUNPATH")

    def test_static_tls(self):
        self.assert_finding("0x00000a R   0x8", "0x000061 R   0x8", "97 bytes of static TLS, more than 96")
        self.assertEqual(elf_shape.shape_findings(_GOOD.replace("0x00000a R   0x8", "0x000040 R   0x8")), [])

    def test_executable_memory(self):
        self.assert_finding("RW  0x10\n", "RWE 0x10\n", "asks for an executable stack")
        self.assert_finding("GNU_STACK ", "GNU_OTHER ", "asks for an executable stack")
        self.assert_finding("0x142490 RW  0x1000", "0x142490 RWE 0x1000", "both writable and executable")


class SymbolsTest(unittest.TestCase):
    def test_differences_are_named_both_ways(self):
        findings = elf_shape.compare_symbols(["free", "malloc@@V1"], ["free", "malloc"])
        self.assertEqual(findings[:2], ["no longer exported: malloc", "newly exported: malloc@@V1"])
        self.assertIn("--renew", findings[2])
        self.assertEqual(elf_shape.compare_symbols(["free"], ["free"]), [])

    def test_nm_and_golden_are_read(self):
        self.assertEqual(elf_shape.exported("0000000000002480 T free\n0000000000002430 W __libc_malloc\n"),
                         ["__libc_malloc", "free"])
        self.assertEqual(elf_shape.parse_golden("# comment\nfree\n\nmalloc\n"), ["free", "malloc"])

    def test_version_script_is_read(self):
        self.assertEqual(elf_shape.map_names("/* a; b; */ { global: malloc; free;\n cfree; local: *; };"),
                         {"malloc", "free", "cfree"})


class LibraryTest(unittest.TestCase):
    def test_exports_and_shape(self):
        findings = elf_shape.check(_LIBRARY, elf_shape.GOLDEN.read_text())
        self.assertEqual(findings, [], "\n".join(findings))

    def test_whatever_the_version_script_names_is_there(self):
        self.assertEqual(elf_shape.map_names(_MAP.read_text()), set(elf_shape.library_symbols(_LIBRARY)))

    def test_a_name_more_or_less_would_be_noticed(self):
        golden = elf_shape.GOLDEN.read_text()
        self.assertIn("newly exported: hak_malloc",
                      elf_shape.check(_LIBRARY, golden.replace("\nhak_malloc\n", "\n")))
        self.assertIn("no longer exported: hak_other", elf_shape.check(_LIBRARY, golden + "hak_other\n"))

    def test_renewed_is_what_is_there(self):
        golden = elf_shape.GOLDEN.read_text()
        self.assertEqual(elf_shape.renew(_LIBRARY, golden.replace("\nfree\n", "\n")), golden)


if __name__ == "__main__":
    unittest.main()
