/* What the program may do wrong, and how much a bin may cache. */
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <random>
#include <set>
#include <vector>

#include "hakmem/base/bits.h"
#include "hakmem/base/test_one_line.h"
#include "hakmem/metadata/metadata.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/registry/registry.h"
#include "hakmem/unified_cache/unified_cache.h"
#include "hakmem/unified_cache/unified_cache_test_inl.h"

#include "gtest/gtest.h"

namespace {

using UnifiedCacheDeathTest = UnifiedCache;

// --- misuse ---

TEST_F(UnifiedCache, TheBlockFreedLastIsNotTakenAgain) {
  void* block = Alloc(ClassOf(64));
  Free(block);
  const uint64_t held = hak_bin_held(Bin(ClassOf(64)));
  EXPECT_EQ(Misuse([&] { Spill(block); }), 1u);
  EXPECT_EQ(hak_bin_held(Bin(ClassOf(64))), held);
  ExpectNoBlockTwice(ClassOf(64), 100);
}

TEST_F(UnifiedCache, ADoubleFreeInTheSlotsIsFoundOnTheWayToTheSlab) {
  const uint32_t c = ClassOf(64);
  const std::vector<void*> blocks = AllocMany(c, 3);
  for (void* block : {blocks[0], blocks[1], blocks[0], blocks[2], blocks[1]}) Push(block);
  EXPECT_EQ(Misuse([&] { Flush(); }), 2u);
  ExpectNoBlockTwice(c, 200);
}

TEST_F(UnifiedCache, ADoubleFreeFarApartIsFoundByTheBitmap) {
  const uint32_t c = ClassOf(48);
  void* block = Alloc(c);
  live_ = AllocMany(c, 500); /* keeps the slab */
  Free(block);
  Flush();
  ASSERT_TRUE(IsFreeInSlab(block));
  Free(block);
  EXPECT_EQ(Misuse([&] { Flush(); }), 1u);
  ExpectNoBlockTwice(c, 1000);
}

// The first free of the block empties its slab, which is gone when the second comes to be looked at.
TEST_F(UnifiedCache, ADoubleFreeOfABlockWhoseSlabIsGoneIsFound) {
  const uint32_t c = ClassOf(64);
  std::vector<void*> blocks = AllocMany(c, 1024);
  live_ = AllocMany(c, 10); /* of a second slab */
  void* low = blocks[0];
  void* high = blocks[1000];
  for (void* block : blocks) {
    if (block != low && block != high) Free(block);
  }
  Flush();
  for (void* block : {low, high, low, high}) Push(block);
  EXPECT_EQ(Misuse([&] { Flush(); }), 2u);
  EXPECT_EQ(hak_registry_word(low), uint64_t{HAK_REGISTRY_NONE});
  EXPECT_EQ(hak_shared_pool_read_figures().live_slabs, 1u);
  ExpectNoBlockTwice(c, 3000);
}

std::vector<void*> BlocksOfRun(const hak_bin* bin) {
  std::vector<void*> waiting;
  for (uint64_t mask = bin->run_mask; mask != 0; mask &= mask - 1) {
    waiting.push_back(bin->run_base + static_cast<size_t>(hak_bits_lowest(mask)) * bin->stride);
  }
  return waiting;
}

// The slab looks empty when the program has freed all that waits in the run.
TEST_F(UnifiedCache, AFreeOfAWholeRunIsFound) {
  const uint32_t c = ClassOf(32768);
  const uint32_t blocks = hak_size_class_table[c].blocks;
  void* first = Refill(c);
  const std::vector<void*> waiting = BlocksOfRun(Bin(c));
  ASSERT_EQ(waiting.size(), blocks - 1);
  heap_->budget.limit_bytes = 0;
  Push(first);
  EXPECT_EQ(Misuse([&] {
              for (void* block : waiting) Free(block);
              Flush();
            }),
            blocks - 1);
  EXPECT_EQ(Bin(c)->run_mask, 0u);
  ExpectNoBlockTwice(c, 3 * blocks);
}

// Where nothing is cached, it is found in the call: the block was free before, and is handed out once.
TEST_F(UnifiedCache, WithoutABudgetAFreeOfABlockThatWaitsInTheRunIsFoundAtOnce) {
  const uint32_t c = ClassOf(4096);
  heap_->budget.limit_bytes = 0;
  live_.push_back(Refill(c));
  ASSERT_EQ(hak_bin_cap(Bin(c)), 0u);
  for (void* block : BlocksOfRun(Bin(c))) EXPECT_EQ(Misuse([&] { Spill(block); }), 1u);
  EXPECT_EQ(Misuse([&] { Flush(); }), 0u);
  ExpectNoBlockTwice(c, 40);
}

TEST_F(UnifiedCache, AFreeOfABlockThatWaitsInTheRunIsFound) {
  const uint32_t c = ClassOf(4096);
  live_.push_back(Refill(c));
  ASSERT_NE(Bin(c)->run_mask, 0u);
  void* waiting = Bin(c)->run_base + static_cast<size_t>(hak_bits_lowest(Bin(c)->run_mask)) * Bin(c)->stride;
  Push(waiting);
  EXPECT_EQ(Misuse([&] { Flush(); }), 1u);
  ExpectNoBlockTwice(c, 40);
}

TEST_F(UnifiedCache, InteriorPointersAreFoundAndDropped) {
  for (const size_t bytes : {16, 48, 64, 1280, 8192, 65536}) {
    const uint32_t c = ClassOf(bytes);
    std::vector<void*> blocks = AllocMany(c, 2);
    for (const size_t offset : {size_t{1}, size_t{8}, bytes - 1}) {
      char* inside = static_cast<char*>(blocks[0]) + offset;
      EXPECT_EQ(Misuse([&] { Spill(inside); }), 1u) << bytes;
      Push(inside);
      EXPECT_EQ(Misuse([&] { Flush(); }), 1u) << bytes;
    }
    EXPECT_FALSE(IsFreeInSlab(blocks[0]));
    live_.insert(live_.end(), blocks.begin(), blocks.end());
    ExpectNoBlockTwice(c, 100);
  }
}

// As a thread that exchanges blocks caches them, by their class and without a further look.
TEST_F(UnifiedCache, PointersIntoBlocksOfOthersAreFoundAndDropped) {
  hak_heap* mine = heap_;
  hak_heap* others = NewHeap(kLimitBytes);
  for (const size_t bytes : {16, 48, 1024, 1280}) {
    const uint32_t c = ClassOf(bytes);
    heap_ = others;
    std::vector<void*> blocks = AllocMany(c, 2);
    heap_ = mine;
    Free(Alloc(c));
    const auto cache = [&](void* ptr) {
      ASSERT_NE(Bin(c)->top, Bin(c)->begin);
      Bin(c)->top[-1] = ptr;
      hak_bin_set_top(Bin(c), Bin(c)->top - 1);
    };
    cache(static_cast<char*>(blocks[0]) + 8);
    cache(blocks[1]);
    const uint64_t before = hak_misuse_count_of(HAK_MISUSE_INTERIOR_POINTER);
    EXPECT_EQ(Misuse([&] { Flush(); }), 1u) << bytes;
    EXPECT_EQ(hak_misuse_count_of(HAK_MISUSE_INTERIOR_POINTER), before + 1);
    cache(blocks[1]);
    const uint64_t twice = hak_misuse_count_of(HAK_MISUSE_DOUBLE_FREE);
    EXPECT_EQ(Misuse([&] { Flush(); }), 1u) << bytes;
    EXPECT_EQ(hak_misuse_count_of(HAK_MISUSE_DOUBLE_FREE), twice + 1);
    heap_ = others;
    Free(blocks[0]);
    Flush();
    heap_ = mine;
  }
}

// The end of a slab that no block fits in, and an address whose upper bits no table knows.
TEST_F(UnifiedCache, PointersToNoBlockAtAllAreFoundAndDropped) {
  const uint32_t c = ClassOf(48);
  live_ = AllocMany(c, 10);
  const hak_slab* slab = SlabOf(live_[0]);
  char* end = slab->base + static_cast<size_t>(slab->blocks) * slab->block_bytes;
  ASSERT_LT(end, slab->base + HAK_UNIT_BYTES);
  for (void* wrong : {static_cast<void*>(end), static_cast<void*>(slab->base + HAK_UNIT_BYTES - 1)}) {
    EXPECT_EQ(Misuse([&] { Spill(wrong); }), 1u);
    Push(live_[0]);
    Push(wrong);
    Push(live_[1]);
    EXPECT_EQ(Misuse([&] { Flush(); }), 1u);
    EXPECT_TRUE(IsFreeInSlab(live_[0]));
    EXPECT_TRUE(IsFreeInSlab(live_[1]));
    std::vector<void*> again = AllocMany(c, 2);
    EXPECT_EQ(std::set<void*>(again.begin(), again.end()), std::set<void*>(live_.begin(), live_.begin() + 2));
  }
}

// The last bytes of a block of three units, whose index by the reciprocal is that of a block past the end.
TEST_F(UnifiedCache, PointersToTheLastBytesOfALargeBlockAreFoundAndDropped) {
  const uint32_t c = ClassOf(192 * 1024);
  std::vector<void*> blocks = AllocMany(c, 2);
  for (size_t back = 1; back <= 16; back++) {
    char* inside = static_cast<char*>(blocks[0]) + 192 * 1024 - back;
    Push(blocks[0]);
    Push(inside);
    EXPECT_EQ(Misuse([&] { Flush(); }), 1u) << back;
    blocks[0] = Alloc(c);
    Push(inside);
    Push(blocks[0]);
    EXPECT_EQ(Misuse([&] { Flush(); }), 1u) << back;
    blocks[0] = Alloc(c);
  }
  live_ = blocks;
  ExpectNoBlockTwice(c, 10);
}

// Rows of neighbours, upwards and downwards, over the ends of words and of slabs, with blocks freed twice and pointers
// into blocks amid them, against a set.
TEST_F(UnifiedCache, MisuseAmidRowsOfNeighboursIsFoundAndChangesNothing) {
  std::mt19937 random(4);
  for (const size_t bytes : {16, 48, 64, 1280, 4096}) {
    const uint32_t c = ClassOf(bytes);
    std::vector<void*> blocks = AllocMany(c, 3 * hak_size_class_table[c].blocks);
    std::sort(blocks.begin(), blocks.end());
    live_ = blocks;
    for (int round = 0; round < 3000; round++) {
      ASSERT_EQ(hak_bin_held(Bin(c)), 0u);
      std::set<void*> freed;
      uint64_t misuse = 0;
      while (Bin(c)->top != Bin(c)->begin) {
        size_t at = random() % blocks.size();
        const size_t step = random() % 3 - 1;
        for (size_t length = 1 + random() % 40; length != 0 && Bin(c)->top != Bin(c)->begin && at < blocks.size();
             length--) {
          const bool is_inside = random() % 40 == 0;
          if (random() % 40 == 0) at = random() % blocks.size();
          if (!is_inside && SlabOf(blocks[at])->base == blocks[at]) break; /* stays, and with it the slab */
          misuse += is_inside || !freed.insert(blocks[at]).second;
          Push(static_cast<char*>(blocks[at]) + (is_inside ? 1 + random() % (bytes - 1) : 0));
          at += step;
        }
      }
      ASSERT_EQ(Misuse([&] { Flush(); }), misuse) << bytes << ", round " << round;
      for (void* block : blocks)
        ASSERT_EQ(IsFreeInSlab(block), freed.count(block) != 0) << bytes << ", round " << round;
      const std::vector<void*> again = AllocMany(c, freed.size());
      ASSERT_EQ(std::set<void*>(again.begin(), again.end()), freed);
    }
    for (void* block : live_) Free(block);
    live_.clear();
    Flush();
  }
}

// The word of 64 B blocks that was given back before the double free came to light is not in the cache any more.
TEST_F(UnifiedCacheDeathTest, AHandlerOfTheAbortGetsNoBlockThatHasGoneBack) {
  const uint32_t c = ClassOf(64);
  static std::function<void*()> alloc; /* for the handler, which captures nothing */
  alloc = [=] { return Alloc(c); };
  std::vector<void*> blocks = AllocMany(c, 500);
  std::sort(blocks.begin(), blocks.end());
  live_ = blocks;
  Flush();
  const auto handler = [](int) {
    for (int i = 0; i < 100; i++) {
      if (IsFreeInSlab(alloc())) _exit(1);
    }
    _exit(0);
  };
  const auto misuse = [&] {
    signal(SIGABRT, handler);
    Bin(c)->streak = -2; /* the spill empties the cache */
    Push(blocks[200]);
    Push(blocks[200]);
    for (size_t i = 0; Bin(c)->top != Bin(c)->begin; i++) Push(blocks[i]);
    Spill(blocks[300]);
    _exit(2);
  };
  EXPECT_EXIT(misuse(), testing::ExitedWithCode(0), "double free");
}

TEST_F(UnifiedCacheDeathTest, TheLineNamesTheBlock) {
  void* block = Alloc(ClassOf(64));
  live_.push_back(block);
  const auto misuse = [&] {
    Free(block);
    Spill(block);
  };
  EXPECT_EXIT(misuse(), testing::KilledBySignal(SIGABRT),
              OneLine("hakmem: double free of 0x[0-9a-f]+ \\(size class 64\\)"));
  EXPECT_EXIT(Spill(static_cast<char*>(block) + 4), testing::KilledBySignal(SIGABRT),
              OneLine("hakmem: interior pointer 0x[0-9a-f]+ \\(size class 64\\)"));
}

// --- caps ---

TEST_F(UnifiedCache, CapsStayInTheBudget) {
  for (const uint64_t limit : {kLimitBytes, kLimitBytes / 4, uint64_t{300000}}) {
    heap_ = NewHeap(limit);
    uint64_t started_bytes = 0;
    for (int round = 0; round < 20; round++) {
      for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
        const std::vector<void*> blocks = AllocMany(c, 300 / (1 + BytesOf(c) / 2048) + 2);
        for (void* block : blocks) Free(block);
        if (round == 0) started_bytes = heap_->budget.granted_bytes;
      }
    }
    uint64_t granted_bytes = 0;
    for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
      EXPECT_LE(hak_bin_cap(Bin(c)), static_cast<uint32_t>(HAK_BIN_SLOTS(c)));
      EXPECT_EQ(*Bin(c)->end, nullptr);
      granted_bytes += hak_bin_cap(Bin(c)) * BytesOf(c);
    }
    EXPECT_EQ(granted_bytes, heap_->budget.granted_bytes);
    EXPECT_LE(granted_bytes, std::max(limit, started_bytes));
    EXPECT_GT(heap_->budget.grown, 0u);
    Flush();
  }
}

