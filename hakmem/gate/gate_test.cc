/* What the hak_ functions promise in hakmem.h when there is memory and the program does nothing wrong. */
#include "hakmem/gate/gate.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "hakmem/config/test_config.h"
#include "hakmem/gate/gate_test_inl.h"
#include "hakmem/heap/heap.h"
#include "hakmem/instrument/instrument.h"
#include "hakmem/os/os.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/registry/registry.h"
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/size_class/size_class.h"
#include "hakmem/slab/slab.h"
#include "hakmem/unified_cache/unified_cache.h"
#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

namespace {

TEST_F(Gate, BlocksOfSizeZeroAreDifferentAndCanBeFreed) {
  std::set<void*> blocks;
  for (int i = 0; i < 1000; i++) {
    void* block = hak_malloc(0);
    ASSERT_NE(block, nullptr);
    ASSERT_TRUE(blocks.insert(block).second);
  }
  for (const auto& make : {+[] { return hak_calloc(0, 8); }, +[] { return hak_calloc(8, 0); },
                           +[] { return hak_realloc(nullptr, 0); }, +[] { return hak_aligned_alloc(64, 0); }}) {
    void* block = make();
    ASSERT_NE(block, nullptr);
    ASSERT_TRUE(blocks.insert(block).second);
  }
  for (void* block : blocks) hak_free(block);
  EXPECT_EQ(errno, kErrno);
}

TEST_F(Gate, EverySizeIsAlignedAndWhollyUsable) {
  for (const size_t size : BorderSizes()) {
    char* block = static_cast<char*>(hak_malloc(size));
    ASSERT_NE(block, nullptr) << size;
    ASSERT_TRUE(IsAligned(block, 16)) << size;
    Fill(block, size, size);
    ASSERT_TRUE(Holds(block, size, size));
    hak_free(block);
  }
  for (size_t size = 0; size < 5000; size++) {
    void* block = hak_malloc(size);
    ASSERT_TRUE(IsAligned(block, 16)) << size;
    hak_free(block);
  }
  EXPECT_EQ(errno, kErrno);
}

TEST_F(Gate, LiveBlocksDoNotOverlap) {
  std::mt19937 random(5);
  std::vector<std::pair<char*, size_t>> live;
  const std::vector<size_t> sizes = BorderSizes();
  for (int step = 0; step < 20000; step++) {
    if (live.size() < 150 && random() % 3 != 0) {
      const size_t size = step % 50 == 0 ? sizes[random() % sizes.size()] : random() % 2000;
      char* block = static_cast<char*>(hak_malloc(size));
      ASSERT_NE(block, nullptr);
      Fill(block, std::min<size_t>(size, 4000), reinterpret_cast<uintptr_t>(block) >> 4);
      live.emplace_back(block, size);
    } else if (!live.empty()) {
      std::swap(live[random() % live.size()], live.back());
      const auto [block, size] = live.back();
      ASSERT_TRUE(Holds(block, std::min<size_t>(size, 4000), reinterpret_cast<uintptr_t>(block) >> 4));
      hak_free(block);
      live.pop_back();
    }
  }
  for (const auto& [block, size] : live) hak_free(block);
}

// --- calloc ---

TEST_F(Gate, CallocIsZeroEvenWhereMemoryWasUsed) {
  for (int round = 0; round < 3; round++) {
    for (const size_t size : BorderSizes()) {
      std::vector<void*> dirty;
      for (int i = 0; i < 3; i++) {
        dirty.push_back(hak_malloc(size));
        memset(dirty.back(), 0xa5, size);
      }
      for (void* block : dirty) hak_free(block);
      if (round == 1) hak_trim();
      void* blocks[3];
      for (void*& block : blocks) {
        block = hak_calloc(size, 1);
        ASSERT_NE(block, nullptr);
        ASSERT_TRUE(IsZero(block, size)) << size << " in round " << round;
        memset(block, 0x5a, size);
      }
      for (void* block : blocks) hak_free(block);
    }
  }
}

TEST_F(Gate, CallocMultiplies) {
  void* block = hak_calloc(100, 50);
  EXPECT_GE(hak_malloc_usable_size(block), 5000u);
  EXPECT_TRUE(IsZero(block, 5000));
  hak_free(block);
}

// --- alignments ---

TEST_F(Gate, AlignedAllocGivesEveryAlignment) {
  for (size_t alignment = 1; alignment <= 4 * kMiB; alignment *= 2) {
    for (const size_t size : {0ul, 1ul, 16ul, 17ul, 100ul, 4096ul, 5000ul, 70000ul, 300000ul}) {
      void* blocks[2] = {hak_aligned_alloc(alignment, size), hak_memalign(alignment, size)};
      for (void* block : blocks) {
        ASSERT_NE(block, nullptr);
        ASSERT_TRUE(IsAligned(block, alignment)) << alignment;
        ASSERT_TRUE(IsAligned(block, 16));
        ASSERT_GE(hak_malloc_usable_size(block), size);
        Fill(block, size, alignment);
      }
      ASSERT_NE(blocks[0], blocks[1]);
      ASSERT_TRUE(Holds(blocks[0], size, alignment));
      hak_free(blocks[0]);
      hak_free_aligned_sized(blocks[1], alignment, size);
    }
  }
  EXPECT_EQ(errno, kErrno);
}

TEST_F(Gate, AlignedAllocRefusesWhatIsNoPowerOfTwo) {
  for (const size_t alignment : {0ul, 3ul, 6ul, 24ul, 48ul, 100ul, 4097ul, SIZE_MAX}) {
    errno = 0;
    EXPECT_EQ(hak_aligned_alloc(alignment, 64), nullptr) << alignment;
    EXPECT_EQ(errno, EINVAL) << alignment;
  }
}

TEST_F(Gate, MemalignRoundsTheAlignmentUp) {
  const struct {
    size_t alignment, rounded;
  } rows[] = {{0, 16}, {1, 16}, {3, 16}, {17, 32}, {24, 32}, {48, 64}, {100, 128}, {4097, 8192}, {65537, 131072}};
  for (const auto& row : rows) {
    void* block = hak_memalign(row.alignment, 40);
    ASSERT_NE(block, nullptr) << row.alignment;
    EXPECT_TRUE(IsAligned(block, row.rounded)) << row.alignment;
    hak_free(block);
  }
  EXPECT_EQ(errno, kErrno);
}

TEST_F(Gate, PosixMemalignTakesMultiplesOfPointers) {
  for (size_t alignment = 8; alignment <= kMiB; alignment *= 2) {
    void* block = nullptr;
    ASSERT_EQ(hak_posix_memalign(&block, alignment, 100), 0);
    EXPECT_TRUE(IsAligned(block, alignment));
    hak_free(block);
  }
  for (const size_t alignment : {0ul, 1ul, 2ul, 4ul, 12ul, 24ul, 40ul, SIZE_MAX}) {
    void* out = this;
    EXPECT_EQ(hak_posix_memalign(&out, alignment, 100), EINVAL) << alignment;
    EXPECT_EQ(out, this);
  }
  EXPECT_EQ(errno, kErrno);
}

TEST_F(Gate, VallocAndPvallocArePages) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  for (const size_t size : {size_t{0}, size_t{1}, page, page + 1, 100 * page + 1}) {
    void* one = hak_gate_valloc(size);
    void* whole = hak_gate_pvalloc(size);
    EXPECT_TRUE(IsAligned(one, page));
    EXPECT_TRUE(IsAligned(whole, page));
    EXPECT_GE(hak_malloc_usable_size(one), size);
    EXPECT_GE(hak_malloc_usable_size(whole), (size + page - 1) / page * page);
    hak_free(one);
    hak_free(whole);
  }
}

