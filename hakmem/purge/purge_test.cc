#include "hakmem/purge/purge.h"

#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "hakmem/config/config.h"
#include "hakmem/config/test_config.h"
#include "hakmem/heap/heap.h"
#include "hakmem/limits/limits.h"
#include "hakmem/os/os.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/whale_cache/whale_cache.h"

#include "gtest/gtest.h"

namespace {

constexpr size_t kUnit = HAK_UNIT_BYTES;
constexpr size_t kSuperSlab = HAK_SUPERSLAB_BYTES;
constexpr size_t kMiB = 1024 * 1024;
constexpr uint64_t kHour = 3600 * 1000;

uint64_t Dirty() { return hak_shared_pool_read_figures().dirty_free_units; }
uint64_t SuperSlabs() { return hak_shared_pool_read_figures().superslabs; }
uint64_t CachedWhales() { return hak_whale_cache_read_figures().cached; }

// Each test begins an hour after the last, with a purge just done.
class Purge : public testing::Test {
 protected:
  void SetUp() override {
    hak_os_fake_reset();
    LoadConfig("");
    static uint64_t start_ms = kHour;
    start_ms += kHour;
    hak_os_fake_set_clock_ms(start_ms);
    EXPECT_EQ(hak_purge_tick(), start_ms);
    anchor_ = AcquireSpan(1);
  }
  void TearDown() override {
    hak_shared_pool_release_span(anchor_);
    hak_purge_all();
    EXPECT_EQ(SuperSlabs(), 0u);
    EXPECT_EQ(CachedWhales(), 0u);
    hak_os_fake_reset();
    hak_config_reset_for_test();
  }

  static hak_slab* AcquireSpan(uint32_t units) {
    bool zeroed;
    return hak_shared_pool_acquire_span(units, &zeroed);
  }

  static uint64_t Tick(uint64_t after_ms) {
    hak_os_fake_advance_clock_ms(after_ms);
    return hak_purge_tick();
  }

  static void ReleaseSpan(uint32_t units) { hak_shared_pool_release_span(AcquireSpan(units)); }

  // Nearly a SuperSlab is used and released. Returns the bytes that the release gave back.
  static uint64_t Swing() {
    hak_slab* span = AcquireSpan(31);
    const uint64_t before = hak_shared_pool_purged_bytes();
    hak_shared_pool_release_span(span);
    return hak_shared_pool_purged_bytes() - before;
  }

  static void ReleaseWhale(uint64_t now_ms) {
    bool zeroed;
    hak_whale_cache_release(hak_whale_cache_acquire(4 * kMiB, 1, &zeroed), now_ms);
  }

