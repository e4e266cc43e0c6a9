// Free memory that is too much goes back with the release that makes it so: surplus.h.
#include <errno.h>

#include <random>

#include "hakmem/shared_pool/superslab_inl.h"
#include "hakmem/shared_pool/test_pool.h"
#include "hakmem/surplus/surplus.h"

namespace {

constexpr uint64_t kAllowedUnits = 4;

uint64_t GivenUnits() { return hak_shared_pool_purged_bytes() / kUnit; }

class PoolSurplus : public AnchoredPoolFixture {
 protected:
  void SetUp() override {
    AnchoredPoolFixture::SetUp();
    hak_shared_pool_age(HAK_SURPLUS_AGES_TO_FORGET); /* what other tests taught */
    hak_config_set_for_test(HAK_OPTION_SURPLUS_BYTES, kAllowedUnits * kUnit);
  }

  // Spans of three units, `count` of them, and back: ten are a SuperSlab.
  void Swing(int count) {
    std::vector<hak_slab*> spans;
    for (int i = 0; i < count; i++) spans.push_back(AcquireSpan(3));
    for (hak_slab* span : spans) hak_shared_pool_release_span(span);
  }

  static void ExpectSumsToBeRight() {
    uint64_t used = 0, dirty = 0;
    for (uint32_t id = 0; id < hak_superslab_id_end(); id++) {
      const hak_superslab* superslab = hak_superslab_by_id(id);
      if (superslab == nullptr || !hak_u32_load_relaxed(&superslab->in_use)) continue;
      uint32_t held = 0; /* by slabs and spans; else a SuperSlab without free units is in the empty cache */
      for (uint32_t heads = hak_u32_load_relaxed(&superslab->heads); heads != 0; heads &= heads - 1) {
        const hak_slab* slab = &superslab->slabs[__builtin_ctz(heads)];
        held |= ((uint32_t{1} << slab->units) - 1) << slab->first_unit;
      }
      used += static_cast<uint64_t>(__builtin_popcount(held));
      dirty += static_cast<uint64_t>(__builtin_popcount(hak_u32_load_relaxed(&superslab->dirty_units) & ~held));
    }
    const hak_superslab_sums sums = hak_superslab_read_sums();
    ASSERT_EQ(sums.used_units, used);
    ASSERT_EQ(sums.dirty_units, dirty);
  }

  // The kernel refuses nothing any more.
  static void Obey() {
    hak_os_fake_reset();
    hak_os_fake_set_observer(NoteMetadataChunk);
  }
};

TEST_F(PoolSurplus, WhatIsTooMuchGoesBackWithTheRelease) {
  std::vector<hak_slab*> spans;
  for (int i = 0; i < 10; i++) spans.push_back(AcquireSpan(3));
  const uint64_t given = GivenUnits();
  hak_shared_pool_release_span(spans[0]);
  EXPECT_EQ(GivenUnits(), given) << "three units are allowed";
  const uint32_t count = hak_shared_pool_surplus_count();
  char* base = spans[1]->base;
  Fill(base, kUnit);
  hak_shared_pool_release_span(spans[1]);
  EXPECT_EQ(GivenUnits(), given + 6) << "more than the four and a sixteenth of 25";
  EXPECT_EQ(Figures().dirty_free_units, 0u);
  EXPECT_NE(hak_shared_pool_surplus_count(), count);
  EXPECT_TRUE(ReadsAsZero(base, kUnit));
  for (int i = 2; i < 10; i++) {
    hak_shared_pool_release_span(spans[static_cast<size_t>(i)]);
    EXPECT_LE(Figures().dirty_free_units, kAllowedUnits + 1) << i;
  }
}

TEST_F(PoolSurplus, WhatIsAskedForAgainStaysFromThenOn) {
  Swing(100);
  const uint64_t once = GivenUnits();
  EXPECT_LE(Figures().dirty_free_units, kAllowedUnits);
  Swing(100);
  Swing(100);
  EXPECT_LE(GivenUnits(), once + 300 / HAK_SURPLUS_USED_SHARE + kAllowedUnits);
  EXPECT_GE(Figures().dirty_free_units + 32 * Figures().empty_superslabs, 200u);
  const uint64_t learnt = GivenUnits();
  for (int i = 0; i < 20; i++) Swing(100);
  EXPECT_EQ(GivenUnits(), learnt);
  hak_shared_pool_age(HAK_SURPLUS_AGES_TO_FORGET);
  Swing(100);
  EXPECT_GE(GivenUnits(), learnt + 200) << "forgotten";
}

TEST_F(PoolSurplus, EmptySuperSlabsGoFirst) {
  LoadConfig("HAKMEM_SUPERSLAB_CACHE=8");
  std::vector<hak_slab*> whole;
  for (int i = 0; i < 4; i++) whole.push_back(AcquireSpan(31)); /* the first beside the anchor */
  char* base = whole[1]->base;
  hak_shared_pool_release_span(whole[1]);
  hak_shared_pool_release_span(whole[2]);
  EXPECT_EQ(Figures().empty_superslabs, 2u);
  hak_config_set_for_test(HAK_OPTION_SURPLUS_BYTES, 70 * kUnit);
  hak_shared_pool_release_span(whole[3]);
  EXPECT_FALSE(hak_os_fake_is_mapped(base, kSuperSlab)) << "the oldest";
  EXPECT_EQ(Figures().empty_superslabs, 2u);
  hak_shared_pool_release_span(whole[0]);
}

// Where the kernel refuses, releases do not try again until time has passed, caches are left alone, and nothing is lost.
TEST_F(PoolSurplus, WhatIsRefusedStays) {
  std::vector<hak_slab*> spans;
  for (int i = 0; i < 10; i++) spans.push_back(AcquireSpan(3));
  hak_os_fake_fail_from(HAK_OS_FAKE_MADVISE, 1, ENOMEM);
  const uint64_t given = GivenUnits();
  const uint32_t count = hak_shared_pool_surplus_count();
  hak_shared_pool_release_span(spans[0]);
  hak_shared_pool_release_span(spans[1]);
  const uint64_t calls = hak_os_fake_calls(HAK_OS_FAKE_MADVISE);
  EXPECT_NE(calls, 0u);
  for (size_t i = 2; i < 8; i++) hak_shared_pool_release_span(spans[i]);
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MADVISE), calls);
  EXPECT_EQ(hak_shared_pool_surplus_count(), count);
  EXPECT_EQ(GivenUnits(), given);
  EXPECT_EQ(Figures().dirty_free_units, 24u);
  Obey();
  hak_shared_pool_age(1);
  hak_shared_pool_release_span(spans[8]);
  EXPECT_EQ(Figures().dirty_free_units, 0u);
  EXPECT_EQ(GivenUnits(), given + 27);
  hak_shared_pool_release_span(spans[9]);
}

