#include "hakmem/unified_cache/unified_cache.h"

#include <errno.h>
#include <string.h>

#include <algorithm>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "hakmem/base/bits.h"
#include "hakmem/base/poison.h"
#include "hakmem/limits/limits.h"
#include "hakmem/mid_ace/mid_ace.h"
#include "hakmem/os/os.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/purge/purge.h"
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/unified_cache/unified_cache_test_inl.h"

#include "gtest/gtest.h"

namespace {

// --- refill ---

TEST_F(UnifiedCache, FirstRefillStartsTheBin) {
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    EXPECT_EQ(Bin(c)->stride, 0u);
    void* block = Refill(c);
    ASSERT_NE(block, nullptr);
    const hak_bin* bin = Bin(c);
    EXPECT_EQ(bin->stride, BytesOf(c));
    EXPECT_EQ(bin->size_class, c);
    EXPECT_GE(hak_bin_cap(bin), 2u);
    EXPECT_LE(hak_bin_cap(bin), static_cast<uint32_t>(HAK_BIN_SLOTS(c)));
    EXPECT_EQ(*bin->end, nullptr);
    EXPECT_EQ(hak_registry_word(block), reinterpret_cast<uintptr_t>(bin));
    EXPECT_FALSE(IsFreeInSlab(block));
    for (void** slot = bin->top; slot < bin->end; slot++) EXPECT_FALSE(IsFreeInSlab(*slot));
    live_.push_back(block);
  }
}

TEST_F(UnifiedCache, AFreshSlabIsHandedOutFromTheBottomUp) {
  for (const size_t bytes : {80, 1024, 4096, 32768}) {
    const uint32_t c = ClassOf(bytes);
    const std::vector<void*> blocks = AllocMany(c, hak_size_class_table[c].blocks);
    for (size_t i = 0; i < blocks.size(); i++) {
      ASSERT_EQ(static_cast<char*>(blocks[i]) - static_cast<char*>(blocks[0]), static_cast<ptrdiff_t>(i * bytes));
    }
    live_.insert(live_.end(), blocks.begin(), blocks.end());
  }
}

// Page starts are where programs write that go through large blocks page by page.
TEST_F(UnifiedCache, WhereARunIsAPageTheBlockAtItsStartIsNotTheFirst) {
  for (const size_t bytes : {16, 32, 48, 64}) {
    const uint32_t c = ClassOf(bytes);
    char* first = static_cast<char*>(Refill(c));
    char* start = SlabOf(first)->base;
    EXPECT_EQ(first, start + 63 * bytes);
    const uint32_t held = hak_bin_held(Bin(c));
    ASSERT_GE(held, 1u);
    for (uint32_t i = 0; i < held; i++) EXPECT_EQ(Bin(c)->top[i], start + i * bytes);
    live_.push_back(first);
    live_.insert(live_.end(), Bin(c)->top, Bin(c)->end);
    hak_bin_set_top(Bin(c), Bin(c)->end);
    live_.push_back(Refill(c));
    EXPECT_EQ(live_.back(), start + 62 * bytes);
  }
}

TEST_F(UnifiedCache, NoBlockIsHandedOutTwice) {
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++)
    ExpectNoBlockTwice(c, 3u * hak_size_class_table[c].blocks / 2 + 1);
  std::vector<void*> sorted = live_;
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 1; i < sorted.size(); i++) {
    const size_t bytes = SlabOf(sorted[i - 1])->block_bytes;
    ASSERT_GE(static_cast<char*>(sorted[i]), static_cast<char*>(sorted[i - 1]) + bytes);
  }
}

TEST_F(UnifiedCache, BatchesGrowWhileMissesFollowEachOther) {
  const uint32_t c = ClassOf(64);
  const auto batch_of_next_miss = [&] {
    live_.push_back(Refill(c));
    const uint64_t held = hak_bin_held(Bin(c));
    live_.insert(live_.end(), Bin(c)->top, Bin(c)->end);
    hak_bin_set_top(Bin(c), Bin(c)->end); /* the program took them all */
    return held;
  };
  EXPECT_EQ(batch_of_next_miss(), 32u / 4);
  EXPECT_EQ(batch_of_next_miss(), 32u / 2);
  EXPECT_EQ(batch_of_next_miss(), 32u / 2);
  EXPECT_EQ(hak_bin_cap(Bin(c)), 32u);
  Bin(c)->streak = -1; /* a spill came between */
  EXPECT_EQ(batch_of_next_miss(), 32u / 8);
  EXPECT_EQ(batch_of_next_miss(), 32u / 4);
}

