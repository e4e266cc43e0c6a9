#include "hakmem/heap/heap.h"

#include <errno.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "hakmem/base/checks.h"
#include "hakmem/base/thread.h"
#include "hakmem/metadata/metadata.h"
#include "hakmem/mid_ace/mid_ace.h"
#include "hakmem/os/os_fake.h"

#include "gtest/gtest.h"

namespace {

constexpr uint64_t kLimit = 8 * 1024 * 1024;

hak_heap_state StateOf(const hak_heap* heap) { return static_cast<hak_heap_state>(hak_u32_load_relaxed(&heap->state)); }

void SetState(hak_heap* heap, hak_heap_state state) { hak_u32_store_relaxed(&heap->state, state); }

std::vector<hak_heap*> AllHeaps() {
  std::vector<hak_heap*> out;
  for (hak_heap* heap = hak_heap_first(); heap != nullptr; heap = heap->next_heap) out.push_back(heap);
  return out;
}

std::vector<hak_heap*> ParkedHeaps() {
  std::vector<hak_heap*> out;
  hak_lock_take(hak_heap_parked_lock());
  for (hak_heap* heap = hak_heap_first_parked_locked(); heap != nullptr; heap = heap->next_parked) out.push_back(heap);
  hak_lock_give(hak_heap_parked_lock());
  return out;
}

void OrphanOthers(hak_heap* mine) {
  hak_lock_take(hak_heap_parked_lock());
  hak_heap_orphan_others_locked(mine);
  hak_lock_give(hak_heap_parked_lock());
}

bool IsZero(const void* memory, size_t bytes) {
  const char* begin = static_cast<const char*>(memory);
  return std::all_of(begin, begin + bytes, [](char c) { return c == 0; });
}

// Each test starts without a parked or an active heap. Heaps of earlier tests are out of the game: lost.
class Heap : public testing::Test {
 protected:
  void SetUp() override { hak_os_fake_reset(); }
  void TearDown() override {
    hak_os_fake_reset();
    while (hak_heap_parked_count() != 0) hak_heap_acquire(kLimit);
    for (hak_heap* heap : AllHeaps()) {
      if (StateOf(heap) == HAK_HEAP_ACTIVE) hak_heap_enter(heap);
    }
    OrphanOthers(nullptr);
    EXPECT_TRUE(ParkedHeaps().empty());
  }
};

using HeapDeathTest = Heap;

TEST_F(Heap, CountsOfAClassHaveMoreThanThirtyTwoBits) {
  hak_atomic_u32 refills = {}, spills = {}, carries = {};
  const auto counted = [&](const hak_atomic_u32& lower, uint32_t shift) {
    return hak_heap_class_count(&lower, &carries, shift);
  };
  hak_u32_store_relaxed(&refills, UINT32_MAX);
  for (uint64_t i = 0; i < 3; i++) {
    hak_heap_count_in_class(&refills, &carries, HAK_HEAP_REFILLS_SHIFT);
    hak_heap_count_in_class(&spills, &carries, HAK_HEAP_SPILLS_SHIFT);
    EXPECT_EQ(counted(refills, HAK_HEAP_REFILLS_SHIFT), (1ull << 32) + i);
    EXPECT_EQ(counted(spills, HAK_HEAP_SPILLS_SHIFT), i + 1);
  }
  hak_u32_store_relaxed(&spills, UINT32_MAX);
  hak_heap_count_in_class(&spills, &carries, HAK_HEAP_SPILLS_SHIFT);
  EXPECT_EQ(counted(spills, HAK_HEAP_SPILLS_SHIFT), 1ull << 32);
  EXPECT_EQ(counted(refills, HAK_HEAP_REFILLS_SHIFT), (1ull << 32) + 2);
}

TEST_F(Heap, BinsFillTheHeapOneAfterTheOther) {
  uint32_t expected = 0;
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    EXPECT_EQ(HAK_BIN_OFFSET(c), expected) << c;
    const uint32_t bytes = HAK_BIN_HEADER_BYTES + (HAK_BIN_NEAR_SLOTS(c) + 1) * sizeof(void*);
    EXPECT_GE(HAK_BIN_SLOTS(c), HAK_BIN_NEAR_SLOTS(c));
    EXPECT_EQ(hak_bin_room(c, HAK_BIN_SLOTS_NEAR), HAK_BIN_NEAR_SLOTS(c));
    EXPECT_GE(hak_bin_room(c, HAK_BIN_SLOTS_MIDDLE), 2 * HAK_BIN_NEAR_SLOTS(c)) << "a cap doubles";
    EXPECT_EQ(hak_bin_room(c, HAK_BIN_SLOTS_ALL), HAK_BIN_SLOTS(c));
    hak_mid_ace_budget budget = {};
    budget.limit_bytes = kLimit;
    EXPECT_EQ(hak_mid_ace_start(&budget, c, HAK_BIN_NEAR_SLOTS(c)), hak_mid_ace_start(&budget, c, HAK_BIN_SLOTS(c)))
        << "a bin that starts needs no slots elsewhere";
    expected += bytes;
  }
  EXPECT_EQ(expected, uint32_t{HAK_HEAP_BINS_BYTES});
}

