#include "hakmem/unified_cache/unified_cache.h"

#include <string.h>

#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"
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
  /* Misses or spills in a row until batches have their full size. */
  STREAK_MAX = 2,
  /* Blocks from here on leave the run one at a time: their pages may still be fresh, and calloc wants to know. */
  ONE_AT_A_TIME_BYTES = 4096
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

/* Where the blocks of one bitmap word lie. */
typedef struct word_span {
  hak_slab* slab; /* NULL: none, and size_bytes is 0 */
  uint32_t word;
  uintptr_t base; /* of block 0 of the word */
  uint64_t size_bytes;
} word_span;

static void give_word(hak_heap* heap, hak_bin* bin, const word_span* span, uint64_t mask) {
  if (mask == 0) return;
  const uint64_t twice = hak_warm_pool_give_word(heap, bin, span->slab, span->word, mask);
  if (HAK_UNLIKELY(twice != 0)) hak_slab_report_twice(span->slab, span->word, twice);
}

/* The word that `ptr`, a pointer into a slab, belongs to; of no size where it lies past the slab's last block. */
static word_span span_of(const void* ptr) {
  word_span span;
  span.slab = (hak_slab*)hak_registry_owner(ptr);
  span.word = hak_slab_index(span.slab, ptr) / 64;
  span.base = (uintptr_t)hak_slab_block(span.slab, span.word * 64);
  const uint32_t first = span.word * 64;
  const uint32_t blocks = first < span.slab->blocks ? span.slab->blocks - first : 0;
  span.size_bytes = (uint64_t)(blocks < 64 ? blocks : 64) * span.slab->block_bytes;
  return span;
}

/* A cached block whose slab is not this bin's. After a fork the heap of a thread that is gone may be taken whole while
 * a slab of it was adopted by somebody else: such a block goes home as a remote free. Otherwise the program freed it
 * twice, and its slab went back to the pool in between. */
static void drop_stray(hak_heap* heap, const hak_bin* bin, void* ptr) {
  bool is_block = false;
  if (hak_registry_word(ptr) > HAK_REGISTRY_LAST_TAG) {
    hak_slab* slab = (hak_slab*)hak_registry_owner(ptr);
    const uint32_t index = hak_slab_index(slab, ptr);
    is_block = hak_slab_is_block(slab, index, ptr) && hak_remote_free_push(heap, slab, index) != HAK_REMOTE_FREE_DOUBLE;
  }
  if (!is_block) hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, ptr, bin->stride);
}

/* The mask of the blocks of slots[0 .. count) that are a row, `step` bytes from one to the next, within their word of
 * `blocks` blocks, of which the first is number `index`. */
static HAK_NOINLINE uint64_t row_mask(void* const* slots, uint64_t count, uint64_t index, uint64_t blocks,
                                      uint64_t step) {
  const bool is_upwards = (int64_t)step > 0;
  const uint64_t room = is_upwards ? blocks - index : index + 1;
  const uint64_t most = count < room ? count : room;
  uintptr_t expected = (uintptr_t)slots[0] + step;
  uint64_t n = 1;
  for (; n + 4 <= most; n += 4, expected += 4 * step) { /* four by one branch */
    const uint64_t differs = ((uintptr_t)slots[n] ^ expected) | ((uintptr_t)slots[n + 1] ^ (expected + step)) |
                             ((uintptr_t)slots[n + 2] ^ (expected + 2 * step)) |
                             ((uintptr_t)slots[n + 3] ^ (expected + 3 * step));
    if (differs != 0) break;
  }
  for (; n < most && (uintptr_t)slots[n] == expected; n++) expected += step;
  return hak_bits_low_mask((uint32_t)n) << (is_upwards ? index : index + 1 - n);
}

/* Moves the `count` oldest cached blocks to their slabs; their slots stay as they are. Blocks that were freed one after
 * the other are often neighbours: as long as they are of one word, no descriptor is looked at, and a row of them is one
 * mask. */
