#include "hakmem/lifecycle/lifecycle.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "hakmem/lifecycle/test_lifecycle.h"
#include "hakmem/metadata/metadata.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/registry/registry.h"
#include "hakmem/report/report.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/unified_cache/unified_cache.h"

#include "gtest/gtest.h"

namespace {

uint32_t StateOf(const hak_heap* heap) { return hak_u32_load_relaxed(&heap->state); }
uint32_t DepthOf(const hak_heap* heap) { return hak_u32_load_relaxed(&heap->in_slow_path); }

// A thread's heap, as long as the thread lives.
hak_heap* EnterAndLeave() {
  hak_heap* heap = hak_lifecycle_enter();
  hak_lifecycle_leave(heap);
  return heap;
}

TEST(Lifecycle, AThreadHasOneHeapFromItsFirstSlowPathOn) {
  std::thread([] {
    EXPECT_EQ(hak_heap_current, &hak_heap_empty);
    hak_heap* heap = hak_lifecycle_enter();
    EXPECT_NE(heap, &hak_heap_empty);
    EXPECT_EQ(heap, hak_heap_current);
    EXPECT_EQ(StateOf(heap), static_cast<uint32_t>(HAK_HEAP_ACTIVE));
    EXPECT_EQ(DepthOf(heap), 1u);
    EXPECT_EQ(hak_lifecycle_enter(), heap); /* within itself, as from a fork handler */
    EXPECT_EQ(DepthOf(heap), 2u);
    hak_lifecycle_leave(heap);
    EXPECT_EQ(DepthOf(heap), 1u);
    hak_lifecycle_leave(heap);
    EXPECT_EQ(DepthOf(heap), 0u);
    EXPECT_EQ(EnterAndLeave(), heap);
  }).join();
}

TEST(Lifecycle, ThreadsDoNotShareHeaps) {
  hak_heap* mine = EnterAndLeave();
  std::thread([mine] { EXPECT_NE(EnterAndLeave(), mine); }).join();
  EXPECT_EQ(EnterAndLeave(), mine);
}

TEST(Lifecycle, TheFirstSlowPathKeepsErrno) {
  std::thread([] {
    errno = 1234;
    EnterAndLeave();
    EXPECT_EQ(errno, 1234);
  }).join();
}

// --- thread exit ---

TEST(LifecycleExit, TheHeapIsParkedFlushedAndTakenByTheNextThread) {
  EnterAndLeave(); /* this thread's own heap is not the one */
  hak_heap* heap = nullptr;
  const uint32_t parked = hak_heap_parked_count();
  std::thread([&] {
    heap = EnterAndLeave();
    std::vector<void*> blocks;
    for (int i = 0; i < 100; i++) blocks.push_back(Alloc(64));
    for (void* block : blocks) Free(block);
  }).join();
  EXPECT_EQ(hak_heap_parked_count(), parked == 0 ? 1u : parked);
  EXPECT_EQ(StateOf(heap), static_cast<uint32_t>(HAK_HEAP_PARKED));
  EXPECT_EQ(DepthOf(heap), 0u);
  const hak_bin* bin = hak_heap_bin(heap, hak_size_class_of(64));
  EXPECT_EQ(bin->top, bin->end);
  EXPECT_EQ(bin->run_mask, 0u);
  EXPECT_EQ(bin->current, nullptr);
  EXPECT_EQ(bin->partial, nullptr);
  std::thread([heap] {
    EXPECT_EQ(EnterAndLeave(), heap);
    EXPECT_EQ(StateOf(heap), static_cast<uint32_t>(HAK_HEAP_ACTIVE));
  }).join();
}

TEST(LifecycleExit, LiveBlocksOutliveTheirThread) {
  std::vector<char*> blocks;
  std::thread([&blocks] {
    for (int i = 0; i < 100; i++) blocks.push_back(static_cast<char*>(Alloc(64)));
  }).join();
  // A thread that takes the heap over owns them.
  std::thread([&blocks] {
    for (char* block : blocks) Free(block);
  }).join();
  EXPECT_EQ(hak_shared_pool_read_figures().live_bytes, 0u);
}

TEST(LifecycleExit, ManyThreadsInTurnShareOneHeap) {
  EnterAndLeave();
  std::thread([] { EnterAndLeave(); }).join();
  const uint64_t heaps = hak_report_read_figures().heaps;
  for (int i = 0; i < 200; i++) std::thread([] { Free(Alloc(64)); }).join();
  EXPECT_EQ(hak_report_read_figures().heaps, heaps);
}

// What a destructor of thread-specific data saw, after the heap was parked. Its key is younger than the library's.
struct AfterExit {
  pthread_key_t key;
  int rounds_left;
  hak_heap* own;
  std::vector<hak_heap*> entered;
  std::vector<hak_heap*> current;
  std::vector<uint32_t> states;
  std::vector<uint64_t> cached;
  bool blocks_are_sound;
};

void RunAfterExit(void* arg) {
  AfterExit* seen = static_cast<AfterExit*>(arg);
  seen->current.push_back(hak_heap_current);
  hak_heap* heap = hak_lifecycle_enter();
  seen->entered.push_back(heap);
  seen->states.push_back(StateOf(heap));
  hak_lifecycle_leave(heap);
  for (const size_t bytes : {16, 64, 4096, 65536}) {
    char* first = static_cast<char*>(Alloc(bytes));
    char* second = static_cast<char*>(Alloc(bytes));
    seen->blocks_are_sound = seen->blocks_are_sound && first != nullptr && second != nullptr && first != second;
    const hak_bin* bin = reinterpret_cast<hak_bin*>(hak_registry_word(first));
    Free(first);
    Free(second);
    hak_heap* again = hak_lifecycle_enter(); /* for its lock */
    seen->cached.push_back(hak_bin_held(bin));
    hak_lifecycle_leave(again);
  }
  if (seen->rounds_left-- > 0) pthread_setspecific(seen->key, seen);
}

TEST(LifecycleExit, LaterDestructorsUseTheCommonHeap) {
  AfterExit seen = {};
  seen.rounds_left = 2;
  seen.blocks_are_sound = true;
  ASSERT_EQ(pthread_key_create(&seen.key, RunAfterExit), 0);
  std::thread([&seen] {
    seen.own = EnterAndLeave();
    pthread_setspecific(seen.key, &seen);
  }).join();
  pthread_key_delete(seen.key);
  ASSERT_EQ(seen.entered.size(), 3u); /* round after round */
  for (size_t i = 0; i < seen.entered.size(); i++) {
    EXPECT_NE(seen.entered[i], seen.own);
    EXPECT_EQ(seen.entered[i], seen.entered[0]);
    EXPECT_EQ(seen.states[i], static_cast<uint32_t>(HAK_HEAP_COMMON));
    EXPECT_EQ(seen.current[i], &hak_heap_empty);
  }
  for (const uint64_t count : seen.cached) EXPECT_EQ(count, 0u); /* nothing stays behind in the common heap */
  EXPECT_TRUE(seen.blocks_are_sound);
  EXPECT_EQ(StateOf(seen.own), static_cast<uint32_t>(HAK_HEAP_PARKED));
  EXPECT_EQ(DepthOf(seen.entered[0]), 0u);
  EXPECT_EQ(hak_shared_pool_read_figures().live_bytes, 0u);
}

TEST(LifecycleExit, TheCommonHeapServesManyThreadsAtOnce) {
  AfterExit seen[4] = {};
  std::vector<std::thread> threads;
  for (AfterExit& each : seen) {
    each.rounds_left = 2; /* in the fourth and last round ThreadSanitizer is gone already */
    each.blocks_are_sound = true;
    ASSERT_EQ(pthread_key_create(&each.key, RunAfterExit), 0);
    threads.emplace_back([&each] {
      each.own = EnterAndLeave();
      pthread_setspecific(each.key, &each);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (AfterExit& each : seen) {
    pthread_key_delete(each.key);
    EXPECT_TRUE(each.blocks_are_sound);
    EXPECT_EQ(each.entered.size(), 3u);
  }
  EXPECT_EQ(hak_shared_pool_read_figures().live_bytes, 0u);
}

// --- no memory ---

TEST(Lifecycle, WithoutMemoryForAHeapTheCommonHeapServes) {
  std::thread holder([] {
    // Takes over what is parked, so that the next thread needs a new heap.
    std::vector<hak_heap*> taken;
    while (hak_heap_parked_count() != 0) taken.push_back(hak_heap_acquire(0));
    std::thread([] {
      hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
      while (hak_metadata_alloc(4096, 16) != nullptr) {
      }
      errno = 1234;
      hak_heap* heap = hak_lifecycle_enter();
      EXPECT_EQ(StateOf(heap), static_cast<uint32_t>(HAK_HEAP_COMMON));
      EXPECT_EQ(hak_heap_current, &hak_heap_empty);
      hak_lifecycle_leave(heap);
      EXPECT_EQ(errno, 1234);
      hak_os_fake_reset();
      EXPECT_EQ(StateOf(EnterAndLeave()), static_cast<uint32_t>(HAK_HEAP_ACTIVE)); /* not for good */
    }).join();
    for (hak_heap* heap : taken) hak_heap_park(heap);
  });
  holder.join();
}

// --- process ---

// This program, started anew with `environment` in front; what it prints to stderr.
std::string StderrOf(const std::string& environment) {
  char program[4096] = "";
  EXPECT_GT(readlink("/proc/self/exe", program, sizeof program - 1), 0);
  // Where the test is for another processor, what runs it runs the new one too.
  const char* emulator = getenv("HAKMEM_TEST_EMULATOR");
  const std::string command = environment + " " + (emulator == nullptr ? "" : emulator) + " '" + program +
                              "' --gtest_list_tests 2>&1 >/dev/null";
  FILE* pipe = popen(command.c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  std::string text;
  char piece[512];
  while (fgets(piece, sizeof piece, pipe) != nullptr) text += piece;
  EXPECT_EQ(pclose(pipe), 0);
  return text;
}

TEST(LifecycleProcess, IsSilentUnlessAsked) { EXPECT_EQ(StderrOf(""), ""); }

TEST(LifecycleProcess, ReadsTheEnvironmentAtStart) {
  const std::string text = StderrOf("HAKMEM_VERBOSE=1 HAKMEM_DECAY_MS=77");
  EXPECT_EQ(text.find("hakmem "), 0u) << text;
  EXPECT_NE(text.find(" active:"), std::string::npos) << text;
  EXPECT_NE(text.find(" DECAY_MS=77 "), std::string::npos) << text;
  EXPECT_EQ(text.find("mapped for blocks"), std::string::npos) << text;
}

TEST(LifecycleProcess, PrintsTheSummaryAtTheEndWhenAsked) {
  const std::string text = StderrOf("HAKMEM_STATS_AT_EXIT=1");
  EXPECT_NE(text.find("  mapped for blocks  "), std::string::npos) << text;
  EXPECT_NE(text.find("  misuse reported: 0\n"), std::string::npos) << text;
  EXPECT_EQ(text.find(" active:"), std::string::npos) << text;
}

}  // namespace
