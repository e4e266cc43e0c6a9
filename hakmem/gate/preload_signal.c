/* Only in libhakmem.so: sigaction and signal, where CRASH_REPORTS_FIRST keeps HAKMEM's handlers in front of those that the
 * program sets (hakmem/postmortem). Else the calls go to libc, or to the next library that has them. */
#include <errno.h>
#include <signal.h>

#include "hakmem/base/base.h"
#include "hakmem/gate/next_inl.h"
#include "hakmem/postmortem/postmortem.h"

typedef void (*handler)(int number);
typedef int (*sigaction_function)(int number, const struct sigaction* action, struct sigaction* old);
typedef handler (*signal_function)(int number, handler wanted);

HAK_EXPORT int sigaction(int number, const struct sigaction* action, struct sigaction* old);
HAK_EXPORT handler signal(int number, handler wanted);

static hak_atomic_ptr known_sigaction HAK_START_DATA;
static hak_atomic_ptr known_signal HAK_START_DATA;

/* Both may be called in signal handlers and after fork, where dlsym is not to be. */
__attribute__((constructor)) static void find_next_early(void) {
  (void)hak_next_of(&known_sigaction, "sigaction");
  (void)hak_next_of(&known_signal, "signal");
}

int hak_postmortem_sigaction(int number, const struct sigaction* action, struct sigaction* old) {
  const sigaction_function next = (sigaction_function)hak_next_of(&known_sigaction, "sigaction");
  if (next != NULL) return next(number, action, old);
  errno = ENOSYS;
  return -1;
}

static handler next_signal(int number, handler wanted) {
  const signal_function next = (signal_function)hak_next_of(&known_signal, "signal");
  if (next != NULL) return next(number, wanted);
  errno = ENOSYS;
  return SIG_ERR;
}

int sigaction(int number, const struct sigaction* action, struct sigaction* old) {
  if (HAK_LIKELY(!hak_postmortem_keeps(number))) return hak_postmortem_sigaction(number, action, old);
  hak_postmortem_exchange(number, action, old);
  return 0;
}

/* As libc's: calls that wait go on after the handler, and the signal does not come again within it. */
handler signal(int number, handler wanted) {
  if (HAK_LIKELY(!hak_postmortem_keeps(number)) || wanted == SIG_ERR) return next_signal(number, wanted);
  struct sigaction action = {.sa_flags = SA_RESTART};
  struct sigaction old;
  action.sa_handler = wanted;
  hak_postmortem_exchange(number, &action, &old);
  return old.sa_handler;
}
