/* CASE: processes and threads that pthread knows nothing of share memory with this one.
 *   vfork   a child of vfork allocates before it executes another program
 *   waits   clone(CLONE_VM): the child has this thread's thread-local variables, and this thread waits for its end
 *   turns   the same, and the two take turns
 *   raw     threads made by clone, with thread-local variables of their own, all at the same time */
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "hakmem/testing/harness/expect.h"

enum { STACK_BYTES = 256 * 1024, BLOCKS = 300, ROUNDS = 200, RAW_THREADS = 8, DONE = 7 };

typedef struct shared {
  char* from_parent[BLOCKS];
  char* from_child[BLOCKS];
} shared;

static shared blocks;

static size_t size_of(int i) { return i == BLOCKS - 1 ? 3000000 : i == BLOCKS - 2 ? 300000 : 1 + (size_t)i * 31; }

static void take(char** slots, char mark) {
  for (int i = 0; i < BLOCKS; i++) {
    slots[i] = malloc(size_of(i));
    EXPECT(slots[i] != NULL);
    memset(slots[i], mark, size_of(i));
  }
}

static void give(char** slots, char mark) {
  for (int i = 0; i < BLOCKS; i++) {
    EXPECT(slots[i][0] == mark && slots[i][size_of(i) - 1] == mark);
    free(slots[i]);
  }
}

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

static char* new_stack(void) {
  char* stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(stack != MAP_FAILED);
  return stack;
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

#if defined(__x86_64__) && defined(__GLIBC__)

/* The dynamic linker's, which pthread_create uses too. */
void* _dl_allocate_tls(void* memory); /* NOLINT(bugprone-reserved-identifier) */

enum { TCB_SELF_WORD = 2, HANDOVER = 100 };

static char* handed_over[RAW_THREADS][HANDOVER];
static atomic_int alive;

static int live_as_raw_thread(void* arg) {
  const uintptr_t me = (uintptr_t)arg;
  static __thread char* mine[BLOCKS];
  for (int round = 0; round < 20; round++) {
    take(mine, (char)me);
    give(mine, (char)me);
  }
  for (int i = 0; i < HANDOVER; i++) {
    handed_over[me][i] = malloc(size_of(i));
    EXPECT(handed_over[me][i] != NULL);
    memset(handed_over[me][i], (int)me, size_of(i));
  }
  atomic_fetch_sub(&alive, 1);
  syscall(SYS_exit, 0); /* no destructor runs */
  return 0;
}

static void raw_case(void) {
  const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS;
  for (int round = 0; round < 3; round++) {
    atomic_store(&alive, RAW_THREADS);
    for (uintptr_t i = 0; i < RAW_THREADS; i++) {
      void** control = _dl_allocate_tls(NULL);
      EXPECT(control != NULL);
      control[0] = control[TCB_SELF_WORD] = control;
      void* arg = (void*)i; /* NOLINT(performance-no-int-to-ptr) */
      EXPECT(clone(live_as_raw_thread, new_stack() + STACK_BYTES, flags, arg, NULL, control) > 0);
    }
    static char* mine[BLOCKS];
    while (atomic_load(&alive) != 0) {
      take(mine, 99);
      give(mine, 99);
    }
    for (int t = 0; t < RAW_THREADS; t++) {
      for (int i = 0; i < HANDOVER; i++) {
        EXPECT(handed_over[t][i][0] == (char)t && handed_over[t][i][size_of(i) - 1] == (char)t);
        free(handed_over[t][i]);
      }
    }
  }
}

#else

static void raw_case(void) { say("skipped: written for glibc on x86-64"); }

#endif

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
    raw_case();
  }
  say("ok");
  return 0;
}
