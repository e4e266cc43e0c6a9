"""Checks of a program and its libraries: is it HAKMEM that serves its malloc?"""

from __future__ import annotations

import re
from typing import Iterator

from tools.hakmem_lib.doctor import elf
from tools.hakmem_lib.doctor.finding import NOTHING, Finding, note, problem, size_text, warning
from tools.hakmem_lib.doctor.subject import Subject

_LINK = "link the program with HAKMEM (//hakmem:malloc)"
_OTHER_LIBRARIES = {"libjemalloc": "jemalloc", "libtcmalloc": "tcmalloc", "libmimalloc": "mimalloc"}
# glibc's reserve for libraries with static TLS that come late: elf/dl-tls.c, with 4 name spaces.
_SURPLUS_BASE_BYTES, _SURPLUS_OPTIONAL_BYTES = 1152, 512


def check_script(subject: Subject) -> Iterator[Finding]:
    """What is examined is the interpreter."""
    program = subject.program
    if program.script:
        yield note("script", f"{program.script} is a script; {program.main.path}, which runs it, is examined", NOTHING)


def check_architecture(subject: Subject) -> Iterator[Finding]:
    """The library must be for the same processor."""
    main, hakmem = subject.program.main, subject.hakmem
    if main.bits != 64:
        yield problem(
            "architecture",
            f"a {main.bits}-bit program ({main.machine}); HAKMEM has 64 bits",
            "use a 64-bit build of the program",
        )
    elif hakmem is not None and main.machine != hakmem.machine:
        yield problem(
            "architecture",
            f"the program is for {main.machine}, {hakmem.path} for {hakmem.machine}",
            f"build HAKMEM for {main.machine}, as tools/world does for aarch64",
        )


def check_libc(subject: Subject) -> Iterator[Finding]:
    """The library must be for the same libc, and for one that is not younger."""
    program, hakmem = subject.program, subject.hakmem
    if hakmem is None or hakmem is program.main or program.main.is_static:
        return
    if program.main.libc and hakmem.libc and program.main.libc != hakmem.libc:
        yield problem(
            "libc",
            f"the program uses {program.main.libc}, {hakmem.path} is built for {hakmem.libc}",
            f"build HAKMEM with {program.main.libc}, as tools/world does for musl",
        )
        return
    libc = next((library for library in program.libraries if library.soname == "libc.so.6"), None)
    lacking = sorted(hakmem.needs_versions - libc.has_versions) if libc is not None else []
    if lacking:
        yield problem(
            "libc",
            f"{hakmem.path} needs {', '.join(lacking)}, which {libc.path} does not have",  # type: ignore[union-attr]
            "build HAKMEM on the system with the older glibc",
        )


def check_linked(subject: Subject) -> Iterator[Finding]:
    """HAKMEM itself may be inside."""
    if subject.program.main.has_hakmem:
        yield note(
            "linked-in", f"{subject.program.main.path} has HAKMEM linked in: nothing has to be preloaded", NOTHING
        )


def check_static(subject: Subject) -> Iterator[Finding]:
    """LD_PRELOAD is for the dynamic linker."""
    main = subject.program.main
    if not main.is_static or main.has_hakmem:
        return
    if main.is_go:
        yield problem(
            "static-program",
            f"{main.path} is a static Go program: its memory is the Go runtime's own",
            "none: Go does not use malloc; GOGC and GOMEMLIMIT steer its collector",
        )
        return
    yield problem(
        "static-program", f"{main.path} is linked statically: LD_PRELOAD has no effect", f"{_LINK}, or dynamically"
    )


def check_go(subject: Subject) -> Iterator[Finding]:
    """A Go program uses malloc for what cgo calls only."""
    main = subject.program.main
    if main.is_go and not main.is_static:
        yield note(
            "go",
            f"{main.path} is a Go program: only its C parts use malloc",
            "nothing to do; GOGC and GOMEMLIMIT steer the rest",
        )


def check_sanitizer(subject: Subject) -> Iterator[Finding]:
    """A sanitizer's run-time brings its own malloc, and must come first."""
    for found in subject.program.files:
        if found.sanitizer and not found.name.startswith(("libasan", "libtsan", "liblsan", "libhwasan")):
            yield problem(
                "sanitizer",
                f"{found.path} is built with {found.sanitizer}, whose run-time brings a malloc of its own and must be loaded first",
                "run it without HAKMEM, or build it without the sanitizer",
            )
            return


