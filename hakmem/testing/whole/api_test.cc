// Random sequences of all hak_ functions against the model of the malloc contract, by one thread and by several that
// free each other's blocks.
#include <stdint.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "hakmem/report/report.h"
#include "hakmem/testing/model/checked.h"
#include "hakmem/testing/model/random.h"
#include "hakmem/testing/whole/actor.h"
#include "hakmem/testing/whole/support.h"
#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

namespace {

using hak_model::Block;
using hak_model::Checked;
using hak_model::Random;
using hak_model::SkewedSize;
using hak_testing::Actor;
using hak_testing::ExpectNothingLeft;
using hak_testing::Inbox;

constexpr size_t kMaxBytes = Actor::kMaxBytes;

class ApiSequence : public testing::TestWithParam<uint64_t> {};

TEST_P(ApiSequence, OneThread) {
  constexpr int kSteps = 40000;
  Checked heap;
  Actor actor(&heap, GetParam());
  for (int i = 0; i < kSteps; i++) actor.Step();
  actor.FreeAll();
  ExpectNothingLeft(&heap);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ApiSequence, testing::Range<uint64_t>(1, 9));

class Threads : public testing::TestWithParam<int> {};

void RunPeer(Checked* heap, std::vector<Inbox>* inboxes, size_t self, int steps) {
  Actor actor(heap, 100 * inboxes->size() + self);
  for (int i = 0; i < steps; i++) {
    actor.Step();
    if (actor.random()->OneIn(3)) {
      const Block block = actor.Pick();
      if (block) (*inboxes)[actor.random()->Below(inboxes->size())].Put(block);
    }
    if (actor.random()->OneIn(16)) {
      for (const Block& block : (*inboxes)[self].TakeAll()) {
        heap->model()->Check(block);
        actor.Receive(block);
      }
    }
  }
  actor.FreeAll();
}

TEST_P(Threads, EveryThreadFreesBlocksOfEveryOther) {
  constexpr int kSteps = 40000;
  Checked heap;
  std::vector<Inbox> inboxes(static_cast<size_t>(GetParam()));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < inboxes.size(); i++) threads.emplace_back(RunPeer, &heap, &inboxes, i, kSteps);
  for (std::thread& thread : threads) thread.join();
  for (Inbox& inbox : inboxes) inbox.FreeAll(&heap);
  ExpectNothingLeft(&heap);
}

TEST_P(Threads, OneThreadFreesWhatTheOthersAllocate) {
  constexpr uint64_t kBlocks = 30000;
  constexpr size_t kBlocksUnderwayMax = 5000;
  Checked heap;
  Inbox inbox;
  const uint64_t producers = static_cast<uint64_t>(GetParam()) - 1;
  std::vector<std::thread> threads;
  for (uint64_t p = 0; p < producers; p++) {
    threads.emplace_back([&, p] {
      Random random(p);
      for (uint64_t i = 0; i < kBlocks; i++) {
        const Block block = heap.Malloc(SkewedSize(&random, 300000));
        ASSERT_TRUE(block);
        inbox.Put(block);
        while (heap.model()->LiveBlocks() > kBlocksUnderwayMax) std::this_thread::yield();
      }
    });
  }
  uint64_t freed = 0;
  while (freed < producers * kBlocks) {
    for (const Block& block : inbox.TakeAll()) {
      heap.Free(block);
      freed++;
    }
    // The free blocks go back to producers that may be waiting: what is mapped stays in proportion to what is live.
    ASSERT_LT(hak_report_read_figures().mapped_bytes, 512u * 1024 * 1024);
  }
  for (std::thread& thread : threads) thread.join();
  ExpectNothingLeft(&heap);
}

INSTANTIATE_TEST_SUITE_P(Counts, Threads, testing::Values(2, 3, 4));

// Any thread may ask for the figures at any time. (Whether that is free of data races is for tsan to say.)
TEST(Api, FiguresOfRunningThreadsMakeSense) {
  Checked heap;
  std::atomic<bool> is_done{false};
  std::thread worker([&] {
    Actor actor(&heap, 1);
    for (int i = 0; i < 20000; i++) actor.Step();
    actor.FreeAll();
    is_done = true;
  });
  while (!is_done) {
    const hak_report_figures figures = hak_report_read_figures();
    ASSERT_LT(figures.live_bytes, 1024u * 1024 * 1024);
    ASSERT_LE(figures.releasable_bytes, figures.mapped_bytes + Actor::kLiveBytesMax);
    std::this_thread::yield();
  }
  worker.join();
  ExpectNothingLeft(&heap);
}

TEST(Api, GoodSizeIsTheUsableSize) {
  for (size_t bytes = 0; bytes <= kMaxBytes; bytes += 1 + bytes / 50) {
    void* block = hak_malloc(bytes);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(hak_malloc_usable_size(block), hak_good_size(bytes)) << bytes;
    hak_free(block);
  }
}

TEST(Api, AnyValueMayBeAskedWhetherItIsInTheHeap) {
  int local = 0;
  static int global;
  EXPECT_FALSE(hak_is_in_heap(nullptr));
  EXPECT_FALSE(hak_is_in_heap(&local));
  EXPECT_FALSE(hak_is_in_heap(&global));
  const std::unique_ptr<int> elsewhere(new int);
  EXPECT_FALSE(hak_is_in_heap(elsewhere.get()));
  for (unsigned shift = 0; shift < 64; shift++) {
    EXPECT_FALSE(hak_is_in_heap(reinterpret_cast<void*>(uintptr_t{1} << shift))) << shift;
    EXPECT_FALSE(hak_is_in_heap(reinterpret_cast<void*>(~uintptr_t{0} << shift))) << shift;
  }
}

}  // namespace
