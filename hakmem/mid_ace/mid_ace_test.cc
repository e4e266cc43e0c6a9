#include "hakmem/mid_ace/mid_ace.h"

#include <algorithm>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace {

constexpr uint64_t kMiB = 1024 * 1024;
constexpr uint32_t kClasses = HAK_SIZE_CLASS_COUNT;

uint32_t SlotsOf(uint32_t size_class) {
  return size_class <= HAK_SIZE_CLASS_OF_TINY(HAK_SIZE_CLASS_TINY_MAX_BYTES) ? 1023
         : size_class < HAK_SIZE_CLASS_SHARED_COUNT                          ? 55
                                                                             : 23;
}

uint64_t BytesOf(uint32_t size_class, uint32_t cap) {
  return uint64_t{hak_size_class_table[size_class].block_bytes} * cap;
}

// A bin of one class, with a budget of its own unless told otherwise.
class Bin {
 public:
  explicit Bin(uint32_t size_class, uint64_t limit_bytes = 64 * kMiB) : size_class_(size_class) {
    own_.limit_bytes = limit_bytes;
    Start(&own_, SlotsOf(size_class));
  }
  Bin(uint32_t size_class, hak_mid_ace_budget* budget) : size_class_(size_class) { Start(budget, SlotsOf(size_class)); }

  void Miss(int times = 1) {
    while (times-- > 0) cap_ = hak_mid_ace_on_miss(budget_, &state_, size_class_, cap_, slots_);
  }
  void Spill(int times = 1) {
    while (times-- > 0) cap_ = hak_mid_ace_on_spill(budget_, &state_, size_class_, cap_, slots_);
  }
  void Epoch() { cap_ = hak_mid_ace_on_epoch(budget_, &state_, size_class_, cap_); }
  void Swing() { Miss(2), Spill(2); }

  uint32_t cap() const { return cap_; }
  uint32_t slots() const { return slots_; }
  uint64_t bytes() const { return BytesOf(size_class_, cap_); }
  const hak_mid_ace_budget& budget() const { return *budget_; }

 private:
  void Start(hak_mid_ace_budget* budget, uint32_t slots) {
    budget_ = budget;
    slots_ = slots;
    cap_ = hak_mid_ace_start(budget, size_class_, slots);
  }

  uint32_t size_class_, cap_ = 0, slots_ = 0;
  hak_mid_ace_budget own_ = {};
  hak_mid_ace_budget* budget_ = nullptr;
  hak_mid_ace_bin state_ = {};
};

TEST(MidAce, StartsWithAFewKiBAndAtLeastTwoBlocks) {
  for (uint32_t c = 0; c < kClasses; c++) {
    Bin bin(c);
    EXPECT_GE(bin.cap(), 2u) << c;
    EXPECT_LE(bin.cap(), 32u) << c;
    EXPECT_TRUE(bin.cap() == 2 || bin.bytes() <= 8192) << c;
    EXPECT_EQ(bin.budget().granted_bytes, bin.bytes());
  }
}

TEST(MidAce, Invariant2StartsWithOneBlockWhereTheBudgetEnds) {
  hak_mid_ace_budget budget = {kMiB, 0, 0, 0};
  uint64_t over_bytes = 0;
  for (uint32_t c = kClasses; c-- > 0;) {
    Bin bin(c, &budget);
    if (budget.granted_bytes <= kMiB) continue;
    EXPECT_EQ(bin.cap(), 1u) << c;
    over_bytes += BytesOf(c, 1);
  }
  EXPECT_LE(budget.granted_bytes, kMiB + over_bytes);
}

TEST(MidAce, WhatIsRefundedMayBeGrantedAgain) {
  const uint32_t c = hak_size_class_of(65536);
  hak_mid_ace_budget budget = {256 * 1024, 0, 0, 0};
  Bin bin(c, &budget);
  bin.Swing();
  ASSERT_EQ(bin.cap(), 4u);
  EXPECT_EQ(Bin(c, &budget).cap(), 1u);
  EXPECT_EQ(budget.granted_bytes, 320u * 1024);
  hak_mid_ace_refund(&budget, c, bin.cap());
  EXPECT_EQ(budget.granted_bytes, 64u * 1024);
  EXPECT_EQ(Bin(c, &budget).cap(), 2u);
}

