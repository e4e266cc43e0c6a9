#include "hakmem/unified_cache/unified_cache.h"

#include <string.h>

#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"
#include "hakmem/config/config.h"
#include "hakmem/limits/limits.h"
#include "hakmem/mid_ace/mid_ace.h"
#include "hakmem/purge/purge.h"
#include "hakmem/registry/registry.h"
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/warm_pool/warm_pool.h"

enum {
  /* Slow paths between two looks at the clock. */
  SLOW_PATHS_PER_TICK = 32,
  EPOCH_MS = 1000,
  EXCHANGE_SLOTS = HAK_BIN_MIDDLE_SLOTS,
  /* Heaps without a thread that are looked at after blocks of such went home: nobody else may do it soon. */
  PARKED_HEAPS_PER_SPILL = 2,
  /* Misses or spills in a row until batches have their full size. */
  STREAK_MAX = 2,
  /* Fresh blocks from here on leave the run one at a time, since calloc wants to know; used ones in batches, but of one run:
   * the next may be fresh. */
  ONE_AT_A_TIME_BYTES = 4096,
  /* Runs of blocks up to here are a page or less. */
  RUN_OF_A_PAGE_BYTES = 64
};

/* --- caps --- */

static void start_bin(hak_heap* heap, hak_bin* bin, uint32_t size_class) {
  bin->size_class = (uint8_t)size_class;
  hak_heap_start_cache(heap, bin);
  bin->stride = hak_size_class_table[size_class].block_bytes;
}

/* What ACE granted, it gets back where there is no memory for the slots. */
static void grow(hak_heap* heap, hak_bin* bin, uint32_t cap) {
  const uint32_t old_cap = hak_bin_cap(bin);
  if (cap == old_cap || hak_heap_set_cap(bin, cap)) return;
  hak_mid_ace_refund(&heap->budget, bin->size_class, cap - old_cap);
}

static uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }
static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* With an option that allows less than there is room for. A cap from before stays until the bin is reviewed. */
static HAK_SLOW uint32_t slots_below(const hak_bin* bin, uint32_t most, bool exchanges) {
  return larger(hak_bin_cap(bin), exchanges ? smaller(most, EXCHANGE_SLOTS) : most);
}

/* The most that the bin may cache: while blocks are exchanged with other threads, no more than it already may, or a few. What
 * one thread has too few of, the others have too many of, and more of them in caches are only more memory. */
HAK_ALWAYS_INLINE uint32_t slots_of(const hak_heap* heap, const hak_bin* bin, bool by_option) {
  const uint32_t slots = HAK_BIN_SLOTS(bin->size_class);
  const uint64_t most = by_option ? hak_config_get(HAK_OPTION_CACHE_BLOCKS) : slots;
  if (most < slots) return slots_below(bin, (uint32_t)most, heap->is_exchanging);
  if (HAK_LIKELY(!heap->is_exchanging) || slots <= EXCHANGE_SLOTS) return slots;
  return larger(hak_bin_cap(bin), EXCHANGE_SLOTS);
}

/* A cached block whose slab is not this bin's goes home as a remote free: another thread's that was cached here, or one of
 * a slab that was adopted by somebody else after a fork left this heap behind, caches and all. Where there is no such block,
 * the program freed it twice, and its slab went back to the pool in between. True: it went to a parked heap. */
static bool drop_foreign(hak_heap* heap, const hak_bin* bin, void* ptr, const hak_registry_entry* entry) {
  hak_remote_free_result result = HAK_REMOTE_FREE_DOUBLE;
  hak_misuse misuse = HAK_MISUSE_DOUBLE_FREE;
  if (entry->word > HAK_REGISTRY_LAST_TAG) {
    hak_slab* slab = (hak_slab*)entry->owner;
    const uint32_t index = hak_slab_index(slab, ptr);
    if (hak_slab_is_block(slab, index, ptr)) {
      result = hak_remote_free_push(heap, slab, index);
    } else if (slab->size_class == bin->size_class) {
      misuse = HAK_MISUSE_INTERIOR_POINTER;
    }
  }
  if (result == HAK_REMOTE_FREE_DOUBLE) hak_report_misuse(misuse, ptr, bin->stride);
  return result == HAK_REMOTE_FREE_TO_PARKED;
}

/* The blocks of slots[0 .. count) that are a row, `step` bytes from one to the next: how many, at most `most`, at least
 * one. */