def check_own_allocator(subject: Subject) -> Iterator[Finding]:
    """Another malloc in the program, or in a library of its own."""
    program = subject.program
    if any(found.sanitizer for found in program.files):
        return
    for found in program.files:
        if found.has_hakmem or _is_libc(found):
            continue
        whose = _whose(found)
        if found is program.main and "malloc" in found.exported:
            yield problem(
                "own-allocator",
                f"{found.path} defines malloc itself ({whose}): it comes before every preloaded library",
                "build it without: often an option such as -DUSE_JEMALLOC=OFF or MALLOC=libc",
            )
        elif found is program.main and "malloc" in found.defined and not found.is_static:
            yield problem(
                "own-allocator",
                f"{found.path} has a malloc inside ({whose}) that it does not share: its calls end there",
                "build it without: often an option such as -DUSE_JEMALLOC=OFF or MALLOC=libc",
            )
        elif "malloc" in found.exported and found.is_symbolic:
            yield warning(
                "own-allocator",
                f"{found.path} defines malloc ({whose}) and binds its own calls to it (-Bsymbolic)",
                "build that library without -Bsymbolic, or without its allocator",
            )
        elif "malloc" in found.exported:
            yield from _library_with_malloc(subject, found, whose)
        elif found.families and not (found is program.main and found.is_static):
            yield warning(
                "own-allocator",
                f"{found.path} has {' and '.join(found.families)} inside, under names of its own: HAKMEM does not see what it allocates there",
                "build it for the system's malloc to have all memory in one place",
            )


def _is_libc(found: elf.Object) -> bool:
    name = found.soname or found.name
    starts = ("libc.so", "ld-linux", "ld-musl", "libc.musl", "libc_malloc_debug")
    return name.startswith(starts)


def _whose(found: elf.Object) -> str:
    by_name = [family for start, family in _OTHER_LIBRARIES.items() if found.name.startswith(start)]
    return ", ".join(found.families or by_name) or "an allocator of unknown name"


def _library_with_malloc(subject: Subject, found: elf.Object, whose: str) -> Iterator[Finding]:
    users = [user for user in subject.program.files if user is not found]
    extras = sorted({name for user in users for name in user.imported & found.exported if name in elf.FAMILIES})
    if extras:
        yield warning(
            "own-allocator",
            f"{found.path} ({whose}) is a library of the program's, which calls {', '.join(extras)} of it: such blocks are not HAKMEM's",
            "build the program for the system's malloc",
        )
    else:
        yield note(
            "own-allocator",
            f"{found.path} ({whose}) is a library of the program's; HAKMEM is loaded before it and serves malloc instead",
            "nothing to do; a build for the system's malloc would save loading it",
        )


def check_deep_binding(subject: Subject) -> Iterator[Finding]:
    """Libraries that are opened so use libc's malloc, whatever is preloaded (docs/adr/0006)."""
    program = subject.program
    for found in program.files:
        flags = elf.dlopen_evidence(found)
        if flags is not None and not _is_libc(found) and not found.has_hakmem:
            what = f"{found.path} opens libraries with RTLD_DEEPBIND (dlopen's flags are {flags:#x})"
            if program.main.has_hakmem:
                yield warning(
                    "deep-binding",
                    f"{what}: these use libc's malloc, and blocks that cross over are unknown to the other side",
                    "take the flag out, or preload libhakmem.so, which does",
                )
            else:
                yield note(
                    "deep-binding",
                    f"{what}: libhakmem.so takes the flag out",
                    "nothing to do; such libraries see the program's symbols first",
                )
        if "dlmopen" in found.imported and not _is_libc(found) and not found.has_hakmem:
            yield note(
                "name-spaces",
                f"{found.path} uses dlmopen: a library in a name space of its own has a libc and a malloc of its own",
                "free such a library's blocks in that library",
            )


