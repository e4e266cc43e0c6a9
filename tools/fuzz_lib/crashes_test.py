"""Tests of crashes: equal bugs have equal names, different ones different names."""

import unittest

from fuzz_lib.crashes import signature

_ASAN = """==1==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602000000015 at pc 0x55e1 bp 0x7ffd sp 0x7ffc
WRITE of size 1 at 0x602000000015 thread T0
    #0 0x55e1 in hak_slab_give(hak_slab*, void*) hakmem/slab/slab.c:%d:9
    #1 0x55e2 in LLVMFuzzerTestOneInput /proc/self/cwd/fuzz/slab_fuzz.cc:80:3
    #2 0x55e3 in fuzzer::Fuzzer::ExecuteCallback(unsigned char const*, unsigned long) (/x/slab_fuzz+0x1) (BuildId: 4d)

0x602000000015 is located 2 bytes to the right of 3-byte region
allocated by thread T0 here:
    #0 0x55e1 in malloc (/x/slab_fuzz+0x2)
    #1 0x55e9 in %s hakmem/slab/slab.c:9:9
SUMMARY: AddressSanitizer: heap-buffer-overflow hakmem/slab/slab.c:12:9 in hak_slab_give
"""
_CHECK = """fuzz/api_fuzz.cc:%d: does not hold: %s
==1== ERROR: libFuzzer: deadly signal
    #0 0x55 in __sanitizer_print_stack_trace (/x/t+0xe9c91) (BuildId: 4d)
    #7 0x55 in fuzz::FailedCheck(char const*, int, char const*) fuzz/input.h:22:3
    #8 0x55 in Check() fuzz/api_fuzz.cc:7:3
SUMMARY: libFuzzer: deadly signal
"""
_DIED = """hakmem: broken invariant: %s at 0x7f0000001234
==1== ERROR: libFuzzer: deadly signal
    #6 0x7f in abort stdlib/./stdlib/abort.c:79:7
    #7 0x55 in hak_die hakmem/base/checks.c:60:3
    #8 0x55 in hak_pool_take hakmem/shared_pool/shared_pool.c:7:3
SUMMARY: libFuzzer: deadly signal
"""
_TIMEOUT = """ALARM: working on the last Unit for 31 seconds
==1== ERROR: libFuzzer: timeout after 31 seconds
    #4 0x55 in %s hakmem/base/bits.h:1:2
    #5 0x55 in hak_a hakmem/a.c:1:2
    #6 0x55 in Step() fuzz/api_fuzz.cc:5:1
    #7 0x55 in LLVMFuzzerTestOneInput fuzz/api_fuzz.cc:6:1
SUMMARY: libFuzzer: timeout
"""


def _of(text: str) -> "tuple[str, str]":
    found = signature(text.splitlines())
    return found.kind, found.place


class SignatureTest(unittest.TestCase):
    """Kinds, places, names."""

    def test_address_sanitizer(self) -> None:
        """The first stack counts: not the line, and not who allocated."""
        one, other = _ASAN % (12, "hak_x"), _ASAN % (13, "hak_y")
        self.assertEqual(_of(one), ("heap-buffer-overflow", "hak_slab_give"))
        self.assertEqual(signature(one.splitlines()), signature(other.splitlines()))
        self.assertRegex(signature(one.splitlines()).name, "^heap-buffer-overflow-hak_slab_give-[0-9a-f]{8}$")
        moved = one.replace("hak_slab_give", "hak_slab_take")
        self.assertNotEqual(signature(one.splitlines()).name, signature(moved.splitlines()).name)

    def test_check_of_a_target(self) -> None:
        """File and condition tell them apart; the line is for the reader."""
        first = signature((_CHECK % (12, "a == b")).splitlines())
        self.assertEqual((first.kind, first.place), ("check", "api_fuzz-12"))
        self.assertEqual(first.key, signature((_CHECK % (20, "a == b")).splitlines()).key)
        self.assertNotEqual(first.key, signature((_CHECK % (12, "a == c")).splitlines()).key)

    def test_own_words(self) -> None:
        """The text without the address, and who called hak_die."""
        self.assertEqual(_of(_DIED % "bad link"), ("broken invariant: bad link at ", "hak_pool_take"))
        self.assertRegex(signature((_DIED % "bad link").splitlines()).name,
                         "^broken-invariant-bad-link-at-hak_pool_take-[0-9a-f]{8}$")
        self.assertEqual(_of(_DIED.replace("hak_die", "hak_other") % "warned of")[0], "deadly-signal")

    def test_where_a_timeout_happens_to_be_is_chance(self) -> None:
        """The innermost frames do not count, those that called them do."""
        self.assertEqual(_of(_TIMEOUT % "hak_f")[0], "timeout")
        self.assertEqual(signature((_TIMEOUT % "hak_f").splitlines()), signature((_TIMEOUT % "hak_g").splitlines()))
        self.assertTrue(signature((_TIMEOUT % "hak_f").splitlines()).is_sampled)

    def test_out_of_memory_and_undefined_behaviour(self) -> None:
        """libFuzzer's and UBSan's forms."""
        self.assertEqual(_of("==1== ERROR: libFuzzer: out-of-memory (used: 2561Mb; limit: 2560Mb)")[0], "out-of-memory")
        kind, place = _of("hakmem/slab/slab.c:71:9: runtime error: shift exponent 64 is too large for 64-bit type")
        self.assertEqual((kind, place), ("runtime-error", "slab-71"))

    def test_nothing_known(self) -> None:
        """Still a name that a file can have."""
        self.assertRegex(signature([]).name, "^crash-[0-9a-f]{8}$")


if __name__ == "__main__":
    unittest.main()
