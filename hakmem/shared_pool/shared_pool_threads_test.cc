// Claims, releases, purges and adoption by several threads at once.
#include <errno.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/shared_pool/test_pool.h"

#include "gtest/gtest.h"

namespace {

using SharedPoolThreads = PoolFixture;

std::atomic<int> broken;

// Each unit says in its first word who holds it.
uint64_t* TagOf(const hak_slab* slab, uint32_t unit) {
  char* at = slab->base + unit * kUnit;
  hak_unpoison(at, 2 * sizeof(uint64_t));
  return reinterpret_cast<uint64_t*>(at);
}

class Holder {
 public:
  explicit Holder(uint64_t id) : id_(id), random_(static_cast<uint32_t>(id)) { heap_ = hak_heap_acquire(kHeapLimit); }
  ~Holder() { hak_heap_park(heap_); }

  void Live(int steps) {
    for (int i = 0; i < steps && broken == 0; i++) {
      const uint32_t act = random_() % 8;
      if (act < 4 && held_.size() < 24) {
        act < 2 ? TakeSpan() : TakeSlab();
      } else if (act < 7) {
        Give();
      } else {
        Resize();
      }
    }
    while (!held_.empty()) Give();
  }

 private:
  void TakeSpan() {
    bool zeroed = false;
    hak_slab* span = hak_shared_pool_acquire_span(1 + random_() % 10, &zeroed);
    if (span != nullptr) Hold(span, zeroed);
  }

  void TakeSlab() {
    hak_slab* slab = hak_shared_pool_acquire(heap_, random_() % HAK_SIZE_CLASS_COUNT);
    if (slab == nullptr) return;
    if (!hak_slab_is_empty(slab)) broken++; /* nobody parks one here */
    Hold(slab, slab->fresh_word == 0);
  }

  void Hold(hak_slab* slab, bool zeroed) {
    Tag(slab, 0, zeroed);
    held_.push_back(slab);
  }

  void Tag(hak_slab* slab, uint32_t from, bool zeroed) {
    const uint64_t word = slab->size_class == HAK_SLAB_SPAN ? uint64_t{HAK_REGISTRY_SPAN} : uint64_t(slab->bin);
    for (uint32_t unit = from; unit < slab->units; unit++) {
      uint64_t* tag = TagOf(slab, unit);
      if (zeroed && (tag[0] != 0 || tag[1] != 0)) broken++; /* invariant 3 */
      if (hak_registry_word(tag) != word || hak_registry_owner(tag) != slab) broken++;
      tag[0] = id_;
      tag[1] = reinterpret_cast<uint64_t>(slab);
    }
  }

  void Check(const hak_slab* slab) {
    for (uint32_t unit = 0; unit < slab->units; unit++) {
      const uint64_t* tag = TagOf(slab, unit);
      if (tag[0] != id_ || tag[1] != reinterpret_cast<uint64_t>(slab)) broken++; /* invariant 1 */
    }
  }

  void Give() {
    if (held_.empty()) return;
    std::swap(held_[random_() % held_.size()], held_.back());
    hak_slab* slab = held_.back();
    held_.pop_back();
    Check(slab);
    slab->size_class == HAK_SLAB_SPAN ? hak_shared_pool_release_span(slab) : hak_shared_pool_release(heap_, slab);
  }

  void Resize() {
    if (held_.empty()) return;
    hak_slab* span = held_[random_() % held_.size()];
    if (span->size_class != HAK_SLAB_SPAN) return;
    Check(span);
    const uint32_t old_units = span->units;
    const uint32_t wanted = 1 + random_() % 12;
    const bool done = hak_shared_pool_resize_span(span, wanted);
    if (span->units != (done ? wanted : old_units)) broken++;
    if (span->units > old_units) Tag(span, old_units, false);
  }

  uint64_t id_;
  std::mt19937 random_;
  hak_heap* heap_;
  std::vector<hak_slab*> held_;
};

void Purger(const std::atomic<bool>* stop) {
  for (uint64_t now = kStartMs; !*stop; now += 7) {
    hak_shared_pool_set_clock(now);
    hak_shared_pool_purge(now, now % 3 == 0 ? 0 : 5);
    hak_shared_pool_read_figures();
    std::this_thread::yield();
  }
}

void Hammer(int holders, int steps) {
  broken = 0;
  std::atomic<bool> stop{false};
  std::thread purger(Purger, &stop);
  std::vector<std::thread> threads;
  for (int i = 0; i < holders; i++) {
    threads.emplace_back([i, steps] { Holder(static_cast<uint64_t>(i) + 1).Live(steps); });
  }
  for (std::thread& thread : threads) thread.join();
  stop = true;
  purger.join();
  EXPECT_EQ(broken.load(), 0);
}

TEST_F(SharedPoolThreads, UnitsHaveOneHolderEach) { Hammer(3, 3000); }

// SuperSlabs come and go all the time.
TEST_F(SharedPoolThreads, WithoutACacheOfEmptySuperSlabs) {
  LoadConfig("HAKMEM_SUPERSLAB_CACHE=0");
  Hammer(3, 1500);
}

TEST_F(SharedPoolThreads, WhileTheKernelRefuses) {
  hak_os_fake_fail_every(HAK_OS_FAKE_MADVISE, 3, EPERM);
  hak_os_fake_fail_every(HAK_OS_FAKE_MMAP, 2, ENOMEM);
  Hammer(3, 1500);
}

// Threads exit with a partial slab and others adopt it, while its blocks come back from elsewhere.
TEST_F(SharedPoolThreads, SlabsOfExitingThreadsAreAdoptedByOne) {
  constexpr int kRounds = 600;
  const uint32_t size_class = hak_size_class_of(1024);
  broken = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; t++) {
    threads.emplace_back([size_class] {
      for (int i = 0; i < kRounds; i++) {
        hak_heap* heap = hak_heap_acquire(kHeapLimit);
        hak_bin* bin = hak_heap_bin(heap, size_class);
        bin->size_class = static_cast<uint8_t>(size_class);
        hak_slab* slab = hak_shared_pool_acquire(heap, size_class);
        bin->stride = slab->block_bytes;
        if (slab->bin != bin || slab->listed) broken++;
        /* Half of what it has stays out and is freed as if by another thread, after the exit. */
        const hak_slab_run run = hak_slab_take_run(slab);
        const uint64_t half = run.mask & 0x5555555555555555;
        hak_slab_give_word(slab, 0, run.mask & ~half);
        if (hak_slab_free_count(slab) != 0) hak_slab_list_push(&bin->partial, slab);
        hak_heap_park(heap);
        if (half != 0 && hak_remote_free_publish(slab, 0, half) == HAK_REMOTE_FREE_DOUBLE) broken++;
        hak_shared_pool_drain_parked(2);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(broken.load(), 0);
  /* Every block is back: what was posted is drained, and what no drain looks at is adopted and released. */
  hak_shared_pool_drain_parked(UINT32_MAX);
  hak_shared_pool_drain_parked(UINT32_MAX);
  const uint64_t left = Figures().live_slabs;
  for (uint64_t i = 0; i < left; i++) {
    hak_slab* slab = Acquire(size_class);
    EXPECT_TRUE(hak_slab_is_empty(slab));
    Release(slab);
  }
  EXPECT_EQ(Figures().live_slabs, 0u);
}

}  // namespace