TEST_F(Heap, TinyTableNamesTheBinOfEachSize) {
  for (uint32_t size = 0; size <= HAK_SIZE_CLASS_TINY_MAX_BYTES; size++) {
    ASSERT_EQ(hak_heap_tiny_offset[(size + 15) / 16], HAK_BIN_OFFSET(hak_size_class_of(size))) << size;
  }
}

TEST_F(Heap, MidTableNamesTheBinOfEachSize) {
  for (uint32_t size = HAK_SIZE_CLASS_TINY_MAX_BYTES + 1; size <= HAK_SIZE_CLASS_MAX_BYTES; size++) {
    const uint32_t step = (size + HAK_HEAP_MID_STEP_BYTES - 1) / HAK_HEAP_MID_STEP_BYTES;
    ASSERT_EQ(hak_heap_mid_offset[step], HAK_BIN_OFFSET(hak_size_class_of(size))) << size;
  }
}

TEST_F(Heap, ABinsAddressTellsItsPlaceInItsHeap) {
  std::vector<hak_heap*> heaps = {hak_heap_acquire(kLimit), hak_heap_acquire(kLimit), hak_heap_make_named("one")};
  for (hak_heap* heap : heaps) {
    for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
      const uint64_t word = reinterpret_cast<uint64_t>(hak_heap_bin(heap, c));
      EXPECT_EQ(hak_heap_of_word(word), heap);
      EXPECT_EQ(hak_heap_offset_of_word(word), static_cast<uint64_t>(HAK_BIN_OFFSET(c)));
    }
  }
  for (int i = 0; i < 2; i++) hak_heap_park(heaps[i]);
}

TEST_F(Heap, Invariant7FreesTakeOnePathWhileTheThreadExchanges) {
  hak_heap* heap = hak_heap_acquire(kLimit);
  hak_heap* other = hak_heap_acquire(kLimit);
  const auto expect = [heap](hak_heap* frees, bool frees_exchange) {
    EXPECT_EQ(hak_heap_frees, frees);
    EXPECT_EQ(heap->frees_exchange, frees_exchange);
  };
  hak_heap_set_current(heap, true, true);
  expect(heap, false);
  hak_heap_set_exchanging(heap, true);
  expect(&hak_heap_empty, true);
  EXPECT_EQ(hak_heap_mallocs, heap);
  hak_heap_set_exchanging(other, true); /* not this thread's */
  expect(&hak_heap_empty, true);
  hak_heap_set_current(heap, false, false); /* frees are recorded */
  expect(&hak_heap_empty, false);
  hak_heap_set_exchanging(heap, false);
  expect(&hak_heap_empty, false);
  hak_heap_set_exchanging(heap, true);
  expect(&hak_heap_empty, false);
  hak_heap_set_current(heap, true, true);
  expect(&hak_heap_empty, true);
  hak_heap_set_exchanging(heap, false);
  expect(heap, false);
  hak_heap_set_exchanging(heap, true);
  hak_heap_set_current(&hak_heap_empty, true, true);
  EXPECT_EQ(hak_heap_frees, &hak_heap_empty);
  EXPECT_FALSE(hak_heap_empty.frees_exchange);
  hak_heap_park(other);
  hak_heap_park(heap);
  ASSERT_EQ(hak_heap_acquire(kLimit), heap);
  hak_heap_set_current(heap, true, true);
  expect(heap, false); /* a new thread's */
  hak_heap_set_current(&hak_heap_empty, true, true);
  hak_heap_park(heap);
}

