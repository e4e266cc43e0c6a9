#include "hakmem/os/os.h"

#include <errno.h>
#include <sys/mman.h>

#include "hakmem/base/checks.h"
#include "hakmem/os/latency.h"
#include "hakmem/os/os_sys.h"

/* Sync: atomic relaxed, all of them; they are figures and hints, and order nothing. */
static struct {
  hak_atomic_u64 page_bytes;
  hak_atomic_u64 next_aligned_hint;
  hak_atomic_u64 map_calls, unmap_calls, purge_calls, move_calls, protect_calls, advise_calls;
  hak_atomic_u64 mapped_bytes, unmapped_bytes, purged_bytes;
} known HAK_START_DATA;

/* Targets of failed moves that could not be unmapped. */
static hak_atomic_u32 targets_left;

size_t hak_os_page_bytes(void) {
  uint64_t bytes = hak_u64_load_relaxed(&known.page_bytes);
  if (HAK_UNLIKELY(bytes == 0)) {
    bytes = hak_os_sys_page_bytes();
    hak_u64_store_relaxed(&known.page_bytes, bytes);
  }
  return (size_t)bytes;
}

static void* map_at(void* hint, size_t size_bytes, int protection) {
  const int saved_errno = errno;
  hak_u64_fetch_add_relaxed(&known.map_calls, 1);
  void* base = HAK_LATENCY_OF(HAK_LATENCY_MAP, hak_os_sys_mmap(hint, size_bytes, protection, MAP_NORESERVE));
  errno = saved_errno;
  if (base == MAP_FAILED) return NULL;
  hak_u64_fetch_add_relaxed(&known.mapped_bytes, size_bytes);
  return base;
}

void* hak_os_map(size_t size_bytes) { return map_at(NULL, size_bytes, PROT_READ | PROT_WRITE); }

bool hak_os_unmap(void* base, size_t size_bytes) {
  const int saved_errno = errno;
  hak_u64_fetch_add_relaxed(&known.unmap_calls, 1);
  const bool done = HAK_LATENCY_OF(HAK_LATENCY_UNMAP, hak_os_sys_munmap(base, size_bytes)) == 0;
  errno = saved_errno;
  if (!done) return false;
  hak_u64_fetch_sub_relaxed(&known.mapped_bytes, size_bytes);
  hak_u64_fetch_add_relaxed(&known.unmapped_bytes, size_bytes);
  /* The hole is where the next SuperSlab fits; without this, mapping and unmapping by turns would wander down through
   * the address space. */
  if (size_bytes == HAK_SUPERSLAB_BYTES && ((uintptr_t)base & (HAK_SUPERSLAB_BYTES - 1)) == 0) {
    hak_u64_store_relaxed(&known.next_aligned_hint, (uintptr_t)base + size_bytes);
  }
  return true;
}

/* Maps more than is needed and cuts the ends off. An end that the kernel will not cut off (mapping limit) stays
 * mapped and untouched: address space is lost, memory is not. */
static void* map_trimmed(size_t size_bytes, size_t alignment, int protection) {
  size_t wide;
  if (__builtin_add_overflow(size_bytes, alignment - hak_os_page_bytes(), &wide)) return NULL;
  char* raw = map_at(NULL, wide, protection);
  if (raw == NULL) return NULL;
  char* base = (char*)hak_round_up((uintptr_t)raw, alignment);
  const size_t front = (size_t)(base - raw);
  const size_t back = wide - front - size_bytes;
  if (front != 0) hak_os_unmap(raw, front);
  if (back != 0) hak_os_unmap(base + size_bytes, back);
  return base;
}

static void* map_aligned(size_t size_bytes, size_t alignment, int protection) {
  const bool is_superslab = size_bytes == HAK_SUPERSLAB_BYTES && alignment == HAK_SUPERSLAB_BYTES;
  uintptr_t hint = 0;
  if (is_superslab) {
    /* The kernel hands out addresses downwards: the next SuperSlab fits below the last one. */
    const uint64_t next = hak_u64_load_relaxed(&known.next_aligned_hint);
    if (next > size_bytes) hint = (uintptr_t)next - size_bytes;
  }
  char* base = map_at((void*)hint, size_bytes, protection);
  if (base == NULL) return NULL;
  if (((uintptr_t)base & (alignment - 1)) != 0) {
    hak_os_unmap(base, size_bytes);
    base = map_trimmed(size_bytes, alignment, protection);
    if (base == NULL) return NULL;
  }
  if (is_superslab) hak_u64_store_relaxed(&known.next_aligned_hint, (uintptr_t)base);
  return base;
}

void* hak_os_map_aligned(size_t size_bytes, size_t alignment) {
  return map_aligned(size_bytes, alignment, PROT_READ | PROT_WRITE);
}

void* hak_os_map_guarded(size_t size_bytes) {
  const size_t guard = hak_os_page_bytes();
  const size_t wide = size_bytes + 2 * guard;
  char* raw = map_at(NULL, wide, PROT_NONE);
  if (raw == NULL) return NULL;
  const int saved_errno = errno;
  hak_u64_fetch_add_relaxed(&known.protect_calls, 1);
  const int refused = hak_os_sys_mprotect(raw + guard, size_bytes, PROT_READ | PROT_WRITE);
  errno = saved_errno;
  if (refused) {
    hak_os_unmap(raw, wide);
    return NULL;
  }
  return raw + guard;
}

