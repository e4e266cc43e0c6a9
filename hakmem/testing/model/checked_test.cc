#include "hakmem/testing/model/checked.h"

#include <stdint.h>

#include "gtest/gtest.h"

namespace {

using hak_model::Block;
using hak_model::Checked;

TEST(Checked, EveryCallLeavesTheModelBalanced) {
  Checked heap;
  Block blocks[8];
  ASSERT_EQ(heap.MallocBatch(100, 8, blocks), 8u);
  heap.FreeBatch(blocks, 8);
  Block block = heap.Malloc(0);
  ASSERT_TRUE(heap.Realloc(&block, 100));
  ASSERT_TRUE(heap.Rezalloc(&block, 100000));
  ASSERT_TRUE(heap.Reallocarray(&block, 3, 200000));
  heap.UseAll(&block);
  EXPECT_GE(block.bytes, 600000u);
  ASSERT_TRUE(heap.Expand(&block, 600001));
  EXPECT_EQ(heap.model()->LiveBytes(), 600001u);
  ASSERT_TRUE(heap.Realloc(&block, 0));
  EXPECT_FALSE(block);
  heap.Free(heap.Calloc(3, 33));
  heap.FreeSized(heap.Memalign(48, 100));
  heap.FreeAlignedSized(heap.AlignedAlloc(4096, 5));
  heap.Free(heap.PosixMemalign(8, 5));
  heap.Free(Block());
  EXPECT_EQ(heap.model()->LiveBlocks(), 0u);
}

TEST(Checked, WhatCannotBeIsRefusedAndLeavesTheBlock) {
  Checked heap;
  EXPECT_FALSE(heap.Malloc(SIZE_MAX));
  EXPECT_FALSE(heap.Calloc(SIZE_MAX / 2, 3));
  EXPECT_FALSE(heap.AlignedAlloc(16, PTRDIFF_MAX));
  EXPECT_FALSE(heap.PosixMemalign(4096, SIZE_MAX));
  Block block = heap.Malloc(77);
  EXPECT_FALSE(heap.Realloc(&block, SIZE_MAX - 1));
  EXPECT_FALSE(heap.Reallocarray(&block, SIZE_MAX / 2, 3));
  EXPECT_FALSE(heap.Rezalloc(&block, PTRDIFF_MAX));
  EXPECT_FALSE(heap.Expand(&block, SIZE_MAX));
  EXPECT_EQ(block.bytes, 77u);
  heap.Free(block);
}

TEST(CheckedDeathTest, FindsAWriteToABlockThatIsFreed) {
  Checked heap;
  const Block block = heap.Malloc(100);
  block.address[99] ^= 1;
  EXPECT_DEATH(heap.Free(block), "model: damaged");
}

}  // namespace
