#include "hakmem/shared_pool/shared_pool.c"

#include "hakmem/testing/schedules/doors.h"

hak_slab* door_claim(uint32_t id, uint32_t units) {
  hak_superslab* superslab = hak_superslab_by_id(id);
  const int first = claim_units(superslab, units, false);
  if (first < 0) return NULL;
  hak_slab* slab = &superslab->slabs[first];
  door_use_units(slab, units, is_zeroed(slab, units));
  return slab;
}

hak_slab* door_acquire_span(uint32_t units) {
  bool zeroed;
  hak_slab* slab = hak_shared_pool_acquire_span(units, &zeroed);
  if (slab != NULL) door_use_units(slab, units, zeroed);
  return slab;
}

hak_slab* door_claim_unused(uint32_t units) { return claim_unused(units); }

bool door_claim_exactly(uint32_t id, uint32_t mask) { return claim_exactly(hak_superslab_by_id(id), mask); }

void door_purge(uint32_t id) {
  bool refused = false;
  purge_superslab(hak_superslab_by_id(id), &refused);
}

bool door_adopt(hak_heap* heap, uint32_t size_class) {
  hak_slab* slab = adopt_orphan_slab(heap, size_class);
  if (slab != NULL) hak_slab_list_push(&hak_heap_bin(heap, size_class)->partial, slab);
  return slab != NULL;
}

void door_drain_first_parked(void) {
  if (!hak_lock_try_take(hak_heap_parked_lock())) return;
  hak_heap* orphan = hak_heap_first_parked_locked();
  if (orphan != NULL) drain_heap_locked(orphan);
  hak_lock_give(hak_heap_parked_lock());
}

hak_slab* door_merge(hak_heap* heap, uint32_t size_class) {
  return hak_remote_free_drain(heap, hak_heap_bin(heap, size_class), size_class);
}

void door_take_complete(void) { release_complete(); }

int door_drain(hak_heap* heap, uint32_t size_class) {
  hak_slab* empty = hak_remote_free_drain(heap, hak_heap_bin(heap, size_class), size_class);
  int released = 0;
  while (empty != NULL) {
    hak_slab* slab = empty;
    empty = slab->next;
    slab->next = NULL;
    hak_shared_pool_release(heap, slab);
    released++;
  }
  return released;
}

void door_fill_span(hak_slab* slab, uint32_t units) {
  hak_slab_init_span(slab, units);
  hak_registry_set(slab->base, units, HAK_REGISTRY_SPAN, slab);
  mark_head(slab, true);
}

hak_slab* door_make_span(uint32_t id, uint32_t unit, uint32_t units) {
  hak_slab* slab = door_slab(id, unit);
  door_fill_span(slab, units);
  door_use_units(slab, units, is_zeroed(slab, units));
  slab->reused = true;
  return slab;
}

void door_hold_all_unseen(uint32_t id) { hak_u32_store_seq(&hak_superslab_by_id(id)->free_units, 0); }

void door_give_room(hak_slab* slab, uint32_t end) {
  hak_u32_store_relaxed(&slab->room, (slab->first_unit + (uint32_t)slab->units) | end << 8);
  list_room(slab);
}

bool door_take_all_rooms(void) { return take_all_rooms(); }

uint32_t door_room(const hak_slab* slab) { return room_mask(hak_u32_load_relaxed(&slab->room)); }

void door_refresh(uint32_t id) { hak_tiers_refresh(hak_superslab_by_id(id)); }

void door_open(uint32_t id, uint32_t units) { open_superslab(hak_superslab_by_id(id), units); }

void door_unmap(uint32_t id) { hak_superslab_unmap(hak_superslab_by_id(id)); }

void door_fill_slab(hak_slab* slab, hak_heap* heap, uint32_t size_class) {
  hak_slab_init(slab, size_class, is_zeroed(slab, 1));
  set_owner(slab, heap, size_class);
  mark_head(slab, true);
}

void door_set_mailbox(hak_slab* slab, hak_heap* heap, uint32_t size_class) { set_owner(slab, heap, size_class); }

void door_unlist(hak_slab* slab, hak_heap* heap, uint32_t size_class) {
  hak_slab_list_remove(&hak_heap_bin(heap, size_class)->partial, slab);
}

bool door_takes_own(hak_heap* heap, hak_slab* slab, uint32_t size_class) {
  hak_bin* bin = hak_heap_bin(heap, size_class);
  if (slab->bin != bin) return false;
  if (slab->listed) {
    hak_slab_list_remove(&bin->partial, slab);
    hak_slab_list_push(&bin->partial, slab);
  }
  return true;
}

uint64_t door_empty_count(void) { return hak_empty_cache_count(); }
