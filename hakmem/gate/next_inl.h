/* The functions of libc that libhakmem.so stands in front of. */
#ifndef HAKMEM_GATE_NEXT_INL_H_
#define HAKMEM_GATE_NEXT_INL_H_

#include <dlfcn.h>

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"

/* libc's function `name`, or that of the next library that has one; NULL: there is none. *known remembers it. Sync: atomic
 * relaxed; every thread finds the same. */
HAK_ALWAYS_INLINE void* hak_next_of(hak_atomic_ptr* known, const char* name) {
  void* next = hak_ptr_load_relaxed(known);
  if (next == NULL) {
    next = dlsym(RTLD_NEXT, name);
    hak_ptr_store_relaxed(known, next);
  }
  return next;
}

#endif /* HAKMEM_GATE_NEXT_INL_H_ */