  hak_slab* anchor_ = nullptr;
};

// In a process of its own: the first tick of all only starts the clock.
TEST(PurgeStartDeathTest, TheFirstTickStartsTheClock) {
  EXPECT_EXIT(
      {
        hak_os_fake_set_clock_ms(7777);
        bool zeroed;
        hak_slab* anchor = hak_shared_pool_acquire_span(1, &zeroed);
        hak_shared_pool_release_span(hak_shared_pool_acquire_span(2, &zeroed));
        if (hak_purge_tick() != 7777 || Dirty() != 2) _exit(1);
        hak_shared_pool_release_span(hak_shared_pool_acquire_span(2, &zeroed)); /* stamped with the clock */
        hak_os_fake_advance_clock_ms(499);
        if (hak_purge_tick() != 8276 || Dirty() != 2) _exit(2);
        hak_os_fake_advance_clock_ms(125);
        if (hak_purge_tick() != 8401 || Dirty() != 0) _exit(3);
        hak_shared_pool_release_span(anchor);
        _exit(0);
      },
      testing::ExitedWithCode(0), "");
}

// In a control group whose memory is nearly used up.
class PurgeShort : public Purge {
 protected:
  void SetUp() override {
    Purge::SetUp();
    LoadConfig("HAKMEM_DECAY_MS=3600000");
    hak_limits_reset_for_test();
    hak_os_fake_set_file("/proc/self/cgroup", "0::/job\n");
    hak_os_fake_set_file("/sys/fs/cgroup/job/memory.max", "268435456\n");
    hak_os_fake_set_file("/sys/fs/cgroup/job/memory.current", "260000000\n");
    hak_os_fake_set_file("/sys/fs/cgroup/job/memory.stat", "anon 250000000\n");
    large_ = hak_os_map(HAK_LIMITS_FIRST_LOOK_BYTES);
  }
  void TearDown() override {
    hak_os_unmap(large_, HAK_LIMITS_FIRST_LOOK_BYTES);
    hak_limits_reset_for_test();
    Purge::TearDown();
  }
  void* large_;
};

TEST_F(PurgeShort, AllThatIsFreeGoesBackAtOnce) {
  ReleaseSpan(2);
  ReleaseWhale(Tick(0));
  ASSERT_EQ(Dirty(), 2u);
  ASSERT_EQ(CachedWhales(), 1u);
  Tick(125); /* due, and nothing has decayed */
  EXPECT_EQ(Dirty(), 0u);
  EXPECT_EQ(CachedWhales(), 0u);
  EXPECT_EQ(hak_limits_read_figures().shortages, 1u);
}

TEST_F(PurgeShort, PurgesComeMoreOften) {
  Tick(125);
  Tick(900000); /* a quarter of the decay time; from now on it is known how near the limit is */
  ReleaseSpan(2);
  Tick(9);
  EXPECT_EQ(Dirty(), 2u);
  Tick(1);
  EXPECT_EQ(Dirty(), 0u);
}

TEST_F(PurgeShort, FarFromTheLimitItStays) {
  hak_os_fake_set_file("/sys/fs/cgroup/job/memory.current", "100000000\n");
  ReleaseSpan(2);
  Tick(125);
  EXPECT_EQ(Dirty(), 2u);
  EXPECT_EQ(hak_limits_read_figures().used_bytes, 100000000u);
}

TEST_F(Purge, NotDueDoesNothing) {
  LoadConfig("HAKMEM_DECAY_MS=0"); /* whatever a purge finds, it gives back */
  Tick(125);
  ReleaseSpan(2);
  const uint64_t calls = hak_os_fake_calls(HAK_OS_FAKE_MADVISE);
  for (int i = 0; i < 9; i++) Tick(1);
  EXPECT_EQ(Dirty(), 2u);
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MADVISE), calls);
}

TEST_F(Purge, RunsFourTimesPerDecay) {
  ReleaseSpan(2);
  Tick(124);
  ReleaseSpan(2); /* stamped as of the last purge: the clock of the pool has not moved */
  Tick(1);        /* 125: a purge, nothing is old enough */
  EXPECT_EQ(Dirty(), 2u);
  Tick(250); /* 375 */
  EXPECT_EQ(Dirty(), 2u);
  Tick(124); /* 499: not due */
  EXPECT_EQ(Dirty(), 2u);
  Tick(1); /* 500 */
  EXPECT_EQ(Dirty(), 0u);
}

TEST_F(Purge, TheDecayIsTheOption) {
  LoadConfig("HAKMEM_DECAY_MS=4000");
  ReleaseSpan(2);
  Tick(3999); /* a purge, one that is too early; the next is due a second later */
  EXPECT_EQ(Dirty(), 2u);
  Tick(999);
  EXPECT_EQ(Dirty(), 2u);
  Tick(1);
  EXPECT_EQ(Dirty(), 0u);
}

TEST_F(Purge, AtOnceMeansEveryTenMilliseconds) {
  LoadConfig("HAKMEM_DECAY_MS=0");
  Tick(125); /* the first with this option */
  ReleaseSpan(2);
  Tick(9);
  EXPECT_EQ(Dirty(), 2u);
  Tick(1);
  EXPECT_EQ(Dirty(), 0u);
}

TEST_F(Purge, AShorterDecayDoesNotWaitForThePurgeOfALongerOne) {
  LoadConfig("HAKMEM_DECAY_MS=3600000");
  Tick(125); /* the next is due after a quarter of an hour */
  ReleaseSpan(2);
  ReleaseWhale(Tick(0));
  ASSERT_EQ(hak_config_set("decay_ms", "100"), 0);
  Tick(24);
  EXPECT_EQ(Dirty(), 2u);
  EXPECT_EQ(CachedWhales(), 1u);
  Tick(100);
  EXPECT_EQ(Dirty(), 0u);
  EXPECT_EQ(CachedWhales(), 0u);
}

