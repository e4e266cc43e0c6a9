#include "hakmem/registry/registry.h"

#include "hakmem/base/checks.h"
#include "hakmem/os/os.h"

hak_registry_tables hak_registry HAK_ALIGNED(HAK_CACHE_LINE_BYTES);

static hak_atomic_u64 leaf_bytes;

HAK_STATIC_ASSERT(sizeof(hak_registry_leaf) == 1024 * 1024, "a leaf is 1 MiB");

uint64_t hak_registry_leaf_bytes(void) { return hak_u64_load_relaxed(&leaf_bytes); }

static bool prepare_entry(hak_atomic_u64* entry) {
  if (hak_u64_load_acquire(entry) != 0) return true;
  void* leaf = hak_os_map(sizeof(hak_registry_leaf));
  if (leaf == NULL) return false;
  uint64_t expected = 0;
  /* Release: the leaf's zeroes before its address. Pairs with the dependent load of every look-up. */
  if (!hak_u64_cas_acq_rel(entry, &expected, (uintptr_t)leaf - (uintptr_t)&hak_registry.zero_words)) {
    hak_os_unmap(leaf, sizeof(hak_registry_leaf)); /* another thread was first */
    return true;
  }
  hak_u64_fetch_add_relaxed(&leaf_bytes, sizeof(hak_registry_leaf));
  return true;
}

bool hak_registry_prepare(const void* base, size_t size_bytes) {
  uint64_t end;
  if (__builtin_add_overflow((uint64_t)(uintptr_t)base, size_bytes - 1, &end)) return false;
  const uint64_t last = end >> 32;
  if (last >= HAK_REGISTRY_ROOT_ENTRIES) return false;
  for (uint64_t i = (uint64_t)(uintptr_t)base >> 32; i <= last; i++) {
    if (!prepare_entry(&hak_registry.root[i])) return false;
  }
  return true;
}

/* Writable twin of hak_registry_leaf_of, for units that have been prepared. */
static hak_registry_leaf* prepared_leaf(uint64_t address, uint32_t* index) {
  const uint64_t distance = hak_u64_load_acquire(&hak_registry.root[address >> 32]);
  HAK_ASSERT(distance != 0);
  *index = (uint16_t)(address >> HAK_UNIT_SHIFT);
  return (hak_registry_leaf*)((uintptr_t)&hak_registry.zero_words + distance);
}

void hak_registry_set(const void* base, uint32_t units, uint64_t word, void* owner) {
  HAK_ASSERT(((uintptr_t)base & (HAK_UNIT_BYTES - 1)) == 0 && word != HAK_REGISTRY_NONE);
  for (uint32_t i = 0; i < units; i++) {
    uint32_t index;
    hak_registry_leaf* leaf = prepared_leaf((uintptr_t)base + (uint64_t)i * HAK_UNIT_BYTES, &index);
    hak_ptr_store_relaxed(&leaf->owner[index], owner);
    hak_u64_store_release(&leaf->word[index], word);
  }
}

void hak_registry_clear(const void* base, uint32_t units) {
  for (uint32_t i = 0; i < units; i++) {
    uint32_t index;
    hak_registry_leaf* leaf = prepared_leaf((uintptr_t)base + (uint64_t)i * HAK_UNIT_BYTES, &index);
    hak_u64_store_release(&leaf->word[index], HAK_REGISTRY_NONE);
  }
}
