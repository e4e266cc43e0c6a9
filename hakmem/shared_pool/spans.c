#include "hakmem/base/bits.h"
#include "hakmem/os/latency.h"
#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/shared_pool/superslab_inl.h"

enum {
  /* A span that grows gets half a SuperSlab, or all of it where half is too little. */
  ROOM_UNITS = HAK_SUPERSLAB_UNITS / 2,
  ROOM_UNITS_MAX = HAK_SUPERSLAB_UNITS - 1,
  /* Spans with room: those before lose theirs to the next in the same place of the table. */
  ROOMS = 64,
  /* Spans that have room at once, about: of a thousand that grow a little each would else keep half a SuperSlab from the others. */
  ROOMS_HELD_MAX = 16
};

/* --- room for spans that grow --- */

static struct {
  hak_atomic_ptr spans[ROOMS]; /* hak_slab; those that have had room. Sync: atomic */
  hak_atomic_u32 held; /* how many of them have; a thread lost in a fork may leave one too many. Sync: atomic relaxed */
} rooms;

static void count_rooms(uint32_t added) { hak_u32_fetch_add_relaxed(&rooms.held, added); }

/* Nobody has touched the units of `mask`, which the caller holds, since they were claimed. */
static void free_untouched(hak_superslab* superslab, uint32_t mask) {
  const uint64_t dirty = hak_bits_count(mask & hak_u32_load_relaxed(&superslab->dirty_units));
  hak_superslab_count(-(int64_t)hak_bits_count(mask), (int64_t)dirty);
  hak_units_free(superslab, mask);
  if (dirty != 0) hak_tiers_mark_dirty(superslab->id);
}

/* Takes the room of a span away, if it has any. The span may have gone meanwhile, and another have come. */
static bool take_room(hak_slab* slab) {
  if (hak_u32_load_relaxed(&slab->room) == 0) return false;
  const uint32_t mask = hak_spans_room_mask(hak_u32_exchange_seq(&slab->room, 0));
  if (mask == 0) return false;
  count_rooms(-1u);
  free_untouched(slab->superslab, mask);
  return true;
}

bool hak_spans_take_rooms(void) {
  if (hak_u32_load_relaxed(&rooms.held) == 0) return false;
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
}

/* Moves the beginning of the room to unit `end`. False: there is no room up to there. */
static bool grow_into_room(hak_slab* slab, uint32_t end) {
  uint32_t room = hak_u32_load_relaxed(&slab->room);
  while (room >> 8 >= end) {
    const uint32_t left = room >> 8 == end ? 0 : end | (room & ~0xffu);
    if (!hak_u32_cas_seq(&slab->room, &room, left)) continue;
    if (left == 0) count_rooms(-1u);
    return true;
  }
  return false;
}

/* --- spans --- */

/* True when every unit of the slab has been in use and not gone back since. */
static bool is_dirty(const hak_slab* slab, uint32_t units) {
  const uint32_t mask = hak_units_mask(slab->first_unit, units);
  return (hak_u32_load_relaxed(&slab->superslab->dirty_units) & mask) == mask;
}

hak_slab* hak_shared_pool_acquire_span(uint32_t units, bool* zeroed) {
  hak_slab* slab = HAK_LATENCY_OF(HAK_LATENCY_ACQUIRE, hak_units_acquire(units));
  if (slab == NULL) return NULL;
  *zeroed = hak_units_are_zeroed(slab, units);
  hak_slab_init_span(slab, units);
  slab->reused = is_dirty(slab, units);
  hak_registry_set(slab->base, units, HAK_REGISTRY_SPAN, slab);
  hak_units_mark_head(slab, true);
  return slab;
}

/* Others' room is left alone, as long as this one has room: a new SuperSlab costs little until it is touched. */
hak_slab* hak_shared_pool_acquire_growing(uint32_t units) {
  const uint32_t wide = units <= ROOM_UNITS ? ROOM_UNITS : ROOM_UNITS_MAX;
  const bool too_many = hak_u32_load_relaxed(&rooms.held) >= ROOMS_HELD_MAX;
  hak_slab* slab = too_many ? NULL : hak_units_acquire_wide(wide, units);
  if (slab == NULL) {
    bool zeroed;
    return hak_shared_pool_acquire_span(units, &zeroed);
  }
  const uint32_t first = slab->first_unit;
  hak_slab_init_span(slab, units);
  slab->reused = is_dirty(slab, units);
  hak_registry_set(slab->base, units, HAK_REGISTRY_SPAN, slab);
  hak_units_mark_head(slab, true);
  if (units < wide) {
    count_rooms(1); /* before anybody can take it away */
    /* Release: who takes it away finds units that have nothing of this thread's. */
    hak_u32_exchange_seq(&slab->room, (first + units) | (first + wide) << 8);
    list_room(slab);
  }
  return slab;
}

void hak_shared_pool_release_span(hak_slab* slab) {
  hak_units_mark_head(slab, false);
  take_room(slab);
  hak_units_release(slab, slab->first_unit, slab->units);
  hak_give_back_surplus();
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
      if (!hak_units_claim_exactly(slab->superslab, hak_units_mask(first + old_units, units - old_units))) return false;
    }
    lengthen(slab, units);
  } else if (units < old_units) {
    slab->reused = false;
    hak_slab_resize_span(slab, units);
    take_room(slab);
    hak_units_release(slab, first + units, old_units - units);
    hak_give_back_surplus();
  }
  return true;
}
