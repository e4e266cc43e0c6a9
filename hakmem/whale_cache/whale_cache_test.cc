#include "hakmem/whale_cache/whale_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "hakmem/base/poison.h"
#include "hakmem/config/config.h"
#include "hakmem/heap/heap.h"
#include "hakmem/heap/test_berth.h"
#include "hakmem/os/os.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/registry/registry.h"
#include "hakmem/surplus/surplus.h"
#include "hakmem/whale_cache/test_whales.h"

#include "gtest/gtest.h"

namespace {

// --- invariants ---

TEST_F(WhaleCache, Invariant1SizesAndBasesAreWholeUnits) {
  for (const size_t bytes : {size_t{0}, size_t{1}, kUnit - 1, kUnit, kUnit + 1, 2 * kMiB, 5 * kMiB + 12345}) {
    for (size_t alignment = 1; alignment <= 16 * kMiB; alignment *= 4) {
      hak_whale* whale = Acquire(bytes, alignment);
      ASSERT_NE(whale, nullptr);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(whale->base) % std::max(alignment, kUnit), 0u);
      ASSERT_EQ(whale->size_bytes % kUnit, 0u);
      ASSERT_GE(whale->size_bytes, std::max<size_t>(bytes, 1));
      ASSERT_TRUE(hak_os_fake_is_mapped(whale->base, whale->size_bytes));
      Release(whale);
      hak_whale_cache_purge(0, 0);
    }
  }
}

TEST_F(WhaleCache, Invariant2TheFirstUnitIsRegisteredWhileItLives) {
  hak_whale* whale = Acquire(4 * kMiB);
  EXPECT_EQ(hak_registry_word(whale->base), uint64_t{HAK_REGISTRY_WHALE});
  EXPECT_EQ(hak_registry_word(whale->base + kUnit - 1), uint64_t{HAK_REGISTRY_WHALE});
  EXPECT_EQ(hak_registry_owner(whale->base), whale);
  EXPECT_EQ(hak_registry_word(whale->base + kUnit), 0u);
  EXPECT_EQ(hak_registry_word(whale->base + 4 * kMiB - 1), 0u);
  char* base = whale->base;
  Release(whale);
  EXPECT_EQ(hak_registry_word(base), 0u) << "cached";
  whale = Acquire(4 * kMiB);
  ASSERT_EQ(whale->base, base);
  EXPECT_EQ(hak_registry_word(base), uint64_t{HAK_REGISTRY_WHALE});
  EXPECT_EQ(hak_registry_owner(base), whale);
  Release(whale);
}

TEST_F(WhaleCache, HoldsKnowsEveryByteOfTheLivingOnly) {
  hak_whale* first = Acquire(2 * kMiB);
  hak_whale* second = Acquire(3 * kMiB);
  for (const hak_whale* whale : {first, second}) {
    EXPECT_TRUE(hak_whale_cache_holds(whale->base));
    EXPECT_TRUE(hak_whale_cache_holds(whale->base + whale->size_bytes - 1));
  }
  EXPECT_FALSE(hak_whale_cache_holds(nullptr));
  EXPECT_FALSE(hak_whale_cache_holds(this));
  EXPECT_FALSE(hak_whale_cache_holds(reinterpret_cast<void*>(~0ull)));
  char* base = second->base;
  Release(second);
  EXPECT_FALSE(hak_whale_cache_holds(base));
  EXPECT_TRUE(hak_whale_cache_holds(first->base));
  Release(first);
}

TEST_F(WhaleCache, FreshWhalesReadAsZeroCachedOnesAreNotSaidTo) {
  bool zeroed = false;
  hak_whale* whale = hak_whale_cache_acquire(2 * kMiB, 1, &zeroed);
  EXPECT_TRUE(zeroed);
  EXPECT_TRUE(IsAll(whale->base, 2 * kMiB, 0));
  Fill(whale->base, 2 * kMiB);
  Release(whale);
  whale = hak_whale_cache_acquire(2 * kMiB, 1, &zeroed);
  EXPECT_FALSE(zeroed);
  EXPECT_TRUE(IsAll(whale->base, 2 * kMiB, 0x5a)) << "invariant 4: not touched";
  Release(whale);
}

