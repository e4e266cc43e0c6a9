"""Checks of the machine and of the limits of the process."""

from __future__ import annotations

from typing import Iterator

from tools.hakmem_lib.doctor.finding import NOTHING, Finding, note, problem, size_text, warning
from tools.hakmem_lib.doctor.subject import Subject

_MIB = 1024 * 1024
_PAGE_MIN_BYTES, _PAGE_MAX_BYTES = 4096, 65536
_MAP_COUNT_USUAL = 65530
_NEAR = 0.8  # of a limit
# Less address space than this is soon used up by what is mapped for threads and descriptors.
_ADDRESS_SPACE_LOW_BYTES = 512 * _MIB
_CONTAINER_LOW_BYTES = 32 * _MIB


def check_page_size(subject: Subject) -> Iterator[Finding]:
    """HAKMEM knows pages of 4 to 64 KiB; its file must be laid out for them."""
    page_bytes, hakmem = subject.machine.page_bytes, subject.hakmem
    if not _PAGE_MIN_BYTES <= page_bytes <= _PAGE_MAX_BYTES:
        yield problem(
            "page-size",
            f"the system's pages have {size_text(page_bytes)}; HAKMEM knows 4 to 64 KiB",
            "boot a kernel with pages of 4, 16 or 64 KiB",
        )
    elif hakmem is not None and hakmem.page_bytes < page_bytes:
        yield problem(
            "page-size",
            f"{hakmem.path} is laid out for pages of {size_text(hakmem.page_bytes)} at most, the system's have {size_text(page_bytes)}",
            f"link it with -Wl,-z,max-page-size={page_bytes}",
        )
    elif page_bytes > _PAGE_MIN_BYTES:
        yield note(
            "page-size",
            f"the system's pages have {size_text(page_bytes)}",
            "nothing to do; memory goes back in such steps",
        )


def check_limits(subject: Subject) -> Iterator[Finding]:
    """Address space is what HAKMEM uses more of than memory."""
    for name in ("RLIMIT_AS", "RLIMIT_DATA"):
        limit = subject.machine.limits.get(name)
        if limit is None:
            continue
        used = subject.process.address_bytes if subject.process is not None else 0
        what = f"{name} is {size_text(limit)}"
        if used and name == "RLIMIT_AS":
            what += f", of which {size_text(used)} are used"
        if limit < _ADDRESS_SPACE_LOW_BYTES or (name == "RLIMIT_AS" and used > limit * _NEAR):
            yield warning(
                "limits",
                f"{what}: HAKMEM maps address space by 2 MiB, of which only what is touched costs memory",
                "limit memory with a control group (memory.max) instead, or raise it (ulimit -v, ulimit -d)",
            )
        else:
            yield note("limits", what, "nothing to do; memory.max of a control group limits memory itself")


def check_locked_memory(subject: Subject) -> Iterator[Finding]:
    """Pages that are locked cannot go back."""
    process = subject.process
    limit = subject.machine.limits.get("RLIMIT_MEMLOCK")
    allowed = "without limit" if limit is None else f"up to {size_text(limit)}"
    if process is not None and process.locked_bytes:
        yield warning(
            "locked-memory",
            f"{size_text(process.locked_bytes)} are locked ({allowed}): locked pages do not go back to the system, and mappings beyond the limit fail",
            "lock with MCL_ONFAULT or only what must not wait, or raise RLIMIT_MEMLOCK (ulimit -l)",
        )
        return
    users = [found for found in subject.program.files if "mlockall" in found.imported and not found.has_hakmem]
    if users:
        yield note(
            "locked-memory",
            f"{users[0].path} can lock all memory (mlockall, {allowed}); locked pages do not go back to the system",
            "nothing to do unless it does; MCL_ONFAULT locks what is touched only",
        )


def check_overcommit(subject: Subject) -> Iterator[Finding]:
    """Where every mapping counts, whether touched or not."""
    machine = subject.machine
    if machine.overcommit != 2:
        return
    what = "vm.overcommit_memory is 2: every mapping counts, touched or not"
    if machine.commit_limit and machine.committed:
        what += f"; {size_text(machine.committed)} of {size_text(machine.commit_limit)} are committed"
    yield warning(
        "overcommit",
        what,
        "sysctl vm.overcommit_memory=0, or a larger vm.overcommit_ratio; HAKMEM_SUPERSLAB_CACHE=0 keeps less mapped",
    )


