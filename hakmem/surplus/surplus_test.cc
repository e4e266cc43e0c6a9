#include "hakmem/surplus/surplus.h"

#include "gtest/gtest.h"

namespace {

constexpr uint64_t kMiB = 1024 * 1024;
constexpr uint64_t kBase = kMiB / 2;

uint64_t Credit(const hak_surplus& surplus) { return hak_surplus_limit(&surplus, 0, 0); }

TEST(Surplus, ASixteenthOfWhatIsInUseMayLieIdleBesideTheBase) {
  const hak_surplus surplus = {};
  EXPECT_EQ(hak_surplus_limit(&surplus, kBase, 0), kBase);
  EXPECT_EQ(hak_surplus_limit(&surplus, kBase, 64 * kMiB), kBase + 4 * kMiB);
  EXPECT_EQ(hak_surplus_limit(&surplus, 0, 15), 0u);
}

TEST(Surplus, WhatIsAskedForAgainIsCredit) {
  hak_surplus surplus = {};
  hak_surplus_on_give(&surplus, 10 * kMiB);
  EXPECT_EQ(Credit(surplus), 0u) << "nobody has asked for it yet";
  hak_surplus_on_take(&surplus, 4 * kMiB);
  EXPECT_EQ(Credit(surplus), 4 * kMiB);
  hak_surplus_on_take(&surplus, 20 * kMiB);
  EXPECT_EQ(Credit(surplus), 10 * kMiB) << "no more than was given";
  hak_surplus_on_take(&surplus, 20 * kMiB);
  EXPECT_EQ(Credit(surplus), 10 * kMiB);
}

TEST(Surplus, AProcessThatOnlyGrowsHasNoCredit) {
  hak_surplus surplus = {};
  for (int i = 0; i < 100; i++) hak_surplus_on_take(&surplus, kMiB);
  EXPECT_EQ(Credit(surplus), 0u);
}

// Invariant 2: a program that swings by 64 MiB pays once.
TEST(Surplus, Invariant2ASwingIsGivenBackOnce) {
  hak_surplus surplus = {};
  constexpr uint64_t kStep = 64 * 1024;
  constexpr uint64_t kSwing = 64 * kMiB;
  uint64_t idle = 0, given = 0, first_given = 0;
  for (int round = 0; round < 10; round++) {
    uint64_t used = 0;
    for (; used < kSwing; used += kStep) {
      if (idle != 0) {
        idle -= kStep;
      } else {
        hak_surplus_on_take(&surplus, kStep);
      }
    }
    for (; used != 0; used -= kStep) {
      idle += kStep;
      if (idle <= hak_surplus_limit(&surplus, kBase, used - kStep)) continue;
      idle -= kStep;
      given += kStep;
      hak_surplus_on_give(&surplus, kStep);
    }
    if (round == 0) {
      first_given = given;
      EXPECT_GE(given, kSwing * 15 / 16 - kBase);
    }
    EXPECT_LE(given, first_given + kSwing / 16) << round << ": the share of what was in use, once more at most";
  }
}

TEST(Surplus, GivenIsHalvedWithinTheDecayTime) {
  hak_surplus surplus = {};
  hak_surplus_on_give(&surplus, 16 * kMiB);
  for (int i = 0; i < HAK_SURPLUS_AGES_PER_DECAY; i++) hak_surplus_age(&surplus, 1);
  hak_surplus_on_take(&surplus, 16 * kMiB);
  EXPECT_LE(Credit(surplus), 8 * kMiB);
  EXPECT_GE(Credit(surplus), 7 * kMiB);
}

TEST(Surplus, WhatWouldHaveGoneByTheClockIsForgotten) {
  hak_surplus surplus = {};
  hak_surplus_on_give(&surplus, 16 * kMiB);
  hak_surplus_age(&surplus, HAK_SURPLUS_AGES_PER_DECAY);
  hak_surplus_on_take(&surplus, 16 * kMiB);
  EXPECT_EQ(Credit(surplus), 0u);
}

TEST(Surplus, CreditIsHalvedInTwentySecondsWhetherTimePassesInStepsOrAtOnce) {
  hak_surplus steps = {};
  hak_surplus_on_give(&steps, 64 * kMiB);
  hak_surplus_on_take(&steps, 64 * kMiB);
  hak_surplus once = steps;
  for (int i = 0; i < 22 * 8; i++) hak_surplus_age(&steps, 1);
  hak_surplus_age(&once, 22 * 8);
  EXPECT_EQ(Credit(steps), Credit(once));
  EXPECT_GE(Credit(once), 31 * kMiB);
  EXPECT_LE(Credit(once), 33 * kMiB);
  hak_surplus_age(&once, UINT64_MAX);
  EXPECT_EQ(Credit(once), 0u);
}

// Reviewed once: with credit that fades faster than it is earned a program with pauses of this length paid for ever.
TEST(Surplus, ASwingWithPausesBelowTheDecayTimePaysLittleInTheLongRun) {
  for (uint64_t pause_ages = 1; pause_ages < HAK_SURPLUS_AGES_PER_DECAY; pause_ages++) {
    hak_surplus surplus = {};
    uint64_t faulted = 0;
    for (int round = 0; round < 200; round++) {
      const uint64_t kept = Credit(surplus) < 64 * kMiB ? Credit(surplus) : 64 * kMiB;
      if (round >= 100) faulted += 64 * kMiB - kept;
      hak_surplus_on_give(&surplus, 64 * kMiB - kept);
      hak_surplus_age(&surplus, pause_ages);
      hak_surplus_on_take(&surplus, 64 * kMiB - kept);
    }
    EXPECT_LE(faulted / 100, 2 * kMiB) << pause_ages;
  }
}

TEST(Surplus, ARefusalClosesUntilTimeHasPassed) {
  hak_surplus surplus = {};
  for (const hak_surplus_way way : {HAK_SURPLUS_BY_PURGE, HAK_SURPLUS_BY_UNMAP}) {
    EXPECT_TRUE(hak_surplus_is_open(&surplus, way));
    hak_surplus_on_refusal(&surplus, way);
    EXPECT_FALSE(hak_surplus_is_open(&surplus, way));
  }
  hak_surplus_age(&surplus, 1);
  hak_surplus_on_refusal(&surplus, HAK_SURPLUS_BY_PURGE);
  EXPECT_FALSE(hak_surplus_is_open(&surplus, HAK_SURPLUS_BY_PURGE));
  EXPECT_TRUE(hak_surplus_is_open(&surplus, HAK_SURPLUS_BY_UNMAP));
}

TEST(Surplus, TheLastByteFadesToo) {
  hak_surplus surplus = {};
  hak_surplus_on_give(&surplus, 1);
  hak_surplus_on_take(&surplus, 1);
  hak_surplus_on_give(&surplus, 1);
  hak_surplus_age(&surplus, 1);
  EXPECT_EQ(Credit(surplus), 0u);
  hak_surplus_on_take(&surplus, 1);
  EXPECT_EQ(Credit(surplus), 0u);
}

}  // namespace
