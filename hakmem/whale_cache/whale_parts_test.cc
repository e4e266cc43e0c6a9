// Cached whales that are cut, and joined again.
#include <errno.h>

#include <vector>

#include "hakmem/config/config.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/registry/registry.h"
#include "hakmem/whale_cache/test_whales.h"
#include "hakmem/whale_cache/whale_cache.h"

#include "gtest/gtest.h"

namespace {

TEST_F(WhaleCache, WhatIsNotNeededOfACachedOneStaysCached) {
  const std::vector<char*> bases = Cache({25 * kUnit});
  hak_whale* first = Acquire(19 * kUnit); /* 23.75 at most */
  EXPECT_EQ(first->base, bases[0]);
  EXPECT_EQ(first->size_bytes, 19 * kUnit);
  EXPECT_EQ(Figures().cached_bytes, 6 * kUnit);
  hak_whale* second = Acquire(2 * kUnit);
  EXPECT_EQ(second->base, bases[0] + 19 * kUnit);
  EXPECT_EQ(Figures().cached_bytes, 4 * kUnit);
  const uint64_t unmapped = hak_os_fake_calls(HAK_OS_FAKE_MUNMAP);
  for (hak_whale* whale : {first, second}) Release(whale);
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MUNMAP), unmapped);
  EXPECT_EQ(Figures().cached, 1u);
  EXPECT_EQ(Figures().cached_bytes, 25 * kUnit);
}

// The registry has a leaf for 4 GiB, where a whale has begun.
class PartAcrossLeaves : public WhaleCache {
 protected:
  // Two halves of a cached whale: the second begins with the addresses of another leaf, which no whale has begun in.
  void CacheAcross(uintptr_t leaves_away) {
    hak_whale* any = Acquire(kUnit);
    const uintptr_t boundary = ((reinterpret_cast<uintptr_t>(any->base) >> 32) - leaves_away) << 32;
    Release(any);
    hak_os_fake_spread(boundary - 2 * kMiB, size_t{1} << 32);
    whole_ = Acquire(4 * kMiB);
    hak_os_fake_spread(0, 0);
    ASSERT_NE(whole_, nullptr);
    second_ = whole_->base + 2 * kMiB;
    ASSERT_EQ(reinterpret_cast<uintptr_t>(second_) % (uintptr_t{1} << 32), 0u);
    Release(whole_);
    first_ = Acquire(2 * kMiB);
    ASSERT_EQ(first_->base + 2 * kMiB, second_);
  }

  hak_whale* whole_ = nullptr;
  hak_whale* first_ = nullptr;
  char* second_ = nullptr;
};

TEST_F(PartAcrossLeaves, IsRegistered) {
  CacheAcross(64);
  hak_whale* second = Acquire(2 * kMiB);
  EXPECT_EQ(second->base, second_);
  EXPECT_EQ(hak_registry_word(second_), uint64_t{HAK_REGISTRY_WHALE});
  EXPECT_EQ(hak_registry_owner(second_), second);
  for (hak_whale* whale : {first_, second}) Release(whale);
}

TEST_F(PartAcrossLeaves, IsNotUsedWithoutMemoryForTheLeaf) {
  CacheAcross(128);
  const uint64_t from_cache = Figures().from_cache;
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  EXPECT_EQ(Acquire(2 * kMiB), nullptr);
  EXPECT_EQ(Figures().from_cache, from_cache);
  EXPECT_EQ(Figures().live, 1u);
  EXPECT_EQ(Figures().cached, 0u) << "what is cached goes for a last try";
  EXPECT_FALSE(IsCached(second_));
  Release(first_);
}

