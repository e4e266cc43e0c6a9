"""Unit tests of the checks, on subjects that are made up."""

from __future__ import annotations

import dataclasses
import unittest
from typing import Any, Callable

from tools.hakmem_lib.doctor import cgroup, checks_process, checks_program, checks_system, elf, examine
from tools.hakmem_lib.doctor.finding import Finding, Severity, size_text
from tools.hakmem_lib.doctor.subject import Machine, Process, Program, Subject

MIB = 1024 * 1024


def made_object(path: str = "/bin/program", **changes: Any) -> elf.Object:
    """A dynamic x86-64 program of glibc's that uses malloc."""
    plain = elf.Object(
        path=path,
        machine="x86-64",
        bits=64,
        is_library=False,
        is_static=False,
        interpreter="/lib64/ld-linux-x86-64.so.2",
        soname="",
        needed=("libc.so.6",),
        rpath=(),
        runpath=(),
        exported=frozenset(),
        defined=frozenset(),
        imported=frozenset({"malloc", "free"}),
        traces=frozenset(),
        is_symbolic=False,
        has_static_tls=False,
        tls_bytes=0,
        page_bytes=4096,
        needs_versions=frozenset({"GLIBC_2.34"}),
        has_versions=frozenset(),
        is_go=False,
        dlopen_flags=frozenset(),
        base_address=0,
        slots=(),
    )
    return dataclasses.replace(plain, **changes)


def with_malloc(path: str, *names: str, **changes: Any) -> elf.Object:
    """One that defines malloc, and the names, for all to see."""
    all_names = frozenset({"malloc", "free", *names})
    return made_object(path, exported=all_names, defined=all_names, **changes)


LIBC = with_malloc("/lib/libc.so.6", soname="libc.so.6", has_versions=frozenset({"GLIBC_2.2.5", "GLIBC_2.34"}))
HAKMEM = with_malloc("/lib/libhakmem.so", traces=frozenset({"HAKMEM"}))


def made(main: elf.Object = made_object(), *, hakmem: elf.Object = HAKMEM, process: Any = None, **facts: Any) -> Subject:
    """A subject without a fault, but for `facts` of the program or the machine."""
    of_program = {name: value for name, value in facts.items() if name in Program.__dataclass_fields__}
    of_machine = {name: value for name, value in facts.items() if name in Machine.__dataclass_fields__}
    of_subject = {name: value for name, value in facts.items() if name in Subject.__dataclass_fields__}
    assert len(of_program) + len(of_machine) + len(of_subject) == len(facts)
    machine = Machine(**{"max_map_count": 65530, "huge_pages": "madvise", **of_machine})
    program = Program(main, **{"libraries": (LIBC,), **of_program})
    return Subject(program, machine, process, hakmem, **of_subject)


class CheckTest(unittest.TestCase):
    def one(self, check: Callable[[Subject], Any], subject: Subject, severity: Severity, *words: str) -> Finding:
        """Expects one finding of the check, with these words."""
        found = list(check(subject))
        self.assertEqual(len(found), 1, found)
        self.assertIs(found[0].severity, severity, found)
        for word in words:
            self.assertIn(word, found[0].what + " | " + found[0].fix)
        self.assertTrue(found[0].fix)
        return found[0]

    def none(self, check: Callable[[Subject], Any], subject: Subject) -> None:
        self.assertEqual(list(check(subject)), [])

    def test_a_sound_program_has_no_findings(self) -> None:
        self.assertEqual(examine.findings(made()), [])

    def test_the_worst_comes_first(self) -> None:
        subject = made(made_object(is_static=True), overcommit=2, environment={"MALLOC_CONF": "x"})
        self.assertEqual(
            [finding.severity for finding in examine.findings(subject)],
            [Severity.PROBLEM, Severity.WARNING, Severity.NOTE],
        )


