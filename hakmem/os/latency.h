/* Purpose: how long slow paths take, by cause, when somebody wants to know.
 * Owns: the switch, the histograms.
 * Invariants:
 *   1. While the switch is off no clock is read and nothing is counted.
 *   2. A time counts under each cause that it is part of: a refill that had to map memory counts as a refill, as an acquire
 *      and as a map.
 * Threads: any.
 * Ordering: none; figures.
 * Cost: off, a load and a comparison a slow path. On, two looks at the clock (about 50 ns) and three locked additions.
 * Fails: never.  Fork: inherited. */
#ifndef HAKMEM_OS_LATENCY_H_
#define HAKMEM_OS_LATENCY_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"
#include "hakmem/base/view_part.h"

HAK_BEGIN_DECLS

typedef enum hak_latency_cause {
  HAK_LATENCY_REFILL,  /* malloc that found its cache empty */
  HAK_LATENCY_SPILL,   /* free that found its cache full */
  HAK_LATENCY_ACQUIRE, /* a slab or span from the shared pool */
  HAK_LATENCY_MERGE,   /* remote frees taken home */
  HAK_LATENCY_PURGE,   /* a tick that gave memory back */
  HAK_LATENCY_WHALE,   /* a block too large for a SuperSlab, from the cache or new */
  HAK_LATENCY_MAP,     /* mmap */
  HAK_LATENCY_UNMAP,   /* munmap */
  HAK_LATENCY_RETURN,  /* madvise that gives pages back */
  HAK_LATENCY_LOCK,    /* a lock that somebody else held */
  HAK_LATENCY_COUNT
} hak_latency_cause;

enum {
  /** Times below 128 ns, below 256 ns, and so on; the last is for all that is longer. */
  HAK_LATENCY_BUCKETS = 24,
  HAK_LATENCY_FIRST_SHIFT = 7
};

typedef struct hak_latency_figures {
  uint64_t buckets[HAK_LATENCY_BUCKETS];
  uint64_t sum_ns;
} hak_latency_figures;

/** Private to latency: the switch. Sync: atomic relaxed */
extern hak_atomic_u32 hak_latency_is_on;

void hak_latency_switch(bool on);

HAK_ALWAYS_INLINE bool hak_latency_is_switched_on(void) { return hak_u32_load_relaxed(&hak_latency_is_on) != 0; }

uint64_t hak_latency_now_ns(void);
void hak_latency_note(hak_latency_cause cause, uint64_t start_ns);

/** Before a slow path: what to pass to hak_latency_end. */
HAK_ALWAYS_INLINE uint64_t hak_latency_start(void) {
  return HAK_LIKELY(!hak_latency_is_switched_on()) ? 0 : hak_latency_now_ns();
}

HAK_ALWAYS_INLINE void hak_latency_end(hak_latency_cause cause, uint64_t start_ns) {
  if (HAK_UNLIKELY(start_ns != 0)) hak_latency_note(cause, start_ns);
}

/** The value of `call`, which is a call of a function; its time is noted. The call stands there twice, so that nothing but the
 *  comparison is paid while the switch is off. */
#define HAK_LATENCY_OF(cause, call)                                \
  __extension__({                                                  \
    __typeof__(call) hak_latency_value_;                           \
    if (HAK_UNLIKELY(hak_latency_is_switched_on())) {              \
      const uint64_t hak_latency_start_ns_ = hak_latency_now_ns(); \
      hak_latency_value_ = (call);                                 \
      hak_latency_note((cause), hak_latency_start_ns_);            \
    } else {                                                       \
      hak_latency_value_ = (call);                                 \
    }                                                              \
    hak_latency_value_;                                            \
  })

hak_latency_figures hak_latency_read(hak_latency_cause cause);

/** "refill" and the like. */
const char* hak_latency_name(hak_latency_cause cause);

/** For hakmem/view. */
extern const hak_view_part hak_latency_view;

HAK_END_DECLS

#endif /* HAKMEM_OS_LATENCY_H_ */