// --- sizes ---

TEST_F(Gate, UsableSizeIsStableAndWhollyTheCallers) {
  EXPECT_EQ(hak_malloc_usable_size(nullptr), 0u);
  std::vector<std::pair<char*, size_t>> blocks;
  for (const size_t size : BorderSizes()) {
    char* block = static_cast<char*>(hak_malloc(size));
    const size_t usable = hak_malloc_usable_size(block);
    ASSERT_GE(usable, std::max<size_t>(size, 1));
    Fill(block, usable, size);
    blocks.emplace_back(block, usable);
  }
  size_t i = 0;
  for (const size_t size : BorderSizes()) {
    const auto [block, usable] = blocks[i++];
    ASSERT_EQ(hak_malloc_usable_size(block), usable);
    ASSERT_TRUE(Holds(block, usable, size)) << size;
    hak_free(block);
  }
  EXPECT_EQ(errno, kErrno);
}

TEST_F(Gate, GoodSizeIsTheUsableSize) {
  const auto expect_good = [](size_t size) {
    void* block = hak_malloc(size);
    ASSERT_EQ(hak_good_size(size), hak_malloc_usable_size(block)) << size;
    ASSERT_EQ(hak_good_size(hak_good_size(size)), hak_good_size(size)) << size;
    hak_free(block);
  };
  for (size_t size = 0; size <= 40000; size += size < 2100 ? 1 : 61) expect_good(size);
  for (const size_t size : BorderSizes()) {
    hak_trim(); /* a whale from the cache may be longer */
    expect_good(size);
  }
  EXPECT_EQ(hak_good_size(kTooMuch), 0u);
  EXPECT_EQ(hak_good_size(SIZE_MAX), 0u);
  EXPECT_EQ(hak_good_size(static_cast<size_t>(PTRDIFF_MAX)), 0u);
  EXPECT_EQ(errno, kErrno);
}

