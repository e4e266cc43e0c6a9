/* Purpose: atomics that cannot be used by accident: wrapped in a struct, with the ordering in the name.
 * Owns: nothing.
 * Invariants:
 *   1. No plain access to an atomic compiles, and no function has a default ordering.
 * Threads: any.
 * Ordering: as named; `seq` is sequentially consistent. Each release names the acquire it pairs with at its call
 *   site; docs/memory_order.md collects the pairs.
 * Cost: relaxed, acquire and release loads and stores are plain moves on x86-64.
 * Fails: never.  Fork: nothing to do. */
#ifndef HAKMEM_BASE_ATOMICS_H_
#define HAKMEM_BASE_ATOMICS_H_

#include "hakmem/base/base.h"

/** Keeps the compiler, not the processor, from moving memory accesses across this point. */
HAK_ALWAYS_INLINE void hak_compiler_barrier(void) { __asm__ volatile("" ::: "memory"); }

#ifdef HAK_ATOMICS_HEADER
/* A build that explores schedules puts functions of the same names here: hakmem/testing/schedules. */
#include HAK_ATOMICS_HEADER
#else

#define HAK_DEFINE_ATOMIC_(name, type)                                                                         \
  typedef struct {                                                                                             \
    type raw;                                                                                                  \
  } hak_atomic_##name;                                                                                         \
  HAK_ALWAYS_INLINE type hak_##name##_load_relaxed(const hak_atomic_##name* a) {                               \
    return __atomic_load_n(&a->raw, __ATOMIC_RELAXED);                                                         \
  }                                                                                                            \
  HAK_ALWAYS_INLINE type hak_##name##_load_acquire(const hak_atomic_##name* a) {                               \
    return __atomic_load_n(&a->raw, __ATOMIC_ACQUIRE);                                                         \
  }                                                                                                            \
  HAK_ALWAYS_INLINE type hak_##name##_load_seq(const hak_atomic_##name* a) {                                   \
    return __atomic_load_n(&a->raw, __ATOMIC_SEQ_CST);                                                         \
  }                                                                                                            \
  HAK_ALWAYS_INLINE void hak_##name##_store_relaxed(hak_atomic_##name* a, type value) {                        \
    __atomic_store_n(&a->raw, value, __ATOMIC_RELAXED);                                                        \
  }                                                                                                            \
  HAK_ALWAYS_INLINE void hak_##name##_store_release(hak_atomic_##name* a, type value) {                        \
    __atomic_store_n(&a->raw, value, __ATOMIC_RELEASE);                                                        \
  }                                                                                                            \
  HAK_ALWAYS_INLINE void hak_##name##_store_seq(hak_atomic_##name* a, type value) {                            \
    __atomic_store_n(&a->raw, value, __ATOMIC_SEQ_CST);                                                        \
  }                                                                                                            \
  HAK_ALWAYS_INLINE type hak_##name##_exchange_seq(hak_atomic_##name* a, type value) {                         \
    return __atomic_exchange_n(&a->raw, value, __ATOMIC_SEQ_CST);                                              \
  }                                                                                                            \
  HAK_ALWAYS_INLINE type hak_##name##_exchange_acquire(hak_atomic_##name* a, type value) {                     \
    return __atomic_exchange_n(&a->raw, value, __ATOMIC_ACQUIRE);                                              \
  }                                                                                                            \
  /* On failure *expected is what was found. */                                                                \
  HAK_ALWAYS_INLINE bool hak_##name##_cas_acq_rel(hak_atomic_##name* a, type* expected, type desired) {        \
    return __atomic_compare_exchange_n(&a->raw, expected, desired, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE); \
  }                                                                                                            \
  HAK_ALWAYS_INLINE bool hak_##name##_cas_seq(hak_atomic_##name* a, type* expected, type desired) {            \
    return __atomic_compare_exchange_n(&a->raw, expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }                                                                                                            \
  HAK_STATIC_ASSERT(sizeof(hak_atomic_##name) == sizeof(type), "an atomic is as large as what it holds")

#define HAK_DEFINE_ATOMIC_ARITHMETIC_(name, type)                                                            \
  HAK_ALWAYS_INLINE type hak_##name##_fetch_or_seq(hak_atomic_##name* a, type mask) {                        \
    return __atomic_fetch_or(&a->raw, mask, __ATOMIC_SEQ_CST);                                               \
  }                                                                                                          \
  HAK_ALWAYS_INLINE type hak_##name##_fetch_and_seq(hak_atomic_##name* a, type mask) {                       \
    return __atomic_fetch_and(&a->raw, mask, __ATOMIC_SEQ_CST);                                              \
  }                                                                                                          \
  HAK_ALWAYS_INLINE type hak_##name##_fetch_add_relaxed(hak_atomic_##name* a, type n) {                      \
    return __atomic_fetch_add(&a->raw, n, __ATOMIC_RELAXED);                                                 \
  }                                                                                                          \
  HAK_ALWAYS_INLINE type hak_##name##_fetch_sub_relaxed(hak_atomic_##name* a, type n) {                      \
    return __atomic_fetch_sub(&a->raw, n, __ATOMIC_RELAXED);                                                 \
  }                                                                                                          \
  /* For a counter with one writer: a load and a store, no locked instruction. Readers may be any thread. */ \
  HAK_ALWAYS_INLINE void hak_##name##_bump_single_writer(hak_atomic_##name* a, type n) {                     \
    hak_##name##_store_relaxed(a, (type)(hak_##name##_load_relaxed(a) + n));                                 \
  }                                                                                                          \
  HAK_STATIC_ASSERT(sizeof(type) >= 4, "arithmetic is defined on words")

HAK_DEFINE_ATOMIC_(u32, uint32_t);
HAK_DEFINE_ATOMIC_ARITHMETIC_(u32, uint32_t);
HAK_DEFINE_ATOMIC_(u64, uint64_t);
HAK_DEFINE_ATOMIC_ARITHMETIC_(u64, uint64_t);
HAK_DEFINE_ATOMIC_(ptr, void*);

HAK_ALWAYS_INLINE void hak_cpu_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#endif /* HAK_ATOMICS_HEADER */

#endif /* HAKMEM_BASE_ATOMICS_H_ */
