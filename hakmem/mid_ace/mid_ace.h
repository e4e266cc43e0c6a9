/* Purpose: the adaptive cache engine: how many blocks a bin may cache, learnt from what its slow paths see.
 * Owns: nothing; each bin carries its state here, each heap its budget.
 * Invariants:
 *   1. A cap lies between 1 and the slots the bin has, except where the budget option is 0.
 *   2. The sum over a heap's bins of cap * block size exceeds the heap's budget by one block of each class at most.
 *   3. Pure policy: no memory is touched but the two structs that are passed in.
 * Threads: the heap's owner.  Cost: cold paths only.  Fails: never.  Fork: inherited.
 *
 * Signals. A *miss* is a malloc that found the cache empty, a *spill* a free that found it full. A bin that does both
 * swings by more than its cap: the cap doubles. Where that would take more than 64 KiB, and more than a 64th of the budget, it does
 * so only for swings that two more doublings would catch: misses in a row that bring more are a heap that grows and shrinks,
 * which a cache cannot hold. A bin that only misses (a growing heap) or only spills (a shrinking one) gains nothing from a larger
 * cache. A bin without either for a whole epoch is idle: its cap halves, and what it holds goes back to its slabs. What
 * it holds goes back too, the cap being kept, when the process had to grow and the bin saw neither since the last time. */
#ifndef HAKMEM_MID_ACE_MID_ACE_H_
#define HAKMEM_MID_ACE_MID_ACE_H_

#include "hakmem/base/base.h"
#include "hakmem/size_class/size_class.h"

HAK_BEGIN_DECLS

typedef struct hak_mid_ace_bin {
  uint16_t misses; /* since the last verdict; saturate */
  uint16_t spills;
  uint16_t row; /* misses, or spills, one after the other, up to now; saturates */
  bool row_spills;
  bool seen;   /* any signal in this epoch */
  bool wanted; /* any signal since the heap grew last */
} hak_mid_ace_bin;

typedef struct hak_mid_ace_budget {
  uint64_t limit_bytes;
  uint64_t granted_bytes; /* sum of cap * block size */
  uint64_t grown;         /* verdicts, for the report */
  uint64_t shrunk;
} hak_mid_ace_budget;

/** Budget of the `nth` heap at work, from 1 on: all of `limit_bytes` for the first, half of it up to the fourth, a quarter
 *  up to the eighth, so that a few threads cache what they swing by, and a sixteenth for the others, so that a thousand
 *  do not hold a program's worth. Rounded up: 0 where `limit_bytes` is. */
uint64_t hak_mid_ace_limit(uint64_t limit_bytes, uint32_t nth);

/** Cap of a bin that is used for the first time; charges the budget. `slots` is the room in the bin. */
uint32_t hak_mid_ace_start(hak_mid_ace_budget* budget, uint32_t size_class, uint32_t slots);

/** Gives the charge for `cap` back: the bin, which is empty, starts anew. */
void hak_mid_ace_refund(hak_mid_ace_budget* budget, uint32_t size_class, uint32_t cap);

/** A miss: returns the cap to use from now on. `cap` is the present one. */
uint32_t hak_mid_ace_on_miss(hak_mid_ace_budget* budget, hak_mid_ace_bin* bin, uint32_t size_class, uint32_t cap,
                             uint32_t slots);

/** A spill: likewise. */
uint32_t hak_mid_ace_on_spill(hak_mid_ace_budget* budget, hak_mid_ace_bin* bin, uint32_t size_class, uint32_t cap,
                              uint32_t slots);

/** End of an epoch: likewise; a smaller cap obliges the caller to give the surplus back. */
uint32_t hak_mid_ace_on_epoch(hak_mid_ace_budget* budget, hak_mid_ace_bin* bin, uint32_t size_class, uint32_t cap);

/** The heap had to grow. True: the bin had no use for what it holds since the last time. */
bool hak_mid_ace_on_growth(hak_mid_ace_bin* bin);

HAK_END_DECLS

#endif /* HAKMEM_MID_ACE_MID_ACE_H_ */
