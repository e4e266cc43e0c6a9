#include "hakmem/whale_cache/whale_cache.h"

#include "hakmem/base/checks.h"
#include "hakmem/base/poison.h"
#include "hakmem/config/config.h"
#include "hakmem/heap/berth.h"
#include "hakmem/metadata/metadata.h"
#include "hakmem/os/latency.h"
#include "hakmem/os/os.h"
#include "hakmem/registry/registry.h"
#include "hakmem/surplus/surplus.h"

enum {
  /* Cached whales that stay however fast the process grows: so many bytes, or this part of what is live. */
  GROWING_KEEP_BYTES = 8 * 1024 * 1024,
  GROWING_KEEP_SHARE = 4
};

/* Newest first. */
typedef struct whale_list {
  hak_whale* newest;
  hak_whale* oldest;
  uint64_t count;
  uint64_t bytes;
} whale_list;

static struct {
  hak_lock lock;
  whale_list live; /* Sync: lock, all of them */
  whale_list cached;
  hak_whale* spares; /* descriptors without memory, by `older` */
  uint64_t mappings; /* so far */
  hak_whale_cache_figures figures;
  hak_surplus surplus;
} whales;

static hak_berth berths[HAK_BERTHS]; /* their sizes are bytes */

hak_lock* hak_whale_cache_lock(void) { return &whales.lock; }

static void list_add(whale_list* list, hak_whale* whale) {
  whale->newer = NULL;
  whale->older = list->newest;
  if (list->newest != NULL) {
    list->newest->newer = whale;
  } else {
    list->oldest = whale;
  }
  list->newest = whale;
  list->count++;
  list->bytes += whale->size_bytes;
}

static void list_remove(whale_list* list, hak_whale* whale) {
  if (whale->newer != NULL) {
    whale->newer->older = whale->older;
  } else {
    list->newest = whale->older;
  }
  if (whale->older != NULL) {
    whale->older->newer = whale->newer;
  } else {
    list->oldest = whale->newer;
  }
  whale->newer = whale->older = NULL;
  list->count--;
  list->bytes -= whale->size_bytes;
}

static hak_whale* take_spare(void) {
  hak_lock_take(&whales.lock);
  hak_whale* whale = whales.spares;
  if (whale != NULL) whales.spares = whale->older;
  hak_lock_give(&whales.lock);
  if (whale == NULL) whale = (hak_whale*)hak_metadata_alloc(sizeof(hak_whale), 16);
  return whale;
}

static void spare_locked(hak_whale* whale) {
  whale->base = NULL;
  whale->size_bytes = 0; /* for who looks at a process that has crashed */
  whale->older = whales.spares;
  whales.spares = whale;
}

static void give_spare(hak_whale* whale) {
  hak_lock_take(&whales.lock);
  spare_locked(whale);
  hak_lock_give(&whales.lock);
}

static bool add_spare(void) {
  hak_whale* whale = take_spare();
  if (whale != NULL) give_spare(whale);
  return whale != NULL;
}

/* --- the cache's whales, cut and joined; with the lock --- */

/* Cuts a cached whale at `size_bytes`; what lies behind is another, as old. There is a spare descriptor. */
static void cut_locked(hak_whale* whale, size_t size_bytes) {
  hak_whale* rest = whales.spares;
  whales.spares = rest->older;
  rest->base = whale->base + size_bytes;
  rest->size_bytes = whale->size_bytes - size_bytes;
  rest->freed_ms = whale->freed_ms;
  rest->mapping = whale->mapping;
  rest->joined = whale->joined;
  whale->size_bytes = size_bytes;
  rest->newer = whale;
  rest->older = whale->older;
  if (rest->older != NULL) {
    rest->older->newer = rest;
  } else {
    whales.cached.oldest = rest;
  }
  whale->older = rest;
  whales.cached.count++;
}

/* The cached parts of the same mapping that end where `whale` begins, and begin where it ends; NULL: there is none. */
typedef struct neighbours {
  hak_whale* before;
  hak_whale* behind;
} neighbours;

static neighbours cached_beside(const hak_whale* whale) {
  const char* const end = whale->base + whale->size_bytes;
  neighbours found = {NULL, NULL};
  for (hak_whale* other = whales.cached.newest; other != NULL; other = other->older) {
    if (other->mapping != whale->mapping) continue;
    if (other->base == end) found.behind = other;
    if (other->base + other->size_bytes == whale->base) found.before = other;
  }
  return found;
}

