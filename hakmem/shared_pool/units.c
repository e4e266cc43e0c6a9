#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"
#include "hakmem/config/config.h"
#include "hakmem/os/os.h"
#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/shared_pool/superslab_inl.h"

enum {
  /* SuperSlabs of a tier that are tried before the next stage; the first nearly always does. */
  TRIES_PER_TIER = 32,
  /* SuperSlabs that are marked as dirty, and have been claimed since, which a search puts up with. */
  STALE_MARKS = 4
};

static hak_atomic_u64 clock_ms HAK_START_DATA;

void hak_shared_pool_set_clock(uint64_t now_ms) { hak_u64_store_relaxed(&clock_ms, now_ms); }

/* After units that were free have been claimed. */
static void count_claim(const hak_superslab* superslab, uint32_t mask) {
  const uint64_t units = hak_bits_count(mask);
  const uint64_t dirty = hak_bits_count(mask & hak_u32_load_relaxed(&superslab->dirty_units));
  hak_superslab_count((int64_t)units, -(int64_t)dirty);
  if (dirty != units) hak_give_back_on_take((units - dirty) * HAK_UNIT_BYTES);
}

/* Claims `units` adjacent free units, all of them dirty or as may be; their first, or -1. */
HAK_ALWAYS_INLINE int claim_units(hak_superslab* superslab, uint32_t units, bool all_dirty) {
  uint32_t free_units = hak_u32_load_acquire(&superslab->free_units);
  for (;;) {
    const uint32_t among = all_dirty ? hak_u32_load_relaxed(&superslab->dirty_units) : HAK_SUPERSLAB_ALL_UNITS;
    const int first = hak_bits_find_run(free_units & among, units);
    if (first < 0) return -1;
    const uint32_t mask = hak_units_mask((uint32_t)first, units);
    /* Acquire: what the last holder left behind. Pairs with hak_units_free. */
    if (hak_u32_cas_seq(&superslab->free_units, &free_units, free_units & ~mask)) {
      count_claim(superslab, mask);
      hak_tiers_refresh(superslab);
      return first;
    }
  }
}

bool hak_units_claim_exactly(hak_superslab* superslab, uint32_t mask) {
  uint32_t free_units = hak_u32_load_acquire(&superslab->free_units);
  while ((free_units & mask) == mask) {
    if (hak_u32_cas_seq(&superslab->free_units, &free_units, free_units & ~mask)) {
      count_claim(superslab, mask);
      hak_tiers_refresh(superslab);
      return true;
    }
  }
  return false;
}

void hak_units_free(hak_superslab* superslab, uint32_t mask) {
  /* Release: pairs with the acquire in claim_units. */
  const uint32_t old = hak_u32_fetch_or_seq(&superslab->free_units, mask);
  HAK_CHECK((old & mask) == 0, superslab->base);
  uint32_t all = HAK_SUPERSLAB_ALL_UNITS;
  if ((old | mask) == all && hak_u32_cas_seq(&superslab->free_units, &all, 0)) {
    hak_tiers_refresh(superslab);
    hak_empty_cache_push(superslab, hak_u64_load_relaxed(&clock_ms));
    return;
  }
  hak_tiers_refresh(superslab);
}

void hak_units_release(hak_slab* slab, uint32_t first, uint32_t units) {
  hak_superslab* superslab = slab->superslab;
  const uint32_t mask = hak_units_mask(first, units);
  hak_registry_clear(superslab->base + (size_t)first * HAK_UNIT_BYTES, units);
  hak_u32_fetch_or_seq(&superslab->dirty_units, mask);
  hak_superslab_count(-(int64_t)units, units); /* before somebody else can claim them */
  hak_u64_store_relaxed(&superslab->freed_ms, hak_u64_load_relaxed(&clock_ms));
  hak_units_free(superslab, mask);
  hak_tiers_mark_dirty(superslab->id);
}

/* --- the stages of an acquire --- */

/* Claims units of the SuperSlab of that id, if there is one. NULL: it has not so many side by side. */
HAK_ALWAYS_INLINE hak_slab* claim_from(uint32_t id, uint32_t units, bool all_dirty) {
  hak_superslab* superslab = hak_superslab_by_id(id);
  const int first = superslab == NULL ? -1 : claim_units(superslab, units, all_dirty);
  if (first < 0) return NULL;
  hak_u64_fetch_add_relaxed(&hak_figures_counted.from_units, 1);
  return &superslab->slabs[first];
}

static hak_slab* claim_from_tier(hak_tier tier, uint32_t units, bool all_dirty) {
  uint32_t tries = 0;
  uint32_t word = 0;
  for (uint64_t ids; (ids = hak_tiers_next_word(tier, all_dirty, &word)) != 0; word++) {
    for (; ids != 0; ids &= ids - 1) {
      const uint32_t id = word * 64 + hak_bits_lowest(ids);
      if (hak_bits_find_run(hak_tiers_free_hint(id), units) >= 0) {
        hak_slab* slab = claim_from(id, units, all_dirty);
        if (slab != NULL) return slab;
        if (all_dirty && tries >= STALE_MARKS) hak_tiers_check_dirty(id);
      }
      if (++tries == TRIES_PER_TIER) return NULL;
    }
  }
  return NULL;
}

static hak_slab* claim_from_tiers(uint32_t units, bool all_dirty) {
  hak_slab* slab = claim_from_tier(HAK_TIER_HOT, units, all_dirty);
  return slab != NULL ? slab : claim_from_tier(HAK_TIER_DRAINING, units, all_dirty);
}

