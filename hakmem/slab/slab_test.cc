#include "hakmem/slab/slab.h"

#include <string.h>

#include <memory>
#include <random>
#include <set>
#include <vector>

#include "hakmem/base/checks.h"

#include "gtest/gtest.h"

namespace {

constexpr size_t kUnit = HAK_UNIT_BYTES;

// A slab as the shared pool would hand it out. The memory is never touched, so there is none.
class TestSlab {
 public:
  explicit TestSlab(uint32_t size_class, bool zeroed = false) : TestSlab() { Init(size_class, zeroed); }
  TestSlab() {
    memset(&slab_, 0, sizeof slab_);
    slab_.base = reinterpret_cast<char*>(0x7000000000);
    slab_.free_bits = free_bits_;
    slab_.remote_bits = remote_bits_;
  }
  void Init(uint32_t size_class, bool zeroed) { hak_slab_init(&slab_, size_class, zeroed); }

  hak_slab* get() { return &slab_; }
  hak_slab* operator->() { return &slab_; }
  bool IsFree(uint32_t index) const { return (free_bits_[index / 64] >> (index % 64) & 1) != 0; }
  uint64_t& word(uint32_t i) { return free_bits_[i]; }

  /* Index of the first block of a run's word. */
  uint32_t FirstOf(const hak_slab_run& run) { return hak_slab_index(&slab_, run.base); }

 private:
  hak_slab slab_;
  uint64_t free_bits_[HAK_SLAB_WORDS_MAX] = {};
  hak_atomic_u64 remote_bits_[HAK_SLAB_WORDS_MAX] = {};
};

std::vector<uint32_t> BlocksOf(TestSlab& slab, const hak_slab_run& run) {
  std::vector<uint32_t> out;
  for (uint32_t bit = 0; bit < 64; bit++) {
    if ((run.mask >> bit & 1) != 0) out.push_back(slab.FirstOf(run) + bit);
  }
  return out;
}

class SlabOfEachClass : public testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Classes, SlabOfEachClass, testing::Range(0u, uint32_t{HAK_SIZE_CLASS_COUNT}));

TEST_P(SlabOfEachClass, InitMakesEveryBlockFree) {
  const hak_size_class& row = hak_size_class_table[GetParam()];
  TestSlab slab(GetParam());
  EXPECT_EQ(slab->block_bytes, row.block_bytes);
  EXPECT_EQ(slab->blocks, row.blocks);
  EXPECT_EQ(slab->units, row.units);
  EXPECT_EQ(slab->size_class, GetParam());
  EXPECT_EQ(slab->words, (row.blocks + 63) / 64);
  EXPECT_EQ(hak_slab_free_count(slab.get()), row.blocks);
  EXPECT_TRUE(hak_slab_is_empty(slab.get()));
  EXPECT_TRUE(hak_slab_is_valid(slab.get()));
  for (uint32_t i = 0; i < slab->words * 64u; i++) ASSERT_EQ(slab.IsFree(i), i < row.blocks) << i;
}

TEST_P(SlabOfEachClass, IndexAndBlockAreInverse) {
  TestSlab slab(GetParam());
  const uint64_t slab_bytes = slab->units * kUnit;
  for (uint32_t i = 0; i < slab->blocks; i++) {
    char* block = hak_slab_block(slab.get(), i);
    ASSERT_EQ(hak_slab_index(slab.get(), block), i);
    ASSERT_TRUE(hak_slab_is_block(slab.get(), i, block));
    ASSERT_FALSE(hak_slab_is_block(slab.get(), hak_slab_index(slab.get(), block + 1), block + 1));
    ASSERT_FALSE(hak_slab_is_block(slab.get(), hak_slab_index(slab.get(), block + 8), block + 8));
  }
  /* What is left over behind the last block is no block. */
  for (uint64_t at = uint64_t{slab->blocks} * slab->block_bytes; at < slab_bytes; at += 16) {
    const char* ptr = slab->base + at;
    ASSERT_FALSE(hak_slab_is_block(slab.get(), hak_slab_index(slab.get(), ptr), ptr)) << at;
  }
}

