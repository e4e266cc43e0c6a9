/* Purpose: says, when something went wrong, what an address is to HAKMEM, what was done with it, and by whom.
 * Owns: the signal handlers for SIGSEGV, SIGBUS and SIGABRT and the threads' alternate stacks, where the option
 *   CRASH_REPORTS asks for them.
 * Invariants:
 *   1. The option is 0: no handler, no stack, nothing is paid.
 *   2. A report allocates nothing, takes no lock, and is safe in any signal handler; the heap may be damaged: what a
 *      pointer of it leads to is read by the kernel, which refuses where there is nothing.
 *   3. After a report the signal has the effect that it would have had without: the handler that was there before ours is
 *      called with the same arguments, or the default action ends the process, with a core file where there would be one.
 *   4. A handler that the program sets later replaces ours, unless CRASH_REPORTS_FIRST keeps ours in front of it; an
 *      alternate stack of its own does in any case.
 * Threads: any; one reports at a time, others that crash meanwhile wait for a moment.
 * Ordering: none.
 * Cost: on, 64 KiB of addresses and a page or two a thread.
 * Fails: what cannot be read is left out.
 * Fork: handlers and the forking thread's stack are inherited. */
#ifndef HAKMEM_POSTMORTEM_POSTMORTEM_H_
#define HAKMEM_POSTMORTEM_POSTMORTEM_H_

#include <signal.h>

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

/** Sees to crashes from now on, where the option CRASH_REPORTS says so. Called once, when options have been read. */
void hak_postmortem_start(void);

/** The calling thread has got a heap, or ends: its alternate stack comes and goes. */
void hak_postmortem_start_thread(void);
void hak_postmortem_end_thread(void);

/** True: what the program sets for signal `number` is kept beside HAKMEM's handler, by hak_postmortem_exchange. */
bool hak_postmortem_keeps(int number);

/** sigaction for such a signal. *old, if not NULL, is what the program had. *action, if not NULL, is what the signal has in
 *  store after a report. Async-signal-safe. */
void hak_postmortem_exchange(int number, const struct sigaction* action, struct sigaction* old);

/** libc's sigaction. Weak: who stands in front of libc's (gate/preload_signal.c) says where that is. */
int hak_postmortem_sigaction(int number, const struct sigaction* action, struct sigaction* old);

/** Writes what `address` is, what was done with the block there, and the state of its slab, in lines to file descriptor
 *  `fd`. Async-signal-safe. */
void hak_postmortem_explain(const void* address, int fd);

/** Writes the last operations of the calling thread, where they are recorded. Async-signal-safe. */
void hak_postmortem_last_operations(int fd);

/** Takes the handlers away again. For tests. */
void hak_postmortem_reset_for_test(void);

HAK_END_DECLS

#endif /* HAKMEM_POSTMORTEM_POSTMORTEM_H_ */