/* Joins `whale`, in no list, with the cached ones beside it. The oldest stands for all, at its place in the list: what is used
 * over and over must not keep what lies beside it young. */
static void cache_locked(hak_whale* whale) {
  const neighbours beside = cached_beside(whale);
  list_add(&whales.cached, whale);
  for (int i = 0; i < 2; i++) {
    hak_whale* other = i == 0 ? beside.before : beside.behind;
    if (other == NULL) continue;
    hak_whale* younger = other->freed_ms <= whale->freed_ms ? whale : other;
    hak_whale* older = younger == whale ? other : whale;
    const size_t added_bytes = younger->size_bytes;
    if (younger->base < older->base) older->base = younger->base;
    list_remove(&whales.cached, younger);
    older->size_bytes += added_bytes;
    older->joined = true;
    whales.cached.bytes += added_bytes;
    spare_locked(younger);
    whale = older;
  }
}

/* The smallest cached whale that is large enough. */
static hak_whale* best_cached(size_t size_bytes, size_t alignment) {
  hak_whale* best = NULL;
  for (hak_whale* whale = whales.cached.newest; whale != NULL; whale = whale->older) {
    if (whale->size_bytes < size_bytes || ((uintptr_t)whale->base & (alignment - 1)) != 0) continue;
    if (best == NULL || whale->size_bytes < best->size_bytes) best = whale;
    if (best->size_bytes == size_bytes) break;
  }
  return best;
}

/* --- acquiring --- */

/* Of a live whale that nobody has seen. */
static void put_back(hak_whale* whale) {
  hak_lock_take(&whales.lock);
  list_remove(&whales.live, whale);
  cache_locked(whale);
  whales.figures.from_cache--;
  hak_lock_give(&whales.lock);
}

/* Of a cached whale that would waste more than a quarter the rest stays cached. */
static hak_whale* take_cached(size_t size_bytes, size_t alignment) {
  const size_t size_max = size_bytes + size_bytes / 4;
  hak_lock_take(&whales.lock);
  hak_whale* best = best_cached(size_bytes, alignment);
  bool has_memory = true;
  while (best != NULL && best->size_bytes > size_max && whales.spares == NULL && has_memory) {
    hak_lock_give(&whales.lock);
    has_memory = add_spare();
    hak_lock_take(&whales.lock);
    best = best_cached(size_bytes, alignment);
  }
  if (best != NULL) {
    if (best->size_bytes > size_max && whales.spares != NULL) cut_locked(best, size_bytes);
    list_remove(&whales.cached, best);
    best->joined = false;
    list_add(&whales.live, best);
    whales.figures.from_cache++;
  }
  hak_lock_give(&whales.lock);
  if (best == NULL) return NULL;
  best->reused = true;
  /* Part of a mapping begins where no whale has begun. */
  if (HAK_LIKELY(hak_registry_prepare(best->base, HAK_UNIT_BYTES))) return best;
  put_back(best);
  return NULL;
}

static hak_whale* map_whale(size_t size_bytes, size_t alignment) {
  hak_whale* whale = take_spare();
  if (whale == NULL) return NULL;
  char* base = (char*)hak_os_map_aligned(size_bytes, alignment);
  if (base != NULL && !hak_registry_prepare(base, HAK_UNIT_BYTES)) {
    hak_os_unmap(base, size_bytes);
    base = NULL;
  }
  if (base == NULL) {
    give_spare(whale);
    return NULL;
  }
  if (HAK_UNLIKELY(!hak_config_get(HAK_OPTION_HUGE_PAGES))) hak_os_advise_huge(base, size_bytes, false);
  if (HAK_UNLIKELY(hak_config_get(HAK_OPTION_PREFAULT))) hak_os_populate(base, size_bytes);
  whale->base = base;
  whale->size_bytes = size_bytes;
  whale->reused = false;
  whale->joined = false;
  hak_lock_take(&whales.lock);
  whale->mapping = ++whales.mappings;
  list_add(&whales.live, whale);
  whales.figures.from_new++;
  hak_lock_give(&whales.lock);
  hak_surplus_on_take(&whales.surplus, size_bytes);
  return whale;
}

