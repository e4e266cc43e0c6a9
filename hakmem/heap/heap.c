#include "hakmem/heap/heap.h"

#include <string.h>

#include "hakmem/base/checks.h"
#include "hakmem/base/thread.h"
#include "hakmem/config/config.h"
#include "hakmem/metadata/metadata.h"

hak_heap hak_heap_empty HAK_ALIGNED(HAK_CACHE_LINE_BYTES);

__thread hak_heap* hak_heap_current __attribute__((tls_model("initial-exec"))) = &hak_heap_empty;
__thread hak_heap* hak_heap_mallocs __attribute__((tls_model("initial-exec"))) = &hak_heap_empty;
__thread hak_heap* hak_heap_frees __attribute__((tls_model("initial-exec"))) = &hak_heap_empty;

#define OFFSET(n) HAK_BIN_OFFSET(HAK_SIZE_CLASS_OF_TINY(n))
const uint16_t hak_heap_tiny_offset[HAK_SIZE_CLASS_TINY_MAX_BYTES / 16 + 1] = {
    /* clang-format off */
    OFFSET(0), OFFSET(16), OFFSET(32), OFFSET(48), OFFSET(64),
    OFFSET(80), OFFSET(96), OFFSET(112), OFFSET(128), OFFSET(144),
    OFFSET(160), OFFSET(176), OFFSET(192), OFFSET(208), OFFSET(224),
    OFFSET(240), OFFSET(256), OFFSET(272), OFFSET(288), OFFSET(304),
    OFFSET(320), OFFSET(336), OFFSET(352), OFFSET(368), OFFSET(384),
    OFFSET(400), OFFSET(416), OFFSET(432), OFFSET(448), OFFSET(464),
    OFFSET(480), OFFSET(496), OFFSET(512), OFFSET(528), OFFSET(544),
    OFFSET(560), OFFSET(576), OFFSET(592), OFFSET(608), OFFSET(624),
    OFFSET(640), OFFSET(656), OFFSET(672), OFFSET(688), OFFSET(704),
    OFFSET(720), OFFSET(736), OFFSET(752), OFFSET(768), OFFSET(784),
    OFFSET(800), OFFSET(816), OFFSET(832), OFFSET(848), OFFSET(864),
    OFFSET(880), OFFSET(896), OFFSET(912), OFFSET(928), OFFSET(944),
    OFFSET(960), OFFSET(976), OFFSET(992), OFFSET(1008), OFFSET(1024),
    /* clang-format on */
};
#undef OFFSET

/* Entries (below, last] are the bin of class c, the smallest that holds `last` steps. */
#define STEP HAK_HEAP_MID_STEP_BYTES
#define CLASS(below, last, c) [(below) / STEP + 1 ...(last) / STEP] = HAK_BIN_OFFSET(c)
#define DOUBLING(base, c)                                                               \
  CLASS(base, 5 * ((base) / 4), c), CLASS(5 * ((base) / 4), 6 * ((base) / 4), (c) + 1), \
      CLASS(6 * ((base) / 4), 7 * ((base) / 4), (c) + 2), CLASS(7 * ((base) / 4), 2 * (base), (c) + 3)
const uint16_t hak_heap_mid_offset[HAK_SIZE_CLASS_MAX_BYTES / STEP + 1] = {
    DOUBLING(1024, 20),
    DOUBLING(2048, 24),
    DOUBLING(4096, 28),
    DOUBLING(8192, 32),
    DOUBLING(16384, 36),
    CLASS(32 * 1024, HAK_UNIT_BYTES, HAK_SIZE_CLASS_SHARED_COUNT),
    CLASS(HAK_UNIT_BYTES, 2 * HAK_UNIT_BYTES, HAK_SIZE_CLASS_SHARED_COUNT + 1),
    CLASS(2 * HAK_UNIT_BYTES, 3 * HAK_UNIT_BYTES, HAK_SIZE_CLASS_SHARED_COUNT + 2),
    CLASS(3 * HAK_UNIT_BYTES, 4 * HAK_UNIT_BYTES, HAK_SIZE_CLASS_SHARED_COUNT + 3),
};
#undef DOUBLING
#undef CLASS
#undef STEP

