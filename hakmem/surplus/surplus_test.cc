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

TEST(Surplus, GivenIsForgottenWithinTheDecayTimeAndCreditWithinSomeMinutes) {
  hak_surplus surplus = {};
  hak_surplus_on_give(&surplus, 16 * kMiB);
  for (int i = 0; i < HAK_SURPLUS_AGES_PER_DECAY; i++) hak_surplus_age(&surplus);
  hak_surplus_on_take(&surplus, 16 * kMiB);
  EXPECT_EQ(Credit(surplus), kMiB);

  hak_surplus_on_give(&surplus, 63 * kMiB);
  hak_surplus_on_take(&surplus, 63 * kMiB);
  int ages = 0;
  for (; Credit(surplus) > 32 * kMiB; ages++) hak_surplus_age(&surplus);
  EXPECT_GE(ages, 40);
  EXPECT_LE(ages, 50) << "about six seconds, with eight ages a second";
  for (; Credit(surplus) != 0; ages++) {
    ASSERT_LT(ages, 10000);
    hak_surplus_age(&surplus);
  }
}

TEST(Surplus, TheLastByteFadesToo) {
  hak_surplus surplus = {};
  hak_surplus_on_give(&surplus, 1);
  hak_surplus_on_take(&surplus, 1);
  hak_surplus_on_give(&surplus, 1);
  hak_surplus_age(&surplus);
  EXPECT_EQ(Credit(surplus), 0u);
  hak_surplus_on_take(&surplus, 1);
  EXPECT_EQ(Credit(surplus), 0u);
}

}  // namespace
