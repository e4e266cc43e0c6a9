/* Purpose: a thread's own slabs: where runs come from, where its frees go back to.
 * Owns: each bin's current slab and list of partial slabs.
 * Invariants:
 *   1. A slab of the bin with free blocks is current or in bin->partial; one without is in neither.
 *   2. Besides the current slab a bin keeps at most one slab with every block free: the one it would need next.
 *   3. The bin has no pointer to a slab without free blocks, but by its run as long as that holds blocks.
 * Threads: the heap's owner.
 * Ordering: none; remote frees arrive through remote_free.
 * Cost: O(1), plus the words skipped in a slab's bitmap.
 * Fails: hak_warm_pool_refill_run returns false when there is no memory.  Fork: inherited. */
#ifndef HAKMEM_WARM_POOL_WARM_POOL_H_
#define HAKMEM_WARM_POOL_WARM_POOL_H_

#include "hakmem/base/base.h"
#include "hakmem/heap/heap.h"

HAK_BEGIN_DECLS

/** Fills the bin's run, which is empty: from the current slab, another of the bin's, one that remote frees refilled, or
 *  the shared pool; used blocks of any of the bin's slabs before fresh ones. False: no memory. */
bool hak_warm_pool_refill_run(hak_heap* heap, hak_bin* bin);

/** Files a slab of the bin's, not the current one, that was full, or was current, or is empty now. */
void hak_warm_pool_file(hak_heap* heap, hak_bin* bin, hak_slab* slab);

/** After `slab` has gained free blocks. Most often it had some before, and is where it belongs. */
HAK_ALWAYS_INLINE void hak_warm_pool_settle(hak_heap* heap, hak_bin* bin, hak_slab* slab) {
  if (HAK_LIKELY(slab == bin->current || (slab->listed && !hak_slab_is_empty(slab)))) return;
  hak_warm_pool_file(heap, bin, slab);
}

/** Gives block `index` of `slab`, a slab of the bin's, back. False: it was free already; nothing changed. */
HAK_ALWAYS_INLINE bool hak_warm_pool_give(hak_heap* heap, hak_bin* bin, hak_slab* slab, uint32_t index) {
  if (HAK_UNLIKELY(!hak_slab_give(slab, index))) return false;
  hak_warm_pool_settle(heap, bin, slab);
  return true;
}

/** Gives the blocks of `mask` in word `word` of `slab` back. Returns the bits that were free already. */
uint64_t hak_warm_pool_give_word(hak_heap* heap, hak_bin* bin, hak_slab* slab, uint32_t word, uint64_t mask);

/** Gives the rest of the bin's run back to its slab. */
void hak_warm_pool_give_run(hak_heap* heap, hak_bin* bin);

/** Merges what remote threads freed. Of the slabs that become empty the bin keeps one if it has nothing else to go on
 *  with; the others are released. */
void hak_warm_pool_merge(hak_heap* heap, hak_bin* bin);

/** Merges what remote threads freed, and releases every empty slab, the current one included. */
void hak_warm_pool_trim(hak_heap* heap, hak_bin* bin);

/** Gives the pages of free blocks in the heap's partial slabs back to the kernel, where blocks are whole pages. Returns
 *  the bytes given back. */
uint64_t hak_warm_pool_purge(hak_heap* heap);

HAK_END_DECLS

#endif /* HAKMEM_WARM_POOL_WARM_POOL_H_ */