/* Unmaps a whale that is in no list. What the kernel refuses goes (back) into the cache, its pages purged. */
static bool unmap_or_keep(hak_whale* whale, uint64_t now_ms) {
  hak_unpoison(whale->base, whale->size_bytes); /* the addresses may be somebody else's next */
  if (hak_os_unmap(whale->base, whale->size_bytes)) {
    give_spare(whale);
    return true;
  }
  hak_os_purge(whale->base, whale->size_bytes);
  whale->freed_ms = now_ms;
  hak_lock_take(&whales.lock);
  cache_locked(whale);
  hak_lock_give(&whales.lock);
  return false;
}

/* The oldest, or of a joined one not much more than is too much, or than `most_bytes`. NULL: there is not too much. */
static hak_whale* pop_surplus(uint64_t limit_bytes, uint64_t most_bytes) {
  hak_lock_take(&whales.lock);
  hak_whale* whale = whales.cached.oldest;
  if (whale != NULL && (whales.cached.bytes > limit_bytes || whales.cached.count > HAK_WHALE_CACHE_ENTRIES)) {
    const uint64_t excess_bytes = whales.cached.bytes > limit_bytes ? whales.cached.bytes - limit_bytes : 0;
    const uint64_t part_bytes = hak_round_up(excess_bytes < most_bytes ? excess_bytes : most_bytes, HAK_UNIT_BYTES);
    if (whale->joined && part_bytes != 0 && part_bytes <= whale->size_bytes / 2 && whales.spares != NULL) {
      cut_locked(whale, whale->size_bytes - part_bytes);
      whale = whale->older;
    }
    list_remove(&whales.cached, whale);
  } else {
    whale = NULL;
  }
  hak_lock_give(&whales.lock);
  return whale;
}

static uint64_t read_live_bytes(void) {
  hak_lock_take(&whales.lock);
  const uint64_t bytes = whales.live.bytes;
  hak_lock_give(&whales.lock);
  return bytes;
}

/* A process that grows by `size_bytes` although whales are cached has no use for them: as much of the oldest goes. */
static void give_way(size_t size_bytes) {
  const uint64_t share_bytes = read_live_bytes() / GROWING_KEEP_SHARE;
  const uint64_t keep_bytes = share_bytes > GROWING_KEEP_BYTES ? share_bytes : GROWING_KEEP_BYTES;
  size_t given_bytes = 0;
  while (given_bytes < size_bytes) {
    hak_whale* whale = pop_surplus(keep_bytes, size_bytes - given_bytes);
    if (whale == NULL) return;
    given_bytes += whale->size_bytes;
    if (!unmap_or_keep(whale, whale->freed_ms)) return;
  }
}

static hak_whale* acquire(size_t size_bytes, size_t alignment, bool* zeroed) {
  if (size_bytes > PTRDIFF_MAX - HAK_UNIT_BYTES) return NULL;
  size_bytes = size_bytes == 0 ? HAK_UNIT_BYTES : hak_round_up(size_bytes, HAK_UNIT_BYTES);
  if (alignment < HAK_UNIT_BYTES) alignment = HAK_UNIT_BYTES;
  hak_whale* whale = take_cached(size_bytes, alignment);
  *zeroed = whale == NULL;
  if (whale == NULL) whale = map_whale(size_bytes, alignment);
  if (whale == NULL) {
    /* Address space or commit limit: what we sit on may be what is missing. */
    if (hak_whale_cache_purge(0, 0) == 0) return NULL;
    whale = map_whale(size_bytes, alignment);
    if (whale == NULL) return NULL;
  }
  hak_registry_set(whale->base, 1, HAK_REGISTRY_WHALE, whale);
  if (*zeroed) give_way(size_bytes);
  return whale;
}

hak_whale* hak_whale_cache_acquire(size_t size_bytes, size_t alignment, bool* zeroed) {
  return HAK_LATENCY_OF(HAK_LATENCY_WHALE, acquire(size_bytes, alignment, zeroed));
}

