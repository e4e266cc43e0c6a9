#include "hakmem/instrument/instrument.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace {

constexpr uint64_t kInterval = 1000;

struct Resample {
  void* block;
  const void* was;
  size_t bytes;
  bool is_sampled;
};

struct Record {
  hak_instrument_op op;
  const void* ptr;
  size_t bytes;
};

// What the hooks of this thread saw.
thread_local std::vector<size_t> samples;
thread_local std::vector<Resample> resamples;
thread_local std::vector<Record> records;
thread_local void* replacement = nullptr;

uint64_t Next() { return kInterval; }

void* Sample(void* block, size_t bytes) {
  samples.push_back(bytes);
  return replacement == nullptr ? block : replacement;
}

void Resized(void* block, const void* was, size_t bytes, bool is_sampled) {
  resamples.push_back({block, was, bytes, is_sampled});
}

// The caller, as if it were a heap.
hak_heap* Route(const void* caller) { return static_cast<hak_heap*>(const_cast<void*>(caller)); }

void Recorded(hak_instrument_op op, const void* ptr, size_t bytes) { records.push_back({op, ptr, bytes}); }

class Instrument : public testing::Test {
 protected:
  void SetUp() override {
    samples.clear();
    resamples.clear();
    records.clear();
    replacement = nullptr;
    hak_instrument_hook_samples(Next, Sample, Resized);
    hak_instrument_hook_records(Recorded);
    hak_instrument_hook_routes(Route);
  }

  void TearDown() override {
    hak_instrument_reset_for_test();
    hak_heap_set_current(&hak_heap_empty, true, true);
  }

  static uint32_t Want(uint32_t mode) {
    hak_instrument_want(HAK_INSTRUMENT_ALL, false);
    hak_instrument_want(mode, true);
    return hak_instrument_follow();
  }

  hak_heap* heap_ = hak_heap_acquire(0);
  int block_ = 0;
  int other_ = 0;
};

TEST_F(Instrument, Invariant3TheHeapsOfTheHitPathsFollowTheMode) {
  hak_instrument_set_heap(heap_);
  const auto check = [this](uint32_t mode, bool mallocs_hit, bool frees_hit) {
    EXPECT_EQ(Want(mode), mode);
    EXPECT_EQ(hak_heap_current, heap_);
    EXPECT_EQ(hak_heap_mallocs, mallocs_hit ? heap_ : &hak_heap_empty) << mode;
    EXPECT_EQ(hak_heap_frees, frees_hit ? heap_ : &hak_heap_empty) << mode;
    EXPECT_TRUE(hak_instrument_is_on()) << "once a thread may do something, each has to look";
  };
  check(0, true, true);
  check(HAK_INSTRUMENT_SAMPLE, false, true);
  check(HAK_INSTRUMENT_RECORD, false, false);
  check(HAK_INSTRUMENT_ROUTE, false, true);
  check(HAK_INSTRUMENT_ALL, false, false);
  check(HAK_INSTRUMENT_SAMPLE, false, true);
  check(0, true, true);
  hak_heap_park(heap_);
}

TEST_F(Instrument, Invariant3AThreadThatExchangesBlocksRecordsAsWell) {
  hak_instrument_set_heap(heap_);
  hak_heap_set_exchanging(heap_, true);
  const auto check = [this](uint32_t mode, bool frees_exchange) {
    EXPECT_EQ(Want(mode), mode);
    EXPECT_EQ(hak_heap_frees, &hak_heap_empty) << mode;
    EXPECT_EQ(heap_->frees_exchange, frees_exchange) << mode;
  };
  check(0, true);
  check(HAK_INSTRUMENT_SAMPLE, true);
  check(HAK_INSTRUMENT_RECORD, false);
  check(HAK_INSTRUMENT_ROUTE, true);
  check(HAK_INSTRUMENT_ALL, false);
  check(0, true);
  hak_heap_set_exchanging(heap_, false);
  hak_heap_park(heap_);
}

TEST_F(Instrument, RoutesByTheOutermostCall) {
  hak_instrument_set_heap(heap_);
  EXPECT_EQ(hak_instrument_route(Want(HAK_INSTRUMENT_SAMPLE), &block_), nullptr) << "not in this mode";
  const uint32_t mode = Want(HAK_INSTRUMENT_ROUTE);
  EXPECT_EQ(static_cast<void*>(hak_instrument_route(mode, &block_)), &block_);
  ASSERT_TRUE(hak_instrument_begin(&other_));
  EXPECT_EQ(static_cast<void*>(hak_instrument_route(mode, &block_)), &other_);
  hak_instrument_end(true);
  hak_instrument_hook_routes(nullptr);
  hak_instrument_want(HAK_INSTRUMENT_ALL, false);
  (void)hak_instrument_follow();
  EXPECT_EQ(Want(HAK_INSTRUMENT_ROUTE), 0u) << "nobody would know where to";
  hak_heap_park(heap_);
}