static void give_oldest(hak_heap* heap, hak_bin* bin, uint64_t count) {
  const uint64_t stride = bin->stride;
  const uint64_t reciprocal = hak_size_class_table[bin->size_class].reciprocal;
  void** const end = bin->end;
  word_span span = {NULL, 0, 0, 0};
  uint64_t mask = 0; /* blocks of the span */
  uintptr_t last = 0;
  uint64_t last_step = 0;
  for (void** at = end - count; at < end; at++) {
    uint64_t offset = (uintptr_t)*at - span.base;
    if (offset >= span.size_bytes) {
      give_word(heap, bin, &span, mask);
      mask = 0;
      span = (word_span){NULL, 0, 0, 0};
      if (HAK_UNLIKELY(hak_registry_word(*at) != (uintptr_t)bin)) {
        drop_stray(heap, bin, *at);
        continue;
      }
      span = span_of(*at);
      offset = (uintptr_t)*at - span.base;
    }
    const uint64_t index = (offset * reciprocal) >> 32;
    if (HAK_UNLIKELY(index * stride != offset || offset >= span.size_bytes)) {
      hak_report_misuse(HAK_MISUSE_INTERIOR_POINTER, *at, stride);
      continue;
    }
    uint64_t row = 1ull << (index % 64);
    const uint64_t step = (uintptr_t)*at - last;
    if (step == last_step && (step == stride || step == -stride)) {
      row = row_mask(at, (uint64_t)(end - at), index, span.size_bytes / stride, step);
      at += hak_bits_count(row) - 1;
    }
    last_step = step;
    last = (uintptr_t)*at;
    if (HAK_UNLIKELY((mask & row) != 0)) hak_slab_report_twice(span.slab, span.word, mask & row);
    mask |= row;
  }
  give_word(heap, bin, &span, mask);
}

/* A handler of SIGABRT may allocate, and must not get what has gone back already: misuse aborts at the end. */
static void drop_oldest(hak_heap* heap, hak_bin* bin, uint64_t count) {
  hak_hold_aborts();
  give_oldest(heap, bin, count);
  memmove(bin->top + count, bin->top, (hak_bin_held(bin) - count) * sizeof(void*));
  bin->top += count;
  hak_release_aborts();
}

static void review_bin(hak_heap* heap, hak_bin* bin) {
  const uint32_t c = bin->size_class;
  const uint32_t cap = hak_mid_ace_on_epoch(&heap->budget, &heap->ace[c], c, hak_bin_cap(bin));
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
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_bin* bin = hak_heap_bin(heap, c);
    if (bin->stride != 0 && hak_mid_ace_on_growth(&heap->ace[c])) empty_bin(heap, bin);
  }
}

