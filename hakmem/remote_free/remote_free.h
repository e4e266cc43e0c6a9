/* Purpose: frees by a thread that does not own the block's slab.
 * Owns: the out-boxes of the heaps, the remote lines of the slabs, the mailboxes.
 * Invariants:
 *   1. A freed block's bit is in exactly one place: an out-box entry, its slab's remote_bits, or (collected) its
 *      free_bits. No bit is ever dropped.
 *   2. remote_bits not all zero and pending == 0: the publisher that set the bit has yet to look at pending.
 *   3. pending == 1: the slab is on one pending stack, or one thread is about to push it or to look at it again.
 *   4. pending_next belongs to the thread that turned pending from 0 to 1, until who pops the slab clears pending.
 *   5. A slab is complete when all its blocks are in remote_bits. Its owner then has no pointer to it but by its mailbox
 *      (warm_pool.h, invariant 3). Who pops it there while the owner does not merge may take it: the owner may sleep for long.
 * Threads: push and publish any thread, with its own heap; collect the owner of the mailbox (or who holds the
 *   parked-heap lock for a parked owner); take complete slabs any.
 * Ordering: a Dekker pair on (remote_bits, pending), both sides sequentially consistent. The publisher sets bits, then
 *   reads pending; the collector clears pending, then reads bits: one of the two sees the other. A second such pair
 *   on (mailbox, pending) covers slabs that change owner: docs/memory_order.md.
 * Cost: a push that joins an entry is about 25 instructions and no atomic; one locked instruction per published word
 *   of up to 64 blocks, two more for the first on a slab that is not pending, and two for the last of a slab.
 * Fails: never.  Fork: inherited; a slab whose publisher vanished between bits and pending keeps these bits unseen until
 *   the next remote free to it. One whose publisher vanished between pending and push stays pending: in the child no
 *   remote free to it is merged any more, a loss of one slab at most for each thread that vanished. One that
 *   vanished amid hak_remote_free_take_complete leaves those of one mailbox so. */
#ifndef HAKMEM_REMOTE_FREE_REMOTE_FREE_H_
#define HAKMEM_REMOTE_FREE_REMOTE_FREE_H_

#include "hakmem/base/base.h"
#include "hakmem/base/bits.h"
#include "hakmem/heap/heap.h"
#include "hakmem/slab/slab.h"

HAK_BEGIN_DECLS

typedef enum hak_remote_free_result {
  HAK_REMOTE_FREE_DONE,
  /** A block was free already; it is freed once. */
  HAK_REMOTE_FREE_DOUBLE,
  /** Done, and the slab was posted to a parked heap: nobody may look there soon, the caller should. */
  HAK_REMOTE_FREE_TO_PARKED
} hak_remote_free_result;

/** Frees block `index` of `slab` through the out-box of `heap`. DOUBLE: the block waits there already. Double frees that
 *  come to light because an entry is published are reported by the name of their block. */
hak_remote_free_result hak_remote_free_push(hak_heap* heap, hak_slab* slab, uint32_t index);

/** The out-box entry that a block of word `word` of `slab` would join. */
HAK_ALWAYS_INLINE hak_outbox_entry* hak_remote_free_entry(hak_heap* heap, const hak_slab* slab, uint32_t word) {
  const uintptr_t hash = (uintptr_t)slab->base / HAK_UNIT_BYTES + word;
  return &heap->outbox[hash % HAK_OUTBOX_ENTRIES];
}

/** What makes two blocks of a slab neighbours in the out-box: their word. The class as well, since a slab that was freed
 *  behind our back may be another class's now. */
HAK_ALWAYS_INLINE uint32_t hak_remote_free_key(const hak_slab* slab, uint32_t index) {
  return index >> 6 | (uint32_t)slab->size_class << 16;
}

/** The common case of hak_remote_free_push: the block joins an entry that is already there and does not fill it. False:
 *  nothing done. */
HAK_ALWAYS_INLINE bool hak_remote_free_try_join(hak_heap* heap, const hak_slab* slab, uint32_t index) {
  hak_outbox_entry* entry = hak_remote_free_entry(heap, slab, index >> 6);
  if (entry->slab != slab || entry->key != hak_remote_free_key(slab, index)) return false;
  const uint32_t room = entry->room;
  uint64_t mask = entry->mask;
  if (room <= 1 || hak_bits_set(&mask, index)) return false;
  entry->mask = mask;
  entry->room = room - 1;
  return true;
}

/** Frees the blocks of `mask` in word `word` of `slab` at once, without an out-box. */
hak_remote_free_result hak_remote_free_publish(hak_slab* slab, uint32_t word, uint64_t mask);

/** Owner, of a slab with every block free: reports what is on its way to it, which can be double frees only, and drops it. */
void hak_remote_free_reject(hak_slab* slab);

/** Publishes all that the out-box of `heap` holds. */
void hak_remote_free_flush(hak_heap* heap);

/** Takes the slabs all of whose blocks other threads than the owner have freed, and the owner none, and whose owner has not yet
 *  looked: every block free, without an owner, registry words unchanged. A list by `next`, for the caller to release. What lies deep in a
 *  long stack of posted slabs stays, for its owner to find. */
hak_slab* hak_remote_free_take_complete(void);

/** Private to remote_free.c; for the inline look that follows. The stack of slabs that were complete when they came here. */
extern hak_atomic_ptr hak_remote_free_complete_head;

/** True when hak_remote_free_take_complete may find some; a hint. */
HAK_ALWAYS_INLINE bool hak_remote_free_has_complete(void) {
  return hak_ptr_load_relaxed(&hak_remote_free_complete_head) != NULL;
}

/** True when slabs are posted in `mailbox`; a hint. */
HAK_ALWAYS_INLINE bool hak_remote_free_is_posted(const hak_mailbox* mailbox) {
  return hak_ptr_load_relaxed(&mailbox->head) != NULL;
}

/** Merges the remote frees of every slab posted to `bin` of `heap`. Slabs with free blocks join bin->partial. Slabs
 *  with every block free, but for the current one, leave the bin: returned as a list by `next`, for the caller to
 *  release. Slabs that now belong to others are forwarded. */
hak_slab* hak_remote_free_drain(hak_heap* heap, hak_bin* bin, uint32_t size_class);

HAK_END_DECLS

#endif /* HAKMEM_REMOTE_FREE_REMOTE_FREE_H_ */
