// Forks while other threads allocate: neither side ever hangs, and the child has a heap in order.
#include <pthread.h>
#include <stdint.h>

#include <atomic>
#include <thread>
#include <vector>

#include "hakmem/report/report.h"
#include "hakmem/testing/model/checked.h"
#include "hakmem/testing/model/random.h"
#include "hakmem/testing/whole/actor.h"
#include "hakmem/testing/whole/child.h"
#include "hakmem/testing/whole/support.h"
#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

// A child of a process with threads starts threads here, which tsan refuses unless told.
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }

namespace {

using hak_model::Block;
using hak_model::Checked;
using hak_model::Random;
using hak_model::SkewedSize;
using hak_testing::Actor;
using hak_testing::ExpectNothingLeft;
using hak_testing::Inbox;
using hak_testing::IsEmulated;
using hak_testing::SucceedsInChild;

constexpr size_t kWorkers = 3;

// Threads that allocate, and free each other's blocks, until told to stop. A sanitizer's runtime takes locks of its own
// while a thread starts, which a child would find taken for ever: nobody forks before all of them run.
class Workers {
 public:
  explicit Workers(Checked* heap) : heap_(heap) {
    for (size_t i = 0; i < kWorkers; i++) threads_.emplace_back([this, i] { Run(i); });
    while (running_ != kWorkers) std::this_thread::yield();
  }

  void Stop() {
    is_over_ = true;
    for (std::thread& thread : threads_) thread.join();
    for (Inbox& inbox : inboxes_) inbox.FreeAll(heap_);
  }

 private:
  void Run(size_t self) {
    Actor actor(heap_, self, 8 * 1024 * 1024);  // little to copy for each fork
    running_++;
    while (!is_over_) {
      actor.Step();
      const Block block = actor.random()->OneIn(3) ? actor.Pick() : Block();
      if (block) inboxes_[actor.random()->Below(kWorkers)].Put(block);
      if (actor.random()->OneIn(16)) inboxes_[self].FreeAll(heap_);
      if (actor.random()->OneIn(64)) std::this_thread::yield();  // children want to run too
    }
    actor.FreeAll();
  }

