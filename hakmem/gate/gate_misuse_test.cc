/* What a program does wrong: the line on stderr, word for word, and that the heap goes on afterwards. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

#include "hakmem/base/checks.h"
#include "hakmem/base/test_one_line.h"
#include "hakmem/gate/gate_test_inl.h"
#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

namespace {

// Where a test may go on after misuse: the action is `ignore` until the end.
class Misuse : public Gate {
 protected:
  void TearDown() override {
    hak_trim(); /* what was cached twice is found now */
    Gate::TearDown();
  }

  // Reports in `act`, with what it left in the caches dropped.
  template <typename Act>
  static uint64_t CountOf(Act act) {
    const uint64_t before = hak_misuse_count();
    hak_set_error_action(HAK_ERROR_IGNORE);
    act();
    hak_trim();
    hak_set_error_action(HAK_ERROR_ABORT);
    return hak_misuse_count() - before;
  }

  // Blocks of the size are handed out once each.
  static void ExpectSoundHeap(size_t size) {
    std::vector<void*> blocks(300);
    ASSERT_EQ(hak_malloc_batch(size, blocks.size(), blocks.data()), blocks.size());
    EXPECT_EQ(std::set<void*>(blocks.begin(), blocks.end()).size(), blocks.size());
    hak_free_batch(blocks.data(), blocks.size());
  }
};

using MisuseDeathTest = Misuse;

std::string Hex(const void* ptr) {
  char text[32];
  snprintf(text, sizeof text, "%p", ptr);
  return text;
}

// The whole of what stderr holds. The block is made before the fork, so that its address is known.
std::string Line(const std::string& what, const void* ptr, size_t class_bytes) {
  const std::string tail = class_bytes == 0 ? "" : " \\(size class " + std::to_string(class_bytes) + "\\)";
  return OneLine("hakmem: " + what + " " + Hex(ptr) + tail);
}

std::string ForeignLine(const void* ptr) {
  return OneLine("hakmem: foreign pointer " + Hex(ptr) + " \\(not a live block of this allocator\\)");
}

const auto kAborts = testing::KilledBySignal(SIGABRT);

// --- the lines ---

TEST_F(MisuseDeathTest, DoubleFreeAtOnce) {
  for (const size_t size : {64ul, 1000ul, 5000ul, 200000ul}) {
    char* block = static_cast<char*>(hak_malloc(size));
    char* keeps_slab = static_cast<char*>(hak_malloc(size));
    const auto misuse = [&] {
      hak_free(block);
      hak_free(block);
    };
    EXPECT_EXIT(misuse(), kAborts, Line("double free of", block, hak_good_size(size))) << size;
    hak_free(block);
    hak_free(keeps_slab);
  }
}

TEST_F(MisuseDeathTest, DoubleFreeWithOthersBetween) {
  void* blocks[3] = {hak_malloc(64), hak_malloc(64), hak_malloc(64)};
  const auto misuse = [&] {
    hak_free(blocks[0]);
    hak_free(blocks[1]);
    hak_free(blocks[0]);
    hak_trim();
  };
  EXPECT_EXIT(misuse(), kAborts, Line("double free of", blocks[0], 64));
  hak_free_batch(blocks, 3);
}

TEST_F(MisuseDeathTest, DoubleFreeLongAfterwards) {
  void* block = hak_malloc(64);
  void* keeps_slab = hak_malloc(64);
  const auto misuse = [&] {
    hak_free(block);
    hak_trim();
    hak_free(block);
    hak_trim();
  };
  EXPECT_EXIT(misuse(), kAborts, Line("double free of", block, 64));
  hak_free(block);
  hak_free(keeps_slab);
}

TEST_F(MisuseDeathTest, DoubleFreeInABatch) {
  void* block = hak_malloc(64);
  void* twice[] = {block, nullptr, block};
  EXPECT_EXIT(hak_free_batch(twice, 3), kAborts, Line("double free of", block, 64));
  hak_free(block);
}

TEST_F(MisuseDeathTest, DoubleFreeByAnotherThread) {
  void* block = hak_malloc(64);
  const auto misuse = [&] {
    std::thread([&] {
      hak_free(block);
      hak_free(block);
    }).join();
  };
  EXPECT_EXIT(misuse(), kAborts, Line("double free of", block, 64));
  hak_free(block);
}

TEST_F(MisuseDeathTest, InteriorPointers) {
  const struct {
    size_t size, offset;
  } rows[] = {{64, 1},        {64, 16},        {48, 32},     {1000, 8},        {5000, 4096},
              {40000, 32768}, {200000, 65536}, {500000, 16}, {500000, 131072}, {3 * kMiB, 4096}};
  for (const auto& row : rows) {
    char* block = static_cast<char*>(hak_malloc(row.size));
    const auto misuse = [&] {
      hak_free(block + row.offset);
      hak_trim();
    };
    const size_t class_bytes = hak_good_size(row.size);
    EXPECT_EXIT(misuse(), kAborts, Line("interior pointer", block + row.offset, class_bytes)) << row.size;
    hak_free(block);
  }
}