static void tick(hak_heap* heap) {
  if (++heap->slow_ticks % SLOW_PATHS_PER_TICK != 0) return;
  const uint64_t now_ms = hak_purge_tick();
  if (now_ms < heap->epoch_ms + EPOCH_MS) return;
  heap->epoch_ms = now_ms;
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

/* Once a phase of pure free is certain, all: what would stay is not asked for soon, and would have to be moved. */
static uint32_t spill_size(const hak_bin* bin) {
  return bin->streak == -STREAK_MAX ? hak_bin_cap(bin) : batch_size(bin, -bin->streak) + 1;
}

/* --- malloc --- */

static void* pop_run(hak_bin* bin) {
  const uint32_t bit = hak_bits_lowest(bin->run_mask);
  bin->run_mask &= bin->run_mask - 1;
  return bin->run_base + (size_t)bit * bin->stride;
}

/* slots[0 .. count) = block, block + stride ... Four at a time: three instructions a block instead of seven. */
static void fill_row(void** slots, char* block, uint64_t stride, uint64_t count) {
  uint64_t i = 0;
  for (char *b1 = block + stride, *b2 = b1 + stride, *b3 = b2 + stride; i + 4 <= count; i += 4) {
    slots[i] = block;
    slots[i + 1] = b1;
    slots[i + 2] = b2;
    slots[i + 3] = b3;
    block += 4 * stride;
    b1 += 4 * stride;
    b2 += 4 * stride;
    b3 += 4 * stride;
  }
  for (; i < count; i++, block += stride) slots[i] = block;
}

/* Moves the `count` lowest blocks of the run to the empty slots, the lowest on top. */
static void fill_slots(hak_bin* bin, uint64_t count) {
  void** const top = bin->end - count;
  const uint64_t stride = bin->stride;
  uint64_t mask = bin->run_mask;
  const uint64_t lowest = mask & -mask;
  if ((mask & (mask + lowest)) == 0) {
    /* Neighbours all, as in a fresh slab. */
    char* block = bin->run_base + (mask == 0 ? 0 : hak_bits_lowest(mask)) * stride;
    fill_row(top, block, stride, count);
    mask &= ~(hak_bits_low_mask((uint32_t)count) * lowest);
  } else {
    for (uint64_t i = 0; i < count; i++) {
      top[i] = bin->run_base + hak_bits_lowest(mask) * stride;
      mask &= mask - 1;
    }
  }
  bin->run_mask = mask;
  bin->top = top;
}

/* Makes the bin's run hold blocks. */
static bool ensure_run(hak_heap* heap, hak_bin* bin, uint32_t size_class) {
  if (HAK_UNLIKELY(bin->stride == 0)) start_bin(heap, bin, size_class);
  hak_u64_bump_single_writer(&heap->counters.refills, 1);
  tick(heap);
  return bin->run_mask != 0 || hak_warm_pool_refill_run(heap, bin);
}

void* hak_unified_cache_refill(hak_heap* heap, uint32_t size_class) {
  hak_bin* bin = hak_heap_bin(heap, size_class);
  if (!ensure_run(heap, bin, size_class)) return NULL;
  grow(heap, bin,
       hak_mid_ace_on_miss(&heap->budget, &heap->ace[size_class], size_class, hak_bin_cap(bin),
                           HAK_BIN_SLOTS(size_class)));
  const uint64_t growth_count = hak_shared_pool_growth_count();
  if (HAK_UNLIKELY(heap->growth_seen != growth_count)) follow_growth(heap, growth_count);
  bin->streak = bin->streak < 0 ? 0 : bin->streak < STREAK_MAX ? (int8_t)(bin->streak + 1) : STREAK_MAX;
  void* block = pop_run(bin);
  if (bin->stride < ONE_AT_A_TIME_BYTES && bin->top == bin->end) {
    const uint64_t left = hak_bits_count(bin->run_mask);
    const uint64_t wanted = batch_size(bin, bin->streak);
    fill_slots(bin, left < wanted ? left : wanted);
  }
  return block;
}

void* hak_unified_cache_take(hak_heap* heap, uint32_t size_class, bool* zeroed) {
  hak_bin* bin = hak_heap_bin(heap, size_class);
  *zeroed = false;
  if (bin->top != bin->end) return *bin->top++;
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

void hak_unified_cache_spill(hak_heap* heap, hak_bin* bin, void* ptr) {
  hak_u64_bump_single_writer(&heap->counters.spills, 1);
  tick(heap);
  hak_slab* slab = (hak_slab*)hak_registry_owner(ptr);
  const uint32_t index = hak_slab_index(slab, ptr);
  if (HAK_UNLIKELY(!hak_slab_is_block(slab, index, ptr))) {
    hak_report_misuse(HAK_MISUSE_INTERIOR_POINTER, ptr, slab->block_bytes);
    return;
  }
  if (HAK_UNLIKELY(bin->top != bin->end && *bin->top == ptr)) {
    hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, ptr, slab->block_bytes);
    return;
  }
  const uint32_t surplus_count = hak_shared_pool_surplus_count();
  if (HAK_UNLIKELY(heap->surplus_seen != surplus_count)) follow_surplus(heap, surplus_count);
  const uint32_t size_class = slab->size_class;
  grow(heap, bin,
       hak_mid_ace_on_spill(&heap->budget, &heap->ace[size_class], size_class, hak_bin_cap(bin),
                            HAK_BIN_SLOTS(size_class)));
  bin->streak = bin->streak > 0 ? 0 : bin->streak > -STREAK_MAX ? (int8_t)(bin->streak - 1) : -STREAK_MAX;
  if (bin->top == bin->begin && bin->top != bin->end) drop_oldest(heap, bin, spill_size(bin));
  if (bin->top != bin->begin) {
    bin->top[-1] = ptr;
    hak_compiler_barrier(); /* heap.h, Ordering */
    bin->top--;
  } else if (run_holds(bin, ptr) || !hak_warm_pool_give(heap, bin, slab, index)) {
    hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, ptr, slab->block_bytes);
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
