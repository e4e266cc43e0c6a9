"""`hakmem doctor` on real programs and processes, and what it says to wrong input.

What needs root, a file system that obeys set-user-ID bits, valgrind or a memory control group is skipped where there is
none; checks_test and facts_test have the same on facts that are made up.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import pathlib
import platform
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from typing import Any, Iterator, Mapping, Optional
from unittest import mock

from tools.hakmem_lib import cli
from tools.hakmem_lib.doctor import subject
from tools.hakmem_lib.errors import CommandError

PATIENTS = pathlib.Path("tools/hakmem_lib/doctor/patients").absolute()
LIBRARY = pathlib.Path("hakmem/libhakmem.so").resolve()
NOBODY = 65534
MIB = 1024 * 1024
IS_ROOT = os.geteuid() == 0
not_emulated = unittest.skipIf(os.environ.get("HAKMEM_TEST_EMULATOR"), "the programs are for another processor")
needs_root = unittest.skipUnless(IS_ROOT, "needs root")


def outcome(*arguments: str, environment: Optional[Mapping[str, str]] = None) -> tuple[int, str, str]:
    """Status, stdout and stderr of `hakmem doctor`."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with mock.patch.dict(os.environ, environment or {}), contextlib.redirect_stdout(stdout):
        with contextlib.redirect_stderr(stderr):
            try:
                status = cli.main(["doctor", *arguments])
            except SystemExit as ended:
                status = int(ended.code or 0)
    return status, stdout.getvalue(), stderr.getvalue()


def patient(name: str = "patient") -> str:
    """Path of a program of patients/."""
    return str(PATIENTS / name)


