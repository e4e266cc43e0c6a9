#include "hakmem/warm_pool/warm_pool.h"

#include <errno.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/registry/registry.h"
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/shared_pool.h"

#include "gtest/gtest.h"

namespace {

const uint32_t kClass = hak_size_class_of(512); /* 128 blocks: two words */
constexpr uint64_t kAll = ~0ull;

hak_shared_pool_figures Figures() { return hak_shared_pool_read_figures(); }

class WarmPool : public testing::Test {
 protected:
  void SetUp() override {
    hak_os_fake_reset();
    hak_set_error_action(HAK_ERROR_ABORT);
    Use(kClass);
  }
  void TearDown() override {
    hak_os_fake_reset();
    hak_set_error_action(HAK_ERROR_ABORT);
    EXPECT_EQ(bin_->run_mask, 0u);
    hak_warm_pool_trim(heap_, bin_);
    EXPECT_EQ(bin_->current, nullptr);
    EXPECT_EQ(bin_->partial, nullptr);
    EXPECT_EQ(Figures().live_slabs, 0u) << "blocks that did not come back";
    hak_shared_pool_purge(0, 0);
    EXPECT_EQ(Figures().superslabs, 0u);
    hak_heap_park(heap_);
  }

  void Use(uint32_t size_class) {
    if (heap_ == nullptr) heap_ = hak_heap_acquire(0);
    ASSERT_NE(heap_, nullptr);
    bin_ = hak_heap_bin(heap_, size_class);
    bin_->size_class = static_cast<uint8_t>(size_class);
    bin_->stride = hak_size_class_table[size_class].block_bytes;
  }

  // The run, as a bin that has used it up would leave it: all of its blocks are out.
  hak_slab_run TakeRun() {
    EXPECT_TRUE(hak_warm_pool_refill_run(heap_, bin_));
    const hak_slab_run run = {bin_->run_mask, bin_->run_base, bin_->run_zeroed};
    EXPECT_NE(run.mask, 0u);
    bin_->run_mask = 0;
    slabs_.insert(SlabOf(run));
    return run;
  }

  static hak_slab* SlabOf(const hak_slab_run& run) { return static_cast<hak_slab*>(hak_registry_owner(run.base)); }

  // The slab of the run that waits in the bin.
  hak_slab* SlabOfRun() const { return static_cast<hak_slab*>(hak_registry_owner(bin_->run_base)); }

  // All blocks of a slab, out.
  hak_slab* TakeSlab() {
    hak_slab* slab = SlabOf(TakeRun());
    while (hak_slab_free_count(slab) != 0) EXPECT_EQ(SlabOf(TakeRun()), slab);
    return slab;
  }

  void GiveAll(hak_slab* slab) {
    for (uint32_t word = 0; word < slab->words; word++) {
      const uint64_t all = hak_bits_low_mask(slab->blocks - word * 64);
      hak_warm_pool_give_word(heap_, bin_, slab, word, all & ~slab->free_bits[word]);
    }
  }

  std::vector<hak_slab*> Partial() const {
    std::vector<hak_slab*> out;
    for (hak_slab* slab = bin_->partial; slab != nullptr; slab = slab->next) out.push_back(slab);
    return out;
  }

  // Both invariants, over every slab that was ever the bin's.
  void ExpectValid() const {
    const std::vector<hak_slab*> partial = Partial();
    uint32_t empty = 0;
    for (hak_slab* slab : slabs_) {
      const bool is_listed = std::find(partial.begin(), partial.end(), slab) != partial.end();
      if (slab->bin != bin_) {
        ASSERT_TRUE(!is_listed && slab != bin_->current) << "released";
        continue;
      }
      ASSERT_EQ(slab->listed, is_listed);
      ASSERT_FALSE(is_listed && slab == bin_->current);
      const bool has_free = hak_slab_free_count(slab) != 0;
      ASSERT_EQ(has_free, is_listed || slab == bin_->current) << "invariants 1 and 3";
      empty += hak_slab_is_empty(slab) && slab != bin_->current;
      ASSERT_TRUE(hak_slab_is_valid(slab));
    }
    ASSERT_LE(empty, 1u) << "invariant 2";
  }