TEST_P(SlabOfEachClass, RunsHandOutEachBlockOnceFromTheLowestWordUp) {
  TestSlab slab(GetParam());
  uint32_t next = 0;
  while (hak_slab_free_count(slab.get()) != 0) {
    const hak_slab_run run = hak_slab_take_run(slab.get());
    for (const uint32_t index : BlocksOf(slab, run)) ASSERT_EQ(index, next++);
    ASSERT_EQ(hak_slab_free_count(slab.get()), slab->blocks - next);
    ASSERT_TRUE(hak_slab_is_valid(slab.get()));
  }
  EXPECT_EQ(next, slab->blocks);
}

TEST_P(SlabOfEachClass, GiveTakesBackEveryBlock) {
  TestSlab slab(GetParam());
  while (hak_slab_free_count(slab.get()) != 0) hak_slab_take_run(slab.get());
  for (uint32_t i = slab->blocks; i-- > 0;) {
    EXPECT_FALSE(hak_slab_is_empty(slab.get()));
    ASSERT_TRUE(hak_slab_give(slab.get(), i));
    ASSERT_TRUE(slab.IsFree(i));
    ASSERT_TRUE(hak_slab_is_valid(slab.get()));
  }
  EXPECT_TRUE(hak_slab_is_empty(slab.get()));
  EXPECT_EQ(slab->first_word, 0);
}

// The bitmap against a set of free blocks, through a random sequence of every operation.
class Model {
 public:
  Model(uint32_t size_class, uint32_t seed) : slab_(size_class), random_(seed) {
    for (uint32_t i = 0; i < slab_->blocks; i++) free_.insert(i);
  }

  void Step() {
    const uint32_t index = random_() % slab_->blocks;
    switch (random_() % 4) {
      case 0: TakeRun(); break;
      case 1: Give(index); break;
      default: GiveWord(index / 64, (uint64_t{random_()} << 32 | random_()) & BlocksMask(index / 64)); break;
    }
    Compare();
  }

 private:
  uint64_t BlocksMask(uint32_t word) { return hak_bits_low_mask(slab_->blocks - word * 64); }

  uint64_t FreeMask(uint32_t word) {
    uint64_t mask = 0;
    for (auto i = free_.lower_bound(word * 64); i != free_.end() && *i < (word + 1) * 64; ++i) mask |= 1ull << *i % 64;
    return mask;
  }

  void TakeRun() {
    if (free_.empty()) return;
    const uint32_t word = *free_.begin() / 64;
    const hak_slab_run run = hak_slab_take_run(slab_.get());
    ASSERT_EQ(run.base, hak_slab_block(slab_.get(), word * 64));
    ASSERT_EQ(run.mask, FreeMask(word));
    for (const uint32_t index : BlocksOf(slab_, run)) free_.erase(index);
  }

  void Give(uint32_t index) { ASSERT_EQ(hak_slab_give(slab_.get(), index), free_.insert(index).second); }

  void GiveWord(uint32_t word, uint64_t mask) {
    ASSERT_EQ(hak_slab_give_word(slab_.get(), word, mask), mask & FreeMask(word));
    for (uint32_t bit = 0; bit < 64; bit++) {
      if ((mask >> bit & 1) != 0) free_.insert(word * 64 + bit);
    }
  }

  void Compare() {
    ASSERT_EQ(hak_slab_free_count(slab_.get()), free_.size());
    ASSERT_EQ(hak_slab_is_empty(slab_.get()), free_.size() == slab_->blocks);
    ASSERT_TRUE(hak_slab_is_valid(slab_.get()));
    for (uint32_t word = 0; word < slab_->words; word++) ASSERT_EQ(slab_.word(word), FreeMask(word));
  }

  TestSlab slab_;
  std::mt19937 random_;
  std::set<uint32_t> free_;
};

TEST_P(SlabOfEachClass, Invariants1To3AgreeWithAModel) {
  for (uint32_t seed = 1; seed <= 3; seed++) {
    Model model(GetParam(), seed);
    for (int i = 0; i < 60 && !HasFatalFailure(); i++) model.Step();
  }
}

TEST_P(SlabOfEachClass, DoubleGiveIsReportedAndChangesNothing) {
  TestSlab slab(GetParam());
  const uint32_t last = slab->blocks - 1u;
  EXPECT_FALSE(hak_slab_give(slab.get(), last));
  EXPECT_EQ(hak_slab_give_word(slab.get(), last / 64, 1ull << last % 64), 1ull << last % 64);
  EXPECT_TRUE(hak_slab_is_empty(slab.get()));
  while (hak_slab_free_count(slab.get()) != 0) hak_slab_take_run(slab.get());
  EXPECT_TRUE(hak_slab_give(slab.get(), last));
  EXPECT_FALSE(hak_slab_give(slab.get(), last));
  EXPECT_EQ(hak_slab_free_count(slab.get()), 1u);
  EXPECT_TRUE(hak_slab_is_valid(slab.get()));
}