/* The oldest go while there is more than the cache may hold, or than should lie idle. */
static void give_surplus(uint64_t now_ms) {
  const uint64_t most_bytes = hak_config_get(HAK_OPTION_WHALE_CACHE_BYTES);
  const uint64_t base_bytes = hak_config_get(HAK_OPTION_SURPLUS_BYTES);
  const uint64_t idle_bytes = hak_surplus_limit(&whales.surplus, base_bytes, read_live_bytes());
  const bool gives_idle = idle_bytes < most_bytes && hak_surplus_is_open(&whales.surplus, HAK_SURPLUS_BY_UNMAP);
  const uint64_t limit_bytes = gives_idle ? idle_bytes : most_bytes;
  for (;;) {
    hak_whale* whale = pop_surplus(limit_bytes, UINT64_MAX);
    if (whale == NULL) return;
    const size_t size_bytes = whale->size_bytes;
    if (!unmap_or_keep(whale, now_ms)) {
      hak_surplus_on_refusal(&whales.surplus, HAK_SURPLUS_BY_UNMAP);
      return;
    }
    hak_surplus_on_give(&whales.surplus, size_bytes);
  }
}

void hak_whale_cache_age(uint64_t ages) { hak_surplus_age(&whales.surplus, ages); }

void hak_whale_cache_release(hak_whale* whale, uint64_t now_ms) {
  const uint64_t limit_bytes = hak_config_get(HAK_OPTION_WHALE_CACHE_BYTES);
  hak_registry_clear(whale->base, 1);
  /* One whale may fill at most a quarter of the cache. */
  const bool keep = whale->size_bytes <= limit_bytes / 4;
  hak_lock_take(&whales.lock);
  list_remove(&whales.live, whale);
  if (keep) {
    whale->freed_ms = now_ms;
    cache_locked(whale);
  }
  hak_lock_give(&whales.lock);
  if (!keep) {
    unmap_or_keep(whale, now_ms);
    return;
  }
  give_surplus(now_ms);
}

/* --- parking --- */

uint32_t hak_whale_cache_try_park(hak_whale* whale, hak_heap* heap) {
  if (!whale->reused || whale->size_bytes > HAK_WHALE_CACHE_PARK_MAX_BYTES) return 0;
  hak_berth* berth = hak_berth_of(berths, heap);
  if (berth == NULL || hak_berth_has_guest(berth)) return 0;
  hak_registry_set_word(whale->base, HAK_REGISTRY_NONE);
  return hak_berth_park(berth, whale, whale->size_bytes);
}

hak_whale* hak_whale_cache_unpark(hak_heap* heap, size_t size_bytes) {
  hak_berth* berth = hak_berth_of(berths, heap);
  if (berth == NULL || !hak_berth_has_guest(berth)) return NULL;
  const uint64_t have_bytes = hak_u64_load_relaxed(&berth->size);
  if (size_bytes > have_bytes || have_bytes - size_bytes > size_bytes / 4) return NULL;
  hak_whale* whale = (hak_whale*)hak_berth_take(berth);
  if (whale != NULL) hak_registry_set_word(whale->base, HAK_REGISTRY_WHALE);
  return whale; /* NULL: a purge was faster */
}

/* From now on a parked whale is a cached one. */
static void settle(void* guest, uint64_t now_ms) {
  hak_whale* whale = (hak_whale*)guest;
  hak_lock_take(&whales.lock);
  list_remove(&whales.live, whale);
  whale->freed_ms = now_ms;
  cache_locked(whale);
  hak_lock_give(&whales.lock);
}

/* --- resizing --- */

static void set_size_locked(hak_whale* whale, size_t size_bytes) {
  whales.live.bytes += size_bytes - whale->size_bytes;
  whale->size_bytes = size_bytes;
}

static void set_size(hak_whale* whale, size_t size_bytes) {
  hak_lock_take(&whales.lock);
  set_size_locked(whale, size_bytes);
  hak_lock_give(&whales.lock);
}

/* What the whale lacks comes from a cached one behind it. */
static bool grow_into_cached(hak_whale* whale, size_t size_bytes) {
  const size_t added_bytes = size_bytes - whale->size_bytes;
  hak_lock_take(&whales.lock);
  hak_whale* behind = cached_beside(whale).behind;
  const bool fits = behind != NULL && behind->size_bytes >= added_bytes;
  if (fits) {
    behind->base += added_bytes;
    behind->size_bytes -= added_bytes;
    whales.cached.bytes -= added_bytes;
    if (behind->size_bytes == 0) {
      list_remove(&whales.cached, behind);
      spare_locked(behind);
    }
    set_size_locked(whale, size_bytes);
    whales.figures.resized_in_place++;
  }
  hak_lock_give(&whales.lock);
  return fits;
}

