#include "hakmem/registry/registry.h"

#include "hakmem/base/checks.h"
#include "hakmem/os/os.h"

hak_atomic_ptr hak_registry_root[HAK_REGISTRY_ROOT_ENTRIES];

hak_registry_leaf hak_registry_window HAK_ALIGNED(HAK_CACHE_LINE_BYTES);
hak_registry_window_place hak_registry_window_at = {{HAK_REGISTRY_NO_WINDOW}};

static hak_atomic_u64 leaf_bytes;

HAK_STATIC_ASSERT(sizeof(hak_registry_leaf) == 1024 * 1024, "a leaf is 1 MiB");

uint64_t hak_registry_leaf_bytes(void) { return hak_u64_load_relaxed(&leaf_bytes); }

static bool prepare_entry(hak_atomic_ptr* entry) {
  if (hak_ptr_load_acquire(entry) != NULL) return true;
  void* leaf = hak_os_map(sizeof(hak_registry_leaf));
  if (leaf == NULL) return false;
  void* expected = NULL;
  /* Release: the leaf's zeroes before its address. Pairs with the dependent load of every look-up. */
  if (!hak_ptr_cas_acq_rel(entry, &expected, leaf)) {
    hak_os_unmap(leaf, sizeof(hak_registry_leaf)); /* another thread was first */
    return true;
  }
  hak_u64_fetch_add_relaxed(&leaf_bytes, sizeof(hak_registry_leaf));
  return true;
}

/* Up to 1 GiB of the window lies on the side of the first address from where the kernel comes. Mostly it hands addresses
 * out downwards, from the stack on; in the old layout (setarch -L, unlimited stacks) upwards, from a third or a quarter of
 * the way to the stack. */
uint64_t hak_registry_window_base_for(uint64_t first, uint64_t stack) {
  const uint64_t gib = 1ull << 30;
  const uint64_t window_bytes = (uint64_t)HAK_REGISTRY_LEAF_UNITS * HAK_UNIT_BYTES;
  if (first < stack / 2) return first & ~(gib - 1);
  const uint64_t top = (first | (gib - 1)) + 1;
  return top > window_bytes ? top - window_bytes : 0;
}

static void place_window(uint64_t first) {
  const uint64_t stack = (uintptr_t)__builtin_frame_address(0);
  uint64_t expected = HAK_REGISTRY_NO_WINDOW;
  /* Who loses the race finds the winner's window in place. */
  hak_u64_cas_acq_rel(&hak_registry_window_at.minus_base, &expected, -hak_registry_window_base_for(first, stack));
}

static bool is_in_window(uint64_t address) {
  return hak_registry_window_index((const void*)(uintptr_t)address) < HAK_REGISTRY_LEAF_UNITS;
}

bool hak_registry_prepare(const void* base, size_t size_bytes) {
  const uint64_t first = (uintptr_t)base;
  uint64_t end;
  if (__builtin_add_overflow(first, size_bytes - 1, &end)) return false;
  const uint64_t last = end >> 32;
  if (last >= HAK_REGISTRY_ROOT_ENTRIES) return false;
  if (hak_u64_load_relaxed(&hak_registry_window_at.minus_base) == HAK_REGISTRY_NO_WINDOW) place_window(first);
  if (is_in_window(first) && is_in_window(end)) return true;
  for (uint64_t i = first >> 32; i <= last; i++) {
    if (!prepare_entry(&hak_registry_root[i])) return false;
  }
  return true;
}

typedef struct unit_entry {
  hak_atomic_u64* word;
  hak_atomic_ptr* owner;
} unit_entry;

/* The entry of a unit that has been prepared. */
static unit_entry prepared_entry(uint64_t address) {
  const uint64_t near = hak_registry_window_index((const void*)(uintptr_t)address);
  if (near < HAK_REGISTRY_LEAF_UNITS) {
    return (unit_entry){&hak_registry_window.word[near], &hak_registry_window.owner[near]};
  }
  hak_registry_leaf* leaf = (hak_registry_leaf*)hak_ptr_load_acquire(&hak_registry_root[address >> 32]);
  HAK_ASSERT(leaf != NULL);
  const uint16_t index = (uint16_t)(address >> HAK_UNIT_SHIFT);
  return (unit_entry){&leaf->word[index], &leaf->owner[index]};
}

void hak_registry_set(const void* base, uint32_t units, uint64_t word, void* owner) {
  HAK_ASSERT(((uintptr_t)base & (HAK_UNIT_BYTES - 1)) == 0 && word != HAK_REGISTRY_NONE);
  for (uint32_t i = 0; i < units; i++) {
    const unit_entry entry = prepared_entry((uintptr_t)base + (uint64_t)i * HAK_UNIT_BYTES);
    hak_ptr_store_relaxed(entry.owner, owner);
    hak_u64_store_release(entry.word, word);
  }
}

void hak_registry_clear(const void* base, uint32_t units) {
  for (uint32_t i = 0; i < units; i++) {
    const unit_entry entry = prepared_entry((uintptr_t)base + (uint64_t)i * HAK_UNIT_BYTES);
    hak_u64_store_release(entry.word, HAK_REGISTRY_NONE);
  }
}

uint64_t hak_registry_resident_bytes(void) {
  uint64_t bytes = hak_os_resident_bytes(&hak_registry_window, sizeof hak_registry_window);
  if (hak_registry_leaf_bytes() == 0) return bytes;
  bytes += hak_os_resident_bytes(hak_registry_root, sizeof hak_registry_root);
  for (uint32_t i = 0; i < HAK_REGISTRY_ROOT_ENTRIES; i++) {
    const void* leaf = hak_ptr_load_relaxed(&hak_registry_root[i]); /* nothing is read through it */
    if (leaf != NULL) bytes += hak_os_resident_bytes(leaf, sizeof(hak_registry_leaf));
  }
  return bytes;
}

#define ROWS                                             \
  HAK_VIEW_STRUCTURE("registry_leaf", hak_registry_leaf) \
  HAK_VIEW_ARRAYS("registry_leaf", hak_registry_leaf, word, owner)
#define ROOTS(ROOT)                            \
  ROOT("registry_root", hak_registry_root)     \
  ROOT("registry_window", hak_registry_window) \
  ROOT("registry_minus_base", hak_registry_window_at.minus_base) ROOT("registry_leaf_bytes", leaf_bytes)
HAK_VIEW_PART(hak_registry_view, ROWS, ROOTS);
