/* Purpose: the descriptor of a slab: blocks of one size, their free state in bitmaps, nothing in the blocks.
 * Owns: the descriptor's fields. The memory belongs to a SuperSlab of the shared pool.
 * Invariants:
 *   1. Bit i of `free_bits` set: block i is free in the slab. Clear: with the program, or in its bin's cache or run
 *      word, or freed from afar with its bit in `remote_bits` (or still in some thread's out-box).
 *   2. free_count is the number of set bits in free_bits; of a span it is 1 while the span is parked (shared_pool.h, 8), else
 *      0.
 *   3. Words below `first_word` of free_bits are 0.
 *   4. Blocks of words from `fresh_word` on have not been handed out since their pages were last known to be zero. In a
 *      slab of one word `clean_bits` says so block by block, and `fresh_word` is 1: bits of it are bits of free_bits.
 *   5. `mailbox` is NULL while the slab belongs to nobody; else it is changed only by the owning thread, under the
 *      parked-heap lock when the owner is parked, or by who takes a complete slab (remote_free).
 *   6. The remote line outlives every owner: acquire and release of a slab leave it alone.
 * Threads: as marked at each field; each group has a cache line of its own, by who writes it.
 * Ordering: remote_free has the protocol.
 * Cost: give and take are a handful of instructions and one bitmap word.  Fails: never.  Fork: inherited. */
#ifndef HAKMEM_SLAB_SLAB_H_
#define HAKMEM_SLAB_SLAB_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"
#include "hakmem/base/bits.h"
#include "hakmem/size_class/size_class.h"

HAK_BEGIN_DECLS

struct hak_bin;
struct hak_superslab;

enum {
  HAK_SLAB_WORDS_MAX = HAK_SIZE_CLASS_MAX_BLOCKS / 64,
  /** `size_class` of a span: one block of whole units that no class serves. */
  HAK_SLAB_SPAN = 0xff
};

typedef struct hak_slab {
  /* Read-mostly: written when the slab is acquired. */
  char* base;
  uint64_t* free_bits;         /* Sync: owner */
  hak_atomic_u64* remote_bits; /* Sync: atomic, remote_free */
  struct hak_superslab* superslab;
  hak_atomic_ptr mailbox; /* hak_mailbox of the owner. Sync: atomic seq */
  uint32_t block_bytes;
  uint32_t reciprocal;
  uint16_t blocks;
  uint16_t words;
  uint8_t size_class;
  uint8_t units;
  uint8_t first_unit; /* index in the SuperSlab */
  /* size_class | units << 8 once more, for reports, which may look while the units change hands. Sync: atomic */
  hak_atomic_u32 shape;
  /* Of a span: the units that are held behind it for its growth, first | end << 8; 0: none. Sync: atomic, shared pool */
  hak_atomic_u32 room;

  /* Owner-written. */
  HAK_ALIGNED(HAK_CACHE_LINE_BYTES)
  hak_atomic_u32 free_count; /* Sync: owner writes, reports read */
  uint16_t first_word;
  uint16_t fresh_word;
  uint64_t clean_bits;
  struct hak_bin* bin;
  struct hak_slab* next; /* in the bin's list of slabs with free blocks */
  struct hak_slab* prev;
  bool listed;
  /* Of a span: all its units were dirty when it was acquired, and it has kept its size: they had been let lie idle. Sync: who
   * has the block */
  bool reused;
  /* Of a span that grows: the bytes asked for last; 0: any other. Sync: who has the block */
  uint32_t asked_bytes;
  /* Of a span: its sample in the heap profile, 0: none. Sync: who has the block */
  uint32_t sample;

  /* Remote-written. */
  HAK_ALIGNED(HAK_CACHE_LINE_BYTES)
  hak_atomic_u32 pending;         /* 1: on a pending stack, or on its way there. Sync: atomic seq */
  struct hak_slab* pending_next;  /* Sync: who set pending, until who clears it */
  hak_atomic_u32 complete;        /* 1: on the stack of complete slabs, or on its way there. Sync: atomic seq */
  struct hak_slab* complete_next; /* Sync: who set complete, until who clears it */
} hak_slab;

HAK_STATIC_ASSERT(sizeof(hak_slab) == 3 * HAK_CACHE_LINE_BYTES, "one line a writer");

/** Makes `slab` (base, bitmaps, first_unit and superslab set by the shared pool) one of class `size_class` with every
 *  block free. `zeroed`: its memory is known to be zero. */
void hak_slab_init(hak_slab* slab, uint32_t size_class, bool zeroed);

/** Makes `slab` a span of `units` units: one block, taken. */
void hak_slab_init_span(hak_slab* slab, uint32_t units);

/** Says that a span is `units` units long from now on. */
void hak_slab_resize_span(hak_slab* slab, uint32_t units);

/** What reports say of a slab or span. */
typedef struct hak_slab_figures {
  uint8_t size_class; /* or HAK_SLAB_SPAN */
  uint64_t slab_bytes;
  uint64_t taken_blocks;
  uint64_t taken_bytes;
} hak_slab_figures;

/** Any thread, at any time; of a slab that changes hands meanwhile the figures may be those of before or after, or none
 *  taken. */
hak_slab_figures hak_slab_read_figures(const hak_slab* slab);