TEST_F(WhaleCache, HopelessSizesChangeNothing) {
  for (const size_t bytes : {size_t{PTRDIFF_MAX}, size_t{PTRDIFF_MAX} + 1, SIZE_MAX, size_t{1} << 62}) {
    EXPECT_EQ(Acquire(bytes), nullptr);
  }
  EXPECT_EQ(Acquire(kUnit, size_t{1} << 62), nullptr);
  hak_whale* whale = Acquire(kMiB);
  EXPECT_FALSE(hak_whale_cache_resize(whale, SIZE_MAX));
  EXPECT_FALSE(hak_whale_cache_resize(whale, size_t{PTRDIFF_MAX}));
  EXPECT_FALSE(hak_whale_cache_resize(whale, size_t{1} << 62));
  EXPECT_EQ(whale->size_bytes, kMiB);
  EXPECT_EQ(Figures().live_bytes, kMiB);
  Release(whale);
}

// --- the cache ---

TEST_F(WhaleCache, BestFitWinsOverTheNewest) {
  const std::vector<char*> bases = Cache({20 * kUnit, 22 * kUnit, 21 * kUnit, 24 * kUnit});
  hak_whale* whale = Acquire(20 * kUnit + 1);
  EXPECT_EQ(whale->base, bases[2]);
  hak_whale* next = Acquire(20 * kUnit + 1);
  EXPECT_EQ(next->base, bases[1]);
  EXPECT_EQ(Figures().cached, 2u);
  Release(whale);
  Release(next);
}

TEST_F(WhaleCache, OfEqualOnesTheNewest) {
  const std::vector<char*> bases = Cache({20 * kUnit, 20 * kUnit});
  hak_whale* whale = Acquire(20 * kUnit);
  EXPECT_EQ(whale->base, bases[1]);
  Release(whale);
}

TEST_F(WhaleCache, AQuarterOfWasteIsTheMost) {
  const std::vector<char*> bases = Cache({25 * kUnit});
  const uint64_t from_cache = Figures().from_cache;
  hak_whale* too_large = Acquire(25 * kUnit + 1);
  EXPECT_NE(too_large->base, bases[0]);
  EXPECT_EQ(Figures().from_cache, from_cache);
  hak_whale* fits = Acquire(20 * kUnit); /* 25 exactly */
  EXPECT_EQ(fits->base, bases[0]);
  EXPECT_EQ(fits->size_bytes, 25 * kUnit);
  EXPECT_EQ(Figures().from_cache, from_cache + 1);
  for (hak_whale* whale : {too_large, fits}) Release(whale);
}

TEST_F(WhaleCache, ACachedWhaleMustLieOnTheAlignment) {
  hak_whale* wide = Acquire(64 * kUnit, 64 * kUnit);
  hak_whale* odd = Acquire(64 * kUnit);
  while (reinterpret_cast<uintptr_t>(odd->base) % (64 * kUnit) == 0) { /* by chance */
    hak_whale* other = Acquire(65 * kUnit);
    Release(odd);
    odd = other;
  }
  Release(odd);
  hak_whale* whale = Acquire(odd->size_bytes, 64 * kUnit);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(whale->base) % (64 * kUnit), 0u);
  Release(whale);
  Release(wide);
}

TEST_F(WhaleCache, Invariant3CachedBytesStayWithinTheOption) {
  LoadConfig("HAKMEM_WHALE_CACHE_BYTES=8m");
  const std::vector<char*> bases = Cache({2 * kMiB, 2 * kMiB, 2 * kMiB, 2 * kMiB, kMiB});
  EXPECT_EQ(Figures().cached_bytes, 7 * kMiB);
  EXPECT_FALSE(IsCached(bases[0])) << "the oldest goes";
  for (size_t i = 1; i < bases.size(); i++) EXPECT_TRUE(IsCached(bases[i]));
  Cache({kMiB});
  EXPECT_EQ(Figures().cached_bytes, 7 * kMiB) << "the same one again";
}

TEST_F(WhaleCache, OneWhaleFillsAQuarterOfTheCacheAtMost) {
  LoadConfig("HAKMEM_WHALE_CACHE_BYTES=8m");
  const std::vector<char*> bases = Cache({2 * kMiB, 2 * kMiB + kUnit});
  EXPECT_TRUE(IsCached(bases[0]));
  EXPECT_FALSE(IsCached(bases[1]));
  EXPECT_EQ(Figures().cached, 1u);
}

// surplus.h: a program that needs a whale once does not keep it, and one that needs it again and again does.
TEST_F(WhaleCache, WhatIsAskedForAgainStays) {
  hak_whale_cache_age(HAK_SURPLUS_AGES_TO_FORGET);
  hak_config_set_for_test(HAK_OPTION_SURPLUS_BYTES, kMiB);
  EXPECT_TRUE(IsCached(Cache({kMiB})[0])) << "allowed";
  const uint64_t from_new = Figures().from_new;
  EXPECT_FALSE(IsCached(Cache({4 * kMiB})[0]));
  EXPECT_TRUE(IsCached(Cache({4 * kMiB})[0])) << "once more";
  for (int i = 0; i < 10; i++) Cache({4 * kMiB});
  EXPECT_EQ(Figures().from_new, from_new + 2);
  hak_whale_cache_age(HAK_SURPLUS_AGES_TO_FORGET);
  EXPECT_FALSE(IsCached(Cache({4 * kMiB})[0])) << "forgotten";
}