TEST(MidAce, Invariant1ASmallBudgetIsNotNone) {
  for (uint64_t limit_bytes = 1; limit_bytes < 20; limit_bytes++) {
    EXPECT_EQ(hak_mid_ace_limit(limit_bytes, 1), limit_bytes);
    for (uint32_t nth = 2; nth < 20; nth++) EXPECT_GE(hak_mid_ace_limit(limit_bytes, nth), 1u);
  }
  for (uint32_t nth = 1; nth < 20; nth++) {
    EXPECT_EQ(hak_mid_ace_limit(16 * kMiB, nth), (nth == 1 ? 16 : nth <= 4 ? 8 : nth <= 8 ? 4 : 1) * kMiB);
    EXPECT_EQ(hak_mid_ace_limit(0, nth), 0u);
  }
  EXPECT_EQ(hak_mid_ace_limit(UINT64_MAX, 9), 1ull << 60);
}

TEST(MidAce, ABinThatSawNothingBetweenTwoGrowthsIsIdle) {
  for (int signal = 0; signal < 2; signal++) {
    hak_mid_ace_budget budget = {};
    hak_mid_ace_bin bin = {};
    EXPECT_TRUE(hak_mid_ace_on_growth(&bin));
    (signal == 0 ? hak_mid_ace_on_miss : hak_mid_ace_on_spill)(&budget, &bin, 0, 1, 1);
    EXPECT_FALSE(hak_mid_ace_on_growth(&bin));
    EXPECT_TRUE(hak_mid_ace_on_growth(&bin));
    (signal == 0 ? hak_mid_ace_on_miss : hak_mid_ace_on_spill)(&budget, &bin, 0, 1, 1);
    EXPECT_EQ(hak_mid_ace_on_epoch(&budget, &bin, 0, 1), 1u);
    EXPECT_FALSE(hak_mid_ace_on_growth(&bin)) << "an epoch is not a growth";
  }
}

TEST(MidAce, Invariant1StartStaysWithinTheSlots) {
  for (uint32_t slots = 1; slots <= 40; slots++) {
    hak_mid_ace_budget budget = {kMiB, 0, 0, 0};
    const uint32_t cap = hak_mid_ace_start(&budget, 0, slots);
    EXPECT_EQ(cap, slots < 32 ? slots : 32);
    EXPECT_EQ(budget.granted_bytes, 16u * cap);
  }
}

TEST(MidAce, Invariant1NoBudgetNoCache) {
  Bin bin(4, uint64_t{0});
  EXPECT_EQ(bin.cap(), 0u);
  for (int i = 0; i < 10; i++) bin.Swing();
  EXPECT_EQ(bin.cap(), 0u);
  bin.Epoch();
  bin.Epoch();
  EXPECT_EQ(bin.cap(), 0u);
  EXPECT_EQ(bin.budget().granted_bytes, 0u);
  EXPECT_EQ(bin.budget().grown + bin.budget().shrunk, 0u);
}

// Half a MiB for classes of whole units.
uint32_t LargestCap(uint32_t size_class) {
  if (size_class < HAK_SIZE_CLASS_SHARED_COUNT) return SlotsOf(size_class);
  const uint32_t units = hak_size_class_table[size_class].units;
  return units == 1 ? 8 : units == 2 ? 4 : 2;
}

TEST(MidAce, ASwingDoublesTheCapUpToTheLargest) {
  for (uint32_t c = 0; c < kClasses; c++) {
    Bin bin(c);
    uint32_t expected = bin.cap();
    for (int i = 0; i < 8; i++) {
      bin.Swing();
      expected = std::min(expected * 2, LargestCap(c));
      ASSERT_EQ(bin.cap(), expected) << c;
      ASSERT_EQ(bin.budget().granted_bytes, bin.bytes()) << c;
    }
    EXPECT_EQ(bin.cap(), LargestCap(c));
  }
}