  hak_heap* heap_ = nullptr;
  hak_bin* bin_ = nullptr;
  std::set<hak_slab*> slabs_;
};

using WarmPoolDeathTest = WarmPool;

TEST_F(WarmPool, ARunIsTheNextWordOfTheCurrentSlab) {
  const hak_slab_run first = TakeRun();
  hak_slab* slab = bin_->current;
  EXPECT_EQ(first.mask, kAll);
  EXPECT_EQ(first.base, slab->base);
  EXPECT_TRUE(first.zeroed);
  const hak_slab_run second = TakeRun();
  EXPECT_EQ(bin_->current, nullptr) << "invariant 3: it has no free block left";
  EXPECT_EQ(second.base, slab->base + 64 * 512);
  const hak_slab_run third = TakeRun();
  EXPECT_NE(bin_->current, slab) << "the first one is full";
  EXPECT_FALSE(slab->listed);
  ExpectValid();
  hak_slab* next = SlabOf(third);
  hak_warm_pool_give_word(heap_, bin_, next, 0, kAll);
  GiveAll(slab);
}

TEST_F(WarmPool, EveryClassHasRuns) {
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    Use(c);
    ASSERT_TRUE(hak_warm_pool_refill_run(heap_, bin_));
    EXPECT_EQ(bin_->run_mask, hak_bits_low_mask(hak_size_class_table[c].blocks));
    EXPECT_EQ(hak_registry_word(bin_->run_base), reinterpret_cast<uint64_t>(bin_));
    hak_warm_pool_give_run(heap_, bin_);
    EXPECT_EQ(bin_->run_mask, 0u);
    hak_warm_pool_trim(heap_, bin_);
  }
}

TEST_F(WarmPool, Invariant1ASlabIsListedFromItsFirstFreeBlockOn) {
  hak_slab* full = TakeSlab();
  TakeRun();
  EXPECT_FALSE(full->listed);
  EXPECT_TRUE(hak_warm_pool_give(heap_, bin_, full, 77));
  EXPECT_EQ(Partial(), std::vector<hak_slab*>{full});
  EXPECT_TRUE(hak_warm_pool_give(heap_, bin_, full, 78));
  EXPECT_EQ(Partial(), std::vector<hak_slab*>{full}) << "once";
  ExpectValid();
  EXPECT_TRUE(hak_warm_pool_give(heap_, bin_, bin_->current, 3));
  EXPECT_FALSE(bin_->current->listed);
  hak_slab* current = bin_->current;
  EXPECT_EQ(TakeRun().mask, 1ull << 3);
  const hak_slab_run run = TakeRun();
  EXPECT_EQ(SlabOf(run), full) << "the current one's second word is fresh";
  EXPECT_EQ(run.mask, 3ull << 13);
  EXPECT_EQ(Partial(), std::vector<hak_slab*>{current});
  TakeRun();
  EXPECT_TRUE(Partial().empty());
  ExpectValid();
  GiveAll(full);
  GiveAll(current);
}

TEST_F(WarmPool, Invariant2OneEmptySlabIsKeptWhereNothingElseIsFree) {
  hak_slab* first = TakeSlab();
  hak_slab* second = TakeSlab();
  hak_slab* third = TakeSlab();
  GiveAll(first);
  EXPECT_EQ(Partial(), std::vector<hak_slab*>{first});
  EXPECT_EQ(Figures().live_slabs, 3u);
  GiveAll(second);
  EXPECT_EQ(Partial(), std::vector<hak_slab*>{first});
  EXPECT_EQ(Figures().live_slabs, 2u) << "the second one was released";
  EXPECT_EQ(hak_registry_word(second->base), 0u);
  ExpectValid();
  EXPECT_EQ(TakeSlab(), first);
  GiveAll(third);
  EXPECT_EQ(Partial(), std::vector<hak_slab*>{third});
  GiveAll(first); /* one is enough */
  EXPECT_EQ(Partial(), std::vector<hak_slab*>{third});
  EXPECT_EQ(Figures().live_slabs, 1u);
  TakeRun();
  EXPECT_EQ(bin_->current, third);
  GiveAll(third); /* current: stays where it is */
  EXPECT_EQ(bin_->current, third);
  ExpectValid();
}

TEST_F(WarmPool, AnEmptySlabIsReleasedWhereTheCurrentOneHasBlocks) {
  hak_slab* first = TakeSlab();
  TakeRun();
  hak_slab* current = bin_->current; /* its second word is free */
  GiveAll(first);
  EXPECT_TRUE(Partial().empty());
  EXPECT_EQ(Figures().live_slabs, 1u);
  GiveAll(current);
}

