"""Every command of tools/hakmem, given every kind of wrong input: one line on stderr, nothing on stdout, status 2."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from typing import Union

from hakmem.testing.harness import process
from hakmem.testing.inside.commands import Given, hakmem, in_child
from hakmem.testing.inside.running import FOLDER, Running
from tools.hakmem_lib import cli, core_writer, memory

NOBODY = 65534
NO_PROCESS = str(1 << 22)  # one more than the kernel's highest
LIBRARY = str(process.LIBRARY.absolute())
TOOLS = str(pathlib.Path("tools/trace").absolute())

FAULTS = (
    "no such process",
    "no permission",  # given by a user who owns nothing
    "without HAKMEM",
    "another version",
    "cut off",
    "bad option",
    "missing argument",
    "cannot be written",
)

# Arguments, and what the line has to name; or why there is no such fault.
Case = tuple[list[str], str]
STARTS = "it starts a program"
FINDINGS = "it says so as a finding, for that is what it looks for"
STDOUT = "it writes to stdout only"
PROCESSES = "it reads no file"
TRACES = "it reads traces only"
NO_FILE, NO_FOLDER = "No such file or directory", "Not a directory"

# {known} runs on HAKMEM, {bare} without, {other} on another version; {secret} is root's alone; {file} is a file.
TABLE: dict[str, dict[str, Union[str, Case, list[Case]]]] = {
    "run": {
        "no such process": STARTS,
        "no permission": (["--lib", "{secret}", "true"], "cannot read {secret}: Permission denied"),
        "without HAKMEM": (["--lib", "{file}", "true"], "{file} is no library of HAKMEM's"),
        "another version": STARTS,
        "cut off": (["--lib", LIBRARY, "{cut_program}"], "cannot start {cut_program}: Exec format error"),
        "bad option": [
            (["--dance", "true"], "--dance"),
            (["--lib", "/no/lib.so", "true"], "no such library: /no/lib.so"),
            (["/no/program"], "no such program: /no/program"),
            (["--quiet", "--json", "true"], "--json"),
        ],
        "missing argument": ([], "PROGRAM"),
        "cannot be written": [
            (["--lib", LIBRARY, "-o", "/no/such/%p", "true"], f"cannot write /no/such/%p: {NO_FILE}"),
            (["--lib", LIBRARY, "-o", "/", "true"], "cannot write /: Is a directory"),
            (["--lib", LIBRARY, "-o", "{out}" + "x" * 250, "true"], "longer than 255 bytes"),
        ],
    },
    "top": {
        "no such process": (["--once", NO_PROCESS], f"no such process: {NO_PROCESS}"),
        "no permission": (["--once", "{known}"], "no permission to read process {known} ("),
        "without HAKMEM": (["--once", "{bare}"], "process {bare} (known) does not run on HAKMEM"),
        "another version": (["--once", "{other}"], "runs another version, HAKMEM 9.8.7 with view 2"),
        "cut off": PROCESSES,
        "bad option": [
            (["--dance", "{known}"], "--dance"),
            (["--interval", "fast", "{known}"], "'fast'"),
            (["{known}"], "stdout is no terminal"),
            (["redis"], "no process number: 'redis'"),
        ],
        "missing argument": ([], "PID"),
        "cannot be written": [
            (["--once", "--svg", "/no/such/a.svg", "{known}"], f"cannot write /no/such/a.svg: {NO_FILE}"),
            (["--once", "--svg", "/", "{known}"], "cannot write /: Is a directory"),
        ],
    },
    "stat": {
        "no such process": ([NO_PROCESS], f"no such process: {NO_PROCESS}"),
        "no permission": [
            (["{known}"], "no permission to read process {known} ("),
            (["{secret}"], "cannot open {secret}: Permission denied"),
        ],
        "without HAKMEM": (["{bare}"], "process {bare} (known) does not run on HAKMEM"),
        "another version": (["{other}"], "runs another version, HAKMEM 9.8.7 with view 2"),
        "cut off": (["{cut_core}"], "{cut_core} is cut off"),
        "bad option": [(["--dance", "{known}"], "--dance"), (["{file}"], "{file} is no core file")],
        "missing argument": ([], "PID|CORE"),
        "cannot be written": STDOUT,
    },
    "prof": {
        "no such process": ([NO_PROCESS], f"no such process: {NO_PROCESS}"),
        "no permission": [
            (["{known}"], "no permission to read process {known} ("),
            (["--lib", "{secret}", "true"], "cannot read {secret}: Permission denied"),
        ],
        "without HAKMEM": [
            (["{bare}"], "process {bare} (known) does not run on HAKMEM"),
            (["--lib", "{file}", "true"], "{file} is no library of HAKMEM's"),
        ],
        "another version": (["{other}"], "runs another version, HAKMEM 9.8.7 with view 2"),
        "cut off": (["{cut_profile}"], "{cut_profile}: the profile is cut off"),
        "bad option": [
            (["--dance", "{known}"], "--dance"),
            (["{file}"], "neither a program nor a heap profile: {file}"),
            (["--bytes", "many", "{known}"], "'many'"),
        ],
        "missing argument": ([], "PID|FILE|PROGRAM"),
        "cannot be written": [
            (["-s", "0.1", "-o", "{file}/a", "{known}"], f"cannot write to {{file}}/a: {NO_FOLDER}"),
            (["--lib", LIBRARY, "-o", "{file}", "true"], f"cannot write to {{file}}: {NO_FOLDER}"),
            (["--site-rules", "{file}", "{known}"], "{file} is there already, and left alone"),
            (["--lib", LIBRARY, "--site-rules", "/no/such/rules", "true"], f"cannot write /no/such/rules: {NO_FILE}"),
        ],
    },
    "map": {
        "no such process": ([NO_PROCESS, "-o", "{out}"], f"no such process: {NO_PROCESS}"),
        "no permission": [
            (["{known}", "--detail", "0", "-o", "/tmp/{known}.html"], "no permission to read process {known} ("),
            (["{secret}", "-o", "/tmp/{known}.html"], "cannot read {secret}: Permission denied"),
            (["{known}", "-o", "{locked}/a.html"], "cannot write {locked}/a.html: Permission denied"),
        ],
        "without HAKMEM": (["{bare}", "-o", "{out}"], "process {bare} (known) does not run on HAKMEM"),
        "another version": (["{other}", "-o", "{out}"], "runs another version, HAKMEM 9.8.7 with view 2"),
        "cut off": [
            (["{cut_snapshot}", "-o", "{out}"], "{cut_snapshot} is truncated"),
            (["{cut_core}", "-o", "{out}"], "{cut_core} is cut off"),
        ],
        "bad option": [
            (["--dance", "{known}"], "--dance"),
            (["--detail", "all", "{known}", "-o", "{out}"], "'all'"),
            (["{file}", "-o", "{out}"], "{file} is no snapshot of hakmem map"),
        ],
        "missing argument": [([], "name a PID, a core file or a snapshot"), (["{known}"], "nowhere to write to: -o FILE.html")],
        "cannot be written": [
            (["{known}", "-o", "/no/such/a.html"], f"cannot write /no/such/a.html: {NO_FILE}"),
            (["{known}", "--save", "/no/such/a.gz"], f"cannot write /no/such/a.gz: {NO_FILE}"),
            (["{known}", "--save", "{out}", "-o", "{file}/a"], f"cannot write {{file}}/a: {NO_FOLDER}"),
        ],
    },
    "why": {
        "no such process": ([NO_PROCESS, "0x10"], f"no such process: {NO_PROCESS}"),
        "no permission": [
            (["{known}", "0x10"], "no permission to read process {known} ("),
            (["{secret}"], "cannot open {secret}: Permission denied"),
        ],
        "without HAKMEM": (["{bare}", "0x10"], "process {bare} (known) does not run on HAKMEM"),
        "another version": (["{other}", "0x10"], "runs another version, HAKMEM 9.8.7 with view 2"),
        "cut off": (["{cut_core}"], "{cut_core} is cut off"),
        "bad option": [
            (["--dance", "{known}", "1"], "--dance"),
            (["{known}", "here"], "no address: 'here'"),
            (["{file}"], "{file} is no core file"),
        ],
        "missing argument": [([], "CORE|PID"), (["{known}"], "which address?")],
        "cannot be written": STDOUT,
    },
    "doctor": {
        "no such process": ([NO_PROCESS], f"no such process: {NO_PROCESS}"),
        "no permission": (["{known}"], "no permission to look at process {known}"),
        "without HAKMEM": FINDINGS,
        "another version": FINDINGS,
        "cut off": (["{cut_program}"], "{cut_program}"),
        "bad option": [
            (["--dance", "true"], "--dance"),
            (["--lib", "/no/lib.so", "true"], "no such library: /no/lib.so"),
            (["--lib", LIBRARY, "--plugin", "/no/plugin.so", "true"], "cannot read /no/plugin.so"),
            (["/no/program"], "no such program or process: /no/program"),
        ],
        "missing argument": ([], "PROGRAM|PID"),
        "cannot be written": STDOUT,
    },
    "options": {
        "no such process": (["--pid", NO_PROCESS], f"no such process: {NO_PROCESS}"),
        "no permission": (["--pid", "{known}"], "no permission to read process {known} ("),
        "without HAKMEM": (["--pid", "{bare}"], "process {bare} (known) does not run on HAKMEM"),
        "another version": (["--pid", "{other}"], "runs another version, HAKMEM 9.8.7 with view 2"),
        "cut off": PROCESSES,
        "bad option": [
            (["--dance"], "--dance"),
            (["dance"], "no such option: dance"),
            (["--pid", "redis"], "no process number: 'redis'"),
        ],
        "missing argument": (["--pid"], "expected one argument"),
        "cannot be written": STDOUT,
    },
    "trace": {
        "no such process": STARTS,
        "no permission": [
            (["--tools", TOOLS, "--summary", "{secret}"], "cannot read {secret}: Permission denied"),
            (["--tools", TOOLS, "-o", "{locked}/a.trace", "true"], "cannot write {locked}/a.trace: Permission denied"),
        ],
        "without HAKMEM": "it records any allocator",
        "another version": (["--tools", TOOLS, "--summary", "{new_trace}"], "{new_trace} is a trace of version 9"),
        "cut off": [
            (["--tools", TOOLS, "--summary", "{cut_trace}"], "{cut_trace} is cut off"),
            (["--tools", TOOLS, "--compare", "{cut_trace}", "{cut_trace}"], "{cut_trace} is cut off"),
        ],
        "bad option": [
            (["--dance", "true"], "--dance"),
            (["--tools", "/no/such", "true"], "no such file: /no/such/replay"),
            (["--tools", TOOLS, "--summary", "{file}"], "{file} is no trace"),
            (["/no/program"], "no such program: /no/program"),
        ],
        "missing argument": [([], "nothing to do"), (["--compare", "a"], "--compare")],
        "cannot be written": [
            (["--tools", TOOLS, "-o", "/no/such/a.trace", "true"], f"cannot write /no/such/a.trace: {NO_FILE}"),
            (["--tools", TOOLS, "-o", "{file}", "true"], "{file} is there, and no trace: it stays"),
        ],
    },
    "replay": {
        "no such process": TRACES,
        "no permission": (["--tools", TOOLS, "{secret}"], "cannot read {secret}: Permission denied"),
        "without HAKMEM": "it plays on any allocator",
        "another version": (["--tools", TOOLS, "{new_trace}"], "{new_trace} is a trace of version 9"),
        "cut off": (["--tools", TOOLS, "{cut_trace}"], "{cut_trace} is cut off"),
        "bad option": [
            (["--dance", "{trace}"], "--dance"),
            (["--runs", "0", "{trace}"], "'0'"),
            (["--tools", TOOLS, "--allocator", "dance", "{trace}"], "no allocator named dance"),
            (["--tools", TOOLS, "{file}"], "{file} is no trace"),
        ],
        "missing argument": ([], "TRACE"),
        "cannot be written": STDOUT,
    },
    "advise": {
        "no such process": TRACES,
        "no permission": (["--tools", TOOLS, "{secret}"], "cannot read {secret}: Permission denied"),
        "without HAKMEM": (["--tools", TOOLS, "--lib", f"{TOOLS}/libhakmem_trace.so", "{trace}"], "is no library of HAKMEM's"),
        "another version": (["--tools", TOOLS, "{new_trace}"], "{new_trace} is a trace of version 9"),
        "cut off": (["--tools", TOOLS, "{cut_trace}"], "{cut_trace} is cut off"),
        "bad option": [
            (["--dance", "{trace}"], "--dance"),
            (["--rounds", "x", "{trace}"], "'x'"),
            (["--tools", TOOLS, "{file}"], "{file} is no trace"),
        ],
        "missing argument": ([], "TRACE"),
        "cannot be written": STDOUT,
    },
}


def _cases(row: Union[str, Case, list[Case]]) -> list[Case]:
    if isinstance(row, str):
        return []
    return row if isinstance(row, list) else [row]


@process.not_emulated("it would see the emulator")
class WrongInput(unittest.TestCase):
    """The processes and files that the cases name are made once."""

    stack: contextlib.ExitStack
    names: dict[str, str]

    @classmethod
    def setUpClass(cls) -> None:
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder.chmod(0o755)
            cls.names = {"out": str(folder / "out")}
            for name, program, preload in (("known", "known", True), ("bare", "known", False), ("other", "other_version", False)):
                running = stack.enter_context(Running(FOLDER / program, preload))
                running.reached("start")
                cls.names[name] = str(running.pid)
            cls._make_files(folder)
            cls.stack = stack.pop_all()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.stack.close()

    @classmethod
    def _make_files(cls, folder: pathlib.Path) -> None:
        def made(name: str, content: bytes) -> None:
            path = folder / name
            path.write_bytes(content)
            cls.names[name] = str(path)

        made("file", b"something else\n" * 500)
        made("secret", b"something else\n")
        os.chmod(folder / "secret", 0o600)
        (folder / "locked").mkdir(0o755)
        cls.names["locked"] = str(folder / "locked")
        made("cut_program", pathlib.Path("/bin/true").read_bytes()[:40])
        os.chmod(folder / "cut_program", 0o755)
        made("cut_core", core_writer.core_of(memory.LiveProcess(int(cls.names["known"])))[:-1])
        hakmem("map", cls.names["known"], "--save", folder / "snapshot")
        made("cut_snapshot", (folder / "snapshot").read_bytes()[:-20])
        profiled = {"HAKMEM_PROFILE": "1", "HAKMEM_PROFILE_BYTES": "1", "HAKMEM_PROFILE_FILE": str(folder / "profile")}
        process.run("/bin/ls", env=profiled, preload=[process.LIBRARY])
        made("cut_profile", (folder / "profile").read_bytes()[:-9])
        traced = {"HAKTRACE_FILE": str(folder / "trace")}
        process.run("/bin/ls", "-R", "tools", env=traced, preload=[pathlib.Path(TOOLS, "libhakmem_trace.so"), process.LIBRARY])
        whole = next(folder.glob("trace*")).read_bytes()
        made("trace", whole)
        made("cut_trace", whole[: len(whole) // 2])
        made("new_trace", whole[:8] + b"\x09" + whole[9:])

    def named(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace("{" + name + "}", value)
        return text

    def check(self, given: Given, words: str) -> None:
        self.assertEqual((given.status, given.stdout, given.stderr.count("\n")), (2, "", 1), given)
        self.assertIn(self.named(words), given.stderr)

    def test_every_command_has_a_row(self) -> None:
        self.assertEqual(list(TABLE), list(cli.COMMANDS))
        for command, row in TABLE.items():
            self.assertEqual(list(row), list(FAULTS), command)

    def test_faults(self) -> None:
        for command, row in TABLE.items():
            for fault in FAULTS:
                if fault == "no permission" and os.geteuid() != 0:
                    continue
                for arguments, words in _cases(row[fault]):
                    with self.subTest(f"{command}: {fault}: {' '.join(arguments)}"):
                        user = NOBODY if fault == "no permission" else None
                        given = in_child(command, *map(self.named, arguments), user=user)
                        self.check(given, words)
                        self.assertTrue(given.stderr.startswith(f"hakmem {command}: "), given)
        self.assertFalse(os.path.exists(self.names["out"]))

    @unittest.skipIf(os.geteuid() == 0, "root may read every process, and becomes somebody else above")
    def test_processes_of_others(self) -> None:
        for command in ("stat", "doctor"):
            self.check(hakmem(command, 1), "no permission to ")

    def test_stdout_that_is_full(self) -> None:
        with open("/dev/full", "wb") as full:
            for arguments in (["options"], ["stat", self.names["known"]], ["--help"], ["why", self.names["known"], "0x10"]):
                done = subprocess.run(
                    [sys.executable, "-B", "-m", "tools.hakmem_lib", *arguments],
                    stdout=full, stderr=subprocess.PIPE, text=True, check=False,
                )  # fmt: skip
                self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done)
                self.assertIn("cannot write to stdout: No space left on device", done.stderr)


if __name__ == "__main__":
    unittest.main()
