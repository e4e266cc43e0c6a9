// A signal handler may fork while the thread that it interrupted holds a lock of the allocator.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hakmem/os/os_fake.h"
#include <hakmem/hakmem.h>

namespace {

int forks = 0;

// Stands for a signal handler that interrupts the allocator before one of its system calls.
void ForkInside(hak_os_fake_call, void*, size_t) {
  const pid_t child = fork();
  if (child == 0) _exit(7);
  int status = 0;
  if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7) forks++;
}

// Descriptors are mapped under a lock: a handler that waited for it would wait for its own thread.
TEST(ForkInside, NeverWaitsForItsOwnThread) {
  alarm(getenv("HAKMEM_TEST_EMULATOR") == nullptr ? 20 : 200); /* the defect was a hang */
  hak_os_fake_set_observer(ForkInside);
  void* blocks[64];
  for (void*& block : blocks) block = hak_malloc(1900 * 1024);
  hak_os_fake_set_observer(nullptr);
  for (void* block : blocks) hak_free(block);
  EXPECT_GE(forks, 64);
  const pid_t child = fork(); /* and an ordinary one still works */
  if (child == 0) {
    hak_free(hak_malloc(5u << 20));
    _exit(7);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  alarm(0);
}

}  // namespace
