// The parts behind the pool: descriptors by id, the tier index, the set of dirty SuperSlabs.
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "hakmem/base/bits.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/shared_pool/superslab_inl.h"

#include "gtest/gtest.h"

namespace {

constexpr uint32_t kNone = HAK_SUPERSLAB_IDS_MAX;
/* More than a chunk of ids, a word and a summary word's worth of them. */
constexpr uint32_t kSuperSlabs = HAK_SUPERSLAB_IDS_PER_CHUNK + 70;

// SuperSlabs held whole: they are in no tier, and nobody else looks at them.
class Tiers : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (uint32_t i = 0; i < kSuperSlabs; i++) superslabs_->push_back(hak_superslab_map());
  }
  static void TearDownTestSuite() {
    for (hak_superslab* superslab : *superslabs_) EXPECT_TRUE(hak_superslab_unmap(superslab));
    EXPECT_EQ(hak_shared_pool_read_figures().superslabs, 0u);
  }

  void TearDown() override {
    for (hak_superslab* superslab : *superslabs_) SetFree(superslab, 0);
    while (hak_tiers_take_dirty(0) != kNone) continue;
    EXPECT_EQ(Listed(HAK_TIER_HOT), Ids());
    EXPECT_EQ(Listed(HAK_TIER_DRAINING), Ids());
  }

  using Ids = std::vector<uint32_t>;

  static hak_superslab* At(uint32_t id) { return hak_superslab_by_id(id); }

  static void SetFree(hak_superslab* superslab, uint32_t units) {
    hak_u32_store_seq(&superslab->free_units, units);
    hak_tiers_refresh(superslab);
  }

  static Ids Listed(hak_tier tier, bool dirty = false) {
    Ids out;
    for (uint32_t id = hak_tiers_next(tier, dirty, 0); id != kNone; id = hak_tiers_next(tier, dirty, id + 1))
      out.push_back(id);
    EXPECT_EQ(ListedByWords(tier, dirty), out);
    return out;
  }

  static Ids ListedByWords(hak_tier tier, bool dirty) {
    Ids out;
    uint32_t word = 0;
    for (uint64_t bits; (bits = hak_tiers_next_word(tier, dirty, &word)) != 0; word++) {
      for (; bits != 0; bits &= bits - 1) out.push_back(word * 64 + hak_bits_lowest(bits));
    }
    return out;
  }

  static std::vector<hak_superslab*>* superslabs_;
};
std::vector<hak_superslab*>* Tiers::superslabs_ = new std::vector<hak_superslab*>;

TEST_F(Tiers, DescriptorsAreFoundByTheirIds) {
  std::set<char*> bases;
  ASSERT_EQ(hak_superslab_id_end(), kSuperSlabs);
  for (uint32_t id = 0; id < kSuperSlabs; id++) {
    ASSERT_NE(At(id), nullptr) << id;
    ASSERT_EQ(At(id)->id, id);
    ASSERT_EQ(hak_u32_load_relaxed(&At(id)->in_use), 1u);
    ASSERT_TRUE(bases.insert(At(id)->base).second);
    for (uint32_t unit = 0; unit < HAK_SUPERSLAB_UNITS; unit++) {
      const hak_slab& slab = At(id)->slabs[unit];
      ASSERT_EQ(slab.base, At(id)->base + unit * HAK_UNIT_BYTES);
      ASSERT_EQ(slab.superslab, At(id));
      ASSERT_EQ(slab.first_unit, unit);
    }
  }
  EXPECT_EQ(At(kSuperSlabs), nullptr);
  EXPECT_EQ(At(kNone - 1), nullptr);
}

TEST_F(Tiers, ADescriptorIsReusedWithItsId) {
  hak_superslab* superslab = superslabs_->back();
  const uint32_t id = superslab->id;
  ASSERT_TRUE(hak_superslab_unmap(superslab));
  EXPECT_EQ(hak_u32_load_relaxed(&superslab->in_use), 0u);
  EXPECT_EQ(At(id), superslab) << "still to be found";
  EXPECT_EQ(hak_superslab_map(), superslab);
  EXPECT_EQ(superslab->id, id);
  EXPECT_EQ(hak_superslab_id_end(), kSuperSlabs);
}

TEST_F(Tiers, TheTierFollowsTheNumberOfFreeUnits) {
  for (uint32_t count = 0; count <= HAK_SUPERSLAB_UNITS; count++) {
    SetFree(At(7), static_cast<uint32_t>(hak_bits_low_mask(count)));
    EXPECT_EQ(Listed(HAK_TIER_HOT), count >= 1 && count <= 15 ? Ids({7}) : Ids()) << count;
    EXPECT_EQ(Listed(HAK_TIER_DRAINING), count >= 16 ? Ids({7}) : Ids()) << count;
  }
  SetFree(At(7), 0x80000000);
  EXPECT_EQ(Listed(HAK_TIER_HOT), Ids({7}));
}

TEST_F(Tiers, NextGoesUpThroughWordsAndSummaries) {
  const Ids ids = {
      0, 1, 63, 64, 127, 128, 200, HAK_SUPERSLAB_IDS_PER_CHUNK - 1, HAK_SUPERSLAB_IDS_PER_CHUNK, kSuperSlabs - 1};
  for (const uint32_t id : ids) SetFree(At(id), 1);
  EXPECT_EQ(Listed(HAK_TIER_HOT), ids);
  uint32_t expected = 0;
  for (uint32_t id = 0; id < kSuperSlabs; id++) {
    if (id > ids[expected]) expected++;
    ASSERT_EQ(hak_tiers_next(HAK_TIER_HOT, false, id), ids[expected]) << id;
    ASSERT_EQ(hak_tiers_next(HAK_TIER_DRAINING, false, id), kNone) << id;
  }
  EXPECT_EQ(hak_tiers_next(HAK_TIER_HOT, false, kSuperSlabs), kNone);
  EXPECT_EQ(hak_tiers_next(HAK_TIER_HOT, false, kNone), kNone);
  SetFree(At(64), 0);
  EXPECT_EQ(hak_tiers_next(HAK_TIER_HOT, false, 64), 127u);
}

