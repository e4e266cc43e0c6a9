/* Purpose: what a trace says about the program: sizes, lifetimes, threads, growth.
 * Owns: arrays of all blocks while it counts.  Invariants: none beyond the trace's.
 * Threads: any.  Ordering: none.  Cost: a pass.  Fails: without memory.  Fork: none. */
#ifndef TOOLS_TRACE_SUMMARY_H_
#define TOOLS_TRACE_SUMMARY_H_

#include "tools/trace/reader.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  /** Place n of a histogram: 0 for the value 0, else the values from 2^(n-1) on. */
  HAK_TRACE_PLACES = 65
};

typedef struct hak_trace_thread_summary {
  uint64_t ops;
  uint64_t blocks;
  uint64_t frees;         /* of any thread's blocks; realloc is neither */
  uint64_t foreign_frees; /* of those, other threads' blocks */
} hak_trace_thread_summary;

typedef struct hak_trace_summary {
  uint64_t kinds[HAK_TRACE_KINDS];
  uint64_t failed;
  uint64_t sizes[HAK_TRACE_PLACES];      /* blocks by the bytes asked for */
  uint64_t size_bytes[HAK_TRACE_PLACES]; /* the bytes of those */
  uint64_t lifetimes[HAK_TRACE_PLACES];  /* blocks by the operations of all threads from birth to end */
  uint64_t peak_live_bytes;
  uint64_t peak_live_blocks; /* at the peak of bytes */
  uint64_t last_live_bytes;
  uint64_t last_live_blocks;
  uint64_t grown; /* reallocs to a larger size */
  uint64_t shrunk;
  uint64_t same;
  uint64_t longest_growth; /* steps of the block that grew most often */
  uint64_t longest_growth_bytes;
  uint64_t duration_us;
  hak_trace_thread_summary* threads;
  uint64_t threads_count;
} hak_trace_summary;

/** Counts. False: no memory. hak_trace_summary_free gives back what it took. */
bool hak_trace_summarise(const hak_trace* trace, hak_trace_summary* summary);
void hak_trace_summary_free(hak_trace_summary* summary);

/** Place of a value in a histogram. */
unsigned hak_trace_place(uint64_t value);

#ifdef __cplusplus
}
#endif

#endif /* TOOLS_TRACE_SUMMARY_H_ */