TEST_F(WhaleCache, WhatTheKernelWillNotUnmapIsNotTriedAgainAtOnce) {
  hak_whale_cache_age(HAK_SURPLUS_AGES_TO_FORGET);
  hak_config_set_for_test(HAK_OPTION_SURPLUS_BYTES, 0);
  hak_whale* whale = Acquire(4 * kMiB);
  hak_os_fake_fail_from(HAK_OS_FAKE_MUNMAP, 1, ENOMEM);
  Release(whale);
  const uint64_t calls = hak_os_fake_calls(HAK_OS_FAKE_MUNMAP) + hak_os_fake_calls(HAK_OS_FAKE_MADVISE);
  for (int i = 0; i < 10; i++) Cache({4 * kMiB});
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MUNMAP) + hak_os_fake_calls(HAK_OS_FAKE_MADVISE), calls);
  hak_os_fake_reset();
  hak_whale_cache_age(1);
  EXPECT_FALSE(IsCached(Cache({4 * kMiB})[0]));
}

TEST_F(WhaleCache, ASixteenthOfWhatIsLiveMayBeCached) {
  hak_whale_cache_age(HAK_SURPLUS_AGES_TO_FORGET);
  hak_config_set_for_test(HAK_OPTION_SURPLUS_BYTES, 0);
  hak_whale* live = Acquire(64 * kMiB);
  EXPECT_TRUE(IsCached(Cache({4 * kMiB})[0]));
  EXPECT_FALSE(IsCached(Cache({4 * kMiB + kUnit})[0]));
  Release(live);
}

// A process that grows does not sit on old whales besides; a few stay.
TEST_F(WhaleCache, TheOldestMakeWayForNewMappings) {
  const std::vector<char*> bases = Cache({5 * kMiB, 5 * kMiB, 5 * kMiB, 4 * kMiB});
  hak_whale* first = Acquire(6 * kMiB);
  EXPECT_FALSE(IsCached(bases[0])) << "as much as is new";
  EXPECT_FALSE(IsCached(bases[1]));
  EXPECT_TRUE(IsCached(bases[2]));
  hak_whale* second = Acquire(20 * kMiB);
  EXPECT_FALSE(IsCached(bases[2])) << "9 MiB were left";
  EXPECT_TRUE(IsCached(bases[3])) << "8 MiB stay";
  hak_whale* reused = Acquire(4 * kMiB);
  EXPECT_EQ(reused->base, bases[3]) << "and nothing makes way for what was cached";
  for (hak_whale* whale : {first, second, reused}) Release(whale);
}

TEST_F(WhaleCache, AQuarterOfWhatIsLiveNeedNotMakeWay) {
  hak_whale* live = Acquire(100 * kMiB);
  const std::vector<char*> bases = Cache({5 * kMiB, 10 * kMiB, 10 * kMiB});
  hak_whale* first = Acquire(11 * kMiB);
  for (const char* base : bases) EXPECT_TRUE(IsCached(base)) << "25 of 111";
  Release(live);
  hak_whale* second = Acquire(150 * kMiB);
  EXPECT_FALSE(IsCached(bases[0]));
  for (hak_whale* whale : {first, second}) Release(whale);
}

TEST_F(WhaleCache, NoCacheAtAll) {
  LoadConfig("HAKMEM_WHALE_CACHE_BYTES=0");
  const std::vector<char*> bases = Cache({kUnit, kMiB});
  for (const char* base : bases) EXPECT_FALSE(IsCached(base));
  EXPECT_EQ(Figures().cached, 0u);
}

TEST_F(WhaleCache, TheNumberOfEntriesIsBounded) {
  const std::vector<char*> bases = Cache(std::vector<size_t>(HAK_WHALE_CACHE_ENTRIES + 3, kUnit));
  EXPECT_EQ(Figures().cached, uint64_t{HAK_WHALE_CACHE_ENTRIES});
  for (size_t i = 0; i < bases.size(); i++) EXPECT_EQ(IsCached(bases[i]), i >= 3) << i;
}

