#include "hakmem/base/bits.h"
#include "hakmem/heap/heap.h"
#include "hakmem/metadata/metadata.h"
#include "hakmem/postmortem/blocks_inl.h"
#include "hakmem/postmortem/peek_inl.h"
#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/size_class/size_class.h"
#include "hakmem/whale_cache/whale_cache.h"

/* Lists that are damaged may have no end. */
enum { HEAPS_MOST = 100000, WHALES_MOST = 1000000, SLOTS_AT_ONCE = 32 };

#define ADDRESS_END (1ull << 47) /* of a program; more on some processors, where it asks for it */

static hak_registry_entry look_up(const void* address) {
  hak_registry_entry out = {HAK_REGISTRY_NONE, NULL};
  if (hak_registry_window_index(address) < HAK_REGISTRY_LEAF_UNITS) return hak_registry_look_up(address);
  const hak_registry_leaf* leaf = hak_registry_far_leaf(address);
  if (leaf == NULL) return out;
  const uint16_t index = hak_registry_leaf_index(address);
  if (!hak_peek(&leaf->word[index], &out.word, sizeof out.word) ||
      !hak_peek(&leaf->owner[index], &out.owner, sizeof out.owner)) {
    out.word = HAK_REGISTRY_NONE;
  }
  return out;
}

static hak_holder holder_of(const hak_heap* heap) {
  hak_holder out = {heap, 0, 0, ""};
  const void* thread_pointer = NULL;
  if (heap == NULL || !hak_peek(&heap->state, &out.state, sizeof out.state)) return out;
  if (out.state == HAK_HEAP_ACTIVE && hak_peek(&heap->thread_pointer, &thread_pointer, sizeof thread_pointer)) {
    out.thread = hak_peek_thread(thread_pointer);
  }
  if (out.state == HAK_HEAP_NAMED && !hak_peek(heap->name, out.name, sizeof out.name)) out.name[0] = 0;
  out.name[sizeof out.name - 1] = 0;
  return out;
}

/* --- where a block of a slab is --- */

typedef struct search {
  hak_place* place;
  const char* end; /* of the slab's blocks */
  uint32_t index;  /* of the block */
} search;

static void count_cached(search* at, const hak_heap* heap, const char* block) {
  hak_place* place = at->place;
  if (block < place->slab.base || block >= at->end) return;
  place->cached_blocks++;
  if (block != place->block) return;
  place->state = HAK_BLOCK_CACHED;
  place->holder = holder_of(heap);
}

static void search_bin(search* at, const hak_heap* heap) {
  const hak_slab* slab = &at->place->slab;
  hak_bin bin;
  if (!hak_peek(heap->bins + HAK_BIN_OFFSET(slab->size_class), &bin, sizeof bin) || bin.stride != slab->block_bytes)
    return;
  uint64_t count = ((uintptr_t)bin.end - (uintptr_t)bin.top) / sizeof(void*);
  if (bin.top > bin.end || count > HAK_BIN_TINY_SLOTS) count = 0; /* damaged */
  for (uint64_t done = 0; done < count; done += SLOTS_AT_ONCE) {
    char* slots[SLOTS_AT_ONCE];
    const uint64_t some = count - done < SLOTS_AT_ONCE ? count - done : SLOTS_AT_ONCE;
    if (!hak_peek(bin.top + done, slots, some * sizeof slots[0])) break;
    for (uint64_t i = 0; i < some; i++) count_cached(at, heap, slots[i]);
  }
  for (uint64_t mask = bin.run_mask; mask != 0; mask &= mask - 1) {
    count_cached(at, heap, bin.run_base + (size_t)hak_bits_lowest(mask) * bin.stride);
  }
}

static void search_outbox(search* at, const hak_heap* heap, const void* slab_address) {
  hak_outbox_entry entries[HAK_OUTBOX_ENTRIES];
  if (!hak_peek(heap->outbox, entries, sizeof entries)) return;
  for (uint32_t i = 0; i < HAK_OUTBOX_ENTRIES; i++) {
    if (entries[i].slab != slab_address) continue;
    at->place->remote_blocks += hak_bits_count(entries[i].mask);
    if ((entries[i].key & 0xffff) != at->index / 64 || (entries[i].mask >> (at->index % 64) & 1) == 0) continue;
    at->place->state = HAK_BLOCK_WAITING;
    at->place->holder = holder_of(heap);
  }
}

static void search_heaps(search* at, const void* slab_address) {
  const hak_heap* heap = hak_heap_first();
  for (uint32_t i = 0; heap != NULL && i < HEAPS_MOST; i++) {
    search_bin(at, heap);
    search_outbox(at, heap, slab_address);
    if (!hak_peek(&heap->next_heap, &heap, sizeof heap)) break;
  }
  search_outbox(at, hak_heap_common(), slab_address);
}

