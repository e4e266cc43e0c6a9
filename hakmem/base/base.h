/* Purpose: the words every box speaks: branch hints, geometry, and the limits of the malloc contract.
 * Owns: nothing; compile-time only.
 * Invariants:
 *   1. HAK_UNIT_BYTES divides HAK_SUPERSLAB_BYTES, and one 32-bit mask has a bit for every unit of a SuperSlab.
 * Threads: any.  Cost: none.  Fails: never.  Fork: nothing to do. */
#ifndef HAKMEM_BASE_BASE_H_
#define HAKMEM_BASE_BASE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define HAK_STATIC_ASSERT(cond, text) static_assert(cond, text)
#define HAK_BEGIN_DECLS HAK_HIDE extern "C" {
#define HAK_END_DECLS \
  }                   \
  HAK_UNHIDE
#else
#define HAK_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#define HAK_BEGIN_DECLS HAK_HIDE
#define HAK_END_DECLS HAK_UNHIDE
#endif
/* A box and its users are in one library: without this, each use of a variable of another box begins with a load of its
 * address. */
#define HAK_HIDE _Pragma("GCC visibility push(hidden)")
#define HAK_UNHIDE _Pragma("GCC visibility pop")

#define HAK_LIKELY(x) __builtin_expect(!!(x), 1)
#define HAK_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define HAK_NOINLINE __attribute__((noinline))
#define HAK_ALWAYS_INLINE static inline __attribute__((always_inline))
/** Marks the way out of a hit path: out of line, laid out away from it. */
#define HAK_SLOW __attribute__((noinline, cold))
/** A name that libhakmem.so exports; all others are hidden. */
#define HAK_EXPORT __attribute__((visibility("default")))
/* For small variables that most processes write to: in the initialised data, where they share the one page that the dynamic
 * linker writes to anyway. Among the zeroed data the large tables lie between them, and each may cost a page. */
#define HAK_START_DATA __attribute__((section(".data.hak_start")))
#define HAK_ALIGNED(n) __attribute__((aligned(n)))
/** Of a function that reads for a report what another thread may write meanwhile, by volatile loads. What it finds may be of
 *  any moment, and is never followed as a pointer unless it is constant. */
#define HAK_READS_RACILY __attribute__((noinline, no_sanitize("thread")))
/** A hit path: begins on a cache line, so that it is fetched as few of them. A tenth of the time of malloc and free. */
#define HAK_HIT_PATH HAK_ALIGNED(64)

enum {
  HAK_CACHE_LINE_BYTES = 64,
  /** Every block is aligned to this many bytes at least (max_align_t on every 64-bit Linux ABI). */
  HAK_MIN_ALIGN_BYTES = 16,
  HAK_UNIT_SHIFT = 16,
  /** Granule of the registry and of slabs. */
  HAK_UNIT_BYTES = 1 << HAK_UNIT_SHIFT,
  HAK_SUPERSLAB_UNITS = 32,
  HAK_SUPERSLAB_BYTES = HAK_UNIT_BYTES * HAK_SUPERSLAB_UNITS
};

HAK_STATIC_ASSERT(HAK_SUPERSLAB_BYTES == 2 * 1024 * 1024, "a SuperSlab is one huge page");
HAK_STATIC_ASSERT(sizeof(void*) == 8, "HAKMEM is for 64-bit Linux");

/** Rounds `bytes` up to a multiple of `alignment`, a power of two. The caller has ruled out overflow. */
HAK_ALWAYS_INLINE size_t hak_round_up(size_t bytes, size_t alignment) {
  return (bytes + alignment - 1) & ~(alignment - 1);
}

HAK_ALWAYS_INLINE bool hak_is_power_of_two(size_t n) { return n != 0 && (n & (n - 1)) == 0; }

#endif /* HAKMEM_BASE_BASE_H_ */
