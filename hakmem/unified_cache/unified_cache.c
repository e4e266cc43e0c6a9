#include "hakmem/unified_cache/unified_cache.h"

#include <string.h>

#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"
#include "hakmem/mid_ace/mid_ace.h"
#include "hakmem/purge/purge.h"
#include "hakmem/registry/registry.h"
#include "hakmem/remote_free/remote_free.h"
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
  bin->cap = hak_mid_ace_start(&heap->budget, size_class, HAK_BIN_SLOTS(size_class));
  bin->top = bin->cap;
  bin->slots[bin->cap] = NULL;
  bin->stride = hak_size_class_table[size_class].block_bytes;
}

/* Changes the cap of a bin that holds no more than `cap` blocks. */
static void set_cap(hak_bin* bin, uint32_t cap) {
  const uint64_t held = bin->cap - bin->top;
  HAK_ASSERT(held <= cap);
  memmove(&bin->slots[cap - held], &bin->slots[bin->top], held * sizeof(void*));
  bin->slots[cap] = NULL;
  bin->cap = cap;
  bin->top = cap - held;
}

/* Free blocks of one bitmap word on their way to their slab. */
typedef struct word_batch {
  hak_slab* slab;
  uint32_t word;
  uintptr_t base; /* of block 0 of the word */
  uint64_t size_bytes;
  uint64_t mask; /* not 0 once there is a slab */
} word_batch;

static void give_batch(hak_heap* heap, hak_bin* bin, const word_batch* batch) {
  if (batch->mask == 0) return;
  const uint64_t twice = hak_warm_pool_give_word(heap, bin, batch->slab, batch->word, batch->mask);
  if (HAK_UNLIKELY(twice != 0)) hak_slab_report_twice(batch->slab, batch->word, twice);
}

/* The word that `ptr` belongs to, with no block in it yet. */
static word_batch start_batch(const void* ptr) {
  word_batch batch;
  batch.slab = (hak_slab*)hak_registry_owner(ptr);
  batch.word = hak_slab_index(batch.slab, ptr) / 64;
  batch.base = (uintptr_t)hak_slab_block(batch.slab, batch.word * 64);
  const uint32_t first = batch.word * 64; /* beyond the last block where bits above 48 are set in `ptr` */
  const uint32_t blocks = first < batch.slab->blocks ? batch.slab->blocks - first : 0;
  batch.size_bytes = (uint64_t)(blocks < 64 ? blocks : 64) * batch.slab->block_bytes;
  batch.mask = 0;
  return batch;
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

/* Moves the `count` oldest cached blocks to their slabs. Blocks that were freed one after the other are often
 * neighbours: as long as they are of one word, no descriptor is looked at. */
static void drop_oldest(hak_heap* heap, hak_bin* bin, uint64_t count) {
  const uint64_t stride = bin->stride;
  const uint64_t reciprocal = hak_size_class_table[bin->size_class].reciprocal;
  word_batch batch = {NULL, 0, 0, 0, 0};
  for (uint64_t i = bin->cap - count; i < bin->cap; i++) {
    void* ptr = bin->slots[i];
    if ((uintptr_t)ptr - batch.base >= batch.size_bytes) {
      give_batch(heap, bin, &batch);
      batch = (word_batch){NULL, 0, 0, 0, 0};
      if (HAK_UNLIKELY(hak_registry_word(ptr) != (uintptr_t)bin)) {
        drop_stray(heap, bin, ptr);
        continue;
      }
      batch = start_batch(ptr);
    }
    const uint64_t offset = (uintptr_t)ptr - batch.base;
    const uint64_t index = (offset * reciprocal) >> 32;
    const uint64_t bit = 1ull << (index % 64);
    if (HAK_UNLIKELY(index * stride != offset || offset >= batch.size_bytes)) {
      hak_report_misuse(HAK_MISUSE_INTERIOR_POINTER, ptr, stride);
    } else if (HAK_UNLIKELY((batch.mask & bit) != 0)) {
      hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, ptr, stride);
    } else {
      batch.mask |= bit;
    }
  }
  give_batch(heap, bin, &batch);
  memmove(&bin->slots[bin->top + count], &bin->slots[bin->top], (bin->cap - bin->top - count) * sizeof(void*));
  bin->top += count;
}