TEST_F(Gate, AReusedWhaleIsLongerByAQuarterAtMost) {
  hak_free(hak_malloc(5 * kMiB));
  void* block = hak_malloc(4 * kMiB + kMiB / 2);
  EXPECT_GE(hak_malloc_usable_size(block), hak_good_size(4 * kMiB + kMiB / 2));
  EXPECT_LE(hak_malloc_usable_size(block), (4 * kMiB + kMiB / 2) / 4 * 5);
  hak_free(block);
}

TEST_F(Gate, ASpanThatWasFreedLastIsTheNextOne) {
  constexpr size_t kBytes = 700 * kKiB;
  hak_free(hak_malloc(16)); /* a thread without a heap parks nothing */
  hak_free(hak_malloc(kBytes));
  void* block = hak_malloc(kBytes);
  for (int i = 0; i < 100; i++) {
    Fill(block, kBytes, i);
    EXPECT_TRUE(hak_is_in_heap(static_cast<char*>(block) + 100 * kKiB));
    hak_free(block);
    EXPECT_FALSE(hak_is_in_heap(block));
    EXPECT_FALSE(hak_is_in_heap(static_cast<char*>(block) + 100 * kKiB));
    void* next = i % 2 == 0 ? hak_malloc(kBytes) : hak_calloc(kBytes / 16, 16);
    ASSERT_EQ(next, block) << i;
    ASSERT_EQ(hak_malloc_usable_size(next), hak_good_size(kBytes)) << i;
    if (i % 2 == 1) {
      for (size_t at = 0; at < kBytes; at++) ASSERT_EQ(static_cast<char*>(next)[at], 0) << at;
    }
  }
  hak_free(block);
  void* longer = hak_malloc(kBytes + HAK_UNIT_BYTES);
  EXPECT_NE(longer, block);
  hak_free(longer);
}

// --- free ---

TEST_F(Gate, FreeKeepsErrnoWhateverTheKernelSays) {
  hak_free(nullptr);
  hak_free_sized(nullptr, 100);
  hak_free_aligned_sized(nullptr, 64, 100);
  EXPECT_EQ(errno, kErrno);
  std::vector<void*> blocks;
  for (const size_t size : {size_t{16}, 5 * kKiB, 200 * kKiB, 500 * kKiB, 3 * kMiB, 40 * kMiB}) {
    for (int i = 0; i < 40 && i * size < 100 * kMiB; i++) blocks.push_back(hak_malloc(size));
  }
  hak_os_fake_fail_from(HAK_OS_FAKE_MUNMAP, 1, EPERM);
  hak_os_fake_fail_from(HAK_OS_FAKE_MADVISE, 1, EPERM);
  for (void* block : blocks) hak_free(block);
  EXPECT_EQ(errno, kErrno);
  hak_trim();
  EXPECT_EQ(errno, kErrno);
  EXPECT_GT(hak_os_fake_failures(HAK_OS_FAKE_MUNMAP), 0u);
}