// Freed by a thread that takes it again next, of whose units those behind the first still say whose they are.
TEST_F(MisuseDeathTest, ASpanThatIsParkedIsFree) {
  hak_free(hak_malloc(16));
  hak_free(hak_malloc(500000));
  char* block = static_cast<char*>(hak_malloc(500000));
  hak_free(block);
  EXPECT_EXIT(hak_free(block), kAborts, ForeignLine(block));
  EXPECT_EXIT((void)!hak_realloc(block, 600000), kAborts, ForeignLine(block));
  EXPECT_EXIT(hak_malloc_usable_size(block), kAborts, ForeignLine(block));
  EXPECT_EXIT(hak_free(block + 131072), kAborts, Line("interior pointer", block + 131072, hak_good_size(500000)));
}

TEST_F(MisuseDeathTest, InteriorPointerFarIntoAWhale) {
  char* block = static_cast<char*>(hak_malloc(3 * kMiB));
  EXPECT_EXIT(hak_free(block + kMiB), kAborts, Line("interior pointer", block + kMiB, 0));
  hak_free(block);
}

TEST_F(MisuseDeathTest, ForeignPointers) {
  static int in_data;
  int on_stack = 0;
  void* never = reinterpret_cast<void*>(0x123450);
  EXPECT_EXIT(hak_free(&on_stack), kAborts, ForeignLine(&on_stack));
  EXPECT_EXIT(hak_free(&in_data), kAborts, ForeignLine(&in_data));
  EXPECT_EXIT(hak_free(never), kAborts, ForeignLine(never));
  EXPECT_EXIT(hak_free_sized(&in_data, 4), kAborts, ForeignLine(&in_data));
  EXPECT_EXIT(hak_free_aligned_sized(&in_data, 4, 4), kAborts, ForeignLine(&in_data));
  EXPECT_EXIT((void)!hak_realloc(&in_data, 100), kAborts, ForeignLine(&in_data));
  EXPECT_EXIT((void)!hak_realloc(&in_data, 0), kAborts, ForeignLine(&in_data));
  EXPECT_EXIT(hak_malloc_usable_size(&in_data), kAborts, ForeignLine(&in_data));
  EXPECT_EXIT(hak_expand(&in_data, 100), kAborts, ForeignLine(&in_data));
}

// Their memory goes back to the pool at once: the second free finds nobody's address.
TEST_F(MisuseDeathTest, DoubleFreeOfALargeBlock) {
  for (const size_t size : {500000ul, 3000000ul}) {
    void* block = hak_malloc(size);
    const auto misuse = [&] {
      hak_free(block);
      hak_free(block);
    };
    EXPECT_EXIT(misuse(), kAborts, ForeignLine(block)) << size;
    hak_free(block);
  }
}

TEST_F(MisuseDeathTest, WrongSize) {
  for (const size_t size : KindSizes()) {
    void* block = hak_malloc(size);
    const size_t usable = hak_malloc_usable_size(block);
    const std::string line = Line("wrong size given to the free of", block, usable);
    EXPECT_EXIT(hak_free_sized(block, usable + 1), kAborts, line);
    EXPECT_EXIT(hak_free_aligned_sized(block, 16, usable + 1), kAborts, line);
    EXPECT_EXIT(hak_free_sized(block, SIZE_MAX), kAborts, line);
    hak_free(block);
  }
}

TEST_F(MisuseDeathTest, WithoutThreadCachesEveryFreeIsChecked) {
  if (getenv("HAKMEM_TEST_EMULATOR") != nullptr) GTEST_SKIP() << "under qemu-user: the test executes itself anew";
  void* block = hak_malloc(64);
  void* other = hak_malloc(64);
  const auto old_style = testing::FLAGS_gtest_death_test_style;
  testing::FLAGS_gtest_death_test_style = "threadsafe"; /* starts the program anew, in this environment */
  setenv("HAKMEM_THREAD_CACHE_BYTES", "0", 1);
  const auto misuse = [&] {
    hak_free(block);
    hak_free(other);
    hak_free(block);
    _exit(0);
  };
  EXPECT_EXIT(misuse(), kAborts, OneLine("hakmem: double free of 0x[0-9a-f]+ \\(size class 64\\)"));
  EXPECT_EXIT(hak_free(static_cast<char*>(block) + 16), kAborts, "^hakmem: interior pointer 0x[0-9a-f]+ ");
  unsetenv("HAKMEM_THREAD_CACHE_BYTES");
  testing::FLAGS_gtest_death_test_style = old_style;
  hak_free(block);
  hak_free(other);
}

// --- HAKMEM_ON_ERROR ---

