#include "hakmem/testing/model/model.h"

#include <stdlib.h>
#include <string.h>

#include <thread>
#include <utility>
#include <vector>

#include "hakmem/testing/model/random.h"

#include "gtest/gtest.h"

namespace {

using hak_model::Block;
using hak_model::Contents;
using hak_model::Model;

constexpr size_t kArenaBytes = 4 * 1024 * 1024;

// The model only sees addresses: the tests hand out pieces of one arena, rightly and wrongly.
class ModelTest : public testing::Test {
 protected:
  void SetUp() override { arena_ = static_cast<unsigned char*>(aligned_alloc(4096, kArenaBytes)); }
  void TearDown() override { free(arena_); }

  unsigned char* At(size_t offset) { return arena_ + offset; }

  Model model_;
  unsigned char* arena_ = nullptr;
};

using ModelDeathTest = ModelTest;

TEST_F(ModelTest, NeighboursLiveSideBySide) {
  std::vector<Block> blocks;
  size_t offset = 0;
  for (size_t bytes : {1u, 16u, 17u, 1024u, 1023u, 65536u, 65537u, 1000000u}) {
    blocks.push_back(model_.Take(At(offset), bytes));
    offset += (bytes + 15) / 16 * 16;
  }
  EXPECT_EQ(model_.LiveBlocks(), blocks.size());
  for (const Block& block : blocks) model_.Check(block);
  for (const Block& block : blocks) model_.Drop(block);
  EXPECT_EQ(model_.LiveBlocks(), 0u);
  EXPECT_EQ(model_.LiveBytes(), 0u);
}

TEST_F(ModelTest, MemoryIsTakenAgainAfterDrop) {
  for (size_t bytes = 0; bytes < 3000; bytes += 7) model_.Drop(model_.Take(At(bytes / 16 * 16), bytes));
  EXPECT_EQ(model_.LiveBlocks(), 0u);
}

TEST_F(ModelTest, BlocksOfNoBytesAreBlocks) {
  const Block empty = model_.Take(At(16), 0);
  const Block next = model_.Take(At(32), 1);
  EXPECT_EQ(model_.LiveBlocks(), 2u);
  model_.Drop(empty);
  model_.Drop(next);
}

TEST_F(ModelDeathTest, FindsOverlapWhereverItIs) {
  model_.Take(At(4096), 5000);
  EXPECT_DEATH(model_.Take(At(4096), 16), "model: overlap with a live block");
  EXPECT_DEATH(model_.Take(At(4096 + 4992), 16), "model: overlap");
  EXPECT_DEATH(model_.Take(At(4096 + 2048), 0), "model: overlap");
  EXPECT_DEATH(model_.Take(At(0), 4097), "model: overlap");
  EXPECT_DEATH(model_.Take(At(0), 1000000), "model: overlap");
  model_.Take(At(0), 4096);
  model_.Take(At(4096 + 5008), 16);
}

TEST_F(ModelDeathTest, FindsOverlapOfBlocksOfNoBytes) {
  model_.Take(At(64), 0);
  EXPECT_DEATH(model_.Take(At(64), 0), "model: overlap");
}

TEST_F(ModelDeathTest, FindsOverlapBetweenThreads) {
  std::thread([&] { model_.Take(At(0), 100); }).join();
  EXPECT_DEATH(model_.Take(At(96), 100), "model: overlap");
}

TEST_F(ModelDeathTest, FindsDamage) {
  const Block small = model_.Take(At(0), 37);
  At(0)[36] ^= 1;
  EXPECT_DEATH(model_.Check(small), "model: damaged");
  EXPECT_DEATH(model_.Drop(small), "model: damaged");
  At(0)[36] ^= 1;
  model_.Check(small);
  const Block large = model_.Take(At(4096), 300001);
  for (size_t at : {size_t{0}, size_t{4095}, size_t{300000}, size_t{299000}}) {
    At(4096)[at] ^= 0x80;
    EXPECT_DEATH(model_.Drop(large), "model: damaged") << at;
    At(4096)[at] ^= 0x80;
  }
  memset(At(4096 + 150000), 0, 512);
  EXPECT_DEATH(model_.Drop(large), "model: damaged");
}

TEST_F(ModelDeathTest, TellsTheContentsOfBlocksApart) {
  const Block first = model_.Take(At(0), 64);
  const Block second = model_.Take(At(64), 64);
  memcpy(first.address, second.address, 64);
  model_.Check(second);
  EXPECT_DEATH(model_.Check(first), "model: damaged");
}

TEST_F(ModelDeathTest, FindsMisalignment) {
  EXPECT_DEATH(model_.Take(At(8), 1), "model: misaligned");
  EXPECT_DEATH(model_.Take(At(16), 1, 32), "model: misaligned");
  EXPECT_DEATH(model_.Take(At(2048), 1, 4096), "model: misaligned");
  model_.Take(At(4096), 1, 4096);
  model_.Take(At(16), 1, 1);
}

TEST_F(ModelDeathTest, FindsWhatCallocDidNotClear) {
  memset(arena_, 0, 100000);
  model_.Drop(model_.Take(At(0), 100000, 16, Contents::kZero));
  for (size_t dirty : {size_t{0}, size_t{41}, size_t{50000}, size_t{99999}}) {
    memset(arena_, 0, 100000);
    arena_[dirty] = 1;
    EXPECT_DEATH(model_.Take(At(0), 100000, 16, Contents::kZero), "model: not zero") << dirty;
    model_.Drop(model_.Take(At(0), dirty, 16, Contents::kZero));
  }
}

TEST_F(ModelDeathTest, FindsBlocksThatAreNotLive) {
  const Block block = model_.Take(At(0), 100);
  const Block copy = block;
  model_.Drop(block);
  EXPECT_DEATH(model_.Drop(copy), "model: no live block");
  EXPECT_DEATH(model_.Take(nullptr, 1), "model: NULL");
}

TEST_F(ModelTest, ResizeKeepsTheContents) {
  for (const auto& [from, to] : {std::pair<size_t, size_t>{100, 40}, {40, 100000}, {100000, 200000}, {200001, 70001}}) {
    Block block = model_.Take(At(0), from);
    model_.BeginResize(block);
    memmove(At(1048576), At(0), from < to ? from : to);
    block = model_.EndResize(block, At(1048576), to);
    EXPECT_EQ(block.bytes, to);
    model_.Check(block);
    model_.BeginResize(block);
    EXPECT_EQ(model_.LiveBlocks(), 0u);
    block = model_.UndoResize(block);
    model_.Drop(block);
  }
}

TEST_F(ModelDeathTest, FindsWhatReallocLost) {
  Block block = model_.Take(At(0), 200000);
  model_.BeginResize(block);
  memcpy(At(1048576), At(0), 195000);
  EXPECT_DEATH(model_.EndResize(block, At(1048576), 300000), "model: not carried over by realloc");
  EXPECT_DEATH(model_.EndResize(block, At(1048576), 200000), "model: not carried over by realloc");
  const Block smaller = model_.EndResize(block, At(1048576), 195000);
  EXPECT_EQ(smaller.bytes, 195000u);
}

TEST_F(ModelDeathTest, FindsWhatRezallocDidNotClear) {
  Block block = model_.Take(At(0), 100);
  model_.BeginResize(block);
  memset(At(100), 0, 100);
  At(199)[0] = 7;
  EXPECT_DEATH(model_.EndResize(block, At(0), 200, Contents::kZero), "model: not zero");
  block = model_.EndResize(block, At(0), 199, Contents::kZero);
}

TEST_F(ModelDeathTest, FindsAFailedReallocThatTouchedTheBlock) {
  const Block block = model_.Take(At(0), 100);
  model_.BeginResize(block);
  At(0)[50] ^= 1;
  EXPECT_DEATH(model_.UndoResize(block), "model: damaged");
}

TEST(Random, SizesCoverTheRangeAndLeanToTheSmall) {
  hak_model::Random random(1);
  constexpr size_t kMax = 8 * 1024 * 1024;
  size_t small = 0, spans = 0, whales = 0;
  for (int i = 0; i < 100000; i++) {
    const size_t bytes = hak_model::SkewedSize(&random, kMax);
    ASSERT_LE(bytes, kMax);
    small += bytes <= 1024;
    spans += bytes > 256 * 1024 && bytes <= 1984 * 1024;
    whales += bytes > 1984 * 1024;
  }
  EXPECT_GT(small, 80000u);
  EXPECT_GT(spans, 20u);
  EXPECT_GT(whales, 20u);
}

}  // namespace
