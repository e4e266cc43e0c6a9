/* Purpose: the two hit paths.
 * Owns: the order of the loads and stores by which a block enters and leaves a bin's slots.
 * Invariants:
 *   1. heap.h, 1: *top .. end[-1] are cached, and first is *top, but amid a hit and after a handler amid a hit.
 *   2. No block is touched, no lock, no atomic read-modify-write, no loop, no call.
 * Threads: the heap's owner; the empty heap misses always, which is how a thread is instrumented, or exchanges blocks.
 * Ordering: slot before top on push, so that a fork between the two leaves a bin in the child that is consistent but for
 *   first, which is set anew there. On pop top first, then the slot is compared with first, then first: a handler of a signal
 *   amid a hit may take blocks and give them back, in whichever order.
 * Cost: pinned by hakmem/testing/hit_path_golden.txt; malloc at most 20 instructions, free at most 22 (x86-64, gcc).
 * Fails: a miss, which the gate's slow path serves.  Fork: as above. */
#ifndef HAKMEM_HOT_BOX_HOT_BOX_H_
#define HAKMEM_HOT_BOX_HOT_BOX_H_

#include "hakmem/base/base.h"
#include "hakmem/heap/heap.h"
#include "hakmem/registry/registry.h"

/** The bin at `offset` in the heap that serves the thread's mallocs, in one register. Where the compiler leaves the sum to each access, as clang
 *  does, a load of `top` waits for the store before it: Intel's processors forward at once only between accesses by a base
 *  and a constant (malloc, free of 64 B: 4.0 ns, and 1.3 so). */
HAK_ALWAYS_INLINE hak_bin* hak_hot_box_bin_at(uint16_t offset) {
  char* bin = (char*)hak_heap_mallocs + offset;
  __asm__("" : "+r"(bin));
  return (hak_bin*)(void*)bin;
}

/** The bin that serves `size_bytes`, at most HAK_SIZE_CLASS_TINY_MAX_BYTES. */
HAK_ALWAYS_INLINE hak_bin* hak_hot_box_tiny_bin(size_t size_bytes) {
  return hak_hot_box_bin_at(hak_heap_tiny_offset[(size_bytes + 15) >> 4]);
}

/** The bin that serves `size_bytes`, above HAK_SIZE_CLASS_TINY_MAX_BYTES and at most HAK_SIZE_CLASS_MAX_BYTES. */
HAK_ALWAYS_INLINE hak_bin* hak_hot_box_mid_bin(size_t size_bytes) {
  return hak_hot_box_bin_at(hak_heap_mid_offset[(size_bytes + HAK_HEAP_MID_STEP_BYTES - 1) / HAK_HEAP_MID_STEP_BYTES]);
}

/** True: *block is the newest cached block, no longer cached. False: the slots are empty, or first is to be set anew. */
HAK_ALWAYS_INLINE bool hak_hot_box_pop(hak_bin* bin, void** block) {
  void* const first = bin->first;
  if (HAK_UNLIKELY(first == NULL)) return false;
  void** const top = bin->top;
  bin->top = top + 1;
  hak_compiler_barrier();
  if (HAK_UNLIKELY(*top != first)) { /* a handler was here: the slow path puts it right */
    bin->top = top;
    return false;
  }
  bin->first = top[1];
  *block = first;
  return true;
}

/** True: `ptr`, a block of the bin's class, is cached. False: the slots are full, or `ptr` is the block that was freed last
 *  (a double free). */
HAK_ALWAYS_INLINE bool hak_hot_box_push_to(hak_bin* bin, void* ptr) {
  void** const top = bin->top;
  if (HAK_UNLIKELY(top == bin->begin)) return false;
  if (HAK_UNLIKELY(bin->first == ptr)) return false;
  top[-1] = ptr;
  bin->first = ptr;
  hak_compiler_barrier();
  bin->top = top - 1;
  return true;
}

/** True: `ptr` is cached. False: not a block of this thread's, or one that hak_hot_box_push_to does not take: the slow
 *  path tells which. */
HAK_ALWAYS_INLINE bool hak_hot_box_push(void* ptr) {
  const uint64_t word = hak_registry_word(ptr);
  if (HAK_UNLIKELY(!hak_heap_owns_word(hak_heap_frees, word))) return false;
  return hak_hot_box_push_to((hak_bin*)(uintptr_t)word, ptr);
}

#endif /* HAKMEM_HOT_BOX_HOT_BOX_H_ */
