"""Programs with libhakmem_trace.so in front of libc's malloc and of HAKMEM: what they do is in the trace, they notice
nothing, and the trace played under the recorder gives the same trace again."""

import collections
import json
import pathlib
import subprocess
import tempfile
import unittest

from hakmem.testing.harness import process

FOLDER = pathlib.Path("tools/trace")
RECORDER = FOLDER / "libhakmem_trace.so"
REPLAY = FOLDER / "replay"
ALLOCATORS = {"libc": [], "hakmem": [process.LIBRARY]}
SIZE = 77001


class Recorded:
    """A run and the traces that it left, the first process's first."""

    def __init__(self, folder: str, outcome: process.Outcome) -> None:
        self.outcome = outcome
        self.paths = sorted(pathlib.Path(folder).glob("trace*"))


def replay(*args: object, preload: list = ()) -> process.Outcome:
    return process.run(REPLAY, *map(str, args), preload=preload)


def summary(path: pathlib.Path) -> dict:
    outcome = replay("--summary", path)
    assert outcome.status == 0, str(outcome)
    return json.loads(outcome.stdout)


def operations(path: pathlib.Path) -> list[str]:
    outcome = replay("--dump", path)
    assert outcome.status == 0, str(outcome)
    return outcome.stdout.splitlines()


class RecorderTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name

    def record(self, name: str, program, *args: object, allocator: str = "libc", **options) -> Recorded:
        folder = pathlib.Path(self.folder) / name
        folder.mkdir()
        outcome = process.run(program, *map(str, args), preload=[RECORDER, *ALLOCATORS[allocator]],
                              env={"HAKTRACE_FILE": str(folder / "trace")}, **options)
        return Recorded(str(folder), outcome)

    def record_well(self, name: str, *args: object, traces: int = 1, **options) -> Recorded:
        recorded = self.record(name, FOLDER / "recorded", *args, **options)
        self.assertEqual((recorded.outcome.status, recorded.outcome.stdout, recorded.outcome.stderr), (0, "ok\n", ""),
                         str(recorded.outcome))
        self.assertEqual(len(recorded.paths), traces, recorded.paths)
        return recorded

    def check_round_trip(self, trace: pathlib.Path) -> None:
        """The trace, played under the recorder, is recorded as the same operations."""
        for allocator in ALLOCATORS:
            again = self.record(f"{trace.name}-{allocator}", REPLAY, trace, allocator=allocator)
            self.assertEqual(again.outcome.status, 0, str(again.outcome))
            self.assertEqual(len(again.paths), 1)
            compared = replay("--compare", trace, again.paths[0])
            self.assertEqual(compared.status, 0, str(compared))
            self.assertTrue(json.loads(compared.stdout)["same"])


class Operations(RecorderTest):
    def sized(self, path: pathlib.Path, *sizes: int) -> list[str]:
        """The operations that name one of the sizes, without the blocks that they made."""
        texts = [line.split(" = ")[0] for line in operations(path)]
        return [text for text in texts if text.split()[-1] in map(str, sizes)]

    def test_functions(self) -> None:
        expected = [
            f"0 malloc {SIZE}", f"0 realloc {SIZE + 1}", f"0 realloc {2 * SIZE}", f"0 calloc 3 {SIZE + 2}",
            f"0 realloc_null {SIZE + 3}", f"0 aligned_alloc 64 {SIZE + 4}", f"0 posix_memalign 128 {SIZE + 5}",
            f"0 memalign 256 {SIZE + 6}", f"0 valloc {SIZE + 7}", f"0 pvalloc {SIZE + 8}"]
        for allocator in ALLOCATORS:
            with self.subTest(allocator):
                trace = self.record_well(allocator, "functions", allocator=allocator).paths[0]
                found = self.sized(trace, 2 * SIZE, *(SIZE + i for i in range(9)))
                # Without the block that a realloc names.
                found = [" ".join(word for word in text.split() if ":" not in word) for text in found]
                self.assertEqual(found, expected)
                text = "\n".join(operations(trace))
                self.assertIn(f"malloc {2 ** 63 - 1} failed", text)
                self.assertIn("0 free_null", text)
                figures = summary(trace)
                self.assertTrue(figures["has_exited"])
                self.assertEqual((figures["unknown_frees"], figures["unborn_refs"], figures["missed"]), (0, 0, 0))

    def test_every_block_of_the_functions_is_freed(self) -> None:
        lines = operations(self.record_well("freed", "functions").paths[0])
        made = [line.split(" = ")[1] for line in lines if any(str(SIZE + i) in line for i in range(9))]
        ended = [line.split()[2] for line in lines if line.split()[1] in ("free", "realloc", "realloc_freed")]
        self.assertEqual(len(made), 9)
        self.assertLessEqual(set(made), set(ended))

    def test_operators(self) -> None:
        wide = SIZE - SIZE % 64
        for allocator in ALLOCATORS:
            with self.subTest(allocator):
                trace = self.record_well(allocator, "operators", allocator=allocator).paths[0]
                found = self.sized(trace, wide, 2 * wide, *(SIZE + i for i in range(8)))
                self.assertEqual(found, [f"0 malloc {SIZE + i}" for i in range(6)] + [
                    f"0 aligned_alloc 64 {wide}", f"0 aligned_alloc 64 {2 * wide}", f"0 aligned_alloc 64 {SIZE + 6}",
                    f"0 aligned_alloc 64 {SIZE + 7}"])
                figures = summary(trace)
                self.assertGreaterEqual(figures["failed"], 4)
                self.assertEqual(figures["unknown_frees"], 0)


