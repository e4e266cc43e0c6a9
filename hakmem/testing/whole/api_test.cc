// Random sequences of all hak_ functions against the model of the malloc contract, by one thread and by several that
// free each other's blocks.
#include <stdint.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "hakmem/report/report.h"
#include "hakmem/testing/model/checked.h"
#include "hakmem/testing/model/random.h"
#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

namespace {

using hak_model::Block;
using hak_model::Checked;
using hak_model::Random;
using hak_model::SkewedSize;

constexpr size_t kMaxBytes = 8 * 1024 * 1024;
constexpr uint64_t kLiveBytesMax = 96 * 1024 * 1024;

// One thread's part of a random sequence. What it holds drifts up and down, so that slabs and SuperSlabs empty.
class Actor {
 public:
  Actor(Checked* heap, uint64_t seed) : heap_(heap), random_(seed) {}

  void Step() {
    if (random_.OneIn(500)) target_ = random_.Below(random_.OneIn(4) ? 4000 : 200);
    const bool is_rich = blocks_.size() > target_ || heap_->model()->LiveBytes() > kLiveBytesMax;
    if (!blocks_.empty() && random_.Below(8) < (is_rich ? 5u : 2u)) {
      End();
    } else if (!blocks_.empty() && random_.OneIn(3)) {
      Change(&blocks_[random_.Below(blocks_.size())]);
    } else if (!is_rich) {
      Begin();
    }
    if (random_.OneIn(20000)) hak_trim();
  }

  void Receive(const Block& block) { blocks_.push_back(block); }

  // A block of this actor's, chosen at random, which is no longer its own; none when it has none.
  Block Pick() {
    if (blocks_.empty()) return Block();
    std::swap(blocks_[random_.Below(blocks_.size())], blocks_.back());
    const Block block = blocks_.back();
    blocks_.pop_back();
    return block;
  }

  void FreeAll() {
    while (!blocks_.empty()) heap_->Free(Pick());
  }

  Random* random() { return &random_; }

 private:
  void Keep(const Block& block) {
    if (block) blocks_.push_back(block);
  }

  size_t Size() { return SkewedSize(&random_, kMaxBytes); }

  // 1 to 2 MiB, most of them small.
  size_t Alignment() { return size_t{1} << (random_.OneIn(8) ? random_.Below(22) : random_.Below(13)); }

  void Begin() {
    Block batch[32];
    switch (random_.Below(10)) {
      case 0: Keep(heap_->Calloc(1 + random_.Below(100), SkewedSize(&random_, kMaxBytes / 100))); break;
      case 1: Keep(heap_->Calloc(1, Size())); break;
      case 2: Keep(heap_->AlignedAlloc(Alignment(), Size())); break;
      case 3: Keep(heap_->PosixMemalign(std::max(Alignment(), sizeof(void*)), Size())); break;
      case 4: Keep(heap_->Memalign(random_.Below(10000), Size())); break;
      case 5: {
        const size_t done = heap_->MallocBatch(SkewedSize(&random_, 4096), random_.Below(32), batch);
        for (size_t i = 0; i < done; i++) Keep(batch[i]);
        break;
      }
      case 6: {
        Block block;
        if (heap_->Rezalloc(&block, Size())) Keep(block);
        break;
      }
      default: Keep(heap_->Malloc(Size())); break;
    }
  }

  // A new size near the old one as often as any other: growth in place, and back.
  size_t NewSize(size_t old_bytes) {
    switch (random_.Below(4)) {
      case 0: return Size();
      case 1: return std::min(old_bytes + random_.Below(old_bytes / 2 + 17), kMaxBytes);
      case 2: return old_bytes - random_.Below(old_bytes / 2 + 1);
      default: return std::min(old_bytes * 2, kMaxBytes);
    }
  }

  void Change(Block* block) {
    const size_t bytes = std::max<size_t>(1, NewSize(block->bytes));
    switch (random_.Below(8)) {
      case 0: heap_->Rezalloc(block, bytes); break;
      case 1: heap_->Reallocarray(block, 1 + bytes / 7, 7); break;
      case 2: heap_->Expand(block, bytes); break;
      case 3: heap_->UseAll(block); break;
      case 4: heap_->model()->Check(*block); break;
      default: heap_->Realloc(block, bytes); break;
    }
  }

  void End() {
    Block block = Pick();
    switch (random_.Below(8)) {
      case 0: heap_->FreeSized(block); break;
      case 1: heap_->FreeAlignedSized(block); break;
      case 2: heap_->Realloc(&block, 0); break;
      case 3: {
        Block batch[32] = {block};
        const size_t count = std::min<size_t>(random_.Below(32), blocks_.size());
        for (size_t i = 1; i <= count; i++) batch[i % 32] = i < 32 ? Pick() : Block();
        heap_->FreeBatch(batch, 1 + count);
        break;
      }
      default: heap_->Free(block); break;
    }
  }

  Checked* heap_;
  Random random_;
  std::vector<Block> blocks_;
  size_t target_ = 200;
};

// All blocks are free and the threads that had them are gone: then nothing is live, and a trim leaves nothing mapped.
void ExpectNothingLeft(Checked* heap) {
  EXPECT_EQ(heap->model()->LiveBlocks(), 0u);
  hak_trim();
  const hak_report_figures figures = hak_report_read_figures();
  EXPECT_EQ(figures.live_bytes, 0u);
  EXPECT_EQ(figures.live_whales, 0u);
  EXPECT_EQ(figures.mapped_bytes, 0u);
}

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

// A queue of blocks on their way to a thread. Its mutex is the program's own synchronisation of a hand-over.
class Inbox {
 public:
  void Put(const Block& block) {
    std::lock_guard<std::mutex> lock(mutex_);
    blocks_.push_back(block);
  }

  std::vector<Block> TakeAll() {
    std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(blocks_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<Block> blocks_;
};

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
  for (Inbox& inbox : inboxes) {
    for (const Block& block : inbox.TakeAll()) heap.Free(block);
  }
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
    ASSERT_LE(figures.releasable_bytes, figures.mapped_bytes + kLiveBytesMax);
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
