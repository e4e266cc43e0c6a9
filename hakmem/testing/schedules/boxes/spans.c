#include "hakmem/shared_pool/spans.c"

#include "hakmem/testing/schedules/doors.h"

hak_slab* door_acquire_span(uint32_t units) {
  bool zeroed;
  hak_slab* slab = hak_shared_pool_acquire_span(units, &zeroed);
  if (slab != NULL) door_use_units(slab, units, zeroed);
  return slab;
}

void door_fill_span(hak_slab* slab, uint32_t units) {
  hak_slab_init_span(slab, units);
  hak_registry_set(slab->base, units, HAK_REGISTRY_SPAN, slab);
  hak_units_mark_head(slab, true);
}

hak_slab* door_make_span(uint32_t id, uint32_t unit, uint32_t units) {
  hak_slab* slab = door_slab(id, unit);
  door_fill_span(slab, units);
  door_use_units(slab, units, hak_units_are_zeroed(slab, units));
  slab->reused = true;
  return slab;
}

void door_give_room(hak_slab* slab, uint32_t end) {
  count_rooms(1);
  hak_u32_store_relaxed(&slab->room, (slab->first_unit + (uint32_t)slab->units) | end << 8);
  list_room(slab);
}

bool door_take_all_rooms(void) { return hak_spans_take_rooms(); }

uint32_t door_room(const hak_slab* slab) { return hak_spans_room_mask(hak_u32_load_relaxed(&slab->room)); }
