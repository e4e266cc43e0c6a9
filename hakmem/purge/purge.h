/* Purpose: gives memory back in time: the clock that slow paths wind.
 * Owns: when the next purge is due.
 * Invariants:
 *   1. One thread purges each time that the clock says so; nobody waits for it.
 * Threads: any.
 * Ordering: a compare-and-swap elects who purges; it orders nothing else.
 * Cost: a tick that is not due reads a coarse clock (no system call) and compares.
 * Fails: never; what the kernel refuses stays and is tried again.  Fork: inherited. */
#ifndef HAKMEM_PURGE_PURGE_H_
#define HAKMEM_PURGE_PURGE_H_

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

/** Called from slow paths now and then: purges when due. Returns the time in milliseconds. */
uint64_t hak_purge_tick(void);

/** True while something waits for its time to be given back. */
bool hak_purge_has_work(void);

/** Gives back everything that is free in the shared pool and the whale cache. Returns the bytes given back. */
uint64_t hak_purge_all(void);

HAK_END_DECLS

#endif /* HAKMEM_PURGE_PURGE_H_ */
