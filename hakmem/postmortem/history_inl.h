/* Private to the post-mortem: what the flight recorder has. */
#ifndef HAKMEM_POSTMORTEM_HISTORY_INL_H_
#define HAKMEM_POSTMORTEM_HISTORY_INL_H_

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

/** Writes what was done last with the block at `block`; NULL: with the youngest of those that `address` lay in. */
void hak_history_of_block(const void* address, const void* block, int fd);

/** Writes the last operations of the calling thread. */
void hak_history_of_thread(int fd);

HAK_END_DECLS

#endif /* HAKMEM_POSTMORTEM_HISTORY_INL_H_ */