static void review_bin(hak_heap* heap, hak_bin* bin) {
  const uint32_t cap = hak_mid_ace_on_epoch(&heap->budget, &bin->ace, bin->size_class, (uint32_t)bin->cap);
  if (cap == bin->cap) return;
  const uint64_t held = bin->cap - bin->top;
  if (held > cap) drop_oldest(heap, bin, held - cap);
  set_cap(bin, cap);
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

/* Blocks that a refill or a spill moves: an eighth of the cap at first, half when the phase goes on. A program that
 * swings by nearly the cap then stays within it, and one that swings by far more pays little a block. */
static uint64_t batch_size(const hak_bin* bin, int streak) { return bin->cap >> (STREAK_MAX + 1 - streak); }

/* --- malloc --- */

static void* pop_run(hak_bin* bin) {
  const uint32_t bit = hak_bits_lowest(bin->run_mask);
  bin->run_mask &= bin->run_mask - 1;
  return bin->run_base + (size_t)bit * bin->stride;
}

/* Moves the `count` lowest blocks of the run to the empty slots, the lowest on top. */
static void fill_slots(hak_bin* bin, uint64_t count) {
  const uint64_t top = bin->cap - count;
  const uint64_t stride = bin->stride;
  uint64_t mask = bin->run_mask;
  const uint64_t lowest = mask & -mask;
  if ((mask & (mask + lowest)) == 0) {
    /* Neighbours all, as in a fresh slab. */
    char* block = bin->run_base + (mask == 0 ? 0 : hak_bits_lowest(mask)) * stride;
    for (uint64_t i = 0; i < count; i++, block += stride) bin->slots[top + i] = block;
    mask &= ~((lowest << count) - lowest); /* count is half the slots of a bin at most, and so below 64 */
  } else {
    for (uint64_t i = 0; i < count; i++) {
      bin->slots[top + i] = bin->run_base + hak_bits_lowest(mask) * stride;
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
  const uint32_t cap =
      hak_mid_ace_on_miss(&heap->budget, &bin->ace, size_class, (uint32_t)bin->cap, HAK_BIN_SLOTS(size_class));
  if (cap != bin->cap) set_cap(bin, cap);
  bin->streak = bin->streak < 0 ? 0 : bin->streak < STREAK_MAX ? (int8_t)(bin->streak + 1) : STREAK_MAX;
  void* block = pop_run(bin);
  if (bin->stride < ONE_AT_A_TIME_BYTES && bin->top == bin->cap) {
    const uint64_t left = hak_bits_count(bin->run_mask);
    const uint64_t wanted = batch_size(bin, bin->streak);
    fill_slots(bin, left < wanted ? left : wanted);
  }
  return block;
}

void* hak_unified_cache_take(hak_heap* heap, uint32_t size_class, bool* zeroed) {
  hak_bin* bin = hak_heap_bin(heap, size_class);
  *zeroed = false;
  if (bin->top != bin->cap) return bin->slots[bin->top++];
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
  if (HAK_UNLIKELY(bin->cap != 0 && bin->top != bin->cap && bin->slots[bin->top] == ptr)) {
    hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, ptr, slab->block_bytes);
    return;
  }
  const uint32_t size_class = slab->size_class;
  const uint32_t cap =
      hak_mid_ace_on_spill(&heap->budget, &bin->ace, size_class, (uint32_t)bin->cap, HAK_BIN_SLOTS(size_class));
  if (cap != bin->cap) set_cap(bin, cap);
  bin->streak = bin->streak > 0 ? 0 : bin->streak > -STREAK_MAX ? (int8_t)(bin->streak - 1) : -STREAK_MAX;
  if (bin->top == 0 && bin->cap != 0) drop_oldest(heap, bin, batch_size(bin, -bin->streak) + 1);
  if (bin->top != 0) {
    bin->slots[bin->top - 1] = ptr;
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
    drop_oldest(heap, bin, bin->cap - bin->top);
    hak_warm_pool_give_run(heap, bin);
    hak_warm_pool_trim(heap, bin);
  }
  hak_remote_free_flush(heap); /* again: the caches may have held blocks of other heaps */
}

bool hak_unified_cache_holds(const hak_bin* bin, const void* ptr) {
  for (uint64_t i = bin->top; i < bin->cap; i++) {
    if (bin->slots[i] == ptr) return true;
  }
  return run_holds(bin, ptr);
}
