/* Purpose: which block of the trace lies at an address.
 * Owns: a root of 128 MiB and a leaf of as much address space as there is memory below it; both are only as resident as
 *   they are written to.
 * Invariants:
 *   1. A word belongs to whoever owns the block there: between the malloc that returned it and its free nobody else looks.
 * Threads: any.  Ordering: a leaf is published with release; words follow the allocator's own handing over.
 * Cost: two loads.  Fails: hak_trace_shadow_at returns NULL without memory, and for addresses above 48 bits.
 * Fork: inherited; hak_trace_shadow_reset forgets all. */
#ifndef TOOLS_TRACE_SHADOW_H_
#define TOOLS_TRACE_SHADOW_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  HAK_TRACE_LEAF_SHIFT = 24,
  /* Some allocators' smallest blocks lie 8 bytes apart. */
  HAK_TRACE_WORD_SHIFT = 3,
  HAK_TRACE_ROOT_ENTRIES = 1 << (48 - HAK_TRACE_LEAF_SHIFT),
  HAK_TRACE_LEAF_WORDS = 1 << (HAK_TRACE_LEAF_SHIFT - HAK_TRACE_WORD_SHIFT)
};

extern uint64_t** hak_trace_shadow_root;

/** Maps the root, or forgets all that was noted. False: no memory. */
bool hak_trace_shadow_reset(void);

/** Maps the leaf of an address. */
uint64_t* hak_trace_shadow_slow(uintptr_t address);

/** The word of an address; 0 where nothing was noted. */
static inline uint64_t* hak_trace_shadow_at(const void* block) {
  const uintptr_t address = (uintptr_t)block;
  if (address >> 48 != 0) return NULL;
  uint64_t* leaf = __atomic_load_n(&hak_trace_shadow_root[address >> HAK_TRACE_LEAF_SHIFT], __ATOMIC_ACQUIRE);
  if (leaf == NULL) return hak_trace_shadow_slow(address);
  return &leaf[(address >> HAK_TRACE_WORD_SHIFT) & (HAK_TRACE_LEAF_WORDS - 1)];
}

#endif /* TOOLS_TRACE_SHADOW_H_ */