TEST_F(WhaleCache, CachedWhalesWaitForTheirDecay) {
  hak_whale* first = Acquire(kMiB);
  hak_whale* second = Acquire(2 * kMiB);
  Release(first, 1000);
  Release(second, 1200);
  EXPECT_EQ(hak_whale_cache_purge(1499, 500), 0u);
  EXPECT_EQ(hak_whale_cache_purge(1500, 500), kMiB);
  EXPECT_EQ(hak_whale_cache_purge(1699, 500), 0u);
  EXPECT_EQ(Figures().cached_bytes, 2 * kMiB);
  EXPECT_EQ(hak_whale_cache_purge(1700, 500), 2 * kMiB);
  EXPECT_EQ(hak_whale_cache_purge(1 << 20, 500), 0u);
}

TEST_F(WhaleCache, PurgeWithoutDecayGivesAllBack) {
  Cache({kMiB, 2 * kMiB, 3 * kMiB});
  EXPECT_EQ(hak_whale_cache_purge(0, 0), 6 * kMiB);
  EXPECT_EQ(Figures().cached, 0u);
}

// --- parking ---

class Whales : public WhaleCache {
 protected:
  static constexpr size_t kSize = 2 * kUnit;
  static constexpr uint64_t kLiveWord = HAK_REGISTRY_WHALE;

  void TearDown() override {
    hak_whale_cache_purge(0, 0);
    WhaleCache::TearDown();
  }

  static uint32_t TryPark(hak_whale* whale, hak_heap* heap) { return hak_whale_cache_try_park(whale, heap); }
  static hak_whale* Unpark(hak_heap* heap, size_t bytes) { return hak_whale_cache_unpark(heap, bytes); }
  static void Purge(uint64_t now_ms, uint64_t decay_ms) { hak_whale_cache_purge(now_ms, decay_ms); }
};
INSTANTIATE_TYPED_TEST_SUITE_P(OfWhales, Berth, Whales);

using Parking = Berth<Whales>;

TEST_F(Parking, Invariant5WhatCameFromTheCacheIsParkedAndTakenAgain) {
  hak_whale* whale = Acquire(2 * kMiB);
  EXPECT_FALSE(hak_whale_cache_try_park(whale, Heap(0))) << "nobody has said that it may lie idle";
  Release(whale);
  whale = Reused(2 * kMiB);
  char* base = whale->base;
  ASSERT_TRUE(hak_whale_cache_try_park(whale, Heap(0)));
  EXPECT_EQ(hak_registry_word(base), 0u) << "to free it again is misuse";
  EXPECT_FALSE(hak_whale_cache_holds(base));
  EXPECT_EQ(Figures().live, 0u);
  EXPECT_EQ(Figures().live_bytes, 0u);
  EXPECT_EQ(Figures().cached, 1u);
  EXPECT_EQ(Figures().cached_bytes, 2 * kMiB);
  EXPECT_EQ(hak_whale_cache_unpark(Heap(1), 2 * kMiB), nullptr) << "another's";
  EXPECT_EQ(hak_whale_cache_unpark(Heap(0), 2 * kMiB + 1), nullptr) << "too small";
  EXPECT_EQ(hak_whale_cache_unpark(Heap(0), kMiB), nullptr) << "too large";
  ASSERT_EQ(hak_whale_cache_unpark(Heap(0), 2 * kMiB - 5), whale);
  EXPECT_EQ(hak_registry_word(base), uint64_t{HAK_REGISTRY_WHALE});
  EXPECT_EQ(hak_registry_owner(base), whale);
  EXPECT_TRUE(hak_whale_cache_holds(base + kMiB));
  EXPECT_EQ(Figures().live_bytes, 2 * kMiB);
  EXPECT_EQ(hak_whale_cache_unpark(Heap(0), 2 * kMiB), nullptr);
  ASSERT_TRUE(hak_whale_cache_try_park(whale, Heap(0))) << "and once more";
}

TEST_F(Parking, EachThreadsCountsAsCached) {
  hak_whale* first = Reused(2 * kMiB);
  hak_whale* second = Reused(2 * kMiB);
  ASSERT_TRUE(hak_whale_cache_try_park(first, Heap(0)));
  ASSERT_TRUE(hak_whale_cache_try_park(second, Heap(1)));
  EXPECT_EQ(Figures().cached, 2u);
}

TEST_F(Parking, Invariant5NotTheLargest) {
  hak_whale* whale = Reused(HAK_WHALE_CACHE_PARK_MAX_BYTES + kUnit);
  EXPECT_FALSE(hak_whale_cache_try_park(whale, Heap(0)));
  Release(whale);
}