TEST_F(Gate, FreeSizedTakesTheSizesThatABlockCanHave) {
  for (const size_t size : KindSizes()) {
    hak_free_sized(hak_malloc(size), size);
    void* block = hak_malloc(size);
    hak_free_sized(block, hak_malloc_usable_size(block));
    hak_free_sized(hak_calloc(size, 1), size);
    hak_free_sized(hak_realloc(hak_malloc(100), size), size);
  }
  hak_free_sized(hak_malloc(0), 0);
  EXPECT_EQ(hak_misuse_count(), 0u);
}

// --- batches ---

TEST_F(Gate, BatchesAreManyMallocsAndFrees) {
  for (const size_t size : {size_t{0}, size_t{64}, 5 * kKiB, 300 * kKiB}) {
    const size_t count = size > kKiB ? 20 : 500;
    std::vector<void*> blocks(count + 1, this);
    ASSERT_EQ(hak_malloc_batch(size, count, blocks.data()), count);
    EXPECT_EQ(blocks[count], this); /* and nothing behind */
    EXPECT_EQ(std::set<void*>(blocks.begin(), blocks.end()).size(), count + 1);
    for (size_t i = 0; i < count; i++) Fill(blocks[i], size, i);
    for (size_t i = 0; i < count; i++) ASSERT_TRUE(Holds(blocks[i], size, i));
    hak_free(blocks[1]);
    blocks[1] = nullptr;
    blocks[count] = nullptr;
    hak_free_batch(blocks.data(), count + 1);
  }
  EXPECT_EQ(hak_malloc_batch(64, 0, nullptr), 0u);
  hak_free_batch(nullptr, 0);
  EXPECT_EQ(errno, kErrno);
}

TEST_F(Gate, ABatchMayBeFreedByAnotherThread) {
  std::vector<void*> blocks(3000);
  ASSERT_EQ(hak_malloc_batch(64, blocks.size(), blocks.data()), blocks.size());
  std::thread([&blocks] { hak_free_batch(blocks.data(), blocks.size()); }).join();
  std::vector<void*> again(3000);
  ASSERT_EQ(hak_malloc_batch(64, again.size(), again.data()), again.size());
  EXPECT_EQ(std::set<void*>(again.begin(), again.end()).size(), again.size());
  hak_free_batch(again.data(), again.size());
}

// --- blocks of other threads ---

// Calls `act` in a thread that has a heap and, of each of the sizes, some blocks, and goes on living until `act` has returned
// in this one.
template <typename Act>
void WithOther(const std::vector<size_t>& sizes, Act act) {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<void*> blocks;
  bool is_ready = false, is_done = false;
  std::thread other([&] {
    std::unique_lock<std::mutex> lock(mutex);
    for (const size_t size : sizes) blocks.push_back(hak_malloc(size));
    is_ready = true;
    changed.notify_all();
    changed.wait(lock, [&] { return is_done; });
  });
  {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return is_ready; });
  }
  act(blocks);
  {
    const std::lock_guard<std::mutex> lock(mutex);
    is_done = true;
  }
  changed.notify_all();
  other.join();
}

// Adds blocks of the size to `blocks` until the thread's cache has none left, and so has room.
void EmptyCache(size_t size, std::vector<void*>* blocks) {
  const hak_bin* bin = hak_heap_bin(hak_heap_current, hak_size_class_of(size));
  while (hak_bin_held(bin) != 0) blocks->push_back(hak_malloc(size));
}

// Slow paths enough for a look at the clock.
void TakeManySlowPaths() {
  std::vector<void*> many(100000);
  ASSERT_EQ(hak_malloc_batch(64, many.size(), many.data()), many.size());
  hak_free_batch(many.data(), many.size());
}

// Frees `block` after a block of this thread's: whoever allocates two of the size then may get both back.
bool IsReused(void* block, size_t size) {
  void* mine = hak_malloc(size);
  std::vector<void*> others = {hak_malloc(size)};
  EmptyCache(size, &others);
  hak_free(mine);
  hak_free(block);
  void* first = hak_malloc(size);
  void* second = hak_malloc(size);
  const bool reused = first == block || second == block;
  others.insert(others.end(), {first, second});
  hak_free_batch(others.data(), others.size());
  return reused;
}

// Sizes of blocks that a thread frees one by one until it counts as one that exchanges blocks with others.
std::vector<size_t> ExchangeSizes() { return std::vector<size_t>(2 * HAK_UNIFIED_CACHE_EXCHANGE, 96); }

