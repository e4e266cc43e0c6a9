#include "hakmem/shared_pool/shared_pool.h"

#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"
#include "hakmem/config/config.h"
#include "hakmem/os/latency.h"
#include "hakmem/os/os.h"
#include "hakmem/registry/registry.h"
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/superslab_inl.h"
#include "hakmem/surplus/surplus.h"

enum {
  /* SuperSlabs of a tier that are tried before the next stage; the first nearly always does. */
  TRIES_PER_TIER = 32,
  /* SuperSlabs that are marked as dirty, and have been claimed since, which a search puts up with. */
  STALE_MARKS = 4,
  /* Parked heaps that an acquire looks at. */
  ORPHANS_PER_ACQUIRE = 8,
  /* A span that grows gets half a SuperSlab, or all of it where half is too little. */
  ROOM_UNITS = HAK_SUPERSLAB_UNITS / 2,
  ROOM_UNITS_MAX = HAK_SUPERSLAB_UNITS - 1,
  /* Spans with room: those before lose theirs to the next in the same place of the table. */
  ROOMS = 64
};

static hak_atomic_u64 clock_ms HAK_START_DATA;
static hak_surplus surplus HAK_START_DATA;
static hak_atomic_u32 surplus_next HAK_START_DATA; /* id from which on the next surplus is looked for */
static hak_atomic_u32 surplus_count HAK_START_DATA;
static struct {
  hak_atomic_u64 from_orphan, from_units, from_empty, from_new, complete, complete_blocks, purged_bytes;
} counts HAK_START_DATA;

hak_shared_pool_place hak_shared_pool_find(const void* address) {
  hak_shared_pool_place out = {0};
  for (uint32_t id = 0; id < hak_superslab_id_end(); id++) {
    const hak_superslab* superslab = hak_superslab_by_id(id);
    if (superslab == NULL || hak_u32_load_relaxed(&superslab->in_use) == 0) continue;
    const uintptr_t offset = (uintptr_t)address - (uintptr_t)superslab->base;
    if (offset >= HAK_SUPERSLAB_BYTES) continue;
    const uint32_t free_units = hak_u32_load_relaxed(&superslab->free_units);
    out.superslab = superslab->base;
    out.unit = (uint32_t)(offset / HAK_UNIT_BYTES);
    out.is_empty = free_units == 0 && hak_u32_load_relaxed(&superslab->heads) == 0;
    out.is_unit_free = out.is_empty || (free_units >> out.unit & 1) != 0;
    break;
  }
  return out;
}

hak_lock* hak_shared_pool_lock(void) { return hak_superslab_lock(); }

void hak_shared_pool_set_clock(uint64_t now_ms) { hak_u64_store_relaxed(&clock_ms, now_ms); }

/* --- units --- */

static uint32_t unit_mask(uint32_t first, uint32_t units) { return (uint32_t)(hak_bits_low_mask(units) << first); }

/* After units that were free have been claimed. */
static void count_claim(const hak_superslab* superslab, uint32_t mask) {
  const uint64_t units = hak_bits_count(mask);
  const uint64_t dirty = hak_bits_count(mask & hak_u32_load_relaxed(&superslab->dirty_units));
  hak_superslab_count((int64_t)units, -(int64_t)dirty);
  if (dirty != units) hak_surplus_on_take(&surplus, (units - dirty) * HAK_UNIT_BYTES);
}

/* Claims `units` adjacent free units, all of them dirty or as may be; their first, or -1. */
HAK_ALWAYS_INLINE int claim_units(hak_superslab* superslab, uint32_t units, bool all_dirty) {
  uint32_t free_units = hak_u32_load_acquire(&superslab->free_units);
  for (;;) {
    const uint32_t among = all_dirty ? hak_u32_load_relaxed(&superslab->dirty_units) : HAK_SUPERSLAB_ALL_UNITS;
    const int first = hak_bits_find_run(free_units & among, units);
    if (first < 0) return -1;
    const uint32_t mask = unit_mask((uint32_t)first, units);
    /* Acquire: what the last holder left behind. Pairs with free_units_of. */
    if (hak_u32_cas_seq(&superslab->free_units, &free_units, free_units & ~mask)) {
      count_claim(superslab, mask);
      hak_tiers_refresh(superslab);
      return first;
    }
  }
}