HAK_STATIC_ASSERT(HAK_HEAP_BINS_BYTES <= UINT16_MAX, "a bin offset fits the table");
HAK_STATIC_ASSERT(sizeof(hak_heap) <= 3 * 4096, "a heap is three pages");

static struct {
  hak_lock lock;
  hak_heap* parked;      /* Sync: lock */
  uint32_t active_count; /* Sync: lock; heaps being made included */
  hak_atomic_ptr all;    /* Sync: lock writes (release), any reads (acquire) */
} heaps HAK_START_DATA;

hak_atomic_u32 hak_heap_parked_total HAK_START_DATA;
hak_atomic_u32 hak_heap_homing_total HAK_START_DATA;

static hak_lock common_lock HAK_START_DATA;
static hak_lock named_lock HAK_START_DATA;
hak_heap hak_heap_common_place HAK_ALIGNED(4096); /* Sync: common_lock */

hak_lock* hak_heap_common_lock(void) { return &common_lock; }

hak_lock* hak_heap_named_lock(void) { return &named_lock; }

hak_lock* hak_heap_parked_lock(void) { return &heaps.lock; }

hak_heap* hak_heap_first_parked_locked(void) { return heaps.parked; }

hak_heap* hak_heap_first(void) { return (hak_heap*)hak_ptr_load_acquire(&heaps.all); }

static void bump_locked(hak_atomic_u32* count, uint32_t by) {
  hak_u32_store_relaxed(count, hak_u32_load_relaxed(count) + by);
}

static void park_locked(hak_heap* heap) {
  heaps.active_count--;
  hak_u32_store_relaxed(&heap->state, HAK_HEAP_PARKED);
  heap->next_parked = heaps.parked;
  heaps.parked = heap;
  bump_locked(&hak_heap_parked_total, 1);
  bump_locked(&hak_heap_homing_total, 1);
}

void hak_heap_park(hak_heap* heap) {
  HAK_ASSERT(hak_u32_load_relaxed(&heap->state) == HAK_HEAP_ACTIVE);
  hak_lock_take(&heaps.lock);
  park_locked(heap);
  hak_lock_give(&heaps.lock);
}

static hak_heap* unpark_locked(void) {
  hak_heap* heap = heaps.parked;
  if (heap == NULL) return NULL;
  heaps.parked = heap->next_parked;
  heap->next_parked = NULL;
  bump_locked(&hak_heap_parked_total, -1u);
  bump_locked(&hak_heap_homing_total, -1u);
  hak_u32_store_relaxed(&heap->state, HAK_HEAP_ACTIVE);
  return heap;
}

static hak_heap* new_heap(hak_heap_state state, const char* name) {
  hak_heap* heap = (hak_heap*)hak_metadata_alloc(sizeof(hak_heap), HAK_HEAP_ALIGN_BYTES);
  if (heap == NULL) return NULL;
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) heap->mailboxes[c].heap = heap;
  for (uint32_t i = 0; i + 1 < HAK_HEAP_NAME_BYTES && name[i] != 0; i++) heap->name[i] = name[i];
  hak_u32_store_relaxed(&heap->state, state);
  hak_lock_take(&heaps.lock);
  if (state == HAK_HEAP_NAMED) bump_locked(&hak_heap_homing_total, 1);
  heap->next_heap = hak_heap_first();
  hak_ptr_store_release(&heaps.all, heap); /* pairs with hak_heap_first */
  hak_lock_give(&heaps.lock);
  return heap;
}

hak_heap* hak_heap_make_named(const char* name) { return new_heap(HAK_HEAP_NAMED, name); }

static void set_empty(hak_bin* bin, uint32_t cap) {
  bin->end = bin->begin + cap;
  *bin->end = NULL;
  hak_bin_set_top(bin, bin->end);
}

