/* CASE: a crash reporter, which is a handler of SIGABRT that allocates and forks, runs when HAKMEM reports misuse.
 *   here     in an ordinary free
 *   drained  when the frees of a thread that is gone are collected, under a lock
 *   late     in a thread past its exit, under another lock
 *   returns  the handler returns: the process ends by the signal all the same */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "hakmem/testing/harness/expect.h"
#include "hakmem/testing/harness/malloc_names.h"

enum { BYTES = 500, HANG_S = 60, HANDLED = 7 };

static int handler_returns;

static void allocate(void) {
  static const size_t sizes[] = {16, BYTES, 5000, 100000, 500000, 5000000};
  char* blocks[6];
  for (size_t i = 0; i < 6; i++) {
    blocks[i] = malloc(sizes[i]);
    EXPECT(blocks[i] != NULL);
    memset(blocks[i], 1, sizes[i]);
  }
  for (size_t i = 0; i < 6; i++) free(blocks[i]);
}

static void* allocate_in_thread(void* unused) {
  (void)unused;
  allocate();
  return NULL;
}

static void report(int number) {
  EXPECT(number == SIGABRT);
  allocate();
  pthread_t thread;
  EXPECT(pthread_create(&thread, NULL, allocate_in_thread, NULL) == 0);
  EXPECT(pthread_join(thread, NULL) == 0);
  const pid_t child = fork();
  EXPECT(child >= 0);
  if (child == 0) {
    allocate();
    _exit(HANDLED);
  }
  int status = -1;
  EXPECT(waitpid(child, &status, 0) == child);
  EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == HANDLED);
  say("reported");
  if (!handler_returns) _exit(HANDLED);
}

static void free_twice(void* block) {
  free(launder(block));
  malloc_trim(0);
  free(launder(block));
  malloc_trim(0);
}

/* Two blocks: the slab stays, so that the second free of one finds its bit. */
static void* make_two(void* out) {
  void** blocks = out;
  for (int i = 0; i < 2; i++) blocks[i] = malloc(BYTES);
  return NULL;
}

static void drained_case(void) {
  void* blocks[2];
  pthread_t thread;
  EXPECT(pthread_create(&thread, NULL, make_two, blocks) == 0);
  EXPECT(pthread_join(thread, NULL) == 0);
  free_twice(blocks[0]);
}

static pthread_key_t key;

static void* leave_late_block(void* block) {
  free(launder(malloc(100)));
  EXPECT(pthread_setspecific(key, block) == 0);
  return NULL;
}

static void late_case(void) {
  void* blocks[2];
  make_two(blocks);
  EXPECT(pthread_key_create(&key, free_twice) == 0); /* behind HAKMEM's own */
  pthread_t thread;
  EXPECT(pthread_create(&thread, NULL, leave_late_block, blocks[0]) == 0);
  EXPECT(pthread_join(thread, NULL) == 0);
}

int main(int argc, char** argv) {
  EXPECT(argc == 2);
  alarm(HANG_S);
  free(launder(malloc(1)));
  EXPECT(signal(SIGABRT, report) != SIG_ERR);
  if (strcmp(argv[1], "drained") == 0) {
    drained_case();
  } else if (strcmp(argv[1], "late") == 0) {
    late_case();
  } else {
    handler_returns = strcmp(argv[1], "returns") == 0;
    void* block = malloc(BYTES);
    free(launder(block));
    free(launder(block));
  }
  EXPECT(!"the crime was reported");
}