TEST_F(Instrument, AHeapThatComesLaterFollowsTheMode) {
  EXPECT_EQ(Want(HAK_INSTRUMENT_SAMPLE), static_cast<uint32_t>(HAK_INSTRUMENT_SAMPLE));
  hak_instrument_set_heap(heap_);
  EXPECT_EQ(hak_heap_current, heap_);
  EXPECT_EQ(hak_heap_mallocs, &hak_heap_empty);
  EXPECT_EQ(hak_heap_frees, heap_);
  hak_instrument_set_heap(&hak_heap_empty);
  EXPECT_EQ(hak_heap_current, &hak_heap_empty);
  hak_heap_park(heap_);
}

TEST_F(Instrument, Invariant2AThreadIsAsItWasUntilItFollows) {
  hak_instrument_set_heap(heap_);
  EXPECT_FALSE(hak_instrument_is_on());
  hak_instrument_want(HAK_INSTRUMENT_RECORD, true);
  EXPECT_TRUE(hak_instrument_is_on()) << "its next slow path is to follow";
  EXPECT_EQ(hak_heap_mallocs, heap_);
  EXPECT_EQ(hak_instrument_follow(), static_cast<uint32_t>(HAK_INSTRUMENT_RECORD));
  hak_instrument_want(HAK_INSTRUMENT_RECORD, false);
  EXPECT_TRUE(hak_instrument_is_on()) << "and to follow back";
  EXPECT_EQ(hak_heap_mallocs, &hak_heap_empty);
  EXPECT_EQ(hak_instrument_follow(), 0u);
  EXPECT_EQ(hak_heap_mallocs, heap_);
  hak_heap_park(heap_);
}

TEST_F(Instrument, WhatHasNoHookOrDoesNotExistIsNotDone) {
  hak_instrument_hook_samples(nullptr, nullptr, nullptr);
  hak_instrument_hook_routes(nullptr);
  EXPECT_EQ(Want(HAK_INSTRUMENT_ALL), static_cast<uint32_t>(HAK_INSTRUMENT_RECORD));
  hak_instrument_hook_records(nullptr);
  hak_instrument_want(HAK_INSTRUMENT_ALL, false);
  hak_u64_store_relaxed(&hak_control_words.instrument, ~0ull); /* from outside */
  hak_instrument_hook_samples(Next, Sample, Resized);
  EXPECT_EQ(hak_instrument_follow(), static_cast<uint32_t>(HAK_INSTRUMENT_SAMPLE));
}

TEST_F(Instrument, SamplesWhenTheCountdownEnds) {
  const uint32_t mode = Want(HAK_INSTRUMENT_SAMPLE);
  const auto malloc_of = [&](size_t bytes) {
    const size_t before = samples.size();
    EXPECT_EQ(hak_instrument_on_malloc(mode, &block_, bytes), &block_);
    return samples.size() != before;
  };
  EXPECT_FALSE(malloc_of(999)) << "a byte more than it has is counted";
  EXPECT_TRUE(malloc_of(1));
  for (int i = 0; i < 1000; i++) EXPECT_FALSE(malloc_of(0));
  EXPECT_TRUE(malloc_of(0));
  EXPECT_TRUE(malloc_of(SIZE_MAX));
  EXPECT_FALSE(malloc_of(999)) << "anew from each sample on";
  EXPECT_EQ(hak_instrument_on_malloc(mode, nullptr, 5000), nullptr);
  EXPECT_EQ(samples, (std::vector<size_t>{1, 0, SIZE_MAX})) << "no block, no sample";
  EXPECT_TRUE(records.empty());
}

TEST_F(Instrument, WhereAThreadOnlySamplesMallocsAreCountedAtOnce) {
  EXPECT_FALSE(hak_instrument_try_count(0)) << "off";
  Want(HAK_INSTRUMENT_SAMPLE);
  EXPECT_TRUE(hak_instrument_try_count(900));
  EXPECT_FALSE(hak_instrument_try_count(99)) << "a sample";
  Want(HAK_INSTRUMENT_ALL);
  EXPECT_FALSE(hak_instrument_try_count(0)) << "each is recorded";
  EXPECT_EQ(hak_instrument_on_malloc(HAK_INSTRUMENT_ALL, &block_, 90), &block_);
  EXPECT_TRUE(samples.empty());
  Want(HAK_INSTRUMENT_SAMPLE);
  EXPECT_TRUE(hak_instrument_try_count(7)) << "the countdown goes on through all of it";
  EXPECT_FALSE(hak_instrument_try_count(0));
  EXPECT_EQ(hak_instrument_on_malloc(HAK_INSTRUMENT_SAMPLE, &block_, 0), &block_);
  EXPECT_EQ(samples, std::vector<size_t>{0});
  Want(0);
  EXPECT_FALSE(hak_instrument_try_count(0));
}

