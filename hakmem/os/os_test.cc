#include "hakmem/os/os.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "hakmem/os/os_fake.h"
#include "hakmem/os/os_sys.h"

#include "gtest/gtest.h"

namespace {

constexpr size_t kUnit = HAK_UNIT_BYTES;
constexpr size_t kSuperSlab = HAK_SUPERSLAB_BYTES;
constexpr int kErrno = 1234; /* errno before every call, and after */

class Os : public testing::Test {
 protected:
  void SetUp() override {
    hak_os_fake_reset();
    mapped_before_ = hak_os_fake_mapped_bytes();
    counted_before_ = hak_os_read_counters().mapped_bytes;
    errno = kErrno;
  }
  void TearDown() override {
    EXPECT_EQ(errno, kErrno);
    hak_os_fake_reset();
    EXPECT_EQ(hak_os_fake_mapped_bytes(), mapped_before_) << "leaked";
    EXPECT_EQ(hak_os_read_counters().mapped_bytes, counted_before_) << "miscounted";
  }

 private:
  uint64_t mapped_before_, counted_before_;
};

using OsDeathTest = Os;

bool IsAligned(const void* base, size_t alignment) { return reinterpret_cast<uintptr_t>(base) % alignment == 0; }

bool IsAll(const char* base, size_t bytes, char value) {
  return std::all_of(base, base + bytes, [value](char c) { return c == value; });
}

TEST_F(Os, MapGivesZeroedWritableMemory) {
  char* base = static_cast<char*>(hak_os_map(3 * kUnit));
  ASSERT_NE(base, nullptr);
  EXPECT_TRUE(IsAll(base, 3 * kUnit, 0));
  memset(base, 1, 3 * kUnit);
  EXPECT_TRUE(hak_os_unmap(base, 3 * kUnit));
  errno = kErrno;
}

TEST_F(Os, MapAlignedIsAlignedAndKeepsNothingElse) {
  for (size_t alignment = 4096; alignment <= 64 * 1024 * 1024; alignment *= 2) {
    for (const size_t size : {kUnit, 3 * kUnit, kSuperSlab, 5 * kSuperSlab}) {
      const uint64_t before = hak_os_fake_mapped_bytes();
      char* base = static_cast<char*>(hak_os_map_aligned(size, alignment));
      ASSERT_NE(base, nullptr);
      ASSERT_TRUE(IsAligned(base, alignment)) << size << " on " << alignment;
      ASSERT_EQ(hak_os_fake_mapped_bytes(), before + size);
      base[0] = base[size - 1] = 1;
      ASSERT_TRUE(hak_os_unmap(base, size));
    }
  }
}

TEST_F(Os, HopelessSizesGiveNull) {
  EXPECT_EQ(hak_os_map(SIZE_MAX & ~(kUnit - 1)), nullptr);
  EXPECT_EQ(hak_os_map_aligned(SIZE_MAX & ~(kUnit - 1), kUnit), nullptr);
  EXPECT_EQ(hak_os_map_aligned(kUnit, 1ull << 62), nullptr);
  EXPECT_EQ(hak_os_map_aligned(1ull << 62, 1ull << 63), nullptr);
  EXPECT_EQ(hak_os_reserve_aligned(1ull << 62, kUnit), nullptr);
}

TEST_F(Os, SuperSlabsLieNextToEachOther) {
  std::vector<char*> bases;
  for (int i = 0; i < 16; i++) bases.push_back(static_cast<char*>(hak_os_map_aligned(kSuperSlab, kSuperSlab)));
  int neighbours = 0;
  for (size_t i = 1; i < bases.size(); i++) {
    ASSERT_TRUE(IsAligned(bases[i], kSuperSlab));
    neighbours += bases[i] + kSuperSlab == bases[i - 1];
  }
  /* Something else of the process may lie in the way once or twice. */
  EXPECT_GE(neighbours, 12);
  for (char* base : bases) EXPECT_TRUE(hak_os_unmap(base, kSuperSlab));
}

TEST_F(Os, MappingAndUnmappingInTurnDoesNotWander) {
  char* low = nullptr;
  char* high = nullptr;
  for (int i = 0; i < 2000; i++) {
    char* base = static_cast<char*>(hak_os_map_aligned(kSuperSlab, kSuperSlab));
    ASSERT_NE(base, nullptr);
    low = low == nullptr ? base : std::min(low, base);
    high = std::max(high, base);
    ASSERT_TRUE(hak_os_unmap(base, kSuperSlab));
  }
  EXPECT_LE(static_cast<size_t>(high - low), 4 * kSuperSlab);
}

TEST_F(Os, AnOccupiedHintIsNoObstacle) {
  char* first = static_cast<char*>(hak_os_map_aligned(kSuperSlab, kSuperSlab));
  /* Sits where the next SuperSlab would go, if nothing else is there. */
  void* stranger = mmap(first - kSuperSlab, kUnit, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(stranger, MAP_FAILED);
  char* second = static_cast<char*>(hak_os_map_aligned(kSuperSlab, kSuperSlab));
  ASSERT_NE(second, nullptr);
  EXPECT_TRUE(IsAligned(second, kSuperSlab));
  memset(second, 1, kSuperSlab);
  EXPECT_TRUE(hak_os_unmap(first, kSuperSlab));
  EXPECT_TRUE(hak_os_unmap(second, kSuperSlab));
  munmap(stranger, kUnit);
}

/* What was asked to be unmapped while the observer was on. */
std::vector<std::pair<char*, size_t>> asked_to_unmap;

void NoteUnmap(hak_os_fake_call call, void* base, size_t size_bytes) {
  if (call == HAK_OS_FAKE_MUNMAP) asked_to_unmap.emplace_back(static_cast<char*>(base), size_bytes);
}

TEST_F(Os, AlignedMappingSurvivesARefusalToCutTheEndsOff) {
  constexpr size_t kAlignment = 1024 * kUnit;
  asked_to_unmap.clear();
  hak_os_fake_set_observer(NoteUnmap);
  hak_os_fake_fail_from(HAK_OS_FAKE_MUNMAP, 1, ENOMEM);
  /* Two: by chance one may land on its alignment, with nothing to cut off. */
  char* blocks[2];
  for (char*& base : blocks) {
    base = static_cast<char*>(hak_os_map_aligned(kUnit, kAlignment));
    ASSERT_NE(base, nullptr);
    EXPECT_TRUE(IsAligned(base, kAlignment));
    base[0] = base[kUnit - 1] = 1;
  }
  const uint64_t counted = hak_os_read_counters().mapped_bytes;
  EXPECT_EQ(errno, kErrno);
  hak_os_fake_reset();
  /* What was lost is still counted as mapped. */
  EXPECT_EQ(counted, hak_os_fake_mapped_bytes());
  EXPECT_FALSE(asked_to_unmap.empty());
  for (char* base : blocks) EXPECT_TRUE(hak_os_unmap(base, kUnit));
  /* Give the lost address space back: TearDown sees that nothing else was lost. */
  for (const auto& [base, size_bytes] : asked_to_unmap) EXPECT_TRUE(hak_os_unmap(base, size_bytes));
}

TEST_F(OsDeathTest, GuardPagesCannotBeTouched) {
  const size_t page = hak_os_page_bytes();
  char* base = static_cast<char*>(hak_os_map_guarded(kUnit));
  ASSERT_NE(base, nullptr);
  EXPECT_TRUE(IsAll(base, kUnit, 0));
  memset(base, 1, kUnit);
  EXPECT_DEATH(*const_cast<volatile char*>(base - 1) = 1, "");
  EXPECT_DEATH(*const_cast<volatile char*>(base - page) = 1, "");
  EXPECT_DEATH(*const_cast<volatile char*>(base + kUnit) = 1, "");
  EXPECT_DEATH(*const_cast<volatile char*>(base + kUnit + page - 1) = 1, "");
  EXPECT_TRUE(hak_os_unmap(base - page, kUnit + 2 * page));
  errno = kErrno;
}

TEST_F(OsDeathTest, ReservedSpaceCannotBeTouched) {
  char* base = static_cast<char*>(hak_os_reserve_aligned(4 * kUnit, kUnit));
  ASSERT_NE(base, nullptr);
  EXPECT_TRUE(IsAligned(base, kUnit));
  EXPECT_DEATH(*const_cast<volatile char*>(base) = 1, "");
  EXPECT_TRUE(hak_os_unmap(base, 4 * kUnit));
  errno = kErrno;
}

TEST_F(Os, PurgeReadsZeroAndKeepsTheNeighbours) {
  char* base = static_cast<char*>(hak_os_map(3 * kUnit));
  memset(base, 1, 3 * kUnit);
  EXPECT_TRUE(hak_os_purge(base + kUnit, kUnit));
  EXPECT_TRUE(IsAll(base, kUnit, 1));
  EXPECT_TRUE(IsAll(base + kUnit, kUnit, 0));
  EXPECT_TRUE(IsAll(base + 2 * kUnit, kUnit, 1));
  EXPECT_TRUE(hak_os_unmap(base, 3 * kUnit));
}

// Whether a mapping grows into a hole behind it. An emulator of larger pages may refuse.
bool MappingsGrow() {
  char* base = static_cast<char*>(mmap(nullptr, 8 * kUnit, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  munmap(base + 4 * kUnit, 4 * kUnit);
  const bool grows = mremap(base, 4 * kUnit, 8 * kUnit, 0) == base;
  munmap(base, 8 * kUnit);
  return grows;
}

TEST_F(Os, GrowInPlaceKeepsContentsAndGivesZeroes) {
  const bool grows = MappingsGrow();
  errno = kErrno;
  if (!grows) GTEST_SKIP() << "nor do other mappings";
  /* A hole behind the mapping, so that there is room to grow. */
  char* hole = static_cast<char*>(hak_os_map(8 * kUnit));
  ASSERT_TRUE(hak_os_unmap(hole + 4 * kUnit, 4 * kUnit));
  memset(hole, 1, 4 * kUnit);
  ASSERT_TRUE(hak_os_grow_in_place(hole, 4 * kUnit, 8 * kUnit));
  EXPECT_TRUE(IsAll(hole, 4 * kUnit, 1));
  EXPECT_TRUE(IsAll(hole + 4 * kUnit, 4 * kUnit, 0));
  EXPECT_TRUE(hak_os_unmap(hole, 8 * kUnit));
}

TEST_F(Os, GrowInPlaceFailsWhereSomethingFollows) {
  char* base = static_cast<char*>(hak_os_map(8 * kUnit));
  memset(base, 1, 8 * kUnit);
  ASSERT_EQ(hak_os_sys_mprotect(base + 4 * kUnit, kUnit, PROT_NONE), 0); /* another mapping, to the kernel */
  EXPECT_FALSE(hak_os_grow_in_place(base, 4 * kUnit, 6 * kUnit));
  EXPECT_TRUE(IsAll(base, 4 * kUnit, 1));
  EXPECT_TRUE(hak_os_unmap(base, 8 * kUnit));
}

TEST_F(Os, MoveToKeepsContentsAndGivesZeroesBehind) {
  char* base = static_cast<char*>(hak_os_map(4 * kUnit));
  memset(base, 1, 4 * kUnit);
  char* target = static_cast<char*>(hak_os_reserve_aligned(8 * kUnit, kUnit));
  ASSERT_NE(target, nullptr);
  ASSERT_TRUE(hak_os_move_to(base, 4 * kUnit, target, 8 * kUnit));
  EXPECT_FALSE(hak_os_fake_is_mapped(base, 4096));
  EXPECT_TRUE(IsAll(target, 4 * kUnit, 1));
  EXPECT_TRUE(IsAll(target + 4 * kUnit, 4 * kUnit, 0));
  memset(target, 2, 8 * kUnit);
  EXPECT_TRUE(hak_os_unmap(target, 8 * kUnit));
}

// --- refusals: NULL or false, errno kept, nothing changed ---

TEST_F(Os, RefusedMap) {
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  EXPECT_EQ(hak_os_map(kUnit), nullptr);
  EXPECT_EQ(hak_os_map_aligned(kSuperSlab, kSuperSlab), nullptr);
  EXPECT_EQ(hak_os_map_aligned(kUnit, 64 * kUnit), nullptr);
  EXPECT_EQ(hak_os_map_guarded(kUnit), nullptr);
  EXPECT_EQ(hak_os_reserve_aligned(kUnit, kUnit), nullptr);
}

TEST_F(Os, EachMapOfAnAlignedMappingRefused) {
  for (int n = 1; n <= 2; n++) {
    hak_os_fake_fail_nth(HAK_OS_FAKE_MMAP, n, ENOMEM);
    char* base = static_cast<char*>(hak_os_map_aligned(kUnit, 1024 * kUnit));
    if (base != nullptr) {
      EXPECT_TRUE(IsAligned(base, 1024 * kUnit));
      EXPECT_TRUE(hak_os_unmap(base, kUnit));
    }
  }
}

TEST_F(Os, RefusedProtectGivesTheGuardedMappingBack) {
  hak_os_fake_fail_from(HAK_OS_FAKE_MPROTECT, 1, ENOMEM);
  EXPECT_EQ(hak_os_map_guarded(kUnit), nullptr);
}

TEST_F(Os, RefusedUnmapLeavesTheRange) {
  char* base = static_cast<char*>(hak_os_map(2 * kUnit));
  memset(base, 1, 2 * kUnit);
  hak_os_fake_fail_nth(HAK_OS_FAKE_MUNMAP, 1, ENOMEM);
  EXPECT_FALSE(hak_os_unmap(base + kUnit, kUnit));
  EXPECT_TRUE(IsAll(base, 2 * kUnit, 1));
  EXPECT_TRUE(hak_os_unmap(base, 2 * kUnit));
}

TEST_F(Os, RefusedPurgeLeavesTheContents) {
  char* base = static_cast<char*>(hak_os_map(kUnit));
  memset(base, 1, kUnit);
  hak_os_fake_fail_nth(HAK_OS_FAKE_MADVISE, 1, EINVAL);
  EXPECT_FALSE(hak_os_purge(base, kUnit));
  EXPECT_TRUE(IsAll(base, kUnit, 1));
  hak_os_fake_fail_nth(HAK_OS_FAKE_MADVISE, 1, EINVAL);
  hak_os_advise_huge(base, kUnit, false); /* a hint */
  EXPECT_TRUE(hak_os_unmap(base, kUnit));
}

TEST_F(Os, RefusedMovesLeaveTheBlock) {
  char* base = static_cast<char*>(hak_os_map(2 * kUnit));
  memset(base, 1, 2 * kUnit);
  hak_os_fake_fail_from(HAK_OS_FAKE_MREMAP, 1, EPERM);
  EXPECT_FALSE(hak_os_grow_in_place(base, 2 * kUnit, 3 * kUnit));
  char* target = static_cast<char*>(hak_os_reserve_aligned(3 * kUnit, kUnit));
  EXPECT_FALSE(hak_os_move_to(base, 2 * kUnit, target, 3 * kUnit));
  EXPECT_FALSE(hak_os_fake_is_mapped(target, 4096));
  EXPECT_TRUE(IsAll(base, 2 * kUnit, 1));
  EXPECT_TRUE(hak_os_unmap(base, 2 * kUnit));
}

// Linux before 6.17 unmaps the target of a move and fails then; another thread may have mapped memory there by now.
void FailMovesOverAndOver() {
  char* base = static_cast<char*>(hak_os_map(2 * kUnit));
  const uint64_t mapped_bytes = hak_os_read_counters().mapped_bytes;
  for (int i = 0; i < 16; i++) {
    void* target = hak_os_reserve_aligned(3 * kUnit, kUnit);
    if (target == nullptr) _exit(2);
    hak_os_fake_fail_nth(HAK_OS_FAKE_MREMAP, 1, ENOMEM);
    const uint64_t unmap_calls = hak_os_read_counters().unmap_calls;
    if (hak_os_move_to(base, 2 * kUnit, target, 3 * kUnit)) _exit(3);
    if (hak_os_read_counters().unmap_calls != unmap_calls) _exit(4);
    if (hak_os_read_counters().mapped_bytes != mapped_bytes) _exit(5);
  }
  if (hak_os_reserve_aligned(3 * kUnit, kUnit) != nullptr) _exit(6);
  hak_os_reset_for_test();
  _exit(hak_os_reserve_aligned(3 * kUnit, kUnit) != nullptr ? 0 : 7);
}

TEST_F(Os, FailedMovesDoNotUnmapWhatMayBeAnothers) {
  EXPECT_EXIT(FailMovesOverAndOver(), testing::ExitedWithCode(0), "");
}

TEST_F(Os, CountersCount) {
  const hak_os_counters before = hak_os_read_counters();
  char* base = static_cast<char*>(hak_os_map(2 * kUnit));
  EXPECT_EQ(hak_os_read_counters().mapped_bytes, before.mapped_bytes + 2 * kUnit);
  hak_os_purge(base, kUnit);
  hak_os_unmap(base, 2 * kUnit);
  const hak_os_counters after = hak_os_read_counters();
  EXPECT_EQ(after.map_calls, before.map_calls + 1);
  EXPECT_EQ(after.unmap_calls, before.unmap_calls + 1);
  EXPECT_EQ(after.purge_calls, before.purge_calls + 1);
  EXPECT_EQ(after.mapped_bytes, before.mapped_bytes);
  EXPECT_EQ(after.purged_bytes, before.purged_bytes + kUnit);
  EXPECT_EQ(after.unmapped_bytes, before.unmapped_bytes + 2 * kUnit);
  EXPECT_EQ(after.protect_calls, before.protect_calls);
  EXPECT_EQ(after.advise_calls, before.advise_calls);
}

TEST_F(Os, WhatIsRefusedIsCalledAndGivesNothingBack) {
  char* base = static_cast<char*>(hak_os_map(kUnit));
  const hak_os_counters before = hak_os_read_counters();
  hak_os_fake_fail_from(HAK_OS_FAKE_MADVISE, 1, EPERM);
  EXPECT_FALSE(hak_os_purge(base, kUnit));
  hak_os_advise_huge(base, kUnit, false);
  hak_os_fake_reset();
  const hak_os_counters after = hak_os_read_counters();
  EXPECT_EQ(after.purge_calls, before.purge_calls + 1);
  EXPECT_EQ(after.advise_calls, before.advise_calls + 1);
  EXPECT_EQ(after.purged_bytes, before.purged_bytes);
  hak_os_unmap(base, kUnit);
}

TEST_F(Os, ClockIsTheSeams) {
  hak_os_fake_set_clock_ms(42);
  EXPECT_EQ(hak_os_now_ms(), 42u);
}

}  // namespace
