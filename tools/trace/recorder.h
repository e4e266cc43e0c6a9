/* Purpose: writes what the threads of this process allocate and free into its trace.
 * Owns: the trace file, the chunks mapped from it, the shadow, and each thread's state.
 * Invariants:
 *   1. A block's birth is in the record before its address is in anyone's hands, and its end before the allocator hears
 *      of it: tickets and births follow the order in which things happened.
 *   2. What is recorded is in the file at once (the chunks are shared mappings): no end of the process loses it.
 *   3. No file stays open; the allocator under test is called for the program's operations only.
 * Threads: any; each writes its own chunks.  Ordering: a ticket is taken with an atomic read-modify-write.
 * Cost: some 20 instructions and the shadow's cache line an operation; a dozen system calls a chunk.
 * Fails: one line on stderr, and the record stops; the program goes on.
 * Fork: the child, however it was forked, begins a trace of its own. vfork's is the parent until it executes. */
#ifndef TOOLS_TRACE_RECORDER_H_
#define TOOLS_TRACE_RECORDER_H_

#include <stdbool.h>
#include <stdint.h>

#include "tools/trace/codec.h"

/** A thread's state. */
typedef struct hak_trace_self {
  uint64_t generation; /* differs from the process's: not yet part of its record */
  uint8_t* at;         /* where the next record goes */
  uint8_t* limit;      /* from here on a record might not fit */
  uint8_t* chunk;
  uint32_t until_mark;
  uint32_t records;
  uint32_t chunks;
  uint32_t named_thread; /* hak_trace_enter's, and 1 more; 0: none */
  bool is_inside;        /* amid an operation */
  bool is_leaving;       /* what it does from here on is little */
  hak_trace_context context;
} hak_trace_self;

extern __thread hak_trace_self hak_trace_me;
/** Word that a fork sets to 0. Never NULL. */
extern volatile uint64_t* hak_trace_generation;

/** Makes the calling thread part of the record. False: there is no record, or not now. */
bool hak_trace_join(hak_trace_self* me);

/** Makes room for a record of this kind: after a mark, or in another chunk. False: it is not to be written. */
bool hak_trace_make_room(hak_trace_self* me, hak_trace_kind kind);

/** Counts an operation that is not recorded. */
void hak_trace_count_missed(void);

/** Begins an operation of the calling thread; NULL: do not record it. hak_trace_end follows. */
static inline hak_trace_self* hak_trace_begin(void) {
  hak_trace_self* me = &hak_trace_me;
  if (__builtin_expect(me->is_inside, 0)) {
    hak_trace_count_missed();
    return NULL;
  }
  if (__builtin_expect(me->generation != *hak_trace_generation, 0) && !hak_trace_join(me)) return NULL;
  me->is_inside = true;
  return me;
}

static inline void hak_trace_end(hak_trace_self* me) {
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  me->is_inside = false;
}

/** Appends a record. The thread may meanwhile have become another process's: a signal handler may fork. */
static inline __attribute__((always_inline)) bool hak_trace_append(hak_trace_self* me, const hak_trace_record* record) {
  if (__builtin_expect(me->generation != *hak_trace_generation || --me->until_mark == 0 || me->at >= me->limit, 0) &&
      !hak_trace_make_room(me, record->kind)) {
    return false;
  }
  me->at = hak_trace_put(&me->context, me->at, record);
  me->records++;
  return true;
}

/* For programs that play a trace while they are recorded: without these the record would have their own operations and
 * numbers too. All three are exported, and not declared anywhere else. */

/** Forgets what was recorded, and records from now on the threads only that have entered. Before there are threads. */
void hak_trace_restart(void);

/** The calling thread's operations are recorded as those of this thread, until hak_trace_leave. */
void hak_trace_enter(uint32_t thread);
void hak_trace_leave(void);

#endif /* TOOLS_TRACE_RECORDER_H_ */