// --- options ---

TEST_F(UnifiedCache, ARefillMovesWhatTheOptionSays) {
  const uint32_t c = ClassOf(64);
  const auto held_after_a_miss = [&] {
    live_.push_back(Refill(c));
    const uint64_t held = hak_bin_held(Bin(c));
    live_.insert(live_.end(), Bin(c)->top, Bin(c)->end);
    hak_bin_set_top(Bin(c), Bin(c)->end);
    return held;
  };
  ASSERT_EQ(hak_config_set("refill_blocks", "3"), 0);
  for (int i = 0; i < 4; i++) EXPECT_EQ(held_after_a_miss(), 3u);
  ASSERT_EQ(hak_config_set("refill_blocks", "1000"), 0);
  EXPECT_EQ(held_after_a_miss(), hak_bin_cap(Bin(c)));
  ASSERT_EQ(hak_config_set("refill_blocks", "0"), 0);
  EXPECT_EQ(held_after_a_miss(), hak_bin_cap(Bin(c)) / 2);
}

TEST_F(UnifiedCache, ASpillMovesWhatTheOptionSays) {
  const uint32_t c = ClassOf(64);
  std::vector<void*> blocks = AllocMany(c, 200);
  Flush();
  ASSERT_EQ(hak_config_set("spill_blocks", "5"), 0);
  ASSERT_EQ(hak_config_set("cache_blocks", std::to_string(hak_bin_cap(Bin(c))).c_str()), 0); /* it does not grow */
  const auto free_until_full = [&] {
    while (hak_bin_held(Bin(c)) < hak_bin_cap(Bin(c))) {
      Free(blocks.back());
      blocks.pop_back();
    }
  };
  for (int i = 0; i < 4; i++) {
    free_until_full();
    Free(blocks.back());
    blocks.pop_back();
    EXPECT_EQ(hak_bin_held(Bin(c)), hak_bin_cap(Bin(c)) - 5 + 1);
  }
  ASSERT_EQ(hak_config_set("spill_blocks", "1087"), 0); /* all */
  free_until_full();
  Free(blocks.back());
  blocks.pop_back();
  EXPECT_EQ(hak_bin_held(Bin(c)), 1u);
  live_.insert(live_.end(), blocks.begin(), blocks.end());
}

// Swings that a cache would grow for.
void Swing(const std::function<void*()>& alloc, const std::function<void(void*)>& free, int blocks) {
  for (int round = 0; round < 20; round++) {
    std::vector<void*> out;
    for (int i = 0; i < blocks; i++) out.push_back(alloc());
    for (void* block : out) free(block);
  }
}

TEST_F(UnifiedCache, ACacheHoldsNoMoreThanTheOptionSays) {
  const uint32_t c = ClassOf(64);
  const auto alloc = [&] { return Alloc(c); };
  const auto free = [&](void* block) { Free(block); };
  ASSERT_EQ(hak_config_set("cache_blocks", "10"), 0);
  Swing(alloc, free, 300);
  EXPECT_EQ(hak_bin_cap(Bin(c)), 10u);
  ASSERT_EQ(hak_config_set("cache_blocks", "50"), 0);
  Swing(alloc, free, 300);
  EXPECT_EQ(hak_bin_cap(Bin(c)), 50u);
  ASSERT_EQ(hak_config_set("cache_blocks", "1087"), 0);
  Swing(alloc, free, 300);
  EXPECT_GT(hak_bin_cap(Bin(c)), 100u);
  /* Less again: it shrinks at the end of an epoch, and no miss or spill makes it larger before. */
  const uint64_t granted = heap_->budget.granted_bytes;
  const uint32_t cap = hak_bin_cap(Bin(c));
  ASSERT_EQ(hak_config_set("cache_blocks", "7"), 0);
  Swing(alloc, free, 300);
  EXPECT_LE(hak_bin_cap(Bin(c)), cap);
  hak_os_fake_advance_clock_ms(5000);
  Swing(alloc, free, 3000);
  EXPECT_EQ(hak_bin_cap(Bin(c)), 7u);
  EXPECT_LE(hak_bin_held(Bin(c)), 7u);
  EXPECT_EQ(heap_->budget.granted_bytes, granted - uint64_t{cap - 7} * 64);
}

