// Publication against drain, change of owner, adoption and release, with threads. Blocks are tokens: an owner hands each
// out once, a freer gives each back once, and in the end every slab is whole again.
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "hakmem/base/bits.h"
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/remote_free/test_slab.h"

#include "gtest/gtest.h"

namespace {

const uint32_t kClass = hak_size_class_of(256); /* four words a slab */
constexpr uint32_t kBlocks = 256;
constexpr uint64_t kLimit = 1 << 20;

struct Batch {
  size_t slab;
  uint32_t word;
  uint64_t mask;
};

// The slabs, who has their blocks, and the ways between the threads.
class World {
 public:
  explicit World(size_t slabs) : is_out_(slabs) {
    for (size_t i = 0; i < slabs; i++) {
      slabs_.push_back(std::make_unique<TestSlab>(kClass));
      released_.push_back(slabs_[i]->get());
    }
    for (auto& blocks : is_out_) blocks = std::make_unique<std::atomic<bool>[]>(kBlocks);
  }

  hak_slab* slab(size_t i) { return slabs_[i]->get(); }
  size_t slab_count() const { return slabs_.size(); }

  size_t NumberOf(const hak_slab* slab) {
    for (size_t i = 0; i < slabs_.size(); i++) {
      if (slabs_[i]->get() == slab) return i;
    }
    Fail("a slab of nobody's");
    return 0;
  }

  // --- owners ---

  // As hak_shared_pool_acquire, short of memory.
  hak_slab* AcquireReleased(hak_heap* heap) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (released_.empty()) return nullptr;
    hak_slab* slab = released_.front();
    released_.pop_front();
    hak_slab_init(slab, kClass, false);
    slabs_[NumberOf(slab)]->GiveTo(heap);
    return slab;
  }

  void Release(hak_slab* slab) {
    if (!hak_slab_is_empty(slab) || slab->listed) Fail("released too early");
    for (uint32_t word = 0; word < slab->words; word++) {
      if (hak_u64_load_seq(&slab->remote_bits[word]) != 0) Fail("released with remote bits");
    }
    hak_ptr_store_seq(&slab->mailbox, nullptr);
    std::lock_guard<std::mutex> lock(mutex_);
    slab->next = nullptr;
    released_.push_back(slab);
  }

  void ReleaseList(hak_slab* empty) {
    while (empty != nullptr) {
      hak_slab* next = empty->next;
      Release(empty);
      empty = next;
    }
  }

  void Drain(hak_heap* heap) { ReleaseList(hak_remote_free_drain(heap, hak_heap_bin(heap, kClass), kClass)); }

  // As the first stage of an acquire: a partial slab of a parked heap.
  hak_slab* Adopt(hak_heap* heap) {
    if (!hak_lock_try_take(hak_heap_parked_lock())) return nullptr;
    hak_slab* slab = nullptr;
    hak_heap* orphan = hak_heap_first_parked_locked();
    for (; slab == nullptr && orphan != nullptr; orphan = orphan->next_parked) {
      Drain(orphan);
      hak_bin* bin = hak_heap_bin(orphan, kClass);
      slab = bin->partial;
      if (slab != nullptr) hak_slab_list_remove(&bin->partial, slab);
    }
    if (slab != nullptr) slabs_[NumberOf(slab)]->GiveTo(heap);
    hak_lock_give(hak_heap_parked_lock());
    return slab;
  }

  void HandOut(const hak_slab* slab, const hak_slab_run& run) {
    const size_t number = NumberOf(slab);
    const uint32_t word = hak_slab_index(slab, run.base) / 64;
    for (uint64_t rest = run.mask; rest != 0; rest &= rest - 1) {
      if (is_out_[number][word * 64 + hak_bits_lowest(rest)].exchange(true)) Fail("handed out twice");
    }
    std::lock_guard<std::mutex> lock(mutex_);
    batches_.push_back({number, word, run.mask});
  }

  // --- freers ---