def check_static_tls(subject: Subject) -> Iterator[Finding]:
    """Libraries that come late must find room in glibc's reserve."""
    late = [found for found in subject.program.plugins if found.has_static_tls and found.tls_bytes]
    if not late or subject.program.main.libc == "musl":
        return
    tunables = subject.program.environment.get("GLIBC_TUNABLES", "")
    match = re.search(r"glibc\.rtld\.optional_static_tls=(\d+)", tunables)
    reserve = _SURPLUS_BASE_BYTES + (int(match[1]) if match else _SURPLUS_OPTIONAL_BYTES)
    need = sum(found.tls_bytes for found in late)
    names = ", ".join(f"{found.name} {size_text(found.tls_bytes)}" for found in late)
    what = f"libraries that are loaded late need {size_text(need)} of static TLS ({names})"
    what += f", of glibc's reserve of {size_text(reserve)}"
    if need > reserve:
        yield warning("static-tls", what, f"GLIBC_TUNABLES=glibc.rtld.optional_static_tls={need}")
    else:
        yield note("static-tls", what, "nothing to do; GLIBC_TUNABLES=glibc.rtld.optional_static_tls=N enlarges it")


def check_secure(subject: Subject) -> Iterator[Finding]:
    """Programs with more rights than their user ignore LD_PRELOAD and HAKMEM's variables."""
    program, process = subject.program, subject.process
    if process is not None:
        if process.is_secure:
            yield problem(
                "set-user-id",
                "the process runs with more rights than its user (AT_SECURE): it ignores LD_PRELOAD and HAKMEM's variables",
                _LINK,
            )
        return
    if program.is_set_id:
        yield problem(
            "set-user-id",
            f"{program.main.path} is set-user-ID or set-group-ID: it ignores LD_PRELOAD and HAKMEM's variables",
            _LINK,
        )
    if program.has_capabilities:
        yield problem(
            "set-user-id",
            f"{program.main.path} has file capabilities: it ignores LD_PRELOAD and HAKMEM's variables",
            f"{_LINK}, or give the capabilities as ambient ones (AmbientCapabilities= of systemd)",
        )


def check_missing(subject: Subject) -> Iterator[Finding]:
    """Libraries that are not there."""
    for name in subject.program.missing:
        yield warning(
            "missing-library",
            f"{name}, which the program needs, is not to be found",
            "install it, or set LD_LIBRARY_PATH as the program's start does",
        )
    for path in subject.program.absent_preloads:
        yield warning("preload", f"LD_PRELOAD names {path}, which is not there", "correct the path")


_OTHERS_VARIABLES = {
    "MALLOC_CONF": "jemalloc",
    "_RJEM_MALLOC_CONF": "jemalloc",
    "MALLOC_ARENA_MAX": "glibc's malloc",
    "MALLOC_ARENA_TEST": "glibc's malloc",
    "MALLOC_CHECK_": "glibc's malloc",
    "MALLOC_MMAP_MAX_": "glibc's malloc",
    "MALLOC_MMAP_THRESHOLD_": "glibc's malloc",
    "MALLOC_PERTURB_": "glibc's malloc",
    "MALLOC_TOP_PAD_": "glibc's malloc",
    "MALLOC_TRIM_THRESHOLD_": "glibc's malloc",
}
_REPLACED_BY = {
    "MALLOC_TRIM_THRESHOLD_": "HAKMEM_DECAY_MS",
    "MALLOC_ARENA_MAX": "HAKMEM_THREAD_CACHE_BYTES",
    "MALLOC_CHECK_": "HAKMEM_ON_ERROR",
}


def check_other_settings(subject: Subject) -> Iterator[Finding]:
    """Variables that mean nothing to HAKMEM."""
    for name, value in sorted(subject.program.environment.items()):
        whose = _OTHERS_VARIABLES.get(name)
        if name.startswith("MIMALLOC_"):
            whose = "mimalloc"
        elif name.startswith("TCMALLOC_"):
            whose = "tcmalloc"
        elif name == "GLIBC_TUNABLES" and "glibc.malloc." in value:
            whose = "glibc's malloc"
        if whose:
            instead = _REPLACED_BY.get(name)
            fix = f"take it out; {instead} is the nearest that HAKMEM has" if instead else "take it out"
            yield note("other-settings", f"{name}={value} is for {whose}, and has no effect on HAKMEM", fix)


CHECKS = (
    check_script,
    check_architecture,
    check_libc,
    check_linked,
    check_static,
    check_go,
    check_sanitizer,
    check_own_allocator,
    check_secure,
    check_deep_binding,
    check_static_tls,
    check_missing,
    check_other_settings,
)