TEST_F(UnifiedCache, ACacheOfOneBlock) {
  ASSERT_EQ(hak_config_set("cache_blocks", "1"), 0);
  for (const size_t bytes : {16, 1024, 4096, 65536}) {
    const uint32_t c = ClassOf(bytes);
    Swing([&] { return Alloc(c); }, [&](void* block) { Free(block); }, 30);
    EXPECT_EQ(hak_bin_cap(Bin(c)), 1u) << bytes;
    ExpectNoBlockTwice(c, 20);
  }
}

TEST_F(UnifiedCache, LargeFreshBlocksLeaveTheRunOneAtATime) {
  for (const size_t bytes : {4096, 32768, 65536}) {
    const uint32_t c = ClassOf(bytes);
    for (int i = 0; i < 5; i++) live_.push_back(Refill(c));
    EXPECT_EQ(hak_bin_held(Bin(c)), 0u) << bytes;
  }
}

TEST_F(UnifiedCache, LargeUsedBlocksLeaveTheRunInBatches) {
  const uint32_t c = ClassOf(4096);
  const std::vector<void*> blocks = AllocMany(c, 32);
  for (void* block : blocks) Free(block);
  Flush();
  uint32_t most = 0;
  for (int i = 0; i < 10; i++) {
    live_.push_back(Alloc(c));
    most = std::max(most, hak_bin_held(Bin(c)));
  }
  EXPECT_GT(most, 0u);
  ExpectNoBlockTwice(c, 60);
}

// What calloc would have to clear comes alone, and does not draw what it need not clear into the slots.
TEST_F(UnifiedCache, ABatchOfLargeUsedBlocksEndsWithTheirRun) {
  const uint32_t c = ClassOf(4096);
  live_.push_back(Refill(c));
  void* used = Refill(c);
  Free(used);
  Flush();
  EXPECT_EQ(Refill(c), used);
  EXPECT_EQ(hak_bin_held(Bin(c)), 0u);
  bool zeroed = false;
  live_.push_back(Take(c, &zeroed));
  EXPECT_TRUE(zeroed);
  live_.push_back(used);
}

// A run with holes: the other way through fill_slots.
TEST_F(UnifiedCache, ARunWithHolesGivesJustItsBlocks) {
  const uint32_t c = ClassOf(64);
  const std::vector<void*> blocks = AllocMany(c, 1024);
  Flush();
  std::set<void*> freed;
  for (size_t i = 0; i < blocks.size(); i++) {
    if (i % 3 == 0) {
      Free(blocks[i]);
      freed.insert(blocks[i]);
    } else {
      live_.push_back(blocks[i]);
    }
  }
  Flush();
  const std::vector<void*> again = AllocMany(c, freed.size());
  EXPECT_EQ(std::set<void*>(again.begin(), again.end()), freed);
  live_.insert(live_.end(), again.begin(), again.end());
}

// A batch of several bitmap words, the last of them the slab's: the slots hold all of it, lowest first, and no gap.
TEST_F(UnifiedCache, ALargeBatchTakesRunAfterRun) {
  const size_t bytes = 80; /* from where on a run's lowest block comes first */
  const uint32_t c = ClassOf(bytes);
  live_.push_back(Refill(c));
  ASSERT_TRUE(hak_heap_set_cap(Bin(c), HAK_BIN_SLOTS(c)));
  Bin(c)->streak = 2;
  const uint32_t blocks = hak_size_class_table[c].blocks;
  uint32_t handed_out = 0; /* of the slab */
  for (char* expected = nullptr; handed_out < blocks;) {
    live_.insert(live_.end(), Bin(c)->top, Bin(c)->end);
    hak_bin_set_top(Bin(c), Bin(c)->end);
    char* block = static_cast<char*>(Refill(c));
    live_.push_back(block);
    if (expected == nullptr) {
      handed_out = static_cast<uint32_t>(block - SlabOf(block)->base) / bytes;
    } else {
      ASSERT_EQ(block, expected);
    }
    const uint32_t held = hak_bin_held(Bin(c));
    handed_out += 1 + held;
    ASSERT_LE(handed_out, blocks);
    /* Half of the cap, unless the slab has no more. */
    if (handed_out < blocks) {
      EXPECT_EQ(held, static_cast<uint32_t>(HAK_BIN_SLOTS(c)) / 2);
    }
    for (uint32_t i = 0; i < held; i++) ASSERT_EQ(Bin(c)->top[i], block + bytes * (i + 1));
    expected = block + bytes * (held + 1);
  }
  EXPECT_EQ(*Bin(c)->end, nullptr);
}