TEST_F(Parking, APurgeTakesItOutAndItsDecayBegins) {
  hak_whale* whale = Reused(2 * kMiB);
  char* base = whale->base;
  ASSERT_TRUE(hak_whale_cache_try_park(whale, Heap(0)));
  EXPECT_EQ(hak_whale_cache_purge(1000, 500), 0u);
  EXPECT_EQ(hak_whale_cache_unpark(Heap(0), 2 * kMiB), nullptr);
  EXPECT_EQ(Figures().cached, 1u);
  EXPECT_EQ(hak_whale_cache_purge(1499, 500), 0u);
  EXPECT_EQ(hak_whale_cache_purge(1500, 500), 2 * kMiB);
  EXPECT_FALSE(IsCached(base));
}

TEST_F(Parking, OfAnotherSizeAWhaleIsANewOne) {
  hak_whale* whale = Reused(4 * kMiB);
  ASSERT_TRUE(hak_whale_cache_resize(whale, 2 * kMiB));
  EXPECT_FALSE(hak_whale_cache_try_park(whale, Heap(0)));
  Release(whale);
}

TEST_F(Parking, WhatDoesNotFitGetsWhatIsParked) {
  hak_whale* whale = Reused(4 * kMiB);
  ASSERT_TRUE(hak_whale_cache_try_park(whale, Heap(0)));
  hak_os_fake_set_limit_bytes(hak_os_fake_mapped_bytes());
  whale = Acquire(3 * kMiB - kUnit);
  EXPECT_NE(whale, nullptr);
  hak_os_fake_set_limit_bytes(0);
  Release(whale);
}

// --- resizing ---

TEST_F(WhaleCache, GrowsWhereItLies) {
  if (getenv("HAKMEM_TEST_EMULATOR") != nullptr && hak_os_page_bytes() > 4096) {
    GTEST_SKIP() << "under qemu-user, large pages: its address space is set aside, and no mapping grows in place";
  }
  hak_whale* whale = AcquireBeforeAHole(4 * kMiB, 4 * kMiB);
  char* base = whale->base;
  Fill(base, 4 * kMiB);
  const uint64_t before = Figures().resized_in_place;
  ASSERT_TRUE(hak_whale_cache_resize(whale, 6 * kMiB + 1));
  EXPECT_EQ(whale->base, base);
  EXPECT_EQ(whale->size_bytes, 6 * kMiB + kUnit);
  EXPECT_EQ(Figures().live_bytes, 6 * kMiB + kUnit);
  EXPECT_EQ(Figures().resized_in_place, before + 1);
  EXPECT_TRUE(IsAll(base, 4 * kMiB, 0x5a));
  EXPECT_TRUE(IsAll(base + 4 * kMiB, 2 * kMiB + kUnit, 0));
  Release(whale);
}

// The flag is the mapping's, and stays with it where it grows or moves.
TEST_F(WhaleCache, WithoutHugePagesNewWhalesDeclineThem) {
  const uint64_t before = hak_os_read_counters().advise_calls;
  Release(Acquire(4 * kMiB));
  hak_whale_cache_purge(0, 0);
  EXPECT_EQ(hak_os_read_counters().advise_calls, before) << "the system's mode";
  LoadConfig("HAKMEM_HUGE_PAGES=0");
  hak_whale* whale = Acquire(4 * kMiB);
  EXPECT_EQ(hak_os_read_counters().advise_calls, before + 1);
  ASSERT_TRUE(hak_whale_cache_resize(whale, 8 * kMiB));
  Release(whale);
  EXPECT_EQ(hak_os_read_counters().advise_calls, before + 1);
  hak_whale_cache_purge(0, 0);
  hak_os_fake_fail_from(HAK_OS_FAKE_MADVISE, 1, EINVAL); /* a kernel without huge pages */
  whale = Acquire(4 * kMiB);
  ASSERT_NE(whale, nullptr);
  Release(whale);
}

// Every attempt to grow in place is refused, moves are not.
uint64_t mremaps_seen;
void RefuseGrowthInPlace(hak_os_fake_call call, void* base, size_t size_bytes) {
  NoteMetadata(call, base, size_bytes);
  if (call == HAK_OS_FAKE_MREMAP && mremaps_seen++ == 0) hak_os_fake_fail_nth(HAK_OS_FAKE_MREMAP, 1, ENOMEM);
}

