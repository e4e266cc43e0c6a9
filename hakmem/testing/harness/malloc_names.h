/* What glibc's malloc.h declares and not every libc has. HAKMEM has it everywhere; a program that is started without
 * HAKMEM too must not call it. */
#ifndef HAKMEM_TESTING_HARNESS_MALLOC_NAMES_H_
#define HAKMEM_TESTING_HARNESS_MALLOC_NAMES_H_

#include <stddef.h>

/* Weak: the program has no HAKMEM when it is linked. */
__attribute__((weak)) int malloc_trim(size_t pad);
__attribute__((weak)) void* pvalloc(size_t size);

#endif /* HAKMEM_TESTING_HARNESS_MALLOC_NAMES_H_ */
