/* Purpose: an operating system that does as a test says: each call of os_sys.h can be made to fail, the clock stands
 *   still until it is told to move, memory can run out, and what is mapped is on record.
 * Owns: strong definitions of every function of os_sys.h, which replace those of os_sys_linux.c in a program that links
 *   `//hakmem/os:os_fake`; the record of live mappings.
 * Invariants:
 *   1. Without a script every call reaches the kernel and its result comes back unchanged.
 *   2. A call that is made to fail does not reach the kernel: nothing has changed but errno. Except that a move to a fixed
 *      target has unmapped the target, as in Linux before 6.17, unless the error is EPERM, ENOSYS or EINVAL.
 *   3. The record holds the bytes that HAKMEM has mapped, and no others. To unmap, protect, advise or move bytes that
 *      are not on record prints one line and aborts: they are somebody else's.
 *   4. Memory that hak_os_fake_answer_with has promised is not there: to unmap, protect or advise it succeeds, to move it
 *      fails with ENOMEM, and to touch it crashes.
 *   5. Bases and results are multiples of the page size in force, and a base that is not fails with EINVAL, so that code
 *      which assumes 4 KiB pages fails on a machine that has them.
 * Threads: any; one mutex, never held while the observer runs.
 * Ordering: the mutex.  Cost: O(mappings) a call.
 * Fails: as told. Aborts when there are more separate ranges than it can record (HAK_OS_FAKE_RANGES_MAX).
 * Fork: safe; the child inherits scripts, counts and record. */
#ifndef HAKMEM_OS_OS_FAKE_H_
#define HAKMEM_OS_OS_FAKE_H_

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

typedef enum hak_os_fake_call {
  HAK_OS_FAKE_MMAP,
  HAK_OS_FAKE_MUNMAP,
  HAK_OS_FAKE_MPROTECT,
  HAK_OS_FAKE_MADVISE,
  HAK_OS_FAKE_MREMAP,
  HAK_OS_FAKE_CALL_COUNT
} hak_os_fake_call;

enum { HAK_OS_FAKE_RANGES_MAX = 32768, HAK_OS_FAKE_FILES_MAX = 32 };

/** Back to passing everything on: no scripts, no limit, no observer, counts 0, the kernel's clock and page size. The
 *  record of mappings stays. */
void hak_os_fake_reset(void);

/* Scripts: one a kind of call; a new one replaces the old. `nth` counts from now, the next call is 1. `error` is the
 * errno that the call fails with. */

void hak_os_fake_fail_nth(hak_os_fake_call call, uint64_t nth, int error);
/** The n-th and all after it. */
void hak_os_fake_fail_from(hak_os_fake_call call, uint64_t nth, int error);
/** Every k-th. */
void hak_os_fake_fail_every(hak_os_fake_call call, uint64_t kth, int error);
void hak_os_fake_fail_never(hak_os_fake_call call);

/** Calls of this kind since the reset, failed ones too. */
uint64_t hak_os_fake_calls(hak_os_fake_call call);
/** Of these, how many were made to fail, by a script or by the limit. */
uint64_t hak_os_fake_failures(hak_os_fake_call call);

/** "mmap" and so on. */
const char* hak_os_fake_call_name(hak_os_fake_call call);

/** Stops the clock at `now_ms`. */
void hak_os_fake_set_clock_ms(uint64_t now_ms);
/** Moves the stopped clock on. */
void hak_os_fake_advance_clock_ms(uint64_t ms);

/** The page size from now on: a power of two from the kernel's to 64 KiB. The os box asks once in its life, so this
 *  comes before everything else. 0: the kernel's. */
void hak_os_fake_set_page_bytes(size_t page_bytes);

/** Calls that would take the record above `limit_bytes` fail with ENOMEM, as under RLIMIT_AS. 0: no limit. */
void hak_os_fake_set_limit_bytes(uint64_t limit_bytes);

/** From now on the kernel ignores hints and puts mappings at `base`, `base + step_bytes` and so on, past what is there
 *  already; multiples of 2 MiB. 0: where it likes. */
void hak_os_fake_spread(uintptr_t base, size_t step_bytes);

/** From now on mappings of `min_bytes` and more lie one behind the other from `base` on, wherever that is: invariant 4.
 *  A `base` of 0 ends it. What lies there already must have been unmapped before it is called again. */
void hak_os_fake_answer_with(uintptr_t base, size_t min_bytes);

/** From now on the file of a control group at `path` (/proc/self/cgroup, /sys/fs/cgroup/...) holds `text`; NULL: there is
 *  none. Both strings stay the caller's and must live on. There are no such files but these, HAK_OS_FAKE_FILES_MAX at most, and
 *  a reset removes them. Other files are the kernel's. */
void hak_os_fake_set_file(const char* path, const char* text);
/** Such files that were read since the reset, or would have been if there were any. */
uint64_t hak_os_fake_file_reads(void);

/** Bytes on record. */
uint64_t hak_os_fake_mapped_bytes(void);
/** Separate ranges on record. */
uint64_t hak_os_fake_mapped_ranges(void);
/** True when the whole of [base, base + size) is on record. */
bool hak_os_fake_is_mapped(const void* base, size_t size_bytes);

/** Calls `observer` before each call of a kind listed above, even one that will fail. NULL: nobody. */
void hak_os_fake_set_observer(void (*observer)(hak_os_fake_call call, void* base, size_t size_bytes));

HAK_END_DECLS

#endif /* HAKMEM_OS_OS_FAKE_H_ */
