#include "hakmem/growth/growth.h"

#include "gtest/gtest.h"

namespace {

const void* At(uint64_t address) { return reinterpret_cast<const void*>(address); }

// A string that starts with 16 bytes and grows by half each time until it has `to`, or gets room: it stays there then, and
// uses it if it comes to 32 KiB. Its units, or 0.
class Growth : public testing::Test {
 protected:
  uint32_t Build(size_t to) {
    const void* ptr = At(next_++);
    for (size_t size = 16; size < to; size += size / 2) {
      if (size <= HAK_GROWTH_NOTED_BYTES) continue;
      const uint32_t units = hak_growth_units(&growth_, ptr, size);
      ptr = At(next_++);
      hak_growth_on_move(&growth_, ptr, size, units != 0);
      if (units == 0) continue;
      if (to > units * HAK_UNIT_BYTES / 2) hak_growth_on_use(&growth_, ptr, units);
      for (uint32_t more = 2 * units; more <= to / HAK_UNIT_BYTES; more *= 2) hak_growth_on_use(&growth_, ptr, more);
      at_bytes_ = size;
      return units;
    }
    return 0;
  }

  hak_growth growth_ = {};
  uint64_t next_ = 1;
  size_t at_bytes_ = 0;
};

TEST_F(Growth, ALargeBlockGetsRoomAtItsFirstMove) {
  EXPECT_EQ(hak_growth_units(&growth_, At(1), HAK_GROWTH_LARGE_BYTES + 1), 1u);
  EXPECT_EQ(hak_growth_units(&growth_, At(2), HAK_UNIT_BYTES + 1), 2u);
  EXPECT_EQ(hak_growth_units(&growth_, At(3), HAK_GROWTH_LARGE_BYTES), 0u);
}

// More units than 32 bits can count: not the few that the lower bits say.
TEST_F(Growth, AnySizeHasAsManyUnitsAsItNeeds) {
  EXPECT_EQ(hak_growth_units(&growth_, At(1), (size_t{UINT32_MAX} - 1) * HAK_UNIT_BYTES), UINT32_MAX - 1);
  EXPECT_EQ(hak_growth_units(&growth_, At(1), (size_t{1} << 32) * HAK_UNIT_BYTES), UINT32_MAX);
  EXPECT_EQ(hak_growth_units(&growth_, At(1), (size_t{1} << 32) * HAK_UNIT_BYTES + 1), UINT32_MAX);
  EXPECT_EQ(hak_growth_units(&growth_, At(1), SIZE_MAX), UINT32_MAX);
}

TEST_F(Growth, ASmallOneAtItsThirdInARow) {
  for (int i = 1; i < HAK_GROWTH_STREAK; i++) {
    EXPECT_EQ(hak_growth_units(&growth_, At(7), 1000), 0u) << i;
    hak_growth_on_move(&growth_, At(7), 1000, false);
  }
  EXPECT_EQ(hak_growth_units(&growth_, At(7), 1000), 1u);
}

TEST_F(Growth, OfTwoByTurnsNone) {
  for (uint64_t i = 0; i < 100; i++) {
    EXPECT_EQ(hak_growth_units(&growth_, At(1 + i % 2), 1000), 0u);
    hak_growth_on_move(&growth_, At(1 + i % 2), 1000, false);
  }
}

TEST_F(Growth, NotBelowHalfAKilobyte) {
  EXPECT_EQ(Build(HAK_GROWTH_MIN_BYTES - 1), 0u);
  EXPECT_EQ(Build(1 << 20), 1u);
  EXPECT_GE(at_bytes_, size_t{HAK_GROWTH_MIN_BYTES});
  EXPECT_LT(at_bytes_, size_t{2 * HAK_GROWTH_MIN_BYTES});
}

TEST_F(Growth, OneThatUsesItIsTheForecastForTheNext) {
  EXPECT_EQ(Build(1 << 20), 1u);
  for (int i = 0; i < 1000; i++) {
    ASSERT_EQ(Build(1 << 20), 16u);
    ASSERT_LT(at_bytes_, size_t{2 * HAK_GROWTH_MIN_BYTES});
  }
}

TEST_F(Growth, AForecastThatWasWrongIsForgotten) {
  EXPECT_EQ(Build(1 << 20), 1u);
  EXPECT_EQ(Build(100 * 1024), 16u) << "it fills less than half";
  EXPECT_EQ(Build(100 * 1024), 1u);
  EXPECT_GT(at_bytes_, size_t{HAK_GROWTH_LARGE_BYTES}) << "one goes without";
  EXPECT_EQ(Build(100 * 1024), 1u);
  EXPECT_LT(at_bytes_, size_t{2 * HAK_GROWTH_MIN_BYTES});
}

TEST_F(Growth, Invariant2FewOfManyThatStaySmall) {
  int with_room = 0;
  for (int i = 0; i < 10000; i++) with_room += Build(8000) != 0;
  EXPECT_GE(with_room, 2);
  EXPECT_LE(with_room, 15) << "1, 2, 4 ... of them in between";
}

TEST_F(Growth, AfterSmallOnesLargeOnesAreFoundAgain) {
  for (int i = 0; i < 100; i++) Build(8000);
  int waited = 0;
  for (at_bytes_ = 1 << 20; at_bytes_ > 2 * HAK_GROWTH_MIN_BYTES; waited++) Build(1 << 20);
  EXPECT_LE(waited, 130);
  ASSERT_NE(Build(1 << 20), 0u);
  EXPECT_LT(at_bytes_, size_t{2 * HAK_GROWTH_MIN_BYTES}) << "and no longer waited for";
}

TEST_F(Growth, AnotherBlockThatGrowsSaysNothingOfTheTrial) {
  ASSERT_EQ(Build(8000), 1u);
  hak_growth_on_use(&growth_, At(1 << 20), 8);
  EXPECT_TRUE(growth_.is_open);
  EXPECT_EQ(growth_.units, 0u);
}

}  // namespace
