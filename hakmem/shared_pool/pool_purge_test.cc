// What is dirty and what reads as zero, giving memory back, and what the kernel refuses.
#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/shared_pool/superslab_inl.h"
#include "hakmem/shared_pool/test_pool.h"

#include "gtest/gtest.h"

namespace {

class PoolPurge : public AnchoredPoolFixture {
 protected:
  // A span that has been written to and released at `at_ms`. Returns its base.
  char* ReleaseDirty(uint32_t units, uint64_t at_ms = kStartMs) {
    hak_slab* span = AcquireSpan(units);
    Fill(span->base, units * kUnit);
    hak_shared_pool_set_clock(at_ms);
    hak_shared_pool_release_span(span);
    return span->base;
  }

  // Whether a span of `units` is said to be zeroed; checks that it is if so. It is released as it was.
  bool IsZeroed(uint32_t units, const char* expected_base) {
    bool zeroed = false;
    hak_slab* span = hak_shared_pool_acquire_span(units, &zeroed);
    EXPECT_EQ(span->base, expected_base);
    EXPECT_TRUE(!zeroed || ReadsAsZero(span->base, units * kUnit)) << "invariant 3";
    hak_shared_pool_release_span(span);
    return zeroed;
  }
};

TEST_F(PoolPurge, Invariant3FreshUnitsReadAsZero) {
  EXPECT_TRUE(IsZeroed(31, anchor_->base + kUnit));
  EXPECT_FALSE(IsZeroed(31, anchor_->base + kUnit)) << "released by a program that may have written to it";
}

TEST_F(PoolPurge, Invariant3OneDirtyUnitMakesTheSpanDirty) {
  char* base = ReleaseDirty(1);
  EXPECT_EQ(Figures().dirty_free_units, 1u);
  EXPECT_FALSE(IsZeroed(2, base));
}

TEST_F(PoolPurge, Invariant3UnitsBesideADirtyOneAreStillFresh) {
  ReleaseDirty(1);
  hak_slab* dirty = AcquireSpan(1);
  EXPECT_TRUE(IsZeroed(3, dirty->base + kUnit));
  hak_shared_pool_release_span(dirty);
}

TEST_F(PoolPurge, Invariant3SlabsKnowWhetherTheyAreFresh) {
  hak_slab* slab = Acquire(10);
  EXPECT_EQ(slab->fresh_word, 0);
  EXPECT_TRUE(ReadsAsZero(slab->base, kUnit));
  Release(slab);
  slab = Acquire(10);
  EXPECT_EQ(slab->fresh_word, slab->words);
  Release(slab);
  hak_shared_pool_purge(kStartMs, 0);
  slab = Acquire(10);
  EXPECT_EQ(slab->fresh_word, 0);
  Release(slab);
}

TEST_F(PoolPurge, PurgedUnitsReadAsZeroAndAreCounted) {
  char* base = ReleaseDirty(7);
  const uint64_t purged = Figures().purged_bytes;
  EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), 7 * kUnit);
  EXPECT_EQ(Figures().purged_bytes, purged + 7 * kUnit);
  EXPECT_EQ(Figures().dirty_free_units, 0u);
  EXPECT_EQ(Figures().free_units, 31u);
  EXPECT_TRUE(IsZeroed(7, base));
}

TEST_F(PoolPurge, WhatIsHeldIsNotPurged) {
  hak_slab* span = AcquireSpan(3);
  Fill(span->base, 3 * kUnit);
  ASSERT_TRUE(hak_shared_pool_resize_span(span, 2));
  EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), kUnit);
  EXPECT_EQ(span->base[2 * kUnit - 1], 0x5a);
  hak_shared_pool_release_span(span);
}

TEST_F(PoolPurge, ACleanPoolCostsNoSystemCall) {
  ReleaseDirty(3);
  hak_shared_pool_purge(kStartMs, 0);
  const uint64_t calls = hak_os_fake_calls(HAK_OS_FAKE_MADVISE);
  EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), 0u);
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MADVISE), calls);
}