static void read_bitmaps(search* at) {
  hak_place* place = at->place;
  for (uint32_t word = 0; word < place->slab.words; word++) {
    uint64_t free_bits, remote_bits;
    if (!hak_peek(&place->slab.free_bits[word], &free_bits, sizeof free_bits) ||
        !hak_peek(&place->slab.remote_bits[word], &remote_bits, sizeof remote_bits)) {
      if (word == at->index / 64) place->state = HAK_BLOCK_UNKNOWN;
      continue;
    }
    place->remote_blocks += hak_bits_count(remote_bits & ~free_bits);
    if (word != at->index / 64) continue;
    if ((remote_bits >> (at->index % 64) & 1) != 0) place->state = HAK_BLOCK_REMOTE;
    if ((free_bits >> (at->index % 64) & 1) != 0) place->state = HAK_BLOCK_FREE;
  }
}

static bool is_sound(const hak_slab* slab, const void* address) {
  if (slab->size_class >= HAK_SIZE_CLASS_COUNT) return false;
  const hak_size_class* row = &hak_size_class_table[slab->size_class];
  return (uintptr_t)slab->base % HAK_UNIT_BYTES == 0 && slab->block_bytes == row->block_bytes &&
         slab->blocks == row->blocks && slab->units == row->units && slab->words <= HAK_SLAB_WORDS_MAX &&
         (uintptr_t)address - (uintptr_t)slab->base < (size_t)slab->units * HAK_UNIT_BYTES;
}

static void find_in_slab(const void* address, const hak_registry_entry* entry, hak_place* out) {
  if (!hak_peek(entry->owner, &out->slab, sizeof out->slab) || !is_sound(&out->slab, address)) {
    out->kind = HAK_PLACE_DAMAGED;
    return;
  }
  const hak_slab* slab = &out->slab;
  const uint64_t offset = (uint64_t)((const char*)address - slab->base);
  search at = {out, slab->base + (size_t)slab->blocks * slab->block_bytes, (uint32_t)(offset / slab->block_bytes)};
  out->kind = at.index < slab->blocks ? HAK_PLACE_BLOCK : HAK_PLACE_TAIL;
  if (out->kind == HAK_PLACE_BLOCK) {
    out->block = hak_slab_block(slab, at.index);
    out->block_bytes = slab->block_bytes;
  }
  if (entry->word > HAK_REGISTRY_LAST_TAG) {
    out->owner = holder_of((const hak_heap*)((uintptr_t)entry->word - HAK_BIN_OFFSET(slab->size_class)));
  }
  search_heaps(&at, entry->owner);
  read_bitmaps(&at);
}

/* --- larger ones --- */

static bool find_in_whales(const void* address, const hak_whale* whale, bool is_cached, hak_place* out) {
  for (uint32_t i = 0; whale != NULL && i < WHALES_MOST; i++) {
    hak_whale copy;
    if (!hak_peek(whale, &copy, sizeof copy)) return false;
    if ((uintptr_t)address - (uintptr_t)copy.base < copy.size_bytes) {
      /* A parked one is listed among the live. */
      const bool is_parked = !is_cached && look_up(copy.base).word != HAK_REGISTRY_WHALE;
      out->kind = HAK_PLACE_WHALE;
      out->block = copy.base;
      out->block_bytes = copy.size_bytes;
      out->state = is_cached || is_parked ? HAK_BLOCK_FREE : HAK_BLOCK_LIVE;
      return true;
    }
    whale = copy.older;
  }
  return false;
}

/* Descriptors first: where they cannot be read, the others are not to be had. */
static void find_elsewhere(const void* address, hak_place* out) {
  switch (hak_metadata_find(address)) {
    case HAK_METADATA_DESCRIPTORS: out->kind = HAK_PLACE_DESCRIPTORS; return;
    case HAK_METADATA_GUARD: out->kind = HAK_PLACE_GUARD; return;
    case HAK_METADATA_NONE: break;
  }
  if (find_in_whales(address, hak_whale_cache_newest_live(), false, out)) return;
  if (find_in_whales(address, hak_whale_cache_newest_cached(), true, out)) return;
  const hak_shared_pool_place place = hak_shared_pool_find(address);
  if (place.superslab == NULL) return;
  out->kind = HAK_PLACE_UNIT;
  out->superslab = place.superslab;
  out->unit = place.unit;
  out->is_superslab_empty = place.is_empty;
}

void hak_place_find(const void* address, hak_place* out) {
  *out = (hak_place){.kind = HAK_PLACE_FOREIGN};
  if ((uintptr_t)address < HAK_UNIT_BYTES) {
    out->kind = HAK_PLACE_NULL;
    return;
  }
  if ((uintptr_t)address >= ADDRESS_END) {
    out->kind = HAK_PLACE_IMPOSSIBLE;
    return;
  }
  const hak_registry_entry entry = look_up(address);
  if (entry.word == HAK_REGISTRY_NONE || entry.word == HAK_REGISTRY_WHALE) {
    find_elsewhere(address, out);
  } else if (entry.word == HAK_REGISTRY_SPAN) {
    out->kind = HAK_PLACE_SPAN;
    if (!hak_peek(entry.owner, &out->slab, sizeof out->slab) ||
        (uintptr_t)address - (uintptr_t)out->slab.base >= out->slab.block_bytes) {
      out->kind = HAK_PLACE_DAMAGED;
      return;
    }
    if (hak_slab_free_count(&out->slab) != 0) { /* parked */
      find_elsewhere(address, out);
      return;
    }
    out->block = out->slab.base;
    out->block_bytes = out->slab.block_bytes;
  } else {
    find_in_slab(address, &entry, out);
  }
}
