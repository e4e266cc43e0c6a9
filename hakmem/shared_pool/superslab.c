#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"
#include "hakmem/base/poison.h"
#include "hakmem/config/config.h"
#include "hakmem/metadata/metadata.h"
#include "hakmem/os/os.h"
#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/shared_pool/superslab_inl.h"

enum {
  /* A process with fewer SuperSlabs gets no huge pages, whatever the system's mode: each would cost a small program
   * up to 2 MiB of memory that it never asked for. */
  SMALL_HEAP_SUPERSLABS = 32
};

/* The first descriptors, and those of ids from FIRST_IDS on: chunks, hak_atomic_ptr[HAK_SUPERSLAB_IDS_PER_CHUNK]. A process
 * of up to 128 MiB touches neither page of the second kind. Sync: lock writes. */
enum { FIRST_IDS = 64 };
static hak_atomic_ptr first_descriptors[FIRST_IDS] HAK_START_DATA HAK_ALIGNED(HAK_CACHE_LINE_BYTES);
static hak_atomic_ptr chunks[HAK_SUPERSLAB_CHUNKS];

static struct {
  hak_lock lock;
  hak_superslab* unused;   /* descriptors without memory, by `older`. Sync: lock */
  hak_superslab* unlisted; /* without an id either: there was none, or no chunk. Sync: lock */
  hak_atomic_u32 id_end;
  hak_atomic_u32 mapped;
  hak_atomic_u64 sums; /* units in use in the upper half, dirty free ones in the lower: one word, one operation */
} superslabs HAK_START_DATA HAK_ALIGNED(HAK_CACHE_LINE_BYTES);

hak_lock* hak_superslab_lock(void) { return &superslabs.lock; }

uint32_t hak_superslab_id_end(void) { return hak_u32_load_acquire(&superslabs.id_end); }

hak_superslab* hak_superslab_by_id(uint32_t id) {
  if (HAK_LIKELY(id < FIRST_IDS)) return (hak_superslab*)hak_ptr_load_acquire(&first_descriptors[id]);
  hak_atomic_ptr* chunk = (hak_atomic_ptr*)hak_ptr_load_acquire(&chunks[id / HAK_SUPERSLAB_IDS_PER_CHUNK]);
  if (chunk == NULL) return NULL;
  return (hak_superslab*)hak_ptr_load_acquire(&chunk[id % HAK_SUPERSLAB_IDS_PER_CHUNK]);
}

void hak_superslab_count(int64_t used_units, int64_t dirty_units) {
  hak_u64_fetch_add_relaxed(&superslabs.sums, ((uint64_t)used_units << 32) + (uint64_t)dirty_units);
}

hak_superslab_sums hak_superslab_read_sums(void) {
  const uint64_t sums = hak_u64_load_relaxed(&superslabs.sums);
  return (hak_superslab_sums){.used_units = sums >> 32, .dirty_units = (uint32_t)sums};
}

void hak_superslab_mark_clean(hak_superslab* superslab, uint32_t mask) {
  const uint32_t old = hak_u32_fetch_and_seq(&superslab->dirty_units, ~mask);
  hak_superslab_count(0, -(int64_t)hak_bits_count(old & mask));
}

static hak_superslab* pop(hak_superslab** list) {
  hak_lock_take(&superslabs.lock);
  hak_superslab* superslab = *list;
  if (superslab != NULL) *list = superslab->older;
  hak_lock_give(&superslabs.lock);
  return superslab;
}

static void push(hak_superslab** list, hak_superslab* superslab) {
  hak_lock_take(&superslabs.lock);
  superslab->older = *list;
  *list = superslab;
  hak_lock_give(&superslabs.lock);
}

/* Where the descriptor of `id` is listed. `spare_chunk` is used up where a new chunk is due; NULL: there is none. */
static hak_atomic_ptr* place_of_locked(uint32_t id, hak_atomic_ptr** spare_chunk) {
  if (id < FIRST_IDS) return &first_descriptors[id];
  hak_atomic_ptr* slot = &chunks[id / HAK_SUPERSLAB_IDS_PER_CHUNK];
  if (hak_ptr_load_relaxed(slot) == NULL) {
    if (*spare_chunk == NULL) return NULL;
    hak_ptr_store_release(slot, *spare_chunk);
    *spare_chunk = NULL;
  }
  return (hak_atomic_ptr*)hak_ptr_load_relaxed(slot) + id % HAK_SUPERSLAB_IDS_PER_CHUNK;
}

/* Lists the descriptor under a new id. False: no ids left, or no chunk. */
static bool list_locked(hak_superslab* superslab, hak_atomic_ptr** spare_chunk) {
  const uint32_t id = hak_u32_load_relaxed(&superslabs.id_end);
  if (id == HAK_SUPERSLAB_IDS_MAX) return false;
  hak_atomic_ptr* place = place_of_locked(id, spare_chunk);
  if (place == NULL) return false;
  superslab->id = id;
  hak_ptr_store_release(place, superslab);
  hak_u32_store_release(&superslabs.id_end, id + 1);
  return true;
}

static hak_superslab* unlisted_descriptor(void) {
  hak_superslab* superslab = pop(&superslabs.unlisted);
  if (superslab != NULL) return superslab;
  superslab = (hak_superslab*)hak_metadata_alloc(sizeof(hak_superslab), 4096);
  if (superslab == NULL) return NULL;
  for (uint32_t i = 0; i < HAK_SUPERSLAB_UNITS; i++) {
    hak_slab* slab = &superslab->slabs[i];
    slab->superslab = superslab;
    slab->first_unit = (uint8_t)i;
    slab->free_bits = superslab->bitmaps + (size_t)i * HAK_SUPERSLAB_BITMAP_WORDS;
    slab->remote_bits = superslab->remote_bitmaps + (size_t)i * HAK_SUPERSLAB_BITMAP_WORDS;
  }
  return superslab;
}

