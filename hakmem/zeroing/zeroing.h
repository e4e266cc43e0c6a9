/* Purpose: makes a large used block read as zero in the way that costs the program less: it is cleared, or its pages go back
 *   and the kernel gives zero ones for those that are touched.
 * Owns: nothing; the caller carries the state.
 * Invariants:
 *   1. After hak_zeroing_make the block reads as zero, whatever the kernel refused.
 *   2. Only the block, up to the end of the page in which it ends, is touched.
 *   3. No system call but the madvise of hak_os_purge.
 * Threads: any. The state is an estimate: what two threads learn at the same moment may count once.
 * Ordering: none.
 * Cost: per 4 KiB about 0.1 us to clear, or 0.3 to 1 us for each page that is touched afterwards.
 * Fails: never.  Fork: inherited.
 *
 * What will be touched is learnt from what was. A block that was made zero and comes back to be made zero again has
 * pages of zeroes where nobody wrote. So now and then a few pieces of a used block are looked at before it is made zero,
 * and the share of those that are not all zero is the program's. Blocks that malloc gave out meanwhile make the share
 * larger, and so does everything else that is not understood: then blocks are cleared. */
#ifndef HAKMEM_ZEROING_ZEROING_H_
#define HAKMEM_ZEROING_ZEROING_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

enum {
  /** Smaller blocks are cleared: the system call would cost as much. */
  HAK_ZEROING_MIN_BYTES = HAK_UNIT_BYTES,
  /** Pieces that are looked at in a sample, and the bytes of each. */
  HAK_ZEROING_PIECES = 8,
  HAK_ZEROING_PIECE_BYTES = 4096,
  /** A share of all. */
  HAK_ZEROING_SHARE_ONE = 1024
};

/** All zero: nothing learnt yet; pages go back. */
typedef struct hak_zeroing {
  hak_atomic_u32 calls;
  hak_atomic_u32 share;  /* moving average of the pieces written to, in SHARE_ONE-ths */
  hak_atomic_u32 clears; /* 1: too much is touched, blocks are cleared */
} hak_zeroing;

/** The words of HAKMEM_ZEROING. */
typedef enum hak_zeroing_way { HAK_ZEROING_LEARN, HAK_ZEROING_CLEAR, HAK_ZEROING_PURGE } hak_zeroing_way;

/** Makes [block, block + size_bytes) read as zero. The block is a multiple of HAK_UNIT_BYTES at least as long, and starts on
 *  one; `size_bytes` is HAK_ZEROING_MIN_BYTES at least. */
void hak_zeroing_make(hak_zeroing* zeroing, void* block, size_t size_bytes);

/* The policy by itself. */

/** True: the caller samples the block that it is about to make zero. */
bool hak_zeroing_is_sample_due(hak_zeroing* zeroing);
/** `written` of `pieces` pieces (not 0) were not all zero. */
void hak_zeroing_on_sample(hak_zeroing* zeroing, uint32_t written, uint32_t pieces);
/** True: clear; false: give the pages back. */
bool hak_zeroing_clears(const hak_zeroing* zeroing);

HAK_END_DECLS

#endif /* HAKMEM_ZEROING_ZEROING_H_ */
