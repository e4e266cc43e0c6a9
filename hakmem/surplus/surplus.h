/* Purpose: how much free memory may stay resident: learnt from what is asked for again.
 * Owns: nothing; who keeps free memory carries the state.
 * Invariants:
 *   1. Pure policy: no memory is touched but the struct that is passed in.
 *   2. What was given back too early once is not given back early again for as long as it keeps being asked for.
 * Threads: any. The figures are estimates: what two threads count at the same moment may count once.
 * Ordering: none.
 * Cost: a few loads; an update a store or two.  Fails: never.  Fork: inherited.
 *
 * A process may go to sleep at any moment, and nobody runs in it then who could give memory back. So free memory beyond
 * a small share of what is in use goes back while the program frees. A program that allocates it again at once would pay
 * for it with page faults. It does so once: what it asks for anew after as much was given back is *credit*, and may stay
 * from then on. Credit is halved in some twenty seconds; what has been given back for longer than free memory stays at
 * most would have gone in any case, and is forgotten.
 * Where the kernel refuses, nothing is tried again until some time has passed. */
#ifndef HAKMEM_SURPLUS_SURPLUS_H_
#define HAKMEM_SURPLUS_SURPLUS_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

typedef struct hak_surplus {
  hak_atomic_u64 given_bytes;  /* back to the kernel early, and not asked for since */
  hak_atomic_u64 credit_bytes; /* asked for again */
  hak_atomic_u64 again_bytes;  /* the same, and never forgotten: a figure for reports */
  hak_atomic_u32 refused;      /* ways that the kernel refused, no time having passed since */
} hak_surplus;

/** Free bytes that may stay resident while `used_bytes` are in use. `base_bytes` may in any case. */
uint64_t hak_surplus_limit(const hak_surplus* surplus, uint64_t base_bytes, uint64_t used_bytes);

/** `size_bytes` have been given back although they had just been freed. */
void hak_surplus_on_give(hak_surplus* surplus, uint64_t size_bytes);

/** `size_bytes` that the kernel has to supply have been taken into use. */
void hak_surplus_on_take(hak_surplus* surplus, uint64_t size_bytes);

/** How memory goes back. */
typedef enum hak_surplus_way { HAK_SURPLUS_BY_PURGE = 1, HAK_SURPLUS_BY_UNMAP = 2 } hak_surplus_way;

/** The kernel would not take it that way. */
void hak_surplus_on_refusal(hak_surplus* surplus, hak_surplus_way way);

/** True when it is worth a try to give something back that way. */
bool hak_surplus_is_open(const hak_surplus* surplus, hak_surplus_way way);

/** Time has passed: `ages` times a HAK_SURPLUS_AGES_PER_DECAY-th of the time that free memory stays at most. */
void hak_surplus_age(hak_surplus* surplus, uint64_t ages);

enum {
  HAK_SURPLUS_AGES_PER_DECAY = 4,
  /** Of what is in use, this part may lie idle beside it. */
  HAK_SURPLUS_USED_SHARE = 16,
  /** Ages after which nothing is left of any credit. */
  HAK_SURPLUS_AGES_TO_FORGET = 16384
};

HAK_END_DECLS

#endif /* HAKMEM_SURPLUS_SURPLUS_H_ */