  bool TakeBatch(Batch* out) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (batches_.empty()) return false;
    *out = batches_.front();
    batches_.pop_front();
    return true;
  }

  void NoteFree(size_t slab, uint32_t index) {
    if (!is_out_[slab][index].exchange(false)) Fail("freed twice");
  }

  void Fail(const char* what) {
    if (!failed_.exchange(true)) ADD_FAILURE() << what;
  }
  bool failed() const { return failed_; }

  size_t released_count() const { return released_.size(); }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<TestSlab>> slabs_;
  std::vector<std::unique_ptr<std::atomic<bool>[]>> is_out_;
  std::deque<hak_slab*> released_;
  std::deque<Batch> batches_;
  std::atomic<bool> failed_{false};
};

void FreeBatch(World* world, hak_heap* heap, const Batch& batch, bool at_once) {
  hak_slab* slab = world->slab(batch.slab);
  for (uint64_t rest = batch.mask; rest != 0; rest &= rest - 1) {
    const uint32_t index = batch.word * 64 + hak_bits_lowest(rest);
    world->NoteFree(batch.slab, index);
    if (at_once || hak_remote_free_try_join(heap, slab, index)) continue;
    if (hak_remote_free_push(heap, slab, index) == HAK_REMOTE_FREE_DOUBLE) world->Fail("double in a push");
  }
  if (at_once && hak_remote_free_publish(slab, batch.word, batch.mask) == HAK_REMOTE_FREE_DOUBLE) {
    world->Fail("double in a publish");
  }
}

void Freer(World* world, const std::atomic<int>* owners_left, uint32_t seed) {
  /* Only its out-box is used, so it is none of the heaps that owners park and take. */
  auto memory = std::make_unique<hak_heap>();
  hak_heap* heap = memory.get();
  std::mt19937 random(seed);
  Batch batch;
  for (;;) {
    const bool last = owners_left->load() == 0;
    bool any = false;
    while (world->TakeBatch(&batch)) {
      any = true;
      FreeBatch(world, heap, batch, random() % 4 == 0);
    }
    /* Owners may be out of slabs for want of what waits here. */
    hak_remote_free_flush(heap);
    if (last && !any) break;
    std::this_thread::yield();
  }
}

// A thread that allocates only. Now and then it exits, and the next takes the heap that was parked last.
void Owner(World* world, int runs, uint32_t seed) {
  std::mt19937 random(seed);
  hak_heap* heap = hak_heap_acquire(kLimit);
  while (runs > 0 && !world->failed()) {
    if (random() % 32 == 0) {
      hak_heap_park(heap);
      std::this_thread::yield();
      heap = hak_heap_acquire(kLimit);
    }
    if (random() % 4 == 0) world->Drain(heap);
    hak_bin* bin = hak_heap_bin(heap, kClass);
    hak_slab* slab = bin->partial;
    if (slab != nullptr) {
      hak_slab_list_remove(&bin->partial, slab);
    } else {
      if (random() % 2 == 0) slab = world->Adopt(heap);
      if (slab == nullptr) slab = world->AcquireReleased(heap);
      if (slab == nullptr) {
        world->Drain(heap);
        std::this_thread::yield();
        continue;
      }
    }
    const hak_slab_run run = hak_slab_take_run(slab);
    if (hak_slab_free_count(slab) != 0) hak_slab_list_push(&bin->partial, slab);
    world->HandOut(slab, run);
    runs--;
  }
  hak_heap_park(heap);
}

bool IsAnyPosted() {
  for (hak_heap* heap = hak_heap_first(); heap != nullptr; heap = heap->next_heap) {
    if (hak_remote_free_is_posted(hak_heap_mailbox(heap, kClass))) return true;
  }
  return false;
}