TEST_F(Heap, Invariant3WordsOfItsBinsAndNoOthers) {
  hak_heap* heap = hak_heap_acquire(kLimit);
  const uint64_t base = reinterpret_cast<uint64_t>(heap);
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    EXPECT_TRUE(hak_heap_owns_word(heap, reinterpret_cast<uint64_t>(hak_heap_bin(heap, c))));
  }
  EXPECT_TRUE(hak_heap_owns_word(heap, base + HAK_HEAP_BINS_BYTES - 1));
  EXPECT_FALSE(hak_heap_owns_word(heap, base + HAK_HEAP_BINS_BYTES));
  EXPECT_FALSE(hak_heap_owns_word(heap, base - 1));
  for (uint64_t tag = 0; tag <= 15; tag++) {
    EXPECT_FALSE(hak_heap_owns_word(heap, tag));
    EXPECT_FALSE(hak_heap_owns_word(&hak_heap_empty, tag));
  }
  EXPECT_FALSE(hak_heap_owns_word(heap, ~0ull));
}

TEST_F(Heap, Invariant2NewBinsAreEmptyAndUntouched) {
  hak_heap* heap = hak_heap_acquire(kLimit);
  ASSERT_NE(heap, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(heap) % 4096, 0u);
  EXPECT_TRUE(IsZero(heap->bins, sizeof heap->bins));
  EXPECT_TRUE(IsZero(heap->outbox, sizeof heap->outbox));
  EXPECT_EQ(StateOf(heap), HAK_HEAP_ACTIVE);
  EXPECT_TRUE(hak_heap_is_real(heap));
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    EXPECT_EQ(hak_heap_mailbox(heap, c)->heap, heap);
    EXPECT_EQ(hak_ptr_load_relaxed(&hak_heap_mailbox(heap, c)->head), nullptr);
  }
}

TEST_F(Heap, TheMoreHeapsAtWorkTheSmallerTheNextOnesBudget) {
  const auto acquire = [] {
    hak_heap* heap = hak_heap_acquire(kLimit);
    EXPECT_EQ(heap->budget.granted_bytes, 0u);
    return heap;
  };
  std::vector<hak_heap*> heaps;
  for (uint32_t nth = 1; nth <= 10; nth++) {
    heaps.push_back(acquire());
    EXPECT_EQ(heaps.back()->budget.limit_bytes, hak_mid_ace_limit(kLimit, nth)) << nth;
  }
  hak_heap_park(heaps[9]);
  hak_heap_park(heaps[0]);
  EXPECT_EQ(acquire(), heaps[0]);
  EXPECT_EQ(heaps[0]->budget.limit_bytes, hak_mid_ace_limit(kLimit, 9)) << "eight others are at work";
  hak_heap_enter(heaps[1]);
  OrphanOthers(nullptr); /* one lost, the others parked */
  for (uint32_t nth = 1; nth <= 9; nth++) EXPECT_EQ(acquire()->budget.limit_bytes, hak_mid_ace_limit(kLimit, nth));
}

// Starts a bin as the unified cache does, which lies above, with all its slots granted.
hak_bin* FullyGranted(hak_heap* heap, uint32_t size_class) {
  hak_bin* bin = hak_heap_bin(heap, size_class);
  bin->stride = hak_size_class_table[size_class].block_bytes;
  bin->size_class = static_cast<uint8_t>(size_class);
  bin->begin = bin->top = bin->end = bin->near_slots;
  EXPECT_TRUE(hak_heap_set_cap(bin, HAK_BIN_SLOTS(size_class)));
  heap->budget.granted_bytes += uint64_t{hak_bin_cap(bin)} * bin->stride;
  return bin;
}

void Cache(hak_bin* bin, void* block) {
  bin->top[-1] = block;
  hak_bin_set_top(bin, bin->top - 1);
}

