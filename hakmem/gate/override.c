/* The standard names. Linked into libhakmem.so and into programs that take //hakmem:malloc. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
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

HAK_EXPORT void* malloc(size_t size) { return hak_gate_malloc(size); }

HAK_EXPORT void free(void* ptr) { hak_gate_free(ptr); }

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

/* --- malloc.h --- */

/** Gives free memory back; `pad` is not needed. 1: some was given back. */
HAK_EXPORT int malloc_trim(size_t pad) {
  (void)pad;
  return hak_gate_trim() != 0;
}

HAK_EXPORT void malloc_stats(void) { hak_report_summary(STDERR_FILENO); }

/** glibc's parameters are accepted, and mean nothing here: HAKMEM's own options are in docs/tuning.md. 0: unknown. */
HAK_EXPORT int mallopt(int parameter, int value) {
  (void)value;
  switch (parameter) {
    case M_MXFAST:
    case M_TRIM_THRESHOLD:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX: return 1;
    default: return 0;
  }
}

HAK_EXPORT struct mallinfo2 mallinfo2(void) {
  const hak_report_figures figures = hak_report_read_figures();
  struct mallinfo2 out = {0};
  const size_t live_small_bytes = figures.live_bytes - figures.live_whale_bytes;
  out.arena = figures.mapped_bytes - figures.live_whale_bytes;
  out.hblks = figures.live_whales;
  out.hblkhd = figures.live_whale_bytes;
  out.uordblks = live_small_bytes;
  out.fordblks = out.arena > live_small_bytes ? out.arena - live_small_bytes : 0;
  out.keepcost = figures.releasable_bytes;
  return out;
}

static int clamp_to_int(size_t n) { return n > INT32_MAX ? INT32_MAX : (int)n; }

/** As mallinfo2, with figures above INT_MAX cut off there. */
HAK_EXPORT struct mallinfo mallinfo(void) {
  const struct mallinfo2 wide = mallinfo2();
  struct mallinfo out = {0};
  out.arena = clamp_to_int(wide.arena);
  out.hblks = clamp_to_int(wide.hblks);
  out.hblkhd = clamp_to_int(wide.hblkhd);
  out.uordblks = clamp_to_int(wide.uordblks);
  out.fordblks = clamp_to_int(wide.fordblks);
  out.keepcost = clamp_to_int(wide.keepcost);
  return out;
}

static void write_to_stream(void* stream, const char* text) { fputs(text, (FILE*)stream); }

/** As malloc_info(3): 0, or -1 and EINVAL when `options` is not 0. */
HAK_EXPORT int malloc_info(int options, FILE* stream) {
  if (options != 0) {
    errno = EINVAL;
    return -1;
  }
  hak_report_xml(write_to_stream, stream);
  return ferror(stream) ? -1 : 0;
}