// The same with holes: every free block comes out once, whatever their pattern.
TEST_F(UnifiedCache, ALargeBatchOfRunsWithHolesGivesJustTheirBlocks) {
  for (const size_t bytes : {64, 80}) {
    const uint32_t c = ClassOf(bytes);
    const std::vector<void*> blocks = AllocMany(c, HAK_UNIT_BYTES / bytes);
    ASSERT_TRUE(hak_heap_set_cap(Bin(c), HAK_BIN_SLOTS(c)));
    std::set<void*> freed;
    for (size_t i = 0; i < blocks.size(); i++) {
      if (i % 5 == 0 || i % 64 == 7) {
        Free(blocks[i]);
        freed.insert(blocks[i]);
      } else {
        live_.push_back(blocks[i]);
      }
    }
    Flush();
    Bin(c)->streak = 2;
    const std::vector<void*> again = AllocMany(c, freed.size());
    EXPECT_EQ(std::set<void*>(again.begin(), again.end()), freed);
    EXPECT_EQ(std::is_sorted(again.begin(), again.end()), bytes > 64); /* of a run of a page the last comes first */
    live_.insert(live_.end(), again.begin(), again.end());
  }
}

// --- spill ---

TEST_F(UnifiedCache, ASpillDropsTheOldestAndKeepsTheNewestOnTop) {
  const uint32_t c = ClassOf(64);
  const std::vector<void*> blocks = AllocMany(c, 200);
  Flush();
  live_.assign(blocks.begin() + 33, blocks.end());
  EXPECT_EQ(hak_bin_cap(Bin(c)), 32u);
  EXPECT_EQ(hak_bin_held(Bin(c)), 0u);
  for (size_t i = 0; i < 32; i++) Free(blocks[i]);
  EXPECT_EQ(Bin(c)->top, Bin(c)->begin);
  Bin(c)->streak = 0;
  Spill(blocks[32]);
  EXPECT_EQ(hak_bin_held(Bin(c)), 32u - (32 / 4 + 1) + 1);
  EXPECT_EQ(*Bin(c)->top, blocks[32]);
  for (size_t i = 0; i <= 32; i++) {
    EXPECT_EQ(IsFreeInSlab(blocks[i]), i <= 32 / 4) << i;
    EXPECT_EQ(hak_unified_cache_holds(Bin(c), blocks[i]), i > 32 / 4) << i;
  }
  for (size_t i = 33; i-- > 9;) EXPECT_EQ(Alloc(c), blocks[i]);
  live_.insert(live_.end(), blocks.begin() + 9, blocks.begin() + 33);
}

TEST_F(UnifiedCache, SpillsInARowGrowUntilTheyEmptyTheCache) {
  const uint32_t c = ClassOf(64);
  const std::vector<void*> blocks = AllocMany(c, 200);
  Flush();
  ASSERT_GT(Bin(c)->streak, 0);
  heap_->ace[c] = {}; /* no swing, as which the misses just seen would count */
  size_t freed = 0;
  for (const uint64_t dropped : {32 / 8 + 1, 32 / 4 + 1, 32, 32}) {
    while (hak_bin_held(Bin(c)) != 32) Push(blocks[freed++]);
    Spill(blocks[freed++]);
    EXPECT_EQ(hak_bin_held(Bin(c)), 32 - dropped + 1);
  }
  live_.assign(blocks.begin() + freed, blocks.end());
}

TEST_F(UnifiedCache, SpillsInEveryOrderGiveEveryBlockBack) {
  std::mt19937 random(1);
  for (const size_t bytes : {16, 48, 64, 1280, 4096, 10240}) {
    const uint32_t c = ClassOf(bytes);
    for (int order = 0; order < 3; order++) {
      std::vector<void*> blocks = AllocMany(c, 3000 / (1 + bytes / 1024));
      if (order == 1) std::reverse(blocks.begin(), blocks.end());
      if (order == 2) std::shuffle(blocks.begin(), blocks.end(), random);
      for (void* block : blocks) Free(block);
      Flush();
      EXPECT_EQ(hak_shared_pool_read_figures().live_bytes, 0u) << bytes;
    }
  }
}

