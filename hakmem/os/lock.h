/* Purpose: the one lock of the allocator: a word, a short spin, then a futex.
 * Owns: the word, and what is counted beside it.
 * Invariants:
 *   1. 0 free, 1 held, 2 held and someone may sleep.
 *   2. Lock order: a thread takes locks only in the order of docs/lock_order.md, and makes no system call but the
 *      futex's own while it holds one, unless that page says so for the lock.
 *   3. While a watch is set, a thread that is about to take a lock calls it first.
 *   4. A thread that marks itself with hak_lock_set_holds_all holds every lock of the allocator already: its takes and
 *      gives do nothing until it takes the mark off.
 * Threads: any; not recursive but for 4; not to be taken in a signal handler.
 * Ordering: acquire on take, release on give; the two pair.
 * Cost: one compare-and-swap, one exchange.  Fails: never.
 * Fork: taken by lifecycle's prepare handler, given back in the parent, reset in the child. In between the mark of
 *   invariant 4 is set, since fork handlers of the application that were registered before ours may allocate. */
#ifndef HAKMEM_OS_LOCK_H_
#define HAKMEM_OS_LOCK_H_

#include "hakmem/base/atomics.h"

HAK_BEGIN_DECLS

typedef struct hak_lock {
  hak_atomic_u32 word; /* Sync: atomic acq_rel */
  /* Figures, which wrap. Sync: the lock; reports read */
  uint32_t waits;  /* takes that found it held */
  uint32_t sleeps; /* of these, that a short spin did not end */
} hak_lock;

/** Private to the lock: invariant 3; a void (*)(void), or NULL. Sync: atomic relaxed, it orders nothing */
extern hak_atomic_ptr hak_lock_watch;

/** Private to the lock: invariant 4. */
extern __thread bool hak_lock_holds_all __attribute__((tls_model("initial-exec")));

/** Private to the lock: locks that the thread holds or is about to take. Never too low, even between two instructions. */
extern __thread uint32_t hak_lock_depth __attribute__((tls_model("initial-exec")));

/** True when the calling thread is amid a take or holds a lock: what is asked by a signal handler that interrupted it. */
HAK_ALWAYS_INLINE bool hak_lock_is_inside(void) { return hak_lock_depth != 0; }

HAK_ALWAYS_INLINE bool hak_lock_get_holds_all(void) { return hak_lock_holds_all; }

/** Says whether the calling thread holds every lock of the allocator. */
HAK_ALWAYS_INLINE void hak_lock_set_holds_all(bool holds_all) { hak_lock_holds_all = holds_all; }

/** Sets the watch, or takes it off: NULL. It may be called once more by threads that are amid a take. */
void hak_lock_set_watch(void (*watch)(void));

void hak_lock_call_watch(void);
void hak_lock_take_slow(hak_lock* lock);
void hak_lock_give_slow(hak_lock* lock);

/** True: taken. False: somebody holds it. */
HAK_ALWAYS_INLINE bool hak_lock_try_take(hak_lock* lock) {
  if (HAK_UNLIKELY(hak_lock_holds_all)) return true;
  if (HAK_UNLIKELY(hak_ptr_load_relaxed(&hak_lock_watch) != NULL)) hak_lock_call_watch();
  hak_lock_depth++;
  hak_compiler_barrier();
  uint32_t expected = 0;
  if (HAK_LIKELY(hak_u32_cas_acq_rel(&lock->word, &expected, 1))) return true;
  hak_compiler_barrier();
  hak_lock_depth--;
  return false;
}

HAK_ALWAYS_INLINE void hak_lock_take(hak_lock* lock) {
  if (HAK_UNLIKELY(!hak_lock_try_take(lock))) hak_lock_take_slow(lock);
}

HAK_ALWAYS_INLINE void hak_lock_give(hak_lock* lock) {
  if (HAK_UNLIKELY(hak_lock_holds_all)) return;
  if (HAK_UNLIKELY(hak_u32_exchange_seq(&lock->word, 0) == 2)) hak_lock_give_slow(lock);
  hak_compiler_barrier();
  hak_lock_depth--;
}

/** After fork, in the child: the holder was this thread, and the sleepers are gone. */
HAK_ALWAYS_INLINE void hak_lock_reset(hak_lock* lock) {
  hak_u32_store_relaxed(&lock->word, 0);
  if (hak_lock_depth != 0) hak_lock_depth--;
}

HAK_END_DECLS

#endif /* HAKMEM_OS_LOCK_H_ */