/* Takes the first units of a SuperSlab held whole, and opens the rest to everybody. */
static hak_slab* open_superslab(hak_superslab* superslab, uint32_t units) {
  count_claim(superslab, hak_units_mask(0, units));
  hak_u32_store_seq(&superslab->free_units, HAK_SUPERSLAB_ALL_UNITS & ~hak_units_mask(0, units));
  hak_tiers_refresh(superslab);
  /* From the empty cache: a purge that came by meanwhile found no free units here, and forgot it. */
  if (hak_u32_load_relaxed(&superslab->dirty_units) != 0) hak_tiers_mark_dirty(superslab->id);
  return &superslab->slabs[0];
}

/* Of all that have free units, by their ids. */
static HAK_SLOW hak_slab* claim_in_turn(uint32_t units) {
  uint32_t id = 0;
  for (uint32_t tries = 0; tries < HAK_TIER_COUNT * TRIES_PER_TIER; tries++, id++) {
    const uint32_t hot = hak_tiers_next(HAK_TIER_HOT, false, id);
    const uint32_t draining = hak_tiers_next(HAK_TIER_DRAINING, false, id);
    id = hot < draining ? hot : draining;
    if (id == HAK_SUPERSLAB_IDS_MAX) return NULL;
    hak_slab* slab = claim_from(id, units, false);
    if (slab != NULL) return slab;
  }
  return NULL;
}

static hak_slab* claim_unused(uint32_t units) {
  return HAK_LIKELY(hak_config_get(HAK_OPTION_TIERS)) ? claim_from_tiers(units, false) : claim_in_turn(units);
}

/* The kernel has no memory: what is there is worth a look at every SuperSlab. */
static HAK_SLOW hak_slab* claim_from_any(uint32_t units) {
  for (uint32_t id = 0; id < hak_superslab_id_end(); id++) {
    hak_slab* slab = claim_from(id, units, false);
    if (slab != NULL) return slab;
  }
  return NULL;
}

/* A new SuperSlab's first units. Threads that found no unit at the same time may all come here, and one mapping serves
 * many of them: who finds that another was faster lets go of its own, which nobody has touched. */
static hak_slab* claim_from_new(uint32_t units) {
  hak_superslab* superslab = hak_superslab_map();
  if (superslab == NULL) return claim_from_any(units);
  hak_slab* slab = claim_unused(units);
  if (slab == NULL) {
    hak_u64_fetch_add_relaxed(&hak_figures_counted.from_new, 1);
    return open_superslab(superslab, units);
  }
  if (!hak_superslab_unmap(superslab)) hak_empty_cache_push(superslab, hak_u64_load_relaxed(&clock_ms));
  return slab;
}

static hak_slab* claim_from_empty(uint32_t units) {
  hak_superslab* superslab = hak_empty_cache_pop();
  if (superslab == NULL) return NULL;
  hak_u64_fetch_add_relaxed(&hak_figures_counted.from_empty, 1);
  return open_superslab(superslab, units);
}

/* The stages from SuperSlabs without a used unit on. */
static hak_slab* acquire_from_whole(uint32_t units) {
  hak_slab* slab = claim_from_empty(units);
  return slab != NULL ? slab : claim_from_new(units);
}

/* Memory that is there already, wherever it lies, before what the kernel has yet to supply. */
static hak_slab* claim_dirty(uint32_t units) {
  if (hak_superslab_read_sums().dirty_units < units || HAK_UNLIKELY(!hak_config_get(HAK_OPTION_TIERS))) return NULL;
  hak_slab* slab = claim_from_tiers(units, true);
  return slab != NULL ? slab : claim_from_empty(units);
}

/* Dirty units are there most often; the kernel finds out quickly. */
static void prefault(hak_slab* slab, uint32_t units) {
  if (HAK_LIKELY(!hak_config_get(HAK_OPTION_PREFAULT)) || slab == NULL) return;
  hak_os_populate(slab->base, (size_t)units * HAK_UNIT_BYTES);
}

hak_slab* hak_units_acquire(uint32_t units) {
  hak_slab* slab = claim_dirty(units);
  if (slab == NULL) slab = claim_unused(units);
  if (slab == NULL && hak_spans_take_rooms()) slab = claim_unused(units);
  if (slab == NULL) slab = acquire_from_whole(units);
  prefault(slab, units);
  return slab;
}

hak_slab* hak_units_acquire_wide(uint32_t wide, uint32_t units) {
  hak_slab* slab = claim_unused(wide);
  if (slab == NULL) slab = acquire_from_whole(wide);
  prefault(slab, units);
  return slab;
}

void hak_shared_pool_prewarm(uint64_t size_bytes) {
  while (size_bytes != 0) {
    hak_superslab* superslab = hak_superslab_map();
    if (superslab == NULL) return;
    const size_t bytes = size_bytes < HAK_SUPERSLAB_BYTES ? size_bytes : HAK_SUPERSLAB_BYTES;
    hak_os_populate(superslab->base, hak_round_up(bytes, hak_os_page_bytes()));
    /* Not as an empty one, which would go back in a while. Clean: nobody has written to it. */
    open_superslab(superslab, 0);
    size_bytes -= bytes;
  }
}

#define ROWS HAK_VIEW_STRUCTURE("pool_clock", hak_atomic_u64)
#define ROOTS(ROOT) ROOT("pool_clock_ms", clock_ms)
HAK_VIEW_PART(hak_units_view, ROWS, ROOTS);
