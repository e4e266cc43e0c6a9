/* Purpose: from any 64-bit value to what HAKMEM knows of that address.
 * Owns: the window, a leaf of the 4 GiB around the first address; the root table, and a 1 MiB leaf for every other 4 GiB of
 *   addresses in which HAKMEM has memory.
 * Invariants:
 *   1. Every unit (64 KiB) of address space has a word and an owner. Word 0: not ours.
 *   2. Any value may be looked up.
 *   3. The owner is stored before the word (release); who got a block from that unit sees both.
 *   4. Leaves are never given back, and the window never moves.
 *   5. Units in the window have their words and owners there, and nothing in a leaf.
 * Threads: look-ups any; a unit is set and cleared only by who holds it.
 * Ordering: hak_registry_set stores release. A look-up needs no acquire: the block itself reached the caller by a
 *   synchronisation of the program's.
 * Cost: look-up 7 instructions and one load in the window, else 14 and two that depend on each other; set one or two
 *   stores a unit.
 * Fails: hak_registry_prepare returns false when the kernel has no memory for a leaf.  Fork: inherited as it is. */
#ifndef HAKMEM_REGISTRY_REGISTRY_H_
#define HAKMEM_REGISTRY_REGISTRY_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"
#include "hakmem/base/view_part.h"

HAK_BEGIN_DECLS

/** What a word says when it is not the address of a bin. */
enum {
  HAK_REGISTRY_NONE = 0,
  /** First unit of a whale; the owner is its hak_whale. */
  HAK_REGISTRY_WHALE = 1,
  /** Unit of a span; the owner is the hak_slab of the span's first unit. */
  HAK_REGISTRY_SPAN = 2,
  /** Unit of a slab of blocks that the heap profile has sampled; the owner is the hak_slab. */
  HAK_REGISTRY_SAMPLED = 3,
  /** Words above are addresses of bins; the owner is a hak_slab. */
  HAK_REGISTRY_LAST_TAG = 15
};

enum { HAK_REGISTRY_LEAF_UNITS = 1 << 16, HAK_REGISTRY_ROOT_ENTRIES = 1 << 16 };

/* Private to the registry from here on; for the inline look-ups. */

/** What is known of 4 GiB of addresses. */
typedef struct hak_registry_leaf {
  hak_atomic_u64 word[HAK_REGISTRY_LEAF_UNITS];
  hak_atomic_ptr owner[HAK_REGISTRY_LEAF_UNITS];
} hak_registry_leaf;

/** The leaf of each 4 GiB, or NULL. Sync: atomic release, by compare-and-swap from NULL */
extern hak_atomic_ptr hak_registry_root[HAK_REGISTRY_ROOT_ENTRIES];

/** The leaf of the 4 GiB around the first address that was prepared: one load away, where others are two. */
extern hak_registry_leaf hak_registry_window;

/** Where the window begins. On a cache line of its own, which every free reads. */
typedef struct hak_registry_window_place {
  /** What takes an address to its place in the window: minus the first address (to add it is one instruction less on the
   *  hit path of free). HAK_REGISTRY_NO_WINDOW until something is prepared. Sync: atomic, by compare-and-swap from there. */
  HAK_ALIGNED(HAK_CACHE_LINE_BYTES) hak_atomic_u64 minus_base;
} hak_registry_window_place;
extern hak_registry_window_place hak_registry_window_at;
#define HAK_REGISTRY_NO_WINDOW (1ull << 63) /* no address has its place below that */

/** Where the window begins when `first` is the first address and `stack` one of the caller's stack. */
uint64_t hak_registry_window_base_for(uint64_t first, uint64_t stack);

/** Index in the window of the unit that holds `ptr`; from HAK_REGISTRY_LEAF_UNITS on: it is not there. */
HAK_ALWAYS_INLINE uint64_t hak_registry_window_index(const void* ptr) {
  uint64_t index =
      ((uint64_t)(uintptr_t)ptr + hak_u64_load_relaxed(&hak_registry_window_at.minus_base)) >> HAK_UNIT_SHIFT;
  /* Keeps clang from comparing and scaling the unshifted difference: two instructions less on the hit path of free. */
  __asm__("" : "+r"(index));
  return index;
}

/** The leaf of an address outside the window; NULL where there is none, as above 48 bits. */
HAK_ALWAYS_INLINE const hak_registry_leaf* hak_registry_far_leaf(const void* ptr) {
  const uint64_t entry = (uint64_t)(uintptr_t)ptr >> 32;
  if (HAK_UNLIKELY(entry >= HAK_REGISTRY_ROOT_ENTRIES)) return NULL;
  return (const hak_registry_leaf*)hak_ptr_load_relaxed(&hak_registry_root[entry]);
}

