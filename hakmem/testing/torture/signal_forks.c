/* CASE: a signal handler forks, wherever in malloc and free it finds its thread. The child calls async-signal-safe
 * functions only, as POSIX has it.
 *   fork    by fork, whose handlers run
 *   _fork   by _Fork, which runs none */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "hakmem/testing/harness/expect.h"

enum { SIGNALS = 300, HELD = 300, HANG_S = 100, CHILD = 7 };

__attribute__((weak)) pid_t _Fork(void); /* NOLINT(bugprone-reserved-identifier): POSIX.1-2024 */

static pid_t (*fork_with)(void) = fork;
static atomic_int handled;
static pthread_t target;

static void on_signal(int number) {
  (void)number;
  const int saved_errno = errno;
  const pid_t child = fork_with();
  if (child == 0) _exit(CHILD);
  int status = -1;
  EXPECT(child > 0 && waitpid(child, &status, 0) == child);
  EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == CHILD);
  errno = saved_errno;
  atomic_fetch_add(&handled, 1);
}

static void* send_signals(void* unused) {
  (void)unused;
  for (int i = 0; i < SIGNALS; i++) {
    EXPECT(pthread_kill(target, SIGUSR1) == 0);
    while (atomic_load(&handled) <= i) sched_yield(); /* each is seen before the next */
  }
  return NULL;
}

int main(int argc, char** argv) {
  EXPECT(argc == 2);
  alarm(HANG_S);
  if (strcmp(argv[1], "_fork") == 0) fork_with = _Fork;
  if (fork_with == NULL) {
    say("skipped: no _Fork here");
    say("ok");
    return 0;
  }
  const struct sigaction action = {.sa_handler = on_signal};
  EXPECT(sigaction(SIGUSR1, &action, NULL) == 0);
  target = pthread_self();
  pthread_t sender;
  EXPECT(pthread_create(&sender, NULL, send_signals, NULL) == 0);
  static char* held[HELD];
  for (unsigned round = 0; atomic_load(&handled) < SIGNALS; round++) {
    /* Mostly slow paths and system calls. */
    const size_t size = round % 16 == 0 ? 3000000 : round % 4 == 0 ? 300000 : (round * 7919u) % 40000 + 1;
    char** slot = &held[round % HELD];
    free(*slot);
    errno = 4711;
    *slot = malloc(size);
    EXPECT(*slot != NULL && errno == 4711);
    (*slot)[0] = (*slot)[size - 1] = 1;
  }
  EXPECT(pthread_join(sender, NULL) == 0);
  for (int i = 0; i < HELD; i++) free(held[i]);
  say("ok");
  return 0;
}