static HAK_NOINLINE uint64_t row_length(void* const* slots, uint64_t most, uint64_t step) {
  uintptr_t expected = (uintptr_t)slots[0] + step;
  uint64_t n = 1;
  for (; n + 4 <= most; n += 4, expected += 4 * step) { /* four by one branch */
    const uint64_t differs = ((uintptr_t)slots[n] ^ expected) | ((uintptr_t)slots[n + 1] ^ (expected + step)) |
                             ((uintptr_t)slots[n + 2] ^ (expected + 2 * step)) |
                             ((uintptr_t)slots[n + 3] ^ (expected + 3 * step));
    if (differs != 0) break;
  }
  for (; n < most && (uintptr_t)slots[n] == expected; n++) expected += step;
  return n;
}

/* Where the blocks of one bitmap word lie. */
typedef struct word_span {
  hak_slab* slab;
  uint32_t word;
  uintptr_t base; /* of block 0 of the word */
  uint64_t size_bytes;
} word_span;

static word_span span_of(hak_slab* slab, uint32_t index) {
  const uint32_t first = index / 64 * 64;
  const uint32_t blocks = slab->blocks - first;
  word_span span;
  span.slab = slab;
  span.word = first / 64;
  span.base = (uintptr_t)hak_slab_block(slab, first);
  span.size_bytes = (uint64_t)(blocks < 64 ? blocks : 64) * slab->block_bytes;
  return span;
}

/* Cached blocks of one bitmap word, one after the other. */
typedef struct word_blocks {
  uint64_t mask;
  uint64_t count; /* of slots */
} word_blocks;

/* The blocks of slots[0 .. count) from the first on, which is one of the span's, up to one of another word, a pointer that
 * is no block's, or a block that came before. Blocks that were freed one after the other are often neighbours: a row of
 * them is one mask. */
static word_blocks collect_word(void* const* slots, uint64_t count, const word_span* span) {
  const uint64_t stride = span->slab->block_bytes;
  const uint32_t reciprocal = span->slab->reciprocal;
  const uintptr_t base = span->base;
  const uint64_t size_bytes = span->size_bytes;
  const uint64_t last_offset = size_bytes - stride;
  const uint64_t step = (uintptr_t)slots[1] - (uintptr_t)slots[0];
  void* const* const end = slots + count;
  void* const* at = slots;
  uint64_t mask = 0;
  if (step == stride || step == -stride) {
    const uint64_t index = (((uintptr_t)slots[0] - base) * reciprocal) >> 32;
    const uint64_t room = step == stride ? size_bytes / stride - index : index + 1;
    const uint64_t row = row_length(slots, count < room ? count : room, step);
    mask = hak_bits_low_mask((uint32_t)row) << (step == stride ? index : index + 1 - row);
    at += row;
  }
  while (at != end) {
    const uint64_t offset = (uintptr_t)*at - base;
    if (offset > last_offset) break; /* not size_bytes: size_class.h, 6 */
    const uint64_t place = offset * reciprocal;
    if (HAK_UNLIKELY((uint32_t)place >= reciprocal) || HAK_UNLIKELY(hak_bits_set(&mask, place >> 32))) break;
    at++;
  }
  const word_blocks out = {mask, (uint64_t)(at - slots)};
  return out;
}

/* Gives the blocks of slots[0 .. count) back as far as they are of one word: that of the first, block `index` of `slab`.
 * Returns how many. */
static uint64_t give_word(hak_heap* heap, hak_bin* bin, void* const* slots, uint64_t count, hak_slab* slab,
                          uint32_t index) {
  const word_span span = span_of(slab, index);
  const word_blocks found = collect_word(slots, count, &span);
  const uint64_t twice = hak_warm_pool_give_word(heap, bin, slab, span.word, found.mask);
  if (HAK_UNLIKELY(twice != 0)) hak_slab_report_twice(slab, span.word, twice);
  return found.count;
}

/* Moves the `count` oldest cached blocks to their slabs; their slots stay as they are. Where the next is near, a bitmap word
 * at a time. */
