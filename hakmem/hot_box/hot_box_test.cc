#include "hakmem/hot_box/hot_box.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/unified_cache/unified_cache.h"

#include "gtest/gtest.h"

namespace {

// The calling thread has a heap of its own for the time of a test.
class HotBox : public testing::Test {
 protected:
  void SetUp() override {
    heap_ = hak_heap_acquire(8 << 20);
    ASSERT_NE(heap_, nullptr);
    hak_heap_set_current(heap_, true, true);
  }

  void TearDown() override {
    hak_heap_set_current(&hak_heap_empty, true, true);
    for (void* block : live_)
      hak_unified_cache_spill(heap_, reinterpret_cast<hak_bin*>(hak_registry_word(block)), block);
    hak_unified_cache_flush(heap_);
    hak_heap_park(heap_);
    EXPECT_EQ(hak_shared_pool_read_figures().live_bytes, 0u);
  }

  static hak_bin* BinOf(size_t bytes, hak_heap* heap) { return hak_heap_bin(heap, hak_size_class_of(bytes)); }
  hak_bin* BinOf(size_t bytes) { return BinOf(bytes, heap_); }

  void TakeCached(hak_bin* bin) {
    if (bin->first == nullptr) return;
    live_.insert(live_.end(), bin->top, bin->end);
    hak_bin_set_top(bin, bin->end);
  }

  // A live block, and the bin's slots empty.
  void* NewBlock(size_t bytes, hak_heap* heap) {
    hak_bin* bin = BinOf(bytes, heap);
    TakeCached(bin);
    void* block = hak_unified_cache_refill(heap, hak_size_class_of(bytes));
    EXPECT_NE(block, nullptr);
    TakeCached(bin);
    live_.push_back(block);
    return block;
  }
  void* NewBlock(size_t bytes) { return NewBlock(bytes, heap_); }

  // Takes what was pushed out again, so that the block is live once.
  void PopAll(size_t bytes) {
    void* block;
    while (hak_hot_box_pop(BinOf(bytes), &block)) {
    }
  }