TEST_F(Purge, CreditFadesByAShorterDecay) {
  LoadConfig("HAKMEM_DECAY_MS=3600000");
  hak_config_set_for_test(HAK_OPTION_SURPLUS_BYTES, 0);
  Tick(125);
  EXPECT_GT(Swing(), 0u);
  EXPECT_EQ(Swing(), 0u) << "asked for again";
  ASSERT_EQ(hak_config_set("decay_ms", "40"), 0);
  Tick(1);
  Tick(60 * 1000);
  EXPECT_GT(Swing(), 0u) << "a minute is long ago now";
}

TEST_F(Purge, GivesBackWhalesAndEmptySuperSlabsToo) {
  hak_shared_pool_release_span(AcquireSpan(31));
  hak_slab* span = AcquireSpan(31);
  hak_slab* other = AcquireSpan(31);
  hak_shared_pool_release_span(span);
  hak_shared_pool_release_span(other);
  ASSERT_EQ(SuperSlabs(), 2u);
  ReleaseWhale(Tick(0));
  Tick(499);
  EXPECT_EQ(CachedWhales(), 1u);
  EXPECT_EQ(SuperSlabs(), 2u);
  Tick(125);
  EXPECT_EQ(CachedWhales(), 0u);
  EXPECT_EQ(SuperSlabs(), 1u) << "the anchor's";
}

TEST_F(Purge, DrainsParkedHeaps) {
  const uint32_t size_class = hak_size_class_of(1024);
  hak_heap* heap = hak_heap_acquire(0);
  hak_slab* slab = hak_shared_pool_acquire(heap, size_class);
  hak_heap_bin(heap, size_class)->stride = slab->block_bytes;
  hak_slab_take_run(slab);
  hak_heap_park(heap);
  hak_remote_free_publish(slab, 0, ~0ull);
  EXPECT_EQ(hak_shared_pool_read_figures().live_slabs, 1u);
  Tick(124);
  EXPECT_EQ(hak_shared_pool_read_figures().live_slabs, 1u);
  Tick(1);
  EXPECT_EQ(hak_shared_pool_read_figures().live_slabs, 0u);
}

TEST_F(Purge, TellsThePoolTheTime) {
  Tick(10000);
  ReleaseSpan(2); /* as of now */
  Tick(499);
  EXPECT_EQ(Dirty(), 2u);
  Tick(125);
  EXPECT_EQ(Dirty(), 0u);
}

TEST_F(Purge, AllGivesEverythingBackWhateverTheTime) {
  ReleaseSpan(3);
  ReleaseWhale(hak_purge_tick());
  EXPECT_EQ(hak_purge_all(), 3 * kUnit + 4 * kMiB);
  EXPECT_EQ(Dirty(), 0u);
  EXPECT_EQ(hak_purge_all(), 0u);
  hak_shared_pool_release_span(anchor_);
  EXPECT_EQ(hak_purge_all(), kSuperSlab);
  EXPECT_EQ(SuperSlabs(), 0u);
  anchor_ = AcquireSpan(1);
}

TEST_F(Purge, WhatIsRefusedStaysAndIsTriedAgain) {
  ReleaseSpan(3);
  ReleaseWhale(hak_purge_tick());
  hak_os_fake_fail_from(HAK_OS_FAKE_MADVISE, 1, 1);
  hak_os_fake_fail_from(HAK_OS_FAKE_MUNMAP, 1, 1);
  Tick(624);
  EXPECT_EQ(Dirty(), 3u);
  EXPECT_EQ(CachedWhales(), 1u);
  hak_os_fake_fail_never(HAK_OS_FAKE_MADVISE);
  hak_os_fake_fail_never(HAK_OS_FAKE_MUNMAP);
  Tick(625);
  EXPECT_EQ(Dirty(), 0u);
  EXPECT_EQ(CachedWhales(), 0u);
}