// What is cached stays so, in its order, whichever slots it lies in.
TEST_F(Heap, SlotsGrowAndAreKept) {
  hak_heap* heap = hak_heap_acquire(kLimit);
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_bin* bin = hak_heap_bin(heap, c);
    bin->size_class = static_cast<uint8_t>(c);
    bin->begin = bin->top = bin->end = bin->near_slots;
    std::vector<int> blocks(2);
    const auto check = [&](uint32_t cap) {
      ASSERT_TRUE(hak_heap_set_cap(bin, cap));
      EXPECT_EQ(hak_bin_cap(bin), cap);
      EXPECT_EQ(*bin->end, nullptr);
      while (hak_bin_held(bin) < 2) Cache(bin, &blocks[1 - hak_bin_held(bin)]);
      EXPECT_EQ(bin->first, &blocks[0]);
      EXPECT_EQ(bin->top[0], &blocks[0]);
      EXPECT_EQ(bin->top[1], &blocks[1]);
    };
    check(2);
    check(HAK_BIN_NEAR_SLOTS(c));
    EXPECT_EQ(bin->begin, bin->near_slots);
    for (uint32_t at = HAK_BIN_SLOTS_MIDDLE; hak_bin_cap(bin) < HAK_BIN_SLOTS(c); at++) {
      const uint64_t used_bytes = hak_metadata_used_bytes();
      void** const before = bin->begin;
      check(hak_bin_cap(bin) + 1);
      EXPECT_EQ(bin->slots_at, at);
      EXPECT_NE(bin->begin, before);
      EXPECT_GE(hak_metadata_used_bytes(), used_bytes + (hak_bin_room(c, at) + 1) * sizeof(void*));
      void** const now = bin->begin;
      check(hak_bin_room(c, at));
      EXPECT_EQ(bin->begin, now);
    }
    void** const begin = bin->begin;
    memset(bin->end - hak_bin_cap(bin), 0x5a, (hak_bin_cap(bin) - 2) * sizeof(void*)); /* there is memory behind it */
    check(2);
    check(HAK_BIN_SLOTS(c));
    EXPECT_EQ(bin->begin, begin);
    hak_bin_set_top(bin, bin->end);
  }
}

TEST_F(Heap, CachesBeyondTheNextThreadsBudgetStartAnew) {
  const uint32_t c = hak_size_class_of(32768);
  const uint32_t other = hak_size_class_of(16384);
  hak_heap* heap = hak_heap_acquire(kLimit);
  hak_bin* bin = FullyGranted(heap, c);
  hak_bin* holds = FullyGranted(heap, other);
  int block = 0;
  const uint64_t granted_bytes = heap->budget.granted_bytes;
  Cache(holds, &block); /* as a fork may leave it */

  hak_heap_park(heap);
  ASSERT_EQ(hak_heap_acquire(granted_bytes), heap);
  EXPECT_EQ(hak_bin_cap(bin), HAK_BIN_SLOTS(c)) << "within the budget";

  hak_heap_park(heap);
  ASSERT_EQ(hak_heap_acquire(granted_bytes - 1), heap);
  EXPECT_EQ(hak_bin_cap(bin), 2u);
  EXPECT_EQ(bin->top, bin->end);
  EXPECT_EQ(*bin->end, nullptr);
  EXPECT_EQ(bin->first, nullptr);
  EXPECT_EQ(hak_bin_cap(holds), HAK_BIN_SLOTS(other));
  EXPECT_EQ(*holds->top, &block);
  EXPECT_EQ(heap->budget.granted_bytes, 2u * 32768 + HAK_BIN_SLOTS(other) * uint64_t{16384});
  for (uint32_t i = 0; i < HAK_SIZE_CLASS_COUNT; i++) {
    if (i == c || i == other) continue;
    EXPECT_EQ(hak_heap_bin(heap, i)->end, nullptr) << "never used";
  }
}

TEST_F(Heap, AHeapThatCannotBeMadeIsNotCounted) {
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  while (hak_heap_acquire(kLimit) != nullptr) { /* until the metadata is used up */
  }
  for (int i = 0; i < 20; i++) ASSERT_EQ(hak_heap_acquire(kLimit), nullptr);
  hak_os_fake_reset();
  OrphanOthers(nullptr);
  EXPECT_EQ(hak_heap_acquire(kLimit)->budget.limit_bytes, kLimit);
}

TEST_F(Heap, Invariant6TheEmptyHeapIsAllZeroAndEveryThreadStartsOnIt) {
  EXPECT_TRUE(IsZero(&hak_heap_empty, sizeof hak_heap_empty));
  EXPECT_FALSE(hak_heap_is_real(&hak_heap_empty));
  hak_heap* seen = nullptr;
  std::thread([&seen] { seen = hak_heap_current; }).join();
  EXPECT_EQ(seen, &hak_heap_empty);
  EXPECT_EQ(hak_heap_current, &hak_heap_empty);
  hak_heap* heap = hak_heap_acquire(kLimit);
  OrphanOthers(nullptr);
  EXPECT_TRUE(IsZero(&hak_heap_empty, sizeof hak_heap_empty)) << "not one of the heaps that change state";
  EXPECT_EQ(StateOf(heap), HAK_HEAP_PARKED);
}

