/* The atomics of hakmem/base/atomics.h for boxes that run under the explorer: the same names, each a call of the
 * scheduler that says where in the source it stands. C only. Selected by -DHAK_ATOMICS_HEADER, see BUILD.bazel. */
#ifndef HAKMEM_TESTING_SCHEDULES_HOOK_H_
#define HAKMEM_TESTING_SCHEDULES_HOOK_H_

#include "hakmem/testing/schedules/site.h"

#define HAK_SCHEDULED_ATOMIC_(name, type) \
  typedef struct {                        \
    type raw;                             \
  } hak_atomic_##name

HAK_SCHEDULED_ATOMIC_(u32, uint32_t);
HAK_SCHEDULED_ATOMIC_(u64, uint64_t);
HAK_SCHEDULED_ATOMIC_(ptr, void*);

#define HAK_SCHEDULED_PASTE_(a, b) a##b
#define HAK_SCHEDULED_NAME_(n) HAK_SCHEDULED_PASTE_(hak_scheduled_site_, n)

/* A record for every place in the source, found through the section whether it runs or not. */
#define HAK_SCHEDULED_SITE_2_(id, op_, order_, argument_)                                  \
  __extension__({                                                                          \
    static hak_scheduled_site id __attribute__((section("hak_scheduled_sites"), used)) = { \
        __FILE__, __func__, argument_, __LINE__, op_, order_, order_, 0};                  \
    &id;                                                                                   \
  })