// surplus.h: what the program asked for again stays for a while, and the while is time, not a number of ticks.
TEST_F(Purge, CreditFadesWithTimeAndNotWithTicks) {
  hak_config_set_for_test(HAK_OPTION_SURPLUS_BYTES, 0);
  EXPECT_GT(Swing(), 0u);
  EXPECT_EQ(Swing(), 0u) << "asked for again";
  Tick(kHour / 6);
  EXPECT_GT(Swing(), 0u) << "forgotten by one tick after a long time";
  EXPECT_EQ(Swing(), 0u);
  for (int i = 0; i < 100; i++) Tick(0);
  EXPECT_EQ(Swing(), 0u) << "no time has passed";
}

// After minutes asleep nothing that was given back then is credit.
TEST_F(Purge, WhatWasGivenBeforeALongSleepIsNoCredit) {
  hak_config_set_for_test(HAK_OPTION_SURPLUS_BYTES, 0);
  for (int i = 0; i < 5; i++) {
    Tick(kHour / 6);
    hak_slab* span = AcquireSpan(31);
    const uint64_t before = hak_shared_pool_purged_bytes();
    hak_shared_pool_release_span(span);
    EXPECT_GT(hak_shared_pool_purged_bytes(), before) << i;
  }
}

TEST_F(Purge, AClockThatJumpsBackDoesNoHarm) {
  ReleaseSpan(2);
  hak_os_fake_set_clock_ms(5);
  EXPECT_EQ(hak_purge_tick(), 5u);
  EXPECT_EQ(Dirty(), 2u);
}

std::atomic<int> purging, purges_at_once, madvise_calls;

// Sees every madvise of a purge; lets others have a go meanwhile.
void NotePurge(hak_os_fake_call call, void*, size_t) {
  if (call != HAK_OS_FAKE_MADVISE) return;
  madvise_calls++;
  if (purging.fetch_add(1) != 0) purges_at_once++;
  std::this_thread::yield();
  purging--;
}

// Of many threads that tick at the same time one purges: one system call for what one release left.
TEST_F(Purge, Invariant1ATickElectsOneThread) {
  for (int round = 0; round < 200; round++) {
    ReleaseSpan(2);
    hak_os_fake_advance_clock_ms(624);
    purging = purges_at_once = madvise_calls = 0;
    hak_os_fake_set_observer(NotePurge);
    std::atomic<int> ready{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; t++) {
      threads.emplace_back([&ready] {
        ready++;
        while (ready < 3) std::this_thread::yield();
        hak_purge_tick();
      });
    }
    for (std::thread& thread : threads) thread.join();
    hak_os_fake_set_observer(nullptr);
    ASSERT_EQ(madvise_calls, 1) << round;
    ASSERT_EQ(purges_at_once, 0) << round;
    ASSERT_EQ(Dirty(), 0u) << round;
  }
}

std::atomic<int> nested_ticks;

// A tick of another thread while the purge is under way: it returns at once and purges nothing.
void TickMeanwhile(hak_os_fake_call call, void*, size_t) {
  if (call != HAK_OS_FAKE_MADVISE || nested_ticks++ != 0) return;
  std::thread([] { hak_purge_tick(); }).join();
}

TEST_F(Purge, Invariant1NobodyWaitsForThePurge) {
  hak_slab* middle[2] = {AcquireSpan(1), AcquireSpan(2)};
  hak_slab* last = AcquireSpan(1);
  hak_slab* end = AcquireSpan(1);
  hak_shared_pool_release_span(middle[0]);
  hak_shared_pool_release_span(last);
  hak_os_fake_advance_clock_ms(624);
  nested_ticks = 0;
  hak_os_fake_set_observer(TickMeanwhile);
  const uint64_t calls = hak_os_fake_calls(HAK_OS_FAKE_MADVISE);
  hak_purge_tick();
  hak_os_fake_set_observer(nullptr);
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MADVISE), calls + 2);
  EXPECT_EQ(nested_ticks, 2);
  EXPECT_EQ(Dirty(), 0u);
  hak_shared_pool_release_span(middle[1]);
  hak_shared_pool_release_span(end);
}

}  // namespace