static void give_oldest(hak_heap* heap, hak_bin* bin, uint64_t count) {
  const uint64_t near_bytes = 63ull * bin->stride;
  void** const end = bin->end;
  bool to_parked = false;
  for (void** at = end - count; at < end;) {
    void* ptr = *at;
    const hak_registry_entry entry = hak_registry_look_up(ptr);
    if (HAK_UNLIKELY(entry.word != (uintptr_t)bin)) {
      to_parked |= drop_foreign(heap, bin, ptr, &entry);
      at++;
      continue;
    }
    hak_slab* slab = (hak_slab*)entry.owner;
    const uint64_t place = hak_slab_place(slab, ptr);
    const uint32_t index = (uint32_t)(place >> 32);
    if (HAK_UNLIKELY(!hak_slab_is_block_at(slab, place))) {
      hak_report_misuse(HAK_MISUSE_INTERIOR_POINTER, ptr, slab->block_bytes);
    } else if (end - at > 1 && (uintptr_t)at[1] - (uintptr_t)ptr + near_bytes <= 2 * near_bytes) {
      at += give_word(heap, bin, at, (uint64_t)(end - at), slab, index);
      continue;
    } else if (HAK_UNLIKELY(!hak_warm_pool_give(heap, bin, slab, index))) {
      hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, ptr, slab->block_bytes);
    }
    at++;
  }
  if (to_parked) hak_shared_pool_drain_parked(PARKED_HEAPS_PER_SPILL);
}

/* A handler of SIGABRT may allocate, and must not get what has gone back already: misuse aborts at the end. */
static void drop_oldest(hak_heap* heap, hak_bin* bin, uint64_t count) {
  hak_hold_aborts();
  give_oldest(heap, bin, count);
  hak_u64_bump_single_writer(&heap->counters.spilled_blocks, count);
  memmove(bin->top + count, bin->top, (hak_bin_held(bin) - count) * sizeof(void*));
  hak_bin_set_top(bin, bin->top + count);
  hak_release_aborts();
}

static void review_bin(hak_heap* heap, hak_bin* bin) {
  const uint32_t c = bin->size_class;
  const uint32_t most = (uint32_t)hak_config_get(HAK_OPTION_CACHE_BLOCKS);
  uint32_t cap = hak_mid_ace_on_epoch(&heap->budget, &heap->ace[c], c, hak_bin_cap(bin));
  if (HAK_UNLIKELY(cap > most)) {
    hak_mid_ace_refund(&heap->budget, c, cap - most);
    cap = most;
  }
  if (cap == hak_bin_cap(bin)) return;
  const uint32_t held = hak_bin_held(bin);
  if (held > cap) drop_oldest(heap, bin, held - cap);
  (void)hak_heap_set_cap(bin, cap); /* a smaller one: the slots are there */
}

static void empty_bin(hak_heap* heap, hak_bin* bin) {
  drop_oldest(heap, bin, hak_bin_held(bin));
  hak_warm_pool_give_run(heap, bin);
  hak_warm_pool_trim(heap, bin);
}

/* There is so much free memory that some has gone back: blocks that are cached keep more from going. */
static HAK_NOINLINE void follow_surplus(hak_heap* heap, uint32_t surplus_count) {
  heap->surplus_seen = surplus_count;
  hak_u64_bump_single_writer(&heap->counters.surplus_flushes, 1);
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_bin* bin = hak_heap_bin(heap, c);
    if (bin->stride == 0) continue;
    drop_oldest(heap, bin, hak_bin_held(bin));
    hak_heap_start_cache(heap, bin);
  }
}

/* The process had to grow. What lies in caches that nobody asks any more pins slabs whose units others could have. */
static HAK_NOINLINE void follow_growth(hak_heap* heap, uint64_t growth_count) {
  heap->growth_seen = growth_count;
  hak_u64_bump_single_writer(&heap->counters.growth_flushes, 1);
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_bin* bin = hak_heap_bin(heap, c);
    if (bin->stride != 0 && hak_mid_ace_on_growth(&heap->ace[c])) empty_bin(heap, bin);
  }
}

/* A limit of memory or processors has become known, or memory is short. */
static HAK_NOINLINE void follow_limits(hak_heap* heap, uint32_t epoch) {
  heap->limits_seen = epoch;
  heap->budget.limit_bytes =
      hak_mid_ace_limit(hak_config_get(HAK_OPTION_THREAD_CACHE_BYTES), hak_limits_rank(heap->nth));
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_bin* bin = hak_heap_bin(heap, c);
    if (bin->stride == 0) continue;
    empty_bin(heap, bin);
    hak_heap_start_cache(heap, bin);
  }
  hak_remote_free_flush(heap);
}