TEST_F(PoolPurge, AdjacentDirtyUnitsAreOneCall) {
  hak_slab* spans[] = {AcquireSpan(2), AcquireSpan(2), AcquireSpan(2), AcquireSpan(2)};
  for (const int i : {0, 1, 3}) hak_shared_pool_release_span(spans[i]);
  const uint64_t calls = hak_os_fake_calls(HAK_OS_FAKE_MADVISE);
  EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), 6 * kUnit);
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MADVISE), calls + 2);
  hak_shared_pool_release_span(spans[2]);
}

TEST_F(PoolPurge, UnitsWaitForTheirDecay) {
  ReleaseDirty(2, 5000);
  EXPECT_EQ(hak_shared_pool_purge(5000, 500), 0u);
  EXPECT_EQ(hak_shared_pool_purge(5499, 500), 0u);
  EXPECT_EQ(hak_shared_pool_purge(1, 500), 0u) << "a clock that jumped";
  EXPECT_EQ(Figures().dirty_free_units, 2u);
  EXPECT_EQ(hak_shared_pool_purge(5500, 500), 2 * kUnit);
}

TEST_F(PoolPurge, ALaterReleaseStartsTheDecayAnew) {
  hak_slab* second = AcquireSpan(1);
  ReleaseDirty(2, 5000);
  hak_shared_pool_set_clock(5400);
  hak_shared_pool_release_span(second);
  EXPECT_EQ(hak_shared_pool_purge(5500, 500), 0u);
  EXPECT_EQ(hak_shared_pool_purge(5900, 500), 3 * kUnit);
}

// --- refused: the memory stays, is used again, and is tried again ---

TEST_F(PoolPurge, RefusedMadviseIsTriedAgain) {
  char* base = ReleaseDirty(3);
  hak_os_fake_fail_from(HAK_OS_FAKE_MADVISE, 1, EINVAL);
  errno = 77;
  EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), 0u);
  EXPECT_EQ(errno, 77);
  EXPECT_EQ(Figures().free_units, 31u);
  EXPECT_EQ(Figures().dirty_free_units, 3u);
  EXPECT_FALSE(IsZeroed(3, base));
  EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), 0u);
  hak_os_fake_fail_never(HAK_OS_FAKE_MADVISE);
  EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), 3 * kUnit);
  EXPECT_EQ(Figures().dirty_free_units, 0u);
  EXPECT_TRUE(IsZeroed(3, base));
}

TEST_F(PoolPurge, RefusedMadviseIsTriedAgainWithoutARelease) {
  ReleaseDirty(3);
  hak_os_fake_fail_nth(HAK_OS_FAKE_MADVISE, 1, EINVAL);
  EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), 0u);
  EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), 3 * kUnit);
}

TEST_F(PoolPurge, EachMadviseOfAPurgeRefused) {
  for (uint64_t n = 1; n <= 3; n++) {
    hak_slab* spans[6];
    for (hak_slab*& span : spans) span = AcquireSpan(2);
    for (const int i : {0, 2, 4}) hak_shared_pool_release_span(spans[i]);
    hak_os_fake_fail_nth(HAK_OS_FAKE_MADVISE, n, EINVAL);
    EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), 4 * kUnit) << n;
    EXPECT_EQ(Figures().dirty_free_units, 2u) << n;
    EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), 2 * kUnit) << n;
    for (const int i : {1, 3, 5}) hak_shared_pool_release_span(spans[i]);
    EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), 6 * kUnit) << n;
  }
}

// --- the cache of empty SuperSlabs ---

class EmptyCache : public PoolFixture {
 protected:
  // SuperSlabs in use by a span each, in the order of their release.
  std::vector<hak_slab*> UseSuperSlabs(size_t count) {
    std::vector<hak_slab*> spans;
    while (spans.size() < count) spans.push_back(AcquireSpan(31));
    EXPECT_EQ(Figures().superslabs, count);
    return spans;
  }

