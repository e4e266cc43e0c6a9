/* Purpose: the life of the process and of its threads, as far as the heap is concerned.
 * Owns: the thread-exit hook, the fork handlers, the use of the common heap.
 * Invariants:
 *   1. A thread has one heap from its first slow path to its exit; then its heap is parked and hak_heap_current is
 *      the empty heap for good. What it still allocates and frees after that goes through the common heap.
 *   2. Between prepare and parent or child of a fork, the forking thread holds every lock of the allocator.
 *   3. The fork handlers are registered before the application's: at process start, or, where the application's
 *      registrations are seen, before the first of them, and before a lock is taken in a process of several threads.
 *   4. Nothing here needs libc to have started: options are read as soon as libc has an environment to offer.
 * Threads: any.
 * Lock: the common heap's, the outermost of all (docs/lock_order.md). Held over system calls of the slow paths.
 * Cost: enter and leave are four instructions for a thread with a heap.
 * Fails: never. A thread that can get no heap for want of memory uses the common heap, which is static.
 * Fork: see docs/design.md. In the child the other threads' heaps are parked, but for those that were in a slow path,
 *   which are set aside with what they hold. */
#ifndef HAKMEM_LIFECYCLE_LIFECYCLE_H_
#define HAKMEM_LIFECYCLE_LIFECYCLE_H_

#include "hakmem/base/base.h"
#include "hakmem/heap/heap.h"

HAK_BEGIN_DECLS

/** Registers the fork handlers if that has not been done: the application is about to register its own. */
void hak_lifecycle_guard_forks(void);

/** True where every registration of the application's calls hak_lifecycle_guard_forks first. False unless a library that
 *  sees to it defines this function anew. */
bool hak_lifecycle_sees_registrations(void);

/** True: the fork handlers are registered. For tests. */
bool hak_lifecycle_forks_are_guarded(void);

/** True in a child of a fork that ran no handlers, as `_Fork` and system calls of the program's own: locks may be held by
 *  threads that are gone. Also in one of vfork. One system call. */
bool hak_lifecycle_is_bare_child(void);

hak_heap* hak_lifecycle_enter_slow(void);
void hak_lifecycle_leave_common(hak_heap* heap);

/** Takes in what threads have freed of the blocks of the common heap and of the named ones, and releases their empty slabs.
 *  Their next use would do the same, but there may be none. The caller is in no heap. */
void hak_lifecycle_trim_shared(void);

/** The heap to work on in a slow path, entered: the thread's own (made now if it has none yet), or the common heap with
 *  its lock held. Never NULL. */
HAK_ALWAYS_INLINE hak_heap* hak_lifecycle_enter(void) {
  hak_heap* heap = hak_heap_current;
  if (HAK_UNLIKELY(!hak_heap_is_real(heap))) return hak_lifecycle_enter_slow();
  hak_heap_enter(heap);
  return heap;
}

/** Leaves what hak_lifecycle_enter returned. */
HAK_ALWAYS_INLINE void hak_lifecycle_leave(hak_heap* heap) {
  if (HAK_UNLIKELY(heap != hak_heap_current)) {
    hak_lifecycle_leave_common(heap);
    return;
  }
  hak_heap_leave(heap);
}

HAK_END_DECLS

#endif /* HAKMEM_LIFECYCLE_LIFECYCLE_H_ */
