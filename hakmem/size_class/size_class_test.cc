#include "hakmem/size_class/size_class.h"

#include "gtest/gtest.h"

namespace {

TEST(SizeClass, RowsAreSortedAndWhole) {
  uint32_t last_bytes = 0;
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    const hak_size_class& row = hak_size_class_table[c];
    EXPECT_GT(row.block_bytes, last_bytes);
    EXPECT_EQ(row.block_bytes % HAK_MIN_ALIGN_BYTES, 0u);
    EXPECT_EQ(row.reciprocal, (0x100000000ull + row.block_bytes - 1) / row.block_bytes);
    EXPECT_EQ(row.blocks, static_cast<uint32_t>(row.units) * HAK_UNIT_BYTES / row.block_bytes);
    EXPECT_GE(row.blocks, 1u);
    EXPECT_LE(row.blocks, static_cast<uint32_t>(HAK_SIZE_CLASS_MAX_BLOCKS));
    EXPECT_LT(row.units, HAK_SUPERSLAB_UNITS);
    last_bytes = row.block_bytes;
  }
  EXPECT_EQ(last_bytes, static_cast<uint32_t>(HAK_SIZE_CLASS_MAX_BYTES));
}

TEST(SizeClass, EverySizeGetsTheSmallestClassThatFits) {
  uint32_t expected = 0;
  for (size_t size = 0; size <= HAK_SIZE_CLASS_MAX_BYTES; size++) {
    if (size > hak_size_class_table[expected].block_bytes) expected++;
    ASSERT_EQ(hak_size_class_of(size), expected) << size;
  }
}

TEST(SizeClass, TinyMacroAgreesWithTheFunction) {
  for (size_t size = 0; size <= HAK_SIZE_CLASS_TINY_MAX_BYTES; size++) {
    ASSERT_EQ(static_cast<uint32_t>(HAK_SIZE_CLASS_OF_TINY(static_cast<uint32_t>(size))), hak_size_class_of(size))
        << size;
  }
}

TEST(SizeClass, BoundariesOfTheGroups) {
  EXPECT_EQ(hak_size_class_of(128), HAK_SIZE_CLASS_FINE_COUNT - 1u);
  EXPECT_EQ(hak_size_class_of(129), static_cast<uint32_t>(HAK_SIZE_CLASS_FINE_COUNT));
  EXPECT_EQ(hak_size_class_of(HAK_SIZE_CLASS_SHARED_MAX_BYTES), HAK_SIZE_CLASS_SHARED_COUNT - 1u);
  EXPECT_EQ(hak_size_class_of(HAK_SIZE_CLASS_SHARED_MAX_BYTES + 1), static_cast<uint32_t>(HAK_SIZE_CLASS_SHARED_COUNT));
  EXPECT_EQ(hak_size_class_of(HAK_SIZE_CLASS_MAX_BYTES), HAK_SIZE_CLASS_COUNT - 1u);
}

TEST(SizeClass, WasteIsBounded) {
  for (uint32_t c = HAK_SIZE_CLASS_FINE_COUNT; c < HAK_SIZE_CLASS_SHARED_COUNT; c++) {
    const uint32_t smallest_request = hak_size_class_table[c - 1].block_bytes + 1;
    EXPECT_LE(hak_size_class_table[c].block_bytes, smallest_request + smallest_request / 4) << c;
  }
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    const hak_size_class& row = hak_size_class_table[c];
    const uint32_t slab_bytes = static_cast<uint32_t>(row.units) * HAK_UNIT_BYTES;
    const uint32_t left_over = slab_bytes - row.blocks * row.block_bytes;
    EXPECT_LE(left_over * 1000ull, 63ull * slab_bytes) << c;
  }
}

// Invariants 3 and 6, and what follows for every other byte of a slab: an interior pointer is never taken for a block's start.
TEST(SizeClass, ReciprocalFindsEveryBlockAndNothingElse) {
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    const hak_size_class& row = hak_size_class_table[c];
    const uint32_t slab_bytes = static_cast<uint32_t>(row.units) * HAK_UNIT_BYTES;
    uint32_t wrong = 0;
    for (uint64_t offset = 0; offset < slab_bytes; offset++) {
      const uint64_t place = offset * row.reciprocal;
      const uint64_t index = place >> 32;
      const bool is_start = offset % row.block_bytes == 0;
      wrong += is_start ? index != offset / row.block_bytes : index * row.block_bytes == offset;
      wrong += index < row.blocks && (static_cast<uint32_t>(place) < row.reciprocal) != is_start;
      wrong += index > offset / row.block_bytes + 1; /* bitmaps have a word for it all the same */
    }
    EXPECT_EQ(wrong, 0u) << "class of " << row.block_bytes;
  }
}

uint32_t SlowAligned(size_t size, size_t alignment) {
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    const uint32_t block_bytes = hak_size_class_table[c].block_bytes;
    if (block_bytes >= size && block_bytes % alignment == 0) return c;
  }
  return HAK_SIZE_CLASS_COUNT;
}

TEST(SizeClass, AlignedAgreesWithSearch) {
  for (size_t alignment = 1; alignment <= HAK_UNIT_BYTES; alignment *= 2) {
    for (size_t size = 0; size <= HAK_SIZE_CLASS_MAX_BYTES + 1; size += size < 5000 ? 1 : 97) {
      ASSERT_EQ(hak_size_class_of_aligned(size, alignment), SlowAligned(size, alignment))
          << size << " on " << alignment;
    }
    ASSERT_EQ(hak_size_class_of_aligned(HAK_SIZE_CLASS_MAX_BYTES, alignment), HAK_SIZE_CLASS_COUNT - 1u);
    ASSERT_EQ(hak_size_class_of_aligned(HAK_SIZE_CLASS_MAX_BYTES + 1, alignment), uint32_t{HAK_SIZE_CLASS_COUNT});
  }
}

TEST(SizeClass, NoClassAboveUnitAlignment) {
  EXPECT_EQ(hak_size_class_of_aligned(16, 2 * HAK_UNIT_BYTES), uint32_t{HAK_SIZE_CLASS_COUNT});
  EXPECT_EQ(hak_size_class_of_aligned(SIZE_MAX, 16), uint32_t{HAK_SIZE_CLASS_COUNT});
}

}  // namespace