TEST(Slab, GiveWordGivesTheOthersOfAMaskWithADouble) {
  TestSlab slab(hak_size_class_of(1024)); /* 64 blocks, one word */
  hak_slab_take_run(slab.get());
  EXPECT_EQ(hak_slab_give_word(slab.get(), 0, 0x0f), 0u);
  EXPECT_EQ(hak_slab_give_word(slab.get(), 0, 0x3c), 0x0cu);
  EXPECT_EQ(slab.word(0), 0x3fu);
  EXPECT_EQ(hak_slab_free_count(slab.get()), 6u);
  EXPECT_EQ(hak_slab_give_word(slab.get(), 0, 0), 0u);
  EXPECT_EQ(hak_slab_give_word(slab.get(), 0, ~0ull), 0x3fu);
  EXPECT_TRUE(hak_slab_is_empty(slab.get()));
}

TEST(Slab, Invariant3FirstWordFollowsTheLowestFreeBlock) {
  TestSlab slab(0); /* 4096 blocks, 64 words */
  for (uint32_t word = 0; word < 63; word++) {
    hak_slab_take_run(slab.get());
    ASSERT_EQ(slab->first_word, word + 1);
  }
  hak_slab_take_run(slab.get());
  EXPECT_EQ(slab->first_word, 63); /* stays a word of the slab's */
  EXPECT_TRUE(hak_slab_give(slab.get(), 40 * 64 + 7));
  EXPECT_EQ(slab->first_word, 40);
  EXPECT_EQ(hak_slab_give_word(slab.get(), 50, 1), 0u);
  EXPECT_EQ(slab->first_word, 40);
  EXPECT_EQ(hak_slab_give_word(slab.get(), 3, 0), 0u); /* nothing given: no word to look at */
  EXPECT_EQ(slab->first_word, 40);
  EXPECT_EQ(hak_slab_give_word(slab.get(), 3, 6), 0u);
  EXPECT_EQ(slab->first_word, 3);
  EXPECT_EQ(slab.FirstOf(hak_slab_take_run(slab.get())), 3 * 64u);
  EXPECT_EQ(slab.FirstOf(hak_slab_take_run(slab.get())), 40 * 64u);
  EXPECT_EQ(slab.FirstOf(hak_slab_take_run(slab.get())), 50 * 64u);
}

TEST_P(SlabOfEachClass, Invariant4FreshWordsAreZeroedOnce) {
  TestSlab slab(GetParam(), true);
  for (uint32_t word = 0; word < slab->words; word++) {
    if (slab->words > 1) {
      ASSERT_EQ(slab->fresh_word, word);
    }
    ASSERT_TRUE(hak_slab_take_run(slab.get()).zeroed) << word;
    /* Given back, the same blocks are not zeroed any more. */
    ASSERT_TRUE(hak_slab_give(slab.get(), word * 64));
    ASSERT_FALSE(hak_slab_take_run(slab.get()).zeroed) << word;
  }
  EXPECT_EQ(slab->fresh_word, slab->words);
}

TEST_P(SlabOfEachClass, Invariant4CleanBlocksOfOneWordAreTrackedOneByOne) {
  TestSlab slab(GetParam(), true);
  if (slab->words != 1 || slab->blocks < 3) {
    hak_slab_mark_clean(slab.get(), 1);
    EXPECT_EQ(slab->clean_bits, slab->words == 1 ? hak_bits_low_mask(slab->blocks) : 0);
    return;
  }
  const uint64_t all = hak_bits_low_mask(slab->blocks);
  ASSERT_EQ(slab->clean_bits, all);
  const hak_slab_run first = hak_slab_take_run(slab.get());
  ASSERT_EQ(first.mask, all);
  ASSERT_EQ(slab->clean_bits, 0u);
  /* Block 1 comes back used, the others untouched. */
  ASSERT_EQ(hak_slab_give_word(slab.get(), 0, all), 0u);
  hak_slab_mark_clean(slab.get(), all & ~2ull);
  ASSERT_TRUE(hak_slab_is_valid(slab.get()));
  const hak_slab_run dirty = hak_slab_take_run(slab.get());
  EXPECT_EQ(dirty.mask, 2u);
  EXPECT_FALSE(dirty.zeroed);
  EXPECT_EQ(hak_slab_free_count(slab.get()), slab->blocks - 1u);
  EXPECT_TRUE(hak_slab_is_valid(slab.get()));
  const hak_slab_run clean = hak_slab_take_run(slab.get());
  EXPECT_EQ(clean.mask, all & ~2ull);
  EXPECT_TRUE(clean.zeroed);
  EXPECT_EQ(slab->clean_bits, 0u);
  EXPECT_EQ(hak_slab_free_count(slab.get()), 0u);
  slab->clean_bits = 1;
  EXPECT_FALSE(hak_slab_is_valid(slab.get())) << "a clean block that is not free";
}

