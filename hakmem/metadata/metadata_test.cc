#include "hakmem/metadata/metadata.h"

#include <errno.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "hakmem/os/os.h"
#include "hakmem/os/os_fake.h"

#include "gtest/gtest.h"

namespace {

constexpr size_t kKiB = 1024;
constexpr size_t kSizeMax = 64 * kKiB;
constexpr size_t kPageAlignment = 4096;
constexpr size_t kAlignmentMax = 16 * kKiB;
constexpr size_t kAlignedSizeMax = 48 * kKiB; /* above kPageAlignment */

/* Chunks made accessible while the observer was on: where their guards are. */
std::vector<std::pair<char*, size_t>> chunks;

void NoteChunk(hak_os_fake_call call, void* base, size_t size_bytes) {
  if (call == HAK_OS_FAKE_MPROTECT) chunks.emplace_back(static_cast<char*>(base), size_bytes);
}

class Metadata : public testing::Test {
 protected:
  void SetUp() override {
    hak_os_fake_reset();
    chunks.clear();
  }
  void TearDown() override {
    hak_os_fake_reset();
    EXPECT_EQ(hak_os_read_counters().mapped_bytes, hak_os_fake_mapped_bytes());
  }

  static char* Alloc(size_t size_bytes, size_t alignment = 16) {
    return static_cast<char*>(hak_metadata_alloc(size_bytes, alignment));
  }

  // Takes the rest of the present chunk, so that the next allocation needs a new one.
  static void UseUpChunk() {
    hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
    for (size_t size : {kSizeMax, 4 * kKiB, size_t{64}, size_t{1}}) {
      while (Alloc(size, 1) != nullptr) continue;
    }
    hak_os_fake_fail_never(HAK_OS_FAKE_MMAP);
  }

  static bool LiesInAChunk(const char* block, size_t size_bytes) {
    return std::any_of(chunks.begin(), chunks.end(), [=](const auto& chunk) {
      return block >= chunk.first && block + size_bytes <= chunk.first + chunk.second;
    });
  }
};

using MetadataDeathTest = Metadata;

TEST_F(Metadata, Invariant1ZeroAndAligned) {
  for (size_t alignment = 1; alignment <= kAlignmentMax; alignment *= 2) {
    for (const size_t size :
         {size_t{1}, size_t{17}, size_t{4096}, alignment <= kPageAlignment ? kSizeMax : kAlignedSizeMax}) {
      char* block = Alloc(size, alignment);
      ASSERT_NE(block, nullptr);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(block) % alignment, 0u) << size << " on " << alignment;
      ASSERT_TRUE(std::all_of(block, block + size, [](char c) { return c == 0; }));
      std::fill(block, block + size, static_cast<char>(0x5a));
    }
  }
}

TEST_F(MetadataDeathTest, Invariant1BetweenGuardPages) {
  UseUpChunk();
  hak_os_fake_set_observer(NoteChunk);
  char* block = Alloc(kSizeMax, kPageAlignment);
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_TRUE(LiesInAChunk(block, kSizeMax));
  char* begin = chunks[0].first;
  char* end = begin + chunks[0].second;
  EXPECT_DEATH(*const_cast<volatile char*>(begin - 1) = 1, "");
  EXPECT_DEATH(*const_cast<volatile char*>(end) = 1, "");
  /* The whole of it is used, and never more. */
  for (size_t i = 1; i < chunks[0].second / kSizeMax; i++) ASSERT_TRUE(LiesInAChunk(Alloc(kSizeMax), kSizeMax));
  EXPECT_EQ(chunks.size(), 1u);
  EXPECT_NE(Alloc(1), nullptr);
  EXPECT_EQ(chunks.size(), 2u);
}

// Invariant 1: no descriptor overlaps another, whatever the sizes.
TEST_F(Metadata, Invariant1BlocksAreApart) {
  UseUpChunk();
  hak_os_fake_set_observer(NoteChunk);
  std::vector<std::pair<char*, size_t>> blocks;
  uint64_t state = 1;
  for (int i = 0; i < 2000; i++) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    const size_t size = 1 + (state >> 40) % 3000;
    char* block = Alloc(size, size_t{1} << (state >> 33) % 8);
    ASSERT_NE(block, nullptr);
    ASSERT_TRUE(LiesInAChunk(block, size));
    blocks.emplace_back(block, size);
  }
  std::sort(blocks.begin(), blocks.end());
  for (size_t i = 1; i < blocks.size(); i++) ASSERT_LE(blocks[i - 1].first + blocks[i - 1].second, blocks[i].first);
}

TEST_F(Metadata, Invariant2NothingIsEverUnmapped) {
  for (int i = 0; i < 64; i++) ASSERT_NE(Alloc(kSizeMax), nullptr);
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MUNMAP), 0u);
  EXPECT_GE(hak_os_fake_calls(HAK_OS_FAKE_MMAP), 3u); /* 4 MiB in chunks of one */
}