TEST_F(WhaleCache, MovesWithItsPagesWhereItCannotGrow) {
  hak_whale* whale = Acquire(4 * kMiB);
  char* old_base = whale->base;
  Fill(old_base, 4 * kMiB);
  mremaps_seen = 0;
  hak_os_fake_set_observer(RefuseGrowthInPlace);
  const uint64_t moved = Figures().moved;
  ASSERT_TRUE(hak_whale_cache_resize(whale, 8 * kMiB));
  EXPECT_NE(whale->base, old_base);
  const size_t ample = 9 * kMiB - kUnit;
  EXPECT_EQ(whale->size_bytes, ample) << "an eighth more for the next time";
  EXPECT_EQ(Figures().live_bytes, ample);
  EXPECT_EQ(Figures().moved, moved + 1);
  EXPECT_FALSE(hak_os_fake_is_mapped(old_base, kUnit));
  EXPECT_EQ(hak_registry_word(old_base), 0u);
  EXPECT_EQ(hak_registry_word(whale->base), uint64_t{HAK_REGISTRY_WHALE});
  EXPECT_EQ(hak_registry_owner(whale->base), whale);
  EXPECT_TRUE(IsAll(whale->base, 4 * kMiB, 0x5a));
  EXPECT_TRUE(IsAll(whale->base + 4 * kMiB, ample - 4 * kMiB, 0));
  Fill(whale->base, ample);
  ASSERT_TRUE(hak_whale_cache_resize(whale, 8 * kMiB + kUnit)) << "a small step up";
  EXPECT_EQ(whale->size_bytes, ample) << "is served by the room there is, which stays";
  Release(whale);
}

TEST_F(WhaleCache, ShrinksByMoreThanAnEighthOnly) {
  hak_whale* whale = Acquire(16 * kUnit);
  Fill(whale->base, 16 * kUnit);
  char* base = whale->base;
  EXPECT_TRUE(hak_whale_cache_resize(whale, 14 * kUnit));
  EXPECT_EQ(whale->size_bytes, 16 * kUnit) << "not worth a call";
  EXPECT_TRUE(hak_whale_cache_resize(whale, 16 * kUnit));
  EXPECT_TRUE(hak_whale_cache_resize(whale, 13 * kUnit - 5));
  EXPECT_EQ(whale->size_bytes, 13 * kUnit);
  EXPECT_FALSE(hak_os_fake_is_mapped(base + 13 * kUnit, 1));
  EXPECT_EQ(whale->base, base);
  EXPECT_TRUE(IsAll(base, 13 * kUnit, 0x5a));
  EXPECT_TRUE(hak_whale_cache_resize(whale, 0));
  EXPECT_EQ(whale->size_bytes, kUnit);
  EXPECT_EQ(Figures().live_bytes, kUnit);
  Release(whale);
}

// --- refusals ---

TEST_F(WhaleCache, RefusedMremapLeavesTheWhaleAsItWas) {
  hak_whale* whale = Acquire(4 * kMiB);
  char* base = whale->base;
  Fill(base, 4 * kMiB);
  const uint64_t mapped = hak_os_fake_mapped_bytes();
  hak_os_fake_fail_from(HAK_OS_FAKE_MREMAP, 1, EPERM);
  EXPECT_FALSE(hak_whale_cache_resize(whale, 8 * kMiB));
  EXPECT_EQ(hak_os_fake_failures(HAK_OS_FAKE_MREMAP), 3u) << "in place, with room to spare, without";
  EXPECT_EQ(whale->base, base);
  EXPECT_EQ(whale->size_bytes, 4 * kMiB);
  EXPECT_EQ(hak_registry_word(base), uint64_t{HAK_REGISTRY_WHALE});
  EXPECT_EQ(hak_registry_owner(base), whale);
  EXPECT_TRUE(IsAll(base, 4 * kMiB, 0x5a));
  EXPECT_EQ(hak_os_fake_mapped_bytes(), mapped) << "the targets are given back";
  hak_os_fake_fail_never(HAK_OS_FAKE_MREMAP);
  EXPECT_TRUE(hak_whale_cache_resize(whale, 8 * kMiB));
  EXPECT_TRUE(IsAll(whale->base, 4 * kMiB, 0x5a));
  Release(whale);
}

TEST_F(WhaleCache, NoAddressSpaceToMoveToLeavesTheWhaleAsItWas) {
  hak_whale* whale = Acquire(4 * kMiB);
  Fill(whale->base, 4 * kMiB);
  hak_os_fake_fail_nth(HAK_OS_FAKE_MREMAP, 1, ENOMEM); /* in place */
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  EXPECT_FALSE(hak_whale_cache_resize(whale, 8 * kMiB));
  EXPECT_EQ(whale->size_bytes, 4 * kMiB);
  EXPECT_TRUE(IsAll(whale->base, 4 * kMiB, 0x5a));
  Release(whale);
}