  hak_heap* heap_ = nullptr;
  std::vector<void*> live_;
};

bool IsAllZero(const void* memory, size_t bytes) {
  const char* text = static_cast<const char*>(memory);
  return text[0] == 0 && memcmp(text, text + 1, bytes - 1) == 0;
}

TEST_F(HotBox, TinyBinIsTheBinOfTheClass) {
  for (size_t bytes = 0; bytes <= HAK_SIZE_CLASS_TINY_MAX_BYTES; bytes++) {
    ASSERT_EQ(hak_hot_box_tiny_bin(bytes), BinOf(bytes)) << bytes;
  }
}

TEST_F(HotBox, TheEmptyHeapMissesAlwaysAndIsNeverWritten) {
  void* mine = NewBlock(64);
  hak_heap_set_current(&hak_heap_empty, true, true);
  for (size_t bytes = 0; bytes <= HAK_SIZE_CLASS_TINY_MAX_BYTES; bytes++) {
    void* block = nullptr;
    ASSERT_FALSE(hak_hot_box_pop(hak_hot_box_tiny_bin(bytes), &block)) << bytes;
    ASSERT_EQ(block, nullptr);
  }
  EXPECT_FALSE(hak_hot_box_push(mine));
  EXPECT_FALSE(hak_hot_box_push(nullptr));
  EXPECT_FALSE(hak_hot_box_push(&hak_heap_empty));
  EXPECT_TRUE(IsAllZero(&hak_heap_empty, sizeof hak_heap_empty));
}

// No test here uses the class, and a heap is taken over as the test before left it.
TEST_F(HotBox, ABinThatWasNeverUsedMisses) {
  hak_bin* bin = BinOf(1024);
  ASSERT_EQ(bin->stride, 0u);
  void* block;
  EXPECT_FALSE(hak_hot_box_pop(bin, &block));
  EXPECT_EQ(bin->top, nullptr);
  EXPECT_EQ(bin->near_slots[0], nullptr);
}

TEST_F(HotBox, PopsInTheOppositeOrderOfThePushes) {
  std::vector<void*> blocks;
  for (int i = 0; i < 3; i++) blocks.push_back(NewBlock(64));
  hak_bin* bin = BinOf(64);
  void** const end = bin->end;
  for (void* block : blocks) ASSERT_TRUE(hak_hot_box_push(block));
  EXPECT_EQ(bin->top, end - 3);
  EXPECT_EQ(bin->first, blocks[2]);
  for (int i = 2; i >= 0; i--) {
    void* block = nullptr;
    ASSERT_TRUE(hak_hot_box_pop(bin, &block));
    EXPECT_EQ(block, blocks[i]);
  }
  void* block = this;
  EXPECT_FALSE(hak_hot_box_pop(bin, &block));
  EXPECT_EQ(block, this);
  EXPECT_EQ(bin->top, end);
  EXPECT_EQ(bin->first, nullptr);
  EXPECT_EQ(bin->end, end);
  EXPECT_EQ(*end, nullptr);
}

TEST_F(HotBox, FullSlotsTakeNothing) {
  hak_bin* bin = BinOf(64);
  NewBlock(64);
  while (live_.size() <= hak_bin_cap(bin)) NewBlock(64);
  const uint32_t cap = hak_bin_cap(bin);
  for (uint32_t i = 0; i < cap; i++) ASSERT_TRUE(hak_hot_box_push(live_[i]));
  EXPECT_EQ(bin->top, bin->begin);
  const std::vector<void*> slots(bin->begin, bin->end + 1);
  EXPECT_FALSE(hak_hot_box_push(live_[cap]));
  EXPECT_EQ(bin->top, bin->begin);
  EXPECT_EQ(bin->first, live_[cap - 1]);
  EXPECT_EQ(std::vector<void*>(bin->begin, bin->end + 1), slots);
  PopAll(64);
}

TEST_F(HotBox, TheBlockFreedLastIsNotTakenTwice) {
  void* first = NewBlock(64);
  void* second = NewBlock(64);
  hak_bin* bin = BinOf(64);
  ASSERT_TRUE(hak_hot_box_push(first));
  void** const top = bin->top;
  EXPECT_FALSE(hak_hot_box_push(first));
  EXPECT_EQ(bin->top, top);
  ASSERT_TRUE(hak_hot_box_push(second));
  EXPECT_FALSE(hak_hot_box_push(second));
  EXPECT_EQ(bin->top, top - 1);
  PopAll(64);
  ASSERT_TRUE(hak_hot_box_push(second)); /* it is live again */
  PopAll(64);
}

TEST_F(HotBox, AnotherHeapsBlockIsNotTaken) {
  hak_heap* other = hak_heap_acquire(8 << 20);
  ASSERT_NE(other, heap_);
  void* block = NewBlock(64, other);
  hak_bin* bin = BinOf(64, other);
  void** const top = bin->top;
  EXPECT_FALSE(hak_hot_box_push(block));
  EXPECT_EQ(bin->top, top);
  EXPECT_EQ(BinOf(64)->top, BinOf(64)->end);
  for (void* each : live_) hak_unified_cache_spill(other, bin, each);
  live_.clear();
  hak_unified_cache_flush(other);
  hak_heap_park(other);
}

TEST_F(HotBox, SpansAndWhatIsNobodysAreNotTaken) {
  NewBlock(64);
  bool zeroed;
  hak_slab* span = hak_shared_pool_acquire_span(5, &zeroed);
  ASSERT_NE(span, nullptr);
  int on_stack = 0;
  static int in_data;
  errno = 1234;
  for (const uintptr_t value :
       {uintptr_t{0}, uintptr_t{1}, uintptr_t{HAK_REGISTRY_LAST_TAG}, UINTPTR_MAX, uintptr_t{1} << 63,
        reinterpret_cast<uintptr_t>(span->base), reinterpret_cast<uintptr_t>(span->base) + HAK_UNIT_BYTES,
        reinterpret_cast<uintptr_t>(&on_stack), reinterpret_cast<uintptr_t>(&in_data),
        reinterpret_cast<uintptr_t>(heap_), reinterpret_cast<uintptr_t>(&hak_registry_root)}) {
    EXPECT_FALSE(hak_hot_box_push(reinterpret_cast<void*>(value))) << std::hex << value;
  }
  EXPECT_EQ(errno, 1234);
  EXPECT_EQ(BinOf(64)->top, BinOf(64)->end);
  hak_shared_pool_release_span(span);
}

// Invariant 2: the pages of a block cannot even be touched while it goes in and out.
TEST_F(HotBox, NoBlockIsTouched) {
  const size_t page_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t bytes = 32768;
  if (bytes % page_bytes != 0) GTEST_SKIP() << "pages of " << page_bytes << " bytes, no cached block has one to itself";
  char* block = static_cast<char*>(NewBlock(bytes));
  ASSERT_EQ(mprotect(block, bytes, PROT_NONE), 0);
  ASSERT_TRUE(hak_hot_box_push(block));
  void* again = nullptr;
  ASSERT_TRUE(hak_hot_box_pop(BinOf(bytes), &again));
  ASSERT_EQ(mprotect(block, bytes, PROT_READ | PROT_WRITE), 0);
  EXPECT_EQ(again, block);
}

}  // namespace