class ProgramChecks(CheckTest):
    def test_script(self) -> None:
        self.one(checks_program.check_script, made(script="/bin/script"), Severity.NOTE, "/bin/script", "/bin/program")

    def test_architecture(self) -> None:
        check = checks_program.check_architecture
        self.one(check, made(made_object(bits=32, machine="i386")), Severity.PROBLEM, "32-bit")
        self.one(check, made(made_object(machine="aarch64")), Severity.PROBLEM, "aarch64", "x86-64")
        self.none(check, made())

    def test_libc_of_another_kind(self) -> None:
        musl = made_object(interpreter="/lib/ld-musl-x86_64.so.1", needed=("libc.musl-x86_64.so.1",))
        self.one(checks_program.check_libc, made(musl), Severity.PROBLEM, "musl", "glibc")

    def test_libc_that_is_too_old(self) -> None:
        young = dataclasses.replace(HAKMEM, needs_versions=frozenset({"GLIBC_2.2.5", "GLIBC_2.38"}))
        self.one(checks_program.check_libc, made(hakmem=young), Severity.PROBLEM, "GLIBC_2.38", "/lib/libc.so.6")
        self.none(checks_program.check_libc, made())

    def test_linked_in(self) -> None:
        linked = dataclasses.replace(HAKMEM, path="/bin/program", is_static=True)
        self.one(checks_program.check_linked, made(linked), Severity.NOTE, "linked in")
        self.none(checks_program.check_static, made(linked))
        self.none(checks_program.check_own_allocator, made(linked))

    def test_static(self) -> None:
        check = checks_program.check_static
        self.one(check, made(made_object(is_static=True)), Severity.PROBLEM, "statically", "//hakmem:malloc")
        self.one(check, made(made_object(is_static=True, is_go=True)), Severity.PROBLEM, "Go", "GOMEMLIMIT")
        self.none(check, made())

    def test_go(self) -> None:
        self.one(checks_program.check_go, made(made_object(is_go=True)), Severity.NOTE, "C parts")
        self.none(checks_program.check_go, made())

    def test_sanitizer(self) -> None:
        check = checks_program.check_sanitizer
        asan = with_malloc("/bin/program", "__asan_init")
        self.one(check, made(asan), Severity.PROBLEM, "AddressSanitizer", "/bin/program")
        self.none(checks_program.check_own_allocator, made(asan))
        in_library = made_object("/lib/libx.so", imported=frozenset({"__tsan_init"}))
        self.one(check, made(libraries=(LIBC, in_library)), Severity.PROBLEM, "ThreadSanitizer", "/lib/libx.so")

    def test_own_allocator_in_the_program(self) -> None:
        check = checks_program.check_own_allocator
        self.one(check, made(with_malloc("/bin/program", "je_malloc")), Severity.PROBLEM, "jemalloc", "before every")
        hidden = made_object(defined=frozenset({"malloc", "mi_malloc"}))
        self.one(check, made(hidden), Severity.PROBLEM, "mimalloc", "inside")
        prefixed = made_object(defined=frozenset({"_rjem_malloc"}))
        self.one(check, made(prefixed), Severity.WARNING, "jemalloc", "names of its own")
        stripped = made_object(traces=frozenset({"tcmalloc"}))
        self.one(check, made(stripped), Severity.WARNING, "tcmalloc")
        self.none(check, made())

    def test_own_allocator_in_a_library(self) -> None:
        check = checks_program.check_own_allocator
        library = with_malloc("/lib/libjemalloc.so.2", "mallocx")
        self.one(check, made(libraries=(LIBC, library)), Severity.NOTE, "libjemalloc", "serves malloc")
        user = made_object(imported=frozenset({"mallocx", "free"}))
        self.one(check, made(user, libraries=(LIBC, library)), Severity.WARNING, "mallocx")
        symbolic = dataclasses.replace(library, is_symbolic=True)
        self.one(check, made(libraries=(LIBC, symbolic)), Severity.WARNING, "-Bsymbolic")
        bundled = made_object("/lib/libx.so", defined=frozenset({"tc_malloc"}))
        self.one(check, made(plugins=(bundled,)), Severity.WARNING, "tcmalloc", "/lib/libx.so")

    def test_deep_binding(self) -> None:
        check = checks_program.check_deep_binding
        deep = made_object(dlopen_flags=frozenset({1, 0x10A}))
        self.one(check, made(deep), Severity.NOTE, "0x10a", "takes the flag out")
        linked = dataclasses.replace(HAKMEM, path="/bin/program")
        library = made_object("/lib/libx.so", dlopen_flags=frozenset({0xA}))
        self.one(check, made(linked, libraries=(LIBC, library)), Severity.WARNING, "/lib/libx.so", "take the flag out")
        self.none(check, made(made_object(dlopen_flags=frozenset({2}))))

    def test_name_spaces(self) -> None:
        user = made_object(imported=frozenset({"dlmopen"}))
        self.one(checks_program.check_deep_binding, made(user), Severity.NOTE, "dlmopen")

    def test_static_tls(self) -> None:
        check = checks_program.check_static_tls
        small = made_object("/lib/small.so", has_static_tls=True, tls_bytes=64)
        large = made_object("/lib/large.so", has_static_tls=True, tls_bytes=1601)
        self.one(check, made(plugins=(small,)), Severity.NOTE, "64 B", "1.6 KiB")
        self.one(check, made(plugins=(small, large)), Severity.WARNING, "large.so", "optional_static_tls=1665")
        wide = {"GLIBC_TUNABLES": "glibc.malloc.check=0:glibc.rtld.optional_static_tls=4096"}
        self.one(check, made(plugins=(small, large), environment=wide), Severity.NOTE)
        # At the start of the process there is room for all.
        self.none(check, made(libraries=(LIBC, large)))

    def test_secure(self) -> None:
        check = checks_program.check_secure
        self.one(check, made(is_set_id=True), Severity.PROBLEM, "set-user-ID", "//hakmem:malloc")
        self.one(check, made(has_capabilities=True), Severity.PROBLEM, "capabilities", "ambient")
        self.one(check, made(process=Process(7, is_secure=True)), Severity.PROBLEM, "AT_SECURE")
        self.none(check, made())

    def test_missing(self) -> None:
        check = checks_program.check_missing
        self.one(check, made(missing=("libgone.so",)), Severity.WARNING, "libgone.so")
        self.one(check, made(absent_preloads=("/no/lib.so",)), Severity.WARNING, "/no/lib.so", "LD_PRELOAD")

    def test_other_settings(self) -> None:
        check = checks_program.check_other_settings
        for name, value, whose in (
            ("MALLOC_ARENA_MAX", "2", "glibc"),
            ("MALLOC_CHECK_", "3", "HAKMEM_ON_ERROR"),
            ("GLIBC_TUNABLES", "glibc.malloc.arena_max=1", "glibc"),
            ("MALLOC_CONF", "narenas:1", "jemalloc"),
            ("MIMALLOC_VERBOSE", "1", "mimalloc"),
            ("TCMALLOC_SAMPLE_PARAMETER", "1", "tcmalloc"),
        ):
            self.one(check, made(environment={name: value}), Severity.NOTE, f"{name}={value}", whose)
        self.none(check, made(environment={"GLIBC_TUNABLES": "glibc.rtld.nns=4", "MALLOC": "x"}))