/* Gives held units back. A SuperSlab that becomes empty goes to the empty cache. */
static void free_units_of(hak_superslab* superslab, uint32_t mask) {
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

/* --- room for spans that grow --- */

static struct {
  hak_atomic_ptr spans[ROOMS]; /* hak_slab; those that have had room. Sync: atomic */
  hak_atomic_u32 any;          /* 0: none of them has. Sync: atomic */
} rooms;

static uint32_t room_mask(uint32_t room) { return room == 0 ? 0 : unit_mask(room & 0xff, (room >> 8) - (room & 0xff)); }

/* Nobody has touched the units of `mask`, which the caller holds, since they were claimed. */
static void free_untouched(hak_superslab* superslab, uint32_t mask) {
  const uint64_t dirty = hak_bits_count(mask & hak_u32_load_relaxed(&superslab->dirty_units));
  hak_superslab_count(-(int64_t)hak_bits_count(mask), (int64_t)dirty);
  free_units_of(superslab, mask);
  if (dirty != 0) hak_tiers_mark_dirty(superslab->id);
}

/* Takes the room of a span away, if it has any. The span may have gone meanwhile, and another have come. */
static bool take_room(hak_slab* slab) {
  if (hak_u32_load_relaxed(&slab->room) == 0) return false;
  const uint32_t mask = room_mask(hak_u32_exchange_seq(&slab->room, 0));
  if (mask != 0) free_untouched(slab->superslab, mask);
  return mask != 0;
}

/* True: there is more free than there was. */
static bool take_all_rooms(void) {
  if (hak_u32_load_relaxed(&rooms.any) == 0) return false;
  hak_u32_store_relaxed(&rooms.any, 0);
  bool found = false;
  for (uint32_t i = 0; i < ROOMS; i++) {
    hak_slab* slab = (hak_slab*)hak_ptr_load_acquire(&rooms.spans[i]);
    if (slab != NULL && take_room(slab)) found = true;
  }
  return found;
}

/* Of a SuperSlab's halves each has a place of its own, so that spans that come and go do not take each other's room. */
static void list_room(hak_slab* slab) {
  hak_atomic_ptr* place = &rooms.spans[(slab->superslab->id * 2 + slab->first_unit / ROOM_UNITS) % ROOMS];
  hak_slab* last = (hak_slab*)hak_ptr_load_relaxed(place);
  if (last != slab) {
    /* Acquire, release: who takes the room away sees the descriptor that it is in. */
    last = (hak_slab*)hak_ptr_exchange_seq(place, slab);
    if (last != NULL) take_room(last);
  }
  if (hak_u32_load_relaxed(&rooms.any) == 0) hak_u32_store_relaxed(&rooms.any, 1);
}

/* Moves the beginning of the room to unit `end`. False: there is no room up to there. */
static bool grow_into_room(hak_slab* slab, uint32_t end) {
  uint32_t room = hak_u32_load_relaxed(&slab->room);
  while (room >> 8 >= end) {
    const uint32_t left = room >> 8 == end ? 0 : end | (room & ~0xffu);
    if (hak_u32_cas_seq(&slab->room, &room, left)) return true;
  }
  return false;
}

static hak_slab* claim_from_tier(hak_tier tier, uint32_t units, bool all_dirty) {
  uint32_t id = hak_tiers_next(tier, all_dirty, 0);
  for (uint32_t tries = 0; tries < TRIES_PER_TIER && id != HAK_SUPERSLAB_IDS_MAX; tries++) {
    hak_superslab* superslab = hak_superslab_by_id(id);
    const int first = superslab == NULL ? -1 : claim_units(superslab, units, all_dirty);
    if (first >= 0) return &superslab->slabs[first];
    if (all_dirty && tries >= STALE_MARKS) hak_tiers_check_dirty(id);
    id = hak_tiers_next(tier, all_dirty, id + 1);
  }
  return NULL;
}

static hak_slab* claim_from_tiers(uint32_t units, bool all_dirty) {
  hak_slab* slab = claim_from_tier(HAK_TIER_HOT, units, all_dirty);
  if (slab == NULL) slab = claim_from_tier(HAK_TIER_DRAINING, units, all_dirty);
  if (slab != NULL) hak_u64_fetch_add_relaxed(&counts.from_units, 1);
  return slab;
}

/* Takes the first units of a SuperSlab held whole, and opens the rest to everybody. */
static hak_slab* open_superslab(hak_superslab* superslab, uint32_t units) {
  count_claim(superslab, unit_mask(0, units));
  hak_u32_store_seq(&superslab->free_units, HAK_SUPERSLAB_ALL_UNITS & ~unit_mask(0, units));
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
    hak_superslab* superslab = hak_superslab_by_id(id);
    const int first = superslab == NULL ? -1 : claim_units(superslab, units, false);
    if (first < 0) continue;
    hak_u64_fetch_add_relaxed(&counts.from_units, 1);
    return &superslab->slabs[first];
  }
  return NULL;
}

static hak_slab* claim_unused(uint32_t units) {
  return HAK_LIKELY(hak_config_get(HAK_OPTION_TIERS)) ? claim_from_tiers(units, false) : claim_in_turn(units);
}

