/* Purpose: what a thread gives back that waits for long: nobody else runs in a process that is idle.
 * Owns: idle_ticks and idle_since_ms of the heaps.
 * Invariants:
 *   1. A thread's caches are emptied by itself only, outside of slow paths, and not in a handler of a signal, which may have
 *      interrupted a hit. Nothing at all is done where a lock may be held by who does not give it back.
 *   2. A wait is told of every signal that it would have been interrupted by, but for those of some hundred nanoseconds
 *      around a rest, as at its own beginning.
 * Threads: any, each about its own waits.
 * Ordering: none.
 * Cost: before a wait a few loads, and a look at a coarse clock (no system call) while free memory is resident. A rest empties the
 *   caches, and purges as a slow path does.
 * Fails: never; where the kernel lets no signal be held back, nothing is given back.  Fork: inherited. */
#ifndef HAKMEM_IDLE_IDLE_H_
#define HAKMEM_IDLE_IDLE_H_

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

#define HAK_IDLE_FOR_EVER UINT64_MAX

/** One wait of a thread's, in slices. */
typedef struct hak_idle_wait {
  uint64_t slice_ms; /* to wait for before hak_idle_rest; 0: to the end */
  uint32_t rests;
  bool is_interrupted; /* a handler of the program's has run in the last rest: the wait is to end with EINTR */
} hak_idle_wait;

/** The thread is about to wait for `wait_ms` at most, or HAK_IDLE_FOR_EVER. slice_ms is 0 or less than that. Keeps errno. */
hak_idle_wait hak_idle_begin(uint64_t wait_ms);

/** Nothing has happened for slice_ms. Keeps errno. */
void hak_idle_rest(hak_idle_wait* wait);

HAK_END_DECLS

#endif /* HAKMEM_IDLE_IDLE_H_ */
