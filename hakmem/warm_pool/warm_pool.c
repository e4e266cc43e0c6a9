#include "hakmem/warm_pool/warm_pool.h"

#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"
#include "hakmem/os/latency.h"
#include "hakmem/os/os.h"
#include "hakmem/registry/registry.h"
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/size_class/size_class.h"

/* Slabs of a bin that may be fresh and hide a used one: the one that was current, and what purges have cleaned. */
enum { FRESH_SLABS = 4 };

static bool has_free_blocks(const hak_slab* slab) { return slab != NULL && hak_slab_free_count(slab) != 0; }

void hak_warm_pool_merge(hak_heap* heap, hak_bin* bin) {
  if (!hak_remote_free_is_posted(hak_heap_mailbox(heap, bin->size_class))) return;
  const uint64_t start_ns = hak_latency_start();
  hak_u64_bump_single_writer(&heap->counters.merges, 1);
  hak_slab* empty = hak_remote_free_drain(heap, bin, bin->size_class);
  while (empty != NULL) {
    hak_slab* slab = empty;
    empty = slab->next;
    slab->next = NULL;
    if (bin->partial == NULL && !has_free_blocks(bin->current)) {
      hak_slab_list_push(&bin->partial, slab);
    } else {
      hak_shared_pool_release(heap, slab);
    }
  }
  hak_latency_end(HAK_LATENCY_MERGE, start_ns);
}

/* Of the slabs from `first` on one whose next blocks have been used; where the first few are fresh, the first. */
static hak_slab* first_used(hak_slab* first) {
  hak_slab* slab = first;
  for (int i = 0; i < FRESH_SLABS && slab != NULL; i++, slab = slab->next) {
    if (!hak_slab_is_next_fresh(slab)) return slab;
  }
  return first;
}

/* A slab of the bin with free blocks, as bin->current. What has been used before, here or by others who sent it back, comes
 * before blocks whose pages have never been touched. */
static hak_slab* next_current(hak_heap* heap, hak_bin* bin) {
  hak_slab* current = bin->current;
  if (has_free_blocks(current) && !hak_slab_is_next_fresh(current)) return current;
  hak_warm_pool_merge(heap, bin);
  hak_slab* slab = first_used(bin->partial);
  const bool has_more = has_free_blocks(current);
  if (has_more && (slab == NULL || !hak_slab_is_next_fresh(current) || hak_slab_is_next_fresh(slab))) return current;
  if (slab != NULL) {
    hak_slab_list_remove(&bin->partial, slab);
  } else {
    slab = hak_shared_pool_acquire(heap, bin->size_class);
    if (slab == NULL) return NULL;
  }
  bin->current = slab;
  if (has_more) hak_warm_pool_file(heap, bin, current);
  return slab;
}

bool hak_warm_pool_refill_run(hak_heap* heap, hak_bin* bin) {
  HAK_ASSERT(bin->run_mask == 0);
  hak_slab* slab = next_current(heap, bin);
  if (slab == NULL) return false;
  HAK_AUDIT(hak_slab_is_valid(slab));
  const hak_slab_run run = hak_slab_take_run(slab);
  /* Before a block of it is out: once others have freed them all, somebody may take the slab (invariant 3). */
  if (hak_slab_free_count(slab) == 0) bin->current = NULL;
  bin->run_mask = run.mask;
  bin->run_base = run.base;
  bin->run_zeroed = run.zeroed;
  return true;
}

void hak_warm_pool_file(hak_heap* heap, hak_bin* bin, hak_slab* slab) {
  if (hak_slab_is_empty(slab)) {
    if (slab->listed) hak_slab_list_remove(&bin->partial, slab);
    if (bin->partial == NULL && !has_free_blocks(bin->current)) {
      hak_slab_list_push(&bin->partial, slab);
    } else {
      hak_shared_pool_release(heap, slab);
    }
  } else if (!slab->listed) {
    hak_slab_list_push(&bin->partial, slab);
  }
}