bool hak_os_purge(void* base, size_t size_bytes) {
  const int saved_errno = errno;
  hak_u64_fetch_add_relaxed(&known.purge_calls, 1);
  const bool done = HAK_LATENCY_OF(HAK_LATENCY_RETURN, hak_os_sys_madvise(base, size_bytes, MADV_DONTNEED)) == 0;
  errno = saved_errno;
  if (done) hak_u64_fetch_add_relaxed(&known.purged_bytes, size_bytes);
  return done;
}

enum { ADVICE_POPULATE_WRITE = 23 }; /* MADV_POPULATE_WRITE, which older headers do not have */

/* Its bytes may be poisoned, and are as they were afterwards. */
__attribute__((no_sanitize("address"))) static void touch(volatile char* page) { *page = *page; }

void hak_os_populate(void* base, size_t size_bytes) {
  const int saved_errno = errno;
  if (hak_os_sys_madvise(base, size_bytes, ADVICE_POPULATE_WRITE) != 0) {
    const size_t page_bytes = hak_os_page_bytes();
    for (size_t at = 0; at < size_bytes; at += page_bytes) touch((volatile char*)base + at);
  }
  errno = saved_errno;
}

void hak_os_advise_huge(void* base, size_t size_bytes, bool wanted) {
  const int saved_errno = errno;
  hak_u64_fetch_add_relaxed(&known.advise_calls, 1);
  (void)hak_os_sys_madvise(base, size_bytes, wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  errno = saved_errno;
}

bool hak_os_grow_in_place(void* base, size_t old_bytes, size_t new_bytes) {
  const int saved_errno = errno;
  hak_u64_fetch_add_relaxed(&known.move_calls, 1);
  const bool done = hak_os_sys_mremap(base, old_bytes, new_bytes, 0, NULL) != MAP_FAILED;
  errno = saved_errno;
  if (done) hak_u64_fetch_add_relaxed(&known.mapped_bytes, new_bytes - old_bytes);
  return done;
}

void* hak_os_reserve_aligned(size_t size_bytes, size_t alignment) {
  if (hak_u32_load_relaxed(&targets_left) >= HAK_OS_TARGETS_LEFT_MAX) return NULL;
  return map_aligned(size_bytes, alignment, PROT_NONE);
}

/* After a failed move. Linux before 6.17 unmaps the target before it finds that the pages cannot move, and another thread
 * may have mapped memory there since. Only a call that was refused at the door has left the target ours to unmap; else
 * the range, which may still be reserved, stays as it is: address space is lost, memory is not. */
static void drop_target(void* target, size_t size_bytes, int reason) {
  if (reason == EPERM || reason == ENOSYS || reason == EINVAL) {
    hak_os_unmap(target, size_bytes);
    return;
  }
  hak_u64_fetch_sub_relaxed(&known.mapped_bytes, size_bytes);
  hak_u32_fetch_add_relaxed(&targets_left, 1);
}

bool hak_os_move_to(void* base, size_t old_bytes, void* target, size_t new_bytes) {
  const int saved_errno = errno;
  hak_u64_fetch_add_relaxed(&known.move_calls, 1);
  const bool done = hak_os_sys_mremap(base, old_bytes, new_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target) != MAP_FAILED;
  const int reason = errno;
  if (done) {
    hak_u64_fetch_sub_relaxed(&known.mapped_bytes, old_bytes);
  } else {
    drop_target(target, new_bytes, reason);
  }
  errno = saved_errno;
  return done;
}

bool hak_os_read_file(const char* path, char* out, size_t size) {
  const int saved_errno = errno;
  const long bytes = hak_os_sys_read_file(path, out, size - 1);
  errno = saved_errno;
  if (bytes < 0) return false;
  out[bytes] = 0;
  return true;
}

uint64_t hak_os_now_ms(void) { return hak_os_sys_clock_ms(); }

uint64_t hak_os_mapped_bytes(void) { return hak_u64_load_relaxed(&known.mapped_bytes); }

hak_os_counters hak_os_read_counters(void) {
  hak_os_counters now;
  now.map_calls = hak_u64_load_relaxed(&known.map_calls);
  now.unmap_calls = hak_u64_load_relaxed(&known.unmap_calls);
  now.purge_calls = hak_u64_load_relaxed(&known.purge_calls);
  now.move_calls = hak_u64_load_relaxed(&known.move_calls);
  now.protect_calls = hak_u64_load_relaxed(&known.protect_calls);
  now.advise_calls = hak_u64_load_relaxed(&known.advise_calls);
  now.unmapped_bytes = hak_u64_load_relaxed(&known.unmapped_bytes);
  now.purged_bytes = hak_u64_load_relaxed(&known.purged_bytes);
  now.mapped_bytes = hak_u64_load_relaxed(&known.mapped_bytes);
  return now;
}

void hak_os_reset_for_test(void) {
  hak_u64_store_relaxed(&known.page_bytes, 0);
  hak_u64_store_relaxed(&known.next_aligned_hint, 0);
  hak_u32_store_relaxed(&targets_left, 0);
}

#define KNOWN __typeof__(known)
#define ROWS                                                                                                       \
  HAK_VIEW_STRUCTURE("os_counters", KNOWN)                                                                         \
  HAK_VIEW_FIELDS("os_counters", KNOWN, page_bytes, map_calls, unmap_calls, purge_calls, move_calls, mapped_bytes) \
  HAK_VIEW_FIELDS("os_counters", KNOWN, protect_calls, advise_calls, unmapped_bytes, purged_bytes)
#define ROOTS(ROOT) ROOT("os_counters", known)
HAK_VIEW_PART(hak_os_view, ROWS, ROOTS);