// Large spans: each release brings nearly a SuperSlab, and lowers what may lie idle.
TEST_F(PoolSurplus, LargeSpansGoBackAsFastAsTheyAreFreed) {
  std::vector<hak_slab*> spans;
  for (int i = 0; i < 80; i++) spans.push_back(AcquireSpan(i % 2 == 0 ? 30 : 17));
  for (hak_slab* span : spans) {
    hak_shared_pool_release_span(span);
    const hak_superslab_sums sums = hak_superslab_read_sums();
    EXPECT_LE(sums.dirty_units, kAllowedUnits + sums.used_units / HAK_SURPLUS_USED_SHARE);
  }
}

TEST_F(PoolSurplus, WhatIsCutOffASpanCounts) {
  std::vector<hak_slab*> spans;
  for (int i = 0; i < 20; i++) spans.push_back(AcquireSpan(30));
  for (hak_slab* span : spans) ASSERT_TRUE(hak_shared_pool_resize_span(span, 2));
  EXPECT_LE(Figures().dirty_free_units, kAllowedUnits + 3);
  for (hak_slab* span : spans) hak_shared_pool_release_span(span);
}

// An empty SuperSlab whose units went back before counts for what it still had.
TEST_F(PoolSurplus, NothingIsGivenTwice) {
  for (int i = 0; i < 3; i++) Swing(100); /* 19 MiB at most */
  std::vector<hak_slab*> spans;
  for (int i = 0; i < 100; i++) spans.push_back(AcquireSpan(30));
  for (hak_slab* span : spans) hak_shared_pool_release_span(span);
  const hak_superslab_sums sums = hak_superslab_read_sums();
  EXPECT_LE(sums.dirty_units, 300u + kAllowedUnits);
}

TEST_F(PoolSurplus, SumsAreRightWhateverHappens) {
  std::mt19937 random(5);
  std::vector<hak_slab*> spans, slabs;
  for (int step = 0; step < 20000; step++) {
    const uint32_t act = random() % 16;
    if (random() % 512 == 0) Obey();
    if (random() % 512 == 0) {
      hak_os_fake_fail_from(random() % 2 == 0 ? HAK_OS_FAKE_MADVISE : HAK_OS_FAKE_MMAP, 1 + random() % 3, ENOMEM);
    }
    const bool grows = step / 1000 % 2 == 0;
    if (act < (grows ? 7u : 3u)) {
      if (hak_slab* span = AcquireSpan(1 + random() % 31)) spans.push_back(span);
    } else if (act < 10 && !spans.empty()) {
      std::swap(spans[random() % spans.size()], spans.back());
      const bool is_refused = random() % 16 == 0; /* to unmap a SuperSlab */
      if (is_refused) hak_os_fake_fail_from(HAK_OS_FAKE_MUNMAP, 1, ENOMEM);
      hak_shared_pool_release_span(spans.back());
      if (is_refused) Obey();
      spans.pop_back();
    } else if (act < 12) {
      if (hak_slab* slab = Acquire(random() % HAK_SIZE_CLASS_COUNT)) slabs.push_back(slab);
    } else if (act < 14 && !slabs.empty()) {
      Release(slabs.back());
      slabs.pop_back();
    } else if (act == 14 && !spans.empty()) {
      hak_shared_pool_resize_span(spans[random() % spans.size()], 1 + random() % 31);
    } else if (random() % 64 == 0) {
      hak_shared_pool_purge(kStartMs, 0);
    }
    ExpectSumsToBeRight();
    if (HasFatalFailure()) break;
  }
  Obey();
  for (hak_slab* span : spans) hak_shared_pool_release_span(span);
  for (hak_slab* slab : slabs) Release(slab);
  ExpectSumsToBeRight();
}

}  // namespace
