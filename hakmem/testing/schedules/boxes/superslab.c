#include "hakmem/shared_pool/superslab.c"

#include "hakmem/testing/schedules/doors.h"

uint32_t door_new_superslab(uint32_t free_units) {
  hak_superslab* superslab = hak_superslab_map();
  if (superslab == NULL) return HAK_SUPERSLAB_IDS_MAX;
  hak_u32_store_seq(&superslab->free_units, free_units);
  hak_tiers_refresh(superslab);
  return superslab->id;
}

void door_skip_ids(uint32_t count) {
  hak_u32_store_seq(&superslabs.id_end, hak_u32_load_seq(&superslabs.id_end) + count);
}

uint32_t door_map_superslab(void) {
  hak_superslab* superslab = hak_superslab_map();
  return superslab == NULL ? HAK_SUPERSLAB_IDS_MAX : superslab->id;
}

/* As searchers and reports walk: every id below the end leads to a descriptor that says so itself. */
uint32_t door_count_superslabs(void) {
  const uint32_t end = hak_superslab_id_end();
  uint32_t count = 0;
  for (uint32_t id = 0; id < end; id++) {
    const hak_superslab* superslab = hak_superslab_by_id(id);
    if (superslab == NULL) hak_scheduled_fail("an id without a descriptor");
    if (superslab->id != id || superslab->slabs[1].superslab != superslab) hak_scheduled_fail("a descriptor not ready");
    count++;
  }
  return count;
}

hak_slab* door_slab(uint32_t id, uint32_t unit) { return &hak_superslab_by_id(id)->slabs[unit]; }

uint32_t door_free_units(uint32_t id) { return hak_u32_load_seq(&hak_superslab_by_id(id)->free_units); }

uint32_t door_dirty_units(uint32_t id) { return hak_u32_load_seq(&hak_superslab_by_id(id)->dirty_units); }

void door_name_superslab(uint32_t id, void (*name)(const void* address, size_t bytes, const char* name, uint32_t n)) {
  hak_superslab* superslab = hak_superslab_by_id(id);
  name(&superslab->free_units, 4, "free_units", id);
  name(&superslab->dirty_units, 4, "dirty_units", id);
  for (uint32_t i = 0; i < HAK_SUPERSLAB_UNITS; i++) {
    hak_slab* slab = &superslab->slabs[i];
    name(&slab->mailbox, 8, "mailbox of slab ", i);
    name(&slab->pending, 4, "pending of slab ", i);
    name(&slab->pending_next, 8, "pending_next of slab ", i);
    name(slab->remote_bits, 8, "remote_bits of slab ", i);
    name(slab->free_bits, 8, "free_bits of slab ", i);
    name(slab, sizeof *slab, "slab ", i);
  }
  name(superslab, sizeof *superslab, "superslab ", id);
}

void door_unmap(uint32_t id) { hak_superslab_unmap(hak_superslab_by_id(id)); }
