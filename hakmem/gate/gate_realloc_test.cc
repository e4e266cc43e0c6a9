/* realloc and its relatives: contents, places, and blocks that stay as they were when there is no memory. */
#include <algorithm>
#include <random>
#include <vector>

#include "hakmem/gate/gate_test_inl.h"
#include "hakmem/os/os_fake.h"
#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

namespace {

// A few sizes a kind, close together and far apart.
std::vector<size_t> ReallocSizes() {
  return {1,     16,     17,     100,    1000,   1025,    5000,    30000,   33000,
          66000, 200000, 262144, 300000, 700000, 2000000, 2200000, 3000000, 5000000};
}

TEST_F(Gate, ReallocKeepsContentsBetweenAllKindsOfBlocks) {
  for (const size_t from : ReallocSizes()) {
    for (const size_t to : ReallocSizes()) {
      void* block = hak_malloc(from);
      Fill(block, from, from + to);
      block = hak_realloc(block, to);
      ASSERT_NE(block, nullptr);
      ASSERT_TRUE(IsAligned(block, 16));
      ASSERT_GE(hak_malloc_usable_size(block), to);
      ASSERT_TRUE(Holds(block, std::min(from, to), from + to)) << from << " to " << to;
      Fill(block, to, to);
      ASSERT_TRUE(Holds(block, to, to));
      hak_free(block);
    }
  }
  EXPECT_EQ(errno, kErrno);
}

TEST_F(Gate, ReallocOfNullIsMalloc) {
  void* block = hak_realloc(nullptr, 100);
  EXPECT_EQ(hak_malloc_usable_size(block), hak_good_size(100));
  hak_free(block);
  block = hak_reallocarray(nullptr, 10, 10);
  EXPECT_EQ(hak_malloc_usable_size(block), hak_good_size(100));
  hak_free(block);
}

TEST_F(Gate, ReallocToZeroFrees) {
  for (const size_t size : KindSizes()) {
    hak_trim();
    void* block = hak_malloc(size);
    EXPECT_EQ(hak_realloc(block, 0), nullptr) << size;
    hak_trim();
    EXPECT_FALSE(hak_is_in_heap(block)) << size;
    block = hak_malloc(size);
    EXPECT_EQ(hak_reallocarray(block, 0, 7), nullptr) << size;
    hak_trim();
    EXPECT_FALSE(hak_is_in_heap(block)) << size;
  }
  EXPECT_EQ(errno, kErrno);
}

TEST_F(Gate, ASmallChangeDoesNotMove) {
  for (const size_t size : {100ul, 1000ul, 5000ul, 200000ul, 500000ul}) {
    void* block = hak_malloc(size);
    for (const size_t next : {size - size / 8, hak_good_size(size), size}) {
      EXPECT_EQ(hak_realloc(block, next), block) << size << " to " << next;
    }
    hak_free(block);
  }
}

TEST_F(Gate, ABlockThatShrinksALotGivesItsMemoryUp) {
  for (const size_t size : {5000ul, 200000ul, 500000ul, 3000000ul}) {
    void* block = hak_realloc(hak_malloc(size), 20);
    EXPECT_EQ(hak_malloc_usable_size(block), hak_good_size(20)) << size;
    hak_free(block);
  }
}

TEST_F(Gate, RandomReallocsKeepContents) {
  std::mt19937 random(11);
  const std::vector<size_t> sizes = ReallocSizes();
  struct Live {
    void* block;
    size_t size, seed;
  };
  std::vector<Live> live(40, Live{nullptr, 0, 0});
  for (size_t step = 0; step < 3000; step++) {
    Live& one = live[random() % live.size()];
    size_t size = step % 20 == 0 ? sizes[random() % sizes.size()] : random() % 3000 + 1;
    one.block = hak_realloc(one.block, size);
    ASSERT_NE(one.block, nullptr);
    ASSERT_TRUE(Holds(one.block, std::min(size, one.size), one.seed)) << step;
    one.size = size;
    one.seed = step;
    Fill(one.block, size, step);
  }
  for (const Live& one : live) hak_free(one.block);
}

// --- rezalloc ---

TEST_F(Gate, RezallocZeroesTheTail) {
  for (const size_t from : ReallocSizes()) {
    for (const size_t to : ReallocSizes()) {
      char* block = static_cast<char*>(hak_malloc(from));
      memset(block, 0xa5, hak_malloc_usable_size(block)); /* the slack too */
      Fill(block, from, from);
      block = static_cast<char*>(hak_rezalloc(block, from, to));
      ASSERT_NE(block, nullptr);
      ASSERT_TRUE(Holds(block, std::min(from, to), from)) << from << " to " << to;
      ASSERT_TRUE(to <= from || IsZero(block + from, to - from)) << from << " to " << to;
      hak_free(block);
    }
  }
}

TEST_F(Gate, RezallocInSmallSteps) {
  char* block = static_cast<char*>(hak_rezalloc(nullptr, 0, 1));
  size_t size = 1;
  EXPECT_EQ(*block, 0);
  for (size_t next = 2; next < 3000000; next += next / 3 + 1) {
    memset(block, 0xff, size);
    block = static_cast<char*>(hak_rezalloc(block, size, next));
    ASSERT_TRUE(IsZero(block + size, next - size)) << next;
    ASSERT_EQ(static_cast<unsigned char>(block[size - 1]), 0xff) << next;
    size = next;
  }
  EXPECT_EQ(hak_rezalloc(block, size, 0), nullptr);
}

// --- expand ---

TEST_F(Gate, ExpandStaysInPlaceOrDoesNothing) {
  for (const size_t size : KindSizes()) {
    void* block = hak_malloc(size);
    const size_t usable = hak_malloc_usable_size(block);
    Fill(block, usable, size);
    EXPECT_EQ(hak_expand(block, size), block) << size;
    EXPECT_EQ(hak_expand(block, usable), block) << size;
    EXPECT_EQ(hak_expand(block, 1), block) << size; /* never shrinks */
    EXPECT_EQ(hak_malloc_usable_size(block), usable) << size;
    EXPECT_EQ(hak_expand(block, kTooMuch), nullptr);
    EXPECT_EQ(hak_expand(block, SIZE_MAX), nullptr);
    EXPECT_EQ(hak_expand(block, 64 * kMiB), nullptr);
    EXPECT_EQ(hak_malloc_usable_size(block), usable) << size;
    EXPECT_TRUE(Holds(block, usable, size)) << size;
    hak_free(block);
  }
  EXPECT_EQ(hak_expand(nullptr, 1), nullptr);
  EXPECT_EQ(errno, kErrno);
}

TEST_F(Gate, ASpanGrowsIntoFreeUnits) {
  hak_trim();
  void* block = hak_malloc(300 * kKiB); /* the first of an empty SuperSlab, but for slabs in use elsewhere */
  Fill(block, 300 * kKiB, 1);
  ASSERT_EQ(hak_expand(block, 600 * kKiB), block);
  EXPECT_EQ(hak_malloc_usable_size(block), hak_good_size(600 * kKiB));
  EXPECT_TRUE(Holds(block, 300 * kKiB, 1));
  Fill(block, 600 * kKiB, 2);
  void* next = hak_malloc(300 * kKiB);
  EXPECT_EQ(hak_expand(block, 1900 * kKiB), nullptr); /* somebody is there */
  EXPECT_TRUE(Holds(block, 600 * kKiB, 2));
  block = hak_realloc(block, 900 * kKiB);
  EXPECT_TRUE(Holds(block, 600 * kKiB, 2));
  hak_free(block);
  hak_free(next);
  EXPECT_EQ(errno, kErrno);
}

// --- no memory ---

// Copies of a string that grows by half each time from 64 B to 1 MB.
int MovesOfAString() {
  size_t size = 64;
  void* block = hak_malloc(size);
  Fill(block, size, 1);
  int moves = 0;
  for (; size < 1000000; size += size / 2) {
    const size_t next = size + size / 2;
    void* grown = hak_realloc(block, next);
    EXPECT_TRUE(Holds(grown, size, 1)) << size;
    EXPECT_GE(hak_malloc_usable_size(grown), next);
    moves += grown != block;
    block = grown;
    Fill(block, next, 1);
  }
  hak_free(block);
  return moves;
}

TEST_F(Gate, AStringThatGrowsIsCopiedWhileItIsSmallOnly) {
  for (int i = 0; i < 20; i++) EXPECT_LE(MovesOfAString(), 8) << i << ": up to 1 KiB each class, then nowhere";
}

TEST_F(Gate, StringsThatGrowByTurnsAreCopiedWhileTheyAreSmallOnly) {
  constexpr int kStrings = 8;
  void* blocks[kStrings] = {};
  size_t old = 0;
  int moves = 0;
  for (size_t size = 64; size < 700000; old = size, size += size / 2) {
    for (int i = 0; i < kStrings; i++) {
      void* grown = hak_realloc(blocks[i], size);
      ASSERT_TRUE(old == 0 || Holds(grown, old, i));
      if (size > 50000) moves += grown != blocks[i];
      blocks[i] = grown;
      Fill(grown, size, i);
    }
  }
  EXPECT_EQ(moves, 0);
  for (void* block : blocks) hak_free(block);
}

TEST_F(Gate, WhatHasGrownShrinksToItsSize) {
  void* block = hak_realloc(hak_malloc(20000), 600000);
  Fill(block, 600000, 3);
  EXPECT_EQ(hak_realloc(block, 100000), block) << "its units go back";
  EXPECT_EQ(hak_malloc_usable_size(block), 2u * HAK_UNIT_BYTES);
  EXPECT_TRUE(Holds(block, 100000, 3));
  EXPECT_EQ(hak_realloc(block, 300000), block) << "and come again";
  block = hak_realloc(block, 1000);
  EXPECT_EQ(hak_malloc_usable_size(block), hak_good_size(1000)) << "a small one is a small one again";
  EXPECT_TRUE(Holds(block, 1000, 3));
  hak_free(block);
}

TEST_F(Gate, AFailedReallocLeavesTheBlock) {
  for (const size_t size : KindSizes()) {
    void* block = hak_malloc(size);
    Fill(block, size, size);
    WithoutMemory([&] {
      for (const size_t more : {200 * kMiB, static_cast<size_t>(PTRDIFF_MAX), kTooMuch, SIZE_MAX}) {
        errno = 0;
        EXPECT_EQ(hak_realloc(block, more), nullptr);
        EXPECT_EQ(errno, ENOMEM);
        errno = 0;
        EXPECT_EQ(hak_rezalloc(block, size, more), nullptr);
        EXPECT_EQ(errno, ENOMEM);
        EXPECT_TRUE(Holds(block, size, size)) << size;
      }
      errno = 0;
      EXPECT_EQ(hak_reallocarray(block, SIZE_MAX / 8, 16), nullptr);
      EXPECT_EQ(errno, ENOMEM);
    });
    EXPECT_TRUE(Holds(block, size, size)) << size;
    EXPECT_GE(hak_malloc_usable_size(block), size);
    block = hak_realloc(block, size + 4 * kMiB); /* and now it goes */
    ASSERT_NE(block, nullptr);
    EXPECT_TRUE(Holds(block, size, size)) << size;
    hak_free(block);
  }
}

TEST_F(Gate, ABlockCanAlwaysShrink) {
  for (const size_t size : KindSizes()) {
    void* block = hak_malloc(size);
    Fill(block, size, size);
    WithoutMemory([&] {
      block = hak_realloc(block, 17);
      ASSERT_NE(block, nullptr) << size;
      EXPECT_TRUE(Holds(block, 17, size)) << size;
    });
    hak_free(block);
  }
}

// 2^48 bytes and some are 2^32 units and some.
TEST_F(Gate, ReallocToMoreUnitsThanThirtyTwoBitsCountFails) {
  for (const size_t from : {size_t{1000}, size_t{5000}, 100 * kKiB, 300 * kKiB, 3 * kMiB}) {
    char* block = static_cast<char*>(hak_malloc(from));
    Fill(block, from, from);
    for (const size_t units : {1, 2, 16, 31}) {
      const size_t huge = ((size_t{1} << 32) + units) * 64 * kKiB - 5;
      errno = kErrno;
      EXPECT_EQ(hak_realloc(block, huge), nullptr) << from;
      EXPECT_EQ(errno, ENOMEM);
      errno = kErrno;
      EXPECT_EQ(hak_reallocarray(block, huge / 8, 8), nullptr) << from;
      EXPECT_EQ(errno, ENOMEM);
      EXPECT_TRUE(Holds(block, from, from));
    }
    hak_free(block);
  }
}

}  // namespace
