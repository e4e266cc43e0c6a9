/* CASE: processes and threads that pthread knows nothing of share memory with this one.
 *   vfork   a child of vfork allocates before it executes another program
 *   waits   clone(CLONE_VM): the child has this thread's thread-local variables, and this thread waits for its end
 *   turns   the same, and the two take turns
 *   raw     raw_threads.h */
#include "hakmem/testing/torture/shared_memory.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "hakmem/testing/harness/expect.h"
#include "hakmem/testing/torture/raw_threads.h"

enum { ROUNDS = 200, DONE = 7 };

typedef struct shared {
  char* from_parent[BLOCKS];
  char* from_child[BLOCKS];
} shared;

static shared blocks;

static void expect_end(pid_t child) {
  int status = -1;
  EXPECT(waitpid(child, &status, __WALL) == child);
  EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == DONE);
}

static void vfork_case(void) {
  for (int round = 0; round < ROUNDS; round++) {
    take(blocks.from_parent, 1);
    const pid_t child = vfork();
    EXPECT(child >= 0);
    if (child == 0) {
      give(blocks.from_parent, 1);
      take(blocks.from_child, 2);
      char* path = strdup("/bin/sh");
      char* command = strdup("exit 7");
      execl(path, path, "-c", command, (char*)NULL);
      _exit(127);
    }
    expect_end(child);
    give(blocks.from_child, 2);
  }
}

static int live_as_child(void* unused) {
  (void)unused;
  give(blocks.from_parent, 1);
  take(blocks.from_child, 2);
  return DONE;
}

static void waits_case(void) {
  char* stack = new_stack();
  for (int round = 0; round < ROUNDS; round++) {
    take(blocks.from_parent, 1);
    const pid_t child = clone(live_as_child, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    EXPECT(child > 0);
    expect_end(child);
    give(blocks.from_child, 2);
  }
}

static atomic_int turn;

static void await_turn(int mine) {
  for (int now = atomic_load(&turn); now != mine; now = atomic_load(&turn)) {
    syscall(SYS_futex, &turn, FUTEX_WAIT, now, NULL, NULL, 0);
  }
}

static void pass_turn(int to) {
  atomic_store(&turn, to);
  syscall(SYS_futex, &turn, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int take_turns(void* unused) {
  (void)unused;
  for (int round = 0; round < ROUNDS; round++) {
    await_turn(1);
    live_as_child(NULL);
    pass_turn(0);
  }
  return DONE;
}

static void turns_case(void) {
  char* stack = new_stack();
  const pid_t child = clone(take_turns, stack + STACK_BYTES, CLONE_VM | SIGCHLD, NULL);
  EXPECT(child > 0);
  for (int round = 0; round < ROUNDS; round++) {
    take(blocks.from_parent, 1);
    pass_turn(1);
    await_turn(0);
    give(blocks.from_child, 2);
  }
  expect_end(child);
}

int main(int argc, char** argv) {
  EXPECT(argc == 2);
  if (strcmp(argv[1], "vfork") == 0) {
    vfork_case();
  } else if (strcmp(argv[1], "waits") == 0) {
    waits_case();
  } else if (strcmp(argv[1], "turns") == 0) {
    turns_case();
  } else {
    EXPECT(strcmp(argv[1], "raw") == 0);
    raw_threads();
  }
  say("ok");
  return 0;
}
