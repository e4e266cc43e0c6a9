/* Private to the shared pool: the SuperSlab descriptor and the parts the pool is made of. */
#ifndef HAKMEM_SHARED_POOL_SUPERSLAB_INL_H_
#define HAKMEM_SHARED_POOL_SUPERSLAB_INL_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"
#include "hakmem/base/bits.h"
#include "hakmem/os/lock.h"
#include "hakmem/slab/slab.h"

HAK_BEGIN_DECLS

enum {
  HAK_SUPERSLAB_IDS_PER_CHUNK = 512,
  HAK_SUPERSLAB_CHUNKS = 1024,
  /** One TiB of SuperSlabs. */
  HAK_SUPERSLAB_IDS_MAX = HAK_SUPERSLAB_IDS_PER_CHUNK * HAK_SUPERSLAB_CHUNKS,
  HAK_SUPERSLAB_ALL_UNITS_COUNT = HAK_SUPERSLAB_UNITS,
  /** Words between the bitmaps of two units: one cache line more than they need, so that the bitmaps of equal slabs
   *  do not all fall into the same cache sets. */
  HAK_SUPERSLAB_BITMAP_WORDS = HAK_SLAB_WORDS_MAX + HAK_CACHE_LINE_BYTES / 8
};

#define HAK_SUPERSLAB_ALL_UNITS 0xffffffffu

/** Descriptor of 2 MiB of memory. Its address and id never change; its memory does, between two uses. What lies before the
 *  bitmaps stays for good: threads that publish late still look at slabs that are gone. */
typedef struct hak_superslab {
  HAK_ALIGNED(4096) char* base; /* Sync: who holds all units */
  uint32_t id;
  hak_atomic_u32 free_units;   /* bit: unit free. Sync: atomic acq_rel */
  hak_atomic_u32 dirty_units;  /* bit: unit may not read as zero. Sync: atomic; a unit's bit by who holds the unit */
  hak_atomic_u32 heads;        /* bit: a live slab or span starts here. Sync: atomic relaxed, for reports */
  hak_atomic_u32 in_use;       /* 1: has memory. Sync: who holds all units writes, reports read */
  hak_atomic_u64 freed_ms;     /* when a unit was last freed */
  struct hak_superslab* newer; /* in the empty cache, or the free list. Sync: pool lock */
  struct hak_superslab* older;
  HAK_ALIGNED(HAK_CACHE_LINE_BYTES) hak_slab slabs[HAK_SUPERSLAB_UNITS];
  /* Of unit i from HAK_SUPERSLAB_BITMAP_WORDS * i on. All 0 when the SuperSlab has no memory, or as its slabs left them.
   * Those of remote frees lie by themselves: where there are none, their pages stay untouched. */
  HAK_ALIGNED(HAK_CACHE_LINE_BYTES)
  uint64_t bitmaps[HAK_SUPERSLAB_UNITS * HAK_SUPERSLAB_BITMAP_WORDS];
  hak_atomic_u64 remote_bitmaps[HAK_SUPERSLAB_UNITS * HAK_SUPERSLAB_BITMAP_WORDS];
} hak_superslab;

HAK_STATIC_ASSERT(sizeof(hak_superslab) == 11 * 4096, "whole pages of metadata");

/* superslab.c: descriptors, and the sums over all of them. */

/** A SuperSlab with fresh zeroed memory and all units held by the caller, or NULL. */
hak_superslab* hak_superslab_map(void);
/** Gives the memory of a SuperSlab, all units held by the caller, back to the kernel. False: refused; still held. */
bool hak_superslab_unmap(hak_superslab* superslab);
/** Counts a change: units that came into use (or left it), and dirty units that became free (or ceased to be). */
void hak_superslab_count(int64_t used_units, int64_t dirty_units);
typedef struct hak_superslab_sums {
  uint64_t used_units;
  uint64_t dirty_units; /* free ones, those of the empty cache among them */
} hak_superslab_sums;
hak_superslab_sums hak_superslab_read_sums(void);
/** Notes that the units of `mask`, which the caller holds, read as zero. */
void hak_superslab_mark_clean(hak_superslab* superslab, uint32_t mask);
/** By id; NULL where there is none yet. */
hak_superslab* hak_superslab_by_id(uint32_t id);
/** Ids are below this. */
uint32_t hak_superslab_id_end(void);
hak_lock* hak_superslab_lock(void);

/* tiers.c: which SuperSlabs have free units. */

typedef enum hak_tier { HAK_TIER_HOT, HAK_TIER_DRAINING, HAK_TIER_COUNT, HAK_TIER_NONE = HAK_TIER_COUNT } hak_tier;

/** Brings the index in line with the SuperSlab's mask. Called after every change of the mask. */
void hak_tiers_refresh(hak_superslab* superslab);
/** Private to tiers.c; for the inline look that follows. Of the first 16 GiB: more would be address space for all. */
enum { HAK_TIERS_HINTS = 8192 };
extern hak_atomic_u32 hak_tiers_free_hints[HAK_TIERS_HINTS];
/** The SuperSlab's free units, as far as is known without a look at its descriptor; else all. */
HAK_ALWAYS_INLINE uint32_t hak_tiers_free_hint(uint32_t id) {
  return HAK_LIKELY(id < HAK_TIERS_HINTS) ? hak_u32_load_relaxed(&hak_tiers_free_hints[id]) : HAK_SUPERSLAB_ALL_UNITS;
}
/** Lowest id from `id` on that is listed in `tier`, and marked as dirty where only such are asked for; or
 *  HAK_SUPERSLAB_IDS_MAX. */