// Whatever the program does, `small_bytes` of each class are worth it.
void ExpectLongRowsGrowNoCacheBeyond(uint64_t small_bytes, uint64_t limit_bytes) {
  for (uint32_t c = 0; c < kClasses; c++) {
    Bin bin(c, limit_bytes);
    for (int i = 0; i < 20; i++) bin.Miss(33), bin.Spill(33);
    const uint32_t next = std::min(bin.cap() * 2, bin.slots());
    EXPECT_TRUE(bin.cap() == LargestCap(c) || BytesOf(c, bin.cap() * 2) > small_bytes) << c;
    EXPECT_TRUE(bin.bytes() <= small_bytes || bin.cap() == 2) << c;
    bin.Miss(32); /* a row as short as a cache may catch */
    bin.Spill(32);
    EXPECT_EQ(bin.cap(), std::min(next, LargestCap(c))) << c;
  }
}

TEST(MidAce, LongRowsGrowNoCacheBeyond64KiB) {
  ExpectLongRowsGrowNoCacheBeyond(64 * 1024, 2 * kMiB);
  ExpectLongRowsGrowNoCacheBeyond(64 * 1024, 4 * kMiB);
}

TEST(MidAce, LongRowsGrowNoCacheBeyondA64thOfALargeBudget) {
  ExpectLongRowsGrowNoCacheBeyond(128 * 1024, 8 * kMiB);
  ExpectLongRowsGrowNoCacheBeyond(256 * 1024, 16 * kMiB);
}

TEST(MidAce, VerdictsAreCounted) {
  Bin bin(0);
  EXPECT_EQ(bin.cap(), 32u);
  for (int i = 0; i < 5; i++) bin.Swing();
  EXPECT_EQ(bin.cap(), 1023u);
  EXPECT_EQ(bin.budget().grown, 5u);
  bin.Swing(); /* no slots left: not grown */
  EXPECT_EQ(bin.budget().grown, 5u);
}

TEST(MidAce, OneKindOfSignalAloneGainsNothing) {
  Bin misses(3), spills(3);
  const uint32_t start = misses.cap();
  misses.Miss(100);
  spills.Spill(100);
  EXPECT_EQ(misses.cap(), start);
  EXPECT_EQ(spills.cap(), start);
  misses.Spill();
  spills.Miss();
  EXPECT_EQ(misses.cap(), start);
  EXPECT_EQ(spills.cap(), start);
  misses.Spill();
  spills.Miss();
  EXPECT_EQ(misses.cap(), 2 * start);
  EXPECT_EQ(spills.cap(), 2 * start);
}

TEST(MidAce, AVerdictStartsTheCountAnew) {
  Bin bin(hak_size_class_of(1024));
  bin.Swing();
  const uint32_t cap = bin.cap();
  bin.Miss();
  bin.Spill(5);
  EXPECT_EQ(bin.cap(), cap);
  bin.Miss();
  EXPECT_EQ(bin.cap(), 2 * cap);
}

TEST(MidAce, SignalsSaturate) {
  Bin misses(3), spills(3);
  const uint32_t start = misses.cap();
  misses.Miss(65536);
  misses.Spill(2);
  EXPECT_EQ(misses.cap(), 2 * start);
  spills.Spill(65536);
  spills.Miss(2);
  EXPECT_EQ(spills.cap(), 2 * start);
}

TEST(MidAce, AnIdleEpochHalvesTheCapDownToOne) {
  for (uint32_t c = 0; c < kClasses; c++) {
    Bin bin(c);
    for (int i = 0; i < 8; i++) bin.Swing();
    bin.Epoch(); /* it was seen */
    uint32_t expected = LargestCap(c);
    ASSERT_EQ(bin.cap(), expected);
    uint64_t shrunk = 0;
    for (int i = 0; i < 10; i++) {
      bin.Epoch();
      if (expected > 1) expected /= 2, shrunk++;
      ASSERT_EQ(bin.cap(), expected) << c;
      ASSERT_EQ(bin.budget().granted_bytes, bin.bytes()) << c;
    }
    EXPECT_EQ(bin.cap(), 1u);
    EXPECT_EQ(bin.budget().shrunk, shrunk);
    bin.Swing(); /* and back */
    EXPECT_EQ(bin.cap(), 2u);
  }
}