static hak_superslab* new_descriptor(void) {
  hak_superslab* superslab = unlisted_descriptor();
  if (superslab == NULL) return NULL;
  /* The chunk is made before the lock is taken: metadata may map memory. One is needed every 512 descriptors, and a
   * spare that lost its race is kept for the next. */
  static hak_atomic_ptr kept_chunk HAK_START_DATA;
  hak_atomic_ptr* spare = (hak_atomic_ptr*)hak_ptr_exchange_acquire(&kept_chunk, NULL);
  const uint32_t id = hak_superslab_id_end();
  const bool chunk_due = id >= FIRST_IDS && id < HAK_SUPERSLAB_IDS_MAX &&
                         hak_ptr_load_relaxed(&chunks[id / HAK_SUPERSLAB_IDS_PER_CHUNK]) == NULL;
  if (spare == NULL && chunk_due) {
    spare =
        (hak_atomic_ptr*)hak_metadata_alloc(HAK_SUPERSLAB_IDS_PER_CHUNK * sizeof(hak_atomic_ptr), HAK_CACHE_LINE_BYTES);
  }
  hak_lock_take(&superslabs.lock);
  const bool listed = list_locked(superslab, &spare);
  hak_lock_give(&superslabs.lock);
  if (spare != NULL) hak_ptr_store_release(&kept_chunk, spare);
  if (listed) return superslab;
  push(&superslabs.unlisted, superslab);
  return NULL;
}

hak_superslab* hak_superslab_map(void) {
  hak_superslab* superslab = pop(&superslabs.unused);
  if (superslab == NULL) superslab = new_descriptor();
  if (superslab == NULL) return NULL;
  char* base = (char*)hak_os_map_aligned(HAK_SUPERSLAB_BYTES, HAK_SUPERSLAB_BYTES);
  if (base != NULL && !hak_registry_prepare(base, HAK_SUPERSLAB_BYTES)) {
    hak_os_unmap(base, HAK_SUPERSLAB_BYTES);
    base = NULL;
  }
  if (base == NULL) {
    push(&superslabs.unused, superslab);
    return NULL;
  }
  const uint32_t others = hak_u32_fetch_add_relaxed(&superslabs.mapped, 1);
  if (!hak_config_get(HAK_OPTION_HUGE_PAGES) || others < SMALL_HEAP_SUPERSLABS) {
    hak_os_advise_huge(base, HAK_SUPERSLAB_BYTES, false);
  }
  hak_poison(base, HAK_SUPERSLAB_BYTES);
  superslab->base = base;
  for (uint32_t i = 0; i < HAK_SUPERSLAB_UNITS; i++) superslab->slabs[i].base = base + (size_t)i * HAK_UNIT_BYTES;
  hak_u32_store_relaxed(&superslab->dirty_units, 0);
  hak_u32_store_relaxed(&superslab->in_use, 1);
  return superslab;
}

/* After a peak the bitmaps of SuperSlabs that are gone would be most of what stays: 2 % of it. */
static void purge_bitmaps(hak_superslab* superslab) {
  const size_t page_bytes = hak_os_page_bytes();
  const uintptr_t begin = hak_round_up((uintptr_t)superslab->bitmaps, page_bytes);
  const uintptr_t end = (uintptr_t)(superslab + 1) & ~(uintptr_t)(page_bytes - 1);
  /* Refused: they are as good as they were. */
  if (begin < end) (void)hak_os_purge((void*)begin, end - begin);
}

bool hak_superslab_unmap(hak_superslab* superslab) {
  HAK_ASSERT(hak_u32_load_relaxed(&superslab->free_units) == 0);
  hak_u32_store_relaxed(&superslab->in_use, 0);
  hak_unpoison(superslab->base, HAK_SUPERSLAB_BYTES); /* the addresses may be somebody else's next */
  if (!hak_os_unmap(superslab->base, HAK_SUPERSLAB_BYTES)) {
    hak_poison(superslab->base, HAK_SUPERSLAB_BYTES);
    hak_u32_store_relaxed(&superslab->in_use, 1);
    return false;
  }
  hak_superslab_count(0, -(int64_t)hak_bits_count(hak_u32_load_relaxed(&superslab->dirty_units)));
  hak_u32_fetch_sub_relaxed(&superslabs.mapped, 1);
  purge_bitmaps(superslab);
  push(&superslabs.unused, superslab);
  return true;
}

static const uint32_t ids_per_chunk = HAK_SUPERSLAB_IDS_PER_CHUNK;

#define ROWS                                                                                                     \
  HAK_VIEW_STRUCTURE("superslab", hak_superslab)                                                                 \
  HAK_VIEW_FIELDS("superslab", hak_superslab, base, id, free_units, dirty_units, heads, in_use, freed_ms, newer, \
                  older)                                                                                         \
  HAK_VIEW_ARRAYS("superslab", hak_superslab, slabs, bitmaps, remote_bitmaps)
#define ROOTS(ROOT)                              \
  ROOT("first_superslabs", first_descriptors)    \
  ROOT("superslab_chunks", chunks)               \
  ROOT("superslab_ids_per_chunk", ids_per_chunk) \
  ROOT("superslab_id_end", superslabs.id_end)    \
  ROOT("superslabs_mapped", superslabs.mapped) ROOT("superslab_sums", superslabs.sums)
HAK_VIEW_PART(hak_superslab_view, ROWS, ROOTS);