void hak_heap_start_cache(hak_heap* heap, hak_bin* bin) {
  const uint32_t size_class = bin->size_class;
  HAK_ASSERT(bin->top == bin->end);
  hak_mid_ace_refund(&heap->budget, size_class, hak_bin_cap(bin));
  if (bin->begin == NULL) bin->begin = bin->near_slots;
  const uint32_t near = HAK_BIN_NEAR_SLOTS(size_class);
  const uint64_t most = hak_config_get(HAK_OPTION_CACHE_BLOCKS);
  set_empty(bin, hak_mid_ace_start(&heap->budget, size_class, most < near ? (uint32_t)most : near));
}

/* Slots once had are kept. */
bool hak_heap_set_cap(hak_bin* bin, uint32_t cap) {
  const uint32_t size_class = bin->size_class;
  const uint32_t held = hak_bin_held(bin);
  HAK_ASSERT(held <= cap);
  void** begin = bin->begin;
  uint32_t slots_at = bin->slots_at;
  while (cap > hak_bin_room(size_class, slots_at)) slots_at++; /* bounded: the last has room for every cap */
  if (slots_at != bin->slots_at) {
    begin = (void**)hak_metadata_alloc((hak_bin_room(size_class, slots_at) + 1) * sizeof(void*), HAK_CACHE_LINE_BYTES);
    if (begin == NULL) return false;
    bin->slots_at = (uint8_t)slots_at;
  }
  memmove(begin + cap - held, bin->top, held * sizeof(void*));
  bin->begin = begin;
  set_empty(bin, cap);
  hak_bin_set_top(bin, bin->end - held);
  return true;
}

/* The thread before may have had a larger budget: caches that are beyond the present one start anew. Those that hold
 * blocks, as a fork may leave them, shrink when they are idle. */
static void set_limit(hak_heap* heap, uint64_t limit_bytes) {
  hak_mid_ace_budget* budget = &heap->budget;
  budget->limit_bytes = limit_bytes;
  if (budget->granted_bytes <= limit_bytes) return;
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_bin* bin = hak_heap_bin(heap, c);
    if (bin->stride == 0 || bin->top != bin->end) continue;
    hak_mid_ace_refund(budget, c, hak_bin_cap(bin));
    set_empty(bin, 0);
  }
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_bin* bin = hak_heap_bin(heap, c);
    if (bin->stride == 0 || bin->begin != bin->end) continue;
    hak_heap_start_cache(heap, bin);
  }
}

void hak_heap_set_exchanging(hak_heap* heap, bool is_exchanging) {
  heap->is_exchanging = is_exchanging;
  if (heap != hak_heap_current) return; /* a heap that is used under a lock */
  hak_heap_turn_frees(heap, hak_heap_frees == heap || heap->frees_exchange);
}

hak_heap* hak_heap_acquire(uint64_t cache_limit_bytes) {
  hak_lock_take(&heaps.lock);
  hak_heap* heap = unpark_locked();
  const uint32_t active_count = ++heaps.active_count;
  const uint64_t limit_bytes = hak_mid_ace_limit(cache_limit_bytes, active_count);
  /* Under the lock: the child of a fork would park the heap with a cache that is amid its new start. */
  if (heap != NULL) set_limit(heap, limit_bytes);
  hak_lock_give(&heaps.lock);
  if (heap == NULL) heap = new_heap(HAK_HEAP_ACTIVE, "");
  if (heap != NULL) {
    heap->budget.limit_bytes = limit_bytes;
    heap->foreign_frees = 0;
    heap->is_exchanging = false;
    heap->nth = active_count;
    heap->limits_seen = 0;
    heap->thread_pointer = hak_thread_pointer();
    return heap;
  }
  hak_lock_take(&heaps.lock);
  heaps.active_count--;
  hak_lock_give(&heaps.lock);
  return NULL;
}

/* The thread may have vanished amid a hit, before it came to store top. */
static void settle_bins(hak_heap* heap) {
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_bin* bin = hak_heap_bin(heap, c);
    if (bin->stride != 0 && bin->first != *bin->top) bin->first = *bin->top;
  }
}