class Threads(RecorderTest):
    def test_blocks_go_from_thread_to_thread(self) -> None:
        for allocator in ALLOCATORS:
            with self.subTest(allocator):
                trace = self.record_well(allocator, "threads", allocator=allocator).paths[0]
                figures = summary(trace)
                self.assertEqual(len(figures["threads"]), 21)
                for thread in figures["threads"][1:]:
                    self.assertGreaterEqual(thread["foreign_frees"], 1)
                self.assertGreaterEqual(figures["threads"][0]["foreign_frees"], 20)
                self.check_round_trip(trace)

    def test_many_records(self) -> None:
        trace = self.record_well("many", "many").paths[0]
        figures = summary(trace)
        self.assertGreaterEqual(figures["operations"], 400000)
        self.assertLess(figures["records_bytes"], 3 * figures["operations"])
        self.check_round_trip(trace)


class Ends(RecorderTest):
    def has_block(self, path: pathlib.Path, size: int) -> bool:
        return any(f" malloc {size} =" in line for line in operations(path))

    def test_exit(self) -> None:
        recorded = self.record("exit", FOLDER / "recorded", "end", "exit")
        self.assertTrue(summary(recorded.paths[0])["has_exited"])

    def test_what_was_recorded_survives_every_end(self) -> None:
        for how, status in (("_exit", 0), ("kill", -9)):
            with self.subTest(how):
                recorded = self.record(how, FOLDER / "recorded", "end", how)
                self.assertEqual(recorded.outcome.status, status, str(recorded.outcome))
                self.assertFalse(summary(recorded.paths[0])["has_exited"])
                self.assertTrue(self.has_block(recorded.paths[0], SIZE))

    def test_exec(self) -> None:
        recorded = self.record_well("exec", "exec", traces=2)
        self.assertFalse(summary(recorded.paths[0])["has_exited"])
        self.assertTrue(summary(recorded.paths[1])["has_exited"])

    def test_children_have_traces_of_their_own(self) -> None:
        for how in ("libc", "raw"):
            with self.subTest(how):
                recorded = self.record_well(f"fork-{how}", "fork", how, traces=2)
                child, parent = sorted(recorded.paths, key=lambda path: self.has_block(path, SIZE))
                self.assertEqual(summary(child)["parent_pid"], summary(parent)["pid"])
                self.assertTrue(self.has_block(child, SIZE + 1))
                self.assertGreaterEqual(summary(child)["unknown_frees"], 1)
                self.assertFalse(self.has_block(parent, SIZE + 1))

    def test_names(self) -> None:
        """The process that HAKTRACE_PID names has the plain name."""
        folder = pathlib.Path(self.folder) / "names"
        folder.mkdir()
        env = {"PATH": "/usr/bin:/bin", "HAKTRACE_FILE": str(folder / "trace"), "LD_PRELOAD": str(RECORDER.absolute())}
        script = 'export HAKTRACE_PID=$$; exec "$0" fork libc'
        subprocess.run(["sh", "-c", script, str((FOLDER / "recorded").absolute())], env=env, check=True, capture_output=True)
        self.assertIn("trace", [path.name for path in folder.iterdir()])