void Exchange(const std::vector<void*>& blocks) {
  TakeManySlowPaths(); /* the first look at the clock ends an exchange */
  std::vector<void*> shuffled(blocks.begin(), blocks.begin() + 2 * HAK_UNIFIED_CACHE_EXCHANGE);
  std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(7)); /* few meet one of their word in the out-box */
  for (void* block : shuffled) hak_free(block);
}

// Each in a thread of its own: how often it has freed others' blocks is counted from its first call on.
template <typename Test>
void InNewThread(Test test) {
  std::thread([&] { test(); }).join();
}

TEST_F(Gate, AThreadThatExchangesBlocksReusesThoseOfOthers) {
  std::vector<size_t> sizes = ExchangeSizes();
  sizes.insert(sizes.end(), {16, 64, 256, 1024, 20000});
  WithOther(sizes, [&](const std::vector<void*>& blocks) {
    InNewThread([&] {
      Exchange(blocks);
      void* const* block = blocks.data() + 2 * HAK_UNIFIED_CACHE_EXCHANGE;
      EXPECT_TRUE(IsReused(block[0], 16));
      EXPECT_TRUE(IsReused(block[1], 64));
      EXPECT_TRUE(IsReused(block[2], 256));
      EXPECT_TRUE(IsReused(block[3], 1024));
      EXPECT_TRUE(IsReused(block[4], 20000));
    });
  });
}

TEST_F(Gate, ABlockOfAnotherThreadThatIsFreedTwiceInARowIsFoundAtOnce) {
  std::vector<size_t> sizes = ExchangeSizes();
  sizes.insert(sizes.end(), {16, 16, 256, 256, 20000, 20000});
  WithOther(sizes, [&](const std::vector<void*>& blocks) {
    InNewThread([&] {
      Exchange(blocks);
      hak_set_error_action(HAK_ERROR_IGNORE);
      for (size_t i = 2 * HAK_UNIFIED_CACHE_EXCHANGE; i < blocks.size(); i += 2) {
        const hak_bin* bin = hak_heap_bin(hak_heap_current, hak_size_class_of(sizes[i]));
        std::vector<void*> mine = {hak_malloc(sizes[i])};
        while (hak_bin_held(bin) != hak_bin_cap(bin)) {
          for (int k = 0; k < 100; k++) mine.push_back(hak_malloc(sizes[i]));
          while (mine.size() > 1 && hak_bin_held(bin) != hak_bin_cap(bin)) {
            hak_free(mine.back());
            mine.pop_back();
          }
        }
        hak_free(blocks[i + 1]); /* on its way home: a neighbour may join it there */
        EmptyCache(sizes[i], &mine);
        hak_free(blocks[i]);
        const uint64_t before = hak_misuse_count_of(HAK_MISUSE_DOUBLE_FREE);
        hak_free(blocks[i]);
        EXPECT_EQ(hak_misuse_count_of(HAK_MISUSE_DOUBLE_FREE), before + 1) << sizes[i];
        EXPECT_EQ(hak_malloc(sizes[i]), blocks[i]);
        EXPECT_NE(hak_malloc(sizes[i]), blocks[i]);
        hak_free_batch(mine.data(), mine.size());
      }
      hak_set_error_action(HAK_ERROR_ABORT);
    });
  });
}

TEST_F(Gate, AThreadThatExchangesBlocksDoesSoWhileItRecords) {
  std::vector<size_t> sizes = ExchangeSizes();
  sizes.insert(sizes.end(), {64, 256});
  WithOther(sizes, [&](const std::vector<void*>& blocks) {
    InNewThread([&] {
      Exchange(blocks);
      static uint64_t frees;
      frees = 0;
      hak_instrument_hook_records(
          [](hak_instrument_op op, const void*, size_t) { frees += op == HAK_INSTRUMENT_FREE; });
      hak_instrument_want(HAK_INSTRUMENT_RECORD, true);
      (void)hak_instrument_follow();
      void* const* block = blocks.data() + 2 * HAK_UNIFIED_CACHE_EXCHANGE;
      EXPECT_TRUE(IsReused(block[0], 64));
      EXPECT_TRUE(IsReused(block[1], 256));
      EXPECT_GE(frees, 4u);
      hak_instrument_reset_for_test();
    });
  });
}

