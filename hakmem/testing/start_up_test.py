"""What every process runs lies in front; first that something behind would be noticed."""

import subprocess
import unittest

from hakmem.testing import instruction_counts, start_up

_PROFILE = """
ob=(1) /somewhere/program
fn=(1) main
cob=(2) /somewhere/libhakmem.so
cfn=(2) malloc
calls=1 0
0 1500
ob=(2)
fn=(2)
0 1000
fn=(3) set_next'2
0 7
cob=(3) /lib/libc.so.6
cfn=(4) memset
calls=1 0
0 40
ob=(3)
fn=(4)
0 40
"""

_LISTING = """
000000000000ffff t set_next
0000000000004880 T malloc
0000000000020000 T memset
0000000000030000 d data
"""


class StartUpTest(unittest.TestCase):
    def test_only_the_library_counts(self):
        self.assertEqual(start_up.run_inside(_PROFILE, "libhakmem.so"), {"malloc", "set_next"})
        self.assertEqual(start_up.run_inside(_PROFILE, "program"), {"main"})

    def test_what_lies_behind_is_named(self):
        run = {"malloc", "set_next", "gone"}
        addresses = start_up.addresses_in(_LISTING)
        self.assertEqual(start_up.findings(run, addresses), [])
        addresses["set_next"] += 1
        self.assertEqual(len(start_up.findings(run, addresses)), 1)
        self.assertIn("set_next runs and lies at 0x10000", start_up.findings(run, addresses)[0])

    def test_the_last_of_one_name(self):
        self.assertEqual(start_up.addresses_in(_LISTING + "0000000000011000 t set_next\n")["set_next"], 0x11000)

    def test_the_library(self):
        self.assertEqual(start_up.check("hakmem/libhakmem.so", ["/bin/echo", "hello"]), [])

    def test_what_most_programs_run(self):
        for workload in ("hit_sizes", "refill", "overflow", "mid", "purge"):
            with self.subTest(workload):
                self.assertEqual(start_up.check("hakmem/libhakmem.so", ["hakmem/testing/workloads", workload]), [])

    def test_no_function_of_libc_of_checked_length(self):
        """libc has several of each, and finds out which when a process starts: by code that nothing else needs, 64 KiB."""
        nm = subprocess.run(["nm", "-D", "--undefined-only", "hakmem/libhakmem.so"], stdout=subprocess.PIPE,
                            universal_newlines=True, check=True)
        self.assertIn(" memcpy", nm.stdout)
        self.assertNotRegex(nm.stdout, r" __mem\w+_chk|__str\w+_chk")

    def test_a_command_that_fails(self):
        with self.assertRaisesRegex(instruction_counts.CannotCount, "failed"):
            start_up.check("hakmem/libhakmem.so", ["/bin/false"])
