#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"
#include "hakmem/heap/heap.h"
#include "hakmem/metadata/metadata.h"
#include "hakmem/os/os.h"
#include "hakmem/profile/profile.h"
#include "hakmem/registry/registry.h"
#include "hakmem/report/report.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/whale_cache/whale_cache.h"

static uint64_t count_heaps(void) {
  uint64_t count = 0;
  for (const hak_heap* heap = hak_heap_first(); heap != NULL; heap = heap->next_heap) count++;
  return count;
}

hak_report_figures hak_report_read_figures(void) {
  const hak_shared_pool_figures pool = hak_shared_pool_read_figures();
  const hak_whale_cache_figures whales = hak_whale_cache_read_figures();
  hak_report_figures out;
  out.mapped_bytes = pool.superslabs * HAK_SUPERSLAB_BYTES + whales.live_bytes + whales.cached_bytes;
  out.live_bytes = pool.live_bytes + whales.live_bytes;
  out.live_whales = whales.live;
  out.live_whale_bytes = whales.live_bytes;
  out.releasable_bytes =
      pool.dirty_free_units * HAK_UNIT_BYTES + pool.empty_superslabs * HAK_SUPERSLAB_BYTES + whales.cached_bytes;
  out.metadata_bytes = hak_metadata_used_bytes() + hak_registry_leaf_bytes();
  out.heaps = count_heaps();
  out.parked_heaps = hak_heap_parked_count();
  return out;
}

static uint64_t at_most(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t minus(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

/* --- what threads have in their hands --- */

/* Blocks in the slots of a bin whose thread may be at work. The two pointers may be of different moments, even of different
 * arrays: what cannot be counts as nothing. */
static HAK_READS_RACILY uint64_t slots_held(const hak_bin* bin, uint32_t size_class) {
  const uintptr_t top = (uintptr_t) * (void** const volatile*)&bin->top;
  const uintptr_t end = (uintptr_t) * (void** const volatile*)&bin->end;
  const uint64_t held = (end - top) / sizeof(void*);
  return held <= HAK_BIN_SLOTS(size_class) ? held : 0;
}

static HAK_READS_RACILY uint64_t run_held(const hak_bin* bin) {
  return hak_bits_count(*(const volatile uint64_t*)&bin->run_mask);
}

/* Adds what waits in the heap's out-box, by class. */
static HAK_READS_RACILY void add_outbox(const hak_heap* heap, uint64_t* blocks) {
  for (uint32_t i = 0; i < HAK_OUTBOX_ENTRIES; i++) {
    const volatile hak_outbox_entry* entry = &heap->outbox[i];
    const uint32_t size_class = entry->key >> 16;
    if (entry->slab != NULL && size_class < HAK_SIZE_CLASS_COUNT) blocks[size_class] += hak_bits_count(entry->mask);
  }
}

static uint64_t cached_in(const hak_heap* heap, uint32_t size_class) {
  const hak_bin* bin = hak_heap_bin((hak_heap*)(uintptr_t)heap, size_class);
  return slots_held(bin, size_class) + run_held(bin);
}

/* Blocks that other threads have freed and that have not come home, by class. */
static void count_pending(uint64_t* blocks) {
  for (const hak_heap* heap = hak_heap_first(); heap != NULL; heap = heap->next_heap) add_outbox(heap, blocks);
  hak_shared_pool_count_remote(blocks);
}

/* Free blocks that have left their slabs and not come back, by class. Returns how many of them are pending. */
static uint64_t count_cached(uint64_t* blocks) {
  uint64_t pending = 0;
  count_pending(blocks);
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) pending += blocks[c];
  for (const hak_heap* heap = hak_heap_first(); heap != NULL; heap = heap->next_heap) {
    for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) blocks[c] += cached_in(heap, c);
  }
  return pending;
}

/* Adds the slow paths of all heaps. */
static void add_slow_paths(hak_report_classes* out) {
  for (const hak_heap* heap = hak_heap_first(); heap != NULL; heap = heap->next_heap) {
    const hak_heap_counters* from = &heap->counters;
    for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
      const hak_atomic_u32* carries = &from->class_carries[c];
      out->of[c].refills += hak_heap_class_count(&from->class_refills[c], carries, HAK_HEAP_REFILLS_SHIFT);
      out->of[c].spills += hak_heap_class_count(&from->class_spills[c], carries, HAK_HEAP_SPILLS_SHIFT);
    }
  }
}