TEST_F(Heap, ParkedHeapsAreReusedLastFirst) {
  std::vector<hak_heap*> heaps;
  for (int i = 0; i < 5; i++) heaps.push_back(hak_heap_acquire(kLimit));
  EXPECT_EQ(std::set<hak_heap*>(heaps.begin(), heaps.end()).size(), 5u);
  for (size_t i = 0; i < heaps.size(); i++) {
    EXPECT_EQ(hak_heap_parked_count(), i);
    hak_heap_park(heaps[i]);
    EXPECT_EQ(StateOf(heaps[i]), HAK_HEAP_PARKED);
  }
  EXPECT_EQ(ParkedHeaps(), std::vector<hak_heap*>(heaps.rbegin(), heaps.rend()));
  for (size_t i = heaps.size(); i-- > 0;) {
    EXPECT_EQ(hak_heap_acquire(kLimit), heaps[i]);
    EXPECT_EQ(StateOf(heaps[i]), HAK_HEAP_ACTIVE);
    EXPECT_EQ(hak_heap_parked_count(), i);
  }
  EXPECT_TRUE(ParkedHeaps().empty());
}

TEST_F(Heap, AParkedHeapKeepsWhatItHas) {
  hak_heap* heap = hak_heap_acquire(kLimit);
  hak_bin* bin = hak_heap_bin(heap, 7);
  bin->stride = 128;
  hak_slab slab = {};
  hak_slab_list_push(&bin->partial, &slab);
  hak_ptr_store_relaxed(&hak_heap_mailbox(heap, 7)->head, &slab);
  hak_heap_park(heap);
  ASSERT_EQ(hak_heap_acquire(kLimit), heap);
  EXPECT_EQ(bin->stride, 128u);
  EXPECT_EQ(bin->partial, &slab);
  EXPECT_EQ(hak_ptr_load_relaxed(&hak_heap_mailbox(heap, 7)->head), &slab);
}

TEST_F(Heap, Invariant4EveryHeapStaysListed) {
  const std::vector<hak_heap*> before = AllHeaps();
  hak_heap* first = hak_heap_acquire(kLimit);
  hak_heap* second = hak_heap_acquire(kLimit);
  std::vector<hak_heap*> expected = {second, first};
  expected.insert(expected.end(), before.begin(), before.end());
  EXPECT_EQ(AllHeaps(), expected);
  hak_heap_park(second);
  EXPECT_EQ(AllHeaps(), expected);
  EXPECT_EQ(hak_heap_acquire(kLimit), second);
  EXPECT_EQ(AllHeaps(), expected) << "not listed twice";
}

TEST_F(Heap, NoMemoryThenRetry) {
  hak_heap* parked = hak_heap_acquire(kLimit);
  hak_heap_park(parked);
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  EXPECT_EQ(hak_heap_acquire(kLimit), parked) << "needs no memory";
  /* New ones come from the rest of a metadata chunk, until that is used up. */
  hak_heap* last = nullptr;
  int made = 0;
  constexpr int kMoreThanAChunkHolds = 1024 * 1024 / (3 * 4096) + 1;
  for (hak_heap* heap = parked; heap != nullptr && made < kMoreThanAChunkHolds; made++)
    last = heap, heap = hak_heap_acquire(kLimit);
  EXPECT_LT(made, kMoreThanAChunkHolds);
  const size_t count = AllHeaps().size();
  errno = 77;
  EXPECT_EQ(hak_heap_acquire(kLimit), nullptr);
  EXPECT_EQ(errno, 77);
  EXPECT_EQ(AllHeaps().size(), count);
  EXPECT_EQ(hak_heap_parked_count(), 0u);
  hak_heap_park(last);
  EXPECT_EQ(hak_heap_acquire(kLimit), last);
  hak_os_fake_fail_never(HAK_OS_FAKE_MMAP);
  hak_heap* fresh = hak_heap_acquire(kLimit);
  ASSERT_NE(fresh, nullptr);
  EXPECT_EQ(AllHeaps().size(), count + 1);
}

