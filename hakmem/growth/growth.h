/* Purpose: which blocks grow on: whether one that realloc has to move gets a place with room behind it.
 * Owns: nothing; each thread carries the state.
 * Invariants:
 *   1. Pure policy: no memory is touched but the struct that is passed in. Blocks are told apart by address only.
 *   2. Small blocks that were given room and stayed small are few: of n of them in a row, about log2(n).
 * Threads: the state's owner.  Cost: a few loads and stores.  Fails: never.  Fork: inherited.
 *
 * Room is a unit and more of address space. A block of more than HAK_GROWTH_LARGE_BYTES has a unit to itself in any case,
 * and always gets room. A smaller one gets it where it has moved HAK_GROWTH_STREAK times in a row, no other block having
 * moved in between: a string that is appended to. Whether that was right shows when it fills half of what it was given.
 * Until then no other small block is given room, and each one that did not doubles the number of those that go without.
 * One that did is a forecast: the next starts with as many units as it came to have, and so grows without a locked
 * instruction. */
#ifndef HAKMEM_GROWTH_GROWTH_H_
#define HAKMEM_GROWTH_GROWTH_H_

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

enum {
  HAK_GROWTH_LARGE_BYTES = 32 * 1024,
  HAK_GROWTH_MIN_BYTES = 512,
  /** Moves to no more are not worth being noted. */
  HAK_GROWTH_NOTED_BYTES = 256,
  HAK_GROWTH_STREAK = 3,
  HAK_GROWTH_PENALTY_MAX = 1 << 16
};

/** All zero: nothing has moved. */
typedef struct hak_growth {
  const void* last;  /* the block that moved last */
  const void* trial; /* the small block that was given room last; NULL: none */
  uint32_t wait;     /* blocks that go without before the next trial */
  uint32_t penalty;
  uint8_t streak;    /* moves of `last` in a row, STREAK at most */
  uint8_t units;     /* that the last trial came to have; 0: as few as will do */
  bool is_open;      /* it has not filled half of them */
  bool goes_without; /* `last` does: once for all its moves */
} hak_growth;

/** The block at `ptr` grows to `size_bytes`, more than HAK_GROWTH_NOTED_BYTES, and has to move. Returns how many units its
 *  new place should have besides room, or 0: it is a block like others. */
uint32_t hak_growth_units(hak_growth* growth, const void* ptr, size_t size_bytes);

/** The block has moved to `ptr`. `with_room`: to a place as hak_growth_units said. */
void hak_growth_on_move(hak_growth* growth, const void* ptr, size_t size_bytes, bool with_room);

/** The block at `ptr`, which was given room, has filled half of its `units` units, or has got as many. */
void hak_growth_on_use(hak_growth* growth, const void* ptr, uint32_t units);

HAK_END_DECLS

#endif /* HAKMEM_GROWTH_GROWTH_H_ */
