/* What a child of fork finds. The children report by their exit status, as gtest's failures would be lost with them. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "hakmem/lifecycle/lifecycle.h"
#include "hakmem/lifecycle/test_lifecycle.h"
#include "hakmem/metadata/metadata.h"
#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/unified_cache/unified_cache.h"
#include "hakmem/whale_cache/whale_cache.h"

#include "gtest/gtest.h"

namespace {

enum { kHangSeconds = 20 };

// Forks, runs `check` in the child and returns its result; a child that hangs is killed. 0: as it should be.
template <typename Check>
int InChild(Check check) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(kHangSeconds);
    _exit(check());
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// True when nobody holds the lock.
bool IsFree(hak_lock* lock) {
  if (!hak_lock_try_take(lock)) return false;
  hak_lock_give(lock);
  return true;
}

bool AllLocksAreFree() {
  return IsFree(hak_heap_parked_lock()) && IsFree(hak_shared_pool_lock()) && IsFree(hak_whale_cache_lock()) &&
         IsFree(hak_metadata_lock());
}

// 0 when every class serves two different blocks.
int AllocatesInEveryClass() {
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    void* first = Alloc(hak_size_class_table[c].block_bytes);
    void* second = Alloc(hak_size_class_table[c].block_bytes);
    if (first == nullptr || second == nullptr || first == second) return 50;
    Free(first);
    Free(second);
  }
  return 0;
}

// A thread that does `work` and then stands still until it is let go.
class Bystander {
 public:
  template <typename Work>
  explicit Bystander(Work work)
      : thread_([this, work] {
          work();
          is_there_ = true;
          while (!may_go_) std::this_thread::yield();
        }) {
    while (!is_there_) std::this_thread::yield();
  }
  ~Bystander() {
    may_go_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> is_there_{false};
  std::atomic<bool> may_go_{false};
  std::thread thread_;
};

TEST(LifecycleFork, BothSidesHaveTheLocksAndAllocate) {
  Free(Alloc(64));
  EXPECT_EQ(InChild([] { return AllLocksAreFree() ? AllocatesInEveryClass() : 1; }), 0);
  EXPECT_TRUE(AllLocksAreFree());
  EXPECT_EQ(AllocatesInEveryClass(), 0);
}

TEST(LifecycleFork, TheForkingThreadKeepsItsHeapAndItsCaches) {
  void* block = Alloc(64);
  Free(block);
  hak_heap* heap = hak_heap_current;
  EXPECT_EQ(InChild([&] {
              if (hak_heap_current != heap || hak_u32_load_relaxed(&heap->state) != HAK_HEAP_ACTIVE) return 1;
              return Alloc(64) == block ? 0 : 2;
            }),
            0);
}

TEST(LifecycleFork, TheVanishedThreadsHeapsAreParkedInTheChild) {
  Free(Alloc(64));
  hak_heap* theirs = nullptr;
  Bystander bystander([&] {
    Free(Alloc(64));
    theirs = hak_heap_current;
  });
  EXPECT_EQ(InChild([&] {
              if (hak_u32_load_relaxed(&theirs->state) != HAK_HEAP_PARKED) return 1;
              if (hak_heap_acquire(0) != theirs) return 2; /* the next thread gets it */
              return hak_u32_load_relaxed(&theirs->state) == HAK_HEAP_ACTIVE ? 0 : 3;
            }),
            0);
  EXPECT_EQ(hak_u32_load_relaxed(&theirs->state), static_cast<uint32_t>(HAK_HEAP_ACTIVE));
}

TEST(LifecycleFork, AHeapThatWasInASlowPathIsLostInTheChild) {
  Free(Alloc(64));
  hak_heap* theirs = nullptr;
  std::atomic<bool> is_inside{false};
  std::atomic<bool> may_leave{false};
  std::thread thread([&] {
    theirs = hak_lifecycle_enter();
    is_inside = true;
    while (!may_leave) std::this_thread::yield();
    hak_lifecycle_leave(theirs);
  });
  while (!is_inside) std::this_thread::yield();
  EXPECT_EQ(InChild([&] {
              if (hak_u32_load_relaxed(&theirs->state) != HAK_HEAP_LOST) return 1;
              for (int i = 0; i < 50; i++) {
                if (hak_heap_acquire(0) == theirs) return 2;
              }
              return AllocatesInEveryClass();
            }),
            0);
  may_leave = true;
  thread.join();
}

// The heap of a vanished thread still caches blocks. Slabs of it may be adopted one by one, and later the heap whole:
// no block may then be handed out twice, nor go back to a slab that it does not own.
TEST(LifecycleFork, CachedBlocksOfAVanishedThreadComeBackOnce) {
  const size_t bytes = 1024;
  std::vector<void*> theirs;
  hak_heap* vanished = nullptr;
  Bystander bystander([&] {
    vanished = hak_lifecycle_enter();
    for (int i = 0; i < 150; i++) theirs.push_back(hak_unified_cache_refill(vanished, hak_size_class_of(bytes)));
    hak_lifecycle_leave(vanished);
    for (int i = 0; i < 100; i++) Free(theirs[i]);
    theirs.erase(theirs.begin(), theirs.begin() + 100);
  });
  EXPECT_EQ(InChild([&] {
              const hak_bin* bin = hak_heap_bin(vanished, hak_size_class_of(bytes));
              if (bin->top == bin->end || bin->partial == nullptr) return 1; /* not the case to test */
              std::set<void*> live(theirs.begin(), theirs.end());
              for (int i = 0; i < 200; i++) { /* adopts the vanished heap's slabs */
                if (!live.insert(Alloc(bytes)).second) return 2;
              }
              hak_heap* whole = hak_heap_acquire(0);
              if (whole != vanished) return 3;
              hak_heap_enter(whole);
              hak_unified_cache_flush(whole);
              for (int i = 0; i < 300; i++) {
                if (!live.insert(hak_unified_cache_refill(whole, hak_size_class_of(bytes))).second) return 4;
              }
              hak_heap_leave(whole);
              for (int i = 0; i < 300; i++) {
                if (!live.insert(Alloc(bytes)).second) return 5;
              }
              return 0;
            }),
            0);
}

TEST(LifecycleFork, ChildrenOfABusyProcessAllocate) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; t++) {
    threads.emplace_back([&stop, t] {
      std::vector<void*> blocks;
      for (size_t i = static_cast<size_t>(t); !stop; i++) {
        blocks.push_back(Alloc(i * 37 % 5000));
        if (blocks.size() == 200) {
          for (void* block : blocks) Free(block);
          blocks.clear();
        }
      }
      for (void* block : blocks) Free(block);
    });
  }
  for (int i = 0; i < 60; i++) {
    ASSERT_EQ(InChild([] { return AllLocksAreFree() ? AllocatesInEveryClass() : 1; }), 0) << i;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

TEST(LifecycleFork, AChildForksAgain) {
  EXPECT_EQ(InChild([] {
              Free(Alloc(64));
              const pid_t grandchild = fork();
              if (grandchild == 0) {
                alarm(kHangSeconds);
                _exit(AllocatesInEveryClass());
              }
              int status = -1;
              waitpid(grandchild, &status, 0);
              return status == 0 ? AllocatesInEveryClass() : 1;
            }),
            0);
}

}  // namespace
