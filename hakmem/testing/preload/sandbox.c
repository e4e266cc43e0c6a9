/* Under a filter that answers EPERM to system calls an allocator likes but must not need. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "hakmem/testing/harness/expect.h"

/* Not in every libc; HAKMEM has it everywhere. */
__attribute__((weak)) int malloc_trim(size_t pad);

enum { BLOCKS = 500 };

#define REFUSE(call) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

static void refuse_calls(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      REFUSE(SYS_madvise),
      REFUSE(SYS_mremap),
      REFUSE(SYS_membarrier),
      REFUSE(SYS_getcpu),
      REFUSE(SYS_sched_getaffinity),
      REFUSE(SYS_getrandom),
      REFUSE(SYS_openat),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
  EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
}

/* `refused`: which calls the process finds refused, to know that the filter works. */
static void expect_refused(void) {
  errno = 0;
  EXPECT(madvise(NULL, 4096, MADV_DONTNEED) == -1 && errno == EPERM);
  errno = 0;
  EXPECT(mremap(&errno, 4096, 8192, 0) == MAP_FAILED && errno == EPERM);
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

int main(void) {
  refuse_calls();
  expect_refused();
  for (int round = 0; round < 3; round++) use_heap(NULL);
  grow_and_shrink();
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) EXPECT(pthread_create(&threads[i], NULL, use_heap, NULL) == 0);
  for (int i = 0; i < 4; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
  say("ok");
  return 0;
}
