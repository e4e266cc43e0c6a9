/* Purpose: from any 64-bit value to what HAKMEM knows of that address.
 * Owns: the root table, and a 1 MiB leaf for every 4 GiB of addresses in which HAKMEM has memory.
 * Invariants:
 *   1. Every unit (64 KiB) of address space has a word and an owner. Word 0: not ours.
 *   2. A root entry is the distance from the zero leaf to a leaf; an unused one is 0 and so leads to the zero leaf,
 *      whose words are all 0. Any value may be looked up, without a branch.
 *   3. The owner is stored before the word (release); who got a block from that unit sees both.
 *   4. Leaves are never given back.
 * Threads: look-ups any; a unit is set and cleared only by who holds it.
 * Ordering: hak_registry_set stores release. A look-up needs no acquire: the block itself reached the caller by a
 *   synchronisation of the program's.
 * Cost: look-up 10 instructions, two dependent loads; set one or two stores a unit.
 * Fails: hak_registry_prepare returns false when the kernel has no memory for a leaf.  Fork: inherited as it is. */
#ifndef HAKMEM_REGISTRY_REGISTRY_H_
#define HAKMEM_REGISTRY_REGISTRY_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

/** What a word says when it is not the address of a bin. */
enum {
  HAK_REGISTRY_NONE = 0,
  /** First unit of a whale; the owner is its hak_whale. */
  HAK_REGISTRY_WHALE = 1,
  /** Unit of a span; the owner is the hak_slab of the span's first unit. */
  HAK_REGISTRY_SPAN = 2,
  /** Words above are addresses of bins; the owner is a hak_slab. */
  HAK_REGISTRY_LAST_TAG = 15
};

enum { HAK_REGISTRY_LEAF_UNITS = 1 << 16, HAK_REGISTRY_ROOT_ENTRIES = 1 << 16 };

/** Private to the registry; here for the inline look-ups. */
typedef struct hak_registry_leaf {
  hak_atomic_u64 word[HAK_REGISTRY_LEAF_UNITS];
  hak_atomic_ptr owner[HAK_REGISTRY_LEAF_UNITS];
} hak_registry_leaf;

typedef struct hak_registry_tables {
  /** Distance in bytes from the zero leaf to the leaf. Sync: atomic release, by compare-and-swap from 0. */
  hak_atomic_u64 root[HAK_REGISTRY_ROOT_ENTRIES];
  /** The zero leaf. It has no owners: nobody asks for the owner of word 0. */
  hak_atomic_u64 zero_words[HAK_REGISTRY_LEAF_UNITS];
} hak_registry_tables;

extern hak_registry_tables hak_registry;

/** Where a look-up goes: the tables, moved so that zero_words is the leaf. */
HAK_ALWAYS_INLINE const hak_registry_tables* hak_registry_tables_of(const void* ptr, uint64_t* index) {
  uint64_t unit = (uint64_t)(uintptr_t)ptr >> HAK_UNIT_SHIFT;
  *index = (uint16_t)unit;
  /* The two keep the compiler from computing ptr >> 16 and ptr >> 32 afresh, each in its own register: two
   * instructions less on the hit path of free. */
  __asm__("" : "+r"(*index));
  __asm__("" : "+r"(unit));
  const uint64_t distance = hak_u64_load_relaxed(&hak_registry.root[(uint16_t)(unit >> 16)]);
  return (const hak_registry_tables*)((uintptr_t)&hak_registry + distance);
}

/** The word of the unit that holds `ptr`; any value may be asked for. Bits 48 and up of `ptr` are not looked at. */
HAK_ALWAYS_INLINE uint64_t hak_registry_word(const void* ptr) {
  uint64_t index;
  const hak_registry_tables* tables = hak_registry_tables_of(ptr, &index);
  return hak_u64_load_relaxed(&tables->zero_words[index]);
}

/** The owner of the unit that holds `ptr`. The unit's word is not 0. */
HAK_ALWAYS_INLINE void* hak_registry_owner(const void* ptr) {
  uint64_t index;
  const hak_registry_tables* tables = hak_registry_tables_of(ptr, &index);
  const hak_registry_leaf* leaf = (const hak_registry_leaf*)(uintptr_t)tables->zero_words;
  return hak_ptr_load_relaxed(&leaf->owner[index]);
}

/** Makes room for the units of [base, base + size). False: no memory, or an address above 48 bits. */
bool hak_registry_prepare(const void* base, size_t size_bytes);

/** Sets the `units` units from `base` (a multiple of the unit; prepared) to `word` and `owner`. */
void hak_registry_set(const void* base, uint32_t units, uint64_t word, void* owner);

/** Makes the `units` units from `base` nobody's. */
void hak_registry_clear(const void* base, uint32_t units);

/** Bytes of leaves mapped so far. */
uint64_t hak_registry_leaf_bytes(void);

HAK_END_DECLS

#endif /* HAKMEM_REGISTRY_REGISTRY_H_ */
