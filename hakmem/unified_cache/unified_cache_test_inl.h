/* Private to the tests of the unified cache: a heap of its own for every test, and the hit paths in plain C++. */
#ifndef HAKMEM_UNIFIED_CACHE_UNIFIED_CACHE_TEST_INL_H_
#define HAKMEM_UNIFIED_CACHE_UNIFIED_CACHE_TEST_INL_H_

#include <set>
#include <vector>

#include "hakmem/base/checks.h"
#include "hakmem/config/config.h"
#include "hakmem/config/test_config.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/purge/purge.h"
#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/unified_cache/unified_cache.h"

#include "gtest/gtest.h"

inline constexpr uint64_t kLimitBytes = 8 << 20;

inline uint32_t ClassOf(size_t bytes) { return hak_size_class_of(bytes); }
inline uint32_t BytesOf(uint32_t size_class) { return hak_size_class_table[size_class].block_bytes; }
inline hak_slab* SlabOf(const void* ptr) { return static_cast<hak_slab*>(hak_registry_owner(ptr)); }

// True when the block's bit says that it is free in its slab.
inline bool IsFreeInSlab(const void* ptr) {
  const hak_slab* slab = SlabOf(ptr);
  const uint32_t index = hak_slab_index(slab, ptr);
  return (slab->free_bits[index / 64] >> (index % 64)) & 1;
}

// A heap of its own for every test, and nothing left of it afterwards.
class UnifiedCache : public testing::Test {
 protected:
  void SetUp() override {
    hak_os_fake_reset();
    ResetConfig();
    hak_os_fake_set_clock_ms(1); /* before the end of the first epoch: no cap shrinks unless a test says so */
    hak_purge_all();
    heap_ = NewHeap(kLimitBytes);
  }

  void TearDown() override {
    hak_os_fake_reset();
    hak_set_error_action(HAK_ERROR_ABORT);
    for (void* block : live_) Free(block);
    Flush();
    const hak_shared_pool_figures figures = hak_shared_pool_read_figures();
    EXPECT_EQ(figures.live_bytes, 0u);
    EXPECT_EQ(figures.live_slabs, 0u);
  }

  // Never parked, so that no later test gets it with the caps of this one.
  static hak_heap* NewHeap(uint64_t limit_bytes) {
    hak_heap* heap = hak_heap_acquire(limit_bytes);
    EXPECT_NE(heap, nullptr);
    heap->budget.limit_bytes = limit_bytes;
    return heap;
  }

  hak_bin* Bin(uint32_t size_class) { return hak_heap_bin(heap_, size_class); }

  void* Refill(uint32_t size_class) {
    hak_heap_enter(heap_);
    void* block = hak_unified_cache_refill(heap_, size_class);
    hak_heap_leave(heap_);
    return block;
  }

  void Spill(void* ptr) {
    hak_heap_enter(heap_);
    hak_unified_cache_spill(heap_, reinterpret_cast<hak_bin*>(hak_registry_word(ptr)), ptr);
    hak_heap_leave(heap_);
  }

  void Flush() {
    hak_heap_enter(heap_);
    hak_unified_cache_flush(heap_);
    hak_heap_leave(heap_);
  }

  void* Take(uint32_t size_class, bool* zeroed) {
    hak_heap_enter(heap_);
    void* block = hak_unified_cache_take(heap_, size_class, zeroed);
    hak_heap_leave(heap_);
    return block;
  }

  // As the hot box does it, which lies above.
  void* Alloc(uint32_t size_class) {
    hak_bin* bin = Bin(size_class);
    void* const first = bin->first;
    if (first == nullptr) return Refill(size_class);
    hak_bin_set_top(bin, bin->top + 1);
    return first;
  }

  void Push(void* ptr) {
    hak_bin* bin = reinterpret_cast<hak_bin*>(hak_registry_word(ptr));
    bin->top[-1] = ptr;
    hak_bin_set_top(bin, bin->top - 1);
  }

  void Free(void* ptr) {
    const hak_bin* bin = reinterpret_cast<hak_bin*>(hak_registry_word(ptr));
    if (bin->top != bin->begin && *bin->top != ptr) {
      Push(ptr);
    } else {
      Spill(ptr);
    }
  }

  std::vector<void*> AllocMany(uint32_t size_class, size_t count) {
    std::vector<void*> blocks;
    for (size_t i = 0; i < count; i++) blocks.push_back(Alloc(size_class));
    return blocks;
  }

  // Runs `act` with misuse counted and not printed; returns how much there was.
  template <typename Act>
  uint64_t Misuse(Act act) {
    const uint64_t before = hak_misuse_count();
    hak_set_error_action(HAK_ERROR_IGNORE);
    act();
    hak_set_error_action(HAK_ERROR_ABORT);
    return hak_misuse_count() - before;
  }

  void ExpectNoBlockTwice(uint32_t size_class, size_t count) {
    const std::vector<void*> blocks = AllocMany(size_class, count);
    EXPECT_EQ(std::set<void*>(blocks.begin(), blocks.end()).size(), count);
    live_.insert(live_.end(), blocks.begin(), blocks.end());
  }

  hak_heap* heap_ = nullptr;
  std::vector<void*> live_; /* freed at the end */
};

#endif /* HAKMEM_UNIFIED_CACHE_UNIFIED_CACHE_TEST_INL_H_ */