TEST_F(Gate, AThreadThatExchangesBlocksReusesLargeOnesToo) {
  std::vector<size_t> sizes = ExchangeSizes();
  sizes.insert(sizes.end(), {64 * kKiB, 256 * kKiB, 300 * kKiB, 3000 * kKiB});
  WithOther(sizes, [&](const std::vector<void*>& blocks) {
    InNewThread([&] {
      Exchange(blocks);
      void* const* block = blocks.data() + 2 * HAK_UNIFIED_CACHE_EXCHANGE;
      for (const size_t size : {64 * kKiB, 256 * kKiB}) {
        hak_free(hak_malloc(size)); /* the bin is in use */
        EXPECT_TRUE(IsReused(*block, size)) << size;
        block++;
      }
      hak_free(block[0]);
      hak_free(block[1]);
    });
  });
}

TEST_F(Gate, AThreadThatExchangesBlocksReusesItsOwn) {
  WithOther(ExchangeSizes(), [&](const std::vector<void*>& blocks) {
    InNewThread([&] {
      Exchange(blocks);
      EXPECT_TRUE(hak_heap_current->frees_exchange);
      for (const size_t size : BorderSizes()) {
        void* block = hak_malloc(size);
        Fill(block, size, size);
        EXPECT_TRUE(Holds(block, size, size));
        hak_free(block);
        void* again = hak_malloc(size);
        EXPECT_TRUE(again == block || size > 32 * kKiB) << size;
        hak_free(again);
      }
      hak_free(nullptr);
    });
  });
}

// What a thread allocates that has come to its end.
struct LastBlock {
  size_t size;
  void* block;
  int rounds; /* of destructors, until the one of HAKMEM's own has run */
};

pthread_key_t last_block_key;

void AllocateLast(void* arg) {
  auto* last = static_cast<LastBlock*>(arg);
  if (last->rounds-- > 0) {
    pthread_setspecific(last_block_key, last);
  } else {
    last->block = hak_malloc(last->size);
  }
}

void* AllocateAfterExit(size_t size) {
  LastBlock last = {size, nullptr, 2};
  EXPECT_EQ(pthread_key_create(&last_block_key, AllocateLast), 0);
  std::thread([&last] {
    hak_free(hak_malloc(1)); /* it has a heap, and gives it up */
    pthread_setspecific(last_block_key, &last);
  }).join();
  pthread_key_delete(last_block_key);
  return last.block;
}

// No thread is to have what it keeps: it caches nothing.
TEST_F(Gate, BlocksOfTheCommonHeapGoHome) {
  WithOther(ExchangeSizes(), [&](const std::vector<void*>& blocks) {
    InNewThread([&] {
      Exchange(blocks);
      /* So that every bin is in use, and has room: a block that came to a wrong one would stay. */
      std::vector<void*> live;
      for (const size_t size : BorderSizes()) {
        void* some[40];
        const size_t count = size <= kKiB ? 40 : 1;
        ASSERT_EQ(hak_malloc_batch(size, count, some), count);
        hak_free_batch(some, count);
        if (size <= kKiB) live.push_back(hak_malloc(size));
      }
      for (uint32_t c = 0; c <= hak_size_class_of(HAK_SIZE_CLASS_TINY_MAX_BYTES); c++) {
        const size_t size = hak_size_class_table[c].block_bytes;
        void* block = AllocateAfterExit(size);
        ASSERT_TRUE(hak_heap_owns_word(hak_heap_common(), hak_registry_word(block))) << size;
        const auto* slab = static_cast<const hak_slab*>(hak_registry_owner(block));
        const uint32_t index = hak_slab_index(slab, block);
        ASSERT_TRUE(hak_heap_current->frees_exchange);
        hak_free(block);
        const hak_outbox_entry* entry = hak_remote_free_entry(hak_heap_current, slab, index / 64);
        EXPECT_EQ(entry->slab, slab) << size;
        EXPECT_EQ(entry->mask >> index % 64 & 1, 1u) << size;
      }
      hak_free_batch(live.data(), live.size());
    });
  });
}

