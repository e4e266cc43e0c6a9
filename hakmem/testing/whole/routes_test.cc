// Call sites that are routed to a named heap, over the whole allocator: which blocks come from there, and that nothing else
// does, whoever frees them.
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "hakmem/base/checks.h"
#include "hakmem/config/config.h"
#include "hakmem/heap/heap.h"
#include "hakmem/instrument/instrument.h"
#include "hakmem/profile/profile.h"
#include "hakmem/registry/registry.h"
#include "hakmem/testing/whole/child.h"
#include "hakmem/testing/whole/support.h"
#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

namespace {

constexpr size_t kKiB = 1024;

hak_heap* kept;                // the named heap
thread_local bool is_keeping;  // this thread's calls come from a site that is routed there

hak_heap* Route(const void* caller) { return is_keeping && caller != nullptr ? kept : nullptr; }

bool IsKept(const void* block) { return hak_heap_owns_word(kept, hak_registry_word(block)); }

class Routes : public testing::Test {
 protected:
  void SetUp() override {
    if (kept == nullptr) kept = hak_heap_make_named("kept");
    hak_instrument_hook_routes(Route);
    hak_instrument_want(HAK_INSTRUMENT_ROUTE, true);
    hak_free(hak_malloc(600 * kKiB)); /* a slow path, in which the thread follows */
  }

  void TearDown() override {
    is_keeping = false;
    hak_instrument_want(HAK_INSTRUMENT_ALL, false);
    hak_free(hak_malloc(600 * kKiB));
    hak_set_error_action(HAK_ERROR_ABORT);
    hak_config_reset_for_test();
    hak_trim();
  }

  static void* Keep(size_t size) {
    is_keeping = true;
    void* block = hak_malloc(size);
    is_keeping = false;
    return block;
  }
};

TEST_F(Routes, EveryWayToAllocate) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{100}, size_t{1024}, size_t{5000}, 32 * kKiB}) {
    const auto check = [size](const char* name, void* block, bool is_kept) {
      ASSERT_NE(block, nullptr) << name << " of " << size;
      EXPECT_EQ(IsKept(block), is_kept) << name << " of " << size;
      hak_free(block);
    };
    for (const bool keeps : {true, false, true}) {
      is_keeping = keeps;
      check("malloc", hak_malloc(size), keeps);
      check("calloc", hak_calloc(1, size), keeps);
      check("realloc", hak_realloc(nullptr, size), keeps);
      check("rezalloc", hak_rezalloc(nullptr, 0, size), keeps);
      check("aligned_alloc", hak_aligned_alloc(64, size), keeps);
      check("memalign", hak_memalign(256, size), keeps);
      void* one = nullptr;
      EXPECT_EQ(hak_posix_memalign(&one, 128, size), 0);
      check("posix_memalign", one, keeps);
      EXPECT_EQ(hak_malloc_batch(size, 1, &one), 1u);
      check("batch", one, keeps);
    }
    is_keeping = false;
  }
}

TEST_F(Routes, ABlockThatGrowsMovesToWhereItsLastCallerKeeps) {
  void* block = hak_malloc(100);
  ASSERT_FALSE(IsKept(block));
  memset(block, 7, 100);
  is_keeping = true;
  block = hak_realloc(block, 1000);
  is_keeping = false;
  EXPECT_TRUE(IsKept(block));
  for (int i = 0; i < 100; i++) ASSERT_EQ(static_cast<char*>(block)[i], 7);
  EXPECT_GE(hak_malloc_usable_size(block), 1000u);
  EXPECT_EQ(hak_realloc(block, 1010), block) << "there is room";
  block = hak_realloc(block, 3000);
  EXPECT_FALSE(IsKept(block));
  for (int i = 0; i < 100; i++) ASSERT_EQ(static_cast<char*>(block)[i], 7);
  hak_free(block);
}

TEST_F(Routes, BlocksOfWholeUnitsAreTheThreadsOwn) {
  for (const size_t size : {33 * kKiB, 64 * kKiB, 200 * kKiB, 500 * kKiB, 3 * 1024 * kKiB}) {
    void* block = Keep(size);
    EXPECT_FALSE(IsKept(block)) << size;
    hak_free(block);
  }
}

