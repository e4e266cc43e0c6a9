"""The hit paths of libhakmem.so against the golden file; first that the counting itself finds what it should."""

import unittest

from hakmem.testing import hit_path
from hakmem.testing.hit_path import GoldenLine, NotAHitPath

_LIBRARY = "hakmem/libhakmem.so"

_PLAIN = """
0000000000001000 <malloc>:
    1000:\tcmp    $0x400,%rdi
    1007:\tja     1020 <malloc+0x20>
    1009:\tmov    0x8f80(%rip),%rdx        # b3c0 <call_counter>
    1010:\tjae    1020 <malloc+0x20>
    1012:\tret
    1013:\tnopl   (%rax)
    1020:\tjmp    3620 <hak_gate_malloc_slow>
"""


def _path(disassembly, entry=0x1000):
    return hit_path.hit_path(hit_path.parse_disassembly(disassembly), entry)


class WalkTest(unittest.TestCase):
    def test_counts_from_the_entry_to_the_return(self):
        self.assertEqual([instruction.text.split()[0] for instruction in _path(_PLAIN)],
                         ["cmp", "ja", "mov", "jae", "ret"])
        self.assertEqual(len(_path(_PLAIN, 0x1009)), 3)

    def test_other_spellings_of_a_return(self):
        for spelling in ("ret", "retq", "notrack ret"):
            self.assertEqual(len(_path(_PLAIN.replace("\tret", "\t" + spelling))), 5)

    def test_an_entry_that_is_no_instruction(self):
        with self.assertRaisesRegex(NotAHitPath, "no return"):
            _path(_PLAIN, 0x1001)

    def test_what_has_no_place_on_a_hit_path(self):
        for text in ("lock cmpxchg %rdx,(%rdi)", "lock add $0x1,(%rax)", "xchg   %rax,(%rdi)", "xchg   %eax,0x8(%rdi)",
                     "call   3620 <hak_gate_malloc_slow>", "call   *0x10(%rax)", "addr32 call 3620 <f>",
                     "jmp    3620 <hak_gate_malloc_slow>", "jmp    *%rax", "bnd jmp 3620 <f>", "notrack jmp *%rax",
                     "rep stos %al,%es:(%rdi)", "repz cmpsb %es:(%rdi),%ds:(%rsi)", "syscall", "mfence", "pause",
                     "loop   1000 <malloc>", "xadd   %rax,(%rdi)", "jne    1000 <malloc>", "jb     1009 <malloc+0x9>",
                     "jrcxz  1000 <malloc>", "bnd jne 1000 <malloc>"):
            with self.subTest(text):
                disassembly = _PLAIN.replace("jae    1020 <malloc+0x20>", text)
                with self.assertRaises(NotAHitPath) as caught:
                    _path(disassembly)
                self.assertIn(text.split()[-1], str(caught.exception))

    def test_what_looks_like_it_but_is_fine(self):
        for text in ("xchg   %ax,%ax", "jne    2000 <far>", "mov    %fs:(%rdx),%rax", "ja     1012 <malloc+0x12>"):
            self.assertEqual(len(_path(_PLAIN.replace("jae    1020 <malloc+0x20>", text))), 5)


class CompareTest(unittest.TestCase):
    def test_growth_is_named_with_the_way_to_renew(self):
        text = hit_path.compare(GoldenLine("gcc", "malloc", 4, 16), _path(_PLAIN))
        self.assertIn("malloc hits in 5 instructions (gcc), more than the 4 of the golden file (limit 16)", text)
        self.assertIn("    cmp    $0x400,%rdi\n", text)
        self.assertIn("--renew", text)

    def test_the_same_or_less_is_fine(self):
        self.assertEqual(hit_path.compare(GoldenLine("gcc", "malloc", 5, 16), _path(_PLAIN)), "")
        self.assertEqual(hit_path.compare(GoldenLine("gcc", "malloc", 6, 16), _path(_PLAIN)), "")

    def test_the_golden_file_cannot_go_over_its_limit(self):
        text = hit_path.compare(GoldenLine("gcc", "malloc", 5, 4), _path(_PLAIN))
        self.assertIn("above its limit of 4", text)

    def test_golden_file_is_read(self):
        self.assertEqual(hit_path.parse_golden("# a comment\n\ngcc  malloc  15  16  # why\n"),
                         [GoldenLine("gcc", "malloc", 15, 16)])


class LibraryTest(unittest.TestCase):
    def test_golden_file_covers_both_compilers_alike(self):
        lines = hit_path.parse_golden(hit_path.GOLDEN.read_text())
        functions = {compiler: [line.function for line in lines if line.compiler == compiler]
                     for compiler in ("gcc", "clang")}
        self.assertEqual(functions["gcc"], functions["clang"])
        self.assertEqual(len(lines), 2 * len(functions["gcc"]))
        self.assertLessEqual({"malloc", "free"}, set(functions["gcc"]))

    def test_hit_paths_cost_what_the_golden_file_says(self):
        _, findings = hit_path.check(_LIBRARY, hit_path.GOLDEN.read_text())
        self.assertEqual(findings, [], "\n".join(findings))

    def test_a_count_one_too_low_would_be_noticed(self):
        compiler, _ = hit_path.check(_LIBRARY, hit_path.GOLDEN.read_text())
        exact = hit_path.renew(_LIBRARY, hit_path.GOLDEN.read_text())
        for line in hit_path.parse_golden(exact):
            if line.compiler != compiler:
                continue
            low = "%s %s %d %d" % (compiler, line.function, line.count - 1, line.limit)
            _, findings = hit_path.check(_LIBRARY, low)
            self.assertEqual(len(findings), 1)

    def test_renew_touches_only_the_counts_of_this_compiler(self):
        golden = hit_path.GOLDEN.read_text()
        compiler, _ = hit_path.check(_LIBRARY, golden)
        spoilt = golden.replace("%s         malloc    1" % compiler, "%s         malloc    9" % compiler)
        renewed = hit_path.parse_golden(hit_path.renew(_LIBRARY, spoilt))
        for line, before in zip(renewed, hit_path.parse_golden(spoilt)):
            self.assertEqual((line.compiler, line.function, line.limit),
                             (before.compiler, before.function, before.limit))
            if line.compiler != compiler:
                self.assertEqual(line.count, before.count)
        self.assertEqual(hit_path.check(_LIBRARY, hit_path.renew(_LIBRARY, spoilt))[1], [])


if __name__ == "__main__":
    unittest.main()
