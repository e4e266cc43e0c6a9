/* FORKS: a thread that is not the first one forks, while the first and others allocate. In the child it is the only one:
 * it allocates, frees what it inherited, starts threads of its own, and ends by exit(). */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "hakmem/testing/harness/expect.h"

enum { WORKERS = 3, INHERITED = 200, HANG_S = 60 };

static atomic_bool stop;
static char* inherited[INHERITED];

static void allocate_some(unsigned seed) {
  char* blocks[64];
  for (unsigned i = 0; i < 64; i++) {
    const size_t size = i == 63 ? 300000 : 1 + (seed + i) * 37 % 3000;
    blocks[i] = malloc(size);
    EXPECT(blocks[i] != NULL);
    memset(blocks[i], (int)i, size);
  }
  for (unsigned i = 0; i < 64; i++) {
    EXPECT(blocks[i][0] == (char)i);
    free(blocks[i]);
  }
}

static void* churn(void* unused) {
  (void)unused;
  for (unsigned seed = 0; !atomic_load(&stop); seed++) allocate_some(seed);
  return NULL;
}

static void* live_once(void* unused) {
  (void)unused;
  allocate_some(5);
  return NULL;
}

static void at_exit_of_child(void) { allocate_some(9); }

__attribute__((noreturn)) static void live_in_child(void) {
  alarm(HANG_S); /* a child that hangs is killed, and seen */
  EXPECT(atexit(at_exit_of_child) == 0);
  for (int i = 0; i < INHERITED; i++) {
    EXPECT(inherited[i][i * 20] == (char)i);
    free(inherited[i]);
  }
  allocate_some(1);
  pthread_t threads[WORKERS];
  for (int i = 0; i < WORKERS; i++) EXPECT(pthread_create(&threads[i], NULL, live_once, NULL) == 0);
  for (int i = 0; i < WORKERS; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
  exit(7);
}

static void* fork_often(void* arg) {
  const long forks = *(const long*)arg;
  for (int i = 0; i < INHERITED; i++) {
    inherited[i] = malloc((size_t)i * 20 + 1);
    EXPECT(inherited[i] != NULL);
    inherited[i][i * 20] = (char)i;
  }
  for (long i = 0; i < forks; i++) {
    const pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) live_in_child();
    int status = -1;
    EXPECT(waitpid(child, &status, 0) == child);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 7);
  }
  atomic_store(&stop, true);
  return NULL;
}

int main(int argc, char** argv) {
  EXPECT(argc == 2);
  long forks = strtol(argv[1], NULL, 10);
  pthread_t workers[WORKERS];
  for (int i = 0; i < WORKERS; i++) EXPECT(pthread_create(&workers[i], NULL, churn, NULL) == 0);
  pthread_t forker;
  EXPECT(pthread_create(&forker, NULL, fork_often, &forks) == 0);
  churn(NULL);
  EXPECT(pthread_join(forker, NULL) == 0);
  for (int i = 0; i < WORKERS; i++) EXPECT(pthread_join(workers[i], NULL) == 0);
  for (int i = 0; i < INHERITED; i++) free(inherited[i]);
  say("ok");
  return 0;
}