@contextlib.contextmanager
def running(*command: str, **options: Any) -> Iterator[int]:
    """A patient that waits; yields its number."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options) as process:
        assert process.stdout is not None and process.stdin is not None
        try:
            if process.stdout.readline() != b"ready\n":
                raise unittest.SkipTest(f"{command[0]} could not start: status {process.wait()}")
            yield process.pid
        finally:
            process.stdin.close()


def preloaded(**variables: str) -> dict[str, str]:
    """An environment in which HAKMEM is preloaded."""
    return {"PATH": os.environ["PATH"], "LD_PRELOAD": str(LIBRARY), **variables}


def refuse_madvise() -> None:
    """For `preexec_fn`: a seccomp filter that answers madvise with EPERM."""
    number = {"x86_64": 28, "aarch64": 233}[platform.machine()]
    code = ((0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000))
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    filter_program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(filters))
    libc = ctypes.CDLL(None)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, ctypes.c_char_p(filter_program), 0, 0) != 0:
        os._exit(9)


class DoctorTest(unittest.TestCase):
    def found(self, *arguments: str, environment: Optional[Mapping[str, str]] = None) -> dict[str, list[dict[str, str]]]:
        """What is found, by check. The status must fit."""
        status, stdout, stderr = outcome("--json", "--lib", str(LIBRARY), *arguments, environment=environment)
        self.assertEqual(stderr, "")
        findings = json.loads(stdout)["findings"]
        self.assertEqual(status, 1 if any(f["severity"] != "note" for f in findings) else 0, findings)
        by_check: dict[str, list[dict[str, str]]] = {}
        for finding in findings:
            by_check.setdefault(finding["check"], []).append(finding)
        return by_check

    def expect(self, found: dict[str, list[dict[str, str]]], check: str, severity: str, *words: str) -> None:
        self.assertEqual([finding["severity"] for finding in found.get(check, [])], [severity], found)
        for word in words:
            self.assertIn(word, found[check][0]["what"])


@not_emulated
class Programs(DoctorTest):
    def test_sound(self) -> None:
        found = self.found(patient())
        self.assertFalse({"static-program", "own-allocator", "sanitizer", "libc", "architecture"} & set(found), found)

    def test_static(self) -> None:
        self.expect(self.found(patient("patient_static")), "static-program", "problem")
        self.expect(self.found(patient("patient_static_pie")), "static-program", "problem")

    def test_own_malloc(self) -> None:
        self.expect(self.found(patient("patient_own_malloc")), "own-allocator", "problem", "before every preloaded")
        self.expect(self.found(patient("patient_hidden_malloc")), "own-allocator", "problem", "does not share")
        self.expect(self.found(patient("patient_prefixed_malloc")), "own-allocator", "warning", "jemalloc")

    def test_deep_binding(self) -> None:
        self.expect(self.found(patient("patient_deep_binding")), "deep-binding", "note", "0xa")
        self.assertNotIn("deep-binding", self.found(patient()))

    def test_sanitizer(self) -> None:
        self.expect(self.found(patient("patient_asan")), "sanitizer", "problem", "AddressSanitizer")

    def test_linked_with_hakmem(self) -> None:
        found = self.found(patient("patient_linked"))
        self.expect(found, "linked-in", "note")
        self.assertNotIn("own-allocator", found)

    def test_plugin(self) -> None:
        plugin = str(PATIENTS / "libplugin.so")
        self.expect(self.found("--plugin", plugin, patient()), "static-tls", "warning", "libplugin.so")

    def test_script(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            script = pathlib.Path(folder, "script")
            script.write_text(f"#!/usr/bin/env -S {patient('patient_static')} -x\n")
            script.chmod(0o755)
            found = self.found(str(script))
        self.expect(found, "script", "note", str(script))
        self.expect(found, "static-program", "problem", "patient_static")

    def copied(self, folder: str) -> pathlib.Path:
        if os.statvfs(folder).f_flag & os.ST_NOSUID:
            self.skipTest(f"{folder} ignores set-user-ID bits")
        return pathlib.Path(shutil.copy(patient(), folder))

    def test_set_user_id(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            copy = self.copied(folder)
            copy.chmod(0o4755)
            self.expect(self.found(str(copy)), "set-user-id", "problem", "set-user-ID")

    @needs_root
    def test_file_capabilities(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            copy = self.copied(folder)
            try:  # cap_net_bind_service, permitted and effective
                os.setxattr(copy, "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
            except OSError as error:
                self.skipTest(f"no file capabilities here: {error}")
            self.expect(self.found(str(copy)), "set-user-id", "problem", "capabilities")

    def test_environment(self) -> None:
        found = self.found(patient(), environment={"MALLOC_ARENA_MAX": "1", "LD_PRELOAD": "/no/such.so"})
        self.expect(found, "other-settings", "note", "MALLOC_ARENA_MAX=1")
        self.expect(found, "preload", "warning", "/no/such.so")

    def test_filter_over_the_start(self) -> None:
        command = [sys.executable, "-B", "-m", "tools.hakmem_lib", "doctor", "--json", "--lib", str(LIBRARY), patient()]
        run = subprocess.run(command, capture_output=True, text=True, preexec_fn=refuse_madvise, check=False)
        if run.returncode == 9:
            self.skipTest("no seccomp")
        found = {finding["check"]: finding for finding in json.loads(run.stdout)["findings"]}
        self.assertEqual((run.returncode, found["seccomp"]["severity"]), (1, "warning"))
        self.assertIn("refuses madvise", found["seccomp"]["what"])

    def test_text(self) -> None:
        status, stdout, _ = outcome("--lib", str(LIBRARY), patient("patient_static"))
        self.assertEqual(status, 1)
        self.assertRegex(stdout, r"\A\S*patient_static \((x86-64|aarch64)")
        self.assertRegex(stdout, r"(?m)^problem  static-program +\S")
        self.assertRegex(stdout, r"(?m)^         fix +link the program with HAKMEM")
        self.assertRegex(stdout, r"\d to look at\n\Z")


@not_emulated
class Processes(DoctorTest):
    def test_active(self) -> None:
        env = preloaded(HAKMEM_DECAY_MS="100", HAKMEM_DECAI_MS="1")
        with running(patient(), "wait", env=env, stderr=subprocess.DEVNULL) as pid:
            found = self.found(str(pid))
        self.assertIn("HAKMEM_DECAI_MS is no option", found["options"].pop(0)["what"])
        self.expect(found, "active", "note", str(LIBRARY), "malloc is its")
        self.assertRegex(found["active"][0]["what"], r"HAKMEM \d+\.\d+\.\d+ \(")
        self.expect(found, "options", "note", "HAKMEM_DECAY_MS=100")
        self.expect(found, "mappings", "note")

    def test_absent(self) -> None:
        with running(patient(), "wait") as pid:
            self.expect(self.found(str(pid)), "active", "problem", "not loaded")

    def test_preload_ignored(self) -> None:
        with running(patient("patient_static"), "wait", env=preloaded()) as pid:
            found = self.found(str(pid))
        self.expect(found, "active", "problem", "ignores it")
        self.expect(found, "static-program", "problem")

    def test_preload_of_no_such_file(self) -> None:
        env = {"LD_PRELOAD": "/no/such/libhakmem.so"}
        with running(patient(), "wait", env=env, stderr=subprocess.DEVNULL) as pid:
            self.expect(self.found(str(pid)), "active", "problem", "no such file")

    def test_own_malloc_comes_first(self) -> None:
        with running(patient("patient_own_malloc"), "wait", env=preloaded()) as pid:
            self.expect(self.found(str(pid)), "own-allocator", "problem", "before every")

    def test_linked_with_hakmem(self) -> None:
        with running(patient("patient_linked"), "wait") as pid:
            found = self.found(str(pid))
        self.expect(found, "linked-in", "note")
        self.assertNotIn("active", found)

    def test_library_that_has_been_replaced(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(shutil.copy(LIBRARY, folder))
            with running(patient(), "wait", env={"LD_PRELOAD": str(copy)}) as pid:
                copy.unlink()
                status, stdout, _ = outcome("--json", str(pid))
        found = [finding for finding in json.loads(stdout)["findings"] if finding["check"] == "active"]
        self.assertEqual([finding["severity"] for finding in found], ["note", "note"], stdout)
        self.assertIn("replaced", found[1]["what"])
        self.assertIn(status, (0, 1))

    def test_late_library(self) -> None:
        command = (patient("patient_deep_binding"), "wait", str(PATIENTS / "libplugin.so"))
        env = preloaded(GLIBC_TUNABLES="glibc.rtld.optional_static_tls=8000")
        with running(*command, env=env) as pid:
            found = self.found(str(pid))
        self.expect(found, "static-tls", "note", "libplugin.so", "8.9 KiB")

    @needs_root
    def test_more_rights_than_its_user(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            if os.statvfs(folder).f_flag & os.ST_NOSUID:
                self.skipTest(f"{folder} ignores set-user-ID bits")
            copy = shutil.copy(patient(), folder)
            try:
                os.chown(copy, NOBODY, NOBODY)
            except OSError as error:
                self.skipTest(f"one user only: {error}")
            os.chmod(copy, 0o4755)
            with running(copy, "wait", env=preloaded(), stderr=subprocess.DEVNULL) as pid:
                found = self.found(str(pid))
        self.expect(found, "set-user-id", "problem", "AT_SECURE")
        self.expect(found, "active", "problem", "ignores it")

    def test_limits(self) -> None:
        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_AS, (400 * MIB, 400 * MIB))

        with running(patient(), "wait", env=preloaded(), preexec_fn=limit) as pid:
            self.expect(self.found(str(pid)), "limits", "warning", "RLIMIT_AS is 400 MiB")

    def test_locked(self) -> None:
        with running(patient(), "lock", env=preloaded()) as pid:
            self.expect(self.found(str(pid)), "locked-memory", "warning", "are locked")

    def test_filter(self) -> None:
        with running(patient(), "wait", env=preloaded(), preexec_fn=refuse_madvise) as pid:
            self.expect(self.found(str(pid)), "seccomp", "note")

    def test_valgrind(self) -> None:
        valgrind = shutil.which("valgrind")
        if valgrind is None:
            self.skipTest("no valgrind")
        with running(valgrind, "-q", patient(), "wait") as pid:
            self.expect(self.found(str(pid)), "active", "problem", "valgrind")

    def memory_group(self) -> tuple[pathlib.Path, str]:
        """A new control group with a memory limit of its own, and the name of that limit's file."""
        for parent, name in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
            group = pathlib.Path(parent, f"hakmem_doctor_test_{os.getpid()}")
            try:
                group.mkdir()
            except OSError:
                continue
            self.addCleanup(group.rmdir)
            if (group / name).exists():
                return group, name
        raise unittest.SkipTest("no memory control group can be made here")

    def test_container(self) -> None:
        group, name = self.memory_group()
        (group / name).write_text(str(64 * MIB))

        def enter() -> None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

        with running(patient(), "wait", env=preloaded(), preexec_fn=enter) as pid:
            found = self.found(str(pid))
        self.expect(found, "container", "note", f"limits memory to 64 MiB ({name})")


