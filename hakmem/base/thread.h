/* Purpose: which thread this is, without asking anybody.
 * Owns: nothing.
 * Invariants:
 *   1. Two threads that run have different pointers; none is NULL. A pointer comes again after its thread has ended.
 * Threads: any.  Cost: one instruction.  Fails: never.  Fork: the child's thread has that of the parent's. */
#ifndef HAKMEM_BASE_THREAD_H_
#define HAKMEM_BASE_THREAD_H_

#include "hakmem/base/base.h"

/** The thread pointer of the ABI: libc keeps what it knows of the thread there, its number among it. */
HAK_ALWAYS_INLINE const void* hak_thread_pointer(void) {
  const void* pointer;
#if defined(__x86_64__)
  __asm__("mov %%fs:0, %0" : "=r"(pointer));
#elif defined(__aarch64__)
  __asm__("mrs %0, tpidr_el0" : "=r"(pointer));
#endif
  return pointer;
}

#endif /* HAKMEM_BASE_THREAD_H_ */
