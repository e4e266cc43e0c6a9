#include "hakmem/zeroing/zeroing.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "hakmem/config/config.h"
#include "hakmem/os/os.h"
#include "hakmem/os/os_fake.h"

#include "gtest/gtest.h"

namespace {

constexpr size_t kUnit = HAK_UNIT_BYTES;
constexpr size_t kBlock = 8 * kUnit;

class Zeroing : public testing::Test {
 protected:
  void SetUp() override {
    hak_config_reset_for_test();
    hak_os_fake_reset();
    hak_os_reset_for_test();
    base_ = static_cast<char*>(hak_os_map_aligned(kBlock + kUnit, kUnit));
    ASSERT_NE(base_, nullptr);
  }
  void TearDown() override {
    hak_os_unmap(base_, kBlock + kUnit);
    hak_os_fake_reset();
    hak_os_reset_for_test();
  }

  // One life of a block: the program writes to each of its pages, or to the first only.
  void Live(size_t size_bytes, bool touches_all) {
    hak_zeroing_make(&zeroing_, base_, size_bytes);
    ASSERT_EQ(base_[0], 0);
    ASSERT_EQ(memcmp(base_, base_ + 1, size_bytes - 1), 0);
    base_[0] = 1;
    for (size_t at = 0; touches_all && at < size_bytes; at += 4096) base_[at] = 1;
  }

  static uint64_t Purges() { return hak_os_fake_calls(HAK_OS_FAKE_MADVISE); }