TEST_F(Gate, AThreadThatNoLongerExchangesHitsAsBefore) {
  WithOther(ExchangeSizes(), [&](const std::vector<void*>& blocks) {
    InNewThread([&] {
      Exchange(blocks);
      EXPECT_EQ(hak_heap_frees, &hak_heap_empty);
      hak_os_fake_set_clock_ms(hak_os_now_ms() + 2000);
      TakeManySlowPaths();
      EXPECT_FALSE(hak_heap_current->frees_exchange);
      EXPECT_EQ(hak_heap_frees, hak_heap_current);
    });
  });
}

TEST_F(Gate, AThreadThatTakesOverAFewBlocksSendsThemHome) {
  WithOther({64, 256}, [&](const std::vector<void*>& blocks) {
    InNewThread([&] {
      EXPECT_FALSE(IsReused(blocks[0], 64));
      EXPECT_FALSE(IsReused(blocks[1], 256));
    });
  });
}

TEST_F(Gate, BlocksOfAThreadThatEndedGoHome) {
  WithOther(ExchangeSizes(), [&](const std::vector<void*>& blocks) {
    InNewThread([&] {
      Exchange(blocks);
      void* mine = hak_malloc(64); /* a slab of this thread's own: it does not take over the other's */
      void* block = nullptr;
      std::thread([&] { block = hak_malloc(64); }).join();
      EXPECT_FALSE(IsReused(block, 64));
      hak_free(mine);
    });
  });
}

// More than the cache holds, between blocks of this thread's own. In the end all of it is home, and goes with its thread.
TEST_F(Gate, ManyBlocksOfAnotherThreadGoHomeInTheEnd) {
  hak_trim();
  const uint64_t before = hak_shared_pool_read_figures().live_bytes;
  for (const size_t size : {64, 200, 3000}) {
    std::vector<size_t> sizes = ExchangeSizes();
    sizes.insert(sizes.end(), 3000, size);
    WithOther(sizes, [&](const std::vector<void*>& all) {
      InNewThread([&] {
        Exchange(all);
        std::vector<void*> blocks(all.begin() + 2 * HAK_UNIFIED_CACHE_EXCHANGE, all.end());
        std::vector<void*> mine(100);
        ASSERT_EQ(hak_malloc_batch(size, mine.size(), mine.data()), mine.size());
        for (size_t i = 0; i < blocks.size(); i++) Fill(blocks[i], size, i);
        for (size_t i = 0; i < blocks.size(); i += 3) {
          hak_free(blocks[i]);
          blocks[i] = nullptr;
          if (i % 50 == 0) std::swap(mine[i / 50], blocks[i]); /* one of this thread's leaves its cache later */
        }
        for (size_t i = 0; i < blocks.size(); i++) ASSERT_TRUE(i % 3 == 0 || Holds(blocks[i], size, i));
        hak_free_batch(blocks.data(), blocks.size());
        hak_free_batch(mine.data(), mine.size());
        hak_trim();
      });
    });
    hak_trim();
    EXPECT_EQ(hak_shared_pool_read_figures().live_bytes, before) << size;
  }
}

// --- questions ---

TEST_F(Gate, IsInHeapAnswersForAnyValue) {
  static int in_data;
  int on_stack = 0;
  const auto bent = [](const void* ptr) {
    return reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(ptr) | (uintptr_t{1} << 52));
  };
  for (const void* other :
       {static_cast<const void*>(nullptr), reinterpret_cast<const void*>(1), reinterpret_cast<const void*>(UINTPTR_MAX),
        reinterpret_cast<const void*>(uintptr_t{1} << 63), static_cast<const void*>(&in_data),
        static_cast<const void*>(&on_stack), static_cast<const void*>("literal"),
        reinterpret_cast<const void*>(&hak_malloc)}) {
    EXPECT_FALSE(hak_is_in_heap(other)) << other;
  }
  for (const size_t size : KindSizes()) {
    char* block = static_cast<char*>(hak_malloc(size));
    EXPECT_TRUE(hak_is_in_heap(block)) << size;
    EXPECT_TRUE(hak_is_in_heap(block + size / 2)) << size;
    EXPECT_TRUE(hak_is_in_heap(block + size - 1)) << size;
    EXPECT_FALSE(hak_is_in_heap(bent(block))) << size;
    hak_free(block);
    hak_trim();
    EXPECT_FALSE(hak_is_in_heap(block)) << size;
  }
  EXPECT_EQ(errno, kErrno);
}

