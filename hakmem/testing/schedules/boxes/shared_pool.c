#include "hakmem/shared_pool/shared_pool.c"

#include "hakmem/testing/schedules/doors.h"

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

void door_fill_slab(hak_slab* slab, hak_heap* heap, uint32_t size_class) {
  hak_slab_init(slab, size_class, hak_units_are_zeroed(slab, 1));
  set_owner(slab, heap, size_class);
  hak_units_mark_head(slab, true);
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
