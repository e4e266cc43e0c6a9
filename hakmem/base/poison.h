/* Purpose: tells AddressSanitizer which bytes of HAKMEM's memory a program may touch. Nothing in other builds.
 * Owns: nothing.  Threads: any.  Cost: none but in asan builds.  Fails: never.  Fork: nothing to do.
 * Invariants:
 *   1. Memory fresh from the kernel is poisoned when a box takes it for blocks, and unpoisoned before it goes back.
 *   2. Of a live block the bytes asked for are unpoisoned, the slack behind them is poisoned; a free block is
 *      poisoned whole. */
#ifndef HAKMEM_BASE_POISON_H_
#define HAKMEM_BASE_POISON_H_

#include "hakmem/base/base.h"

#if HAK_CONFIG_SANITIZE_ADDRESS
#include <sanitizer/asan_interface.h>
HAK_ALWAYS_INLINE void hak_poison(const void* base, size_t size_bytes) {
  __asan_poison_memory_region(base, size_bytes);
}
HAK_ALWAYS_INLINE void hak_unpoison(const void* base, size_t size_bytes) {
  __asan_unpoison_memory_region(base, size_bytes);
}
#else
HAK_ALWAYS_INLINE void hak_poison(const void* base, size_t size_bytes) { (void)base, (void)size_bytes; }
HAK_ALWAYS_INLINE void hak_unpoison(const void* base, size_t size_bytes) { (void)base, (void)size_bytes; }
#endif

#endif /* HAKMEM_BASE_POISON_H_ */
