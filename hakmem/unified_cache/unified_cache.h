/* Purpose: the slow half of a bin's cache: what happens when the slots are empty or full.
 * Owns: each bin's slots, cap and run beyond the two hit paths.
 * Invariants:
 *   1. heap.h, 1 and 2.
 *   2. A cached block's bit in its slab is clear. The slab may be another heap's: the block goes home through the out-box.
 *   3. Blocks of a run are handed out lowest address first.
 * Threads: the heap's owner, between hak_heap_enter and hak_heap_leave.
 * Ordering: none.
 * Cost: a refill moves up to half a cap, run after run, about 5 instructions a block; a spill moves an
 *   eighth of the cap to the slabs, then a quarter, and all of it from the third in a row on: 5 instructions a block for
 *   rows of neighbours, 14 for others of a word, 45 for one alone.
 * Fails: refill and take return NULL when there is no memory.  Fork: inherited. */
#ifndef HAKMEM_UNIFIED_CACHE_UNIFIED_CACHE_H_
#define HAKMEM_UNIFIED_CACHE_UNIFIED_CACHE_H_

#include "hakmem/base/base.h"
#include "hakmem/heap/heap.h"

HAK_BEGIN_DECLS

/** A block of class `size_class`, the bin's slots being empty; leaves more in the slots. NULL: no memory. */
void* hak_unified_cache_refill(hak_heap* heap, uint32_t size_class);

/** A block, from the slots or else the run. *zeroed: it reads as zero. NULL: no memory. */
void* hak_unified_cache_take(hak_heap* heap, uint32_t size_class, bool* zeroed);

/** Frees `ptr`, in a slab of `heap`'s, the bin's slots being full. Misuse is reported. */
void hak_unified_cache_spill(hak_heap* heap, hak_bin* bin, void* ptr);

enum {
  /** So many frees of other threads' blocks in about a second make an exchange of blocks; before that they go home. Threads
   *  that take over what others allocated free each block once, and their own from then on. */
  HAK_UNIFIED_CACHE_EXCHANGE = 16 * 1024
};

/** Notes a free of another thread's block that joined no other in the out-box. */
HAK_ALWAYS_INLINE void hak_unified_cache_note_foreign(hak_heap* heap) {
  if (heap->foreign_frees > HAK_UNIFIED_CACHE_EXCHANGE) return;
  if (HAK_UNLIKELY(++heap->foreign_frees > HAK_UNIFIED_CACHE_EXCHANGE)) hak_heap_set_exchanging(heap, true);
}

/** Empties every cache of the heap into its slabs, publishes its out-box, merges remote frees, and releases every
 *  empty slab. */
void hak_unified_cache_flush(hak_heap* heap);

/** True when `ptr` is among the free blocks that the bin caches. O(cap); for paranoid checks. */
bool hak_unified_cache_holds(const hak_bin* bin, const void* ptr);

HAK_END_DECLS

#endif /* HAKMEM_UNIFIED_CACHE_UNIFIED_CACHE_H_ */
