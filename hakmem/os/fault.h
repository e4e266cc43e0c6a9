/* Purpose: what a signal handler is told by the processor.
 * Owns: nothing.
 * Invariants:
 *   1. Async-signal-safe: reads the context that it is given, and nothing else.
 * Threads: any.  Cost: a few loads.  Fails: never; 0 and "" where the processor does not say.  Fork: nothing to do. */
#ifndef HAKMEM_OS_FAULT_H_
#define HAKMEM_OS_FAULT_H_

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

typedef struct hak_os_fault {
  uintptr_t code;     /* address of the instruction */
  uintptr_t stack;    /* the stack pointer */
  const char* access; /* " read", " write", or "" */
} hak_os_fault;

/** `context` is a signal handler's third argument. */
hak_os_fault hak_os_read_fault(const void* context);

HAK_END_DECLS

#endif /* HAKMEM_OS_FAULT_H_ */
