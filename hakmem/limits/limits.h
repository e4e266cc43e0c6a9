/* Purpose: what the control group of the process allows: how much memory, how many processors, and how near memory is.
 * Owns: what was found out, and the epoch, which says that something has changed.
 * Invariants:
 *   1. No file is opened before HAK_LIMITS_FIRST_LOOK_BYTES are mapped, where option LIMITS is 0, or once the process has
 *      begun to sandbox itself (hak_limits_close). Without a memory limit none is opened after the first look.
 *   2. What the user has chosen stays: only defaults follow a limit.
 * Threads: any; one looks at a time, the others pass by.
 * Ordering: the epoch is stored after what it stands for (release), and read before (acquire).
 * Cost: the epoch is a load. A first look is three system calls for each file that is there and one for each that is not,
 *   some ten in a container; a tick with a memory limit three, near the limit nine.
 * Fails: never; what cannot be read is no limit.
 * Fork: inherited. hak_limits_after_fork in the child forgets a thread that was amid a look. */
#ifndef HAKMEM_LIMITS_LIMITS_H_
#define HAKMEM_LIMITS_LIMITS_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

enum {
  HAK_LIMITS_FIRST_LOOK_BYTES = 8 * 1024 * 1024,
  /** Of a memory limit, the share that each may hold by default. Eight threads hold 3.5 times the first one's, and an idle
   *  thread keeps what it has; the others' memory goes back at the next purge when it is short. */
  HAK_LIMITS_THREAD_CACHE_SHARE = 64,
  HAK_LIMITS_WHALE_CACHE_SHARE = 8,
  HAK_LIMITS_SUPERSLAB_CACHE_SHARE = 8,
  HAK_LIMITS_SURPLUS_SHARE = 512,
  /** Rank of a thread that gets the least, in mid ACE's count. */
  HAK_LIMITS_LAST_RANK = 9
};

/** Private to limits.c; for the inline looks that follow. Sync: atomic */
extern hak_atomic_u32 hak_limits_state;
extern hak_atomic_u32 hak_limits_epoch_now;

/** Changes whenever caches should be emptied and budgets taken anew. 0: no limit is known. */
HAK_ALWAYS_INLINE uint32_t hak_limits_epoch(void) { return hak_u32_load_acquire(&hak_limits_epoch_now); }

/** Out of line: hak_limits_consider. */
void hak_limits_consider_slow(void);

/** Called now and then: takes the first look once enough is mapped. */
HAK_ALWAYS_INLINE void hak_limits_consider(void) {
  if (HAK_UNLIKELY(hak_u32_load_relaxed(&hak_limits_state) == 0)) hak_limits_consider_slow();
}

/** Called by who purges, at time `now_ms`. True: memory is short, and all that is free should go back at once. Caches should
 *  be emptied too, which the epoch says, once a second at most. */
bool hak_limits_is_short(uint64_t now_ms);

/** How long a purge should wait for the next where it would wait `period_ms`: less when memory was not far from its limit. */
uint64_t hak_limits_period_ms(uint64_t period_ms);

/** Rank of the `nth` thread at work (from 1 on), for its budget: more than twice as many as processors are not at work. */
uint32_t hak_limits_rank(uint32_t nth);

/** The process is about to sandbox itself: the last chance for a first look, and no file is opened afterwards. */
void hak_limits_close(void);

/** True: the process has said so. What it may call from then on is not known. */
bool hak_limits_is_closed(void);

typedef struct hak_limits_figures {
  uint64_t memory_bytes; /* 0: no limit */
  uint64_t used_bytes;   /* at the last look */
  uint64_t milli_cpus;   /* 0: no limit */
  uint64_t shortages;    /* looks that found memory short */
  uint32_t version;      /* of the memory controller; 0: none */
} hak_limits_figures;

hak_limits_figures hak_limits_read_figures(void);

/** In the child of a fork. */
void hak_limits_after_fork(void);

/** As in a new process. For tests. */
void hak_limits_reset_for_test(void);

HAK_END_DECLS

#endif /* HAKMEM_LIMITS_LIMITS_H_ */