TEST_F(Tiers, DirtyOnesAreTakenOnceInOrder) {
  EXPECT_EQ(hak_tiers_take_dirty(0), kNone);
  for (const uint32_t id : {500u, 3u, 64u, 3u}) hak_tiers_mark_dirty(id);
  EXPECT_EQ(hak_tiers_take_dirty(4), 64u);
  EXPECT_EQ(hak_tiers_take_dirty(0), 3u);
  EXPECT_EQ(hak_tiers_take_dirty(0), 500u);
  EXPECT_EQ(hak_tiers_take_dirty(0), kNone);
  hak_tiers_mark_dirty(3);
  EXPECT_EQ(hak_tiers_take_dirty(4), kNone);
  EXPECT_EQ(hak_tiers_take_dirty(3), 3u);
}

TEST_F(Tiers, NextOfThoseThatAreDirty) {
  for (const uint32_t id : {3u, 64u, 70u, 130u}) SetFree(At(id), 1);
  for (const uint32_t id : {2u, 70u, 71u, 129u, 500u}) hak_tiers_mark_dirty(id);
  EXPECT_EQ(hak_tiers_next(HAK_TIER_HOT, true, 0), 70u);
  EXPECT_EQ(hak_tiers_next(HAK_TIER_HOT, true, 71), kNone);
  EXPECT_EQ(hak_tiers_next(HAK_TIER_HOT, false, 71), 130u);
  EXPECT_EQ(hak_tiers_next(HAK_TIER_DRAINING, true, 0), kNone);
  EXPECT_EQ(Listed(HAK_TIER_HOT, true), Ids({70}));
}

TEST_F(Tiers, AMarkThatIsStaleGoes) {
  hak_superslab* superslab = At(5);
  hak_u32_store_relaxed(&superslab->dirty_units, 6);
  hak_tiers_mark_dirty(5);
  SetFree(superslab, 1 | 4);
  hak_tiers_check_dirty(5);
  EXPECT_EQ(hak_tiers_next(HAK_TIER_HOT, true, 0), 5u) << "a dirty unit is free";
  SetFree(superslab, 1);
  hak_tiers_check_dirty(5);
  EXPECT_EQ(hak_tiers_next(HAK_TIER_HOT, true, 0), kNone);
  hak_tiers_check_dirty(5);         /* has none any more */
  hak_tiers_check_dirty(kNone - 1); /* no such SuperSlab */
  hak_u32_store_relaxed(&superslab->dirty_units, 0);
}

// Threads change the masks of the same few SuperSlabs; when all have returned the index agrees with every mask.
TEST_F(Tiers, TheIndexEndsUpRightHoweverThreadsInterleave) {
  constexpr uint32_t kIds = 3;
  for (int round = 0; round < 300; round++) {
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < 3; t++) {
      threads.emplace_back([t, round] {
        uint32_t state = static_cast<uint32_t>(round) * 31 + t + 1;
        for (int i = 0; i < 30; i++) {
          state = state * 1664525 + 1013904223;
          hak_superslab* superslab = At((state >> 8) % kIds);
          const uint32_t mask = state >> 16 & 1 ? 0x3ffu << t * 10 : 1u << t;
          if ((state >> 20 & 1) != 0) {
            hak_u32_fetch_or_seq(&superslab->free_units, mask);
          } else {
            hak_u32_fetch_and_seq(&superslab->free_units, ~mask);
          }
          hak_tiers_refresh(superslab);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    Ids hot, draining;
    for (uint32_t id = 0; id < kIds; id++) {
      const uint32_t count = hak_bits_count(hak_u32_load_relaxed(&At(id)->free_units));
      if (count >= 16) draining.push_back(id);
      if (count >= 1 && count < 16) hot.push_back(id);
    }
    ASSERT_EQ(Listed(HAK_TIER_HOT), hot) << round;
    ASSERT_EQ(Listed(HAK_TIER_DRAINING), draining) << round;
  }
}

// Every mark is taken by exactly one of the purging threads.
TEST_F(Tiers, MarksAreNeverLostAmongThreads) {
  std::atomic<uint64_t> taken{0};
  std::atomic<int> markers{2};
  std::vector<std::thread> threads;
  constexpr uint64_t kMarks = 20000;
  std::vector<std::atomic<bool>> is_marked(kSuperSlabs);
  std::atomic<uint64_t> marked{0};
  for (uint32_t t = 0; t < 2; t++) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < kMarks; i++) {
        const uint32_t id = static_cast<uint32_t>(i * 37 % kSuperSlabs) / 2 * 2 + t; /* ids of its own */
        if (id >= kSuperSlabs || is_marked[id].load()) continue;
        is_marked[id].store(true);
        marked++;
        hak_tiers_mark_dirty(id);
      }
      markers--;
    });
    threads.emplace_back([&] {
      for (bool last = false; !last;) {
        last = markers == 0;
        for (uint32_t id = hak_tiers_take_dirty(0); id != kNone; id = hak_tiers_take_dirty(id + 1)) {
          if (is_marked[id].exchange(false)) taken++;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken.load(), marked.load());
  EXPECT_GT(marked.load(), 0u);
}

}  // namespace