/* A new SuperSlab's first units. Threads that found no unit at the same time may all come here, and one mapping serves
 * many of them: who finds that another was faster lets go of its own, which nobody has touched. */
static hak_slab* claim_from_new(uint32_t units) {
  hak_superslab* superslab = hak_superslab_map();
  if (superslab == NULL) return NULL;
  hak_slab* slab = claim_unused(units);
  if (slab == NULL) {
    hak_u64_fetch_add_relaxed(&counts.from_new, 1);
    return open_superslab(superslab, units);
  }
  if (!hak_superslab_unmap(superslab)) hak_empty_cache_push(superslab, hak_u64_load_relaxed(&clock_ms));
  return slab;
}

static hak_slab* claim_from_empty(uint32_t units) {
  hak_superslab* superslab = hak_empty_cache_pop();
  if (superslab == NULL) return NULL;
  hak_u64_fetch_add_relaxed(&counts.from_empty, 1);
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

/* The stages from unused units on. The slab's units are held; nothing else is set. */
static hak_slab* acquire_units(uint32_t units) {
  hak_slab* slab = claim_dirty(units);
  if (slab == NULL) slab = claim_unused(units);
  if (slab == NULL && take_all_rooms()) slab = claim_unused(units);
  if (slab == NULL) slab = acquire_from_whole(units);
  prefault(slab, units);
  return slab;
}

/* True when every unit of the slab reads as zero. */
static bool is_zeroed(const hak_slab* slab, uint32_t units) {
  return (hak_u32_load_relaxed(&slab->superslab->dirty_units) & unit_mask(slab->first_unit, units)) == 0;
}

/* True when every unit of the slab has been in use and not gone back since. */
static bool is_dirty(const hak_slab* slab, uint32_t units) {
  const uint32_t mask = unit_mask(slab->first_unit, units);
  return (hak_u32_load_relaxed(&slab->superslab->dirty_units) & mask) == mask;
}

static void release_units(hak_slab* slab, uint32_t first, uint32_t units) {
  hak_superslab* superslab = slab->superslab;
  const uint32_t mask = unit_mask(first, units);
  hak_registry_clear(superslab->base + (size_t)first * HAK_UNIT_BYTES, units);
  hak_u32_fetch_or_seq(&superslab->dirty_units, mask);
  hak_superslab_count(-(int64_t)units, units); /* before somebody else can claim them */
  hak_u64_store_relaxed(&superslab->freed_ms, hak_u64_load_relaxed(&clock_ms));
  free_units_of(superslab, mask);
  hak_tiers_mark_dirty(superslab->id);
}

static void mark_head(hak_slab* slab, bool live) {
  const uint32_t bit = 1u << slab->first_unit;
  if (live) {
    hak_u32_fetch_or_seq(&slab->superslab->heads, bit);
  } else {
    hak_u32_fetch_and_seq(&slab->superslab->heads, ~bit);
  }
}

/* --- slabs --- */

static void set_owner(hak_slab* slab, hak_heap* heap, uint32_t size_class) {
  hak_bin* bin = hak_heap_bin(heap, size_class);
  slab->bin = bin;
  hak_ptr_store_seq(&slab->mailbox, hak_heap_mailbox(heap, size_class));
  hak_registry_set(slab->base, slab->units, (uint64_t)(uintptr_t)bin, slab);
}

/* Hands a slab's units back; its owner's books are in order already. */
static void dissolve(hak_slab* slab) {
  HAK_ASSERT(hak_slab_is_empty(slab) && !slab->listed);
  HAK_AUDIT(hak_slab_is_valid(slab));
  /* Posted, though every block is here: most often what was posted has been collected meanwhile. */
  if (HAK_UNLIKELY(hak_u32_load_relaxed(&slab->pending) != 0)) hak_remote_free_reject(slab);
  slab->bin = NULL;
  hak_ptr_store_seq(&slab->mailbox, NULL);
  mark_head(slab, false);
  release_units(slab, slab->first_unit, slab->units);
}

static void dissolve_list(hak_slab* empty) {
  while (empty != NULL) {
    hak_slab* slab = empty;
    empty = slab->next;
    slab->next = NULL;
    dissolve(slab);
  }
}

/* What has been freed twice comes to light when remote frees are collected, which happens under the lock here. */
static bool try_take_parked_lock(void) {
  hak_hold_aborts();
  if (hak_lock_try_take(hak_heap_parked_lock())) return true;
  hak_release_aborts();
  return false;
}

static void give_parked_lock(void) {
  hak_lock_give(hak_heap_parked_lock());
  hak_release_aborts();
}

/* A slab with free blocks of a parked heap's bin, out of its lists; or NULL. */
static hak_slab* take_orphan_locked(hak_heap* orphan, uint32_t size_class) {
  hak_bin* bin = hak_heap_bin(orphan, size_class);
  if (bin->stride == 0) return NULL;
  if (hak_remote_free_is_posted(hak_heap_mailbox(orphan, size_class))) {
    dissolve_list(hak_remote_free_drain(orphan, bin, size_class));
  }
  hak_slab* slab = bin->partial;
  if (slab != NULL) {
    hak_slab_list_remove(&bin->partial, slab);
  } else if (bin->current != NULL && hak_slab_free_count(bin->current) != 0) {
    slab = bin->current;
    bin->current = NULL;
  }
  return slab;
}

static hak_slab* adopt_orphan_slab(hak_heap* heap, uint32_t size_class) {
  if (hak_heap_parked_count() == 0) return NULL;
  /* What others have left behind is mixed with what a named heap is to be kept apart from. */
  if (hak_u32_load_relaxed(&heap->state) == HAK_HEAP_NAMED || !try_take_parked_lock()) return NULL;
  hak_slab* slab = NULL;
  hak_heap* orphan = hak_heap_first_parked_locked();
  for (uint32_t i = 0; slab == NULL && orphan != NULL && i < ORPHANS_PER_ACQUIRE; i++) {
    slab = take_orphan_locked(orphan, size_class);
    orphan = orphan->next_parked;
  }
  /* Under the lock: a thread that adopts the orphan must find the slab gone from its registry words. */
  if (slab != NULL) set_owner(slab, heap, size_class);
  give_parked_lock();
  if (slab != NULL) {
    hak_u64_fetch_add_relaxed(&counts.from_orphan, 1);
    hak_u64_bump_single_writer(&heap->counters.slabs_adopted, 1);
  }
  return slab;
}

/* Releases the slabs that others than their owners have freed whole. */
static void release_complete(void) {
  if (!hak_remote_free_has_complete()) return;
  hak_slab* taken = hak_remote_free_take_complete();
  for (const hak_slab* slab = taken; slab != NULL; slab = slab->next) {
    hak_u64_fetch_add_relaxed(&counts.complete, 1);
    hak_u64_fetch_add_relaxed(&counts.complete_blocks, slab->blocks);
  }
  dissolve_list(taken);
}

HAK_ALWAYS_INLINE hak_slab* acquire_slab(hak_heap* heap, uint32_t size_class) {
  hak_slab* slab = adopt_orphan_slab(heap, size_class);
  if (slab != NULL) return slab;
  const uint32_t units = hak_size_class_table[size_class].units;
  release_complete();
  slab = acquire_units(units);
  if (slab == NULL) return NULL;
  hak_slab_init(slab, size_class, is_zeroed(slab, units));
  set_owner(slab, heap, size_class);
  mark_head(slab, true);
  hak_u64_bump_single_writer(&heap->counters.slabs_acquired, 1);
  return slab;
}

static HAK_SLOW hak_slab* acquire_timed(hak_heap* heap, uint32_t size_class) {
  const uint64_t start_ns = hak_latency_start();
  hak_slab* slab = acquire_slab(heap, size_class);
  hak_latency_end(HAK_LATENCY_ACQUIRE, start_ns);
  return slab;
}

hak_slab* hak_shared_pool_acquire(hak_heap* heap, uint32_t size_class) {
  if (HAK_UNLIKELY(hak_latency_is_switched_on())) return acquire_timed(heap, size_class);
  return acquire_slab(heap, size_class);
}

/* --- surplus --- */

/* Purges the dirty free units of one SuperSlab, which are held meanwhile. *refused: the kernel left some as they are. */
static uint64_t purge_superslab(hak_superslab* superslab, bool* refused) {
  const uint32_t dirty = hak_u32_load_relaxed(&superslab->dirty_units);
  uint32_t free_units = hak_u32_load_acquire(&superslab->free_units);
  while ((free_units & dirty) != 0 && !hak_u32_cas_seq(&superslab->free_units, &free_units, free_units & ~dirty)) {
  }
  const uint32_t held = free_units & dirty;
  if (held == 0) return 0;
  hak_tiers_refresh(superslab);
  uint64_t bytes = 0;
  for (uint64_t rest = held; rest != 0;) {
    const uint32_t mask = (uint32_t)hak_bits_take_run(&rest);
    const size_t run_bytes = (size_t)hak_bits_count(mask) * HAK_UNIT_BYTES;
    if (!hak_os_purge(superslab->base + (size_t)hak_bits_lowest(mask) * HAK_UNIT_BYTES, run_bytes)) {
      *refused = true;
      continue;
    }
    hak_superslab_mark_clean(superslab, mask);
    bytes += run_bytes;
  }
  free_units_of(superslab, held);
  return bytes;
}

/* The dirty free units of SuperSlabs in turn, until it is as much as a SuperSlab or there are none. */
static uint64_t purge_in_turn(void) {
  uint64_t bytes = 0;
  uint32_t id = hak_u32_load_relaxed(&surplus_next);
  bool refused = false;
  for (int rounds = 0; rounds < 2 && bytes < HAK_SUPERSLAB_BYTES && !refused; rounds++, id = 0) {
    while (bytes < HAK_SUPERSLAB_BYTES && !refused) {
      const uint32_t dirty = hak_tiers_take_dirty(id);
      if (dirty == HAK_SUPERSLAB_IDS_MAX) break;
      id = dirty + 1;
      bytes += purge_superslab(hak_superslab_by_id(dirty), &refused);
      if (!refused) continue;
      hak_tiers_mark_dirty(dirty);
      hak_surplus_on_refusal(&surplus, HAK_SURPLUS_BY_PURGE);
    }
    hak_u32_store_relaxed(&surplus_next, id);
  }
  return bytes;
}

static uint64_t give_once(void) {
  const uint64_t empty = hak_empty_cache_count();
  if (empty != 0 && hak_surplus_is_open(&surplus, HAK_SURPLUS_BY_UNMAP)) {
    const uint64_t bytes = hak_empty_cache_trim(0, UINT64_MAX, empty - 1);
    if (bytes != 0) return bytes;
    hak_surplus_on_refusal(&surplus, HAK_SURPLUS_BY_UNMAP);
  }
  return hak_surplus_is_open(&surplus, HAK_SURPLUS_BY_PURGE) ? purge_in_turn() : 0;
}

/* A release may bring a SuperSlab's worth, and lowers what may lie idle besides: it is enough to give somewhat more back. */
enum { GIVES_PER_RELEASE = 4 };

static HAK_NOINLINE void give_surplus(void) {
  const uint64_t base_bytes = hak_config_get(HAK_OPTION_SURPLUS_BYTES);
  for (int i = 0; i < GIVES_PER_RELEASE; i++) {
    const hak_superslab_sums sums = hak_superslab_read_sums();
    const uint64_t used_bytes = sums.used_units * HAK_UNIT_BYTES;
    if (sums.dirty_units * HAK_UNIT_BYTES <= hak_surplus_limit(&surplus, base_bytes, used_bytes)) return;
    const uint64_t bytes = give_once();
    if (bytes == 0) return;
    hak_u64_fetch_add_relaxed(&counts.purged_bytes, bytes);
    /* Not what the calls say: of an empty SuperSlab most may have gone before. */
    const uint64_t left_units = hak_superslab_read_sums().dirty_units;
    if (left_units < sums.dirty_units) {
      hak_surplus_on_give(&surplus, (sums.dirty_units - left_units) * HAK_UNIT_BYTES);
      hak_u32_store_relaxed(&surplus_count, hak_u32_load_relaxed(&surplus_count) + 1);
    }
  }
}

/* After units have been released: SuperSlabs beyond those that may stay empty are unmapped, and what is free goes back
 * where it is too much (surplus.h). */
static void settle_free(void) {
  if (hak_empty_cache_count() != 0) {
    const uint64_t keep = hak_config_get(HAK_OPTION_SUPERSLAB_CACHE);
    if (hak_empty_cache_count() > keep) hak_empty_cache_trim(0, UINT64_MAX, keep);
  }
  const hak_superslab_sums sums = hak_superslab_read_sums();
  /* The share of what is in use, known without a look at options and credit. */
  if (sums.dirty_units <= sums.used_units / HAK_SURPLUS_USED_SHARE) return;
  give_surplus();
}

bool hak_shared_pool_has_dirty(void) {
  return hak_superslab_read_sums().dirty_units != 0 || hak_empty_cache_count() != 0 || hak_span_berths_have_guests();
}

uint64_t hak_shared_pool_purged_bytes(void) { return hak_u64_load_relaxed(&counts.purged_bytes); }

uint64_t hak_shared_pool_growth_count(void) { return hak_u64_load_relaxed(&counts.from_new); }

uint32_t hak_shared_pool_surplus_count(void) { return hak_u32_load_relaxed(&surplus_count); }

void hak_shared_pool_age(uint64_t ages) { hak_surplus_age(&surplus, ages); }

void hak_shared_pool_release(hak_heap* heap, hak_slab* slab) {
  hak_u64_bump_single_writer(&heap->counters.slabs_released, 1);
  dissolve(slab);
  settle_free();
}

/* --- sampled blocks --- */

hak_slab* hak_shared_pool_acquire_sampled(uint32_t size_class) {
  const uint32_t units = hak_size_class_table[size_class].units;
  hak_slab* slab = acquire_units(units);
  if (slab == NULL) return NULL;
  hak_slab_init(slab, size_class, false);
  slab->bin = NULL;
  hak_registry_set(slab->base, units, HAK_REGISTRY_SAMPLED, slab);
  mark_head(slab, true);
  return slab;
}

void hak_shared_pool_release_sampled(hak_slab* slab) {
  dissolve(slab);
  settle_free();
}

/* --- spans --- */

hak_slab* hak_shared_pool_acquire_span(uint32_t units, bool* zeroed) {
  hak_slab* slab = HAK_LATENCY_OF(HAK_LATENCY_ACQUIRE, acquire_units(units));
  if (slab == NULL) return NULL;
  *zeroed = is_zeroed(slab, units);
  hak_slab_init_span(slab, units);
  slab->reused = is_dirty(slab, units);
  hak_registry_set(slab->base, units, HAK_REGISTRY_SPAN, slab);
  mark_head(slab, true);
  return slab;
}

/* Others' room is left alone: a new SuperSlab costs little until it is touched. */
hak_slab* hak_shared_pool_acquire_growing(uint32_t units) {
  const uint32_t wide = units <= ROOM_UNITS ? ROOM_UNITS : ROOM_UNITS_MAX;
  hak_slab* slab = claim_unused(wide);
  if (slab == NULL) slab = acquire_from_whole(wide);
  if (slab == NULL) {
    bool zeroed;
    return hak_shared_pool_acquire_span(units, &zeroed);
  }
  const uint32_t first = slab->first_unit;
  prefault(slab, units);
  hak_slab_init_span(slab, units);
  slab->reused = is_dirty(slab, units);
  hak_registry_set(slab->base, units, HAK_REGISTRY_SPAN, slab);
  mark_head(slab, true);
  if (units < wide) {
    /* Release: who takes it away finds units that have nothing of this thread's. */
    hak_u32_exchange_seq(&slab->room, (first + units) | (first + wide) << 8);
    list_room(slab);
  }
  return slab;
}

void hak_shared_pool_release_span(hak_slab* slab) {
  mark_head(slab, false);
  take_room(slab);
  release_units(slab, slab->first_unit, slab->units);
  settle_free();
}

static bool claim_exactly(hak_superslab* superslab, uint32_t mask) {
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

/* The span has claimed what it needs to be `units` units long. */
static void lengthen(hak_slab* slab, uint32_t units) {
  const uint32_t old_units = slab->units;
  slab->reused = false;
  hak_slab_resize_span(slab, units);
  hak_registry_set(slab->base + (size_t)old_units * HAK_UNIT_BYTES, units - old_units, HAK_REGISTRY_SPAN, slab);
}

bool hak_shared_pool_grow_span(hak_slab* slab, uint32_t units) {
  const uint32_t first = slab->first_unit;
  const uint32_t room_end = hak_u32_load_relaxed(&slab->room) >> 8;
  uint32_t end = first + (units < 2u * slab->units ? 2u * slab->units : units);
  if (end > room_end && room_end >= first + units) end = room_end;
  if (!grow_into_room(slab, end)) return hak_shared_pool_resize_span(slab, units);
  lengthen(slab, end - first);
  return true;
}

bool hak_shared_pool_resize_span(hak_slab* slab, uint32_t units) {
  const uint32_t first = slab->first_unit;
  const uint32_t old_units = slab->units;
  if (units > old_units) {
    if (first + units > HAK_SUPERSLAB_UNITS) return false;
    if (!grow_into_room(slab, first + units)) {
      take_room(slab);
      if (!claim_exactly(slab->superslab, unit_mask(first + old_units, units - old_units))) return false;
    }
    lengthen(slab, units);
  } else if (units < old_units) {
    slab->reused = false;
    hak_slab_resize_span(slab, units);
    take_room(slab);
    release_units(slab, first + units, old_units - units);
    settle_free();
  }
  return true;
}

/* --- heaps without a thread --- */

static void drain_heap_locked(hak_heap* orphan) {
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    if (!hak_remote_free_is_posted(hak_heap_mailbox(orphan, c))) continue;
    hak_bin* bin = hak_heap_bin(orphan, c);
    dissolve_list(hak_remote_free_drain(orphan, bin, c));
    /* The current slab is never handed out by a drain; nobody needs it here. */
    hak_slab* current = bin->current;
    if (current != NULL && hak_slab_is_empty(current)) {
      bin->current = NULL;
      dissolve(current);
    }
  }
}

void hak_shared_pool_drain_parked(uint32_t count) {
  static hak_heap* next_to_drain; /* Sync: parked-heap lock; a parked heap, or NULL to start over */
  if (hak_heap_parked_count() == 0 || !try_take_parked_lock()) return;
  hak_heap* orphan = next_to_drain;
  if (orphan == NULL || hak_u32_load_relaxed(&orphan->state) != HAK_HEAP_PARKED) {
    orphan = hak_heap_first_parked_locked();
  }
  const uint32_t parked = hak_heap_parked_count();
  for (uint32_t i = 0; i < count && i < parked; i++) {
    drain_heap_locked(orphan);
    orphan = orphan->next_parked != NULL ? orphan->next_parked : hak_heap_first_parked_locked();
  }
  next_to_drain = orphan;
  give_parked_lock();
  settle_free();
}

void hak_shared_pool_drain_common(void) {
  hak_hold_aborts();
  if (hak_lock_try_take(hak_heap_common_lock())) {
    drain_heap_locked(hak_heap_common());
    hak_lock_give(hak_heap_common_lock());
  }
  hak_release_aborts();
  settle_free();
}

/* Under the lock of the named heaps, which a slow path of one of them may hold while it comes by here: it is not tried again. */
static void drain_named_locked(void) {
  for (hak_heap* heap = hak_heap_first(); heap != NULL; heap = heap->next_heap) {
    if (hak_u32_load_relaxed(&heap->state) == HAK_HEAP_NAMED) drain_heap_locked(heap);
  }
}

void hak_shared_pool_drain_named(void) {
  if (hak_heap_homing_count() == hak_heap_parked_count()) return;
  hak_hold_aborts();
  if (hak_lock_try_take(hak_heap_named_lock())) {
    drain_named_locked();
    hak_lock_give(hak_heap_named_lock());
  }
  hak_release_aborts();
  settle_free();
}

void hak_shared_pool_drain_complete(void) {
  release_complete();
  settle_free();
}

/* --- purge --- */

static uint64_t purge_units(uint64_t now_ms, uint64_t decay_ms) {
  uint64_t bytes = 0;
  for (uint32_t id = hak_tiers_take_dirty(0); id != HAK_SUPERSLAB_IDS_MAX; id = hak_tiers_take_dirty(id + 1)) {
    hak_superslab* superslab = hak_superslab_by_id(id);
    if (decay_ms != 0 && now_ms < hak_u64_load_relaxed(&superslab->freed_ms) + decay_ms) {
      hak_tiers_mark_dirty(id);
    } else {
      bool refused = false;
      bytes += purge_superslab(superslab, &refused);
      if (!refused) continue;
      /* Locked pages, or no madvise at all: another try a decay time from now. */
      hak_u64_store_relaxed(&superslab->freed_ms, now_ms);
      hak_tiers_mark_dirty(id);
    }
  }
  return bytes;
}

uint64_t hak_shared_pool_purge(uint64_t now_ms, uint64_t decay_ms) {
  hak_span_berths_settle();
  take_all_rooms();
  uint64_t bytes = purge_units(now_ms, decay_ms);
  bytes += hak_empty_cache_trim(now_ms, decay_ms, hak_config_get(HAK_OPTION_SUPERSLAB_CACHE));
  hak_u64_fetch_add_relaxed(&counts.purged_bytes, bytes);
  return bytes;
}

/* --- figures --- */

static void add_superslab_figures(hak_shared_pool_figures* out, const hak_superslab* superslab) {
  const uint32_t free_units = hak_u32_load_relaxed(&superslab->free_units);
  out->superslabs++;
  out->free_units += hak_bits_count(free_units);
  out->dirty_free_units += hak_bits_count(free_units & hak_u32_load_relaxed(&superslab->dirty_units));
  uint32_t heads = hak_u32_load_relaxed(&superslab->heads);
  for (; heads != 0; heads &= heads - 1) {
    const hak_slab* head = &superslab->slabs[__builtin_ctz(heads)];
    const hak_slab_figures slab = hak_slab_read_figures(head);
    if (slab.size_class == HAK_SLAB_SPAN) {
      out->room_units += hak_bits_count(room_mask(hak_u32_load_relaxed(&head->room)));
      if (slab.taken_blocks == 0) { /* parked */
        out->free_units += slab.slab_bytes / HAK_UNIT_BYTES;
        out->dirty_free_units += slab.slab_bytes / HAK_UNIT_BYTES;
        continue;
      }
      out->live_spans++;
      out->span_bytes += slab.slab_bytes;
    } else {
      out->live_slabs++;
    }
    out->live_bytes += slab.taken_bytes;
    out->slab_bytes += slab.slab_bytes;
  }
}

hak_shared_pool_figures hak_shared_pool_read_figures(void) {
  hak_shared_pool_figures out = {0};
  for (uint32_t id = 0; id < hak_superslab_id_end(); id++) {
    const hak_superslab* superslab = hak_superslab_by_id(id);
    if (superslab != NULL && hak_u32_load_relaxed(&superslab->in_use)) add_superslab_figures(&out, superslab);
  }
  out.empty_superslabs = hak_empty_cache_count();
  out.from_orphan = hak_u64_load_relaxed(&counts.from_orphan);
  out.complete = hak_u64_load_relaxed(&counts.complete);
  out.complete_blocks = hak_u64_load_relaxed(&counts.complete_blocks);
  out.from_units = hak_u64_load_relaxed(&counts.from_units);
  out.from_empty = hak_u64_load_relaxed(&counts.from_empty);
  out.from_new = hak_u64_load_relaxed(&counts.from_new);
  out.purged_bytes = hak_u64_load_relaxed(&counts.purged_bytes);
  out.again_bytes = hak_u64_load_relaxed(&surplus.again_bytes);
  return out;
}

void hak_shared_pool_count_classes(uint64_t* slabs, uint64_t* taken_blocks) {
  for (uint32_t id = 0; id < hak_superslab_id_end(); id++) {
    const hak_superslab* superslab = hak_superslab_by_id(id);
    if (superslab == NULL || !hak_u32_load_relaxed(&superslab->in_use)) continue;
    uint32_t heads = hak_u32_load_relaxed(&superslab->heads);
    for (; heads != 0; heads &= heads - 1) {
      const hak_slab_figures slab = hak_slab_read_figures(&superslab->slabs[__builtin_ctz(heads)]);
      if (slab.size_class >= HAK_SIZE_CLASS_COUNT) continue;
      slabs[slab.size_class]++;
      taken_blocks[slab.size_class] += slab.taken_blocks;
    }
  }
}

static void add_remote(const hak_slab* slab, uint64_t* blocks) {
  if (hak_u32_load_relaxed(&slab->pending) == 0)
    return; /* else pages of bitmaps would be looked at that nobody has used */
  const uint32_t size_class = hak_slab_read_figures(slab).size_class;
  if (size_class >= HAK_SIZE_CLASS_COUNT) return;
  const uint32_t words = (hak_size_class_table[size_class].blocks + 63u) / 64;
  for (uint32_t i = 0; i < words; i++) {
    blocks[size_class] += hak_bits_count(hak_u64_load_relaxed(&slab->remote_bits[i]));
  }
}

void hak_shared_pool_count_remote(uint64_t* blocks) {
  for (uint32_t id = 0; id < hak_superslab_id_end(); id++) {
    const hak_superslab* superslab = hak_superslab_by_id(id);
    if (superslab == NULL || !hak_u32_load_relaxed(&superslab->in_use)) continue;
    uint32_t heads = hak_u32_load_relaxed(&superslab->heads);
    for (; heads != 0; heads &= heads - 1) add_remote(&superslab->slabs[__builtin_ctz(heads)], blocks);
  }
}

/* A SuperSlab may come and go meanwhile: its address is of some moment, and only the kernel is asked about it. */
static HAK_READS_RACILY const void* base_of(const hak_superslab* superslab) {
  return *(char* const volatile*)&superslab->base;
}

uint64_t hak_shared_pool_resident_bytes(void) {
  uint64_t bytes = 0;
  for (uint32_t id = 0; id < hak_superslab_id_end(); id++) {
    const hak_superslab* superslab = hak_superslab_by_id(id);
    if (superslab == NULL || !hak_u32_load_relaxed(&superslab->in_use)) continue;
    bytes += hak_os_resident_bytes(base_of(superslab), HAK_SUPERSLAB_BYTES);
  }
  return bytes;
}

#define COUNTS __typeof__(counts)
#define COUNT_ROWS                                                                                                 \
  HAK_VIEW_STRUCTURE("pool_counts", COUNTS)                                                                        \
  HAK_VIEW_FIELDS("pool_counts", COUNTS, from_orphan, from_units, from_empty, from_new, complete, complete_blocks, \
                  purged_bytes)
#define SURPLUS_ROWS \
  HAK_VIEW_STRUCTURE("surplus", hak_surplus) HAK_VIEW_FIELDS("surplus", hak_surplus, given_bytes, credit_bytes, refused)
#define ROWS COUNT_ROWS SURPLUS_ROWS
#define ROOTS(ROOT)           \
  ROOT("pool_counts", counts) \
  ROOT("pool_surplus", surplus) ROOT("pool_surplus_count", surplus_count) ROOT("pool_clock_ms", clock_ms)
HAK_VIEW_PART(hak_shared_pool_view, ROWS, ROOTS);