class WrongInput(unittest.TestCase):
    def check(self, named: str, *arguments: str) -> None:
        status, stdout, stderr = outcome(*arguments)
        self.assertEqual((status, stdout, stderr.count("\n")), (2, "", 1), stderr)
        self.assertIn(named, stderr)

    def made(self, contents: bytes, mode: int = 0o755) -> str:
        with tempfile.NamedTemporaryFile(delete=False) as file:
            file.write(contents)
        self.addCleanup(os.unlink, file.name)
        os.chmod(file.name, mode)
        return file.name

    def test_nothing_to_examine(self) -> None:
        self.check("PROGRAM|PID")

    def test_bad_option(self) -> None:
        self.check("--fast", "--fast", patient())

    def test_no_such_program(self) -> None:
        self.check("no such program or process: /no/such", "/no/such")

    def test_folder(self) -> None:
        self.check("a folder", "/tmp")

    def test_not_executable(self) -> None:
        self.check("not executable", self.made(b"text", 0o644))

    def test_text_file(self) -> None:
        self.check("no ELF file", self.made(b"text"))

    def test_empty_file(self) -> None:
        self.check("no ELF file", self.made(b""))

    def test_script_of_no_such_interpreter(self) -> None:
        self.check("/no/such", self.made(b"#!/no/such -x\n"))

    def test_truncated_program(self) -> None:
        whole = pathlib.Path(patient()).read_bytes()
        for size in (5, 20, 100, 1000):
            self.check("ELF file", self.made(whole[:size]))

    def test_library(self) -> None:
        self.check("a library, not a program", str(PATIENTS / "libplugin.so"))

    def test_no_such_library(self) -> None:
        self.check("no such library: /no/lib.so", "--lib", "/no/lib.so", patient())

    def test_library_that_is_none(self) -> None:
        self.check("is no library of HAKMEM's", "--lib", self.made(b"text"), patient())

    def test_no_such_plugin(self) -> None:
        self.check("cannot read /no/plugin.so", "--lib", str(LIBRARY), "--plugin", "/no/plugin.so", patient())

    def test_no_such_process(self) -> None:
        self.check("no such process: 99999999", "99999999")
        self.check("no such process: 123456789012345678901", "123456789012345678901")

    def test_zombie(self) -> None:
        with subprocess.Popen(["true"], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.read()  # it has ended, or will at once
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            self.check("has ended", str(process.pid))

    @needs_root
    def test_no_permission(self) -> None:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            said = "nothing"
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                subject.look_at_process(os.getppid(), [])
            except CommandError as error:
                said = str(error)
            except OSError as error:
                said = f"one user only: {error}"
            os.write(writer, said.encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writer)
        with open(reader, encoding="utf-8") as file:
            said = file.read()
        if said.startswith("one user only"):
            self.skipTest(said)
        self.assertEqual(said, f"no permission to look at process {os.getpid()}: run as its user, or as root")


if __name__ == "__main__":
    unittest.main()