void hak_heap_orphan_others_locked(hak_heap* mine) {
  uint32_t active_count = 0; /* anew: a thread may have vanished between its count and its heap */
  for (hak_heap* heap = hak_heap_first(); heap != NULL; heap = heap->next_heap) {
    if (hak_u32_load_relaxed(&heap->state) != HAK_HEAP_ACTIVE) continue;
    if (heap == mine) {
      active_count = 1;
    } else if (hak_u32_load_relaxed(&heap->in_slow_path) != 0) {
      hak_u32_store_relaxed(&heap->state, HAK_HEAP_LOST);
    } else {
      settle_bins(heap);
      park_locked(heap);
    }
  }
  heaps.active_count = active_count;
}

/* --- for hakmem/view --- */

#define OFFSETS(c) HAK_BIN_OFFSET(c), HAK_BIN_OFFSET((c) + 1), HAK_BIN_OFFSET((c) + 2), HAK_BIN_OFFSET((c) + 3)
static const uint16_t bin_offsets[] = {OFFSETS(0),  OFFSETS(4),  OFFSETS(8),  OFFSETS(12), OFFSETS(16), OFFSETS(20),
                                       OFFSETS(24), OFFSETS(28), OFFSETS(32), OFFSETS(36), OFFSETS(40)};
HAK_STATIC_ASSERT(sizeof bin_offsets / sizeof bin_offsets[0] == HAK_SIZE_CLASS_COUNT, "an offset a class");

#define HEAP_ROWS                                                                                               \
  HAK_VIEW_STRUCTURE("heap", hak_heap)                                                                          \
  HAK_VIEW_FIELDS("heap", hak_heap, in_slow_path, slow_ticks, foreign_frees, state, epoch_ms, thread_pointer,   \
                  budget.limit_bytes, budget.granted_bytes, budget.grown, budget.shrunk, counters, next_parked) \
  HAK_VIEW_FIELDS("heap", hak_heap, next_heap) HAK_VIEW_ARRAYS("heap", hak_heap, bins, outbox, ace, mailboxes, name)
#define COUNTER_ROWS                                                                                                   \
  HAK_VIEW_STRUCTURE("heap_counters", hak_heap_counters)                                                               \
  HAK_VIEW_FIELDS("heap_counters", hak_heap_counters, refills, spills, remote_published, remote_merged, slabs_adopted, \
                  slabs_acquired, slabs_released)                                                                      \
  HAK_VIEW_FIELDS("heap_counters", hak_heap_counters, refilled_blocks, spilled_blocks, written_through, merges,        \
                  reviews, growth_flushes, surplus_flushes)                                                            \
  HAK_VIEW_ARRAYS("heap_counters", hak_heap_counters, class_refills, class_spills, class_carries)
#define BIN_ROWS                                                                                               \
  HAK_VIEW_STRUCTURE("bin", hak_bin)                                                                           \
  HAK_VIEW_FIELDS("bin", hak_bin, top, end, begin, run_mask, run_base, stride, size_class, run_zeroed, streak, \
                  slots_at, current, partial)
#define OTHER_ROWS                                                         \
  HAK_VIEW_STRUCTURE("mailbox", hak_mailbox)                               \
  HAK_VIEW_FIELDS("mailbox", hak_mailbox, head, heap)                      \
  HAK_VIEW_STRUCTURE("outbox_entry", hak_outbox_entry)                     \
  HAK_VIEW_FIELDS("outbox_entry", hak_outbox_entry, slab, mask, key, room) \
  HAK_VIEW_STRUCTURE("ace", hak_mid_ace_bin)                               \
  HAK_VIEW_FIELDS("ace", hak_mid_ace_bin, misses, spills, row, row_spills, seen)
#define ROWS HEAP_ROWS COUNTER_ROWS BIN_ROWS OTHER_ROWS
#define ROOTS(ROOT)                          \
  ROOT("first_heap", heaps.all)              \
  ROOT("first_parked_heap", heaps.parked)    \
  ROOT("common_heap", hak_heap_common_place) \
  ROOT("parked_heaps", hak_heap_parked_total) ROOT("bin_offsets", bin_offsets)
HAK_VIEW_PART(hak_heap_view, ROWS, ROOTS);