TEST_P(SlabOfEachClass, Invariant4NothingIsFreshInUsedMemory) {
  TestSlab slab(GetParam(), false);
  while (hak_slab_free_count(slab.get()) != 0) ASSERT_FALSE(hak_slab_take_run(slab.get()).zeroed);
  slab.Init(GetParam(), true);
  EXPECT_TRUE(hak_slab_take_run(slab.get()).zeroed);
}

TEST(Slab, Invariant6InitLeavesTheRemoteLineAlone) {
  TestSlab slab(5);
  hak_slab other;
  hak_u32_store_relaxed(&slab->pending, 1);
  slab->pending_next = &other;
  hak_ptr_store_relaxed(&slab->mailbox, &other);
  slab.Init(12, true);
  EXPECT_EQ(hak_u32_load_relaxed(&slab->pending), 1u);
  EXPECT_EQ(slab->pending_next, &other);
  EXPECT_EQ(hak_ptr_load_relaxed(&slab->mailbox), &other);
  hak_slab_init_span(slab.get(), 3);
  EXPECT_EQ(hak_u32_load_relaxed(&slab->pending), 1u);
  EXPECT_EQ(slab->pending_next, &other);
}

TEST(SlabDeathTest, InitWithRemoteBitsIsABrokenInvariant) {
  if (HAK_CONFIG_LEVEL < 1) GTEST_SKIP() << "asserted in debug builds only";
  TestSlab slab;
  hak_u64_store_relaxed(&slab->remote_bits[0], 1);
  EXPECT_DEATH(slab.Init(0, false), "broken invariant");
}

TEST(SlabDeathTest, TakingFromAFullSlabIsABrokenInvariant) {
  TestSlab slab(43);
  hak_slab_take_run(slab.get());
  EXPECT_DEATH(hak_slab_take_run(slab.get()), "broken invariant");
}

TEST(Slab, SpansAreOneTakenBlock) {
  for (uint32_t units = 1; units < HAK_SUPERSLAB_UNITS; units++) {
    TestSlab slab(3);
    hak_slab_init_span(slab.get(), units);
    EXPECT_EQ(slab->block_bytes, units * kUnit);
    EXPECT_EQ(slab->blocks, 1);
    EXPECT_EQ(slab->units, units);
    EXPECT_EQ(slab->size_class, HAK_SLAB_SPAN);
    EXPECT_EQ(hak_slab_free_count(slab.get()), 0u);
    EXPECT_TRUE(hak_slab_is_valid(slab.get()));
    EXPECT_TRUE(hak_slab_is_block(slab.get(), hak_slab_index(slab.get(), slab->base), slab->base));
    for (size_t offset = 16; offset < units * kUnit; offset += 16) {
      const char* ptr = slab->base + offset;
      ASSERT_FALSE(hak_slab_is_block(slab.get(), hak_slab_index(slab.get(), ptr), ptr)) << units << " " << offset;
    }
    EXPECT_TRUE(hak_slab_give(slab.get(), 0));
    EXPECT_FALSE(hak_slab_give(slab.get(), 0));
    EXPECT_TRUE(hak_slab_is_empty(slab.get()));
  }
}

