// hak_trim gives back everything that no block needs, whoever used it.
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

namespace {

constexpr int kThreads = 23;
constexpr int kRounds = 8;
constexpr size_t kBytes = 50000;  // a slab of its own

bool IsResident(void* block) {
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  void* base = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(block) & ~(page - 1));
  unsigned char state = 0;
  return mincore(base, page, &state) == 0 && (state & 1) != 0;  // fails where nothing is mapped
}

// All threads live at once, so that each has a heap of its own, and leave `count` blocks each.
void LeaveBlocks(size_t count, std::vector<void*>* blocks) {
  blocks->assign(kThreads * count, nullptr);
  pthread_barrier_t all_here;
  ASSERT_EQ(pthread_barrier_init(&all_here, nullptr, kThreads), 0);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; i++) {
    threads.emplace_back([&, i] {
      for (size_t j = 0; j < count; j++) {
        void* block = hak_malloc(kBytes);
        memset(block, 1, kBytes);
        (*blocks)[j * kThreads + i] = block;
      }
      pthread_barrier_wait(&all_here);
    });
  }
  for (std::thread& thread : threads) thread.join();
  pthread_barrier_destroy(&all_here);
}

// Frees of a dead thread's blocks wait in its heap; in between, a free now and then drains a few of those heaps in
// rotation. Wherever the rotation stands, a trim reaches all of them.
TEST(Trim, ReachesTheHeapsOfAllDeadThreads) {
  std::vector<void*> blocks;
  for (size_t round = 1; round <= kRounds; round++) {
    LeaveBlocks(round, &blocks);
    for (void* block : blocks) {
      ASSERT_TRUE(IsResident(block));
      hak_free(block);
    }
    hak_trim();
    size_t resident = 0;
    for (void* block : blocks) resident += IsResident(block);
    EXPECT_EQ(resident, 0u) << "of " << blocks.size() << " in round " << round;
  }
}

// A key destructor that runs after the allocator's own: the key is younger. Its block is the common heap's.
void AllocateAfterExit(void* slot) {
  void* block = hak_malloc(kBytes);
  memset(block, 1, kBytes);
  *static_cast<void**>(slot) = block;
}

TEST(Trim, ReachesWhatThreadsLeftAfterTheirExit) {
  hak_free(hak_malloc(1));
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, AllocateAfterExit), 0);
  std::vector<void*> blocks(kThreads);
  for (void*& slot : blocks) {
    std::thread([&slot, key] {
      hak_free(hak_malloc(1));
      ASSERT_EQ(pthread_setspecific(key, &slot), 0);
    }).join();
  }
  for (void* block : blocks) {
    ASSERT_TRUE(IsResident(block));
    hak_free(block);
  }
  hak_trim();
  size_t resident = 0;
  for (void* block : blocks) resident += IsResident(block);
  EXPECT_EQ(resident, 0u);
  pthread_key_delete(key);
}

}  // namespace
