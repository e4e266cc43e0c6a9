// In asan builds AddressSanitizer sees the use of HAKMEM's memory as it sees that of its own.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <string>

#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

namespace {

constexpr size_t kKiB = 1024;

unsigned char* Launder(void* block) {
  __asm__ volatile("" : "+r"(block) : : "memory");
  return static_cast<unsigned char*>(block);
}

unsigned char* Malloc(size_t bytes) { return Launder(hak_malloc(bytes)); }

// A block of a slab, one that has a slab to itself, a span, whales.
class PoisonDeathTest : public testing::TestWithParam<size_t> {};

TEST_P(PoisonDeathTest, UseAfterFree) {
  const size_t bytes = GetParam();
  unsigned char* block = Malloc(bytes);
  memset(block, 1, bytes);
  hak_free(block);
  // The largest is unmapped at once: that is a plain fault, which ASan reports as well.
  EXPECT_DEATH(*Launder(block) = 1, "AddressSanitizer: (use-after-poison|SEGV)");
  EXPECT_DEATH(*Launder(block + bytes - 1) = 1, "AddressSanitizer: (use-after-poison|SEGV)");
  unsigned char value = 0;
  EXPECT_DEATH(value = *Launder(block + bytes / 2), "AddressSanitizer: (use-after-poison|SEGV)");
  EXPECT_EQ(value, 0);
}

TEST_P(PoisonDeathTest, BytesBehindTheRequest) {
  const size_t bytes = GetParam();
  unsigned char* block = Malloc(bytes);
  memset(block, 1, bytes);
  if (hak_good_size(bytes) > bytes) EXPECT_DEATH(*Launder(block + bytes) = 1, "AddressSanitizer: use-after-poison");
  hak_free(block);
}

TEST_P(PoisonDeathTest, BytesThatReallocGaveUp) {
  const size_t bytes = GetParam();
  unsigned char* block = Malloc(bytes);
  block = Launder(hak_realloc(block, bytes - bytes / 4));
  memset(block, 1, bytes - bytes / 4);
  EXPECT_DEATH(*Launder(block + bytes - bytes / 4) = 1, "AddressSanitizer: use-after-poison");
  hak_free(block);
}

TEST_P(PoisonDeathTest, ThePlaceThatReallocLeft) {
  const size_t bytes = GetParam();
  unsigned char* block = Malloc(bytes);
  unsigned char* grown = Launder(hak_realloc(block, bytes * 8));
  memset(grown, 1, bytes * 8);
  if (grown != block) EXPECT_DEATH(*Launder(block) = 1, "AddressSanitizer: (use-after-poison|SEGV)");
  hak_free(grown);
}

TEST_P(PoisonDeathTest, BytesBehindAnAlignedBlock) {
  const size_t bytes = GetParam();
  unsigned char* block = Launder(hak_aligned_alloc(256, bytes));
  memset(block, 1, bytes);
  if (hak_malloc_usable_size(block) > bytes) {
    unsigned char* other = Launder(hak_aligned_alloc(256, bytes));
    EXPECT_DEATH(*Launder(other + bytes) = 1, "AddressSanitizer: use-after-poison");
    hak_free(other);
  }
  hak_free(block);
}

// Whoever asks for the usable size may use it, and a realloc in place takes that back.
TEST_P(PoisonDeathTest, UsableSizeGrantsAllOfIt) {
  const size_t bytes = GetParam();
  unsigned char* block = Malloc(bytes);
  const size_t usable = hak_malloc_usable_size(block);
  memset(block, 1, usable);
  block = Launder(hak_realloc(block, bytes));
  memset(block, 1, bytes);
  if (usable > bytes) EXPECT_DEATH(*Launder(block + bytes) = 1, "AddressSanitizer: use-after-poison");
  hak_free(block);
}

TEST_P(PoisonDeathTest, ExpandGrantsWhatItSays) {
  const size_t bytes = GetParam();
  unsigned char* block = Malloc(bytes);
  const size_t good = hak_good_size(bytes);
  ASSERT_EQ(hak_expand(block, good), block);
  memset(block, 1, good);
  ASSERT_EQ(hak_expand(block, bytes), block);
  memset(block, 1, bytes);
  if (good > bytes) EXPECT_DEATH(*Launder(block + bytes) = 1, "AddressSanitizer: use-after-poison");
  hak_free(block);
}

TEST_P(PoisonDeathTest, ReusedMemoryIsTheNewOwners) {
  const size_t bytes = GetParam();
  for (int i = 0; i < 20; i++) {
    unsigned char* block = Launder(i % 2 == 0 ? hak_malloc(bytes) : hak_calloc(1, bytes));
    memset(block, 1, bytes);
    unsigned char* cleared = Launder(hak_rezalloc(block, bytes, bytes * 2));
    memset(cleared, 1, bytes * 2);
    hak_free(cleared);
    if (i == 10) hak_trim();
  }
}

std::string NameOf(const testing::TestParamInfo<size_t>& parameter) { return std::to_string(parameter.param); }

INSTANTIATE_TEST_SUITE_P(Sizes, PoisonDeathTest,
                         testing::Values(9, 1000, 33000, 100001, 300 * kKiB + 1, 3000 * kKiB + 1, 9000 * kKiB + 1),
                         NameOf);

// What lies around a block in its slab was never handed out.
TEST(PoisonDeathTestOfSlabs, MemoryThatNobodyAskedFor) {
  unsigned char* block = Malloc(16);
  const uintptr_t unit = reinterpret_cast<uintptr_t>(block) & ~uintptr_t{65535};
  unsigned char* far = reinterpret_cast<unsigned char*>(unit + 65536 - 16);
  EXPECT_DEATH(*Launder(far) = 1, "AddressSanitizer: use-after-poison");
  EXPECT_DEATH(*Launder(block + 16) = 1, "AddressSanitizer: use-after-poison");
  hak_free(block);
}

TEST(PoisonDeathTestOfSlabs, ABlockOfNoBytesHasNone) {
  unsigned char* block = Malloc(0);
  EXPECT_DEATH(*Launder(block) = 1, "AddressSanitizer: use-after-poison");
  hak_free(block);
}

}  // namespace