HAK_ALWAYS_INLINE uint16_t hak_registry_leaf_index(const void* ptr) {
  return (uint16_t)((uint64_t)(uintptr_t)ptr >> HAK_UNIT_SHIFT);
}

/** The word of the unit that holds `ptr`; any value may be asked for. Above 48 bits there are none. */
HAK_ALWAYS_INLINE uint64_t hak_registry_word(const void* ptr) {
  const uint64_t near = hak_registry_window_index(ptr);
  if (HAK_LIKELY(near < HAK_REGISTRY_LEAF_UNITS)) return hak_u64_load_relaxed(&hak_registry_window.word[near]);
  const hak_registry_leaf* leaf = hak_registry_far_leaf(ptr);
  return leaf == NULL ? (uint64_t)HAK_REGISTRY_NONE : hak_u64_load_relaxed(&leaf->word[hak_registry_leaf_index(ptr)]);
}

/** The owner of the unit that holds `ptr`. The unit's word is not 0. */
HAK_ALWAYS_INLINE void* hak_registry_owner(const void* ptr) {
  const uint64_t near = hak_registry_window_index(ptr);
  if (HAK_LIKELY(near < HAK_REGISTRY_LEAF_UNITS)) return hak_ptr_load_relaxed(&hak_registry_window.owner[near]);
  const hak_registry_leaf* leaf = hak_registry_far_leaf(ptr);
  return leaf == NULL ? NULL : hak_ptr_load_relaxed(&leaf->owner[hak_registry_leaf_index(ptr)]);
}

/** Word and owner of a unit. */
typedef struct hak_registry_entry {
  uint64_t word;
  void* owner; /* meaningless where the word is 0 */
} hak_registry_entry;

/** Both of the unit that holds `ptr`, any value. */
HAK_ALWAYS_INLINE hak_registry_entry hak_registry_look_up(const void* ptr) {
  hak_registry_entry out = {HAK_REGISTRY_NONE, NULL};
  const uint64_t near = hak_registry_window_index(ptr);
  if (HAK_LIKELY(near < HAK_REGISTRY_LEAF_UNITS)) {
    out.word = hak_u64_load_relaxed(&hak_registry_window.word[near]);
    out.owner = hak_ptr_load_relaxed(&hak_registry_window.owner[near]);
    return out;
  }
  const hak_registry_leaf* leaf = hak_registry_far_leaf(ptr);
  if (leaf == NULL) return out;
  out.word = hak_u64_load_relaxed(&leaf->word[hak_registry_leaf_index(ptr)]);
  out.owner = hak_ptr_load_relaxed(&leaf->owner[hak_registry_leaf_index(ptr)]);
  return out;
}

/** Makes room for the units of [base, base + size). False: no memory, or an address above 48 bits. */
bool hak_registry_prepare(const void* base, size_t size_bytes);

/** Sets the `units` units from `base` (a multiple of the unit; prepared) to `word` and `owner`. */
void hak_registry_set(const void* base, uint32_t units, uint64_t word, void* owner);

/** Sets the word of the unit at `base` (prepared) and leaves its owner, which has been set, as it is: nothing is published. */
HAK_ALWAYS_INLINE void hak_registry_set_word(const void* base, uint64_t word) {
  const uint64_t near = hak_registry_window_index(base);
  if (HAK_LIKELY(near < HAK_REGISTRY_LEAF_UNITS)) {
    hak_u64_store_relaxed(&hak_registry_window.word[near], word);
    return;
  }
  hak_registry_leaf* leaf =
      (hak_registry_leaf*)hak_ptr_load_relaxed(&hak_registry_root[(uint64_t)(uintptr_t)base >> 32]);
  hak_u64_store_relaxed(&leaf->word[hak_registry_leaf_index(base)], word);
}

/** Makes the `units` units from `base` nobody's. */
void hak_registry_clear(const void* base, uint32_t units);

/** Bytes of leaves mapped so far. */
uint64_t hak_registry_leaf_bytes(void);

/** Bytes of window, root and leaves that are in memory. */
uint64_t hak_registry_resident_bytes(void);

/** For hakmem/view. */
extern const hak_view_part hak_registry_view;

HAK_END_DECLS

#endif /* HAKMEM_REGISTRY_REGISTRY_H_ */