TEST_F(MisuseDeathTest, TheEnvironmentChoosesTheAction) {
  if (getenv("HAKMEM_TEST_EMULATOR") != nullptr) GTEST_SKIP() << "under qemu-user: the test executes itself anew";
  const auto old_style = testing::FLAGS_gtest_death_test_style;
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto misuse = [] {
    static int in_data;
    hak_free(&in_data);
    _exit(hak_misuse_count() == 1 ? 7 : 8);
  };
  setenv("HAKMEM_ON_ERROR", "abort", 1);
  EXPECT_EXIT(misuse(), kAborts,
              OneLine("hakmem: foreign pointer 0x[0-9a-f]+ \\(not a live block of this allocator\\)"));
  setenv("HAKMEM_ON_ERROR", "warn", 1);
  EXPECT_EXIT(misuse(), testing::ExitedWithCode(7),
              OneLine("hakmem: foreign pointer 0x[0-9a-f]+ \\(not a live block of this allocator\\)"));
  setenv("HAKMEM_ON_ERROR", "ignore", 1);
  EXPECT_EXIT(misuse(), testing::ExitedWithCode(7), "^$");
  unsetenv("HAKMEM_ON_ERROR");
  testing::FLAGS_gtest_death_test_style = old_style;
}

TEST_F(Misuse, WarnPrintsOneLineAndGoesOn) {
  char* block = static_cast<char*>(hak_malloc(64));
  hak_set_error_action(HAK_ERROR_WARN);
  testing::internal::CaptureStderr();
  hak_free(block);
  hak_free(block);
  hak_trim();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "hakmem: double free of " + Hex(block) + " (size class 64)\n");
  EXPECT_EQ(errno, kErrno);
  hak_set_error_action(HAK_ERROR_ABORT);
  ExpectSoundHeap(64);
}

TEST_F(Misuse, TheHeapIsSoundAfterEveryKind) {
  for (const size_t size : {16ul, 64ul, 1000ul, 5000ul, 40000ul}) {
    char* block = static_cast<char*>(hak_malloc(size));
    char* other = static_cast<char*>(hak_malloc(size));
    EXPECT_EQ(CountOf([&] { hak_free(block + 8); }), 1u) << size;
    EXPECT_EQ(CountOf([&] { hak_free_sized(block, 2 * hak_good_size(size)); }), 1u) << size;
    EXPECT_EQ(CountOf([&] {
                hak_free(block);
                hak_free(block);
              }),
              1u)
        << size;
    ExpectSoundHeap(size);
    block = static_cast<char*>(hak_malloc(size));
    EXPECT_EQ(CountOf([&] {
                for (void* ptr : {block, other, block, other}) hak_free(ptr);
              }),
              2u)
        << size;
    ExpectSoundHeap(size);
  }
}

TEST_F(Misuse, AWrongSizeLeavesTheBlockAlive) {
  for (const size_t size : KindSizes()) {
    void* block = hak_malloc(size);
    Fill(block, size, size);
    EXPECT_EQ(CountOf([&] { hak_free_sized(block, 64 * kMiB); }), 1u);
    EXPECT_TRUE(Holds(block, size, size));
    hak_free(block);
  }
}

TEST_F(Misuse, QuestionsAboutForeignPointersAreAnswered) {
  static int in_data;
  EXPECT_EQ(CountOf([] {
              EXPECT_EQ(hak_malloc_usable_size(&in_data), 0u);
              EXPECT_EQ(hak_expand(&in_data, 1), nullptr);
              EXPECT_EQ(errno, kErrno);
              EXPECT_EQ(hak_realloc(&in_data, 100), nullptr);
              EXPECT_EQ(errno, EINVAL);
            }),
            3u);
  char* block = static_cast<char*>(hak_malloc(64));
  EXPECT_EQ(CountOf([&] {
              EXPECT_EQ(hak_malloc_usable_size(block + 16), 0u);
              EXPECT_EQ(hak_expand(block + 16, 1), nullptr);
              EXPECT_EQ(hak_realloc(block + 16, 60), nullptr);
            }),
            3u);
  hak_free(block);
}

// 1,365 blocks of 48 B leave 16 B of a unit, where a 1,366th would begin.
TEST_F(Misuse, WhatLiesBehindTheLastBlockOfASlabIsNoBlock) {
  char* block = static_cast<char*>(hak_malloc(48));
  char* behind = block - reinterpret_cast<uintptr_t>(block) % (64 * kKiB) + 1365 * 48;
  EXPECT_EQ(CountOf([&] {
              EXPECT_EQ(hak_realloc(behind, 40), nullptr);
              EXPECT_EQ(errno, EINVAL);
              EXPECT_EQ(hak_malloc_usable_size(behind), 0u);
              hak_free(behind);
            }),
            3u);
  hak_free(block);
}

TEST_F(Misuse, ABlockFreedByTwoThreadsIsReportedOnce) {
  std::vector<void*> blocks(100);
  ASSERT_EQ(hak_malloc_batch(64, blocks.size(), blocks.data()), blocks.size());
  EXPECT_EQ(CountOf([&] {
              std::thread([&] { hak_free(blocks[50]); }).join();
              hak_free(blocks[50]);
            }),
            1u);
  blocks[50] = nullptr;
  hak_free_batch(blocks.data(), blocks.size());
  hak_trim();
  ExpectSoundHeap(64);
}

}  // namespace