static void tick(hak_heap* heap) {
  if (++heap->slow_ticks % SLOW_PATHS_PER_TICK != 0) return;
  const uint64_t now_ms = hak_purge_tick();
  const uint32_t epoch = hak_limits_epoch();
  if (HAK_UNLIKELY(heap->limits_seen != epoch)) follow_limits(heap, epoch);
  if (now_ms < heap->epoch_ms + EPOCH_MS) return;
  heap->epoch_ms = now_ms;
  hak_u64_bump_single_writer(&heap->counters.reviews, 1);
  heap->foreign_frees /= 2;
  if (HAK_UNLIKELY(heap->is_exchanging)) hak_heap_set_exchanging(heap, false);
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_bin* bin = hak_heap_bin(heap, c);
    if (bin->stride == 0) continue;
    review_bin(heap, bin);
    /* A bin that the thread no longer mallocs from has no miss that would merge what others have freed. */
    hak_warm_pool_merge(heap, bin);
  }
  hak_remote_free_flush(heap);
}

/* Blocks that a refill moves, and a spill at first: an eighth of the cap, half when the phase goes on. A program that
 * swings by nearly the cap then stays within it, and one that swings by far more pays little a block. */
static uint32_t batch_size(const hak_bin* bin, int streak) { return hak_bin_cap(bin) >> (STREAK_MAX + 1 - streak); }

HAK_ALWAYS_INLINE uint32_t refill_size(const hak_bin* bin, bool by_option) {
  const uint32_t wanted = by_option ? (uint32_t)hak_config_get(HAK_OPTION_REFILL_BLOCKS) : 0;
  return wanted != 0 ? smaller(wanted, hak_bin_cap(bin)) : batch_size(bin, bin->streak);
}

/* Once a phase of pure free is certain, all: what would stay is not asked for soon, and would have to be moved. */
HAK_ALWAYS_INLINE uint32_t spill_size(const hak_bin* bin, bool by_option) {
  const uint32_t wanted = by_option ? (uint32_t)hak_config_get(HAK_OPTION_SPILL_BLOCKS) : 0;
  if (wanted != 0) return smaller(wanted, hak_bin_cap(bin));
  return bin->streak == -STREAK_MAX ? hak_bin_cap(bin) : batch_size(bin, -bin->streak) + 1;
}

/* --- malloc --- */

/* The first block of a slab starts a page, as large blocks do: a program that writes to each page of a large block in turn
 * would evict it from the same set of the L1 cache. Where a run is about a page its last block comes first. */
static void* pop_run(hak_bin* bin) {
  const uint64_t mask = bin->run_mask;
  const uint32_t bit = bin->stride <= RUN_OF_A_PAGE_BYTES ? hak_bits_highest(mask) : hak_bits_lowest(mask);
  bin->run_mask = mask & ~(1ull << bit);
  return bin->run_base + (size_t)bit * bin->stride;
}

/* slots[0 .. count) = block, block + stride ... Four at a time: three instructions a block instead of seven. One pointer
 * that walks, not four: gcc 12 makes wrong vectors of those at -O3. */
static void fill_row(void** slots, char* block, uint64_t stride, uint64_t count) {
  uint64_t i = 0;
  for (const uint64_t stride3 = 3 * stride; i + 4 <= count; i += 4, block += 4 * stride) {
    slots[i] = block;
    slots[i + 1] = block + stride;
    slots[i + 2] = block + 2 * stride;
    slots[i + 3] = block + stride3;
  }
  for (; i < count; i++, block += stride) slots[i] = block;
}

/* Moves the `count` lowest blocks of the run to slots[0 .. count), the lowest first. */
HAK_ALWAYS_INLINE void move_run(hak_bin* bin, void** slots, uint64_t count) {
  const uint64_t stride = bin->stride;
  uint64_t mask = bin->run_mask;
  const uint64_t lowest = mask & -mask;
  if ((mask & (mask + lowest)) == 0) {
    /* Neighbours all, as in a fresh slab. */
    char* block = bin->run_base + (mask == 0 ? 0 : hak_bits_lowest(mask)) * stride;
    fill_row(slots, block, stride, count);
    mask &= ~(hak_bits_low_mask((uint32_t)count) * lowest);
  } else {
    for (uint64_t i = 0; i < count; i++) {
      slots[i] = bin->run_base + hak_bits_lowest(mask) * stride;
      mask &= mask - 1;
    }
  }
  bin->run_mask = mask;
}