  Checked* heap_;
  Inbox inboxes_[kWorkers];
  std::atomic<size_t> running_{0};
  std::atomic<bool> is_over_{false};
  std::vector<std::thread> threads_;
};

std::vector<Block> AllocateSome(Checked* heap, uint64_t seed, size_t count) {
  Random random(seed);
  std::vector<Block> blocks;
  for (size_t i = 0; i < count; i++) blocks.push_back(heap->Malloc(SkewedSize(&random, 500000)));
  return blocks;
}

void FreeAll(Checked* heap, std::vector<Block>* blocks) {
  for (const Block& block : *blocks) heap->Free(block);
  blocks->clear();
}

void RunThreads(Checked* heap, size_t count) {
  std::vector<std::thread> threads;
  for (size_t i = 0; i < count; i++) {
    threads.emplace_back([heap, i] {
      Actor actor(heap, i);
      for (int step = 0; step < 300; step++) actor.Step();
      actor.FreeAll();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void LiveInChild(Checked* heap, std::vector<Block>* blocks_of_parent, uint64_t seed) {
  std::vector<Block> own = AllocateSome(heap, seed, 50);
  FreeAll(heap, blocks_of_parent);
  EXPECT_TRUE(SucceedsInChild([&] {
    FreeAll(heap, &own);
    own = AllocateSome(heap, seed + 1, 50);
    FreeAll(heap, &own);
  }));
  FreeAll(heap, &own);
  if (seed % 10 == 0 && !IsEmulated()) RunThreads(heap, 3);  // there a thread in the child of a fork is an abort
  hak_trim();
}

TEST(Fork, TwoHundredWhileThreadsAllocate) {
  constexpr uint64_t kForks = 200;
  Checked heap;
  Workers workers(&heap);
  for (uint64_t i = 0; i < kForks; i++) {
    std::vector<Block> blocks = AllocateSome(&heap, i, 50);
    ASSERT_TRUE(SucceedsInChild([&] { LiveInChild(&heap, &blocks, i); })) << "fork " << i;
    FreeAll(&heap, &blocks);
  }
  workers.Stop();
  ExpectNothingLeft(&heap);
}

// --- the application's own handlers, which may allocate in all three places ---

Checked* handler_heap = nullptr;  // NULL: the handlers do nothing
Block handler_block;
int handler_runs = 0;

void UseMemoryInHandler() {
  if (handler_heap == nullptr) return;
  std::vector<Block> blocks = AllocateSome(handler_heap, static_cast<uint64_t>(handler_runs++), 20);
  ASSERT_TRUE(handler_heap->Realloc(&handler_block, 1 + handler_block.bytes * 3 % 1000000));
  FreeAll(handler_heap, &blocks);
}

TEST(Fork, HandlersMayAllocate) {
  constexpr int kForks = 50;
  ASSERT_EQ(pthread_atfork(UseMemoryInHandler, UseMemoryInHandler, UseMemoryInHandler), 0);
  Checked heap;
  handler_heap = &heap;
  Workers workers(&heap);
  for (int i = 0; i < kForks; i++) {
    ASSERT_TRUE(SucceedsInChild([&] {
      EXPECT_EQ(handler_runs, 2 * i + 2);
      heap.Free(handler_block);
    }));
  }
  EXPECT_EQ(handler_runs, 2 * kForks);
  handler_heap = nullptr;
  heap.Free(handler_block);
  workers.Stop();
  ExpectNothingLeft(&heap);
}

// --- what becomes of the heaps of threads that the child does not have ---

// A thread that has allocated `blocks` and then does nothing until told to end.
class IdleThread {
 public:
  IdleThread(Checked* heap, uint64_t seed) {
    thread_ = std::thread([this, heap, seed] {
      blocks_ = AllocateSome(heap, seed, 2000);
      has_allocated_ = true;
      while (!is_over_) std::this_thread::yield();
    });
    while (!has_allocated_) std::this_thread::yield();
  }
  void End() {
    is_over_ = true;
    thread_.join();
  }
  std::vector<Block>* blocks() { return &blocks_; }

 private:
  std::thread thread_;
  std::vector<Block> blocks_;
  std::atomic<bool> has_allocated_{false};
  std::atomic<bool> is_over_{false};
};

TEST(Fork, TheChildGetsTheMemoryOfIdleThreadsBack) {
  HAK_NOT_EMULATED("it aborts where the child of a fork starts a thread");
  Checked heap;
  IdleThread first(&heap, 1), second(&heap, 2);
  EXPECT_TRUE(SucceedsInChild([&] {
    EXPECT_GE(hak_report_read_figures().parked_heaps, 2u);
    FreeAll(&heap, first.blocks());
    FreeAll(&heap, second.blocks());
    // Their caches are as the threads left them until somebody takes the heaps over.
    const uint64_t heaps = hak_report_read_figures().heaps;
    std::atomic<int> waiting{2};
    auto take_heap_over = [&] {
      heap.Free(heap.Malloc(100));
      for (waiting--; waiting != 0;) std::this_thread::yield();
    };
    std::thread third(take_heap_over), fourth(take_heap_over);
    third.join();
    fourth.join();
    EXPECT_EQ(hak_report_read_figures().heaps, heaps);
    ExpectNothingLeft(&heap);
  }));
  FreeAll(&heap, first.blocks());
  FreeAll(&heap, second.blocks());
  first.End();
  second.End();
  ExpectNothingLeft(&heap);
}

// The child goes on allocating from slabs that were another thread's at the fork.
TEST(Fork, GenerationsOfChildrenKeepTheirBlocks) {
  HAK_NOT_EMULATED("it aborts where the child of a fork starts a thread");
  Checked heap;
  IdleThread idle(&heap, 3);
  std::vector<Block> own = AllocateSome(&heap, 4, 500);
  EXPECT_TRUE(SucceedsInChild([&] {
    std::thread([&] {
      for (const Block& block : AllocateSome(&heap, 5, 500)) own.push_back(block);
      EXPECT_TRUE(SucceedsInChild([&] {
        RunThreads(&heap, 2);
        FreeAll(&heap, &own);
        FreeAll(&heap, idle.blocks());
      }));
    }).join();
    FreeAll(&heap, &own);
    FreeAll(&heap, idle.blocks());
  }));
  FreeAll(&heap, &own);
  FreeAll(&heap, idle.blocks());
  idle.End();
  ExpectNothingLeft(&heap);
}

TEST(Fork, InAThreadWithoutAHeap) {
  Checked heap;
  Workers workers(&heap);
  for (int i = 0; i < 20; i++) {
    std::thread([&] {
      EXPECT_TRUE(SucceedsInChild([&] {
        std::vector<Block> blocks = AllocateSome(&heap, 1, 50);
        FreeAll(&heap, &blocks);
      }));
    }).join();
  }
  workers.Stop();
  ExpectNothingLeft(&heap);
}

// A key that is younger than HAKMEM's: its destructor runs when the thread's heap has been put away.
Checked* destructor_heap = nullptr;

void ForkInDestructor(void*) {
  const Block block = destructor_heap->Malloc(100);
  EXPECT_TRUE(SucceedsInChild([&] {
    destructor_heap->Free(block);
    std::vector<Block> blocks = AllocateSome(destructor_heap, 1, 50);
    FreeAll(destructor_heap, &blocks);
  }));
  destructor_heap->Free(block);
}

TEST(Fork, InAThreadThatIsPastItsExit) {
  Checked heap;
  destructor_heap = &heap;
  heap.Free(heap.Malloc(1));
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, ForkInDestructor), 0);
  Workers workers(&heap);
  for (int i = 0; i < 20; i++) {
    std::thread([&] {
      heap.Free(heap.Malloc(1));
      ASSERT_EQ(pthread_setspecific(key, &heap), 0);
    }).join();
  }
  workers.Stop();
  pthread_key_delete(key);
  ExpectNothingLeft(&heap);
}

}  // namespace