/* Returns the pending blocks of all classes. */
static uint64_t read_classes(hak_report_classes* out) {
  uint64_t slabs[HAK_SIZE_CLASS_COUNT] = {0};
  uint64_t taken[HAK_SIZE_CLASS_COUNT] = {0};
  uint64_t cached[HAK_SIZE_CLASS_COUNT] = {0};
  const uint64_t pending = count_cached(cached);
  hak_shared_pool_count_classes(slabs, taken);
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_report_class* row = &out->of[c];
    row->block_bytes = hak_size_class_table[c].block_bytes;
    row->slabs = slabs[c];
    row->cached = at_most(cached[c], taken[c]);
    row->live = taken[c] - row->cached;
    row->free = minus(slabs[c] * hak_size_class_table[c].blocks, taken[c]);
    row->refills = row->spills = 0;
  }
  add_slow_paths(out);
  return pending;
}

void hak_report_read_classes(hak_report_classes* out) { (void)read_classes(out); }

/* --- heaps --- */

static HAK_READS_RACILY void read_plain(const hak_heap* heap, hak_report_thread* out) {
  const volatile hak_heap* at = heap;
  out->handle = (uint64_t)(uintptr_t)at->thread_pointer;
  out->cap_bytes = at->budget.granted_bytes;
  out->limit_bytes = at->budget.limit_bytes;
  out->caps_raised = at->budget.grown;
  out->caps_lowered = at->budget.shrunk;
}

static void read_heap(const hak_heap* heap, hak_report_thread* out) {
  read_plain(heap, out);
  out->is_active = hak_u32_load_relaxed(&heap->state) == HAK_HEAP_ACTIVE;
  out->cached_blocks = out->cached_bytes = 0;
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    const uint64_t blocks = cached_in(heap, c);
    out->cached_blocks += blocks;
    out->cached_bytes += blocks * hak_size_class_table[c].block_bytes;
  }
  const hak_heap_counters* counters = &heap->counters;
  out->refills = hak_u64_load_relaxed(&counters->refills);
  out->refilled_blocks = hak_u64_load_relaxed(&counters->refilled_blocks);
  out->spills = hak_u64_load_relaxed(&counters->spills);
  out->spilled_blocks = hak_u64_load_relaxed(&counters->spilled_blocks);
  out->written_through = hak_u64_load_relaxed(&counters->written_through);
  out->remote_words = hak_u64_load_relaxed(&counters->remote_published);
  out->remote_blocks = hak_u64_load_relaxed(&counters->remote_merged);
  out->merges = hak_u64_load_relaxed(&counters->merges);
  out->slabs_adopted = hak_u64_load_relaxed(&counters->slabs_adopted);
  out->slabs_acquired = hak_u64_load_relaxed(&counters->slabs_acquired);
  out->slabs_released = hak_u64_load_relaxed(&counters->slabs_released);
  out->cap_reviews = hak_u64_load_relaxed(&counters->reviews);
  out->growth_flushes = hak_u64_load_relaxed(&counters->growth_flushes);
  out->surplus_flushes = hak_u64_load_relaxed(&counters->surplus_flushes);
}

/* The list begins with the heap that was made last. */
bool hak_report_read_thread(uint64_t index, hak_report_thread* out) {
  const uint64_t count = count_heaps();
  if (index >= count) return false;
  const hak_heap* heap = hak_heap_first();
  uint64_t from_end = count;
  for (; heap != NULL && --from_end > index; heap = heap->next_heap) {
  }
  if (heap == NULL) return false;
  read_heap(heap, out);
  return true;
}

/* --- locks --- */

static HAK_READS_RACILY void read_lock(const hak_lock* lock, hak_report_lock* out) {
  out->waits = *(const volatile uint32_t*)&lock->waits;
  out->sleeps = *(const volatile uint32_t*)&lock->sleeps;
}

