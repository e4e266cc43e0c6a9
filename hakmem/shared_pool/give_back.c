#include "hakmem/base/bits.h"
#include "hakmem/config/config.h"
#include "hakmem/os/os.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/shared_pool/superslab_inl.h"
#include "hakmem/surplus/surplus.h"

static hak_surplus surplus HAK_START_DATA;
static hak_atomic_u32 surplus_next HAK_START_DATA; /* id from which on the next surplus is looked for */
static hak_atomic_u32 surplus_count HAK_START_DATA;

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
  hak_units_free(superslab, held);
  return bytes;
}

/* --- surplus --- */

void hak_give_back_on_take(uint64_t size_bytes) { hak_surplus_on_take(&surplus, size_bytes); }

uint64_t hak_give_back_again_bytes(void) { return hak_u64_load_relaxed(&surplus.again_bytes); }

uint32_t hak_shared_pool_surplus_count(void) { return hak_u32_load_relaxed(&surplus_count); }

void hak_shared_pool_age(uint64_t ages) { hak_surplus_age(&surplus, ages); }

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
    hak_u64_fetch_add_relaxed(&hak_figures_counted.purged_bytes, bytes);
    /* Not what the calls say: of an empty SuperSlab most may have gone before. */
    const uint64_t left_units = hak_superslab_read_sums().dirty_units;
    if (left_units < sums.dirty_units) {
      hak_surplus_on_give(&surplus, (sums.dirty_units - left_units) * HAK_UNIT_BYTES);
      hak_u32_store_relaxed(&surplus_count, hak_u32_load_relaxed(&surplus_count) + 1);
    }
  }
}

void hak_give_back_surplus(void) {
  if (hak_empty_cache_count() != 0) {
    const uint64_t keep = hak_config_get(HAK_OPTION_SUPERSLAB_CACHE);
    if (hak_empty_cache_count() > keep) hak_empty_cache_trim(0, UINT64_MAX, keep);
  }
  const hak_superslab_sums sums = hak_superslab_read_sums();
  /* The share of what is in use, known without a look at options and credit. */
  if (sums.dirty_units <= sums.used_units / HAK_SURPLUS_USED_SHARE) return;
  give_surplus();
}

/* --- purge --- */

bool hak_shared_pool_has_dirty(void) {
  return hak_superslab_read_sums().dirty_units != 0 || hak_empty_cache_count() != 0 || hak_span_berths_have_guests();
}

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
  hak_spans_take_rooms();
  uint64_t bytes = purge_units(now_ms, decay_ms);
  bytes += hak_empty_cache_trim(now_ms, decay_ms, hak_config_get(HAK_OPTION_SUPERSLAB_CACHE));
  hak_u64_fetch_add_relaxed(&hak_figures_counted.purged_bytes, bytes);
  return bytes;
}

#define ROWS \
  HAK_VIEW_STRUCTURE("surplus", hak_surplus) HAK_VIEW_FIELDS("surplus", hak_surplus, given_bytes, credit_bytes, refused)
#define ROOTS(ROOT) ROOT("pool_surplus", surplus) ROOT("pool_surplus_count", surplus_count)
HAK_VIEW_PART(hak_give_back_view, ROWS, ROOTS);