uint64_t hak_warm_pool_give_word(hak_heap* heap, hak_bin* bin, hak_slab* slab, uint32_t word, uint64_t mask) {
  const uint64_t twice = hak_slab_give_word(slab, word, mask);
  hak_warm_pool_settle(heap, bin, slab);
  return twice;
}

/* The run's slab is not this bin's any more. Adopted by another heap since a fork left this one behind, the blocks go home
 * as remote frees. Gone back to the pool, and maybe another class's by now: the program freed the blocks that were waiting
 * in the run. */
static void give_stray_run(const hak_bin* bin, uint64_t mask) {
  hak_slab* slab = NULL;
  if (hak_registry_word(bin->run_base) > HAK_REGISTRY_LAST_TAG) slab = (hak_slab*)hak_registry_owner(bin->run_base);
  if (slab != NULL && slab->size_class != bin->size_class) slab = NULL;
  const uint32_t word = slab == NULL ? 0 : hak_slab_index(slab, bin->run_base) / 64;
  for (; mask != 0; mask &= mask - 1) {
    if (slab != NULL && hak_remote_free_publish(slab, word, mask & -mask) != HAK_REMOTE_FREE_DOUBLE) continue;
    hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, bin->run_base + hak_bits_lowest(mask) * bin->stride, bin->stride);
  }
}

void hak_warm_pool_give_run(hak_heap* heap, hak_bin* bin) {
  const uint64_t mask = bin->run_mask;
  if (mask == 0) return;
  bin->run_mask = 0;
  if (HAK_UNLIKELY(hak_registry_word(bin->run_base) != (uintptr_t)bin)) {
    give_stray_run(bin, mask);
    return;
  }
  hak_slab* slab = (hak_slab*)hak_registry_owner(bin->run_base);
  const uint32_t word = hak_slab_index(slab, bin->run_base) / 64;
  const uint64_t twice = hak_slab_give_word(slab, word, mask);
  if (bin->run_zeroed) hak_slab_mark_clean(slab, mask & ~twice);
  hak_warm_pool_settle(heap, bin, slab);
  /* The program freed blocks that were waiting in the run. */
  if (HAK_UNLIKELY(twice != 0)) hak_slab_report_twice(slab, word, twice);
}

void hak_warm_pool_trim(hak_heap* heap, hak_bin* bin) {
  hak_warm_pool_merge(heap, bin);
  hak_slab* slab = bin->current;
  if (slab != NULL) {
    bin->current = NULL;
    if (hak_slab_free_count(slab) != 0) hak_warm_pool_settle(heap, bin, slab);
  }
  for (slab = bin->partial; slab != NULL;) {
    hak_slab* next = slab->next;
    if (hak_slab_is_empty(slab)) {
      hak_slab_list_remove(&bin->partial, slab);
      hak_shared_pool_release(heap, slab);
    }
    slab = next;
  }
}

/* Purges the free blocks of a slab that may be dirty, neighbours together. */
static uint64_t purge_slab(hak_slab* slab) {
  uint64_t bytes = 0;
  uint64_t dirty = slab->free_bits[0] & ~slab->clean_bits;
  while (dirty != 0) {
    const uint64_t mask = hak_bits_take_run(&dirty);
    const size_t run_bytes = (size_t)hak_bits_count(mask) * slab->block_bytes;
    if (!hak_os_purge(hak_slab_block(slab, hak_bits_lowest(mask)), run_bytes)) return bytes;
    hak_slab_mark_clean(slab, mask);
    bytes += run_bytes;
  }
  return bytes;
}

uint64_t hak_warm_pool_purge(hak_heap* heap) {
  uint64_t bytes = 0;
  const size_t page_bytes = hak_os_page_bytes();
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    /* Blocks of whole pages, so that a purged one reads as zero; there are at most 64 of those in a slab. */
    if (hak_size_class_table[c].block_bytes % page_bytes != 0 || hak_size_class_table[c].blocks > 64) continue;
    for (hak_slab* slab = hak_heap_bin(heap, c)->partial; slab != NULL; slab = slab->next) bytes += purge_slab(slab);
  }
  return bytes;
}