uint32_t hak_tiers_next(hak_tier tier, bool dirty, uint32_t id);
/** The same 64 at a time, ids from 64 * *word on: a bit for each of the first 64 of which any are listed, and *word which these
 *  are; or 0. */
uint64_t hak_tiers_next_word(hak_tier tier, bool dirty, uint32_t* word);
/** The set of SuperSlabs with dirty free units. */
void hak_tiers_mark_dirty(uint32_t id);
/** Takes the mark away where the SuperSlab has no dirty free unit any more. */
void hak_tiers_check_dirty(uint32_t id);
/** Takes the lowest marked id from `id` on, or returns HAK_SUPERSLAB_IDS_MAX. */
uint32_t hak_tiers_take_dirty(uint32_t id);

/* empty_cache.c: SuperSlabs without a single used unit. */

/** Puts one in, all units held. */
void hak_empty_cache_push(hak_superslab* superslab, uint64_t now_ms);
/** Takes the youngest, all units held, or NULL. */
hak_superslab* hak_empty_cache_pop(void);
/** Unmaps what is older than decay_ms, and the oldest above `keep`. Returns the bytes unmapped. */
uint64_t hak_empty_cache_trim(uint64_t now_ms, uint64_t decay_ms, uint64_t keep);
uint64_t hak_empty_cache_count(void);

/* units.c: units that are claimed and given back, and the stages of an acquire from unused ones on. */

HAK_ALWAYS_INLINE uint32_t hak_units_mask(uint32_t first, uint32_t units) {
  return (uint32_t)(hak_bits_low_mask(units) << first);
}
/** True when every unit of the slab reads as zero. */
HAK_ALWAYS_INLINE bool hak_units_are_zeroed(const hak_slab* slab, uint32_t units) {
  return (hak_u32_load_relaxed(&slab->superslab->dirty_units) & hak_units_mask(slab->first_unit, units)) == 0;
}
/** Notes for reports whether a live slab or span starts here. */
HAK_ALWAYS_INLINE void hak_units_mark_head(hak_slab* slab, bool live) {
  const uint32_t bit = 1u << slab->first_unit;
  if (live) {
    hak_u32_fetch_or_seq(&slab->superslab->heads, bit);
  } else {
    hak_u32_fetch_and_seq(&slab->superslab->heads, ~bit);
  }
}
/** The stages from unused units on. The slab's units are held; nothing else is set. NULL: no memory. */
hak_slab* hak_units_acquire(uint32_t units);
/** The same for `wide` units of which the first `units` are used soon: no dirty ones are looked for, and no room taken. */
hak_slab* hak_units_acquire_wide(uint32_t wide, uint32_t units);
/** Claims the units of `mask`. False: not all of them are free; nothing changed. */
bool hak_units_claim_exactly(hak_superslab* superslab, uint32_t mask);
/** Gives held units back. A SuperSlab that becomes empty goes to the empty cache. */
void hak_units_free(hak_superslab* superslab, uint32_t mask);
/** The same for units that a slab or span has used, with their registry words and the sums. */
void hak_units_release(hak_slab* slab, uint32_t first, uint32_t units);

/* spans.c: spans, and room for those that grow. */

/** Of the units in a hak_slab.room. */
HAK_ALWAYS_INLINE uint32_t hak_spans_room_mask(uint32_t room) {
  return room == 0 ? 0 : hak_units_mask(room & 0xff, (room >> 8) - (room & 0xff));
}
/** Takes the room of all spans away. True: there is more free than there was. */
bool hak_spans_take_rooms(void);

/* span_berth.c: spans that threads have freed last. */

bool hak_span_berths_have_guests(void);
/** Releases them all. */
void hak_span_berths_settle(void);

/* give_back.c: free memory goes back to the kernel. */

/** After units have been released: SuperSlabs beyond those that may stay empty are unmapped, and what is free goes back
 *  where it is too much (surplus.h). */
void hak_give_back_surplus(void);
/** `size_bytes` that the kernel has to supply have been taken into use. */
void hak_give_back_on_take(uint64_t size_bytes);
/** Bytes that were asked for again soon after they went back. */
uint64_t hak_give_back_again_bytes(void);

/* figures.c: what reports ask for. */

/** What happens in the pool, added to where it does. Sync: atomic relaxed */
typedef struct hak_figures_counts {
  hak_atomic_u64 from_orphan, from_units, from_empty, from_new; /* acquires by stage */
  hak_atomic_u64 complete, complete_blocks; /* slabs that others than their owners have freed whole */
  hak_atomic_u64 purged_bytes;
} hak_figures_counts;
extern hak_figures_counts hak_figures_counted;

HAK_END_DECLS

#endif /* HAKMEM_SHARED_POOL_SUPERSLAB_INL_H_ */