TEST_F(UnifiedCache, ABinThatSwingsByMoreThanItsCapGetsALargerOne) {
  const uint32_t c = ClassOf(64);
  for (int round = 0; round < 10; round++) {
    const std::vector<void*> blocks = AllocMany(c, 2000);
    for (void* block : blocks) Free(block);
  }
  EXPECT_EQ(hak_bin_cap(Bin(c)), static_cast<uint32_t>(HAK_BIN_SLOTS(c)));
}

// A program that swings by a thousand small blocks has no slow path any more.
TEST_F(UnifiedCache, AThousandBlocksBuiltAndDroppedStayCached) {
  const uint32_t c = ClassOf(128);
  const auto swing = [&] {
    const std::vector<void*> blocks = AllocMany(c, 1000);
    for (void* block : blocks) Free(block);
  };
  for (int round = 0; round < 10; round++) swing();
  const auto slow_paths = [&] {
    return hak_u64_load_relaxed(&heap_->counters.refills) + hak_u64_load_relaxed(&heap_->counters.spills);
  };
  const uint64_t before = slow_paths();
  swing();
  EXPECT_EQ(slow_paths(), before);
}

TEST_F(UnifiedCache, SlowPathsAreCountedByClass) {
  const auto counted = [&](uint32_t c) {
    const hak_heap_counters& all = heap_->counters;
    return std::make_pair(hak_heap_class_count(&all.class_refills[c], &all.class_carries[c], HAK_HEAP_REFILLS_SHIFT),
                          hak_heap_class_count(&all.class_spills[c], &all.class_carries[c], HAK_HEAP_SPILLS_SHIFT));
  };
  const auto both = [&] {
    return std::make_pair(hak_u64_load_relaxed(&heap_->counters.refills),
                          hak_u64_load_relaxed(&heap_->counters.spills));
  };
  const uint32_t c = ClassOf(64);
  const auto before = both();
  const auto of_class_before = counted(c);
  const auto of_other_before = counted(c + 1);
  for (void* block : AllocMany(c, 5000)) Free(block);
  const uint64_t refills = both().first - before.first;
  const uint64_t spills = both().second - before.second;
  EXPECT_GT(refills, 0u);
  EXPECT_GT(spills, 0u);
  EXPECT_EQ(counted(c), std::make_pair(of_class_before.first + refills, of_class_before.second + spills));
  EXPECT_EQ(counted(c + 1), of_other_before);
}