  static void ReleaseAll(const std::vector<hak_slab*>& spans) {
    for (hak_slab* span : spans) hak_shared_pool_release_span(span);
  }
};

TEST_F(EmptyCache, TheYoungestIsReusedFirst) {
  const std::vector<hak_slab*> spans = UseSuperSlabs(3);
  const std::vector<char*> bases = {spans[0]->base, spans[1]->base, spans[2]->base};
  for (const int i : {1, 0, 2}) hak_shared_pool_release_span(spans[i]);
  EXPECT_EQ(Figures().empty_superslabs, 3u);
  const uint64_t from_empty = Figures().from_empty;
  std::vector<hak_slab*> again;
  for (const int i : {2, 0, 1}) {
    again.push_back(AcquireSpan(31));
    EXPECT_EQ(again.back()->base, bases[i]);
  }
  EXPECT_EQ(Figures().from_empty, from_empty + 3);
  EXPECT_EQ(Figures().superslabs, 3u);
  ReleaseAll(again);
}

TEST_F(EmptyCache, KeepsWhatTheOptionSaysAndUnmapsTheOldest) {
  for (const size_t keep : {size_t{0}, size_t{2}, size_t{5}}) {
    LoadConfig("HAKMEM_SUPERSLAB_CACHE=" + std::to_string(keep));
    const std::vector<hak_slab*> spans = UseSuperSlabs(5);
    std::vector<char*> bases;
    for (hak_slab* span : spans) bases.push_back(span->base);
    ReleaseAll(spans);
    EXPECT_EQ(Figures().empty_superslabs, keep);
    EXPECT_EQ(Figures().superslabs, keep);
    for (size_t i = 0; i < 5; i++) EXPECT_EQ(hak_os_fake_is_mapped(bases[i], kSuperSlab), i >= 5 - keep) << i;
    hak_shared_pool_purge(kStartMs, 0);
    EXPECT_EQ(Figures().superslabs, 0u);
  }
}

TEST_F(EmptyCache, TheDefaultKeeps256) {
  ReleaseAll(UseSuperSlabs(258));
  EXPECT_EQ(Figures().empty_superslabs, 256u);
}

TEST_F(EmptyCache, EmptySuperSlabsWaitForTheirDecay) {
  const std::vector<hak_slab*> spans = UseSuperSlabs(2);
  hak_shared_pool_set_clock(5000);
  hak_shared_pool_release_span(spans[0]);
  hak_shared_pool_set_clock(5300);
  hak_shared_pool_release_span(spans[1]);
  EXPECT_EQ(hak_shared_pool_purge(5499, 500), 0u);
  EXPECT_EQ(hak_shared_pool_purge(5500, 500), kSuperSlab);
  EXPECT_EQ(Figures().superslabs, 1u);
  EXPECT_EQ(hak_shared_pool_purge(5800, 500), kSuperSlab);
  EXPECT_EQ(Figures().superslabs, 0u);
}

TEST_F(EmptyCache, Invariant3ReusedUnitsAreDirtyWhereTheyWereUsed) {
  hak_slab* span = AcquireSpan(4);
  Fill(span->base, 4 * kUnit);
  hak_shared_pool_release_span(span);
  ASSERT_EQ(Figures().empty_superslabs, 1u);
  bool zeroed = true;
  hak_slab* first = hak_shared_pool_acquire_span(4, &zeroed);
  EXPECT_FALSE(zeroed);
  hak_slab* rest = hak_shared_pool_acquire_span(28, &zeroed);
  EXPECT_TRUE(zeroed);
  EXPECT_TRUE(ReadsAsZero(rest->base, 28 * kUnit));
  ReleaseAll({first, rest});
}

