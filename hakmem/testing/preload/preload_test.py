"""Programs with libhakmem.so preloaded: each shows what it must and nothing on stderr."""

import errno
import json
import pathlib
import re
import resource
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

from hakmem.testing.harness import process
from tools.hakmem_lib import option_table

FOLDER = pathlib.Path("hakmem/testing/preload")
AUDITOR_LIBRARY = FOLDER / "libauditor_lib.so"
DEEPBIND_LIBRARY = FOLDER / "libdeepbind_lib.so"
TABLE = pathlib.Path("hakmem/config/options.h")
MIB = 1 << 20

# The options themselves are those of hakmem/config/options.h; what each is by default is not told here.
HELLO = re.compile(r"hakmem \d+\.\d+\.\d+ active:(?: [A-Z_]+=[^ \n]*(?: \([a-zA-Z_/.]+\))?)+\n")
PAIR = re.compile(r" ([A-Z_]+)=([^ \n]*)")


# C++, and what glibc alone has.
NOT_ON_MUSL = {"early", "introspection", "operators"} if process.IS_MUSL else set()


# For a child by vfork: of this machine's processor under an emulator, which the kernel does not start by itself.
CHILD = "/bin/true" if process.EMULATOR else str((FOLDER / "execs").absolute())


def run(program: str, *args: str, **options) -> process.Outcome:
    return process.run(FOLDER / program, *args, preload=[process.LIBRARY], **options)