TEST_F(UnifiedCache, WhereBlocksAreExchangedCapsStaySmall) {
  const auto cap_after_swings = [&](size_t bytes) {
    for (int round = 0; round < 10; round++) {
      const std::vector<void*> blocks = AllocMany(ClassOf(bytes), 1000);
      for (void* block : blocks) Free(block);
    }
    return hak_bin_cap(Bin(ClassOf(bytes)));
  };
  const uint32_t before = cap_after_swings(256);
  constexpr uint32_t kExchangeCap = HAK_BIN_MIDDLE_SLOTS;
  EXPECT_GT(before, kExchangeCap);
  hak_heap_set_exchanging(heap_, true);
  EXPECT_EQ(cap_after_swings(128), kExchangeCap);
  EXPECT_EQ(cap_after_swings(256), before); /* what it may already, it may still */
  hak_heap_set_exchanging(heap_, false);
  EXPECT_GT(cap_after_swings(128), kExchangeCap);
}

TEST_F(UnifiedCache, WithoutMemoryForMoreSlotsTheCapStays) {
  const uint32_t c = ClassOf(64);
  std::vector<void*> live = AllocMany(c, 2000);
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  while (hak_metadata_alloc(4096, 64) != nullptr) { /* until the metadata is used up */
  }
  for (int round = 0; round < 10; round++) {
    for (void*& block : live) Free(block);
    for (void*& block : live) ASSERT_NE(block = Alloc(c), nullptr);
  }
  EXPECT_EQ(hak_bin_cap(Bin(c)), 32u);
  EXPECT_EQ(heap_->budget.granted_bytes, 32u * 64);
  EXPECT_TRUE(hak_heap_set_cap(Bin(c), HAK_BIN_NEAR_SLOTS(c))) << "these need none";
  hak_os_fake_reset();
  EXPECT_TRUE(hak_heap_set_cap(Bin(c), HAK_BIN_SLOTS(c)));
  EXPECT_TRUE(hak_heap_set_cap(Bin(c), 64));
  for (void* block : live) Free(block);
}