static bool has_next_run(const hak_bin* bin) { return bin->current != NULL && hak_slab_free_count(bin->current) != 0; }

/* The same with the runs that follow, as long as the current slab has any. */
static HAK_NOINLINE void fill_from_runs(hak_heap* heap, hak_bin* bin, uint64_t wanted) {
  void** const first = bin->end - wanted;
  uint64_t filled = 0;
  for (;;) {
    const uint64_t left = hak_bits_count(bin->run_mask);
    const uint64_t count = left < wanted - filled ? left : wanted - filled;
    move_run(bin, first + filled, count);
    filled += count;
    if (filled == wanted || !has_next_run(bin)) break;
    (void)hak_warm_pool_refill_run(heap, bin);
  }
  if (filled < wanted) memmove(bin->end - filled, first, filled * sizeof(void*));
  hak_bin_set_top(bin, bin->end - filled);
  hak_u64_bump_single_writer(&heap->counters.refilled_blocks, filled);
}

/* Fills the empty slots with up to `wanted` blocks of the run, the lowest on top. */
HAK_ALWAYS_INLINE void fill_slots(hak_heap* heap, hak_bin* bin, uint64_t wanted) {
  const uint64_t left = hak_bits_count(bin->run_mask);
  if (left < wanted && bin->stride < ONE_AT_A_TIME_BYTES && has_next_run(bin)) {
    fill_from_runs(heap, bin, wanted);
    return;
  }
  const uint64_t count = left < wanted ? left : wanted;
  move_run(bin, bin->end - count, count);
  hak_bin_set_top(bin, bin->end - count);
  hak_u64_bump_single_writer(&heap->counters.refilled_blocks, count);
}

static void count_refill(hak_heap_counters* counters, uint32_t size_class) {
  hak_u64_bump_single_writer(&counters->refills, 1);
  hak_heap_count_in_class(&counters->class_refills[size_class], &counters->class_carries[size_class],
                          HAK_HEAP_REFILLS_SHIFT);
}

/* Makes the bin's run hold blocks. */
static bool ensure_run(hak_heap* heap, hak_bin* bin, uint32_t size_class) {
  if (HAK_UNLIKELY(bin->stride == 0)) start_bin(heap, bin, size_class);
  count_refill(&heap->counters, size_class);
  tick(heap);
  return bin->run_mask != 0 || hak_warm_pool_refill_run(heap, bin);
}

/* The paths are compiled twice, so that the options of caches cost one look where none is set. */
HAK_ALWAYS_INLINE void* refill(hak_heap* heap, uint32_t size_class, bool by_option) {
  hak_bin* bin = hak_heap_bin(heap, size_class);
  if (!ensure_run(heap, bin, size_class)) return NULL;
  grow(heap, bin,
       hak_mid_ace_on_miss(&heap->budget, &heap->ace[size_class], size_class, hak_bin_cap(bin),
                           slots_of(heap, bin, by_option)));
  const uint64_t growth_count = hak_shared_pool_growth_count();
  if (HAK_UNLIKELY(heap->growth_seen != growth_count)) follow_growth(heap, growth_count);
  bin->streak = bin->streak < 0 ? 0 : bin->streak < STREAK_MAX ? (int8_t)(bin->streak + 1) : STREAK_MAX;
  void* block = pop_run(bin);
  const bool in_batches = bin->stride < ONE_AT_A_TIME_BYTES || !bin->run_zeroed;
  if (HAK_UNLIKELY(bin->top != bin->end)) {
    hak_bin_set_top(bin, bin->top); /* who says that it is empty has looked at first: hot_box.h, 1 */
  } else if (in_batches) {
    fill_slots(heap, bin, refill_size(bin, by_option));
  }
  return block;
}

static HAK_SLOW void* refill_by_option(hak_heap* heap, uint32_t size_class) { return refill(heap, size_class, true); }

void* hak_unified_cache_refill(hak_heap* heap, uint32_t size_class) {
  if (HAK_UNLIKELY(hak_config_is_cache_set())) return refill_by_option(heap, size_class);
  return refill(heap, size_class, false);
}