/* Every step that can fail comes before the pages move. */
static bool grow_by_moving(hak_whale* whale, size_t size_bytes) {
  char* target = (char*)hak_os_reserve_aligned(size_bytes, HAK_UNIT_BYTES);
  if (target == NULL) return false;
  char* old_base = whale->base;
  if (!hak_registry_prepare(target, HAK_UNIT_BYTES)) {
    hak_os_unmap(target, size_bytes);
    return false;
  }
  /* Cleared first: once the pages have moved, the old address may be another thread's next whale. */
  hak_registry_clear(old_base, 1);
  if (!hak_os_move_to(old_base, whale->size_bytes, target, size_bytes)) {
    hak_registry_set(old_base, 1, HAK_REGISTRY_WHALE, whale);
    return false;
  }
  hak_lock_take(&whales.lock);
  whale->base = target;
  whale->mapping = ++whales.mappings;
  set_size_locked(whale, size_bytes);
  whales.figures.moved++;
  hak_lock_give(&whales.lock);
  hak_registry_set(target, 1, HAK_REGISTRY_WHALE, whale);
  return true;
}

bool hak_whale_cache_resize(hak_whale* whale, size_t size_bytes) {
  if (size_bytes > PTRDIFF_MAX - HAK_UNIT_BYTES) return false;
  size_bytes = size_bytes == 0 ? HAK_UNIT_BYTES : hak_round_up(size_bytes, HAK_UNIT_BYTES);
  const size_t old_bytes = whale->size_bytes;
  whale->reused = false; /* of another size it has to earn its berth anew */
  if (size_bytes <= old_bytes) {
    /* Small steps down are not worth a system call. */
    if (old_bytes - size_bytes <= old_bytes / 8) return true;
    if (hak_os_unmap(whale->base + size_bytes, old_bytes - size_bytes)) set_size(whale, size_bytes);
    return true;
  }
  if (grow_into_cached(whale, size_bytes)) return true;
  if (hak_os_grow_in_place(whale->base, old_bytes, size_bytes)) {
    hak_lock_take(&whales.lock);
    set_size_locked(whale, size_bytes);
    /* Pages that were mapped at two times need not be one mapping to the kernel. */
    whale->mapping = ++whales.mappings;
    whales.figures.resized_in_place++;
    hak_lock_give(&whales.lock);
    return true;
  }
  /* A block that grows will grow again: an eighth more of untouched address space saves the next moves. Any more would be
   * cut off by the next, smaller step. */
  const size_t ample = hak_round_up(size_bytes + size_bytes / 8 - HAK_UNIT_BYTES, HAK_UNIT_BYTES);
  return grow_by_moving(whale, ample) || grow_by_moving(whale, size_bytes);
}

static hak_whale* pop_aged(uint64_t now_ms, uint64_t decay_ms) {
  hak_lock_take(&whales.lock);
  hak_whale* whale = whales.cached.oldest;
  if (whale != NULL && decay_ms != 0 && now_ms < whale->freed_ms + decay_ms) whale = NULL;
  if (whale != NULL) list_remove(&whales.cached, whale);
  hak_lock_give(&whales.lock);
  return whale;
}

uint64_t hak_whale_cache_purge(uint64_t now_ms, uint64_t decay_ms) {
  uint64_t bytes = 0;
  hak_berths_settle(berths, settle, now_ms);
  for (hak_whale* whale = pop_aged(now_ms, decay_ms); whale != NULL; whale = pop_aged(now_ms, decay_ms)) {
    const size_t size_bytes = whale->size_bytes;
    if (!unmap_or_keep(whale, decay_ms == 0 ? whale->freed_ms : now_ms))
      break; /* no decay: nobody says what time it is */
    bytes += size_bytes;
  }
  return bytes;
}

bool hak_whale_cache_holds(const void* ptr) {
  bool found = false;
  hak_lock_take(&whales.lock);
  for (const hak_whale* whale = whales.live.newest; whale != NULL && !found; whale = whale->older) {
    const bool is_inside = (uintptr_t)ptr - (uintptr_t)whale->base < whale->size_bytes;
    found = is_inside && hak_registry_word(whale->base) == HAK_REGISTRY_WHALE; /* else it is parked */
  }
  hak_lock_give(&whales.lock);
  return found;
}