class SystemChecks(CheckTest):
    def test_page_size(self) -> None:
        check = checks_system.check_page_size
        self.none(check, made())
        wide = dataclasses.replace(HAKMEM, page_bytes=65536)
        self.one(check, made(page_bytes=16384, hakmem=wide), Severity.NOTE, "16 KiB")
        self.one(check, made(page_bytes=65536), Severity.PROBLEM, "64 KiB", "max-page-size=65536")
        self.one(check, made(page_bytes=262144), Severity.PROBLEM, "256 KiB")

    def test_limits(self) -> None:
        check = checks_system.check_limits
        self.one(check, made(limits={"RLIMIT_AS": 100 * MIB}), Severity.WARNING, "RLIMIT_AS is 100 MiB", "memory.max")
        self.one(check, made(limits={"RLIMIT_DATA": 100 * MIB}), Severity.WARNING, "RLIMIT_DATA")
        self.one(check, made(limits={"RLIMIT_AS": 1024 * MIB}), Severity.NOTE)
        near = Process(7, address_bytes=900 * MIB)
        self.one(check, made(limits={"RLIMIT_AS": 1024 * MIB}, process=near), Severity.WARNING, "900 MiB")
        self.none(check, made(limits={"RLIMIT_AS": None, "RLIMIT_DATA": None}))

    def test_locked_memory(self) -> None:
        check = checks_system.check_locked_memory
        locked = Process(7, locked_bytes=3 * MIB)
        self.one(check, made(process=locked, limits={"RLIMIT_MEMLOCK": 8 * MIB}), Severity.WARNING, "3 MiB", "8 MiB")
        user = made_object(imported=frozenset({"mlockall"}))
        self.one(check, made(user), Severity.NOTE, "mlockall", "without limit")
        self.none(check, made())

    def test_overcommit(self) -> None:
        check = checks_system.check_overcommit
        strict = made(overcommit=2, commit_limit=10 * MIB, committed=9 * MIB)
        self.one(check, strict, Severity.WARNING, "9 MiB of 10 MiB")
        self.none(check, made(overcommit=0))
        self.none(check, made(overcommit=1))

    def test_mappings(self) -> None:
        check = checks_system.check_mappings
        self.one(check, made(process=Process(7, mappings=60000)), Severity.WARNING, "60000 mappings of 65530", "262144")
        self.one(check, made(process=Process(7, mappings=60)), Severity.NOTE, "60 mappings")
        self.one(check, made(max_map_count=1000), Severity.WARNING, "1000")
        self.none(check, made())

    def test_huge_pages(self) -> None:
        check = checks_system.check_huge_pages
        self.one(check, made(huge_pages="always"), Severity.NOTE, "HAKMEM_HUGE_PAGES=0")
        self.none(check, made(huge_pages="always", environment={"HAKMEM_HUGE_PAGES": "0"}))
        self.one(check, made(huge_pages="never"), Severity.NOTE, "no transparent")
        self.one(check, made(process=Process(7, huge_pages_off=True)), Severity.NOTE, "PR_SET_THP_DISABLE")
        self.none(check, made())

    def test_container(self) -> None:
        def limited(**limits: Any) -> Subject:
            return made(group=cgroup.Limits(**{"version": 2, "pressure": 0.0, **limits}))

        check = checks_system.check_container
        self.none(check, made())
        self.none(check, limited())
        self.one(check, limited(memory_max=256 * MIB, memory_current=MIB), Severity.NOTE, "256 MiB (memory.max)")
        self.one(check, limited(memory_max=16 * MIB), Severity.WARNING, "little")
        self.one(check, limited(memory_max=256 * MIB, memory_high=128 * MIB), Severity.NOTE, "128 MiB (memory.high)")
        held_up = limited(memory_high=128 * MIB, over_high=5)
        self.one(check, held_up, Severity.WARNING, "held up 5 times")
        self.one(check, limited(memory_max=256 * MIB, oom_kills=2), Severity.WARNING, "killed 2")
        self.one(check, limited(memory_max=256 * MIB, version=1), Severity.NOTE, "memory.limit_in_bytes")
        near = dataclasses.replace(limited(memory_max=256 * MIB, memory_current=250 * MIB), process=Process(7))
        self.one(check, near, Severity.WARNING, "250 MiB")
        self.one(check, limited(cpus=1.5), Severity.NOTE, "1.5 processors")
        self.one(check, limited(pressure=None), Severity.NOTE, "PSI")
        self.one(check, limited(pressure=12.5), Severity.WARNING, "12.5 %")
        self.one(check, limited(version=0, is_hidden=True, pressure=None), Severity.NOTE, "/sys/fs/cgroup")

    def test_filter(self) -> None:
        check = checks_system.check_filter
        self.one(check, made(refused=("madvise",)), Severity.WARNING, "refuses madvise", "allow madvise")
        self.one(check, made(process=Process(7, seccomp=1)), Severity.PROBLEM, "strict")
        self.one(check, made(process=Process(7, seccomp=2)), Severity.NOTE, "filter")
        self.none(check, made())