#define HAK_SITE_(op, order, argument) \
  HAK_SCHEDULED_SITE_2_(HAK_SCHEDULED_NAME_(__COUNTER__), HAK_SCHEDULED_##op, HAK_ORDER_##order, argument)

/* Functions, so that arguments have the types that the shipped ones ask for. */
#define HAK_SCHEDULED_FUNCTIONS_(name, type, to_word, from_word)                                                       \
  HAK_ALWAYS_INLINE type hak_scheduled_##name##_load(const hak_atomic_##name* a, hak_scheduled_site* site) {           \
    return from_word hak_scheduled_load(&a->raw, sizeof(type), site);                                                  \
  }                                                                                                                    \
  HAK_ALWAYS_INLINE void hak_scheduled_##name##_store(hak_atomic_##name* a, type value, hak_scheduled_site* site) {    \
    hak_scheduled_store(&a->raw, sizeof(type), to_word value, site);                                                   \
  }                                                                                                                    \
  HAK_ALWAYS_INLINE type hak_scheduled_##name##_modify(hak_atomic_##name* a, type operand, hak_scheduled_site* site) { \
    return from_word hak_scheduled_modify(&a->raw, sizeof(type), to_word operand, site);                               \
  }                                                                                                                    \
  HAK_ALWAYS_INLINE bool hak_scheduled_##name##_cas(hak_atomic_##name* a, type* expected, type desired,                \
                                                    hak_scheduled_site* site) {                                        \
    uint64_t found = to_word * expected;                                                                               \
    const bool done = hak_scheduled_cas(&a->raw, sizeof(type), &found, to_word desired, site);                         \
    if (!done) *expected = from_word found;                                                                            \
    return done;                                                                                                       \
  }                                                                                                                    \
  HAK_STATIC_ASSERT(sizeof(hak_atomic_##name) == sizeof(type), "as in the shipped build")

HAK_SCHEDULED_FUNCTIONS_(u32, uint32_t, (uint64_t), (uint32_t));
HAK_SCHEDULED_FUNCTIONS_(u64, uint64_t, (uint64_t), (uint64_t));
HAK_SCHEDULED_FUNCTIONS_(ptr, void*, (uint64_t)(uintptr_t), (void*)(uintptr_t));

#define hak_u32_load_relaxed(a) hak_scheduled_u32_load((a), HAK_SITE_(LOAD, RELAXED, #a))
#define hak_u32_load_acquire(a) hak_scheduled_u32_load((a), HAK_SITE_(LOAD, ACQUIRE, #a))
#define hak_u32_load_seq(a) hak_scheduled_u32_load((a), HAK_SITE_(LOAD, SEQ, #a))
#define hak_u32_store_relaxed(a, value) hak_scheduled_u32_store((a), (value), HAK_SITE_(STORE, RELAXED, #a))
#define hak_u32_store_release(a, value) hak_scheduled_u32_store((a), (value), HAK_SITE_(STORE, RELEASE, #a))
#define hak_u32_store_seq(a, value) hak_scheduled_u32_store((a), (value), HAK_SITE_(STORE, SEQ, #a))
#define hak_u32_exchange_seq(a, value) hak_scheduled_u32_modify((a), (value), HAK_SITE_(EXCHANGE, SEQ, #a))
#define hak_u32_exchange_acquire(a, value) hak_scheduled_u32_modify((a), (value), HAK_SITE_(EXCHANGE, ACQUIRE, #a))
#define hak_u32_cas_acq_rel(a, expected, desired) \
  hak_scheduled_u32_cas((a), (expected), (desired), HAK_SITE_(CAS, ACQ_REL, #a))
#define hak_u32_cas_seq(a, expected, desired) hak_scheduled_u32_cas((a), (expected), (desired), HAK_SITE_(CAS, SEQ, #a))
#define hak_u32_fetch_or_seq(a, n) hak_scheduled_u32_modify((a), (n), HAK_SITE_(FETCH_OR, SEQ, #a))
#define hak_u32_fetch_and_seq(a, n) hak_scheduled_u32_modify((a), (n), HAK_SITE_(FETCH_AND, SEQ, #a))
#define hak_u32_fetch_add_relaxed(a, n) hak_scheduled_u32_modify((a), (n), HAK_SITE_(FETCH_ADD, RELAXED, #a))
#define hak_u32_fetch_sub_relaxed(a, n) hak_scheduled_u32_modify((a), (n), HAK_SITE_(FETCH_SUB, RELAXED, #a))
#define hak_u32_bump_single_writer(a, n) hak_u32_store_relaxed((a), (uint32_t)(hak_u32_load_relaxed(a) + (uint32_t)(n)))

#define hak_u64_load_relaxed(a) hak_scheduled_u64_load((a), HAK_SITE_(LOAD, RELAXED, #a))
#define hak_u64_load_acquire(a) hak_scheduled_u64_load((a), HAK_SITE_(LOAD, ACQUIRE, #a))
#define hak_u64_load_seq(a) hak_scheduled_u64_load((a), HAK_SITE_(LOAD, SEQ, #a))
#define hak_u64_store_relaxed(a, value) hak_scheduled_u64_store((a), (value), HAK_SITE_(STORE, RELAXED, #a))
#define hak_u64_store_release(a, value) hak_scheduled_u64_store((a), (value), HAK_SITE_(STORE, RELEASE, #a))
#define hak_u64_store_seq(a, value) hak_scheduled_u64_store((a), (value), HAK_SITE_(STORE, SEQ, #a))
#define hak_u64_exchange_seq(a, value) hak_scheduled_u64_modify((a), (value), HAK_SITE_(EXCHANGE, SEQ, #a))
#define hak_u64_exchange_acquire(a, value) hak_scheduled_u64_modify((a), (value), HAK_SITE_(EXCHANGE, ACQUIRE, #a))
#define hak_u64_cas_acq_rel(a, expected, desired) \
  hak_scheduled_u64_cas((a), (expected), (desired), HAK_SITE_(CAS, ACQ_REL, #a))
#define hak_u64_cas_seq(a, expected, desired) hak_scheduled_u64_cas((a), (expected), (desired), HAK_SITE_(CAS, SEQ, #a))
#define hak_u64_fetch_or_seq(a, n) hak_scheduled_u64_modify((a), (n), HAK_SITE_(FETCH_OR, SEQ, #a))
#define hak_u64_fetch_and_seq(a, n) hak_scheduled_u64_modify((a), (n), HAK_SITE_(FETCH_AND, SEQ, #a))
#define hak_u64_fetch_add_relaxed(a, n) hak_scheduled_u64_modify((a), (n), HAK_SITE_(FETCH_ADD, RELAXED, #a))
#define hak_u64_fetch_sub_relaxed(a, n) hak_scheduled_u64_modify((a), (n), HAK_SITE_(FETCH_SUB, RELAXED, #a))
#define hak_u64_bump_single_writer(a, n) hak_u64_store_relaxed((a), (uint64_t)(hak_u64_load_relaxed(a) + (uint64_t)(n)))

#define hak_ptr_load_relaxed(a) hak_scheduled_ptr_load((a), HAK_SITE_(LOAD, RELAXED, #a))
#define hak_ptr_load_acquire(a) hak_scheduled_ptr_load((a), HAK_SITE_(LOAD, ACQUIRE, #a))
#define hak_ptr_load_seq(a) hak_scheduled_ptr_load((a), HAK_SITE_(LOAD, SEQ, #a))
#define hak_ptr_store_relaxed(a, value) hak_scheduled_ptr_store((a), (value), HAK_SITE_(STORE, RELAXED, #a))
#define hak_ptr_store_release(a, value) hak_scheduled_ptr_store((a), (value), HAK_SITE_(STORE, RELEASE, #a))
#define hak_ptr_store_seq(a, value) hak_scheduled_ptr_store((a), (value), HAK_SITE_(STORE, SEQ, #a))
#define hak_ptr_exchange_seq(a, value) hak_scheduled_ptr_modify((a), (value), HAK_SITE_(EXCHANGE, SEQ, #a))
#define hak_ptr_exchange_acquire(a, value) hak_scheduled_ptr_modify((a), (value), HAK_SITE_(EXCHANGE, ACQUIRE, #a))
#define hak_ptr_cas_acq_rel(a, expected, desired) \
  hak_scheduled_ptr_cas((a), (expected), (desired), HAK_SITE_(CAS, ACQ_REL, #a))
#define hak_ptr_cas_seq(a, expected, desired) hak_scheduled_ptr_cas((a), (expected), (desired), HAK_SITE_(CAS, SEQ, #a))

#define hak_cpu_relax() hak_scheduled_relax()

#endif /* HAKMEM_TESTING_SCHEDULES_HOOK_H_ */