TEST_F(WarmPool, GivingTwiceChangesNothing) {
  hak_slab* slab = SlabOf(TakeRun());
  EXPECT_TRUE(hak_warm_pool_give(heap_, bin_, slab, 5));
  EXPECT_FALSE(hak_warm_pool_give(heap_, bin_, slab, 5));
  EXPECT_EQ(hak_slab_free_count(slab), 65u);
  EXPECT_EQ(hak_warm_pool_give_word(heap_, bin_, slab, 0, 0x70), 0x20u) << "the others are given";
  EXPECT_EQ(hak_slab_free_count(slab), 67u);
  ExpectValid();
  GiveAll(slab);
}

TEST_F(WarmPool, TheRestOfARunGoesBackToItsSlab) {
  hak_warm_pool_give_run(heap_, bin_); /* nothing to give */
  EXPECT_EQ(Figures().live_slabs, 0u);
  TakeRun();
  ASSERT_TRUE(hak_warm_pool_refill_run(heap_, bin_)); /* the second word */
  hak_slab* slab = SlabOfRun();
  bin_->run_mask &= bin_->run_mask - 1; /* one block went out */
  hak_warm_pool_give_run(heap_, bin_);
  EXPECT_EQ(bin_->run_mask, 0u);
  EXPECT_EQ(hak_slab_free_count(slab), 63u);
  EXPECT_EQ(slab->free_bits[1], kAll - 1);
  GiveAll(slab);
}

TEST_F(WarmPool, TheRestOfARunIsAsCleanAsItWas) {
  Use(hak_size_class_of(4096)); /* one word: clean or not block by block */
  ASSERT_TRUE(hak_warm_pool_refill_run(heap_, bin_));
  ASSERT_TRUE(bin_->run_zeroed) << "a new mapping";
  hak_slab* slab = SlabOfRun();
  const uint64_t all = bin_->run_mask;
  hak_warm_pool_give_run(heap_, bin_);
  EXPECT_EQ(slab->clean_bits, all);
  EXPECT_EQ(TakeRun().mask, all);
  hak_warm_pool_give_word(heap_, bin_, slab, 0, all); /* the program had them */
  ASSERT_TRUE(hak_warm_pool_refill_run(heap_, bin_));
  ASSERT_FALSE(bin_->run_zeroed);
  hak_warm_pool_give_run(heap_, bin_);
  EXPECT_EQ(slab->clean_bits, 0u);
}

TEST_F(WarmPoolDeathTest, ABlockOfTheRunThatWasFreedIsReported) {
  ASSERT_TRUE(hak_warm_pool_refill_run(heap_, bin_));
  hak_slab* slab = bin_->current;
  ASSERT_TRUE(hak_slab_give(slab, 9)); /* the program freed what it never had */
  EXPECT_DEATH(hak_warm_pool_give_run(heap_, bin_), "double free of 0x[0-9a-f]*1200 \\(size class 512\\)");
  hak_set_error_action(HAK_ERROR_IGNORE);
  const uint64_t before = hak_misuse_count();
  hak_warm_pool_give_run(heap_, bin_);
  EXPECT_EQ(hak_misuse_count(), before + 1);
  EXPECT_TRUE(hak_slab_is_empty(slab));
}

TEST_F(WarmPool, EachBlockOfTheRunThatWasFreedIsReported) {
  ASSERT_TRUE(hak_warm_pool_refill_run(heap_, bin_));
  hak_slab* slab = bin_->current;
  EXPECT_EQ(hak_slab_give_word(slab, 0, 0x1040), 0u); /* the program freed what it never had */
  hak_set_error_action(HAK_ERROR_IGNORE);
  const uint64_t before = hak_misuse_count();
  hak_warm_pool_give_run(heap_, bin_);
  EXPECT_EQ(hak_misuse_count(), before + 2);
  EXPECT_TRUE(hak_slab_is_empty(slab));
}

