#include "hakmem/shared_pool/shared_pool.h"

#include "hakmem/base/checks.h"
#include "hakmem/os/latency.h"
#include "hakmem/registry/registry.h"
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/superslab_inl.h"

enum {
  /* Parked heaps that an acquire looks at. */
  ORPHANS_PER_ACQUIRE = 8
};

hak_lock* hak_shared_pool_lock(void) { return hak_superslab_lock(); }

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
  hak_units_mark_head(slab, false);
  hak_units_release(slab, slab->first_unit, slab->units);
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
    hak_u64_fetch_add_relaxed(&hak_figures_counted.from_orphan, 1);
    hak_u64_bump_single_writer(&heap->counters.slabs_adopted, 1);
  }
  return slab;
}

/* Releases the slabs that others than their owners have freed whole. */
static void release_complete(void) {
  if (!hak_remote_free_has_complete()) return;
  hak_slab* taken = hak_remote_free_take_complete();
  for (const hak_slab* slab = taken; slab != NULL; slab = slab->next) {
    hak_u64_fetch_add_relaxed(&hak_figures_counted.complete, 1);
    hak_u64_fetch_add_relaxed(&hak_figures_counted.complete_blocks, slab->blocks);
  }
  dissolve_list(taken);
}

HAK_ALWAYS_INLINE hak_slab* acquire_slab(hak_heap* heap, uint32_t size_class) {
  hak_slab* slab = adopt_orphan_slab(heap, size_class);
  if (slab != NULL) return slab;
  const uint32_t units = hak_size_class_table[size_class].units;
  release_complete();
  slab = hak_units_acquire(units);
  if (slab == NULL) return NULL;
  hak_slab_init(slab, size_class, hak_units_are_zeroed(slab, units));
  set_owner(slab, heap, size_class);
  hak_units_mark_head(slab, true);
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

void hak_shared_pool_release(hak_heap* heap, hak_slab* slab) {
  hak_u64_bump_single_writer(&heap->counters.slabs_released, 1);
  dissolve(slab);
  hak_give_back_surplus();
}

/* --- sampled blocks --- */

hak_slab* hak_shared_pool_acquire_sampled(uint32_t size_class) {
  const uint32_t units = hak_size_class_table[size_class].units;
  hak_slab* slab = hak_units_acquire(units);
  if (slab == NULL) return NULL;
  hak_slab_init(slab, size_class, false);
  slab->bin = NULL;
  hak_registry_set(slab->base, units, HAK_REGISTRY_SAMPLED, slab);
  hak_units_mark_head(slab, true);
  return slab;
}

void hak_shared_pool_release_sampled(hak_slab* slab) {
  dissolve(slab);
  hak_give_back_surplus();
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
  hak_give_back_surplus();
}

void hak_shared_pool_drain_common(void) {
  hak_hold_aborts();
  if (hak_lock_try_take(hak_heap_common_lock())) {
    drain_heap_locked(hak_heap_common());
    hak_lock_give(hak_heap_common_lock());
  }
  hak_release_aborts();
  hak_give_back_surplus();
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
  hak_give_back_surplus();
}

void hak_shared_pool_drain_complete(void) {
  release_complete();
  hak_give_back_surplus();
}
