"""What real processes do to a malloc, one small program each, on HAKMEM. docs/torture.md lists them."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from hakmem.testing.harness import process

FOLDER = pathlib.Path("hakmem/testing/torture")
PLUGIN_LIBRARY = FOLDER / "libplugin_lib.so"
PAGE = pathlib.Path("docs/torture.md")
# All that libhakmem.so calls of libc, but for what compilers and linkers add. None allocates on the way of malloc and none
# needs libc to be up; no processor number, no wall clock. dlsym is for dlopen and fork handlers;
# fputs and ferror are for malloc_info, sigaction for crash reports, the unwinder for the heap profile, which is off unless asked for. hak_conf is the program's, where it has one.
CALLED = set(
    "_Unwind_Backtrace _Unwind_GetIP _ZSt15get_new_handlerv _ZSt17__throw_bad_allocv __errno_location __libc_single_threaded __register_atfork abort backtrace clock_gettime dlsym "
    "ferror fputs getauxval hak_conf madvise memcpy memmove memset mmap mprotect mremap munmap pthread_atfork pthread_create pthread_getspecific "
    "pthread_key_create pthread_setspecific sigaction syscall write".split()
)
ADDED = re.compile(r"_ITM_\w+|__cxa_finalize|__gmon_start__|_*environ|__tls_get_addr|__stack_chk_fail|__\w+_chk")
SKIPPED = re.compile(r"^skipped: (.*)$", re.MULTILINE)


def run(program: str, *args: str, **options) -> process.Outcome:
    return process.run(FOLDER / program, *args, preload=[process.LIBRARY], **options)


class Torture(unittest.TestCase):
    def check(self, program: str, *args: str, **options) -> str:
        """Its output but for the `ok` at the end. What a program had to leave out is said."""
        with self.subTest(program=program, args=args):
            outcome = run(program, *args, **options)
            self.assertEqual((outcome.status, outcome.stderr), (0, ""), str(outcome))
            self.assertEqual(outcome.stdout.splitlines()[-1:], ["ok"], str(outcome))
            for why in SKIPPED.findall(outcome.stdout):
                self.skipTest(why)
            return outcome.stdout
        return ""


@process.not_emulated("what is resident is the emulator's")
class Threads(Torture):
    @process.not_on_musl("thread-local variables have no destructors there")
    def test_destructors_of_keys_and_of_thread_local_variables(self) -> None:
        self.check("thread_ends")

    def test_50000_in_turn(self) -> None:
        self.check("in_turn", "50000")

    def test_16000_at_once(self) -> None:
        """A page of blocks, three of the heap and the books of a slab each; with 8 sizes as much more of each."""
        self.check("at_once", "16000", "1", "16", "6")
        self.check("at_once", "4000", "8", "72", "40")

    def test_16_that_allocate_and_one_that_frees(self) -> None:
        self.check("producers")


@process.not_emulated("qemu 7.2 aborts where a fork and threads meet, on any malloc")
class Processes(Torture):
    def test_a_thread_forks_while_others_allocate(self) -> None:
        self.check("thread_forks", "50")

    def test_signal_handlers_fork(self) -> None:
        # musl's own locks hang fork in a signal handler, on any malloc.
        for way in ("_fork",) if process.IS_MUSL else ("fork", "_fork"):
            self.check("signal_forks", way)

    def test_memory_is_shared_without_pthread(self) -> None:
        # The machine's shell is no program of musl's, for which the preloaded library is.
        for case in ("waits", "turns", "raw") if process.IS_MUSL else ("vfork", "waits", "turns", "raw"):
            self.check("shared_memory", case)


class Loader(Torture):
    @process.not_on_musl("its dynamic linker unloads nothing")
    def test_blocks_outlive_their_library(self) -> None:
        self.check("plugins", str(PLUGIN_LIBRARY.absolute()))

    @process.not_emulated("the machine's nm may not read it")
    def test_what_is_called_of_libc(self) -> None:
        nm = subprocess.run(["nm", "-D", "--undefined-only", process.LIBRARY], stdout=subprocess.PIPE, text=True, check=True)
        names = {line.split()[-1].split("@")[0] for line in nm.stdout.splitlines()}
        self.assertIn("mmap", names)
        self.assertEqual({name for name in names if not ADDED.fullmatch(name)} - CALLED, set())


@process.not_on_musl("no dlmopen, and HAKMEM cannot be loaded late")
class Foreign(Torture):
    """Blocks of other allocators: reported with their address, and left as they are."""

    def report_of(self, outcome: process.Outcome) -> str:
        pointer = outcome.stdout.splitlines()[0]
        return f"hakmem: foreign pointer {pointer} (not a live block of this allocator)\n"

    def test_a_report_ends_the_process(self) -> None:
        for case in ("libc", "linked", "break"):
            for function in ("free", "realloc", "size"):
                with self.subTest(case=case, function=function):
                    outcome = run("foreign", case, function)
                    self.assertEqual(outcome.signal_name, "SIGABRT", str(outcome))
                    self.assertEqual(outcome.stderr, self.report_of(outcome), str(outcome))

    def test_a_warning_leaves_block_and_process_alone(self) -> None:
        for case in ("libc", "linked", "break"):
            for function in ("free", "realloc", "size"):
                with self.subTest(case=case, function=function):
                    outcome = run("foreign", case, function, env={"HAKMEM_ON_ERROR": "warn"})
                    self.assertEqual((outcome.status, outcome.stdout.splitlines()[-1]), (0, "went on"), str(outcome))
                    self.assertEqual(outcome.stderr, self.report_of(outcome), str(outcome))

    def test_from_before(self) -> None:
        """A program that loads HAKMEM late and hands it a block that it had before."""
        library = str(process.LIBRARY.absolute())
        outcome = process.run(FOLDER / "from_before", library)
        self.assertEqual(outcome.signal_name, "SIGABRT", str(outcome))
        self.assertEqual(outcome.stderr, self.report_of(outcome), str(outcome))
        outcome = process.run(FOLDER / "from_before", library, env={"HAKMEM_ON_ERROR": "warn"})
        self.assertEqual((outcome.status, outcome.stdout.splitlines()[-1]), (0, "went on"), str(outcome))
        self.assertEqual(outcome.stderr, self.report_of(outcome), str(outcome))


@process.not_emulated("qemu 7.2 aborts where a fork and threads meet, on any malloc")
class AbortHandler(Torture):
    REPORT = re.compile(r"hakmem: double free of 0x[0-9a-f]+ \(size class 512\)\n")

    def test_it_allocates_starts_a_thread_and_forks(self) -> None:
        for case in ("here", "drained", "late"):
            with self.subTest(case):
                outcome = run("abort_handler", case)
                self.assertEqual((outcome.status, outcome.stdout), (7, "reported\n"), str(outcome))
                self.assertRegex(outcome.stderr, self.REPORT, str(outcome))

    def test_it_returns(self) -> None:
        outcome = run("abort_handler", "returns")
        self.assertEqual((outcome.signal_name, outcome.stdout), ("SIGABRT", "reported\n"), str(outcome))
        self.assertRegex(outcome.stderr, self.REPORT, str(outcome))


@process.not_emulated("mappings and resident memory are the emulator's")
class Memory(Torture):
    def test_alignments(self) -> None:
        self.check("alignments")

    def test_mappings_of_the_program_next_to_ours(self) -> None:
        self.check("neighbours")

    def test_mappings_are_few(self) -> None:
        self.check("mappings", "few")

    def test_no_mapping_is_left(self) -> None:
        self.check("mappings", "spent")

    def test_a_small_container(self) -> None:
        """With the defaults of a group of 64 MiB; container_test has the group."""
        self.check("cycles", "64", env=OF_A_SMALL_GROUP)

    def test_cycles_without_a_limit(self) -> None:
        self.check("cycles", "96")


#: docs/adr/0022-limits-of-control-groups.md: what a limit of 64 MiB makes of the defaults.
OF_A_SMALL_GROUP = {
    "HAKMEM_THREAD_CACHE_BYTES": "1m",
    "HAKMEM_WHALE_CACHE_BYTES": "8m",
    "HAKMEM_SUPERSLAB_CACHE": "4",
    "HAKMEM_SURPLUS_BYTES": "128k",
}

OVERCOMMIT = pathlib.Path("/proc/sys/vm/overcommit_memory")
MODES = ("0", "1", "2")


@process.not_emulated("mappings are the emulator's")
class Overcommit(Torture):
    """In the mode that the machine is in. Another mode would be set for every process of the machine: HAKMEM_TEST_SYSCTL=1
    allows it (bazel test --test_env=HAKMEM_TEST_SYSCTL=1 --spawn_strategy=local)."""

    def test_memory_answered_for_follows_what_is_live(self) -> None:
        self.assertIn("overcommit_memory=" + OVERCOMMIT.read_text().strip(), self.check("commit"))

    def test_other_modes(self) -> None:
        before = OVERCOMMIT.read_text().strip()
        if os.environ.get("HAKMEM_TEST_SYSCTL") != "1":
            self.skipTest("only in mode " + before + ": HAKMEM_TEST_SYSCTL=1 allows to change it")
        try:
            OVERCOMMIT.write_text(before)
        except OSError as error:
            self.skipTest(f"only in mode {before}: {error}")
        for mode in MODES:
            if mode == "2" and not has_room_for_strict_mode():
                print("skipped: mode 2 would leave the machine short of memory", file=sys.stderr)
                continue
            try:
                OVERCOMMIT.write_text(mode)
                self.assertIn("overcommit_memory=" + mode, self.check("commit"))
                self.check("cycles", "96")
            finally:
                OVERCOMMIT.write_text(before)


def has_room_for_strict_mode() -> bool:
    """The others on the machine go on as they were when what is answered for is well below the limit."""
    figures = dict(line.split(":") for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    limit_kib, used_kib = (int(figures[name].split()[0]) for name in ("CommitLimit", "Committed_AS"))
    return used_kib + 2 * 1024 * 1024 < limit_kib


@process.not_emulated("they would see the emulator")
class Tools(Torture):
    """Programs that look at the process from outside."""

    def setUp(self) -> None:
        environment = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(process.LIBRARY.absolute())}
        self.program = subprocess.Popen(
            [FOLDER / "debugged"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = self.program.stdout.readline().strip()

    def tearDown(self) -> None:
        rest, _ = self.program.communicate(timeout=process.TIMEOUT_S)
        self.assertEqual((self.program.returncode, rest), (0, "ok\n"))

    def use(self, tool: str, *args: str, **options) -> str:
        if shutil.which(tool) is None:
            self.skipTest(f"{tool} is not installed")
        done = subprocess.run(
            [tool, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=process.TIMEOUT_S,
            check=False,
            **options,
        )
        if "ptrace: Operation not permitted" in done.stdout:
            self.skipTest(f"{tool} may not look at processes here")
        if "unhandled dwarf2" in done.stdout:
            self.skipTest(f"{tool} is too old for what this compiler says to debuggers")
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_a_debugger_reads_blocks(self) -> None:
        text = self.use("gdb", "-q", "-nx", "-batch", "-p", str(self.program.pid), "-ex", f"x/s {self.address}")
        self.assertIn("a block that a debugger reads", text)

    def resident(self) -> int:
        status = pathlib.Path(f"/proc/{self.program.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024

    def test_a_core_is_no_larger_than_twice_what_is_resident(self) -> None:
        resident = self.resident()
        self.assertGreater(resident, 20 * 1024 * 1024)
        with tempfile.TemporaryDirectory() as folder:
            self.use("gcore", "-o", folder + "/core", str(self.program.pid))
            core = pathlib.Path(folder, f"core.{self.program.pid}")
            self.assertLessEqual(core.stat().st_size, 2 * resident)
            text = self.use("gdb", "-q", "-nx", "-batch", str(FOLDER / "debugged"), str(core), "-ex", f"x/s {self.address}")
            self.assertIn("a block that a debugger reads", text)

    def test_what_went_back_is_zeroes_in_a_core(self) -> None:
        """They are holes in the kernel's cores; this gdb writes them."""
        self.program.stdin.write("f")
        self.program.stdin.flush()
        self.assertEqual(self.program.stdout.readline(), "freed\n")
        resident = self.resident()
        self.assertLess(resident, 12 * 1024 * 1024)
        with tempfile.TemporaryDirectory() as folder:
            self.use("gcore", "-o", folder + "/core", str(self.program.pid))
            core = pathlib.Path(folder, f"core.{self.program.pid}").read_bytes()
        page = 4096
        written = sum(any(core[at : at + page]) for at in range(0, len(core), page)) * page
        self.assertLessEqual(written, 2 * resident)

    @process.not_on_musl("valgrind is a program of glibc's")
    def test_valgrind_takes_over(self) -> None:
        """Its malloc replaces ours where it is told ours by name."""
        environment = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(process.LIBRARY.absolute())}
        options = ["--soname-synonyms=somalloc=libhakmem.so*", "--error-exitcode=9", "--leak-check=full"]
        text = self.use("valgrind", *options, str(FOLDER / "debugged"), env=environment)
        self.assertIn("All heap blocks were freed", text)


@process.not_on_musl("not every program is there")
class Page(unittest.TestCase):
    """docs/torture.md names every program, and no other."""

    def test_every_program_is_in_the_table(self) -> None:
        built = {path.name for path in FOLDER.iterdir() if path.suffix == "" and path.is_file()}
        programs = {name for name in built if not name.endswith("_test")}
        text = PAGE.read_text(encoding="utf-8")
        named = set(re.findall(r"`torture/([a-z_]+)`", text))
        self.assertEqual(named, programs)


if __name__ == "__main__":
    unittest.main()