// The program freed every block that waits in the run, and its slab is another class's now: the bits of the run would be
// blocks that have nothing to do with it.
TEST_F(WarmPool, ARunWhoseUnitsAreAnotherClassesNowIsReported) {
  ASSERT_TRUE(hak_warm_pool_refill_run(heap_, bin_));
  hak_slab* slab = bin_->current;
  bin_->current = nullptr;
  EXPECT_EQ(hak_slab_give_word(slab, 0, kAll), 0u);
  ASSERT_TRUE(hak_slab_is_empty(slab));
  hak_shared_pool_release(heap_, slab);
  const uint32_t other_class = hak_size_class_of(64);
  hak_slab* other = hak_shared_pool_acquire(heap_, other_class);
  ASSERT_EQ(other, slab);
  while (hak_slab_free_count(other) != 0) hak_slab_take_run(other);
  hak_set_error_action(HAK_ERROR_IGNORE);
  const uint64_t before = hak_misuse_count();
  hak_warm_pool_give_run(heap_, bin_);
  EXPECT_EQ(hak_misuse_count(), before + 64);
  for (uint32_t i = 0; i < other->words; i++) EXPECT_EQ(hak_u64_load_relaxed(&other->remote_bits[i]), 0u) << i;
  for (uint32_t i = 0; i < other->blocks; i++) hak_slab_give(other, i);
  hak_shared_pool_release(heap_, other);
}

TEST_F(WarmPool, RemoteFreesAreUsedBeforeNewSlabs) {
  hak_slab* slab = TakeSlab();
  const uint64_t acquired = hak_u64_load_relaxed(&heap_->counters.slabs_acquired);
  hak_remote_free_publish(slab, 1, 0xf0);
  const hak_slab_run run = TakeRun();
  EXPECT_EQ(SlabOf(run), slab);
  EXPECT_EQ(run.mask, 0xf0u);
  EXPECT_FALSE(run.zeroed);
  EXPECT_EQ(hak_u64_load_relaxed(&heap_->counters.slabs_acquired), acquired);
  GiveAll(slab);
}

TEST_F(WarmPool, UsedBlocksComeBeforeFreshOnesOfTheCurrentSlab) {
  hak_slab* full = TakeSlab();
  hak_slab* current = SlabOf(TakeRun());
  EXPECT_TRUE(hak_slab_is_next_fresh(current));
  EXPECT_TRUE(hak_warm_pool_give(heap_, bin_, full, 70));
  const hak_slab_run used = TakeRun();
  EXPECT_EQ(SlabOf(used), full);
  EXPECT_EQ(used.mask, 1ull << 6);
  EXPECT_EQ(Partial(), std::vector<hak_slab*>{current});
  ExpectValid();
  EXPECT_EQ(SlabOf(TakeRun()), current) << "there is nothing else";
  GiveAll(full);
  GiveAll(current);
}

TEST_F(WarmPool, UsedBlocksOfEverySlabComeBeforeFreshOnes) {
  std::vector<hak_slab*> full;
  for (int i = 0; i < 5; i++) full.push_back(TakeSlab());
  hak_slab* current = SlabOf(TakeRun());
  for (hak_slab* slab : full) EXPECT_TRUE(hak_warm_pool_give(heap_, bin_, slab, 70));
  std::set<hak_slab*> used;
  for (size_t i = 0; i < full.size(); i++) used.insert(SlabOf(TakeRun()));
  EXPECT_EQ(used, std::set<hak_slab*>(full.begin(), full.end()));
  EXPECT_EQ(SlabOf(TakeRun()), current);
  ExpectValid();
  for (hak_slab* slab : full) GiveAll(slab);
  GiveAll(current);
}

// Words without a free block lie between the last that was given and the first fresh one.
TEST_F(WarmPool, AWordThatIsUsedUpDoesNotMakeTheNextAUsedOne) {
  Use(hak_size_class_of(64)); /* 16 words */
  hak_slab* full = SlabOf(TakeRun());
  while (hak_slab_free_count(full) != 0) TakeRun();
  hak_slab* current = SlabOf(TakeRun());
  for (int i = 0; i < 9; i++) TakeRun();
  EXPECT_TRUE(hak_warm_pool_give(heap_, bin_, current, 3 * 64));
  EXPECT_EQ(TakeRun().mask, 1u);
  EXPECT_TRUE(hak_warm_pool_give(heap_, bin_, full, 5));
  EXPECT_EQ(SlabOf(TakeRun()), full);
  EXPECT_EQ(SlabOf(TakeRun()), current);
  GiveAll(full);
  GiveAll(current);
}

TEST_F(WarmPool, RemoteFreesAreUsedBeforeFreshBlocksOfTheCurrentSlab) {
  hak_slab* full = TakeSlab();
  hak_slab* current = SlabOf(TakeRun());
  hak_remote_free_publish(full, 1, 0xf0);
  const hak_slab_run used = TakeRun();
  EXPECT_EQ(SlabOf(used), full);
  EXPECT_EQ(used.mask, 0xf0u);
  hak_remote_free_publish(current, 0, 1);
  EXPECT_EQ(TakeRun().mask, 1u) << "of the current slab as well";
  ExpectValid();
  GiveAll(full);
  GiveAll(current);
}