TEST_F(Heap, EnterAndLeaveNest) {
  hak_heap* heap = hak_heap_acquire(kLimit);
  hak_heap_enter(heap);
  hak_heap_enter(heap);
  hak_heap_leave(heap);
  EXPECT_EQ(hak_u32_load_relaxed(&heap->in_slow_path), 1u);
  hak_heap_leave(heap);
  EXPECT_EQ(hak_u32_load_relaxed(&heap->in_slow_path), 0u);
}

TEST_F(Heap, OrphanOthersParksWhatIsWholeAndLosesWhatIsNot) {
  hak_heap* mine = hak_heap_acquire(kLimit);
  hak_heap* idle = hak_heap_acquire(kLimit);
  hak_heap* amid = hak_heap_acquire(kLimit);
  hak_heap* common = hak_heap_acquire(kLimit);
  hak_heap* parked = hak_heap_acquire(kLimit);
  hak_heap_enter(mine); /* the forking thread is in a slow path of its own */
  hak_heap_enter(amid);
  SetState(common, HAK_HEAP_COMMON);
  hak_heap_park(parked);
  OrphanOthers(mine);
  EXPECT_EQ(StateOf(mine), HAK_HEAP_ACTIVE);
  EXPECT_EQ(StateOf(idle), HAK_HEAP_PARKED);
  EXPECT_EQ(StateOf(amid), HAK_HEAP_LOST);
  EXPECT_EQ(StateOf(common), HAK_HEAP_COMMON);
  EXPECT_EQ(StateOf(parked), HAK_HEAP_PARKED);
  EXPECT_EQ(hak_heap_parked_count(), 2u);
  EXPECT_EQ(ParkedHeaps(), (std::vector<hak_heap*>{idle, parked})) << "each once";
  OrphanOthers(mine); /* the child of a child */
  EXPECT_EQ(hak_heap_parked_count(), 2u);
  EXPECT_EQ(hak_heap_acquire(kLimit), idle);
  EXPECT_EQ(hak_heap_acquire(kLimit), parked);
  /* A lost heap is never handed out again. */
  EXPECT_NE(hak_heap_acquire(kLimit), amid);
  EXPECT_EQ(StateOf(amid), HAK_HEAP_LOST);
  hak_heap_leave(mine);
  hak_heap_leave(amid);
}

TEST_F(HeapDeathTest, OnlyAnActiveHeapIsParked) {
  if (HAK_CONFIG_LEVEL < 1) GTEST_SKIP() << "asserted in debug builds only";
  hak_heap* heap = hak_heap_acquire(kLimit);
  hak_heap_park(heap);
  EXPECT_DEATH(hak_heap_park(heap), "broken invariant");
}

// Invariants 4 and 5: of any number of threads one works on a heap, and sees what the last one left there.
TEST_F(Heap, Invariant5ThreadsHaveAHeapEachToThemselves) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 3000;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&wrong, t] {
      for (int i = 0; i < kRounds; i++) {
        hak_heap* heap = hak_heap_acquire(kLimit);
        if (heap == nullptr || StateOf(heap) != HAK_HEAP_ACTIVE || heap->slow_ticks != 0) {
          wrong++;
          return;
        }
        heap->slow_ticks = static_cast<uint32_t>(t + 1); /* plain: only the parked-heap lock is between threads */
        heap->epoch_ms++;
        if (i % 16 == 0) std::this_thread::yield();
        if (heap->slow_ticks != static_cast<uint32_t>(t + 1)) wrong++;
        heap->slow_ticks = 0;
        hak_heap_park(heap);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  const std::vector<hak_heap*> parked = ParkedHeaps();
  EXPECT_LE(parked.size(), size_t{kThreads});
  EXPECT_EQ(hak_heap_parked_count(), parked.size());
  uint64_t turns = 0;
  for (const hak_heap* heap : parked) turns += heap->epoch_ms;
  EXPECT_EQ(turns, uint64_t{kThreads} * kRounds);
}

TEST_F(Heap, KnowsWhoHadItLast) {
  hak_heap* heap = hak_heap_acquire(kLimit);
  ASSERT_NE(heap, nullptr);
  EXPECT_EQ(heap->thread_pointer, hak_thread_pointer());
  hak_heap_park(heap);
  const void* other = nullptr;
  std::thread([&] {
    EXPECT_EQ(hak_heap_acquire(kLimit), heap);
    other = hak_thread_pointer();
  }).join();
  EXPECT_EQ(heap->thread_pointer, other);
}

}  // namespace
