/* Private to the gate: what a pointer is. */
#ifndef HAKMEM_GATE_BLOCK_INL_H_
#define HAKMEM_GATE_BLOCK_INL_H_

#include <errno.h>

#include "hakmem/base/base.h"
#include "hakmem/heap/heap.h"
#include "hakmem/registry/registry.h"
#include "hakmem/slab/slab.h"
#include "hakmem/whale_cache/whale_cache.h"

enum {
  /* Requests up to here, above the size classes, are spans: any more and a SuperSlab would serve one block only. */
  HAK_GATE_SPAN_MAX_BYTES = (HAK_SUPERSLAB_UNITS - 1) * HAK_UNIT_BYTES
};

/* A sampled block lies in a slab that belongs to no heap: hakmem/profile. */
typedef enum block_kind { BLOCK_NONE, BLOCK_SLAB, BLOCK_SAMPLED, BLOCK_SPAN, BLOCK_WHALE } block_kind;

typedef struct block_info {
  block_kind kind;
  bool is_start; /* the pointer is where a block starts */
  size_t usable_bytes;
  uint64_t word;
  hak_slab* slab; /* of all but a whale */
  uint32_t index; /* of a block in a slab */
  hak_whale* whale;
} block_info;

/* Field by field: a copy of the whole would wait for the stores before it to reach the cache. */
HAK_ALWAYS_INLINE void hak_gate_find(const void* ptr, block_info* info) {
  const uint64_t word = hak_registry_word(ptr);
  info->word = word;
  info->kind = BLOCK_NONE;
  info->is_start = false;
  info->usable_bytes = 0;
  if (word == HAK_REGISTRY_NONE) return;
  if (word == HAK_REGISTRY_WHALE) {
    info->kind = BLOCK_WHALE;
    info->whale = (hak_whale*)hak_registry_owner(ptr);
    info->is_start = info->whale->base == (const char*)ptr;
    info->usable_bytes = info->whale->size_bytes;
    return;
  }
  info->slab = (hak_slab*)hak_registry_owner(ptr);
  info->usable_bytes = info->slab->block_bytes;
  if (word == HAK_REGISTRY_SPAN) {
    info->kind = BLOCK_SPAN;
    info->is_start = info->slab->base == (const char*)ptr;
    return;
  }
  info->kind = word == HAK_REGISTRY_SAMPLED ? BLOCK_SAMPLED : BLOCK_SLAB;
  info->index = hak_slab_index(info->slab, ptr);
  info->is_start = hak_slab_is_block(info->slab, info->index, ptr);
}

/** The bin of a block of `heap`'s, in a slab of one unit; else NULL. Told from the bin and the class's row alone. With
 *  hak_heap_mallocs NULL also where the thread's mallocs are to take the slow path. */
HAK_ALWAYS_INLINE const hak_bin* hak_gate_small_bin(const hak_heap* heap, const void* ptr) {
  const uint64_t word = hak_registry_word(ptr);
  if (!hak_heap_owns_word(heap, word)) return NULL;
  const hak_bin* bin = (const hak_bin*)(uintptr_t)word;
  const hak_size_class* row = &hak_size_class_table[bin->size_class];
  if (row->units != 1) return NULL;
  const uint64_t offset = (uintptr_t)ptr % HAK_UNIT_BYTES;
  const uint64_t index = (offset * row->reciprocal) >> 32;
  return index * row->block_bytes == offset && index < row->blocks ? bin : NULL;
}

/** As hak_gate_find, for a pointer that should be a live block. Reports it and returns false otherwise. */
bool hak_gate_find_live(const void* ptr, block_info* info);

static inline void* hak_gate_no_memory(void) {
  errno = ENOMEM;
  return NULL;
}

#endif /* HAKMEM_GATE_BLOCK_INL_H_ */