TEST_F(WarmPool, WhereAllIsFreshTheCurrentSlabComesFirst) {
  Use(hak_size_class_of(4096)); /* one word: clean or not block by block */
  const uint64_t all = hak_bits_low_mask(hak_size_class_table[bin_->size_class].blocks);
  hak_slab* other = SlabOf(TakeRun());
  ASSERT_TRUE(hak_warm_pool_refill_run(heap_, bin_));
  hak_slab* current = SlabOfRun();
  bin_->run_mask &= ~1ull; /* block 0 goes out */
  hak_warm_pool_give_run(heap_, bin_);
  ASSERT_TRUE(hak_warm_pool_give(heap_, bin_, current, 0));
  EXPECT_EQ(TakeRun().mask, 1u) << "the used one";
  EXPECT_EQ(bin_->current, current);
  EXPECT_TRUE(hak_slab_is_next_fresh(current));
  ASSERT_TRUE(hak_warm_pool_give(heap_, bin_, other, 5));
  hak_slab_mark_clean(other, 1u << 5); /* as a purge does */
  const hak_slab_run fresh = TakeRun();
  EXPECT_EQ(SlabOf(fresh), current);
  EXPECT_EQ(fresh.mask, all & ~1ull);
  EXPECT_EQ(Partial(), std::vector<hak_slab*>{other});
  GiveAll(other);
  GiveAll(current);
}

TEST_F(WarmPool, OfRemotelyEmptiedSlabsOneIsKept) {
  std::vector<hak_slab*> slabs;
  for (int i = 0; i < 4; i++) slabs.push_back(TakeSlab());
  for (hak_slab* slab : slabs) {
    hak_remote_free_publish(slab, 0, kAll);
    hak_remote_free_publish(slab, 1, kAll);
  }
  TakeRun();
  ExpectValid();
  hak_slab* kept = bin_->current;
  EXPECT_NE(std::find(slabs.begin(), slabs.end(), kept), slabs.end());
  EXPECT_EQ(Figures().live_slabs, 1u);
  GiveAll(kept);
}

TEST_F(WarmPool, OneOfTheEmptiedIsKeptBesideAFullOne) {
  std::vector<hak_slab*> slabs;
  for (int i = 0; i < 4; i++) slabs.push_back(TakeSlab());
  for (int i = 0; i < 3; i++) {
    hak_remote_free_publish(slabs[i], 0, kAll);
    hak_remote_free_publish(slabs[i], 1, kAll);
  }
  const uint64_t acquired = hak_u64_load_relaxed(&heap_->counters.slabs_acquired);
  TakeRun();
  EXPECT_EQ(Figures().live_slabs, 2u);
  EXPECT_EQ(hak_u64_load_relaxed(&heap_->counters.slabs_acquired), acquired);
  ExpectValid();
  GiveAll(bin_->current);
  GiveAll(slabs[3]);
}

TEST_F(WarmPool, TrimReleasesEverythingThatIsEmpty) {
  hak_slab* out = TakeSlab();
  hak_slab* remote = TakeSlab();
  hak_slab* empty = TakeSlab();
  hak_slab* current = TakeSlab();
  GiveAll(empty); /* kept: nothing else is free */
  EXPECT_EQ(Partial(), std::vector<hak_slab*>{empty});
  GiveAll(current);
  hak_remote_free_publish(remote, 0, kAll);
  hak_remote_free_publish(remote, 1, kAll);
  hak_warm_pool_give(heap_, bin_, out, 0);
  hak_warm_pool_trim(heap_, bin_);
  EXPECT_EQ(Figures().live_slabs, 1u);
  EXPECT_EQ(bin_->current, nullptr);
  EXPECT_EQ(Partial(), std::vector<hak_slab*>{out});
  GiveAll(out);
  hak_warm_pool_trim(heap_, bin_);
  EXPECT_EQ(Figures().live_slabs, 0u);
}

TEST_F(WarmPool, TrimKeepsAFullSlabsBlocksSafe) {
  hak_slab* slab = TakeSlab();
  EXPECT_EQ(bin_->current, nullptr) << "invariant 3";
  hak_warm_pool_trim(heap_, bin_);
  EXPECT_TRUE(Partial().empty());
  EXPECT_EQ(Figures().live_slabs, 1u);
  GiveAll(slab);
  EXPECT_EQ(Partial(), std::vector<hak_slab*>{slab}) << "kept: the bin has nothing else";
}