TEST_F(Gate, TrimGivesFreeMemoryBack) {
  KeepSurplus();
  hak_trim();
  const uint64_t before = hak_os_fake_mapped_bytes();
  std::vector<void*> blocks;
  for (int i = 0; i < 100000; i++) {
    blocks.push_back(hak_malloc(256));
    memset(blocks.back(), 1, 256);
  }
  for (int i = 0; i < 10; i++) {
    for (const size_t size : {300 * kKiB, 3 * kMiB}) {
      blocks.push_back(hak_malloc(size));
      memset(blocks.back(), 1, size);
    }
  }
  EXPECT_GT(hak_os_fake_mapped_bytes(), before + 50 * kMiB);
  for (void* block : blocks) hak_free(block);
  EXPECT_GT(hak_trim(), 20 * kMiB);
  EXPECT_LE(hak_os_fake_mapped_bytes(), before + 2 * kMiB); /* descriptors stay */
  EXPECT_EQ(hak_trim(), 0u);
  EXPECT_EQ(errno, kErrno);
  hak_config_reset_for_test();
}

TEST_F(Gate, VersionIsThatOfTheHeader) {
  EXPECT_STREQ(hak_version(), HAK_VERSION_TEXT);
  EXPECT_EQ(std::to_string(HAK_VERSION_MAJOR) + "." + std::to_string(HAK_VERSION_MINOR) + "." +
                std::to_string(HAK_VERSION_PATCH),
            hak_version());
}

// Blocks of 48 bytes share cache lines, so that no thread caches another's: each of them goes home.
TEST_F(Gate, EveryBlockOfAnotherThreadIsHomeOrOnItsWay) {
  const auto sent = [] {
    hak_stats now;
    EXPECT_EQ(hak_stats_get(&now, sizeof now), 0);
    return now.remote_blocks + now.remote_pending_blocks;
  };
  for (const size_t count : {1u, 100u, 5000u}) {
    std::vector<void*> blocks(count);
    std::thread([&] {
      for (void*& block : blocks) block = hak_malloc(48);
    }).join();
    const uint64_t before = sent();
    for (void* block : blocks) hak_free(block);
    EXPECT_EQ(sent() - before, count);
    (void)hak_trim();
    EXPECT_EQ(sent() - before, count) << "wherever they are";
  }
}

TEST_F(Gate, StatsTellMisuseByKind) {
  hak_stats before, now;
  hak_set_error_action(HAK_ERROR_IGNORE);
  ASSERT_EQ(hak_stats_get(&before, sizeof before), 0);
  int own = 0;
  hak_free(&own);
  auto* block = static_cast<char*>(hak_malloc(kMiB));
  for (int i = 0; i < 2; i++) hak_free(block + 64);
  for (int i = 0; i < 3; i++) hak_free_sized(block, 2 * kMiB);
  ASSERT_EQ(hak_stats_get(&now, sizeof now), 0);
  hak_free(block);
  hak_set_error_action(HAK_ERROR_ABORT);
  EXPECT_EQ(now.foreign_pointers - before.foreign_pointers, 1u);
  EXPECT_EQ(now.interior_pointers - before.interior_pointers, 2u);
  EXPECT_EQ(now.wrong_sizes - before.wrong_sizes, 3u);
  EXPECT_EQ(now.double_frees, before.double_frees);
  EXPECT_EQ(now.misuse_reports - before.misuse_reports, 6u);
}

TEST_F(Gate, StatsOfVersion1AreFilledAsFarAsTheyGo) {
  hak_stats now = {};
  now.remote_pending_blocks = 77;
  ASSERT_EQ(hak_stats_get(&now, offsetof(hak_stats, remote_pending_blocks)), 0);
  EXPECT_EQ(now.version, static_cast<uint64_t>(HAK_STATS_VERSION));
  EXPECT_EQ(now.size_bytes, offsetof(hak_stats, remote_pending_blocks));
  EXPECT_EQ(now.remote_pending_blocks, 77u);
}

TEST_F(Gate, StatsArePrintedToStderr) {
  testing::internal::CaptureStderr();
  hak_stats_print();
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.find("hakmem " HAK_VERSION_TEXT "\n"), 0u);
  EXPECT_NE(text.find("  mapped for blocks  "), std::string::npos);
  EXPECT_EQ(errno, kErrno);
}

}  // namespace