TEST_F(Routes, CallocOfUsedMemoryIsZero) {
  for (const size_t size : {size_t{64}, size_t{2000}, 20 * kKiB}) {
    std::vector<void*> blocks;
    for (int i = 0; i < 200; i++) {
      blocks.push_back(Keep(size));
      memset(blocks.back(), 0xff, size);
    }
    for (void* block : blocks) hak_free(block);
    is_keeping = true;
    for (void*& block : blocks) {
      block = hak_calloc(1, size);
      ASSERT_TRUE(IsKept(block));
      const char* bytes = static_cast<const char*>(block);
      ASSERT_TRUE(bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0) << size;
    }
    is_keeping = false;
    for (void* block : blocks) hak_free(block);
  }
}

// A thread that exchanges blocks with others caches what it frees of theirs: not so these.
TEST_F(Routes, WhatIsFreedIsNobodysCache) {
  std::vector<void*> blocks;
  for (int i = 0; i < 60000; i++) blocks.push_back(Keep(128));
  std::vector<void*> usual;
  for (size_t i = 0; i < blocks.size(); i++) {
    hak_free(blocks[blocks.size() - 1 - (i * 7919) % blocks.size()]);
    usual.push_back(hak_malloc(128));
    ASSERT_FALSE(IsKept(usual.back())) << i;
  }
  for (void* block : usual) hak_free(block);
}

TEST_F(Routes, WhatIsFreedServesTheNextThatKeep) {
  std::set<uintptr_t> units;
  for (int round = 0; round < 20; round++) {
    std::vector<void*> blocks;
    for (int i = 0; i < 2000; i++) {
      blocks.push_back(Keep(128));
      units.insert(reinterpret_cast<uintptr_t>(blocks.back()) >> 16);
    }
    std::thread([&blocks] {
      for (void* block : blocks) hak_free(block);
    }).join();
  }
  EXPECT_LE(units.size(), 16u) << "2,000 blocks fill 4 units";
}

TEST_F(Routes, KeptAndOtherBlocksShareNoSlab) {
  std::set<uintptr_t> units;
  std::vector<void*> blocks;
  for (int i = 0; i < 20000; i++) {
    blocks.push_back(i % 3 == 0 ? Keep(64) : hak_malloc(64));
    if (i % 3 == 0) units.insert(reinterpret_cast<uintptr_t>(blocks.back()) >> 16);
  }
  for (int i = 0; i < 20000; i++) {
    ASSERT_EQ(units.count(reinterpret_cast<uintptr_t>(blocks[i]) >> 16), i % 3 == 0 ? 1u : 0u) << i;
  }
  for (void* block : blocks) hak_free(block);
}

TEST_F(Routes, ATrimReturnsEverySlab) {
  std::vector<void*> blocks;
  for (int i = 0; i < 5000; i++) blocks.push_back(Keep(i % 2000));
  for (void* block : blocks) hak_free(block);
  hak_trim();
  for (void* block : blocks) ASSERT_FALSE(IsKept(block));
}

TEST_F(Routes, InTimeAllButOneSlabOfASizeGoesBack) {
  hak_config_set_for_test(HAK_OPTION_DECAY_MS, 20);
  std::vector<void*> blocks;
  std::set<uintptr_t> units;
  for (int i = 0; i < 40000; i++) {
    blocks.push_back(Keep(100));
    units.insert(reinterpret_cast<uintptr_t>(blocks.back()) & ~uintptr_t{0xffff});
  }
  EXPECT_GT(units.size(), 50u);
  /* Half of it, merged by what is kept meanwhile, then the rest: no slab is ever freed whole from afar. The exit of a thread
   * publishes what is on the way home. */
  for (size_t half = 0; half < 2; half++) {
    std::thread freeing([&blocks, half] {
      for (size_t i = half; i < blocks.size(); i += 2) hak_free(blocks[i]);
      for (int i = 0; half == 0 && i < 3000; i++) hak_free(Keep(100));
    });
    freeing.join();
  }
  const auto kept_units = [&units] {
    return std::count_if(units.begin(), units.end(),
                         [](uintptr_t unit) { return IsKept(reinterpret_cast<void*>(unit)); });
  };
  for (int tries = 0; tries < 500 && kept_units() > 1; tries++) {
    usleep(10000);
    hak_free(hak_malloc(600 * kKiB));
  }
  EXPECT_LE(kept_units(), 1);
}

