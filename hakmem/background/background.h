/* Purpose: a thread of HAKMEM's own, where the user asks for one: it gives an idle process's memory back, and writes metrics.
 * Owns: the thread, the metrics file or socket.
 * Invariants:
 *   1. Unless HAKMEM_BACKGROUND_THREAD or HAKMEM_METRICS asks for it there is no thread; in a set-user-ID process never.
 *   2. The thread allocates nothing, so it has no heap; every signal but libc's own is blocked in it.
 *   3. The metrics file is whole at every moment: it is written beside its place and renamed.
 *   4. In the child of a fork there is no thread until its first slow path, and metrics only where the path has %p in it,
 *      the process's number: the file is the parent's.
 * Threads: configure, start and stop: process start and end. Others: any.
 * Ordering: the state words are sequentially consistent; options are read before the thread starts.
 * Cost: a wake-up a second while nothing is to be given back, four a decay time else; the figures every so many seconds.
 * Fails: what cannot be written, bound or started is named once on stderr, and the process goes on without.
 * Fork: hak_background_after_fork_child. */
#ifndef HAKMEM_BACKGROUND_BACKGROUND_H_
#define HAKMEM_BACKGROUND_BACKGROUND_H_

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

/** Reads the options. True: a thread is to be started. */
bool hak_background_configure(void);

/** Starts the thread where one is wanted and there is none. The caller is in no slow path and holds no lock; keeps errno. */
void hak_background_start(void);

/** In the child. True: hak_background_start is to be called at the next occasion. */
bool hak_background_after_fork_child(void);

/** True: hak_background_start is due. */
bool hak_background_is_due(void);

/** At the end of the process: the metrics once more, and nothing is written from then on. A socket is removed. */
void hak_background_stop(void);

HAK_END_DECLS

#endif /* HAKMEM_BACKGROUND_BACKGROUND_H_ */
