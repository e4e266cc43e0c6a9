// Threads that come and go: heaps are parked and adopted, and memory comes back whoever freed it.
#include <pthread.h>
#include <stdint.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "hakmem/report/report.h"
#include "hakmem/testing/model/checked.h"
#include "hakmem/testing/model/random.h"
#include "hakmem/testing/whole/support.h"
#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

namespace {

using hak_model::Block;
using hak_model::Checked;
using hak_model::Random;
using hak_model::SkewedSize;
using hak_testing::ExpectNothingLeft;
using hak_testing::Inbox;
using hak_testing::ResidentBytes;

constexpr size_t kMiB = 1024 * 1024;

void InThread(const std::function<void()>& work) { std::thread(work).join(); }

// Threads wait in Arrive until `count` of them have come.
class Barrier {
 public:
  explicit Barrier(size_t count) : missing_(count) {}
  void Arrive() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (--missing_ == 0) all_here_.notify_all();
    all_here_.wait(lock, [this] { return missing_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_here_;
  size_t missing_;
};

// One short life: frees half of what it inherited, allocates, frees some of that, passes the rest on.
void LiveShortly(Checked* heap, Inbox* estate, uint64_t seed) {
  Random random(seed);
  for (const Block& block : estate->TakeAll()) {
    if (random.OneIn(2)) {
      heap->Free(block);
    } else {
      estate->Put(block);
    }
  }
  std::vector<Block> own;
  for (int i = 0; i < 20; i++) own.push_back(heap->Malloc(SkewedSize(&random, 64 * 1024)));
  if (random.OneIn(50)) own.push_back(heap->Malloc(random.Below(3 * kMiB)));
  for (const Block& block : own) {
    ASSERT_TRUE(block);
    if (random.OneIn(3)) {
      estate->Put(block);
    } else {
      heap->Free(block);
    }
  }
}

TEST(Threads, TenThousandInSequenceLeaveMemoryFlat) {
  HAK_NOT_EMULATED("it keeps 280 KiB of each thread that was");
  constexpr uint64_t kWarmUp = 500;
  constexpr uint64_t kThreads = 10000;
  Checked heap;
  Inbox estate;
  heap.Free(heap.Malloc(1));  // this thread has a heap of its own from now on: it trims below
  hak_report_figures warm = {};
  int64_t warm_resident = 0;
  for (uint64_t i = 0; i < kThreads; i++) {
    InThread([&] { LiveShortly(&heap, &estate, i); });
    if (i == kWarmUp) {
      hak_trim();  // what is free and not yet decayed differs from moment to moment by more than the bounds below
      warm = hak_report_read_figures();
      warm_resident = ResidentBytes();
      ASSERT_GT(warm_resident, 0);
    }
  }
  hak_trim();
  const hak_report_figures now = hak_report_read_figures();
  EXPECT_EQ(now.heaps, warm.heaps);
  EXPECT_LE(now.metadata_bytes, warm.metadata_bytes + kMiB);
  EXPECT_LE(now.mapped_bytes, warm.mapped_bytes + 16 * kMiB);
  if (!hak_testing::kHasOwnMemory) {
    EXPECT_LE(ResidentBytes(), warm_resident + static_cast<int64_t>(4 * kMiB));
  }
  estate.FreeAll(&heap);
  ExpectNothingLeft(&heap);
}

TEST(Threads, AParkedHeapIsAdopted) {
  Checked heap;
  InThread([&] { heap.Free(heap.Malloc(100)); });
  const hak_report_figures before = hak_report_read_figures();
  ASSERT_GE(before.parked_heaps, 1u);
  InThread([&] {
    const Block block = heap.Malloc(100);
    EXPECT_EQ(hak_report_read_figures().parked_heaps, before.parked_heaps - 1);
    heap.Free(block);
  });
  const hak_report_figures after = hak_report_read_figures();
  EXPECT_EQ(after.heaps, before.heaps);
  EXPECT_EQ(after.parked_heaps, before.parked_heaps);
  ExpectNothingLeft(&heap);
}

TEST(Threads, TheNextThreadGoesOnWithTheSlabsOfTheLast) {
  Checked heap;
  Inbox inbox;
  for (int round = 0; round < 100; round++) {
    InThread([&] {
      for (size_t bytes = 16; bytes <= 1024; bytes += 16) inbox.Put(heap.Malloc(bytes));
    });
  }
  // 100 rounds of 33 KiB in 20 classes of at least a unit each: without adoption that is over 100 MiB.
  EXPECT_LE(hak_report_read_figures().mapped_bytes, 8 * kMiB);
  inbox.FreeAll(&heap);
  ExpectNothingLeft(&heap);
}

// `count` threads that all have memory before the first of them frees it.
void RunTogether(Checked* heap, size_t count) {
  Barrier all_have(count);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < count; t++) {
    threads.emplace_back([&, t] {
      Random random(t);
      std::vector<Block> own;
      for (int i = 0; i < 50; i++) own.push_back(heap->Malloc(SkewedSize(&random, 32 * 1024)));
      all_have.Arrive();
      for (const Block& block : own) heap->Free(block);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Threads, TwoHundredAtOnceTwice) {
  constexpr size_t kThreads = 200;
  Checked heap;
  RunTogether(&heap, kThreads);
  const hak_report_figures first = hak_report_read_figures();
  EXPECT_GE(first.parked_heaps, kThreads);
  RunTogether(&heap, kThreads);
  const hak_report_figures second = hak_report_read_figures();
  EXPECT_EQ(second.heaps, first.heaps);
  EXPECT_EQ(second.parked_heaps, first.parked_heaps);
  ExpectNothingLeft(&heap);
}

TEST(Threads, AThreadWithOneBlockCostsLittle) {
  constexpr size_t kThreads = 200;
  Checked heap;
  RunTogether(&heap, kThreads);  // the heaps and the thread stacks are there
  ExpectNothingLeft(&heap);
  Barrier all_have(kThreads + 1), measured(kThreads + 1);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; t++) {
    threads.emplace_back([&] {
      const Block block = heap.Malloc(100);
      all_have.Arrive();
      measured.Arrive();
      heap.Free(block);
    });
  }
  all_have.Arrive();
  // A unit each, in SuperSlabs that are full of them.
  EXPECT_LE(hak_report_read_figures().mapped_bytes, kThreads * 64 * 1024 + 4 * kMiB);
  measured.Arrive();
  for (std::thread& thread : threads) thread.join();
  ExpectNothingLeft(&heap);
}

TEST(Threads, BlocksOfAThreadThatIsGoneComeBack) {
  Checked heap;
  Inbox inbox;
  for (int round = 0; round < 20; round++) {
    InThread([&] {
      Random random(7);
      for (int i = 0; i < 2000; i++) inbox.Put(heap.Malloc(SkewedSize(&random, 100000)));
    });
    inbox.FreeAll(&heap);
    ExpectNothingLeft(&heap);
  }
}

TEST(Threads, BlocksThatAreFreedBeforeAndAfterTheirThreadEndsComeBack) {
  Checked heap;
  Inbox inbox;
  Barrier has_allocated(2), is_half_freed(2);
  std::thread owner([&] {
    Random random(7);
    for (int i = 0; i < 5000; i++) inbox.Put(heap.Malloc(SkewedSize(&random, 10000)));
    has_allocated.Arrive();
    is_half_freed.Arrive();
  });
  InThread([&] {
    has_allocated.Arrive();
    const hak_testing::Blocks blocks = inbox.TakeAll();
    for (size_t i = 0; i < blocks.size(); i += 2) heap.Free(blocks[i]);
    is_half_freed.Arrive();
    owner.join();
    for (size_t i = 1; i < blocks.size(); i += 2) heap.Free(blocks[i]);
  });
  ExpectNothingLeft(&heap);
}

// Producers come and go, and nobody ever asks for the memory of theirs but by freeing it.
TEST(Threads, AThreadThatOnlyFreesHoldsLittleOfWhatProducersLeft) {
  Checked heap;
  Inbox inbox;
  for (uint64_t round = 0; round < 200; round++) {
    InThread([&] {
      Random random(round);
      for (int i = 0; i < 3000; i++) inbox.Put(heap.Malloc(1 + random.Below(1000)));
    });
    inbox.FreeAll(&heap);
    ASSERT_LE(hak_report_read_figures().mapped_bytes, 32 * kMiB) << round;
  }
  ExpectNothingLeft(&heap);
}

// Two threads end while they free each other's blocks: each may find the other's heap parked at any moment.
TEST(Threads, ThreadsThatEndTogetherLoseNothing) {
  Checked heap;
  for (uint64_t round = 0; round < 300; round++) {
    Inbox inboxes[2];
    Barrier have_allocated(2);
    std::vector<std::thread> threads;
    for (size_t self = 0; self < 2; self++) {
      threads.emplace_back([&, self] {
        Random random(round);
        for (int i = 0; i < 100; i++) inboxes[self].Put(heap.Malloc(SkewedSize(&random, 3000)));
        have_allocated.Arrive();
        inboxes[1 - self].FreeAll(&heap);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  ExpectNothingLeft(&heap);
}

}  // namespace