class Programs(unittest.TestCase):
    def check(self, outcome: process.Outcome, stdout: str = "ok\n", stderr: str = "") -> None:
        self.assertEqual(outcome.status, 0, str(outcome))
        self.assertEqual(outcome.stdout, stdout, str(outcome))
        self.assertEqual(outcome.stderr, stderr, str(outcome))

    def test_quiet_programs(self) -> None:
        for program, *args in (
            ["hello"],
            ["semantics"],
            ["operators"],
            ["operators", "nothrow"],
            ["introspection", "bad_info"],
            ["introspection", "figures"],
            ["introspection", "parameters"],
            ["introspection", "trim"],
            ["crowd"],
            ["execs", "vfork", "50", CHILD],
            ["signals"],
        ):
            if program in NOT_ON_MUSL:
                continue
            with self.subTest(program=program, args=args):
                self.check(run(program, *args))

    @process.not_emulated("qemu 7.2 aborts where the child of a fork starts threads, on any malloc")
    def test_forks(self) -> None:
        self.check(run("forks"))

    @process.not_emulated("the children of its forks see its own threads' locks")
    def test_fork_handlers_and_forks_by_others(self) -> None:
        self.check(run("fork_order", "handlers"))
        self.check(run("fork_order", "bystander"))

    @process.not_emulated("the kernel executes no program of another processor")
    def test_many_execs(self) -> None:
        self.check(run("execs", "exec", "1000"))

    def test_hakmem_is_what_runs(self) -> None:
        """Every subtest above would pass on a good libc too."""
        for program, *args in (["hello"], ["semantics"], ["operators"], ["early"]):
            if program in NOT_ON_MUSL:
                continue
            with self.subTest(program):
                outcome = run(program, *args, env={"HAKMEM_VERBOSE": "1"})
                self.assertEqual(outcome.status, 0, str(outcome))
                self.assertRegex(outcome.stderr, HELLO, str(outcome))

    @process.not_emulated("the kernel executes no program of another processor")
    def test_every_exec_starts_anew(self) -> None:
        outcome = run("execs", "exec", "20", env={"HAKMEM_VERBOSE": "1"})
        self.assertEqual((outcome.status, len(HELLO.findall(outcome.stderr))), (0, 21), str(outcome))

    @process.not_on_musl("its malloc and its threads are other ones to compare with")
    @process.not_emulated("the emulator's own memory counts")
    def test_footprint(self) -> None:
        """Pages beyond libc's malloc. Each bound has room for one page that libc or the compiler may move."""
        for args, more_kib in (
            ([], 52),  # the library's variables, one heap, one SuperSlab's descriptor, two blocks
            (["200", "1"], 16),
            (["200", "8"], 48),
        ):
            with self.subTest(args):
                own_kib, libc_kib = (
                    float(process.run(FOLDER / "footprint", *args, preload=preload).stdout)
                    for preload in ([process.LIBRARY], [])
                )
                self.assertLessEqual(own_kib - libc_kib, more_kib, f"{own_kib} KiB, on libc's malloc {libc_kib}")

    @process.not_on_musl("no IFUNC")
    def test_malloc_before_main_and_after(self) -> None:
        self.check(run("early"), "ok\natexit done\ndestructor done\n")

    @process.not_on_musl("no IFUNC")
    def test_the_heap_made_before_main_is_kept(self) -> None:
        """The linker resets thread-local variables after IFUNC resolvers have run."""
        outcome = run("early", env={"HAKMEM_STATS_AT_EXIT": "1"})
        self.assertIn("heaps: all 1, parked 0\n", outcome.stderr, str(outcome))

    @process.not_on_musl("no LD_AUDIT")
    @process.not_emulated_with_large_pages("the dynamic linker cannot load an auditor, with HAKMEM or without")
    def test_an_auditor_of_the_dynamic_linker(self) -> None:
        audit = {"LD_AUDIT": str(AUDITOR_LIBRARY.absolute())}
        self.check(run("early", env=audit), "ok\natexit done\ndestructor done\n")
        self.check(run("semantics", env=audit))

    def check_limit(self, kind: int, limit_mib: int) -> None:
        with self.subTest(kind=kind, limit_mib=limit_mib):
            limit = (limit_mib * MIB, limit_mib * MIB)
            outcome = run("limits", preexec_fn=lambda: (process.fix_addresses(), resource.setrlimit(kind, limit)))
            self.assertEqual((outcome.status, outcome.stderr), (0, ""), str(outcome))
            *fills, last = outcome.stdout.splitlines()
            self.assertEqual(last, "ok", str(outcome))
            for fill in fills:
                held_kib = int(re.fullmatch(r"\d+ bytes: (\d+) KiB", fill).group(1))
                self.assertGreater(held_kib, limit_mib * 1024 // 3, str(outcome))

    @process.not_emulated("RLIMIT_AS would limit the emulator")
    def test_little_address_space(self) -> None:
        for limit_mib in (16, 32, 64):
            self.check_limit(resource.RLIMIT_AS, limit_mib)

    @process.not_emulated("RLIMIT_DATA would limit the emulator")
    def test_little_data(self) -> None:
        for limit_mib in (16, 64):
            self.check_limit(resource.RLIMIT_DATA, limit_mib)

    @process.not_emulated("the limits would limit the emulator")
    def test_hardly_any_memory(self) -> None:
        """Too little for a whole SuperSlab beside the program: some sizes get nothing, and nothing goes wrong."""
        for kind, limit_mib in ((resource.RLIMIT_AS, 8), (resource.RLIMIT_DATA, 3)):
            limit = (limit_mib * MIB, limit_mib * MIB)
            outcome = run("hello", preexec_fn=lambda kind=kind, limit=limit: resource.setrlimit(kind, limit))
            self.check(outcome)


@process.not_emulated("no seccomp")
class Sandbox(unittest.TestCase):
    """Filters of system calls."""

    def test_calls_that_are_refused(self) -> None:
        for case in ("EPERM", "ENOSYS"):
            with self.subTest(case):
                outcome = run("sandbox", case)
                self.assertEqual((outcome.status, outcome.stderr), (0, ""), str(outcome))
                self.assertEqual(outcome.stdout.splitlines()[-1], "ok", str(outcome))

    def test_calls_that_kill(self) -> None:
        for case, decay_ms in (("kill", 500), ("kill", 20), ("no_exec", 20)):
            with self.subTest(case=case, decay_ms=decay_ms):
                outcome = run("sandbox", case, env={"HAKMEM_DECAY_MS": str(decay_ms)})
                self.assertEqual((outcome.status, outcome.stderr), (0, ""), str(outcome))
                self.assertEqual(outcome.stdout.splitlines()[-1], "ok", str(outcome))

    def test_mremap_kills(self) -> None:
        """Only resizing a block above 1,984 KiB calls it."""
        outcome = run("sandbox", "kill_mremap")
        self.assertEqual((outcome.signal_name, outcome.stdout), ("SIGSYS", "small blocks are well\n"), str(outcome))


@process.not_on_musl("the figures of malloc.h are glibc's")
class Reports(unittest.TestCase):
    def test_malloc_info_is_xml(self) -> None:
        outcome = run("introspection", "info")
        self.assertEqual((outcome.status, outcome.stderr), (0, ""), str(outcome))
        root = xml.etree.ElementTree.fromstring(outcome.stdout)
        self.assertEqual((root.tag, root.get("version")), ("malloc", "1"))
        sizes = root.findall("heap/sizes/size")
        held = [size for size in sizes if int(size.get("from")) <= 400 <= int(size.get("to"))]
        self.assertEqual(len(held), 1, str(outcome))
        self.assertGreaterEqual(int(held[0].get("count")), 20000, str(outcome))
        mapped = root.find("heap/total[@type='mmap']")
        self.assertEqual(mapped.get("count"), "1", str(outcome))
        self.assertGreaterEqual(int(mapped.get("size")), 10 * MIB, str(outcome))
        self.assertGreaterEqual(int(root.find("heap/system").get("size")), 10 * MIB + 20000 * 400, str(outcome))

    def test_malloc_stats_go_to_stderr(self) -> None:
        outcome = run("introspection", "stats")
        self.assertEqual((outcome.status, outcome.stdout), (0, "ok\n"), str(outcome))
        for text in ("mapped for blocks", "class     slabs            live     cached", "misuse reported: 0\n"):
            self.assertIn(text, outcome.stderr)


class Options(unittest.TestCase):
    def hello(self, **env: str) -> process.Outcome:
        outcome = run("hello", env=env)
        self.assertEqual((outcome.status, outcome.stdout), (0, "ok\n"), str(outcome))
        return outcome

    def test_a_bad_value_is_named_once_and_ignored(self) -> None:
        complaint = "hakmem: ignored HAKMEM_DECAY_MS=never: not a number from 0 to 3600000\n"
        self.assertEqual(self.hello(HAKMEM_DECAY_MS="never").stderr, complaint)
        verbose = self.hello(HAKMEM_DECAY_MS="never", HAKMEM_VERBOSE="1").stderr
        self.assertEqual(verbose.count(complaint), 1)
        self.assertRegex(verbose, HELLO)
        self.assertIn("not one of abort, warn, ignore", self.hello(HAKMEM_ON_ERROR="panic").stderr)

    def test_unknown_names_are_named(self) -> None:
        self.assertEqual(self.hello(HAKMEM_TEST_SUCH="1", HAKMEM_TOOL_SUCH="2", hakmem_verbose="1").stderr, "")
        unknown = self.hello(HAKMEM_NO_SUCH="1", HAKMEM_CONF="such:2").stderr
        self.assertEqual(
            unknown,
            "hakmem: ignored such:2 in HAKMEM_CONF: no such option\nhakmem: ignored HAKMEM_NO_SUCH=1: no such option\n",
        )

    def test_verbose_is_one_line(self) -> None:
        self.assertIsNotNone(HELLO.fullmatch(self.hello(HAKMEM_VERBOSE="1").stderr))
        self.assertIn(" DECAY_MS=7 (environment) ", self.hello(HAKMEM_VERBOSE="1", HAKMEM_DECAY_MS="7").stderr)
        self.assertIn(" DECAY_MS=500 SURPLUS", self.hello(HAKMEM_CONF="verbose:1").stderr)

    def test_verbose_says_what_the_table_says(self) -> None:
        said = dict(PAIR.findall(self.hello(HAKMEM_VERBOSE="1").stderr))
        table = option_table.read(TABLE)
        self.assertEqual(list(said), [option.name for option in table])
        for option in table:
            self.assertEqual(said[option.name], "1" if option.name == "VERBOSE" else option.default_value, option.name)

    def test_what_the_program_is_built_with(self) -> None:
        for name, value in (("decay_ms", "321"), ("surplus_bytes", str(MIB)), ("superslab_cache", "256")):
            outcome = run("options", name)
            self.assertEqual((outcome.stdout, outcome.stderr), (value + "\n", ""), str(outcome))
        outcome = run("options", "decay_ms", env={"HAKMEM_CONF": "decay_ms:5", "HAKMEM_VERBOSE": "1"})
        self.assertEqual(outcome.stdout, "5\n", str(outcome))
        self.assertIn(" DECAY_MS=5 (HAKMEM_CONF) ", outcome.stderr)
        self.assertIn(f" SURPLUS_BYTES={MIB} (hak_conf) ", outcome.stderr)

    def test_what_the_program_sets(self) -> None:
        for name, value, error, after in (
            ("decay_ms", "7", 0, "7"),
            ("decay_ms", "x", errno.EINVAL, "321"),
            ("on_error", "warn", 0, "warn"),
            ("verbose", "1", errno.EPERM, "0"),
            ("stats_file", "/tmp/x", 0, "/tmp/x"),
            ("no_such", "1", errno.ENOENT, f"get {errno.ENOENT}"),
        ):
            outcome = run("options", name, value)
            self.assertEqual((outcome.stdout, outcome.stderr), (f"set {error}\n{after}\n", ""), str(outcome))

    @process.not_emulated("an emulator's system calls are others")
    def test_the_file(self) -> None:
        """In a name space of its own, where this process may make one."""
        with tempfile.TemporaryDirectory() as folder:
            etc = pathlib.Path(folder, "etc")
            etc.mkdir()
            (etc / "hakmem.conf").write_text("# all processes\ndecay_ms: 42  # not long\nno_such: 1\n")
            (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
            program = str((FOLDER / "options").absolute())
            script = f"mount --bind {etc} /etc && LD_PRELOAD={process.LIBRARY.absolute()} exec {program} decay_ms"
            outcome = subprocess.run(
                ["unshare", "--mount", "--map-root-user", "sh", "-c", script], capture_output=True, text=True, check=False
            )
            if "ERROR" in outcome.stderr or outcome.returncode in (1, 32) and "hakmem" not in outcome.stderr:
                self.skipTest(f"no name space of its own here ({outcome.stderr.strip()}); see //hakmem/config:config_test")
            complaint = "hakmem: ignored no_such:1 in /etc/hakmem.conf: no such option\n"
            self.assertEqual((outcome.stdout, outcome.stderr), ("42\n", complaint))

    def test_stats_at_exit(self) -> None:
        text = self.hello(HAKMEM_STATS_AT_EXIT="1").stderr
        self.assertEqual(text.count("  mapped for blocks "), 1, text)
        self.assertEqual(text.splitlines()[-1], "  misuse reported: 0", text)

    def test_stats_in_a_file(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "stats")
            for count in (1, 2):
                self.assertEqual(self.hello(HAKMEM_STATS_AT_EXIT="1", HAKMEM_STATS_FILE=str(path)).stderr, "")
                self.assertEqual(path.read_text().count("  misuse reported: 0\n"), count)
            text = self.hello(HAKMEM_STATS_AT_EXIT="1", HAKMEM_STATS_FILE=f"{folder}/no/stats").stderr
            self.assertEqual(text.splitlines()[0], f"hakmem: cannot write to {folder}/no/stats", text)
            self.assertEqual(text.splitlines()[-1], "  misuse reported: 0", text)

    def test_stats_in_another_format(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for form in ("json", "openmetrics"):
                env = {"HAKMEM_STATS_AT_EXIT": "1", "HAKMEM_STATS_FORMAT": form, "HAKMEM_STATS_FILE": f"{folder}/%p.{form}"}
                for _ in range(2):
                    self.assertEqual(self.hello(**env).stderr, "")
            texts = {form: [path.read_text() for path in pathlib.Path(folder).glob(f"*.{form}")] for form in ("json", "openmetrics")}
        self.assertEqual([len(found) for found in texts.values()], [2, 2], "a file for each process")
        for text in texts["json"]:
            self.assertGreater(json.loads(text)["stats"]["mapped_bytes"], 0)
            self.assertEqual(json.loads(text)["options"]["STATS_FORMAT"], "json")
        for text in texts["openmetrics"]:
            self.assertTrue(text.startswith("# TYPE hakmem info\n") and text.endswith("\n# EOF\n"), text)
        self.assertIn('{"version":"', self.hello(HAKMEM_STATS_AT_EXIT="1", HAKMEM_STATS_FORMAT="json").stderr)
        text = self.hello(HAKMEM_STATS_AT_EXIT="1", HAKMEM_STATS_FORMAT="xml").stderr
        self.assertIn("hakmem: ignored HAKMEM_STATS_FORMAT=xml: ", text)
        self.assertEqual(text.splitlines()[-1], "  misuse reported: 0", text)


@process.not_on_musl("no RTLD_DEEPBIND")
class DeepBind(unittest.TestCase):
    """A library opened with RTLD_DEEPBIND would have libc's malloc and free; HAKMEM's dlopen sees to it that it has not."""

    def test_blocks_cross_the_border(self) -> None:
        for case in ("apart", "ours", "theirs"):
            with self.subTest(case):
                outcome = run("deepbind", str(DEEPBIND_LIBRARY.absolute()), case)
                self.assertEqual((outcome.status, outcome.stdout, outcome.stderr), (0, "ok\n", ""), str(outcome))

    def test_the_run_path_is_the_callers(self) -> None:
        outcome = run("deepbind", DEEPBIND_LIBRARY.name, "theirs")
        self.assertEqual((outcome.status, outcome.stdout, outcome.stderr), (0, "ok\n", ""), str(outcome))

    def test_errors_are_libcs(self) -> None:
        outcome = run("deepbind", "no_such_library.so", "missing")
        self.assertEqual((outcome.status, outcome.stderr), (0, ""), str(outcome))
        self.assertRegex(outcome.stdout, "^no_such_library.so: cannot open shared object file")


if __name__ == "__main__":
    unittest.main()