TEST_F(Routes, WhatEndedThreadsLeftIsNotMixedIn) {
  std::vector<void*> left;
  std::thread([&left] {
    for (int i = 0; i < 1000; i++) left.push_back(hak_malloc(48));
    for (size_t i = 0; i < left.size(); i += 2) hak_free(left[i]);
  }).join();
  std::set<uintptr_t> units;
  for (size_t i = 1; i < left.size(); i += 2) units.insert(reinterpret_cast<uintptr_t>(left[i]) >> 16);
  std::vector<void*> blocks;
  for (int i = 0; i < 3000; i++) {
    blocks.push_back(Keep(48));
    ASSERT_EQ(units.count(reinterpret_cast<uintptr_t>(blocks.back()) >> 16), 0u);
  }
  for (void* block : blocks) hak_free(block);
  for (size_t i = 1; i < left.size(); i += 2) hak_free(left[i]);
}

TEST_F(Routes, TwiceFreedIsReported) {
  hak_set_error_action(HAK_ERROR_WARN);
  void* block = Keep(100);
  void* neighbour = Keep(100);
  hak_free(block);
  testing::internal::CaptureStderr();
  hak_free(block);
  hak_trim();
  hak_free(neighbour);
  hak_trim();
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("double free"), std::string::npos) << said;
}

TEST_F(Routes, WithoutCaches) {
  hak_config_set_for_test(HAK_OPTION_THREAD_CACHE_BYTES, 0);
  std::thread([] {
    std::vector<void*> blocks;
    for (int i = 0; i < 1000; i++) {
      blocks.push_back(i % 2 == 0 ? Keep(200) : hak_malloc(200));
      ASSERT_EQ(IsKept(blocks.back()), i % 2 == 0);
    }
    for (void* block : blocks) hak_free(block);
  }).join();
}

TEST_F(Routes, TheProfileSamplesThemToo) {
  hak_profile_begin(1000);
  hak_free(hak_malloc(600 * kKiB));
  std::vector<void*> blocks;
  size_t sampled = 0;
  for (int i = 0; i < 2000; i++) {
    blocks.push_back(Keep(100));
    if (hak_registry_word(blocks.back()) != HAK_REGISTRY_SAMPLED) {
      ASSERT_TRUE(IsKept(blocks.back()));
      continue;
    }
    sampled++;
    hak_lock_take(hak_profile_lock());
    const hak_profile_tables* tables = hak_profile_read();
    hak_lock_give(hak_profile_lock());
    ASSERT_GT(tables->live_samples, 0u);
  }
  EXPECT_GT(sampled, 20u);
  for (void* block : blocks) hak_free(block);
  hak_profile_end();
  EXPECT_TRUE(hak_profile_is_valid());
  hak_free(hak_malloc(600 * kKiB));
  hak_trim();
  for (void* block : blocks) ASSERT_FALSE(IsKept(block)) << "twins have gone home, too";
}

std::atomic<int> recorded;

TEST_F(Routes, AndTheyAreRecorded) {
  hak_instrument_hook_records([](hak_instrument_op, const void*, size_t) { recorded++; });
  hak_instrument_want(HAK_INSTRUMENT_RECORD, true);
  hak_free(hak_malloc(600 * kKiB));
  recorded = 0;
  void* block = Keep(100);
  EXPECT_TRUE(IsKept(block));
  hak_free(block);
  EXPECT_EQ(recorded, 2);
  hak_instrument_want(HAK_INSTRUMENT_RECORD, false);
}

// Threads keep, free each other's and the forking thread's blocks, and end; children do the same.
TEST_F(Routes, ForksAmidThreads) {
  HAK_NOT_EMULATED("forks amid threads");
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; t++) {
    threads.emplace_back([&stop] {
      while (!stop) {
        std::thread([] {
          void* blocks[64];
          for (int i = 0; i < 64; i++) blocks[i] = i % 2 == 0 ? Keep(16 + i * 8) : hak_malloc(16 + i * 8);
          for (void* block : blocks) hak_free(block);
        }).join();
      }
    });
  }
  std::vector<void*> mine;
  for (int i = 0; i < 500; i++) mine.push_back(Keep(64));
  for (int i = 0; i < 30; i++) {
    EXPECT_TRUE(hak_testing::SucceedsInChild([&mine] {
      for (size_t k = 0; k < mine.size(); k += 2) hak_free(mine[k]);
      for (size_t k = 0; k < mine.size(); k += 2) {
        mine[k] = Keep(64);
        EXPECT_TRUE(IsKept(mine[k]));
      }
      hak_trim();
      for (void* block : mine) hak_free(block);
    }));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (void* block : mine) hak_free(block);
}

}  // namespace
