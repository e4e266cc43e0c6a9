// Fork handlers that were registered before HAKMEM's run while the forking thread holds every lock of the allocator:
// after ours in prepare, before ours in parent and child. They may allocate all the same.
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include <hakmem/hakmem.h>

namespace {

bool armed = false;
int prepared = 0;
int in_parent = 0;
int in_child = 0;

// Slabs of many classes, spans, a whale, so that every lock is wanted.
void Allocate() {
  constexpr int kBlocks = 400;
  static void* blocks[kBlocks];
  for (int i = 0; i < kBlocks; i++) {
    const size_t size = i % 50 == 49 ? 3u << 20 : static_cast<size_t>(i) * 1500 + 1;
    blocks[i] = hak_malloc(size);
    if (blocks[i] == nullptr) _exit(9);
    memset(blocks[i], i, 1);
  }
  for (int i = 0; i < kBlocks; i++) hak_free(blocks[i]);
  hak_trim();
}

void Prepare() {
  if (!armed) return;
  Allocate();
  prepared++;
}

void InParent() {
  if (!armed) return;
  Allocate();
  in_parent++;
}

void InChild() {
  if (!armed) return;
  Allocate();
  in_child++;
}

// Before any constructor of the library's.
__attribute__((constructor(101))) void RegisterEarly() { pthread_atfork(Prepare, InParent, InChild); }

TEST(ForkOrder, EarlyHandlersMayAllocate) {
  alarm(20); /* the defect was a hang */
  armed = true;
  const pid_t child = fork();
  if (child == 0) {
    alarm(30);
    Allocate(); /* the locks are free again */
    _exit(in_child == 1 ? 7 : 8);
  }
  ASSERT_GT(child, 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  armed = false;
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(prepared, 1);
  EXPECT_EQ(in_parent, 1);
  Allocate();
  alarm(0);
}

}  // namespace