TEST_F(Instrument, TheSampleHookMayPutAnotherBlockInItsPlace) {
  const uint32_t mode = Want(HAK_INSTRUMENT_ALL);
  replacement = &other_;
  EXPECT_EQ(hak_instrument_on_malloc(mode, &block_, 10), &block_);
  EXPECT_EQ(hak_instrument_on_malloc(mode, &block_, 5000), &other_);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[1].ptr, &other_) << "what the program gets is recorded";
}

TEST_F(Instrument, GrowthOfLargeBlocksCounts) {
  const uint32_t mode = Want(HAK_INSTRUMENT_SAMPLE);
  hak_instrument_on_resize(mode, &block_, &block_, 100, 1098, true);
  hak_instrument_on_resize(mode, &block_, &block_, 1098, 1100, true);
  hak_instrument_on_resize(mode, &other_, &block_, 1100, 50, true);
  hak_instrument_on_resize(mode, &block_, &block_, 10, 5000, false);
  ASSERT_EQ(resamples.size(), 3u) << "a small block does not grow where it lies";
  EXPECT_FALSE(resamples[0].is_sampled);
  EXPECT_TRUE(resamples[1].is_sampled);
  EXPECT_FALSE(resamples[2].is_sampled);
  EXPECT_EQ(resamples[2].block, &other_);
  EXPECT_EQ(resamples[2].was, &block_);
  EXPECT_EQ(resamples[2].bytes, 50u);
}

TEST_F(Instrument, RecordsEveryOperation) {
  const uint32_t mode = Want(HAK_INSTRUMENT_RECORD);
  EXPECT_EQ(hak_instrument_on_malloc(mode, &block_, 5000), &block_);
  EXPECT_EQ(hak_instrument_on_malloc(mode, nullptr, 1), nullptr);
  hak_instrument_on_resize(mode, &block_, &block_, 5000, 20, false);
  hak_instrument_on_resize(mode, &other_, &block_, 20, 9000, true);
  hak_instrument_on_free(mode, &other_);
  const std::vector<Record> expected = {{HAK_INSTRUMENT_MALLOC, &block_, 5000}, {HAK_INSTRUMENT_MALLOC, nullptr, 1},
                                        {HAK_INSTRUMENT_RESIZE, &block_, 20},   {HAK_INSTRUMENT_FREE, &block_, 0},
                                        {HAK_INSTRUMENT_MALLOC, &other_, 9000}, {HAK_INSTRUMENT_FREE, &other_, 0}};
  ASSERT_EQ(records.size(), expected.size());
  for (size_t i = 0; i < expected.size(); i++) {
    EXPECT_EQ(records[i].op, expected[i].op) << i;
    EXPECT_EQ(records[i].ptr, expected[i].ptr) << i;
    EXPECT_EQ(records[i].bytes, expected[i].bytes) << i;
  }
  EXPECT_TRUE(samples.empty());
  ASSERT_EQ(resamples.size(), 1u) << "a large block may be a sample from before";
  EXPECT_EQ(resamples[0].block, &other_);
  EXPECT_FALSE(resamples[0].is_sampled);
}

TEST_F(Instrument, EachThreadHasAModeAndACountdownOfItsOwn) {
  const uint32_t mode = Want(HAK_INSTRUMENT_SAMPLE);
  hak_instrument_on_malloc(mode, &block_, 998);
  std::thread([this, mode] {
    EXPECT_EQ(hak_instrument_mode, 0u);
    EXPECT_EQ(hak_instrument_follow(), mode);
    hak_instrument_on_malloc(mode, &block_, 998);
    EXPECT_TRUE(samples.empty());
    hak_instrument_on_malloc(mode, &block_, 1);
    EXPECT_EQ(samples.size(), 1u);
  }).join();
  EXPECT_TRUE(samples.empty());
  hak_instrument_on_malloc(mode, &block_, 1);
  EXPECT_EQ(samples.size(), 1u);
}

TEST_F(Instrument, ModesChangeUnderThreadsThatWork) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; t++) {
    threads.emplace_back([this, &stop] {
      uint64_t rounds = 0;
      while (!stop || rounds < 1000) {
        if (hak_instrument_is_on()) {
          const uint32_t mode = hak_instrument_follow();
          ASSERT_EQ(hak_instrument_on_malloc(mode, &block_, 100), &block_);
          hak_instrument_on_free(mode, &block_);
        }
        rounds++;
      }
    });
  }
  for (int i = 0; i < 3000; i++) {
    hak_instrument_want(HAK_INSTRUMENT_SAMPLE, i % 2 == 0);
    hak_instrument_want(HAK_INSTRUMENT_RECORD, i % 3 == 0);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