bool hak_report_read_lock(uint32_t index, hak_report_lock* out) {
  static const char names[][12] = {"common", "parked", "pool", "whales", "metadata"};
  if (index >= sizeof names / sizeof names[0]) return false;
  for (uint32_t i = 0; i < sizeof out->name; i++) out->name[i] = names[index][i];
  switch (index) {
    case 0: read_lock(hak_heap_common_lock(), out); break;
    case 1: read_lock(hak_heap_parked_lock(), out); break;
    case 2: read_lock(hak_shared_pool_lock(), out); break;
    case 3: read_lock(hak_whale_cache_lock(), out); break;
    default: read_lock(hak_metadata_lock(), out); break;
  }
  return true;
}

/* --- totals --- */

static void add_heaps(hak_stats* out) {
  for (const hak_heap* heap = hak_heap_first(); heap != NULL; heap = heap->next_heap) {
    hak_report_thread one;
    read_heap(heap, &one);
    out->active_threads += one.is_active;
    out->slabs_released += one.slabs_released;
    out->refills += one.refills;
    out->refilled_blocks += one.refilled_blocks;
    out->spills += one.spills;
    out->spilled_blocks += one.spilled_blocks;
    out->written_through += one.written_through;
    out->remote_words += one.remote_words;
    out->remote_blocks += one.remote_blocks;
    out->merges += one.merges;
    out->caps_raised += one.caps_raised;
    out->caps_lowered += one.caps_lowered;
    out->cap_reviews += one.cap_reviews;
    out->growth_flushes += one.growth_flushes;
    out->surplus_flushes += one.surplus_flushes;
    uint64_t held = 0;
    for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
      held += slots_held(hak_heap_bin((hak_heap*)(uintptr_t)heap, c), c);
    }
    out->malloc_hits_min += minus(one.refilled_blocks, one.spilled_blocks + held);
    out->free_hits_min += minus(one.spilled_blocks + held, one.refilled_blocks);
  }
}

/* --- rounding --- */

/* What a class's blocks may have more than was asked for: a request of a byte less would have got the class below. */
static uint64_t rounding_max(uint32_t size_class) {
  const uint32_t block_bytes = hak_size_class_table[size_class].block_bytes;
  return size_class == 0 ? block_bytes : block_bytes - hak_size_class_table[size_class - 1].block_bytes - 1;
}

static void add_rounding(hak_stats* out, const hak_report_classes* classes) {
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    out->rounding_max_bytes += classes->of[c].live * rounding_max(c);
  }
  out->rounding_max_bytes += (out->spans + out->whales) * (HAK_UNIT_BYTES - 1);
  const hak_profile_filling sampled = hak_profile_read_filling();
  if (sampled.samples == 0 || sampled.block_bytes == 0) return;
  const uint64_t unused_bytes = minus(sampled.block_bytes, sampled.asked_bytes);
  out->rounding_samples = sampled.samples;
  out->rounding_bytes = (uint64_t)((double)out->live_bytes * (double)unused_bytes / (double)sampled.block_bytes);
}

/* --- all of it --- */

static void add_memory(hak_stats* out, const hak_report_classes* classes, const hak_shared_pool_figures* pool,
                       const hak_whale_cache_figures* whales) {
  uint64_t small_bytes = 0;
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    const hak_report_class* row = &classes->of[c];
    small_bytes += row->live * row->block_bytes;
    out->live_blocks += row->live;
    out->cached_bytes += row->cached * row->block_bytes;
    out->cached_blocks += row->cached;
  }
  const uint64_t pool_bytes = pool->superslabs * HAK_SUPERSLAB_BYTES;
  /* What was counted at different moments is made to fit. */
  const uint64_t slab_bytes = at_most(pool->slab_bytes, pool_bytes);
  const uint64_t taken_bytes = at_most(small_bytes + out->cached_bytes + pool->span_bytes, slab_bytes);
  out->cached_bytes = at_most(out->cached_bytes, taken_bytes);
  out->live_bytes = taken_bytes - out->cached_bytes + whales->live_bytes;
  out->slack_bytes = slab_bytes - taken_bytes;
  out->free_bytes = pool_bytes - slab_bytes + whales->cached_bytes;
  out->mapped_bytes = out->live_bytes + out->cached_bytes + out->slack_bytes + out->free_bytes;
  out->releasable_bytes =
      pool->dirty_free_units * HAK_UNIT_BYTES + pool->empty_superslabs * HAK_SUPERSLAB_BYTES + whales->cached_bytes;
  out->metadata_bytes = hak_metadata_used_bytes() + hak_registry_leaf_bytes();
  out->live_blocks += pool->live_spans + whales->live;
}

