/* CASE: under a filter of system calls.
 *   EPERM, ENOSYS  what an allocator likes but must not need is answered with that error
 *   kill           whatever is not among the few that HAKMEM needs kills the process, and any other advice than its two
 *   kill_mremap    mremap kills too: what docs/torture.md says of blocks above 1,984 KiB
 *   no_exec        memory that is executable, or could become so, kills (systemd's MemoryDenyWriteExecute and more) */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "hakmem/testing/harness/expect.h"
#include "hakmem/testing/harness/malloc_names.h"

enum { BLOCKS = 500 };

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(call, answer) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1), BPF_STMT(BPF_RET | BPF_K, (answer))
#define ALLOW(call) ANSWER(call, SECCOMP_RET_ALLOW)
#define ALLOW_REST BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define KILL_REST BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
/* The lower half of an argument; the upper one of those here is always 0. */
#define ARGUMENT(number) args[number]

static void install(struct sock_filter* code, size_t bytes) {
  const struct sock_fprog program = {.len = (unsigned short)(bytes / sizeof *code), .filter = code};
  EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
}

static void refuse_calls(int error) {
  const unsigned answer = SECCOMP_RET_ERRNO | (unsigned)error;
  struct sock_filter code[] = {
      LOAD(nr),
      ANSWER(SYS_madvise, answer),
      ANSWER(SYS_mremap, answer),
      ANSWER(SYS_membarrier, answer),
      ANSWER(SYS_getcpu, answer),
      ANSWER(SYS_sched_getaffinity, answer),
      ANSWER(SYS_getrandom, answer),
      ANSWER(SYS_openat, answer),
      ANSWER(SYS_prctl, answer),
      ALLOW_REST,
  };
  install(code, sizeof code);
  /* The filter works. */
  errno = 0;
  EXPECT(madvise(NULL, 4096, MADV_DONTNEED) == -1 && errno == error);
  errno = 0;
  EXPECT(mremap(&errno, 4096, 8192, 0) == MAP_FAILED && errno == error);
}

/* Threads cannot be made here, and the thread that there is writes and ends. */
static void kill_all_but_a_few(void) {
  struct sock_filter code[] = {
      LOAD(nr),
      ALLOW(SYS_mmap),
      ALLOW(SYS_munmap),
      ALLOW(SYS_mprotect),
      ALLOW(SYS_mremap),
      ALLOW(SYS_futex),
      ALLOW(SYS_write),
      ALLOW(SYS_exit_group),
#ifdef SYS_poll
      ALLOW(SYS_poll),
#endif
      ALLOW(SYS_ppoll),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 1, 0),
      KILL_REST,
      LOAD(ARGUMENT(2)),
      ALLOW(MADV_DONTNEED),
      ALLOW(MADV_NOHUGEPAGE),
      KILL_REST,
  };
  install(code, sizeof code);
}

static void kill_at_mremap(void) {
  struct sock_filter code[] = {LOAD(nr), ANSWER(SYS_mremap, SECCOMP_RET_KILL_PROCESS), ALLOW_REST};
  install(code, sizeof code);
}

static void kill_at_executable_memory(void) {
  struct sock_filter code[] = {
      LOAD(nr),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 1, 0),
      ALLOW_REST,
      LOAD(ARGUMENT(2)),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
      KILL_REST,
      ALLOW_REST,
  };
  install(code, sizeof code);
}

static void* use_heap(void* unused) {
  (void)unused;
  static const size_t sizes[] = {40, 2000, 40000, 300000};
  for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
    static _Thread_local char* blocks[BLOCKS];
    const int count = sizes[s] > 100000 ? 20 : BLOCKS;
    for (int i = 0; i < count; i++) {
      blocks[i] = calloc(1, sizes[s]);
      EXPECT(blocks[i] != NULL && blocks[i][0] == 0 && blocks[i][sizes[s] - 1] == 0);
      memset(blocks[i], i | 1, sizes[s]);
    }
    for (int i = 0; i < count; i++) {
      EXPECT(blocks[i][sizes[s] / 2] == (char)(i | 1));
      free(blocks[i]);
    }
    malloc_trim(0); /* wants to purge, and may not: what it keeps is dirty, and calloc has to know */
  }
  return NULL;
}

static void grow_and_shrink(void) {
  size_t size = 1000;
  char* block = malloc(size);
  memset(block, 9, size);
  for (; size < 20000000; size *= 2) {
    block = realloc(block, size * 2);
    EXPECT(block != NULL && block[0] == 9 && block[size - 1] == 9);
    memset(block, 9, size * 2);
  }
  errno = 4711;
  for (; size > 1000; size /= 2) {
    block = realloc(block, size / 2);
    EXPECT(block != NULL && block[0] == 9 && block[size / 2 - 1] == 9);
  }
  free(block);
  EXPECT(errno == 4711);
}

static void use_heap_in_threads(void) {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) EXPECT(pthread_create(&threads[i], NULL, use_heap, NULL) == 0);
  for (int i = 0; i < 4; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
}

int main(int argc, char** argv) {
  EXPECT(argc == 2);
  const char* filter = argv[1];
  const bool is_alone = strcmp(filter, "kill") == 0;
  if (is_alone) {
    kill_all_but_a_few();
  } else if (strcmp(filter, "kill_mremap") == 0) {
    kill_at_mremap();
  } else if (strcmp(filter, "no_exec") == 0) {
    kill_at_executable_memory();
  } else {
    refuse_calls(strcmp(filter, "EPERM") == 0 ? EPERM : ENOSYS);
  }
  for (int round = 0; round < 3; round++) use_heap(NULL);
  if (!is_alone) use_heap_in_threads();
  say("small blocks are well");
  grow_and_shrink();
  EXPECT(poll(NULL, 0, 100) == 0); /* with much memory free */
  free(malloc(100));
  say("ok");
  return 0;
}