void* hak_unified_cache_take(hak_heap* heap, uint32_t size_class, bool* zeroed) {
  hak_bin* bin = hak_heap_bin(heap, size_class);
  *zeroed = false;
  if (bin->top != bin->end) {
    void* const cached = *bin->top;
    hak_bin_set_top(bin, bin->top + 1);
    return cached;
  }
  if (!ensure_run(heap, bin, size_class)) return NULL;
  *zeroed = bin->run_zeroed;
  return pop_run(bin);
}

/* --- free --- */

/* True when `ptr` waits in the run: it is free, and has no bit in its slab that says so. */
static bool run_holds(const hak_bin* bin, const void* ptr) {
  if (bin->run_mask == 0) return false;
  const uint64_t offset = (uint64_t)((uintptr_t)ptr - (uintptr_t)bin->run_base);
  if (offset >= 64ull * bin->stride || offset % bin->stride != 0) return false;
  return (bin->run_mask >> (offset / bin->stride)) & 1;
}

static void count_spill(hak_heap_counters* counters, uint32_t size_class) {
  hak_u64_bump_single_writer(&counters->spills, 1);
  hak_heap_count_in_class(&counters->class_spills[size_class], &counters->class_carries[size_class],
                          HAK_HEAP_SPILLS_SHIFT);
}

HAK_ALWAYS_INLINE void spill(hak_heap* heap, hak_bin* bin, void* ptr, bool by_option) {
  count_spill(&heap->counters, bin->size_class);
  tick(heap);
  hak_slab* slab = (hak_slab*)hak_registry_owner(ptr);
  const uint32_t index = hak_slab_index(slab, ptr);
  if (HAK_UNLIKELY(!hak_slab_is_block(slab, index, ptr))) {
    hak_report_misuse(HAK_MISUSE_INTERIOR_POINTER, ptr, slab->block_bytes);
    return;
  }
  if (HAK_UNLIKELY(bin->top != bin->end && *bin->top == ptr)) { /* not first: hot_box.h, 1 */
    hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, ptr, slab->block_bytes);
    return;
  }
  const uint32_t surplus_count = hak_shared_pool_surplus_count();
  if (HAK_UNLIKELY(heap->surplus_seen != surplus_count)) follow_surplus(heap, surplus_count);
  const uint32_t size_class = slab->size_class;
  grow(heap, bin,
       hak_mid_ace_on_spill(&heap->budget, &heap->ace[size_class], size_class, hak_bin_cap(bin),
                            slots_of(heap, bin, by_option)));
  bin->streak = bin->streak > 0 ? 0 : bin->streak > -STREAK_MAX ? (int8_t)(bin->streak - 1) : -STREAK_MAX;
  if (bin->top == bin->begin && bin->top != bin->end) drop_oldest(heap, bin, spill_size(bin, by_option));
  if (bin->top != bin->begin) {
    bin->top[-1] = ptr;
    hak_compiler_barrier(); /* heap.h, Ordering */
    hak_bin_set_top(bin, bin->top - 1);
  } else if (run_holds(bin, ptr) || !hak_warm_pool_give(heap, bin, slab, index)) {
    hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, ptr, slab->block_bytes);
  } else {
    hak_u64_bump_single_writer(&heap->counters.written_through, 1);
  }
}

static HAK_SLOW void spill_by_option(hak_heap* heap, hak_bin* bin, void* ptr) { spill(heap, bin, ptr, true); }

void hak_unified_cache_spill(hak_heap* heap, hak_bin* bin, void* ptr) {
  if (HAK_UNLIKELY(hak_config_is_cache_set())) {
    spill_by_option(heap, bin, ptr);
  } else {
    spill(heap, bin, ptr, false);
  }
}

void hak_unified_cache_flush(hak_heap* heap) {
  hak_remote_free_flush(heap); /* first: this heap may have adopted a slab that it still has frees for */
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_bin* bin = hak_heap_bin(heap, c);
    if (bin->stride == 0) continue;
    empty_bin(heap, bin);
  }
  hak_remote_free_flush(heap); /* again: the caches may have held blocks of other heaps */
}

bool hak_unified_cache_holds(const hak_bin* bin, const void* ptr) {
  for (void* const* slot = bin->top; slot < bin->end; slot++) {
    if (*slot == ptr) return true;
  }
  return run_holds(bin, ptr);
}