// Whole pages between the two that are in memory. Where pages are large there may be none.
size_t ResidentPages(const void* begin, const void* end) {
  const size_t page_bytes = hak_os_page_bytes();
  const uintptr_t first = hak_round_up(reinterpret_cast<uintptr_t>(begin), page_bytes);
  const uintptr_t behind = reinterpret_cast<uintptr_t>(end) / page_bytes * page_bytes;
  if (first >= behind) return 0;
  std::vector<unsigned char> pages((behind - first) / page_bytes);
  EXPECT_EQ(mincore(reinterpret_cast<void*>(first), pages.size() * page_bytes, pages.data()), 0) << errno;
  return static_cast<size_t>(std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; }));
}

TEST_F(EmptyCache, TheBitmapsOfAnUnmappedSuperSlabGoWithIt) {
  for (const bool is_refused : {true, false}) {
    hak_slab* slabs[HAK_SUPERSLAB_UNITS];
    for (hak_slab*& slab : slabs) slab = Acquire(0);
    const hak_superslab* superslab = slabs[0]->superslab;
    ASSERT_EQ(superslab, slabs[31]->superslab);
    const size_t pages = ResidentPages(superslab->bitmaps, superslab + 1);
    /* Those of remote frees are untouched, but for looks at them where assertions are on. */
    EXPECT_TRUE(pages == 4 || (HAK_CFG_DEBUG && pages >= 4) || hak_os_page_bytes() != 4096) << pages;
    for (hak_slab* slab : slabs) Release(slab);
    if (is_refused) hak_os_fake_fail_from(HAK_OS_FAKE_MADVISE, 1, EINVAL);
    hak_shared_pool_purge(kStartMs, 0);
    EXPECT_EQ(Figures().superslabs, 0u);
    EXPECT_EQ(ResidentPages(superslab->bitmaps, superslab + 1), is_refused ? pages : 0u);
    hak_os_fake_fail_never(HAK_OS_FAKE_MADVISE);
  }
}

TEST_F(EmptyCache, RefusedMunmapParksTheRangePurged) {
  hak_slab* span = AcquireSpan(31);
  char* base = span->base;
  Fill(base, 31 * kUnit);
  hak_shared_pool_release_span(span);
  hak_os_fake_fail_from(HAK_OS_FAKE_MUNMAP, 1, ENOMEM);
  EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), 0u);
  EXPECT_EQ(Figures().empty_superslabs, 1u);
  EXPECT_EQ(Figures().superslabs, 1u);
  bool zeroed = false;
  span = hak_shared_pool_acquire_span(31, &zeroed);
  EXPECT_EQ(span->base, base) << "reused";
  EXPECT_TRUE(zeroed);
  EXPECT_TRUE(ReadsAsZero(base, 31 * kUnit));
  hak_shared_pool_release_span(span);
  hak_os_fake_fail_never(HAK_OS_FAKE_MUNMAP);
  EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), kSuperSlab) << "tried again";
  EXPECT_FALSE(hak_os_fake_is_mapped(base, kUnit));
}

TEST_F(EmptyCache, RefusedMunmapAndMadviseLeaveTheRangeDirty) {
  hak_slab* span = AcquireSpan(31);
  Fill(span->base, 31 * kUnit);
  hak_shared_pool_release_span(span);
  hak_os_fake_fail_from(HAK_OS_FAKE_MUNMAP, 1, EPERM);
  hak_os_fake_fail_from(HAK_OS_FAKE_MADVISE, 1, EPERM);
  EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), 0u);
  bool zeroed = true;
  span = hak_shared_pool_acquire_span(31, &zeroed);
  EXPECT_FALSE(zeroed);
  hak_shared_pool_release_span(span);
}

