/* Purpose: a whole trace in memory, proved to be playable.
 * Owns: the arrays of a hak_trace, in mappings of its own: the heap is left to what is played.
 * Invariants, of every trace that hak_trace_load returns:
 *   1. A block is named only by operations of which one order exists that respects each thread's order, the order of the
 *      marks, and birth before use; in that order no block is named after it was freed.
 *   2. Blocks are numbered thread by thread, in the order in which a thread takes them.
 *   3. Marks are numbered from 0 without gaps, in the order of their tickets.
 * Threads: a trace is constant once loaded.  Ordering: none.
 * Cost: 16 bytes an operation, 8 a mark; a file is read three times.
 * Fails: one line that says what is wrong, and where; NULL or false.  Fork: inherited. */
#ifndef TOOLS_TRACE_READER_H_
#define TOOLS_TRACE_READER_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/trace/codec.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One operation of a thread, or a mark. */
typedef struct hak_trace_op {
  uint64_t size;  /* of a mark: its number */
  uint32_t block; /* what is freed or resized, as a number among all blocks; of calloc: the count */
  uint8_t kind;   /* hak_trace_kind */
  uint8_t alignment_log2;
  bool has_failed;
  bool is_foreign; /* the block is another thread's */
} hak_trace_op;

typedef struct hak_trace_thread {
  const hak_trace_op* ops;
  uint64_t ops_count;
  uint64_t first_block; /* number of its first block */
  uint64_t blocks_count;
} hak_trace_thread;

typedef struct hak_trace_mark {
  uint64_t time_us; /* since the record began */
  uint32_t thread;
} hak_trace_mark;

typedef struct hak_trace {
  hak_trace_file_header header;
  hak_trace_thread* threads;
  uint64_t threads_count;
  uint64_t blocks_count;
  uint64_t ops_count; /* without marks */
  hak_trace_mark* marks;
  uint64_t marks_count;
  uint64_t records_bytes; /* in the file, without headers and what is not filled */
  uint64_t unknown_frees; /* left out of ops */
  uint64_t unborn_refs;   /* operations on blocks that the file does not know; left out as well */
} hak_trace;

/** Why there is no trace. */
typedef struct hak_trace_error {
  char text[256]; /* one line, without the file's name */
} hak_trace_error;

/** Reads a trace of `bytes` bytes, which lie at an address that is a multiple of 8. NULL: it is none, and `error` says
 *  why. hak_trace_unload gives it back. */
hak_trace* hak_trace_load(const uint8_t* data, size_t bytes, hak_trace_error* error);

/** The same of a file. */
hak_trace* hak_trace_load_file(const char* path, hak_trace_error* error);

void hak_trace_unload(hak_trace* trace);

/** Called for each operation and mark, in an order as in invariant 1. `made`: number of the block that it makes, or
 *  UINT32_MAX. */
typedef void (*hak_trace_visit)(void* context, uint32_t thread, const hak_trace_op* op, uint32_t made);

/** Visits all operations. False: there is no such order, and `error` says where it ends. Not for traces that were
 *  loaded: those have one. */
bool hak_trace_walk(const hak_trace* trace, hak_trace_visit visit, void* context, hak_trace_error* error);

/** Pages of zeros that are there already; NULL where there are none to have. */
void* hak_trace_pages_take(size_t bytes);
void hak_trace_pages_give(void* pages, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif /* TOOLS_TRACE_READER_H_ */
