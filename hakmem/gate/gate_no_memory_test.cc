/* Every entry point when there is no memory, or too much is asked for. */
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "hakmem/config/config.h"
#include "hakmem/config/test_config.h"
#include "hakmem/gate/gate.h"
#include "hakmem/gate/gate_test_inl.h"
#include "hakmem/os/os_fake.h"
#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

namespace {

struct Entry {
  const char* name;
  std::function<void*(size_t)> allocate;
};

// Every way to ask for `size` bytes.
std::vector<Entry> Entries() {
  return {
      {"malloc", [](size_t size) { return hak_malloc(size); }},
      {"calloc of one", [](size_t size) { return hak_calloc(1, size); }},
      {"calloc of bytes", [](size_t size) { return hak_calloc(size, 1); }},
      {"realloc of NULL", [](size_t size) { return hak_realloc(nullptr, size); }},
      {"reallocarray of NULL", [](size_t size) { return hak_reallocarray(nullptr, size, 1); }},
      {"rezalloc of NULL", [](size_t size) { return hak_rezalloc(nullptr, 0, size); }},
      {"aligned_alloc on 1", [](size_t size) { return hak_aligned_alloc(1, size); }},
      {"aligned_alloc on 64", [](size_t size) { return hak_aligned_alloc(64, size); }},
      {"aligned_alloc on 64 KiB", [](size_t size) { return hak_aligned_alloc(64 * kKiB, size); }},
      {"aligned_alloc on 4 MiB", [](size_t size) { return hak_aligned_alloc(4 * kMiB, size); }},
      {"memalign on 48", [](size_t size) { return hak_memalign(48, size); }},
      {"valloc", [](size_t size) { return hak_gate_valloc(size); }},
      {"pvalloc", [](size_t size) { return hak_gate_pvalloc(size); }},
  };
}

TEST_F(Gate, MoreThanPtrdiffMaxIsRefusedByEveryEntry) {
  for (const Entry& entry : Entries()) {
    for (const size_t size : {kTooMuch, kTooMuch + 1, SIZE_MAX - 65536, SIZE_MAX - 4095, SIZE_MAX - 15, SIZE_MAX}) {
      errno = 0;
      EXPECT_EQ(entry.allocate(size), nullptr) << entry.name << " of " << size;
      EXPECT_EQ(errno, ENOMEM) << entry.name << " of " << size;
    }
    // Allowed in principle; no machine has it.
    errno = 0;
    EXPECT_EQ(entry.allocate(static_cast<size_t>(PTRDIFF_MAX)), nullptr) << entry.name;
    EXPECT_EQ(errno, ENOMEM) << entry.name;
  }
}

TEST_F(Gate, ProductsThatOverflowAreRefused) {
  void* block = hak_malloc(100);
  Fill(block, 100, 1);
  const struct {
    size_t count, size;
  } rows[] = {{SIZE_MAX, 2},        {2, SIZE_MAX},     {SIZE_MAX / 2 + 1, 2}, {size_t{1} << 32, size_t{1} << 32},
              {SIZE_MAX, SIZE_MAX}, {SIZE_MAX / 4, 5}, {kTooMuch / 2, 2},     {size_t{1} << 63, 2}};
  for (const auto& row : rows) {
    for (int entry = 0; entry < 3; entry++) {
      errno = 0;
      EXPECT_EQ(entry == 0   ? hak_calloc(row.count, row.size)
                : entry == 1 ? hak_reallocarray(nullptr, row.count, row.size)
                             : hak_reallocarray(block, row.count, row.size),
                nullptr)
          << row.count << " times " << row.size;
      EXPECT_EQ(errno, ENOMEM);
    }
  }
  EXPECT_TRUE(Holds(block, 100, 1));
  hak_free(block);
}

TEST_F(Gate, PosixMemalignReturnsTheErrorAndLeavesTheRestAlone) {
  void* out = this;
  for (const size_t alignment : {8ul, 64ul, 65536ul, 4ul * kMiB, size_t{1} << 47, size_t{1} << 63}) {
    EXPECT_EQ(hak_posix_memalign(&out, alignment, kTooMuch), ENOMEM) << alignment;
    EXPECT_EQ(hak_posix_memalign(&out, alignment, SIZE_MAX), ENOMEM) << alignment;
    EXPECT_EQ(out, this);
  }
  WithoutMemory([&] {
    EXPECT_EQ(hak_posix_memalign(&out, 64, 10 * kMiB), ENOMEM);
    EXPECT_EQ(hak_posix_memalign(&out, 48, 10 * kMiB), EINVAL);
    EXPECT_EQ(out, this);
  });
  EXPECT_EQ(errno, kErrno);
}

TEST_F(Gate, AlignmentsThatNoMemoryHasAreRefused) {
  for (const size_t alignment : {size_t{1} << 48, size_t{1} << 62, size_t{1} << 63}) {
    errno = 0;
    EXPECT_EQ(hak_aligned_alloc(alignment, 1), nullptr) << alignment;
    EXPECT_EQ(errno, ENOMEM) << alignment;
    errno = 0;
    EXPECT_EQ(hak_memalign(alignment + 1, 1), nullptr) << alignment;
    EXPECT_EQ(errno, ENOMEM) << alignment;
  }
}

// Fills what there is without a new mapping, by every entry and for every kind of block; all of it comes back.
TEST_F(Gate, WithoutMemoryEveryEntrySaysSoAndRecovers) {
  void* kept = hak_malloc(100); /* so that this thread has its heap */
  Fill(kept, 100, 3);
  for (const Entry& entry : Entries()) {
    for (const size_t size : KindSizes()) {
      std::vector<void*> blocks;
      WithoutMemory([&] {
        for (;;) {
          errno = kErrno;
          void* block = entry.allocate(size);
          if (block == nullptr) break;
          EXPECT_EQ(errno, kErrno) << entry.name;
          blocks.push_back(block);
          ASSERT_LT(blocks.size(), 100000u) << entry.name;
        }
        EXPECT_EQ(errno, ENOMEM) << entry.name << " of " << size;
        errno = kErrno;
        for (void* block : blocks) hak_free(block);
        EXPECT_EQ(errno, kErrno);
      });
      void* block = entry.allocate(size);
      EXPECT_NE(block, nullptr) << entry.name << " of " << size;
      hak_free(block);
    }
  }
  EXPECT_TRUE(Holds(kept, 100, 3));
  hak_free(kept);
}

TEST_F(Gate, ABatchStopsWhereMemoryDoes) {
  std::vector<void*> blocks(5000, nullptr);
  size_t done = 0;
  WithoutMemory([&] {
    errno = 0;
    done = hak_malloc_batch(4096, blocks.size(), blocks.data());
    EXPECT_EQ(errno, ENOMEM);
  });
  EXPECT_LT(done, blocks.size());
  for (size_t i = 0; i < blocks.size(); i++) ASSERT_EQ(blocks[i] != nullptr, i < done) << i;
  hak_free_batch(blocks.data(), done);
  errno = kErrno;
  EXPECT_EQ(hak_malloc_batch(kTooMuch, 3, blocks.data()), 0u);
  EXPECT_EQ(errno, ENOMEM);
}

// A mapping that fails once: the freed memory that the thread or the caches sit on serves instead.
TEST_F(Gate, WhatIsCachedServesBeforeTheAnswerIsNo) {
  KeepSurplus();
  hak_free(hak_malloc(8 * kMiB)); /* cached whale */
  hak_os_fake_set_limit_bytes(hak_os_fake_mapped_bytes() + kMiB);
  void* block = hak_malloc(7 * kMiB - 64 * kKiB);
  EXPECT_NE(block, nullptr); /* whole, or unmapped to make room */
  void* other = hak_malloc(7 * kMiB);
  EXPECT_EQ(other, nullptr);
  EXPECT_EQ(errno, ENOMEM);
  hak_free(block);
  void* smaller = hak_malloc(3 * kMiB); /* a part of the cached one */
  EXPECT_NE(smaller, nullptr);
  hak_free(smaller);
  hak_os_fake_set_limit_bytes(0);
  hak_config_reset_for_test();
}

// Neither the block can move nor another be mapped: what is cached behind it makes way, and it grows there.
TEST_F(Gate, ALargeBlockGrowsWhereSomethingWasCached) {
  KeepSurplus();
  void* any = hak_malloc(3 * kMiB);
  const uintptr_t place = (((uintptr_t)any >> 32) - 32) << 32;
  hak_free(any);
  hak_os_fake_spread(place, size_t{1} << 33);
  char* block = static_cast<char*>(hak_malloc(40 * kMiB));
  hak_os_fake_spread(place + 40 * kMiB, size_t{1} << 33);
  void* behind = hak_malloc(40 * kMiB);
  hak_os_fake_spread(0, 0);
  ASSERT_EQ((uintptr_t)block, place);
  ASSERT_EQ(behind, block + 40 * kMiB);
  Fill(block, kMiB, 1);
  hak_free(behind);
  hak_os_fake_set_limit_bytes(hak_os_fake_mapped_bytes() + kMiB);
  errno = 0;
  char* grown = static_cast<char*>(hak_realloc(block, 70 * kMiB));
  EXPECT_EQ(errno, 0);
  ASSERT_EQ(grown, block);
  EXPECT_GE(hak_malloc_usable_size(grown), 70 * kMiB);
  EXPECT_TRUE(Holds(grown, kMiB, 1));
  EXPECT_EQ(hak_realloc(grown, 200 * kMiB), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_TRUE(Holds(grown, kMiB, 1));
  hak_free(grown);
  hak_os_fake_set_limit_bytes(0);
  hak_config_reset_for_test();
}

// Each system call in turn fails once, whatever the program does at the time.
TEST_F(Gate, AnySystemCallMayFail) {
  for (const hak_os_fake_call call :
       {HAK_OS_FAKE_MMAP, HAK_OS_FAKE_MUNMAP, HAK_OS_FAKE_MPROTECT, HAK_OS_FAKE_MADVISE, HAK_OS_FAKE_MREMAP}) {
    for (uint64_t nth = 1; nth <= 12; nth++) {
      hak_trim();
      hak_os_fake_fail_nth(call, nth, ENOMEM);
      for (const size_t size : KindSizes()) {
        void* block = hak_malloc(size);
        if (block == nullptr) continue;
        Fill(block, size, size);
        void* more = hak_realloc(block, 2 * size + 3 * kMiB);
        ASSERT_TRUE(Holds(more != nullptr ? more : block, size, size)) << hak_os_fake_call_name(call) << nth;
        hak_free(more != nullptr ? more : block);
      }
      hak_os_fake_fail_never(call);
    }
  }
}

}  // namespace