void RunWorld(size_t slabs, int owners, int freers, int runs) {
  World world(slabs);
  std::atomic<int> owners_left{owners};
  std::vector<std::thread> threads;
  for (int i = 0; i < owners; i++) {
    threads.emplace_back([&, i] {
      Owner(&world, runs, static_cast<uint32_t>(i + 1));
      owners_left--;
    });
  }
  for (int i = 0; i < freers; i++) {
    threads.emplace_back(Freer, &world, &owners_left, static_cast<uint32_t>(i + 100));
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_FALSE(world.failed());
  /* Every bit is in a free map, or on its way by a mailbox. */
  for (int i = 0; i < 10 && IsAnyPosted(); i++) {
    for (hak_heap* heap = hak_heap_first(); heap != nullptr; heap = heap->next_heap) world.Drain(heap);
  }
  EXPECT_FALSE(IsAnyPosted());
  EXPECT_EQ(world.released_count(), slabs);
  for (size_t i = 0; i < slabs; i++) {
    EXPECT_TRUE(hak_slab_is_empty(world.slab(i))) << hak_slab_free_count(world.slab(i));
    EXPECT_EQ(hak_u32_load_relaxed(&world.slab(i)->pending), 0u);
  }
}

TEST(RemoteFreeThreads, OneOwnerOneFreer) { RunWorld(4, 1, 1, 3000); }

TEST(RemoteFreeThreads, OneOwnerManyFreersAndOneSlab) { RunWorld(1, 1, 3, 2000); }

TEST(RemoteFreeThreads, OwnersParkAdoptAndReleaseWhileOthersFree) { RunWorld(8, 2, 2, 5000); }

TEST(RemoteFreeThreads, MoreOwnersThanSlabs) { RunWorld(2, 3, 1, 2000); }

// Round by round two threads publish a block of one slab each while the owner drains. When both have returned, what the
// owner has not collected is posted: a bit that nobody comes for would be missed for good.
class Lockstep {
 public:
  Lockstep() : slab_(kClass), heap_(std::make_unique<hak_heap>()) {
    hak_heap_mailbox(heap_.get(), kClass)->heap = heap_.get();
    slab_.GiveTo(heap_.get());
    slab_.TakeAll();
  }

  void Publisher(uint32_t word) {
    for (int round = 1; round <= kRounds; round++) {
      for (int spins = 0; round_.load(std::memory_order_acquire) < round; spins++) {
        if (spins > 200) std::this_thread::yield();
      }
      if (hak_remote_free_publish(slab_.get(), word, 1) != HAK_REMOTE_FREE_DONE) doubles_++;
      published_.fetch_add(1, std::memory_order_release);
    }
  }

  // True when no bit was missed.
  bool Owner() {
    const hak_mailbox* mailbox = hak_heap_mailbox(heap_.get(), kClass);
    for (int round = 1; round <= kRounds; round++) {
      round_.store(round, std::memory_order_release);
      uint32_t collected = 0;
      for (int spins = 0; collected < 2; spins++) {
        const bool all_published = published_.load(std::memory_order_acquire) == 2 * round;
        if (hak_remote_free_is_posted(mailbox)) {
          hak_remote_free_drain(heap_.get(), hak_heap_bin(heap_.get(), kClass), kClass);
          collected += TakeBack();
        } else if (all_published) {
          return false;
        }
        if (spins > 200) std::this_thread::yield();
      }
    }
    return doubles_ == 0;
  }

  void GiveUp() { round_.store(kRounds, std::memory_order_release); }

 private:
  static constexpr int kRounds = 2000;

  uint32_t TakeBack() {
    const uint32_t count = hak_slab_free_count(slab_.get());
    slab_.TakeAll();
    return count;
  }

  TestSlab slab_;
  std::unique_ptr<hak_heap> heap_;
  std::atomic<int> round_{0};
  std::atomic<int> published_{0};
  std::atomic<int> doubles_{0};
};

TEST(RemoteFreeThreads, Invariant2NoPublicationIsMissed) {
  Lockstep lockstep;
  std::thread first([&lockstep] { lockstep.Publisher(0); });
  std::thread second([&lockstep] { lockstep.Publisher(3); });
  EXPECT_TRUE(lockstep.Owner());
  lockstep.GiveUp();
  first.join();
  second.join();
}

}  // namespace