TEST_F(UnifiedCache, WhatNobodyAsksForGoesBackWhenTheProcessGrows) {
  const uint32_t idle = ClassOf(64);
  const uint32_t busy = ClassOf(1024);
  const uint32_t growing = ClassOf(32768);
  for (void* block : AllocMany(idle, 40)) Free(block);
  const uint32_t cap = hak_bin_cap(Bin(idle));
  const auto grow = [&] {
    const uint64_t count = hak_shared_pool_growth_count();
    while (hak_shared_pool_growth_count() == count) live_.push_back(Alloc(growing));
    live_.push_back(Alloc(growing)); /* the next slow path sees it */
    while (Bin(growing)->top != Bin(growing)->end) live_.push_back(Alloc(growing));
    live_.push_back(Alloc(growing));
  };
  grow();
  EXPECT_NE(hak_bin_held(Bin(idle)), 0u) << "it was asked for before that";
  for (void* block : AllocMany(busy, 100)) Free(block);
  grow();
  EXPECT_EQ(hak_bin_held(Bin(idle)), 0u);
  EXPECT_EQ(Bin(idle)->run_mask, 0u);
  EXPECT_EQ(Bin(idle)->current, nullptr);
  EXPECT_EQ(hak_bin_cap(Bin(idle)), cap);
  EXPECT_NE(hak_bin_held(Bin(busy)), 0u);
}

// surplus.h: what is cached would keep slabs and SuperSlabs from going.
TEST_F(UnifiedCache, CachesAreEmptiedAndStartAnewWhenThereIsTooMuchFree) {
  const uint32_t c = ClassOf(64);
  const uint32_t other = ClassOf(1024);
  live_ = AllocMany(c, 200);
  const std::vector<void*> others = AllocMany(other, 20);
  for (void* block : others) Free(block);
  ASSERT_NE(hak_bin_held(Bin(other)), 0u);
  for (int i = 0; i < 20; i++) {
    for (int k = 0; k < 100; k++) Free(live_[static_cast<size_t>(k)]);
    for (int k = 0; k < 100; k++) live_[static_cast<size_t>(k)] = Alloc(c);
  }
  EXPECT_GT(hak_bin_cap(Bin(c)), 32u);
  hak_config_set_for_test(HAK_OPTION_SURPLUS_BYTES, 0);
  const uint32_t count = hak_shared_pool_surplus_count();
  bool zeroed;
  for (int i = 0; i < 3; i++) {
    hak_slab* span = hak_shared_pool_acquire_span(31, &zeroed);
    hak_shared_pool_release_span(span);
  }
  ASSERT_NE(hak_shared_pool_surplus_count(), count);
  while (Bin(c)->top != Bin(c)->begin) Push(live_.back()), live_.pop_back();
  void* last = live_.back();
  Spill(last);
  live_.pop_back();
  EXPECT_EQ(hak_bin_cap(Bin(c)), 32u);
  EXPECT_EQ(hak_bin_held(Bin(c)), 1u) << "the one just freed";
  EXPECT_EQ(*Bin(c)->top, last);
  EXPECT_EQ(hak_bin_held(Bin(other)), 0u);
  for (void* block : others) EXPECT_TRUE(hak_registry_word(block) == HAK_REGISTRY_NONE || IsFreeInSlab(block));
}

TEST_F(UnifiedCache, FlushReleasesEverySlabAndIsIdempotent) {
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    const std::vector<void*> blocks = AllocMany(c, 100 / (1 + BytesOf(c) / 4096) + 1);
    for (void* block : blocks) Free(block);
  }
  EXPECT_GT(hak_shared_pool_read_figures().live_slabs, 0u);
  Flush();
  EXPECT_EQ(hak_shared_pool_read_figures().live_slabs, 0u);
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    EXPECT_EQ(hak_bin_held(Bin(c)), 0u);
    EXPECT_EQ(Bin(c)->run_mask, 0u);
    EXPECT_EQ(Bin(c)->current, nullptr);
    EXPECT_EQ(Bin(c)->partial, nullptr);
  }
  Flush();
}

