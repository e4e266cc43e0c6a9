/* Preloaded behind HAKMEM, and so set up before it: a handler that HAKMEM finds, in the ways that HAKMEM_TEST_FORMER names. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "hakmem/testing/harness/expect.h"

static void plain(int number) {
  EXPECT(number == SIGSEGV);
  say("former handler");
  _exit(44);
}

static void informed(int number, siginfo_t* info, void* context) {
  EXPECT(number == SIGSEGV && info->si_addr == (void*)16 && context != NULL);
  sigset_t mask;
  EXPECT(sigprocmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGUSR1) == 1);
  say("former handler");
  _exit(45);
}

/* Returns, and is not called again: the fault comes again and ends the process. */
static void once(int number) {
  EXPECT(number == SIGSEGV);
  say("former handler");
}

__attribute__((constructor)) static void set(void) {
  const char* way = getenv("HAKMEM_TEST_FORMER");
  struct sigaction action = {0};
  EXPECT(way != NULL);
  if (strcmp(way, "plain") == 0) {
    action.sa_handler = plain;
  } else if (strcmp(way, "informed") == 0) {
    action.sa_sigaction = informed;
    action.sa_flags = SA_SIGINFO;
    sigaddset(&action.sa_mask, SIGUSR1);
  } else if (strcmp(way, "once") == 0) {
    action.sa_handler = once;
    action.sa_flags = (int)SA_RESETHAND;
  } else {
    action.sa_handler = SIG_IGN;
  }
  EXPECT(sigaction(SIGSEGV, &action, NULL) == 0);
}