TEST_F(Metadata, CountsWhatIsHandedOut) {
  const uint64_t before = hak_metadata_used_bytes();
  Alloc(100, 4096);
  Alloc(1, 1);
  EXPECT_EQ(hak_metadata_used_bytes(), before + 101);
  UseUpChunk();
  const uint64_t used = hak_metadata_used_bytes();
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  EXPECT_EQ(Alloc(100), nullptr);
  EXPECT_EQ(hak_metadata_used_bytes(), used);
}

TEST_F(Metadata, NoMemoryThenRetry) {
  UseUpChunk();
  const uint64_t mapped = hak_os_fake_mapped_bytes();
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  errno = 77;
  EXPECT_EQ(Alloc(1), nullptr);
  EXPECT_EQ(errno, 77);
  EXPECT_EQ(hak_os_fake_mapped_bytes(), mapped);
  hak_os_fake_fail_never(HAK_OS_FAKE_MMAP);
  EXPECT_NE(Alloc(1), nullptr);
}

TEST_F(Metadata, EachCallOfANewChunkRefused) {
  for (const hak_os_fake_call call : {HAK_OS_FAKE_MMAP, HAK_OS_FAKE_MPROTECT}) {
    /* The first refusal leaves the small chunk, the second one of the small chunk's own is never reached. */
    for (uint64_t n = 1; n <= 2; n++) {
      UseUpChunk();
      const uint64_t mapped = hak_os_fake_mapped_bytes();
      hak_os_fake_fail_nth(call, n, ENOMEM);
      EXPECT_NE(Alloc(1), nullptr);
      const uint64_t chunk = n == 1 ? 64 * kKiB : 1024 * kKiB;
      EXPECT_EQ(hak_os_fake_mapped_bytes(), mapped + chunk + 2 * hak_os_page_bytes());
      hak_os_fake_fail_never(call);
    }
    UseUpChunk();
    const uint64_t mapped = hak_os_fake_mapped_bytes();
    hak_os_fake_fail_from(call, 1, ENOMEM);
    EXPECT_EQ(Alloc(1), nullptr);
    EXPECT_EQ(hak_os_fake_mapped_bytes(), mapped);
    hak_os_fake_fail_never(call);
    EXPECT_NE(Alloc(1), nullptr);
  }
}

TEST_F(Metadata, GetsByWithASmallChunkNearTheLimit) {
  for (const auto& [size, alignment] :
       {std::pair(kSizeMax, kPageAlignment), std::pair(kAlignedSizeMax, kAlignmentMax)}) {
    UseUpChunk();
    hak_os_fake_set_limit_bytes(hak_os_fake_mapped_bytes() + 64 * kKiB + 2 * hak_os_page_bytes());
    EXPECT_NE(Alloc(size, alignment), nullptr);
    UseUpChunk();
    EXPECT_EQ(Alloc(1), nullptr);
    hak_os_fake_set_limit_bytes(0);
  }
}

TEST_F(MetadataDeathTest, ArgumentsAreChecked) {
  EXPECT_DEATH(hak_metadata_alloc(kSizeMax + 1, 16), "broken invariant");
  EXPECT_DEATH(hak_metadata_alloc(SIZE_MAX, 16), "broken invariant");
  EXPECT_DEATH(hak_metadata_alloc(1, 0), "broken invariant");
  EXPECT_DEATH(hak_metadata_alloc(1, 24), "broken invariant");
  EXPECT_DEATH(hak_metadata_alloc(1, 2 * kAlignmentMax), "broken invariant");
  EXPECT_DEATH(hak_metadata_alloc(kAlignedSizeMax + 1, 2 * kPageAlignment), "broken invariant");
}

TEST_F(Metadata, ThreadsGetBlocksOfTheirOwn) {
  constexpr int kThreads = 4;
  constexpr int kBlocks = 1000;
  constexpr size_t kBytes = 1500;
  std::vector<std::vector<char*>> blocks(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&blocks, t] {
      for (int i = 0; i < kBlocks; i++) {
        char* block = Alloc(kBytes, 64);
        if (block == nullptr) return;
        block[0] = block[kBytes - 1] = static_cast<char>(t + 1);
        blocks[t].push_back(block);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<char*> all;
  for (int t = 0; t < kThreads; t++) {
    ASSERT_EQ(blocks[t].size(), size_t{kBlocks});
    for (char* block : blocks[t]) {
      ASSERT_EQ(block[0], t + 1);
      ASSERT_EQ(block[kBytes - 1], t + 1);
    }
    all.insert(all.end(), blocks[t].begin(), blocks[t].end());
  }
  std::sort(all.begin(), all.end());
  for (size_t i = 1; i < all.size(); i++) ASSERT_GE(all[i] - all[i - 1], static_cast<ptrdiff_t>(kBytes));
}

}  // namespace