class Trouble(RecorderTest):
    def test_signal_handlers_that_allocate_and_fork(self) -> None:
        """libc's own malloc cannot bear it."""
        trace = self.record_well("signals", "signals", allocator="hakmem").paths[0]
        self.assertGreater(summary(trace)["operations"], 200)
        self.check_round_trip(trace)

    def test_no_file_to_be_had(self) -> None:
        outcome = process.run(FOLDER / "recorded", "functions", preload=[RECORDER],
                              env={"HAKTRACE_FILE": "/no/such/folder/trace"})
        self.assertEqual((outcome.status, outcome.stdout), (0, "ok\n"), str(outcome))
        self.assertEqual(outcome.stderr.count("\n"), 1, outcome.stderr)
        self.assertIn("hakmem trace: cannot create /no/such/folder/trace", outcome.stderr)

    def test_nothing_asked_for(self) -> None:
        outcome = process.run(FOLDER / "recorded", "threads", preload=[RECORDER])
        self.assertEqual((outcome.status, outcome.stdout, outcome.stderr), (0, "ok\n", ""), str(outcome))

    def test_small_address_space(self) -> None:
        """Where there is no room for the shadow the program goes on without a record."""
        script = 'ulimit -v 200000; exec "$0" functions'
        env = {"PATH": "/usr/bin:/bin", "HAKTRACE_FILE": f"{self.folder}/trace", "LD_PRELOAD": str(RECORDER.absolute())}
        ended = subprocess.run(["bash", "-c", script, str((FOLDER / "recorded").absolute())], env=env, check=False,
                               capture_output=True, text=True)
        self.assertEqual((ended.returncode, ended.stdout), (0, "ok\n"), ended.stderr)


class RealPrograms(RecorderTest):
    def test_gcc(self) -> None:
        """A compiler's operations, recorded, are played bit for bit."""
        source = pathlib.Path(self.folder) / "source.c"
        source.write_text("#include <stdio.h>\n" + "".join(
            f"int f{i}(int n) {{ for (int i = 0; i < n; i++) printf(\"%d\", i * {i}); return n; }}\n" for i in range(300)))
        recorded = self.record("gcc", "/usr/bin/gcc", "-O1", "-c", source, "-o", f"{self.folder}/source.o")
        self.assertEqual(recorded.outcome.status, 0, str(recorded.outcome))
        by_program = collections.defaultdict(list)
        for path in recorded.paths:
            by_program[pathlib.Path(summary(path)["program"]).name].append(path)
        self.assertIn("cc1", by_program)
        compiler = by_program["cc1"][0]
        figures = summary(compiler)
        self.assertGreater(figures["operations"], 10000)
        self.assertLess(figures["records_bytes"] / figures["operations"], 4)
        self.check_round_trip(compiler)
        for allocator in ALLOCATORS.values():
            played = replay("--verify", compiler, preload=allocator)
            self.assertEqual(played.status, 0, str(played))
            self.assertEqual(json.loads(played.stdout)["wrong_bytes"], 0)


class WrongInput(RecorderTest):
    def check(self, words: str, *args: object) -> None:
        outcome = replay(*args)
        self.assertEqual((outcome.status, outcome.stdout, outcome.stderr.count("\n")), (2, "", 1), str(outcome))
        self.assertIn(words, outcome.stderr)

    def test_options(self) -> None:
        self.check("one trace is wanted")
        self.check("one trace is wanted", "a", "b")
        self.check("two traces are compared", "--compare", "a")
        self.check("--touch is none, pages or all", "--touch", "some", "a")
        self.check("no such option", "--dance", "a")

    def test_files(self) -> None:
        self.check("/no/such cannot be read: No such file or directory", "/no/such")
        self.check("is no trace", REPLAY)
        trace = self.record_well("cut", "many").paths[0]
        whole = trace.read_bytes()
        trace.write_bytes(whole[:len(whole) // 2 + 1])
        for mode in ("--summary", "--dump", "--verify"):
            self.check("is cut off: it ends at byte", mode, trace)
        damaged = bytearray(whole)
        damaged[10000] ^= 1
        trace.write_bytes(damaged)
        self.check("has another checksum", trace)

    def test_differences_are_found(self) -> None:
        left = self.record_well("left", "functions").paths[0]
        right = self.record_well("right", "operators").paths[0]
        outcome = replay("--compare", left, right)
        self.assertEqual(outcome.status, 1, str(outcome))
        self.assertFalse(json.loads(outcome.stdout)["same"])


class Shape(unittest.TestCase):
    def test_needs_libc_only(self) -> None:
        listed = subprocess.run(["readelf", "-d", str(RECORDER)], capture_output=True, text=True, check=True).stdout
        needed = {line.split("[")[1].rstrip("]") for line in listed.splitlines() if "(NEEDED)" in line}
        self.assertLessEqual({name.split(".")[0] for name in needed}, {"libc", "libdl", "libpthread", "ld-linux-x86-64",
                                                                       "ld-linux-aarch64"})


if __name__ == "__main__":
    unittest.main()
