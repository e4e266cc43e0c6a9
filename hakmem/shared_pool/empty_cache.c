#include "hakmem/base/checks.h"
#include "hakmem/os/os.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/shared_pool/superslab_inl.h"

/* Least recently used at `oldest`. The lock is the pool's. */
static struct {
  hak_superslab* youngest; /* Sync: lock */
  hak_superslab* oldest;   /* Sync: lock */
  hak_atomic_u64 count;    /* Sync: lock writes, any reads */
} cache HAK_START_DATA;

uint64_t hak_empty_cache_count(void) { return hak_u64_load_relaxed(&cache.count); }

static void unlink_locked(hak_superslab* superslab) {
  if (superslab->newer != NULL) {
    superslab->newer->older = superslab->older;
  } else {
    cache.youngest = superslab->older;
  }
  if (superslab->older != NULL) {
    superslab->older->newer = superslab->newer;
  } else {
    cache.oldest = superslab->newer;
  }
  superslab->newer = superslab->older = NULL;
  hak_u64_store_relaxed(&cache.count, hak_empty_cache_count() - 1);
}

void hak_empty_cache_push(hak_superslab* superslab, uint64_t now_ms) {
  hak_u64_store_relaxed(&superslab->freed_ms, now_ms);
  hak_lock_take(hak_superslab_lock());
  superslab->newer = NULL;
  superslab->older = cache.youngest;
  if (cache.youngest != NULL) {
    cache.youngest->newer = superslab;
  } else {
    cache.oldest = superslab;
  }
  cache.youngest = superslab;
  hak_u64_store_relaxed(&cache.count, hak_empty_cache_count() + 1);
  hak_lock_give(hak_superslab_lock());
}

hak_superslab* hak_empty_cache_pop(void) {
  if (hak_empty_cache_count() == 0) return NULL;
  hak_lock_take(hak_superslab_lock());
  hak_superslab* superslab = cache.youngest;
  if (superslab != NULL) unlink_locked(superslab);
  hak_lock_give(hak_superslab_lock());
  return superslab;
}

static bool is_aged(const hak_superslab* superslab, uint64_t now_ms, uint64_t decay_ms) {
  const uint64_t freed_ms = hak_u64_load_relaxed(&superslab->freed_ms);
  return decay_ms == 0 || (now_ms > freed_ms && now_ms - freed_ms >= decay_ms);
}

/* Takes the oldest where it is too old, or one too many. */
static hak_superslab* pop_surplus(uint64_t now_ms, uint64_t decay_ms, uint64_t keep) {
  hak_lock_take(hak_superslab_lock());
  hak_superslab* superslab = cache.oldest;
  if (superslab != NULL) {
    if (is_aged(superslab, now_ms, decay_ms) || hak_empty_cache_count() > keep) {
      unlink_locked(superslab);
    } else {
      superslab = NULL;
    }
  }
  hak_lock_give(hak_superslab_lock());
  return superslab;
}

uint64_t hak_empty_cache_trim(uint64_t now_ms, uint64_t decay_ms, uint64_t keep) {
  uint64_t bytes = 0;
  /* Bounded: what the kernel refuses to unmap goes back in and ends the loop. */
  for (;;) {
    hak_superslab* superslab = pop_surplus(now_ms, decay_ms, keep);
    if (superslab == NULL) return bytes;
    if (!hak_superslab_unmap(superslab)) {
      /* Out of mappings: the range cannot go, its pages can. */
      if (hak_os_purge(superslab->base, HAK_SUPERSLAB_BYTES))
        hak_superslab_mark_clean(superslab, HAK_SUPERSLAB_ALL_UNITS);
      hak_empty_cache_push(superslab, now_ms);
      return bytes;
    }
    bytes += HAK_SUPERSLAB_BYTES;
  }
}

#define ROWS                                           \
  HAK_VIEW_STRUCTURE("empty_cache", __typeof__(cache)) \
  HAK_VIEW_FIELDS("empty_cache", __typeof__(cache), youngest, oldest, count)
#define ROOTS(ROOT) ROOT("empty_cache", cache)
HAK_VIEW_PART(hak_empty_cache_view, ROWS, ROOTS);