TEST_F(WhaleCache, TheMoveSettlesForLessNearTheLimit) {
  hak_whale* whale = Acquire(4 * kMiB);
  Fill(whale->base, 4 * kMiB);
  hak_os_fake_fail_nth(HAK_OS_FAKE_MREMAP, 1, ENOMEM);                        /* in place */
  hak_os_fake_set_limit_bytes(hak_os_fake_mapped_bytes() + 8 * kMiB + kUnit); /* for 8, not for 9 */
  EXPECT_TRUE(hak_whale_cache_resize(whale, 8 * kMiB));
  EXPECT_EQ(whale->size_bytes, 8 * kMiB);
  EXPECT_TRUE(IsAll(whale->base, 4 * kMiB, 0x5a));
  hak_os_fake_set_limit_bytes(0);
  Release(whale);
}

TEST_F(WhaleCache, RefusedCutLeavesTheWhaleLonger) {
  hak_whale* whale = Acquire(4 * kMiB);
  hak_os_fake_fail_from(HAK_OS_FAKE_MUNMAP, 1, ENOMEM);
  EXPECT_TRUE(hak_whale_cache_resize(whale, kMiB)) << "shrinking always succeeds";
  EXPECT_EQ(whale->size_bytes, 4 * kMiB);
  EXPECT_EQ(Figures().live_bytes, 4 * kMiB);
  hak_os_fake_fail_never(HAK_OS_FAKE_MUNMAP);
  EXPECT_TRUE(hak_whale_cache_resize(whale, kMiB));
  EXPECT_EQ(whale->size_bytes, kMiB);
  Release(whale);
}

TEST_F(WhaleCache, RefusedMunmapKeepsTheRangeWithoutItsPages) {
  LoadConfig("HAKMEM_WHALE_CACHE_BYTES=0");
  hak_whale* whale = Acquire(4 * kMiB);
  char* base = whale->base;
  Fill(base, 4 * kMiB);
  hak_os_fake_fail_from(HAK_OS_FAKE_MUNMAP, 1, ENOMEM);
  Release(whale, 1000);
  EXPECT_EQ(Figures().cached_bytes, 4 * kMiB);
  EXPECT_EQ(hak_registry_word(base), 0u);
  EXPECT_TRUE(IsAll(base, 4 * kMiB, 0)) << "purged";
  EXPECT_EQ(hak_whale_cache_purge(9999, 0), 0u);
  whale = Acquire(4 * kMiB);
  EXPECT_EQ(whale->base, base) << "reused";
  Release(whale);
  hak_os_fake_fail_never(HAK_OS_FAKE_MUNMAP);
  EXPECT_EQ(hak_whale_cache_purge(0, 0), 4 * kMiB) << "tried again";
}

TEST_F(WhaleCache, EachMunmapOfAPurgeRefused) {
  for (uint64_t n = 1; n <= 3; n++) {
    Cache({kMiB, kMiB, kMiB});
    hak_os_fake_fail_nth(HAK_OS_FAKE_MUNMAP, n, ENOMEM);
    EXPECT_EQ(hak_whale_cache_purge(0, 0), (n - 1) * kMiB);
    EXPECT_EQ(Figures().cached, 4 - n);
    EXPECT_EQ(hak_whale_cache_purge(0, 0), (4 - n) * kMiB);
  }
}

TEST_F(WhaleCache, NoMemoryThenRetry) {
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  EXPECT_EQ(Acquire(2 * kMiB), nullptr);
  EXPECT_EQ(Figures().live, 0u);
  hak_os_fake_fail_never(HAK_OS_FAKE_MMAP);
  hak_whale* whale = Acquire(2 * kMiB);
  ASSERT_NE(whale, nullptr);
  Release(whale);
}

TEST_F(WhaleCache, WhatIsCachedMakesRoomForWhatDoesNotFit) {
  Cache({4 * kMiB, 4 * kMiB});
  hak_os_fake_set_limit_bytes(hak_os_fake_mapped_bytes());
  bool zeroed = false;
  hak_whale* whale = hak_whale_cache_acquire(8 * kMiB, 1, &zeroed);
  ASSERT_NE(whale, nullptr);
  EXPECT_TRUE(zeroed);
  EXPECT_TRUE(IsAll(whale->base, 8 * kMiB, 0));
  EXPECT_EQ(Figures().cached, 0u);
  EXPECT_EQ(Acquire(kMiB), nullptr) << "nothing left to give";
  hak_os_fake_set_limit_bytes(0);
  Release(whale);
}

