#include "hakmem/base/bits.h"
#include "hakmem/os/os.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/shared_pool/superslab_inl.h"

hak_figures_counts hak_figures_counted HAK_START_DATA;

uint64_t hak_shared_pool_purged_bytes(void) { return hak_u64_load_relaxed(&hak_figures_counted.purged_bytes); }

uint64_t hak_shared_pool_growth_count(void) { return hak_u64_load_relaxed(&hak_figures_counted.from_new); }

/* The first SuperSlab with memory whose id is *id or above; *id is the next then. NULL: there is none. */
static const hak_superslab* next_in_use(uint32_t* id) {
  while (*id < hak_superslab_id_end()) {
    const hak_superslab* superslab = hak_superslab_by_id((*id)++);
    if (superslab != NULL && hak_u32_load_relaxed(&superslab->in_use) != 0) return superslab;
  }
  return NULL;
}

static void add_superslab_figures(hak_shared_pool_figures* out, const hak_superslab* superslab) {
  const uint32_t free_units = hak_u32_load_relaxed(&superslab->free_units);
  out->superslabs++;
  out->free_units += hak_bits_count(free_units);
  out->dirty_free_units += hak_bits_count(free_units & hak_u32_load_relaxed(&superslab->dirty_units));
  uint32_t heads = hak_u32_load_relaxed(&superslab->heads);
  for (; heads != 0; heads &= heads - 1) {
    const hak_slab* head = &superslab->slabs[__builtin_ctz(heads)];
    const hak_slab_figures slab = hak_slab_read_figures(head);
    if (slab.size_class == HAK_SLAB_SPAN) {
      out->room_units += hak_bits_count(hak_spans_room_mask(hak_u32_load_relaxed(&head->room)));
      if (slab.taken_blocks == 0) { /* parked */
        out->free_units += slab.slab_bytes / HAK_UNIT_BYTES;
        out->dirty_free_units += slab.slab_bytes / HAK_UNIT_BYTES;
        continue;
      }
      out->live_spans++;
      out->span_bytes += slab.slab_bytes;
    } else {
      out->live_slabs++;
    }
    out->live_bytes += slab.taken_bytes;
    out->slab_bytes += slab.slab_bytes;
  }
}

hak_shared_pool_figures hak_shared_pool_read_figures(void) {
  hak_shared_pool_figures out = {0};
  const hak_superslab* superslab;
  for (uint32_t id = 0; (superslab = next_in_use(&id)) != NULL;) add_superslab_figures(&out, superslab);
  out.empty_superslabs = hak_empty_cache_count();
  out.from_orphan = hak_u64_load_relaxed(&hak_figures_counted.from_orphan);
  out.complete = hak_u64_load_relaxed(&hak_figures_counted.complete);
  out.complete_blocks = hak_u64_load_relaxed(&hak_figures_counted.complete_blocks);
  out.from_units = hak_u64_load_relaxed(&hak_figures_counted.from_units);
  out.from_empty = hak_u64_load_relaxed(&hak_figures_counted.from_empty);
  out.from_new = hak_u64_load_relaxed(&hak_figures_counted.from_new);
  out.purged_bytes = hak_u64_load_relaxed(&hak_figures_counted.purged_bytes);
  out.again_bytes = hak_give_back_again_bytes();
  return out;
}

void hak_shared_pool_count_classes(uint64_t* slabs, uint64_t* taken_blocks) {
  const hak_superslab* superslab;
  for (uint32_t id = 0; (superslab = next_in_use(&id)) != NULL;) {
    uint32_t heads = hak_u32_load_relaxed(&superslab->heads);
    for (; heads != 0; heads &= heads - 1) {
      const hak_slab_figures slab = hak_slab_read_figures(&superslab->slabs[__builtin_ctz(heads)]);
      if (slab.size_class >= HAK_SIZE_CLASS_COUNT) continue;
      slabs[slab.size_class]++;
      taken_blocks[slab.size_class] += slab.taken_blocks;
    }
  }
}

static void add_remote(const hak_slab* slab, uint64_t* blocks) {
  if (hak_u32_load_relaxed(&slab->pending) == 0)
    return; /* else pages of bitmaps would be looked at that nobody has used */
  const uint32_t size_class = hak_slab_read_figures(slab).size_class;
  if (size_class >= HAK_SIZE_CLASS_COUNT) return;
  const uint32_t words = (hak_size_class_table[size_class].blocks + 63u) / 64;
  for (uint32_t i = 0; i < words; i++) {
    blocks[size_class] += hak_bits_count(hak_u64_load_relaxed(&slab->remote_bits[i]));
  }
}

void hak_shared_pool_count_remote(uint64_t* blocks) {
  const hak_superslab* superslab;
  for (uint32_t id = 0; (superslab = next_in_use(&id)) != NULL;) {
    uint32_t heads = hak_u32_load_relaxed(&superslab->heads);
    for (; heads != 0; heads &= heads - 1) add_remote(&superslab->slabs[__builtin_ctz(heads)], blocks);
  }
}

/* A SuperSlab may come and go meanwhile: its address is of some moment, and only the kernel is asked about it. */
static HAK_READS_RACILY const void* base_of(const hak_superslab* superslab) {
  return *(char* const volatile*)&superslab->base;
}

uint64_t hak_shared_pool_resident_bytes(void) {
  uint64_t bytes = 0;
  const hak_superslab* superslab;
  for (uint32_t id = 0; (superslab = next_in_use(&id)) != NULL;) {
    bytes += hak_os_resident_bytes(base_of(superslab), HAK_SUPERSLAB_BYTES);
  }
  return bytes;
}

hak_shared_pool_place hak_shared_pool_find(const void* address) {
  hak_shared_pool_place out = {0};
  const hak_superslab* superslab;
  for (uint32_t id = 0; (superslab = next_in_use(&id)) != NULL;) {
    const uintptr_t offset = (uintptr_t)address - (uintptr_t)superslab->base;
    if (offset >= HAK_SUPERSLAB_BYTES) continue;
    const uint32_t free_units = hak_u32_load_relaxed(&superslab->free_units);
    out.superslab = superslab->base;
    out.unit = (uint32_t)(offset / HAK_UNIT_BYTES);
    out.is_empty = free_units == 0 && hak_u32_load_relaxed(&superslab->heads) == 0;
    out.is_unit_free = out.is_empty || (free_units >> out.unit & 1) != 0;
    break;
  }
  return out;
}

#define ROWS                                                                                                  \
  HAK_VIEW_STRUCTURE("pool_counts", hak_figures_counts)                                                       \
  HAK_VIEW_FIELDS("pool_counts", hak_figures_counts, from_orphan, from_units, from_empty, from_new, complete, \
                  complete_blocks, purged_bytes)
#define ROOTS(ROOT) ROOT("pool_counts", hak_figures_counted)
HAK_VIEW_PART(hak_figures_view, ROWS, ROOTS);
