/* Purpose: the flight recorder: what each thread has allocated and freed last, for who looks when something went wrong.
 * Owns: the rings, one a thread that has recorded something.
 * Invariants:
 *   1. The option FLIGHT_RECORDER is 0: there is no ring, and nothing is paid.
 *   2. A ring is active (one thread writes to it) or ended. It never goes away, and holds its operations until another
 *      thread takes it: the one whose thread ended first, when there are HAK_RECORDER_RINGS_MAX already.
 *   3. The newest operation of a ring is rows[(count - 1) % ring->capacity]; `count` is raised after it is written.
 * Threads: each writes to its own ring; readers look without a lock, and may find the operation that is being written torn.
 * Ordering: a row, then the count (release); pairs with the acquire of readers.
 * Cost: off, none. On, every malloc and free takes the slow path: some 60 instructions and a look at the clock each.
 * Fails: a thread that gets no ring is not recorded; hak_recorder_missed counts these.
 * Fork: the child's thread goes on with its ring; those of the others end. */
#ifndef HAKMEM_RECORDER_RECORDER_H_
#define HAKMEM_RECORDER_RECORDER_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"
#include "hakmem/base/view_part.h"

HAK_BEGIN_DECLS

enum { HAK_RECORDER_RINGS_MAX = 128, HAK_RECORDER_ROWS_MAX = 1024 };

/** hak_instrument_op, as it lies in the upper byte of a row. */
enum { HAK_RECORDER_OP_SHIFT = 56 };

typedef struct hak_recorder_row {
  uint64_t time_ns; /* fine monotonic clock */
  const void* ptr;
  const void* caller;   /* the return address in the program; NULL: not known */
  uint64_t op_and_size; /* the operation in the upper byte, the bytes asked for in the others */
} hak_recorder_row;

typedef enum hak_recorder_state { HAK_RECORDER_ACTIVE = 1, HAK_RECORDER_ENDED = 2 } hak_recorder_state;

typedef struct hak_recorder_ring {
  hak_atomic_u64 count;       /* operations since the thread came. Sync: its thread writes (release) */
  hak_atomic_u32 state;       /* hak_recorder_state. Sync: atomic; who turns ENDED to ACTIVE has it */
  uint32_t capacity;          /* rows; constant */
  uint32_t thread;            /* number of the thread that has or had it */
  const void* thread_pointer; /* the same, by hak_thread_pointer */
  hak_atomic_u64 ended_ns;    /* when that was */
  HAK_ALIGNED(HAK_CACHE_LINE_BYTES) hak_recorder_row rows[];
} hak_recorder_ring;

/** Records from now on, where the option FLIGHT_RECORDER says so. Called once, when options have been read. */
void hak_recorder_start(void);

/** The calling thread ends: what it still does is not recorded. */
void hak_recorder_end_thread(void);

/** In the child of a fork: the other threads are gone. */
void hak_recorder_after_fork(void);

/** The rings there are are hak_recorder_ring_at(0 .. count - 1). */
uint32_t hak_recorder_ring_count(void);
const hak_recorder_ring* hak_recorder_ring_at(uint32_t index);

/** The calling thread's; NULL: it has none. */
const hak_recorder_ring* hak_recorder_own(void);

/** Threads that are not recorded, as there was no ring for them. */
uint64_t hak_recorder_missed(void);

/** Forgets all. The calling thread has no ring. For tests. */
void hak_recorder_reset_for_test(void);

/** For hakmem/view. */
extern const hak_view_part hak_recorder_view;

HAK_END_DECLS

#endif /* HAKMEM_RECORDER_RECORDER_H_ */
