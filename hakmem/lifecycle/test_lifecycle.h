// malloc and free for tests, as far as a slow path goes.
#ifndef HAKMEM_LIFECYCLE_TEST_LIFECYCLE_H_
#define HAKMEM_LIFECYCLE_TEST_LIFECYCLE_H_

#include "hakmem/lifecycle/lifecycle.h"
#include "hakmem/registry/registry.h"
#include "hakmem/size_class/size_class.h"
#include "hakmem/unified_cache/unified_cache.h"

#include "gtest/gtest.h"

inline hak_bin* BinOf(const void* ptr) { return reinterpret_cast<hak_bin*>(hak_registry_word(ptr)); }

inline void* Alloc(size_t bytes) {
  hak_heap* heap = hak_lifecycle_enter();
  bool zeroed;
  void* block = hak_unified_cache_take(heap, hak_size_class_of(bytes), &zeroed);
  hak_lifecycle_leave(heap);
  return block;
}

// Of a block of the calling thread's.
inline void Free(void* ptr) {
  hak_heap* heap = hak_lifecycle_enter();
  EXPECT_TRUE(hak_heap_owns_word(heap, hak_registry_word(ptr)));
  hak_unified_cache_spill(heap, BinOf(ptr), ptr);
  hak_lifecycle_leave(heap);
}

#endif  // HAKMEM_LIFECYCLE_TEST_LIFECYCLE_H_
