/* What the boxes under the explorer stand on: descriptors from one array, SuperSlabs that are addresses and nothing else
 * (no box touches a block), a kernel that never refuses. Reports of misuse and broken invariants end the run. */
#include <sys/mman.h>

#include "hakmem/base/checks.h"
#include "hakmem/metadata/metadata.h"
#include "hakmem/os/latency.h"
#include "hakmem/os/os.h"
#include "hakmem/os/os_sys.h"
#include "hakmem/testing/schedules/doors.h"

enum { ARENA_BYTES = 1024 * 1024, LEAVES_MAX = 4 };

static char arena[ARENA_BYTES] __attribute__((aligned(4096)));
static char* leaves;
static hak_atomic_u64 arena_used, leaves_used, leaves_returned, superslabs_used;
static hak_lock arena_lock;

hak_lock* hak_metadata_lock(void) { return &arena_lock; }

void* hak_metadata_alloc(size_t size_bytes, size_t alignment) {
  const uint64_t wide = hak_round_up(size_bytes, 4096);
  (void)alignment;
  const uint64_t start = hak_u64_fetch_add_relaxed(&arena_used, wide);
  return start + wide <= ARENA_BYTES ? arena + start : NULL;
}

void* hak_os_map(size_t size_bytes) {
  const uint64_t n = hak_u64_fetch_add_relaxed(&leaves_used, 1);
  return n < LEAVES_MAX ? leaves + n * size_bytes : NULL;
}

bool hak_os_unmap(void* base, size_t size_bytes) {
  (void)base;
  if (size_bytes != HAK_SUPERSLAB_BYTES) hak_u64_fetch_add_relaxed(&leaves_returned, 1);
  return true;
}

void* hak_os_map_aligned(size_t size_bytes, size_t alignment) {
  (void)alignment;
  const uint64_t n = hak_u64_fetch_add_relaxed(&superslabs_used, 1);
  return (char*)(uintptr_t)(DOOR_MEMORY_BASE + n * size_bytes);
}

/* One word stands for what a program keeps in a block, or in a unit of the first two SuperSlabs. */
static uint64_t blocks[8];
static uint64_t units[2 * HAK_SUPERSLAB_UNITS];

static uint64_t* content_of(const void* base) {
  const uint64_t unit = ((uint64_t)(uintptr_t)base - DOOR_MEMORY_BASE) / HAK_UNIT_BYTES;
  if (unit >= sizeof units / sizeof units[0]) hak_die("no such unit", base);
  return &units[unit];
}

size_t hak_os_page_bytes(void) { return 4096; }

uint64_t hak_os_resident_bytes(const void* base, size_t size_bytes) {
  (void)base;
  return size_bytes;
}

bool hak_os_purge(void* base, size_t size_bytes) {
  if ((char*)base >= arena && (char*)base < arena + ARENA_BYTES) return true; /* bitmaps of nobody's units */
  for (size_t done = 0; done < size_bytes; done += HAK_UNIT_BYTES) *content_of((char*)base + done) = 0;
  return true;
}

void hak_os_populate(void* base, size_t size_bytes) { (void)base, (void)size_bytes; }

void hak_os_advise_huge(void* base, size_t size_bytes, bool wanted) { (void)base, (void)size_bytes, (void)wanted; }

void hak_os_sys_futex_wait(const uint32_t* word, uint32_t expected) { hak_scheduled_sleep(word, expected); }

void hak_os_sys_futex_wake_one(const uint32_t* word) { hak_scheduled_wake(word); }

/* Off. */
hak_atomic_u32 hak_latency_is_on;

uint64_t hak_latency_now_ns(void) { return 1; }

void hak_latency_note(hak_latency_cause cause, uint64_t start_ns) { (void)cause, (void)start_ns; }

void hak_die(const char* what, const void* ptr) {
  (void)ptr;
  hak_scheduled_fail(what);
  __builtin_trap();
}

void hak_report_misuse(hak_misuse misuse, const void* ptr, size_t block_bytes) {
  (void)misuse, (void)ptr, (void)block_bytes;
  hak_scheduled_fail("misuse is reported, and there was none");
}

void hak_set_error_action(hak_error_action action) { (void)action; }

void hak_hold_aborts(void) {} /* nothing here goes on after a report */

void hak_release_aborts(void) {}

/* --- doors --- */

/* Not reported: after a scenario the descriptors' memory is taken back as a whole. */
__attribute__((no_sanitize("thread"))) void door_reset_fakes(void) {
  if (leaves == NULL) {
    leaves = (char*)mmap(NULL, (size_t)LEAVES_MAX << 20, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  }
  for (size_t i = 0; i < ARENA_BYTES; i++) arena[i] = 0;
}

uint64_t door_leaves_mapped(void) { return hak_u64_load_relaxed(&leaves_used); }

uint64_t door_leaves_returned(void) { return hak_u64_load_relaxed(&leaves_returned); }

void door_use_blocks(uint64_t mask) {
  for (uint32_t i = 0; i < 8; i++) {
    if ((mask >> i & 1) != 0) blocks[i]++;
  }
}

void door_use_units(const hak_slab* slab, uint32_t count, bool zeroed) {
  for (uint32_t i = 0; i < count; i++) {
    uint64_t* content = content_of(slab->base + (size_t)i * HAK_UNIT_BYTES);
    if (zeroed && *content != 0) hak_scheduled_fail("a unit that is said to be zero is not");
    *content = 1;
  }
}

static hak_atomic_u64 flag;

void door_set_flag(uint64_t value) { hak_u64_exchange_seq(&flag, value); }

uint64_t door_wait_for_flag(void) {
  for (;;) {
    const uint64_t value = hak_u64_load_acquire(&flag);
    if (value != 0) return value;
    hak_cpu_relax();
  }
}
