#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "hakmem/testing/harness/expect.h"
#include "hakmem/testing/torture/raw_threads.h"
#include "hakmem/testing/torture/shared_memory.h"

/* The dynamic linker's, which pthread_create uses too. */
void* _dl_allocate_tls(void* memory); /* NOLINT(bugprone-reserved-identifier) */

enum { RAW_THREADS = 8, TCB_SELF_WORD = 2, HANDOVER = 100 };

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

void raw_threads(void) {
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