  hak_zeroing zeroing_ = {};
  char* base_ = nullptr;
};

TEST_F(Zeroing, Invariant1TheBlockReadsAsZero) {
  for (const size_t size : {kUnit, kUnit + 1, 2 * kUnit - 1, 3 * kUnit + 4097, kBlock}) {
    for (const bool clears : {false, true}) {
      memset(base_, 0x5a, kBlock + kUnit);
      zeroing_ = {};
      hak_u32_store_relaxed(&zeroing_.calls, 1); /* no sample now */
      hak_u32_store_relaxed(&zeroing_.clears, clears);
      hak_zeroing_make(&zeroing_, base_, size);
      EXPECT_EQ(base_[0], 0);
      EXPECT_EQ(memcmp(base_, base_ + 1, size - 1), 0) << size;
      const size_t end = hak_round_up(size, hak_os_page_bytes());
      EXPECT_EQ(base_[end], 0x5a) << "invariant 2";
      EXPECT_EQ(memcmp(base_ + end, base_ + end + 1, kBlock + kUnit - end - 1), 0) << size;
    }
  }
}

TEST_F(Zeroing, Invariant1ARefusedPurgeClears) {
  memset(base_, 0x5a, kBlock);
  hak_u32_store_relaxed(&zeroing_.calls, 1);
  hak_os_fake_fail_from(HAK_OS_FAKE_MADVISE, 1, EPERM);
  errno = 7;
  Live(kBlock, false);
  EXPECT_EQ(hak_os_fake_failures(HAK_OS_FAKE_MADVISE), 1u);
  EXPECT_EQ(errno, 7);
}

TEST_F(Zeroing, PagesAsLargeAsTheBlockAreCleared) {
  hak_os_fake_set_page_bytes(kUnit);
  hak_os_reset_for_test();
  memset(base_, 0x5a, kBlock);
  Live(kUnit, false);
  EXPECT_EQ(Purges(), 0u);
  EXPECT_EQ(base_[kUnit], 0x5a);
}

TEST_F(Zeroing, WhatIsHardlyTouchedGoesBack) {
  for (int i = 0; i < 100; i++) Live(kBlock - 100, false);
  EXPECT_EQ(Purges(), 100u);
}

TEST_F(Zeroing, WhatIsTouchedIsCleared) {
  Live(kBlock, true); /* from the kernel: all zero */
  for (int i = 0; i < 100; i++) Live(kBlock, true);
  EXPECT_LE(Purges(), 17u) << "until the second sample";
  EXPECT_TRUE(hak_zeroing_clears(&zeroing_));
}

TEST_F(Zeroing, AProgramMayChangeItsWays) {
  for (int i = 0; i < 100; i++) Live(kBlock, true);
  ASSERT_TRUE(hak_zeroing_clears(&zeroing_));
  int lives = 0;
  for (; hak_zeroing_clears(&zeroing_) && lives < 1000; lives++) Live(kBlock, false);
  EXPECT_LT(lives, 100) << "a cleared block that comes back shows what was written to";
  lives = 0;
  for (; !hak_zeroing_clears(&zeroing_) && lives < 1000; lives++) Live(kBlock, true);
  EXPECT_LT(lives, 33);
}

// What malloc leaves behind does not look like a calloc's block that nobody touched.
TEST_F(Zeroing, BlocksOfMallocCountAsTouched) {
  for (int i = 0; i < 40; i++) {
    memset(base_, 0x5a, kBlock);
    Live(kBlock, false);
  }
  EXPECT_TRUE(hak_zeroing_clears(&zeroing_));
}

TEST(ZeroingPolicy, AnEighthClearsAndLessThanASixteenthPurges) {
  hak_zeroing zeroing = {};
  EXPECT_FALSE(hak_zeroing_clears(&zeroing)) << "before anything is known";
  for (int i = 0; i < 64; i++) hak_zeroing_on_sample(&zeroing, 9, 100);
  EXPECT_FALSE(hak_zeroing_clears(&zeroing));
  for (int i = 0; i < 64; i++) hak_zeroing_on_sample(&zeroing, 14, 100);
  EXPECT_TRUE(hak_zeroing_clears(&zeroing));
  for (int i = 0; i < 64; i++) hak_zeroing_on_sample(&zeroing, 9, 100);
  EXPECT_TRUE(hak_zeroing_clears(&zeroing)) << "between the two it stays";
  for (int i = 0; i < 64; i++) hak_zeroing_on_sample(&zeroing, 4, 100);
  EXPECT_FALSE(hak_zeroing_clears(&zeroing));
}

TEST(ZeroingPolicy, OneSampleWithAllPiecesWrittenToIsEnough) {
  hak_zeroing zeroing = {};
  hak_zeroing_on_sample(&zeroing, HAK_ZEROING_PIECES, HAK_ZEROING_PIECES);
  EXPECT_TRUE(hak_zeroing_clears(&zeroing));
}

TEST(ZeroingPolicy, TheFirstCallSamplesAndAPartOfTheOthers) {
  hak_zeroing zeroing = {};
  EXPECT_TRUE(hak_zeroing_is_sample_due(&zeroing));
  int samples = 0;
  for (int i = 0; i < 160; i++) samples += hak_zeroing_is_sample_due(&zeroing);
  EXPECT_EQ(samples, 10);
  hak_zeroing_on_sample(&zeroing, 1, 1);
  samples = 0;
  for (int i = 0; i < 160; i++) samples += hak_zeroing_is_sample_due(&zeroing);
  EXPECT_EQ(samples, 40);
}

TEST_F(Zeroing, TheOptionDecides) {
  ASSERT_EQ(hak_config_set("zeroing", "clear"), 0);
  for (int i = 0; i < 40; i++) Live(kBlock, false);
  EXPECT_EQ(Purges(), 0u);
  ASSERT_EQ(hak_config_set("zeroing", "purge"), 0);
  for (int i = 0; i < 40; i++) Live(kBlock, true);
  EXPECT_EQ(Purges(), 40u);
  EXPECT_EQ(hak_u32_load_relaxed(&zeroing_.calls), 0u) << "nothing is learnt";
  ASSERT_EQ(hak_config_set("zeroing", "learn"), 0);
  for (int i = 0; i < 100; i++) Live(kBlock, true);
  EXPECT_LE(Purges(), 40u + 17u);
}

}  // namespace