TEST_F(EmptyCache, UnitsThatStayedDirtyThereArePurgedLater) {
  hak_slab* span = AcquireSpan(31);
  hak_shared_pool_release_span(span); /* a SuperSlab of which all units but one are dirty goes to the cache */
  hak_os_fake_fail_nth(HAK_OS_FAKE_MUNMAP, 1, ENOMEM);
  hak_os_fake_fail_nth(HAK_OS_FAKE_MADVISE, 1, EAGAIN);
  EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), 0u);
  hak_slab* again = AcquireSpan(11);
  const uint64_t dirty = Figures().dirty_free_units;
  EXPECT_GE(dirty, 20u);
  EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), dirty * kUnit);
  EXPECT_EQ(Figures().dirty_free_units, 0u);
  hak_shared_pool_release_span(again);
}

TEST_F(EmptyCache, MoreThanTheCacheKeepsStaysWhereMunmapIsRefused) {
  LoadConfig("HAKMEM_SUPERSLAB_CACHE=1");
  const std::vector<hak_slab*> spans = UseSuperSlabs(4);
  hak_os_fake_fail_from(HAK_OS_FAKE_MUNMAP, 1, ENOMEM);
  ReleaseAll(spans);
  EXPECT_EQ(Figures().empty_superslabs, 4u);
  std::vector<hak_slab*> again;
  const uint64_t from_new = Figures().from_new;
  for (int i = 0; i < 4; i++) again.push_back(AcquireSpan(31));
  EXPECT_EQ(Figures().from_new, from_new);
  hak_os_fake_fail_never(HAK_OS_FAKE_MUNMAP);
  ReleaseAll(again);
  EXPECT_EQ(Figures().empty_superslabs, 1u);
}

TEST_F(EmptyCache, EachMunmapOfAPurgeRefused) {
  for (uint64_t n = 1; n <= 3; n++) {
    ReleaseAll(UseSuperSlabs(3));
    hak_os_fake_fail_nth(HAK_OS_FAKE_MUNMAP, n, ENOMEM);
    EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), (n - 1) * kSuperSlab);
    EXPECT_EQ(Figures().empty_superslabs, 4 - n);
    EXPECT_EQ(hak_shared_pool_purge(kStartMs, 0), (4 - n) * kSuperSlab);
    EXPECT_EQ(Figures().superslabs, 0u);
  }
}

// --- no memory ---

TEST_F(EmptyCache, NoMemoryThenRetry) {
  const hak_shared_pool_figures start = Figures();
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  errno = 77;
  bool zeroed = false;
  EXPECT_EQ(Acquire(3), nullptr);
  EXPECT_EQ(hak_shared_pool_acquire_span(31, &zeroed), nullptr);
  EXPECT_EQ(errno, 77);
  const hak_shared_pool_figures now = Figures();
  EXPECT_EQ(now.superslabs, 0u);
  EXPECT_EQ(now.live_slabs + now.live_spans, 0u);
  EXPECT_EQ(now.from_new, start.from_new) << "nothing was acquired";
  hak_os_fake_fail_never(HAK_OS_FAKE_MMAP);
  hak_slab* slab = Acquire(3);
  ASSERT_NE(slab, nullptr);
  Release(slab);
}

TEST_F(EmptyCache, TheLimitOfTheAddressSpace) {
  hak_shared_pool_release_span(AcquireSpan(1));
  hak_os_fake_set_limit_bytes(hak_os_fake_mapped_bytes() + 3 * kSuperSlab); /* room to align */
  std::vector<hak_slab*> spans;
  for (hak_slab* span = AcquireSpan(31); span != nullptr; span = AcquireSpan(31)) spans.push_back(span);
  EXPECT_GE(spans.size(), 3u);
  EXPECT_LE(spans.size(), 4u);
  hak_shared_pool_release_span(spans.back());
  spans.back() = AcquireSpan(31);
  EXPECT_NE(spans.back(), nullptr);
  ReleaseAll(spans);
}

TEST_F(EmptyCache, HugePagesAreAHint) {
  hak_os_fake_fail_from(HAK_OS_FAKE_MADVISE, 1, EPERM);
  hak_slab* slab = Acquire(3);
  ASSERT_NE(slab, nullptr);
  Release(slab);
}

