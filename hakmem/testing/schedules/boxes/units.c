#include "hakmem/shared_pool/units.c"

#include "hakmem/testing/schedules/doors.h"

hak_slab* door_claim(uint32_t id, uint32_t units) {
  hak_superslab* superslab = hak_superslab_by_id(id);
  const int first = claim_units(superslab, units, false);
  if (first < 0) return NULL;
  hak_slab* slab = &superslab->slabs[first];
  door_use_units(slab, units, hak_units_are_zeroed(slab, units));
  return slab;
}

hak_slab* door_claim_unused(uint32_t units) { return claim_unused(units); }

bool door_claim_exactly(uint32_t id, uint32_t mask) { return hak_units_claim_exactly(hak_superslab_by_id(id), mask); }

void door_hold_all_unseen(uint32_t id) { hak_u32_store_seq(&hak_superslab_by_id(id)->free_units, 0); }

void door_open(uint32_t id, uint32_t units) { open_superslab(hak_superslab_by_id(id), units); }