const hak_whale* hak_whale_cache_newest_live(void) { return whales.live.newest; }
const hak_whale* hak_whale_cache_newest_cached(void) { return whales.cached.newest; }

HAK_READS_RACILY bool hak_whale_cache_has_cached(void) {
  return *(hak_whale* const volatile*)&whales.cached.newest != NULL || hak_berths_have_guests(berths);
}

hak_whale_cache_figures hak_whale_cache_read_figures(void) {
  hak_lock_take(&whales.lock);
  hak_whale_cache_figures out = whales.figures;
  out.live = whales.live.count;
  out.live_bytes = whales.live.bytes;
  out.cached = whales.cached.count;
  out.cached_bytes = whales.cached.bytes;
  for (uint32_t i = 0; i < HAK_BERTHS; i++) {
    if (hak_ptr_load_acquire(&berths[i].guest) == NULL) continue;
    const uint64_t bytes = hak_u64_load_relaxed(&berths[i].size);
    out.live--;
    out.live_bytes -= bytes;
    out.cached++;
    out.cached_bytes += bytes;
  }
  hak_lock_give(&whales.lock);
  return out;
}

uint64_t hak_whale_cache_again_bytes(void) { return hak_u64_load_relaxed(&whales.surplus.again_bytes); }

enum { WHALES_A_LOOK = 32 };

typedef struct range {
  const char* base;
  size_t size_bytes;
} range;

/* Ranges of the whales of a list from number `first` on; how many. Between two looks the list may have changed: a whale is
 * seen twice or not at all then. */
static uint32_t copy_ranges(const whale_list* list, uint64_t first, range* ranges) {
  uint32_t count = 0;
  hak_lock_take(&whales.lock);
  const hak_whale* whale = list->oldest;
  for (uint64_t i = 0; whale != NULL && i < first; i++) whale = whale->newer;
  for (; whale != NULL && count < WHALES_A_LOOK; whale = whale->newer) {
    ranges[count++] = (range){whale->base, whale->size_bytes};
  }
  hak_lock_give(&whales.lock);
  return count;
}

static uint64_t resident_bytes_of(const whale_list* list) {
  uint64_t bytes = 0;
  range ranges[WHALES_A_LOOK];
  uint32_t count = WHALES_A_LOOK;
  for (uint64_t first = 0; count == WHALES_A_LOOK; first += count) {
    count = copy_ranges(list, first, ranges);
    for (uint32_t i = 0; i < count; i++) bytes += hak_os_resident_bytes(ranges[i].base, ranges[i].size_bytes);
  }
  return bytes;
}

uint64_t hak_whale_cache_resident_bytes(void) {
  return resident_bytes_of(&whales.live) + resident_bytes_of(&whales.cached);
}

#define WHALE_ROWS                                                                      \
  HAK_VIEW_STRUCTURE("whale", hak_whale)                                                \
  HAK_VIEW_FIELDS("whale", hak_whale, base, size_bytes, freed_ms, reused, newer, older) \
  HAK_VIEW_STRUCTURE("whale_list", whale_list)                                          \
  HAK_VIEW_FIELDS("whale_list", whale_list, newest, oldest, count, bytes)
#define CACHE_ROWS                                                                                         \
  HAK_VIEW_STRUCTURE("whales", __typeof__(whales))                                                         \
  HAK_VIEW_FIELDS("whales", __typeof__(whales), live, cached, figures)                                     \
  HAK_VIEW_STRUCTURE("whale_figures", hak_whale_cache_figures)                                             \
  HAK_VIEW_FIELDS("whale_figures", hak_whale_cache_figures, from_cache, from_new, resized_in_place, moved) \
  HAK_VIEW_STRUCTURE("berth", hak_berth) HAK_VIEW_FIELDS("berth", hak_berth, heap, guest, size, count)
#define ROWS WHALE_ROWS CACHE_ROWS
#define ROOTS(ROOT) ROOT("whales", whales) ROOT("berths", berths)
HAK_VIEW_PART(hak_whale_cache_view, ROWS, ROOTS);
