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

/* Moves the `count` oldest cached blocks to their slabs. */
static void drop_oldest(hak_heap* heap, hak_bin* bin, uint64_t count) {
  for (uint64_t i = bin->cap - count; i < bin->cap; i++) {
    void* ptr = bin->slots[i];
    hak_slab* slab = (hak_slab*)hak_registry_owner(ptr);
    const uint32_t index = hak_slab_index(slab, ptr);
    if (HAK_UNLIKELY(!hak_slab_is_block(slab, index, ptr))) {
      hak_report_misuse(HAK_MISUSE_INTERIOR_POINTER, ptr, slab->block_bytes);
    } else if (HAK_UNLIKELY(!hak_warm_pool_give(heap, bin, slab, index))) {
      hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, ptr, slab->block_bytes);
    }
  }
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
    if (bin->stride != 0) review_bin(heap, bin);
  }
  hak_remote_free_flush(heap);
}

/* --- malloc --- */

static void* pop_run(hak_bin* bin) {
  const uint32_t bit = hak_bits_lowest(bin->run_mask);
  bin->run_mask &= bin->run_mask - 1;
  return bin->run_base + (size_t)bit * bin->stride;
}

/* Moves `count` blocks from the run to the empty slots, the lowest on top. */
static void fill_slots(hak_bin* bin, uint64_t count) {
  const uint64_t top = bin->cap - count;
  uint64_t mask = bin->run_mask;
  for (uint64_t i = 0; i < count; i++) {
    bin->slots[top + i] = bin->run_base + (size_t)hak_bits_lowest(mask) * bin->stride;
    mask &= mask - 1;
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
  void* block = pop_run(bin);
  if (bin->stride < ONE_AT_A_TIME_BYTES && bin->top == bin->cap) {
    const uint64_t left = hak_bits_count(bin->run_mask);
    const uint64_t wanted = bin->cap / 2;
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
  if (bin->top == 0 && bin->cap != 0) drop_oldest(heap, bin, (bin->cap + 1) / 2);
  if (bin->top != 0) {
    bin->slots[bin->top - 1] = ptr;
    hak_compiler_barrier(); /* heap.h, Ordering */
    bin->top--;
  } else if (!hak_warm_pool_give(heap, bin, slab, index)) {
    hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, ptr, slab->block_bytes);
  }
}

void hak_unified_cache_flush(hak_heap* heap) {
  hak_remote_free_flush(heap);
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_bin* bin = hak_heap_bin(heap, c);
    if (bin->stride == 0) continue;
    drop_oldest(heap, bin, bin->cap - bin->top);
    hak_warm_pool_give_run(heap, bin);
    hak_warm_pool_trim(heap, bin);
  }
}

bool hak_unified_cache_holds(const hak_bin* bin, const void* ptr) {
  for (uint64_t i = bin->top; i < bin->cap; i++) {
    if (bin->slots[i] == ptr) return true;
  }
  if (bin->run_mask == 0) return false;
  const uint64_t offset = (uint64_t)((uintptr_t)ptr - (uintptr_t)bin->run_base);
  if (offset >= 64ull * bin->stride || offset % bin->stride != 0) return false;
  return (bin->run_mask >> (offset / bin->stride)) & 1;
}