TEST_F(UnifiedCache, FlushOfAHeapThatWasNeverUsedTouchesNothing) {
  Flush();
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) EXPECT_EQ(Bin(c)->stride, 0u);
}

TEST_F(UnifiedCache, FlushPublishesTheOutbox) {
  const uint32_t c = ClassOf(64);
  const std::vector<void*> blocks = AllocMany(c, 40);
  hak_heap* other = NewHeap(kLimitBytes);
  for (void* block : blocks) {
    hak_slab* slab = SlabOf(block);
    EXPECT_EQ(hak_remote_free_push(other, slab, hak_slab_index(slab, block)), HAK_REMOTE_FREE_DONE);
  }
  Flush();
  EXPECT_EQ(hak_shared_pool_read_figures().live_bytes, 40u * 64); /* still in the other's out-box */
  hak_heap_enter(other);
  hak_unified_cache_flush(other);
  hak_heap_leave(other);
  Flush();
  EXPECT_EQ(hak_shared_pool_read_figures().live_bytes, 0u);
}

// --- holds ---

TEST_F(UnifiedCache, HoldsIsTrueOfSlotsAndRunOnly) {
  const uint32_t c = ClassOf(64);
  void* live = Alloc(c);
  live_.push_back(live);
  const hak_bin* bin = Bin(c);
  EXPECT_FALSE(hak_unified_cache_holds(bin, live));
  EXPECT_FALSE(hak_unified_cache_holds(bin, nullptr));
  EXPECT_FALSE(hak_unified_cache_holds(bin, &c));
  ASSERT_GT(hak_bin_held(bin), 0u);
  ASSERT_NE(bin->run_mask, 0u);
  for (void** slot = bin->top; slot < bin->end; slot++) EXPECT_TRUE(hak_unified_cache_holds(bin, *slot));
  for (uint32_t bit = 0; bit < 64; bit++) {
    char* block = bin->run_base + static_cast<size_t>(bit) * 64;
    const bool in_slots = std::find(bin->top, bin->end, block) != bin->end;
    EXPECT_EQ(hak_unified_cache_holds(bin, block), in_slots || ((bin->run_mask >> bit) & 1) != 0) << bit;
    EXPECT_FALSE(hak_unified_cache_holds(bin, block + 16)) << bit;
  }
  EXPECT_FALSE(hak_unified_cache_holds(bin, bin->run_base + 64 * 64)); /* the next word of the slab */
  Flush();
  for (uint32_t bit = 0; bit < 64; bit++) {
    EXPECT_FALSE(hak_unified_cache_holds(bin, SlabOf(live)->base + static_cast<size_t>(bit) * 64));
  }
}

// --- zero ---

bool ReadsAsZero(const void* block, size_t bytes) {
  hak_unpoison(block, bytes);
  const char* text = static_cast<const char*>(block);
  return text[0] == 0 && memcmp(text, text + 1, bytes - 1) == 0;
}

TEST_F(UnifiedCache, FreshBlocksAreSaidToBeZeroAndAre) {
  for (const size_t bytes : {16, 1280, 4096, 32768, 262144}) {
    const uint32_t c = ClassOf(bytes);
    bool zeroed = false;
    void* block = Take(c, &zeroed);
    EXPECT_TRUE(zeroed) << bytes;
    EXPECT_TRUE(ReadsAsZero(block, bytes));
    live_.push_back(block);
  }
}

TEST_F(UnifiedCache, BlocksFromTheSlotsAreNeverSaidToBeZero) {
  const uint32_t c = ClassOf(1280);
  Free(Alloc(c));
  void* newest = *Bin(c)->top;
  bool zeroed = true;
  EXPECT_EQ(Take(c, &zeroed), newest);
  EXPECT_FALSE(zeroed);
  live_.push_back(newest);
}

