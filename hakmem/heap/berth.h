/* Purpose: a place for the large block that a thread freed last, which it takes again by one locked instruction.
 * Owns: nothing; who parks blocks has the berths and says what waits in them.
 * Invariants:
 *   1. Only the thread of the berth's heap puts a guest in, and only while there is none; any thread takes it out.
 *   2. What was taken out is whose exchange returned it.
 *   3. A heap that goes from thread to thread takes its berth along.
 * Threads: as marked.
 * Ordering: a guest is released by the store that parks it, and acquired by the exchange that takes it.
 * Cost: parking is a few loads and stores.  Fails: never.  Fork: inherited; a purge of the child takes what others parked. */
#ifndef HAKMEM_HEAP_BERTH_H_
#define HAKMEM_HEAP_BERTH_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"
#include "hakmem/heap/heap.h"

HAK_BEGIN_DECLS

enum { HAK_BERTHS = 16 };

typedef struct hak_berth {
  HAK_ALIGNED(HAK_CACHE_LINE_BYTES)
  hak_atomic_ptr heap;  /* whose it is, for good; NULL: nobody's. Sync: atomic, by compare-and-swap from NULL */
  hak_atomic_ptr guest; /* NULL: none. Sync: atomic */
  hak_atomic_u64 size;  /* of the guest, in its box's terms. Sync: the heap's thread writes, any reads */
  uint32_t count;       /* of guests that have been put in. Sync: the heap's thread */
} hak_berth;

/** Which of HAK_BERTHS berths is the heap's; NULL where another heap was there first, or it is no real heap. */
HAK_ALWAYS_INLINE hak_berth* hak_berth_of(hak_berth* berths, hak_heap* heap) {
  hak_berth* berth = &berths[((uintptr_t)heap >> 12) % HAK_BERTHS];
  void* owner = hak_ptr_load_relaxed(&berth->heap);
  if (HAK_LIKELY(owner == heap)) return berth;
  if (owner != NULL || !hak_heap_is_real(heap)) return NULL;
  return hak_ptr_cas_acq_rel(&berth->heap, &owner, heap) ? berth : NULL;
}

/** A guess of other threads'; false is certain for the heap's own thread. */
HAK_ALWAYS_INLINE bool hak_berth_has_guest(const hak_berth* berth) {
  return hak_ptr_load_relaxed(&berth->guest) != NULL;
}

/** The same of all of them. */
HAK_ALWAYS_INLINE bool hak_berths_have_guests(const hak_berth* berths) {
  for (uint32_t i = 0; i < HAK_BERTHS; i++) {
    if (hak_berth_has_guest(&berths[i])) return true;
  }
  return false;
}

/** The heap's thread, where there is no guest. No locked instruction: nobody else puts one in. Returns how many have been
 *  put in with this one, never 0. */
HAK_ALWAYS_INLINE uint32_t hak_berth_park(hak_berth* berth, void* guest, uint64_t size) {
  hak_u64_store_relaxed(&berth->size, size);
  /* Release: pairs with the exchange that takes it. */
  hak_ptr_store_release(&berth->guest, guest);
  if (++berth->count == 0) berth->count = 1;
  return berth->count;
}

/** Any thread. NULL: another was faster. */
HAK_ALWAYS_INLINE void* hak_berth_take(hak_berth* berth) { return hak_ptr_exchange_acquire(&berth->guest, NULL); }

/** Any thread: takes every guest out and gives it to `settle`, with the time that it is. */
HAK_ALWAYS_INLINE void hak_berths_settle(hak_berth* berths, void (*settle)(void* guest, uint64_t now_ms),
                                         uint64_t now_ms) {
  for (uint32_t i = 0; i < HAK_BERTHS; i++) {
    if (!hak_berth_has_guest(&berths[i])) continue;
    void* guest = hak_berth_take(&berths[i]);
    if (guest != NULL) settle(guest, now_ms);
  }
}

HAK_END_DECLS

#endif /* HAKMEM_HEAP_BERTH_H_ */
