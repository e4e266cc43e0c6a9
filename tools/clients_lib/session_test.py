"""Steps, servers and their cost, with the shell as the client."""

import os
import pathlib
import signal
import tempfile
import unittest

from clients_lib import launch, processes
from clients_lib.model import ClientError, Mode, RunResult
from clients_lib.session import Session, condensed, empty_folder


@unittest.skipUnless(os.path.exists(launch.TIME), "GNU time is not installed")
class SessionTest(unittest.TestCase):
    def setUp(self) -> None:
        processes.adopt_orphans()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        home = pathlib.Path(folder.name)
        self.session = Session(Mode("libc", None), *(empty_folder(home / n) for n in ("work", "inputs", "logs")))

    def observed(self, result: RunResult) -> dict[str, bytes]:
        return {o.label: o.data for o in result.observations}

    def test_step_shows_status_and_both_streams(self) -> None:
        self.session.step("say", ["sh", "-c", "echo out; echo err >&2; exit 3"], expect=3)
        result = self.session.result(None)
        self.assertTrue(result.healthy)
        expected = {"say: exit status": b"3", "say: stdout": b"out\n", "say: stderr": b"err\n"}
        self.assertEqual(self.observed(result), expected)

    def test_status_that_is_not_expected_is_unhealthy_and_leaves_evidence(self) -> None:
        self.session.step("fail", ["sh", "-c", "echo why >&2; exit 1"])
        result = self.session.result(None)
        self.assertEqual(result.unexpected, ["fail: exit status 1, not 0: why"])
        self.assertEqual(result.evidence["fail.stderr"], b"why\n")

    def test_signal_gives_128_and_its_number(self) -> None:
        self.session.step("abort", ["sh", "-c", "kill -ABRT $$"], expect=128 + signal.SIGABRT)
        self.assertTrue(self.session.result(None).healthy)

    def test_hang_raises_and_leaves_nothing_alive(self) -> None:
        with self.assertRaisesRegex(ClientError, "nap: hang"):
            self.session.step("nap", ["sh", "-c", "sleep 1000 & sleep 1000"], timeout_s=0.3)
        self.session.result("hang")
        self.assertEqual(processes.descendants(os.getpid()), [])

    def test_daemon_left_by_a_step_is_killed(self) -> None:
        self.session.step("daemon", ["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"])
        self.session.result(None)
        self.assertEqual(processes.descendants(os.getpid()), [])

    def test_peak_is_the_program_s_own_not_the_runner_s(self) -> None:
        ballast = bytearray(64 << 20)
        self.session.step("true", ["true"])
        self.assertLess(self.session.result(None).usage.peak_rss_kib, 8 << 10)
        del ballast

    def test_peak_sees_children(self) -> None:
        self.session.step("child", ["sh", "-c", "head -c 50000000 /dev/zero | tail -n 1 | wc -c; true"])
        self.assertGreater(self.session.result(None).usage.peak_rss_kib, 40 << 10)

    def test_nothing_of_the_environment_is_inherited(self) -> None:
        os.environ["CLIENT_TEST_LEAK"] = "1"
        self.addCleanup(os.environ.pop, "CLIENT_TEST_LEAK")
        text = self.session.step("env", ["env"])
        self.assertNotIn(b"CLIENT_TEST_LEAK", text)
        self.assertNotIn(b"LD_PRELOAD", text)

    def test_server_is_stopped_and_its_status_shown(self) -> None:
        ready = self.session.work / "ready"
        script = f"trap 'exit 0' TERM; touch {ready}; while :; do sleep 0.05; done"
        with self.session.server("server", ["sh", "-c", script], ready.exists) as server:
            self.assertTrue(os.path.exists(f"/proc/{server.pid}"))
        result = self.session.result(None)
        self.assertTrue(result.healthy)
        self.assertEqual(self.observed(result)["server: exit status"], b"0")

    def test_server_that_ends_early_is_an_error_with_its_last_words(self) -> None:
        with self.assertRaisesRegex(ClientError, "ended before it was ready: no port"):
            with self.session.server("server", ["sh", "-c", "echo no port; exit 1"], lambda: False):
                pass

    def test_server_is_killed_when_its_driver_fails(self) -> None:
        with self.assertRaises(ValueError):
            with self.session.server("server", ["sleep", "1000"], lambda: True):
                raise ValueError
        self.session.result("failed")
        self.assertEqual(processes.descendants(os.getpid()), [])


class CondensedTest(unittest.TestCase):
    def test_small_data_is_kept(self) -> None:
        self.assertEqual(condensed(b"abc"), b"abc")

    def test_large_data_becomes_a_digest_that_tells_apart(self) -> None:
        one, other = condensed(b"a" * (2 << 20)), condensed(b"b" * (2 << 20))
        self.assertLess(len(one), 200)
        self.assertNotEqual(one, other)


if __name__ == "__main__":
    unittest.main()
