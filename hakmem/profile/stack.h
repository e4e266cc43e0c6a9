/* Purpose: who called: the return addresses on the calling thread's stack.
 * Owns: nothing.
 * Invariants:
 *   1. No byte is read that might not be there: the frame-pointer walk asks the kernel for what it reads.
 * Threads: any. The unwinder of libgcc may allocate the first time; the caller does not sample meanwhile.
 * Cost: about 1 us a frame.
 * Fails: where a frame cannot be unwound the addresses end there; 0 where there is none.
 * Fork: nothing to do. */
#ifndef HAKMEM_PROFILE_STACK_H_
#define HAKMEM_PROFILE_STACK_H_

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

/** Stores up to `most` return addresses, the innermost first, beginning with one in this library. Returns how many. */
uint32_t hak_profile_stack(uint64_t* frames, uint32_t most);

/** As hak_profile_stack, by frame pointers alone. For tests, and where there is no unwinder. */
uint32_t hak_profile_stack_by_frames(uint64_t* frames, uint32_t most);

HAK_END_DECLS

#endif /* HAKMEM_PROFILE_STACK_H_ */
