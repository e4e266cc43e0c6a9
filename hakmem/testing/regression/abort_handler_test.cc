// A handler of SIGABRT may allocate, whatever the allocator was doing when it found the misuse: crash reporters do.
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include <hakmem/hakmem.h>

namespace {

enum { kSeconds = 20, kHandled = 7, kNotReported = 8 };

constexpr size_t kBytes = 500;

void FreeAndFreeAgain(void* block) {
  hak_free(block);
  hak_trim();
  hak_free(block);
  hak_trim();
}

// The handler's thread, and one that has to get a heap first.
void AllocateAndEnd(int) {
  hak_free(hak_malloc(100));
  hak_free(hak_malloc(3000000));
  /* ThreadSanitizer lets no signal handler start a thread. */
  if (!HAK_CONFIG_SANITIZE_THREAD) std::thread([] { hak_free(hak_malloc(5000)); }).join();
  _exit(kHandled);
}

// What a child of this process does before it ends: it has the handler, and no threads but its own.
void ExpectHandled(void (*commit)()) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(kSeconds); /* the defect was a hang */
    signal(SIGABRT, AllocateAndEnd);
    commit();
    _exit(kNotReported);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), kHandled);
}

// Two of a thread that is gone: the slab stays, so that the second free of one finds its bit.
void* OrphanWithANeighbour() {
  hak_free(hak_malloc(1)); /* this thread has a heap, and does not take that one */
  void* blocks[2];
  std::thread([&] {
    for (void*& block : blocks) block = hak_malloc(kBytes);
  }).join();
  return blocks[0];
}

// The second free is noticed when the parked heap is drained, under its lock.
TEST(AbortHandler, AllocatesWhenAParkedHeapWasDrained) {
  ExpectHandled([] { FreeAndFreeAgain(OrphanWithANeighbour()); });
}

void* late_block;

void FreeLate(void*) { FreeAndFreeAgain(late_block); }

// A thread past its exit works under the lock of the common heap.
TEST(AbortHandler, AllocatesInAThreadPastItsExit) {
  ExpectHandled([] {
    hak_free(hak_malloc(1)); /* HAKMEM's key comes first, so that the destructor below runs behind its own */
    late_block = hak_malloc(kBytes);
    pthread_key_t key;
    pthread_key_create(&key, FreeLate);
    std::thread([key] {
      hak_free(hak_malloc(1));
      pthread_setspecific(key, &late_block);
    }).join();
  });
}

}  // namespace