/** Where `ptr`, which lies in the slab, points: the upper half is the index of its block, the lower half is less than the
 *  reciprocal where it points to the block's start (size_class.h, 3 and 6). */
HAK_ALWAYS_INLINE uint64_t hak_slab_place(const hak_slab* slab, const void* ptr) {
  return (uint64_t)((const char*)ptr - slab->base) * slab->reciprocal;
}

/** True when a block starts at the place. */
HAK_ALWAYS_INLINE bool hak_slab_is_block_at(const hak_slab* slab, uint64_t place) {
  return (uint32_t)place < slab->reciprocal && (place >> 32) < slab->blocks;
}

/** Index of the block that holds `ptr`, which lies in the slab. */
HAK_ALWAYS_INLINE uint32_t hak_slab_index(const hak_slab* slab, const void* ptr) {
  return (uint32_t)(hak_slab_place(slab, ptr) >> 32);
}

HAK_ALWAYS_INLINE char* hak_slab_block(const hak_slab* slab, uint32_t index) {
  return slab->base + (size_t)index * slab->block_bytes;
}

/** True when `ptr` is where block `index` starts and the slab has such a block. */
HAK_ALWAYS_INLINE bool hak_slab_is_block(const hak_slab* slab, uint32_t index, const void* ptr) {
  return index < slab->blocks && hak_slab_block(slab, index) == (const char*)ptr;
}

HAK_ALWAYS_INLINE uint32_t hak_slab_free_count(const hak_slab* slab) { return hak_u32_load_relaxed(&slab->free_count); }

HAK_ALWAYS_INLINE bool hak_slab_is_empty(const hak_slab* slab) { return hak_slab_free_count(slab) == slab->blocks; }

/** Owner: gives block `index` back. False: it was free already (a double free), nothing changed. */
HAK_ALWAYS_INLINE bool hak_slab_give(hak_slab* slab, uint32_t index) {
  const uint32_t word = index >> 6;
  uint64_t bits = slab->free_bits[word];
  if (HAK_UNLIKELY(hak_bits_set(&bits, index))) return false;
  slab->free_bits[word] = bits;
  hak_u32_bump_single_writer(&slab->free_count, 1);
  if (word < slab->first_word) slab->first_word = (uint16_t)word;
  return true;
}

/** Owner: gives the blocks of `mask` in word `word` back. Returns the bits that were free already. */
HAK_ALWAYS_INLINE uint64_t hak_slab_give_word(hak_slab* slab, uint32_t word, uint64_t mask) {
  const uint64_t old = slab->free_bits[word];
  const uint64_t fresh = mask & ~old;
  slab->free_bits[word] = old | fresh;
  /* Most often one bit: counted without a population count. */
  hak_u32_bump_single_writer(&slab->free_count, (fresh & (fresh - 1)) == 0 ? fresh != 0 : hak_bits_count(fresh));
  if (word < slab->first_word && fresh != 0) slab->first_word = (uint16_t)word;
  return mask & old;
}

/** Reports a double free of each block of `mask` in word `word`. */
void hak_slab_report_twice(const hak_slab* slab, uint32_t word, uint64_t mask);

/** A run: up to 64 free blocks of one word, taken out of their slab. */
typedef struct hak_slab_run {
  uint64_t mask; /* bit i: block i after `base` */
  char* base;
  bool zeroed;
} hak_slab_run;

/** Owner: true when the blocks that hak_slab_take_run takes next read as zero: their pages may not be there yet. The slab has
 *  free blocks. */
HAK_ALWAYS_INLINE bool hak_slab_is_next_fresh(hak_slab* slab) {
  if (slab->clean_bits != 0) return slab->clean_bits == slab->free_bits[0];
  while (slab->first_word < slab->fresh_word && slab->free_bits[slab->first_word] == 0) slab->first_word++;
  return slab->first_word >= slab->fresh_word;
}

/** Owner: takes the free blocks of the lowest word that has any: those that may be dirty, or else those known to be
 *  zero. The slab has free blocks. */
hak_slab_run hak_slab_take_run(hak_slab* slab);

/** Owner: of a slab of one word, says that the free blocks of `mask` read as zero. Else: nothing. */
HAK_ALWAYS_INLINE void hak_slab_mark_clean(hak_slab* slab, uint64_t mask) {
  if (slab->words == 1) slab->clean_bits |= mask;
}

/** Paranoid walk: invariants 1 to 3. */
bool hak_slab_is_valid(const hak_slab* slab);

/* Lists of slabs with free blocks, doubly linked, owned by the bin's owner. */

HAK_ALWAYS_INLINE void hak_slab_list_push(hak_slab** head, hak_slab* slab) {
  slab->prev = NULL;
  slab->next = *head;
  if (*head != NULL) (*head)->prev = slab;
  *head = slab;
  slab->listed = true;
}

HAK_ALWAYS_INLINE void hak_slab_list_remove(hak_slab** head, hak_slab* slab) {
  if (slab->prev != NULL) {
    slab->prev->next = slab->next;
  } else {
    *head = slab->next;
  }
  if (slab->next != NULL) slab->next->prev = slab->prev;
  slab->next = slab->prev = NULL;
  slab->listed = false;
}

HAK_END_DECLS

#endif /* HAKMEM_SLAB_SLAB_H_ */
