/* Signals that arrive inside malloc and free. Their handler allocates nothing. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"

enum { SIGNALS = 1000, HELD = 500 };

static atomic_int handled;
static pthread_t target;

static void on_signal(int number) {
  (void)number;
  const int saved_errno = errno;
  errno = EINTR;
  char stack[256];
  memset(launder(stack), 1, sizeof stack);
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

int main(void) {
  struct sigaction action = {.sa_handler = on_signal};
  EXPECT(sigaction(SIGUSR1, &action, NULL) == 0);
  target = pthread_self();
  pthread_t sender;
  EXPECT(pthread_create(&sender, NULL, send_signals, NULL) == 0);
  static char* held[HELD];
  for (unsigned round = 0; atomic_load(&handled) < SIGNALS; round++) {
    const size_t size = (size_t)(round * 7919) % 4000 + 1;
    char** slot = &held[round % HELD];
    free(*slot);
    errno = 4711;
    *slot = malloc(size);
    EXPECT(*slot != NULL && errno == 4711);
    memset(*slot, 1, size);
  }
  EXPECT(pthread_join(sender, NULL) == 0);
  for (int i = 0; i < HELD; i++) free(held[i]);
  say("ok");
  return 0;
}