TEST_F(WhaleCache, NeighboursInTheCacheAreOneWhateverTheirOrder) {
  for (const std::vector<int>& order :
       {std::vector<int>{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}) {
    const std::vector<char*> bases = Cache({6 * kUnit});
    std::vector<hak_whale*> parts;
    for (const size_t units : {1, 2, 3}) parts.push_back(Acquire(units * kUnit));
    for (int i = 0; i < 3; i++) Fill(parts[i]->base, parts[i]->size_bytes, static_cast<char>('a' + i));
    for (const int i : order) Release(parts[i], 7);
    EXPECT_EQ(Figures().cached, 1u);
    hak_whale* whole = Acquire(6 * kUnit);
    EXPECT_EQ(whole->base, bases[0]);
    EXPECT_EQ(whole->size_bytes, 6 * kUnit);
    EXPECT_TRUE(IsAll(whole->base, kUnit, 'a') && IsAll(whole->base + 3 * kUnit, 3 * kUnit, 'c'));
    Release(whole);
    hak_whale_cache_purge(0, 0);
    EXPECT_FALSE(IsCached(bases[0]));
  }
}

TEST_F(WhaleCache, WhatIsUsedOverAndOverKeepsNothingYoung) {
  const std::vector<char*> bases = Cache({40 * kUnit}); /* at 0 ms */
  for (uint64_t now_ms = 100; now_ms < 500; now_ms += 100) Release(Acquire(4 * kUnit), now_ms);
  EXPECT_EQ(hak_whale_cache_purge(499, 500), 0u);
  EXPECT_EQ(hak_whale_cache_purge(500, 500), 40 * kUnit) << "the oldest part is that old";
}

TEST_F(WhaleCache, OfAJoinedOneAsMuchGoesAsIsTooMuch) {
  LoadConfig("HAKMEM_WHALE_CACHE_BYTES=8m");
  std::vector<hak_whale*> others;
  for (int i = 0; i < 3; i++) others.push_back(Acquire(2 * kMiB));
  others.push_back(Acquire(kMiB / 2));
  char* base = Cache({2 * kMiB})[0];
  std::vector<hak_whale*> parts;
  for (int i = 0; i < 4; i++) parts.push_back(Acquire(kMiB / 2));
  for (hak_whale* part : parts) Release(part);
  EXPECT_EQ(Figures().cached, 1u);
  for (hak_whale* other : others) Release(other, 1);
  EXPECT_EQ(Figures().cached_bytes, 8 * kMiB);
  EXPECT_TRUE(IsCached(base));
  EXPECT_TRUE(IsCached(base + 3 * kMiB / 2 - kUnit));
  EXPECT_FALSE(IsCached(base + 3 * kMiB / 2));
}

TEST_F(WhaleCache, OfAJoinedOneTheLastUnitGoesWhole) {
  std::vector<hak_whale*> others;
  for (int i = 0; i < 4; i++) others.push_back(Acquire(kUnit));
  char* base = Cache({2 * kUnit})[0];
  hak_whale* parts[] = {Acquire(kUnit), Acquire(kUnit)};
  for (hak_whale* part : parts) Release(part);
  EXPECT_EQ(Figures().cached, 1u);
  hak_config_set_for_test(HAK_OPTION_WHALE_CACHE_BYTES, 5 * kUnit - kUnit / 3);
  for (int i = 0; i < 3; i++) Release(others[i], 1);
  EXPECT_EQ(Figures().cached_bytes, 4 * kUnit);
  EXPECT_TRUE(IsCached(base));
  EXPECT_FALSE(IsCached(base + kUnit));
  Release(others[3], 1);
  EXPECT_EQ(Figures().cached_bytes, 4 * kUnit);
  EXPECT_EQ(Figures().cached, 4u);
  EXPECT_FALSE(IsCached(base));
}

TEST_F(WhaleCache, WhatWasMappedApartStaysApart) {
  /* Neighbours of two mappings cannot grow or move by one call. */
  bool zeroed;
  std::vector<hak_whale*> whales;
  for (int i = 0; i < 16; i++) whales.push_back(hak_whale_cache_acquire(4 * kUnit, 1, &zeroed));
  bool any = false;
  for (const hak_whale* a : whales) {
    for (const hak_whale* b : whales) any = any || a->base + a->size_bytes == b->base;
  }
  if (!any) GTEST_SKIP() << "the kernel put none beside another";
  for (hak_whale* whale : whales) Release(whale);
  EXPECT_EQ(Figures().cached, 16u);
}

TEST_F(WhaleCache, GrowsIntoACachedOneBehindIt) {
  const std::vector<char*> bases = Cache({40 * kUnit});
  hak_whale* whale = Acquire(10 * kUnit);
  Fill(whale->base, 10 * kUnit);
  const uint64_t asked = hak_os_fake_calls(HAK_OS_FAKE_MREMAP);
  const uint64_t resized = Figures().resized_in_place;
  EXPECT_TRUE(hak_whale_cache_resize(whale, 30 * kUnit));
  EXPECT_EQ(Figures().cached_bytes, 10 * kUnit);
  EXPECT_TRUE(hak_whale_cache_resize(whale, 40 * kUnit));
  EXPECT_EQ(whale->base, bases[0]);
  EXPECT_EQ(whale->size_bytes, 40 * kUnit);
  EXPECT_EQ(Figures().cached, 0u);
  EXPECT_EQ(Figures().live_bytes, 40 * kUnit);
  EXPECT_EQ(Figures().resized_in_place, resized + 2);
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MREMAP), asked);
  EXPECT_TRUE(IsAll(whale->base, 10 * kUnit, 0x5a));
  Release(whale);
}

TEST_F(WhaleCache, OfAJoinedOneAsMuchMakesWayAsIsNew) {
  const std::vector<char*> bases = Cache({60 * kMiB});
  std::vector<hak_whale*> parts;
  for (int i = 0; i < 3; i++) parts.push_back(Acquire(20 * kMiB));
  for (hak_whale* part : parts) Release(part);
  EXPECT_EQ(Figures().cached, 1u);
  hak_whale* elsewhere = Acquire(kMiB, size_t{1} << 32); /* nothing cached lies so */
  EXPECT_EQ(Figures().cached_bytes, 59 * kMiB);
  Release(elsewhere);
}

}  // namespace