// Whatever happened before: a block that is said to be zero is. Dirty blocks come back through slots, runs, slabs,
// released units and purged pages.
TEST_F(UnifiedCache, WhatIsSaidToBeZeroIsZero) {
  std::mt19937 random(7);
  std::vector<void*> blocks;
  uint64_t said = 0;
  for (int step = 0; step < 6000; step++) {
    const uint32_t c = ClassOf(std::vector<size_t>{1280, 4096, 8192, 32768, 65536}[random() % 5]);
    if (random() % 2 == 0) {
      bool zeroed = false;
      void* block = Take(c, &zeroed);
      ASSERT_TRUE(!zeroed || ReadsAsZero(block, BytesOf(c))) << step;
      said += zeroed;
      hak_unpoison(block, BytesOf(c));
      memset(block, 0xa5, BytesOf(c));
      blocks.push_back(block);
    } else if (!blocks.empty()) {
      std::swap(blocks[random() % blocks.size()], blocks.back());
      Free(blocks.back());
      blocks.pop_back();
    }
    if (random() % 200 == 0) Flush();
    if (random() % 500 == 0) hak_purge_all();
  }
  EXPECT_GT(said, 100u);
  live_ = blocks;
}

// --- no memory ---

TEST_F(UnifiedCache, WithoutMemoryItReturnsNullAndTheHeapStaysUsable) {
  const uint32_t c = ClassOf(32768);
  live_.push_back(Alloc(c));
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  void* block = Alloc(c);
  while (block != nullptr && live_.size() < 10000) {
    live_.push_back(block);
    block = Alloc(c);
  }
  EXPECT_EQ(block, nullptr);
  bool zeroed = true;
  EXPECT_EQ(Take(c, &zeroed), nullptr);
  EXPECT_EQ(Alloc(ClassOf(16)), nullptr); /* a bin that was never used */
  EXPECT_EQ(heap_->budget.granted_bytes, hak_bin_cap(Bin(c)) * BytesOf(c) + hak_bin_cap(Bin(ClassOf(16))) * 16);

  Free(live_.back());
  EXPECT_EQ(Alloc(c), live_.back()); /* what is there goes round */
  EXPECT_EQ(Alloc(c), nullptr);
  hak_os_fake_reset();
  ExpectNoBlockTwice(c, 50);
  ExpectNoBlockTwice(ClassOf(16), 50);
}

// --- limits ---

TEST_F(UnifiedCache, FollowsALimitThatBecomesKnown) {
  const uint32_t idle = ClassOf(1000);
  for (void* block : AllocMany(idle, 4)) Free(block);
  ASSERT_NE(hak_bin_held(Bin(idle)), 0u);
  hak_limits_reset_for_test();
  hak_os_fake_set_file("/proc/self/cgroup", "0::/job\n");
  hak_os_fake_set_file("/sys/fs/cgroup/job/memory.max", "67108864\n");
  void* large = hak_os_map(HAK_LIMITS_FIRST_LOOK_BYTES);
  hak_limits_consider();
  ASSERT_EQ(hak_limits_epoch(), 1u);
  live_ = AllocMany(ClassOf(32 * 1024), 64); /* each a slow path: a tick comes */
  EXPECT_EQ(heap_->budget.limit_bytes, hak_mid_ace_limit(1024 * 1024, heap_->nth));
  EXPECT_LE(heap_->budget.granted_bytes, heap_->budget.limit_bytes + 64 * 1024);
  EXPECT_EQ(hak_bin_held(Bin(idle)), 0u);
  EXPECT_EQ(heap_->limits_seen, 1u);
  hak_os_unmap(large, HAK_LIMITS_FIRST_LOOK_BYTES);
  hak_limits_reset_for_test();
}

// --- everything together ---

TEST_F(UnifiedCache, RandomTrafficNeverHandsOutALiveBlock) {
  std::mt19937 random(3);
  std::set<void*> live;
  std::vector<void*> order;
  for (int step = 0; step < 100000; step++) {
    const bool grow = (step / 4000) % 2 == 0;
    if (order.empty() || random() % 100 < (grow ? 70u : 30u)) {
      void* block = Alloc(ClassOf(random() % 300));
      ASSERT_TRUE(live.insert(block).second) << step;
      order.push_back(block);
    } else {
      std::swap(order[random() % order.size()], order.back());
      live.erase(order.back());
      Free(order.back());
      order.pop_back();
    }
    if (step % 9973 == 0) Flush();
  }
  uint64_t live_bytes = 0;
  Flush();
  for (void* block : order) live_bytes += SlabOf(block)->block_bytes;
  EXPECT_EQ(hak_shared_pool_read_figures().live_bytes, live_bytes);
  live_ = order;
}

}  // namespace