static void add_pool(hak_stats* out, const hak_shared_pool_figures* pool, const hak_whale_cache_figures* whales) {
  out->slabs = pool->live_slabs;
  out->spans = pool->live_spans;
  out->whales = whales->live;
  out->cached_whales = whales->cached;
  out->superslabs = pool->superslabs;
  out->empty_superslabs = pool->empty_superslabs;
  out->from_orphan = pool->from_orphan;
  out->from_units = pool->from_units;
  out->from_empty = pool->from_empty;
  out->from_new = pool->from_new;
  out->again_bytes = pool->again_bytes + hak_whale_cache_again_bytes();
  out->whales_from_cache = whales->from_cache;
  out->whales_from_new = whales->from_new;
  out->whales_moved = whales->moved;
  out->whales_resized = whales->resized_in_place;
}

static void add_calls(hak_stats* out) {
  const hak_os_counters os = hak_os_read_counters();
  out->map_calls = os.map_calls;
  out->unmap_calls = os.unmap_calls;
  out->purge_calls = os.purge_calls;
  out->advise_calls = os.advise_calls;
  out->move_calls = os.move_calls;
  out->protect_calls = os.protect_calls;
  out->unmapped_bytes = os.unmapped_bytes;
  out->purged_bytes = os.purged_bytes;
  out->returned_bytes = os.unmapped_bytes + os.purged_bytes;
  hak_report_lock lock;
  for (uint32_t i = 0; hak_report_read_lock(i, &lock); i++) {
    out->lock_waits += lock.waits;
    out->lock_sleeps += lock.sleeps;
  }
}

/* A table that was read where nobody has written counts nowhere: the kernel has one page of zeroes for all of those, and
 * tells them from others here only by a look at the pages' flags, which most may not have. They are few. */
static void add_residency(hak_stats* out) {
  out->resident_block_bytes = hak_shared_pool_resident_bytes() + hak_whale_cache_resident_bytes();
  out->resident_metadata_bytes = hak_metadata_resident_bytes() + hak_registry_resident_bytes();
  out->resident_bytes = out->resident_block_bytes + out->resident_metadata_bytes;
  out->rss_bytes = hak_os_rss_bytes();
  out->other_rss_bytes = minus(out->rss_bytes, out->resident_bytes);
  const hak_os_faults faults = hak_os_read_faults();
  out->minor_faults = faults.minor;
  out->major_faults = faults.major;
}

static void add_misuse(hak_stats* out) {
  out->misuse_reports = hak_misuse_count();
  out->double_frees = hak_misuse_count_of(HAK_MISUSE_DOUBLE_FREE);
  out->interior_pointers = hak_misuse_count_of(HAK_MISUSE_INTERIOR_POINTER);
  out->foreign_pointers = hak_misuse_count_of(HAK_MISUSE_FOREIGN_POINTER);
  out->wrong_sizes = hak_misuse_count_of(HAK_MISUSE_SIZE_MISMATCH);
}

void hak_report_read_stats(hak_stats* out) {
  const hak_shared_pool_figures pool = hak_shared_pool_read_figures();
  const hak_whale_cache_figures whales = hak_whale_cache_read_figures();
  hak_report_classes classes;
  const uint64_t pending_blocks = read_classes(&classes);
  *out = (hak_stats){.version = HAK_STATS_VERSION, .size_bytes = sizeof *out};
  add_memory(out, &classes, &pool, &whales);
  add_pool(out, &pool, &whales);
  add_heaps(out);
  add_rounding(out, &classes);
  out->remote_blocks += pool.complete_blocks;
  out->remote_pending_blocks = pending_blocks;
  add_calls(out);
  add_residency(out);
  out->parked_heaps = hak_heap_parked_count();
  add_misuse(out);
}