class ProcessChecks(CheckTest):
    RUNNING = Process(7, hakmem_path="/lib/libhakmem.so", malloc_file="/lib/libhakmem.so")

    def test_active(self) -> None:
        check = checks_process.check_loaded
        self.one(check, made(process=self.RUNNING, version="1.2.3"), Severity.NOTE, "HAKMEM 1.2.3", "malloc is its")
        unseen = dataclasses.replace(self.RUNNING, malloc_file="")
        self.one(check, made(process=unseen), Severity.NOTE, "nothing comes before")
        self.none(check, made())

    def test_loaded_and_not_active(self) -> None:
        other = dataclasses.replace(self.RUNNING, malloc_file="/lib/libfirst.so")
        self.one(checks_process.check_loaded, made(process=other), Severity.PROBLEM, "/lib/libfirst.so")
        # own-allocator says it.
        self.none(checks_process.check_loaded, made(with_malloc("/bin/program"), process=self.RUNNING))

    def test_replaced(self) -> None:
        old = dataclasses.replace(
            self.RUNNING, hakmem_is_deleted=True, malloc_file="/lib/libhakmem.so (deleted)"
        )
        found = list(checks_process.check_loaded(made(process=old)))
        self.assertEqual([finding.severity for finding in found], [Severity.NOTE, Severity.NOTE])
        self.assertIn("restart", found[1].fix)

    def test_absent(self) -> None:
        check = checks_process.check_loaded
        self.one(check, made(process=Process(7)), Severity.PROBLEM, "not loaded", "hakmem run")
        self.none(check, made(HAKMEM, process=Process(7)))

    def test_ignored(self) -> None:
        check = checks_process.check_loaded
        preload = {"LD_PRELOAD": "/no/such/libhakmem.so"}
        secure = made(process=Process(7, is_secure=True), environment=preload)
        self.one(check, secure, Severity.PROBLEM, "ignores it")
        self.one(check, made(process=Process(7), environment=preload), Severity.PROBLEM, "no such file")
        by_name = {"LD_PRELOAD": "libx.so:libhakmem.so"}
        self.one(check, made(process=Process(7), environment=by_name), Severity.PROBLEM, "did not take it")

    def test_valgrind(self) -> None:
        under = dataclasses.replace(self.RUNNING, valgrind=True)
        self.one(checks_process.check_loaded, made(process=under), Severity.PROBLEM, "valgrind")

    def test_two_allocators(self) -> None:
        both = {"LD_PRELOAD": "/lib/libhakmem.so:/usr/lib/libjemalloc.so.2"}
        self.one(checks_process.check_preload_order, made(environment=both), Severity.WARNING, "libjemalloc.so.2")
        self.none(checks_process.check_preload_order, made(environment={"LD_PRELOAD": "/lib/libhakmem.so"}))

    def test_options(self) -> None:
        check = checks_process.check_options
        names = frozenset({"DECAY_MS"})
        good, bad = {"HAKMEM_DECAY_MS": "9"}, {"HAKMEM_DECAY": "9"}
        self.one(check, made(environment=good, option_names=names), Severity.NOTE, "HAKMEM_DECAY_MS=9")
        self.one(check, made(environment=bad, option_names=names), Severity.WARNING, "HAKMEM_DECAY is no option")
        self.one(check, made(environment={"HAKMEM_CONF": "x:1"}, option_names=names), Severity.NOTE, "HAKMEM_CONF=x:1")
        self.assertEqual(list(check(made(environment={"HAKMEM_TEST_LIBC": "musl"}, option_names=names))), [])
        # Where the names are not known, nothing is said against any.
        self.one(check, made(environment=bad), Severity.NOTE, "HAKMEM_DECAY=9")


class Sizes(unittest.TestCase):
    def test_text(self) -> None:
        for size_bytes, text in ((0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * MIB, "3 MiB"), (2**50, "1024 TiB")):
            self.assertEqual(size_text(size_bytes), text)


if __name__ == "__main__":
    unittest.main()
