/* The standard names. Linked into libhakmem.so and into programs that take //hakmem:malloc. */
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "hakmem/base/base.h"
#include "hakmem/gate/gate.h"
#include "hakmem/gate/gate_inl.h"
#include "hakmem/report/report.h"

/* A second name for a function of this file. gcc wants the two to have the same attributes; clang does not care. */
#if __has_attribute(copy)
#define HAK_EXPORT_ALIAS(target) __attribute__((visibility("default"), alias(#target), copy(target)))
#else
#define HAK_EXPORT_ALIAS(target) __attribute__((visibility("default"), alias(#target)))
#endif

/* Not declared by every libc's headers. */
HAK_EXPORT void cfree(void* ptr);
HAK_EXPORT void free_sized(void* ptr, size_t size);
HAK_EXPORT void free_aligned_sized(void* ptr, size_t alignment, size_t size);
HAK_EXPORT void* pvalloc(size_t size);
HAK_EXPORT int malloc_trim(size_t pad);
HAK_EXPORT void malloc_stats(void);

HAK_EXPORT HAK_HIT_PATH void* malloc(size_t size) { return hak_gate_malloc(size); }

HAK_EXPORT HAK_HIT_PATH void free(void* ptr) { hak_gate_free(ptr); }

HAK_EXPORT void* calloc(size_t count, size_t size) { return hak_gate_calloc(count, size); }

HAK_EXPORT void* realloc(void* ptr, size_t size) { return hak_gate_realloc(ptr, size); }

HAK_EXPORT void* reallocarray(void* ptr, size_t count, size_t size) { return hak_gate_reallocarray(ptr, count, size); }

HAK_EXPORT void cfree(void* ptr) { hak_gate_free(ptr); }

HAK_EXPORT void free_sized(void* ptr, size_t size) { hak_gate_free_sized(ptr, size); }

HAK_EXPORT void free_aligned_sized(void* ptr, size_t alignment, size_t size) {
  (void)alignment;
  hak_gate_free_sized(ptr, size);
}

HAK_EXPORT void* aligned_alloc(size_t alignment, size_t size) { return hak_gate_aligned_alloc(alignment, size); }

HAK_EXPORT int posix_memalign(void** out, size_t alignment, size_t size) {
  return hak_gate_posix_memalign(out, alignment, size);
}

HAK_EXPORT void* memalign(size_t alignment, size_t size) { return hak_gate_memalign(alignment, size); }

HAK_EXPORT void* valloc(size_t size) { return hak_gate_valloc(size); }

HAK_EXPORT void* pvalloc(size_t size) { return hak_gate_pvalloc(size); }

HAK_EXPORT size_t malloc_usable_size(void* ptr) { return hak_gate_usable_size(ptr); }

/* The names under which glibc's own code and old programs reach malloc. */
void* __libc_malloc(size_t size) HAK_EXPORT_ALIAS(malloc);
void* __libc_calloc(size_t count, size_t size) HAK_EXPORT_ALIAS(calloc);
void* __libc_realloc(void* ptr, size_t size) HAK_EXPORT_ALIAS(realloc);
void* __libc_reallocarray(void* ptr, size_t count, size_t size) HAK_EXPORT_ALIAS(reallocarray);
void __libc_free(void* ptr) HAK_EXPORT_ALIAS(free);
void __libc_cfree(void* ptr) HAK_EXPORT_ALIAS(cfree);
void* __libc_memalign(size_t alignment, size_t size) HAK_EXPORT_ALIAS(memalign);
void* __libc_valloc(size_t size) HAK_EXPORT_ALIAS(valloc);
void* __libc_pvalloc(size_t size) HAK_EXPORT_ALIAS(pvalloc);
int __posix_memalign(void** out, size_t alignment, size_t size) HAK_EXPORT_ALIAS(posix_memalign);

/* --- malloc.h; what glibc alone has is in override_glibc.c --- */

/** Gives free memory back; `pad` is not needed. 1: some was given back. */
HAK_EXPORT int malloc_trim(size_t pad) {
  (void)pad;
  return hak_gate_trim() != 0;
}

HAK_EXPORT void malloc_stats(void) { hak_report_summary(STDERR_FILENO); }
