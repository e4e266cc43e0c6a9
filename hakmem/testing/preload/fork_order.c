/* Fork handlers that the program registers, and forks by a thread that does not allocate:
 *
 *     fork_order handlers    in prepare the program waits for a thread of its own that allocates meanwhile
 *     fork_order bystander   a thread forks that never allocated, while the only one that does holds the allocator's locks */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hakmem/testing/harness/expect.h"

enum { FORKS = 100, HANG_S = 20, LARGE_BYTES = 3 << 20 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool stop;

static void take(void) { EXPECT(pthread_mutex_lock(&mutex) == 0); }
static void give(void) { EXPECT(pthread_mutex_unlock(&mutex) == 0); }

/* Blocks too large for a SuperSlab: each takes a lock of the allocator and gives it back. */
static void allocate(void) {
  for (size_t bytes = LARGE_BYTES; bytes != 0; bytes /= 16) {
    char* block = launder(malloc(bytes));
    EXPECT(block != NULL);
    block[0] = 1;
    free(launder(block));
  }
}

static void allocate_until_stopped(void) {
  while (!atomic_load(&stop)) {
    take();
    allocate();
    give();
  }
}

static void* worker(void* unused) {
  (void)unused;
  allocate_until_stopped();
  return NULL;
}

static void fork_and_wait(void) {
  const pid_t child = fork();
  EXPECT(child >= 0);
  if (child == 0) {
    alarm(HANG_S);
    allocate();
    _exit(0);
  }
  int status = 0;
  EXPECT(waitpid(child, &status, 0) == child && status == 0);
}

static void* forker(void* unused) {
  (void)unused;
  for (int i = 0; i < FORKS; i++) fork_and_wait();
  atomic_store(&stop, 1);
  return NULL;
}

int main(int argc, char** argv) {
  EXPECT(argc == 2);
  alarm(2 * HANG_S);
  allocate();
  pthread_t thread;
  if (strcmp(argv[1], "handlers") == 0) {
    EXPECT(pthread_atfork(take, give, give) == 0);
    EXPECT(pthread_create(&thread, NULL, worker, NULL) == 0);
    forker(NULL);
  } else {
    EXPECT(pthread_create(&thread, NULL, forker, NULL) == 0);
    allocate_until_stopped();
  }
  EXPECT(pthread_join(thread, NULL) == 0);
  say("ok");
  return 0;
}