// --- from the first mapping of a process on, each call refused in turn ---

struct Refusal {
  hak_os_fake_call call;
  uint64_t nth;
};

std::vector<std::pair<char*, size_t>> asked_to_unmap;

void NoteAll(hak_os_fake_call call, void* base, size_t size_bytes) {
  NoteMetadataChunk(call, base, size_bytes);
  if (call == HAK_OS_FAKE_MUNMAP) asked_to_unmap.emplace_back(static_cast<char*>(base), size_bytes);
}

template <typename Function>
auto Retried(Function function) {
  auto* result = function();
  if (result == nullptr && hak_os_fake_failures(HAK_OS_FAKE_MMAP) + hak_os_fake_failures(HAK_OS_FAKE_MPROTECT) != 1) {
    _exit(10); /* failed for no reason */
  }
  return result != nullptr ? result : function();
}

// A process that has done nothing yet.
[[noreturn]] void LifeOfAProcess(Refusal refusal) {
  hak_os_fake_reset();
  hak_u64_store_relaxed(&hak_registry_window_at.minus_base, 0); /* elsewhere: a leaf is needed */
  hak_os_fake_set_observer(NoteAll);
  hak_os_fake_fail_nth(refusal.call, refusal.nth, ENOMEM);
  hak_heap* heap = Retried([] { return hak_heap_acquire(kHeapLimit); });
  if (heap == nullptr) _exit(1);
  hak_slab* slab = Retried([heap] { return hak_shared_pool_acquire(heap, 3); });
  bool zeroed = false;
  hak_slab* span = Retried([&zeroed] { return hak_shared_pool_acquire_span(31, &zeroed); });
  if (slab == nullptr || span == nullptr) _exit(2);
  Fill(slab->base, kUnit);
  Fill(span->base, 31 * kUnit);
  hak_shared_pool_release(heap, slab);
  hak_shared_pool_release_span(span);
  hak_shared_pool_purge(0, 0);
  hak_shared_pool_purge(0, 0);
  if (Figures().superslabs != 0) _exit(3);
  /* Ends of an aligned mapping that could not be cut off are lost: known, and counted. */
  uint64_t lost = 0;
  if (refusal.call == HAK_OS_FAKE_MUNMAP && asked_to_unmap.size() >= refusal.nth) {
    const auto& [base, size] = asked_to_unmap[refusal.nth - 1];
    if (hak_os_fake_is_mapped(base, size)) lost = size;
  }
  if (refusal.call == HAK_OS_FAKE_MPROTECT && MetadataChunks().size() >= refusal.nth) {
    MetadataChunks().erase(MetadataChunks().begin() + static_cast<ptrdiff_t>(refusal.nth) - 1);
  }
  if (hak_os_fake_mapped_bytes() != DescriptorBytes() + lost) _exit(4);
  if (hak_os_read_counters().mapped_bytes != hak_os_fake_mapped_bytes()) _exit(5);
  _exit(hak_os_fake_failures(refusal.call) == 0 ? 100 : 0);
}

// Runs before every other test of this program, and in children: nothing has been mapped yet.
TEST(PoolDeathTest, EachCallOfAProcessRefused) {
  for (const hak_os_fake_call call :
       {HAK_OS_FAKE_MMAP, HAK_OS_FAKE_MUNMAP, HAK_OS_FAKE_MPROTECT, HAK_OS_FAKE_MADVISE}) {
    for (uint64_t nth = 1; nth <= 12; nth++) {
      EXPECT_EXIT(
          LifeOfAProcess({call, nth}), [](int status) { return WEXITSTATUS(status) % 100 == 0 && WIFEXITED(status); },
          "")
          << hak_os_fake_call_name(call) << " " << nth;
    }
  }
  EXPECT_EXIT(LifeOfAProcess({HAK_OS_FAKE_MMAP, 3}), testing::ExitedWithCode(0), "") << "it does make three calls";
}

}  // namespace
