#include "hakmem/shared_pool/tiers.c"

#include "hakmem/testing/schedules/doors.h"

static uint32_t door_is_summed(uint32_t set, uint32_t id) {
  return (uint32_t)(hak_u64_load_seq(summary_of(set, id / 64)) >> (id / 64 % 64)) & 1;
}

bool door_index_agrees(uint32_t id) {
  const hak_superslab* superslab = hak_superslab_by_id(id);
  const hak_tier tier = tier_of(hak_u32_load_seq(&superslab->free_units));
  if (!is_listed_as(superslab, tier)) return false;
  for (uint32_t t = 0; t < HAK_TIER_COUNT; t++) {
    if (set_has(t, id) && !door_is_summed(t, id)) return false;
  }
  return true;
}

void door_change_mask(uint32_t id, uint32_t add, uint32_t remove) {
  hak_superslab* superslab = hak_superslab_by_id(id);
  if (add != 0) hak_u32_fetch_or_seq(&superslab->free_units, add);
  if (remove != 0) hak_u32_fetch_and_seq(&superslab->free_units, ~remove);
  hak_tiers_refresh(superslab);
}

void door_mark_dirty(uint32_t id) { hak_tiers_mark_dirty(id); }

void door_check_dirty(uint32_t id) { hak_tiers_check_dirty(id); }

uint32_t door_take_dirty(void) { return hak_tiers_take_dirty(0); }

bool door_is_dirty(uint32_t id) { return set_has(SET_DIRTY, id); }

bool door_dirty_is_found(uint32_t id) { return set_has(SET_DIRTY, id) && door_is_summed(SET_DIRTY, id) != 0; }

void door_refresh(uint32_t id) { hak_tiers_refresh(hak_superslab_by_id(id)); }