TEST(MidAce, ASignalInAnEpochKeepsTheCap) {
  Bin bin(3);
  const uint32_t cap = bin.cap();
  bin.Epoch(); /* not a signal yet */
  EXPECT_EQ(bin.cap(), cap / 2);
  bin.Miss();
  bin.Epoch();
  EXPECT_EQ(bin.cap(), cap / 2);
  bin.Spill();
  bin.Epoch();
  EXPECT_EQ(bin.cap(), cap / 2);
  bin.Epoch();
  EXPECT_EQ(bin.cap(), cap / 4);
}

TEST(MidAce, AnEpochForgetsHalfASwing) {
  Bin bin(3);
  const uint32_t cap = bin.cap();
  bin.Miss(2);
  bin.Spill();
  bin.Epoch();
  bin.Spill();
  EXPECT_EQ(bin.cap(), cap);
  bin.Spill();
  bin.Miss(2);
  EXPECT_EQ(bin.cap(), 2 * cap);
}

TEST(MidAce, Invariant2BudgetBoundaryIsExact) {
  const uint32_t c = hak_size_class_of(1024); /* starts with 8 blocks */
  Bin enough(c, 16 * 1024), short_by_one(c, 16 * 1024 - 1);
  enough.Swing();
  short_by_one.Swing();
  EXPECT_EQ(enough.cap(), 16u);
  EXPECT_EQ(enough.budget().granted_bytes, 16 * 1024u);
  EXPECT_EQ(short_by_one.cap(), 8u);
  EXPECT_EQ(short_by_one.budget().grown, 0u);
}

TEST(MidAce, WhatOneBinGivesBackAnotherMayHave) {
  hak_mid_ace_budget budget = {48 * 1024, 0, 0, 0};
  const uint32_t c = hak_size_class_of(1024);
  Bin first(c, &budget), second(c, &budget);
  for (int i = 0; i < 3; i++) first.Swing();
  EXPECT_EQ(first.cap(), 32u); /* 32 + 8 KiB of 48 */
  second.Swing();
  EXPECT_EQ(second.cap(), 16u);
  second.Swing();
  EXPECT_EQ(second.cap(), 16u);
  first.Epoch(); /* seen */
  first.Epoch();
  second.Swing();
  EXPECT_EQ(first.cap(), 16u);
  EXPECT_EQ(second.cap(), 32u);
}

// Invariants 1 and 2 over a heap's worth of bins and a random life.
TEST(MidAce, Invariant2RandomLivesStayWithinTheBudget) {
  for (const uint64_t limit : {uint64_t{1}, 3 * kMiB, 8 * kMiB, 64 * kMiB}) {
    hak_mid_ace_budget budget = {limit, 0, 0, 0};
    std::vector<Bin> bins;
    for (uint32_t c = 0; c < kClasses; c++) bins.emplace_back(c, &budget);
    const uint64_t ceiling = std::max(limit, budget.granted_bytes);
    std::mt19937 random(7);
    for (int i = 0; i < 20000; i++) {
      Bin& bin = bins[random() % kClasses];
      const uint32_t act = random() % 64;
      if (act < 31) {
        bin.Miss();
      } else if (act < 62) {
        bin.Spill();
      } else if (act == 62) {
        bin.Epoch();
      } else if (random() % 8 == 0) {
        for (Bin& each : bins) each.Epoch();
      }
      uint64_t sum = 0;
      for (const Bin& each : bins) {
        ASSERT_GE(each.cap(), 1u);
        ASSERT_LE(each.cap(), each.slots());
        sum += each.bytes();
      }
      ASSERT_EQ(budget.granted_bytes, sum);
      ASSERT_LE(sum, ceiling);
    }
    EXPECT_EQ(budget.grown > 0, limit > kMiB) << limit;
    EXPECT_EQ(budget.shrunk > 0, limit > 1) << limit; /* 1: every cap starts as small as it gets */
  }
}

}  // namespace
