"""What the clients make of outputs, and that each of them is complete."""

import unittest

from clients_lib import client, programs
from clients_lib.programs import postgres, python, redis


class NormaliseTest(unittest.TestCase):
    def test_redis_benchmark_keeps_names_and_drops_rates(self) -> None:
        output = b"\rSET: rps=0.0 (overall: nan)\rSET: 91743.12 requests per second, p50=0.279 msec\n\n"
        output += b"LRANGE_100 (first 100 elements): 1.5 requests per second, p50=1 msec\n"
        self.assertEqual(redis.test_names(output), b"SET\nLRANGE_100 (first 100 elements)")

    def test_pgbench_keeps_counts_and_drops_rates(self) -> None:
        output = b"number of transactions actually processed: 6000/6000\nlatency average = 1.2 ms\ntps = 3 (x)\n"
        self.assertEqual(postgres.counted(output), b"number of transactions actually processed: 6000/6000")

    def test_junit_keeps_outcomes_and_drops_times(self) -> None:
        junit = b"""<testsuites><testsuite>
          <testcase name="b" status="run" result="completed" time="0.1" />
          <testcase name="a" time="0.2"><failure>why</failure></testcase>
        </testsuite></testsuites>"""
        self.assertEqual(python.outcomes(junit), b"a: failure\nb: completed")


class RegistryTest(unittest.TestCase):
    def test_every_client_says_what_it_is(self) -> None:
        programs.load_all()
        self.assertGreaterEqual(len(client.all_clients()), 25)
        for one in client.all_clients():
            with self.subTest(client=one.name):
                self.assertTrue(one.summary.endswith("."))
                self.assertTrue(one.programs or one.missing_packages() is not None)
                self.assertFalse(one.normalised.endswith("."))


if __name__ == "__main__":
    unittest.main()
