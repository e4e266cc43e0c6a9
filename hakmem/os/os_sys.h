/* Purpose: the seam between HAKMEM and the kernel: every system call of the allocator is one of these functions, but for the text that it
 *   reads and writes (base/print, config, report, background).
 * Owns: nothing.
 * Invariants:
 *   1. Arguments and results are those of the system call of that name, errno included.
 * Threads: any.  Cost: one system call each.  Fails: as the system call.  Fork: nothing to do.
 *
 * `os_sys_linux.c` is the real thing, with weak definitions; a test that links `//hakmem/os:os_fake` replaces all of
 * them by ones that can be told to fail. Only the os box calls these. */
#ifndef HAKMEM_OS_OS_SYS_H_
#define HAKMEM_OS_OS_SYS_H_

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

/** Anonymous private memory at or near `hint`; MAP_FAILED and errno on failure. */
void* hak_os_sys_mmap(void* hint, size_t bytes, int protection, int flags);
int hak_os_sys_munmap(void* base, size_t bytes);
int hak_os_sys_mprotect(void* base, size_t bytes, int protection);
int hak_os_sys_madvise(void* base, size_t bytes, int advice);
void* hak_os_sys_mremap(void* base, size_t old_bytes, size_t new_bytes, int flags, void* target);
/** Milliseconds of the coarse monotonic clock. */
uint64_t hak_os_sys_clock_ms(void);
/** Nanoseconds of the fine monotonic clock. */
uint64_t hak_os_sys_clock_ns(void);
/** A byte a page, bit 0: in memory. 0, or -1 and errno. */
int hak_os_sys_mincore(const void* base, size_t bytes, unsigned char* pages);
/** Reads the beginning of a file; bytes read, or -1. */
long hak_os_sys_read_file(const char* path, char* text, size_t bytes);
/** Page faults of the process. */
void hak_os_sys_faults(uint64_t* minor, uint64_t* major);
/** Page size in bytes. */
size_t hak_os_sys_page_bytes(void);
/** Sleeps while *word == expected, until a wake or a signal. */
void hak_os_sys_futex_wait(const uint32_t* word, uint32_t expected);
void hak_os_sys_futex_wake_one(const uint32_t* word);

HAK_END_DECLS

#endif /* HAKMEM_OS_OS_SYS_H_ */
