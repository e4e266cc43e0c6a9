/* Purpose: plays a loaded trace on the malloc of this process.
 * Owns: while it plays, a pointer for each block of the trace, and the threads that it starts.
 * Invariants:
 *   1. Thread n of the trace is one thread here; thread 0 is the caller. Each does its operations in their order.
 *   2. An operation on a block waits until the block is born. With is_loose false, a mark waits for those before it.
 *   3. Between the first operation and the last nothing here allocates but the operations, and pthread_create.
 * Threads: one caller.  Ordering: a block's pointer is published with release and taken with acquire.
 * Cost: some 5 ns an operation.  Fails: see the outcome. A thread that cannot be started ends the process: others
 *   wait for it.  Fork: none. */
#ifndef TOOLS_TRACE_PLAY_H_
#define TOOLS_TRACE_PLAY_H_

#include "tools/trace/reader.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hak_trace_touch {
  HAK_TRACE_TOUCH_NONE,
  HAK_TRACE_TOUCH_PAGES, /* a byte of each page of a block */
  HAK_TRACE_TOUCH_ALL
} hak_trace_touch;

typedef struct hak_trace_play_options {
  hak_trace_touch touch;
  bool is_verifying; /* fills each block, and looks at it when it is freed or resized, and at calloc's zeros */
  bool is_loose;     /* marks do not wait */
} hak_trace_play_options;

typedef struct hak_trace_play_outcome {
  uint64_t ops;
  uint64_t threads;
  uint64_t refused;     /* operations that returned NULL here, and a block in the trace */
  uint64_t wrong_bytes; /* blocks whose contents had changed */
  double wall_s;
  double cpu_s;
  uint64_t page_faults;
  uint64_t peak_rss_bytes; /* above what the process had when it began */
  uint64_t end_rss_bytes;  /* behind the last operation, above the same */
  uint64_t own_rss_bytes;  /* that */
  double start_cpu_s;      /* until it began */
} hak_trace_play_outcome;

/** Plays the trace once. False: there is no memory for the pointers, and `error` says so. */
bool hak_trace_play(const hak_trace* trace, const hak_trace_play_options* options, hak_trace_play_outcome* outcome,
                    hak_trace_error* error);

#ifdef __cplusplus
}
#endif

#endif /* TOOLS_TRACE_PLAY_H_ */