TEST_F(WarmPool, NoMemoryThenRetry) {
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  errno = 77;
  EXPECT_FALSE(hak_warm_pool_refill_run(heap_, bin_));
  EXPECT_EQ(errno, 77);
  EXPECT_EQ(bin_->run_mask, 0u);
  EXPECT_EQ(bin_->current, nullptr);
  hak_os_fake_fail_never(HAK_OS_FAKE_MMAP);
  hak_slab* slab = TakeSlab();
  /* With memory of its own the bin goes on. */
  while (TakeSlab()->superslab == slab->superslab) continue;
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  while (hak_warm_pool_refill_run(heap_, bin_)) slabs_.insert(SlabOfRun()), bin_->run_mask = 0;
  EXPECT_EQ(bin_->current, nullptr);
  hak_warm_pool_give(heap_, bin_, slab, 1);
  EXPECT_EQ(TakeRun().mask, 2u);
  for (hak_slab* each : slabs_) GiveAll(each);
}

// A random life, with a set of the blocks that are out.
TEST_F(WarmPool, RandomLivesKeepTheInvariants) {
  std::mt19937 random(5);
  std::vector<char*> out;
  std::set<char*> is_out;
  for (int i = 0; i < 6000 && !HasFatalFailure(); i++) {
    const uint32_t act = random() % 10;
    const bool grows = i / 1000 % 2 == 0;
    if (act < (grows ? 4u : 1u)) {
      const hak_slab_run run = TakeRun();
      for (uint64_t rest = run.mask; rest != 0; rest &= rest - 1) {
        char* block = run.base + hak_bits_lowest(rest) * 512;
        ASSERT_TRUE(is_out.insert(block).second);
        out.push_back(block);
      }
    } else if (act < 9) {
      for (int n = random() % 80; n > 0 && !out.empty(); n--) {
        std::swap(out[random() % out.size()], out.back());
        char* block = out.back();
        out.pop_back();
        is_out.erase(block);
        hak_slab* slab = static_cast<hak_slab*>(hak_registry_owner(block));
        const uint32_t index = hak_slab_index(slab, block);
        switch (random() % 3) {
          case 0: ASSERT_TRUE(hak_warm_pool_give(heap_, bin_, slab, index)); break;
          case 1: ASSERT_EQ(hak_warm_pool_give_word(heap_, bin_, slab, index / 64, 1ull << index % 64), 0u); break;
          default: ASSERT_NE(hak_remote_free_publish(slab, index / 64, 1ull << index % 64), HAK_REMOTE_FREE_DOUBLE);
        }
      }
    } else if (random() % 8 == 0) {
      hak_warm_pool_trim(heap_, bin_);
    }
    ExpectValid();
  }
  for (char* block : out) {
    hak_slab* slab = static_cast<hak_slab*>(hak_registry_owner(block));
    hak_warm_pool_give(heap_, bin_, slab, hak_slab_index(slab, block));
  }
}

// The owner refills and gives back while another thread frees.
TEST_F(WarmPool, OthersFreeWhileTheOwnerRefills) {
  std::mutex mutex;
  std::vector<hak_slab_run> handed;
  std::atomic<bool> done{false};
  std::atomic<int> doubles{0};
  std::thread freer([&] {
    for (bool last = false; !last;) {
      last = done;
      std::vector<hak_slab_run> mine;
      {
        std::lock_guard<std::mutex> lock(mutex);
        mine.swap(handed);
      }
      for (const hak_slab_run& run : mine) {
        hak_slab* slab = SlabOf(run);
        const uint32_t word = hak_slab_index(slab, run.base) / 64;
        if (hak_remote_free_publish(slab, word, run.mask) == HAK_REMOTE_FREE_DOUBLE) doubles++;
      }
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 5000; i++) {
    const hak_slab_run run = TakeRun();
    if (i % 3 == 0) {
      hak_slab* slab = SlabOf(run);
      hak_warm_pool_give_word(heap_, bin_, slab, hak_slab_index(slab, run.base) / 64, run.mask);
    } else {
      std::lock_guard<std::mutex> lock(mutex);
      handed.push_back(run);
    }
    if (i % 64 == 0) hak_warm_pool_trim(heap_, bin_);
  }
  done = true;
  freer.join();
  EXPECT_EQ(doubles.load(), 0);
}

}  // namespace