// Each call that a life with every kind of act makes, refused in turn.
TEST_F(WhaleCache, EachCallOfALifeRefused) {
  LoadConfig("HAKMEM_WHALE_CACHE_BYTES=4m");
  for (const hak_os_fake_call call : {HAK_OS_FAKE_MMAP, HAK_OS_FAKE_MUNMAP, HAK_OS_FAKE_MADVISE, HAK_OS_FAKE_MREMAP}) {
    for (uint64_t nth = 1; nth <= 10; nth++) {
      hak_os_fake_fail_nth(call, nth, ENOMEM);
      hak_whale* whale = Acquire(12 * kUnit);
      if (whale == nullptr) whale = Acquire(12 * kUnit);
      ASSERT_NE(whale, nullptr);
      Fill(whale->base, 12 * kUnit);
      const bool grown = hak_whale_cache_resize(whale, 24 * kUnit);
      ASSERT_TRUE(grown || hak_whale_cache_resize(whale, 24 * kUnit)) << hak_os_fake_call_name(call) << " " << nth;
      ASSERT_TRUE(IsAll(whale->base, 12 * kUnit, 0x5a)) << hak_os_fake_call_name(call) << " " << nth;
      ASSERT_TRUE(hak_whale_cache_resize(whale, 16 * kUnit));
      ASSERT_TRUE(IsAll(whale->base, 12 * kUnit, 0x5a)) << hak_os_fake_call_name(call) << " " << nth;
      Release(whale);
      hak_os_fake_fail_never(call);
      hak_whale_cache_purge(0, 0);
      /* What an aligned mapping could not cut off, or a target that could not be given back, is lost. */
      const uint64_t known = hak_registry_leaf_bytes() + metadata_bytes;
      ASSERT_TRUE(call == HAK_OS_FAKE_MUNMAP || hak_os_fake_mapped_bytes() == known) << nth;
      metadata_bytes += hak_os_fake_mapped_bytes() - known; /* known from now on */
      ASSERT_EQ(Figures().cached, 0u);
    }
  }
}

// --- threads ---

TEST_F(WhaleCache, ThreadsShareNoWhale) {
  LoadConfig("HAKMEM_WHALE_CACHE_BYTES=4m");
  std::atomic<int> broken{0};
  std::vector<std::thread> threads;
  for (uint64_t t = 1; t <= 3; t++) {
    threads.emplace_back([t, &broken] {
      std::mt19937 random(static_cast<uint32_t>(t));
      std::vector<std::pair<hak_whale*, uint64_t>> held;
      const auto tag_of = [](const hak_whale* whale) {
        hak_unpoison(whale->base, sizeof(uint64_t));
        return reinterpret_cast<uint64_t*>(whale->base);
      };
      for (uint64_t i = 0; i < 1500; i++) {
        if (held.size() < 4 && random() % 2 == 0) {
          hak_whale* whale = Acquire((1 + random() % 12) * kUnit);
          if (whale == nullptr) continue;
          *tag_of(whale) = t << 32 | i;
          held.emplace_back(whale, t << 32 | i);
        } else if (!held.empty()) {
          std::swap(held[random() % held.size()], held.back());
          auto [whale, tag] = held.back();
          if (random() % 3 == 0) hak_whale_cache_resize(whale, (1 + random() % 20) * kUnit);
          if (*tag_of(whale) != tag || hak_registry_owner(whale->base) != whale) broken++;
          if (!hak_whale_cache_holds(whale->base)) broken++;
          if (random() % 2 == 0) continue;
          held.pop_back();
          Release(whale, i);
        }
        if (random() % 64 == 0) hak_whale_cache_purge(i, random() % 2 * 100);
      }
      for (auto [whale, tag] : held) {
        if (*tag_of(whale) != tag) broken++;
        Release(whale);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(broken.load(), 0);
  EXPECT_LE(Figures().cached_bytes, 4 * kMiB);
  errno = kErrno;
}

TEST_F(WhaleCache, APrefaultedWhaleIsThereAndZero) {
  if (getenv("HAKMEM_TEST_EMULATOR") != nullptr) GTEST_SKIP() << "under qemu-user: it does not populate memory";
  for (const bool prefaults : {false, true}) {
    ASSERT_EQ(hak_config_set("prefault", prefaults ? "1" : "0"), 0);
    bool zeroed = false;
    hak_whale* whale = hak_whale_cache_acquire(3 * kMiB, 1, &zeroed);
    EXPECT_TRUE(zeroed);
    std::vector<unsigned char> pages(3 * kMiB / hak_os_page_bytes());
    ASSERT_EQ(mincore(whale->base, 3 * kMiB, pages.data()), 0);
    const auto resident = std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return (page & 1) != 0; });
    EXPECT_EQ(resident, prefaults ? static_cast<ptrdiff_t>(pages.size()) : 0);
    EXPECT_TRUE(IsAll(whale->base, 3 * kMiB, 0));
    Release(whale);
    hak_whale_cache_purge(0, 0);
  }
}

}  // namespace
