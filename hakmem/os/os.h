/* Purpose: memory and time from the operating system, in the shapes the boxes ask for.
 * Owns: the hint for the next aligned mapping; counters of system calls and of mapped bytes.
 * Invariants:
 *   1. Sizes and bases are multiples of the page size; alignments are powers of two, at least one page.
 *   2. A function that fails has changed nothing, and errno is as it was before every call.
 *   3. Mapped memory is zero, private and never executable.
 * Threads: any.  Ordering: none.  Cost: one system call, up to three for an aligned mapping.
 * Fails: NULL or false.  Fork: mappings are inherited copy-on-write; nothing to do. */
#ifndef HAKMEM_OS_OS_H_
#define HAKMEM_OS_OS_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"
#include "hakmem/base/view_part.h"

HAK_BEGIN_DECLS

/** Page size in bytes; 4096 to 65536. */
size_t hak_os_page_bytes(void);

/** Zeroed read-write memory on a page boundary, or NULL. */
void* hak_os_map(size_t size_bytes);

/** As hak_os_map, on a multiple of `alignment`. SuperSlabs are put next to each other where that is possible, so that
 *  the kernel can merge their mappings. */
void* hak_os_map_aligned(size_t size_bytes, size_t alignment);

/** As hak_os_map, between two pages that cannot be touched. The guards cannot be unmapped by themselves. */
void* hak_os_map_guarded(size_t size_bytes);

/** Gives [base, base + size) back. False where the kernel refuses (too many mappings): the range stays mapped, and
 *  the caller keeps it. */
bool hak_os_unmap(void* base, size_t size_bytes);

/** Gives the pages back and keeps the range: it reads as zero afterwards. False: refused, contents unchanged. */
bool hak_os_purge(void* base, size_t size_bytes);

/** Makes the pages resident, for writing, their contents kept. Memory that is being used by nobody else: where the kernel
 *  (before 5.14) cannot do it, a byte of each page that is not there yet is written. */
void hak_os_populate(void* base, size_t size_bytes);

/** Says whether huge pages may back the range. A hint: a refusal is ignored. */
void hak_os_advise_huge(void* base, size_t size_bytes, bool wanted);

/** Grows the mapping at `base` where it lies. True on success. */
bool hak_os_grow_in_place(void* base, size_t old_bytes, size_t new_bytes);

/** Past so many targets that failed moves have left behind, no more are given out. */
enum { HAK_OS_TARGETS_LEFT_MAX = 16 };

/** Address space without memory or access on a multiple of `alignment`, as a target for hak_os_move_to; or NULL, also
 *  when too many moves have failed. */
void* hak_os_reserve_aligned(size_t size_bytes, size_t alignment);

/** Moves the pages of [base, base + old) without copying to the reserved range [target, target + new), which becomes
 *  readable and writable; the old range is gone. False: the old range is as it was, and the target is no longer the
 *  caller's. */
bool hak_os_move_to(void* base, size_t old_bytes, void* target, size_t new_bytes);

/** The beginning of a small file of the system's as text in out[0 .. size), with its end. False: there is none, or it may
 *  not be read. */
bool hak_os_read_file(const char* path, char* out, size_t size);

/** Coarse monotonic clock in milliseconds. */
uint64_t hak_os_now_ms(void);

typedef struct hak_os_counters {
  uint64_t map_calls, unmap_calls, purge_calls, move_calls;
  /** mprotect, and what is said of huge pages. */
  uint64_t protect_calls, advise_calls;
  /** Given back up to now, as ranges of addresses: not all of it need have been resident. */
  uint64_t unmapped_bytes, purged_bytes;
  /** Bytes mapped by this box and not unmapped. */
  uint64_t mapped_bytes;
} hak_os_counters;

hak_os_counters hak_os_read_counters(void);

/** Bytes of the pages of [base, base + size) that are in memory; both may lie amid pages. What is not mapped is not. Pages
 *  that were read and never written count too, although the kernel has one page of zeroes for all of them. */
uint64_t hak_os_resident_bytes(const void* base, size_t size_bytes);

/** Resident bytes of the process, as /proc/PID/smaps_rollup says, or else /proc/PID/statm; 0: neither can be read. */
uint64_t hak_os_rss_bytes(void);

typedef struct hak_os_faults {
  uint64_t minor, major;
} hak_os_faults;

/** Page faults of the process up to now. */
hak_os_faults hak_os_read_faults(void);

/** hak_os_counters.mapped_bytes alone. */
uint64_t hak_os_mapped_bytes(void);

/** Forgets what a process learns once: the page size, where the last SuperSlab lay, how many moves have failed. For
 *  tests. */
void hak_os_reset_for_test(void);

/** For hakmem/view. */
extern const hak_view_part hak_os_view;

HAK_END_DECLS

#endif /* HAKMEM_OS_OS_H_ */
