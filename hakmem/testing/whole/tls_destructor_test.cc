// What a thread still does with memory after HAKMEM has put its heap away: in the destructors of pthread keys that were
// made after HAKMEM's own, which run behind it, and in those of thread_local objects.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <atomic>
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

constexpr size_t kKeys = 8;
// One less than PTHREAD_DESTRUCTOR_ITERATIONS: in the last round the sanitizers put their own state away.
constexpr int kRounds = 3;

Checked* checked = nullptr;
Inbox* survivors = nullptr;
std::atomic<uint64_t> destructor_runs{0};
pthread_key_t keys[kKeys];

// What a key's value points to. It lies in libc's memory: the blocks are what is tested.
struct Legacy {
  pthread_key_t key;
  int rounds_left;
  Random random;
  Block from_life;
  std::vector<Block> from_rounds;
};

void FreeAndAllocate(Legacy* legacy) {
  for (const Block& block : legacy->from_rounds) checked->Free(block);
  legacy->from_rounds.clear();
  for (int i = 0; i < 10; i++) {
    Block block = checked->Malloc(SkewedSize(&legacy->random, 5000));
    ASSERT_TRUE(block);
    ASSERT_TRUE(checked->Realloc(&block, 1 + SkewedSize(&legacy->random, 300000)));
    legacy->from_rounds.push_back(block);
  }
  legacy->from_rounds.push_back(checked->Calloc(1, 10000));
  ASSERT_TRUE(checked->Realloc(&legacy->from_life, 1 + SkewedSize(&legacy->random, 5000)));
}

void DestroyLegacy(void* value) {
  Legacy* legacy = static_cast<Legacy*>(value);
  destructor_runs++;
  FreeAndAllocate(legacy);
  if (--legacy->rounds_left > 0) {
    pthread_setspecific(legacy->key, legacy);
    return;
  }
  checked->Free(legacy->from_life);
  for (const Block& block : legacy->from_rounds) survivors->Put(block);
  delete legacy;
}

class TlsDestructors : public testing::Test {
 protected:
  void SetUp() override {
    checked = &heap_;
    survivors = &inbox_;
    destructor_runs = 0;
    heap_.Free(heap_.Malloc(1));  // HAKMEM's key is there, and comes before ours
    for (pthread_key_t& key : keys) ASSERT_EQ(pthread_key_create(&key, DestroyLegacy), 0);
  }

  void TearDown() override {
    inbox_.FreeAll(&heap_);
    for (const pthread_key_t key : keys) pthread_key_delete(key);
    ExpectNothingLeft(&heap_);
  }

  Checked heap_;
  Inbox inbox_;
};

void LeaveLegacies(uint64_t seed, bool has_heap) {
  for (const pthread_key_t key : keys) {
    Legacy* legacy = new Legacy{key, kRounds, Random(seed + key), Block(), {}};
    if (has_heap) legacy->from_life = checked->Malloc(100);
    ASSERT_EQ(pthread_setspecific(key, legacy), 0);
  }
}

TEST_F(TlsDestructors, OfKeysMayDoEverything) {
  std::thread(LeaveLegacies, 1, true).join();
  EXPECT_EQ(destructor_runs, kKeys * kRounds);
}

// The heap of such a thread is first made in a destructor, by a round that HAKMEM's own destructor has missed.
TEST_F(TlsDestructors, MayBeTheFirstToAllocate) {
  std::thread(LeaveLegacies, 1, false).join();
  EXPECT_EQ(destructor_runs, kKeys * kRounds);
}

TEST_F(TlsDestructors, OfManyThreadsLeaveMemoryFlat) {
  constexpr uint64_t kThreads = 1000;
  constexpr uint64_t kWarmUp = 100;
  hak_report_figures warm = {};
  for (uint64_t i = 0; i < kThreads; i++) {
    std::thread(LeaveLegacies, i, i % 4 != 0).join();
    inbox_.FreeAll(&heap_);
    if (i == kWarmUp) warm = hak_report_read_figures();
  }
  const hak_report_figures now = hak_report_read_figures();
  EXPECT_EQ(destructor_runs, kThreads * kKeys * kRounds);
  EXPECT_EQ(now.heaps, warm.heaps);
  EXPECT_LE(now.mapped_bytes, warm.mapped_bytes + 4 * 1024 * 1024);
  EXPECT_LE(now.metadata_bytes, warm.metadata_bytes + 64 * 1024);
}

TEST_F(TlsDestructors, OfThreadsThatEndTogether) {
  constexpr uint64_t kThreads = 20;
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < kThreads; i++) threads.emplace_back(LeaveLegacies, i, true);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(destructor_runs, kThreads * kKeys * kRounds);
}

// An object whose destructor frees and allocates. thread_local destructors come before those of keys.
struct Local {
  ~Local() {
    destructor_runs++;
    checked->Free(block);
    Block next = checked->Malloc(5000);
    EXPECT_TRUE(checked->Realloc(&next, 50000));
    survivors->Put(next);
    if (is_loud) fputs("local is destroyed\n", stderr);
  }
  Block block;
  bool is_loud = false;
};

thread_local Local local;

TEST_F(TlsDestructors, OfThreadLocals) {
  for (int i = 0; i < 100; i++) {
    std::thread([] {
      local.block = checked->Malloc(100);
      LeaveLegacies(1, true);
    }).join();
  }
  EXPECT_EQ(destructor_runs, 100 * (1 + kKeys * kRounds));
}

// The main thread of a process has such objects too. Theirs run in exit.
TEST_F(TlsDestructors, OfThreadLocalsOfTheMainThread) {
  EXPECT_EXIT(
      {
        local.block = checked->Malloc(100);
        local.is_loud = true;
        exit(0);
      },
      testing::ExitedWithCode(0), "local is destroyed");
}

}  // namespace