TEST(Slab, ReportsSayWhatIsTaken) {
  TestSlab slab(hak_size_class_of(1024));
  hak_slab_take_run(slab.get());
  hak_slab_give_word(slab.get(), 0, 7);
  hak_slab_figures report = hak_slab_read_figures(slab.get());
  EXPECT_EQ(report.size_class, hak_size_class_of(1024));
  EXPECT_EQ(report.slab_bytes, kUnit);
  EXPECT_EQ(report.taken_blocks, 61u);
  EXPECT_EQ(report.taken_bytes, 61 * 1024u);
  /* Caught amid a change of class: never more than nothing. */
  hak_u32_store_relaxed(&slab->free_count, 4096);
  EXPECT_EQ(hak_slab_read_figures(slab.get()).taken_blocks, 0u);
  hak_slab_init_span(slab.get(), 31);
  report = hak_slab_read_figures(slab.get());
  EXPECT_EQ(report.size_class, uint32_t{HAK_SLAB_SPAN});
  EXPECT_EQ(report.slab_bytes, 31 * kUnit);
  EXPECT_EQ(report.taken_blocks, 1u);
  EXPECT_EQ(report.taken_bytes, 31 * kUnit);
}

TEST(Slab, IsValidDetectsDamage) {
  TestSlab slab(hak_size_class_of(48)); /* 1365 blocks: the last word has a tail */
  const hak_slab intact = *slab.get();
  hak_u32_store_relaxed(&slab->free_count, slab->blocks - 1u);
  EXPECT_FALSE(hak_slab_is_valid(slab.get())) << "invariant 2, too few";
  hak_u32_store_relaxed(&slab->free_count, slab->blocks + 1u);
  EXPECT_FALSE(hak_slab_is_valid(slab.get())) << "invariant 2, too many";
  *slab.get() = intact;
  slab.word(4) &= ~2ull;
  EXPECT_FALSE(hak_slab_is_valid(slab.get())) << "invariant 1, a lost bit";
  slab.word(4) |= 2;
  EXPECT_TRUE(hak_slab_is_valid(slab.get()));
  slab->first_word = 1;
  EXPECT_FALSE(hak_slab_is_valid(slab.get())) << "invariant 3";
  slab->first_word = 0;
  /* A bit for a block that the slab does not have, with a count that agrees. */
  slab.word(slab->words - 1u) |= 1ull << 63;
  hak_u32_store_relaxed(&slab->free_count, slab->blocks + 1u);
  EXPECT_FALSE(hak_slab_is_valid(slab.get())) << "a block behind the last";
  slab.word(slab->words - 1u) &= ~(1ull << 63);
  *slab.get() = intact;
  EXPECT_TRUE(hak_slab_is_valid(slab.get()));
}

std::vector<hak_slab*> Listed(hak_slab* head) {
  std::vector<hak_slab*> out;
  const hak_slab* prev = nullptr;
  for (hak_slab* slab = head; slab != nullptr; slab = slab->next) {
    EXPECT_EQ(slab->prev, prev);
    EXPECT_TRUE(slab->listed);
    out.push_back(slab);
    prev = slab;
  }
  return out;
}

TEST(Slab, ListsTakeAndGiveInAnyOrder) {
  using Slabs = std::vector<hak_slab*>;
  std::vector<std::unique_ptr<TestSlab>> slabs;
  for (int i = 0; i < 4; i++) slabs.push_back(std::make_unique<TestSlab>(0));
  hak_slab *a = slabs[0]->get(), *b = slabs[1]->get(), *c = slabs[2]->get(), *d = slabs[3]->get();
  hak_slab* head = nullptr;
  for (hak_slab* slab : {a, b, c, d}) hak_slab_list_push(&head, slab);
  EXPECT_EQ(Listed(head), Slabs({d, c, b, a}));
  hak_slab_list_remove(&head, c); /* in the middle */
  EXPECT_EQ(Listed(head), Slabs({d, b, a}));
  hak_slab_list_remove(&head, a); /* the last */
  EXPECT_EQ(Listed(head), Slabs({d, b}));
  hak_slab_list_remove(&head, d); /* the first */
  EXPECT_EQ(Listed(head), Slabs({b}));
  hak_slab_list_push(&head, a);
  EXPECT_EQ(Listed(head), Slabs({a, b}));
  hak_slab_list_remove(&head, b);
  hak_slab_list_remove(&head, a);
  EXPECT_EQ(head, nullptr);
  for (hak_slab* slab : {a, b, c, d}) {
    EXPECT_FALSE(slab->listed);
    EXPECT_EQ(slab->next, nullptr);
    EXPECT_EQ(slab->prev, nullptr);
  }
}

}  // namespace
