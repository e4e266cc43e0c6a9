/* Private to the whale cache: a place for the whale that a thread freed last, which it takes again by one locked instruction.
 * Invariants:
 *   1. Only the thread of the berth's heap puts a whale in, and only while there is none; any thread takes it out.
 *   2. What was taken out is whose exchange returned it. */
#ifndef HAKMEM_WHALE_CACHE_BERTH_INL_H_
#define HAKMEM_WHALE_CACHE_BERTH_INL_H_

#include "hakmem/base/atomics.h"
#include "hakmem/heap/heap.h"

enum { HAK_BERTHS = 16 };

typedef struct hak_berth {
  HAK_ALIGNED(HAK_CACHE_LINE_BYTES)
  hak_atomic_ptr heap;  /* whose it is, for good; NULL: nobody's. Sync: atomic, by compare-and-swap from NULL */
  hak_atomic_ptr whale; /* NULL: none. Sync: atomic */
  hak_atomic_u64 bytes; /* of the whale. Sync: the heap's thread writes, any reads */
  uint32_t count;       /* of whales that have been put in. Sync: the heap's thread */
} hak_berth;

extern hak_berth hak_berths[HAK_BERTHS];

/** The berth of a heap, or NULL where another heap was there first, or it is no real heap. A heap that goes from thread to
 *  thread takes its berth along. */
HAK_ALWAYS_INLINE hak_berth* hak_berth_of(hak_heap* heap) {
  hak_berth* berth = &hak_berths[((uintptr_t)heap >> 12) % HAK_BERTHS];
  void* owner = hak_ptr_load_relaxed(&berth->heap);
  if (HAK_LIKELY(owner == heap)) return berth;
  if (owner != NULL || !hak_heap_is_real(heap)) return NULL;
  return hak_ptr_cas_acq_rel(&berth->heap, &owner, heap) ? berth : NULL;
}

#endif /* HAKMEM_WHALE_CACHE_BERTH_INL_H_ */