def check_mappings(subject: Subject) -> Iterator[Finding]:
    """The kernel counts mappings; each thread, library and whale has some."""
    limit = subject.machine.max_map_count
    if limit is None:
        return
    used = subject.process.mappings if subject.process is not None else 0
    fix = f"sysctl vm.max_map_count={max(262144, limit * 4)}"
    if used > limit * _NEAR:
        yield warning(
            "mappings",
            f"{used} mappings of {limit} (vm.max_map_count): beyond that nothing can be mapped or given back",
            fix,
        )
    elif limit < _MAP_COUNT_USUAL:
        yield warning("mappings", f"vm.max_map_count is {limit}, less than the usual {_MAP_COUNT_USUAL}", fix)
    elif used:
        yield note("mappings", f"{used} mappings of {limit} (vm.max_map_count)", NOTHING)


def check_huge_pages(subject: Subject) -> Iterator[Finding]:
    """The system's mode, and what it means for HAKMEM."""
    mode = subject.machine.huge_pages
    setting = subject.program.environment.get("HAKMEM_HUGE_PAGES", "1")
    if subject.process is not None and subject.process.huge_pages_off:
        yield note("huge-pages", "the process has huge pages switched off (PR_SET_THP_DISABLE)", NOTHING)
    elif mode == "always" and setting != "0":
        yield note(
            "huge-pages",
            "transparent huge pages are on for all (always): a heap above 64 MiB may get them, which saves time and costs memory",
            "nothing to do; HAKMEM_HUGE_PAGES=0 keeps HAKMEM's memory out of it",
        )
    elif mode in ("never", ""):
        yield note(
            "huge-pages",
            "the system has no transparent huge pages",
            "nothing to do; a large heap may gain some percent from mode `always`",
        )


def check_container(subject: Subject) -> Iterator[Finding]:
    """Limits of memory and processors, and how near they are."""
    group = subject.machine.group
    if group.is_hidden:
        yield note(
            "container",
            "the process is in a control group whose files are not to be seen: limits are unknown",
            "mount /sys/fs/cgroup in the container",
        )
        return
    if group.memory is not None:
        yield from _memory_limit(subject)
    if group.cpus is not None:
        yield note("container", f"the control group allows {group.cpus:g} processors", NOTHING)
    if group.version and group.pressure is None:
        yield note(
            "pressure",
            "the kernel does not tell memory pressure (PSI): only nearness to the limit is seen",
            "boot with psi=1, where the kernel has it",
        )
    elif group.pressure is not None and group.pressure >= 1:
        yield warning(
            "pressure",
            f"in {group.pressure:g} % of the last 10 s somebody waited for memory",
            "raise the memory limit, or use less",
        )


def _memory_limit(subject: Subject) -> Iterator[Finding]:
    group = subject.machine.group
    limit = group.memory or 0
    name = "memory.high" if group.memory_high == limit else "memory.max"
    if group.version == 1:
        name = "memory.limit_in_bytes"
    used = group.memory_current or 0
    what = f"the control group limits memory to {size_text(limit)} ({name}), of which {size_text(used)} are used"
    fix = "raise the limit, or lower HAKMEM_THREAD_CACHE_BYTES and HAKMEM_DECAY_MS"
    if group.oom_kills:
        yield warning("container", f"{what}; the kernel has killed {group.oom_kills} of its processes for it", fix)
    elif group.over_high and group.memory_high == limit:
        yield warning("container", f"{what}; its processes were held up {group.over_high} times for it", fix)
    elif subject.process is not None and used > limit * _NEAR:
        yield warning("container", what, fix)
    elif limit < _CONTAINER_LOW_BYTES:
        yield warning("container", f"{what}: little for a program with several threads", fix)
    else:
        yield note("container", what, NOTHING)


def check_filter(subject: Subject) -> Iterator[Finding]:
    """What a sandbox refuses."""
    if subject.machine.refused:
        names = ", ".join(subject.machine.refused)
        yield warning(
            "seccomp",
            f"a filter refuses {names}: what HAKMEM cannot give back, it keeps",
            f"allow {names} in the filter (seccomp profile)",
        )
    process = subject.process
    if process is not None and process.seccomp == 1:
        yield problem(
            "seccomp",
            "the process is in seccomp's strict mode: it cannot map memory",
            "map what it needs before, or use a filter that allows mmap, munmap, madvise and mremap",
        )
    elif process is not None and process.seccomp == 2:
        yield note(
            "seccomp",
            "a seccomp filter is over the process",
            "see that it allows mmap, munmap, mprotect, madvise, mremap and futex",
        )


CHECKS = (
    check_page_size,
    check_limits,
    check_locked_memory,
    check_overcommit,
    check_mappings,
    check_huge_pages,
    check_container,
    check_filter,
)
