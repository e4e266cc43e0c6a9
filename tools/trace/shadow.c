#include "tools/trace/shadow.h"

#include <sys/mman.h>

uint64_t** hak_trace_shadow_root;

static void* reserve(void* at, size_t bytes) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at == NULL ? 0 : MAP_FIXED);
  void* range = mmap(at, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (range == MAP_FAILED) return NULL;
  /* A few words are written here and there. */
  madvise(range, bytes, MADV_NOHUGEPAGE);
  return range;
}

bool hak_trace_shadow_reset(void) {
  /* Leaves of before stay mapped: a thread of a parent that forked may have been reading one. */
  uint64_t** root = reserve(hak_trace_shadow_root, sizeof(*root) * HAK_TRACE_ROOT_ENTRIES);
  if (root == NULL) return false;
  hak_trace_shadow_root = root;
  return true;
}

uint64_t* hak_trace_shadow_slow(uintptr_t address) {
  uint64_t** entry = &hak_trace_shadow_root[address >> HAK_TRACE_LEAF_SHIFT];
  uint64_t* leaf = reserve(NULL, sizeof(*leaf) * HAK_TRACE_LEAF_WORDS);
  if (leaf == NULL) return NULL;
  uint64_t* present = NULL;
  if (!__atomic_compare_exchange_n(entry, &present, leaf, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE)) {
    munmap(leaf, sizeof(*leaf) * HAK_TRACE_LEAF_WORDS);
    leaf = present;
  }
  return &leaf[(address >> HAK_TRACE_WORD_SHIFT) & (HAK_TRACE_LEAF_WORDS - 1)];
}