TEST_F(UnifiedCache, WithoutABudgetNothingIsCachedAndEveryFreeIsChecked) {
  heap_ = NewHeap(0);
  for (const size_t bytes : {16, 64, 1280, 8192}) {
    const uint32_t c = ClassOf(bytes);
    const std::vector<void*> blocks = AllocMany(c, 3);
    EXPECT_EQ(hak_bin_cap(Bin(c)), 0u);
    Free(blocks[0]);
    EXPECT_TRUE(IsFreeInSlab(blocks[0]));
    Free(blocks[1]);
    EXPECT_EQ(Misuse([&] { Free(blocks[0]); }), 1u);
    EXPECT_EQ(Bin(c)->top, Bin(c)->begin);
    live_.push_back(blocks[2]);
    ExpectNoBlockTwice(c, 200);
  }
}

TEST_F(UnifiedCache, AnIdleBinGivesHalfOfItsCapBackAnEpoch) {
  hak_os_fake_set_clock_ms(1000000);
  const uint32_t busy = ClassOf(16);
  const uint32_t idle = ClassOf(64);
  const auto pass_epoch = [&] {
    hak_os_fake_advance_clock_ms(1001);
    const std::vector<void*> blocks = AllocMany(busy, 30000); /* slow paths enough for a look at the clock */
    for (void* block : blocks) Free(block);
  };
  pass_epoch();
  live_ = AllocMany(idle, 60);
  while (Bin(idle)->top != Bin(idle)->begin) {
    Free(live_.back());
    live_.pop_back();
  }
  pass_epoch(); /* the bin was used in this epoch */
  const uint64_t cap = hak_bin_cap(Bin(idle));
  EXPECT_EQ(hak_bin_held(Bin(idle)), cap);
  const uint64_t granted_bytes = heap_->budget.granted_bytes - hak_bin_cap(Bin(busy)) * BytesOf(busy);
  std::vector<void*> newest;
  for (uint64_t i = 0; i < cap / 2; i++) newest.push_back(Bin(idle)->begin[i]);
  pass_epoch();
  EXPECT_EQ(hak_bin_cap(Bin(idle)), cap / 2);
  EXPECT_EQ(hak_bin_held(Bin(idle)), cap / 2);
  for (uint64_t i = 0; i < cap / 2; i++) EXPECT_EQ(Bin(idle)->begin[i], newest[i]);
  EXPECT_EQ(Bin(idle)->begin[cap / 2], nullptr);
  EXPECT_EQ(heap_->budget.granted_bytes - hak_bin_cap(Bin(busy)) * BytesOf(busy),
            granted_bytes - cap / 2 * BytesOf(idle));
  for (int i = 0; i < 10; i++) pass_epoch();
  EXPECT_EQ(hak_bin_cap(Bin(idle)), 1u);
}

}  // namespace
