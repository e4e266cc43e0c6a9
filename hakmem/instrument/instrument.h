/* Purpose: turns threads from the hit paths to the slow ones, where somebody wants to see what they allocate and free.
 * Owns: the control word that says what is wanted, what each thread does about it, the hooks.
 * Invariants:
 *   1. A thread whose mode is 0 runs the same instructions on its hit paths as if this box were not there.
 *   2. A thread takes up what is wanted in its next slow path, and when it starts. One that takes none goes on as it was;
 *      it allocates from what it has itself freed, so that it neither grows nor leaks.
 *   3. While a thread samples or routes, each of its mallocs takes the slow path; while it records, each free too.
 *   4. A hook is set before its mode is wanted, and never taken away.
 * Threads: any may say what is wanted; a thread's mode and countdown are its own. What is wanted may also be written from
 *   another process (the view).
 * Ordering: hooks are set by release and read by acquire. The word itself is relaxed: a thread is late by a slow path anyway.
 * Cost: off: a comparison in slow paths. On: about 20 instructions a malloc, 60 where it is recorded, 30 where it is routed.
 * Fails: never.
 * Fork: inherited. */
#ifndef HAKMEM_INSTRUMENT_INSTRUMENT_H_
#define HAKMEM_INSTRUMENT_INSTRUMENT_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"
#include "hakmem/base/control.h"
#include "hakmem/heap/heap.h"

HAK_BEGIN_DECLS

/** What a thread does besides. A set of these is a mode. */
enum {
  /** Counts the bytes of its mallocs, and calls the `sample` hook each time that its countdown is over. */
  HAK_INSTRUMENT_SAMPLE = 1,
  /** Calls the `record` hook at each malloc, free and change of size. */
  HAK_INSTRUMENT_RECORD = 2,
  /** In what is wanted, besides: threads have to look, since some may do something. Set once, it stays. */
  HAK_INSTRUMENT_LOOK = 4,
  /** Asks the `route` hook for each small block. */
  HAK_INSTRUMENT_ROUTE = 8,
  HAK_INSTRUMENT_ALL = HAK_INSTRUMENT_SAMPLE | HAK_INSTRUMENT_RECORD | HAK_INSTRUMENT_ROUTE
};

/** What `record` is told of. A block that realloc moves is freed and allocated. */
typedef enum hak_instrument_op {
  HAK_INSTRUMENT_MALLOC, /* the block, and the bytes asked for; NULL where there was no memory */
  HAK_INSTRUMENT_FREE,   /* what free was given, before a look at whether it is a block; 0 */
  HAK_INSTRUMENT_RESIZE  /* a block that realloc leaves where it lies, and the bytes asked for */
} hak_instrument_op;

/** The hooks may not allocate by way of the gate, take locks that are held over the gate's slow paths, or change errno. They
 *  are called outside of hak_heap_enter and hak_heap_leave, with no lock held. */

/** SAMPLE: bytes until this thread's next sample. Called when a thread begins to sample, and before each sample. */
typedef uint64_t (*hak_instrument_next_hook)(void);
/** SAMPLE: `block` was allocated for `size_bytes`, and the countdown ended within it. Returns what the program gets: it, or
 *  another of the same class. */
typedef void* (*hak_instrument_sample_hook)(void* block, size_t size_bytes);
/** The span or whale that lay at `was` is at `block` now and serves `size_bytes`: also of a thread that does not sample, as
 *  it may be a sample from before. `is_sampled`: by the bytes that it has grown by the countdown came to its end. */
typedef void (*hak_instrument_resample_hook)(void* block, const void* was, size_t size_bytes, bool is_sampled);
/** RECORD. */
typedef void (*hak_instrument_record_hook)(hak_instrument_op op, const void* ptr, size_t size_bytes);
/** ROUTE: the named heap that serves a call that returns to `caller`; NULL: the thread's own. */
typedef hak_heap* (*hak_instrument_route_hook)(const void* caller);

void hak_instrument_hook_samples(hak_instrument_next_hook next, hak_instrument_sample_hook sample,
                                 hak_instrument_resample_hook resample);
void hak_instrument_hook_records(hak_instrument_record_hook record);
void hak_instrument_hook_routes(hak_instrument_route_hook route);

/** Wants `mode`, a set of modes, of every thread, or no longer. Their hooks are set. */
void hak_instrument_want(uint32_t mode, bool wanted);

/** What is wanted of every thread: a mode, and HAK_INSTRUMENT_LOOK from the first one on. Who writes the word from outside of
 *  the process sets that too. Sync: atomic relaxed */
HAK_ALWAYS_INLINE uint64_t hak_instrument_wanted(void) { return hak_u64_load_relaxed(&hak_control_words.instrument); }

/** What the calling thread does. */
extern __thread uint32_t hak_instrument_mode __attribute__((tls_model("initial-exec")));

/** While the thread samples and does no more: bytes until its next sample, of which a malloc of s takes s + 1. Else 0. */
extern __thread uint64_t hak_instrument_bytes_left __attribute__((tls_model("initial-exec")));

/** True: the thread samples, does no more, and the malloc is counted; it is no sample. What is wanted now may be something
 *  else: the thread learns of it with its next sample, or in its next slow path. */
HAK_ALWAYS_INLINE bool hak_instrument_try_count(size_t size_bytes) {
  const uint64_t left = hak_instrument_bytes_left;
  if (HAK_UNLIKELY(size_bytes >= left)) return false;
  hak_instrument_bytes_left = left - size_bytes - 1;
  return true;
}
/** Where in the program the call of the allocator returns to that the thread is in; NULL: not known. For the record hook. */
HAK_ALWAYS_INLINE const void* hak_instrument_caller(void) { return hak_heap_current->caller; }

/** A call that returns to `caller` begins, or goes on within another one. True: it is the outermost, and hak_instrument_end
 *  ends it. */
HAK_ALWAYS_INLINE bool hak_instrument_begin(const void* caller) {
  hak_heap* heap = hak_heap_current;
  if (!hak_heap_is_real(heap) || heap->caller != NULL) return false;
  heap->caller = caller;
  return true;
}
HAK_ALWAYS_INLINE void hak_instrument_end(bool is_outermost) {
  if (is_outermost) hak_heap_current->caller = NULL;
}

/** True when the thread has to follow: it may be instrumented, or is to be. Where a slow path begins. */
HAK_ALWAYS_INLINE bool hak_instrument_is_on(void) { return hak_instrument_wanted() != 0; }

/** True when the thread routes, does no more, and that is what is wanted of it. */
HAK_ALWAYS_INLINE bool hak_instrument_only_routes(void) {
  return hak_instrument_mode == HAK_INSTRUMENT_ROUTE &&
         hak_instrument_wanted() == (HAK_INSTRUMENT_ROUTE | HAK_INSTRUMENT_LOOK);
}

/** The thread does from now on what is wanted. Returns that. */
uint32_t hak_instrument_follow(void);

/** Makes `heap` the calling thread's, as its mode has it. */
void hak_instrument_set_heap(hak_heap* heap);

/** In a mode: the named heap that serves a call that returns to `caller`, or the outer one that it is part of. NULL: the
 *  thread's own does. */
hak_heap* hak_instrument_route(uint32_t mode, const void* caller);

/** In a mode: `block`, allocated for `size_bytes`, is counted and recorded. Returns what the program gets, of the same
 *  class as `block`. NULL is recorded, and returned. */
void* hak_instrument_on_malloc(uint32_t mode, void* block, size_t size_bytes);

/** In a mode: the program gives `ptr` to free. */
void hak_instrument_on_free(uint32_t mode, const void* ptr);

/** In a mode: the block at `was`, of `old_bytes`, lies at `block` now, mostly the same, and serves `size_bytes`. `is_large`:
 *  it is a span or a whale. */
void hak_instrument_on_resize(uint32_t mode, void* block, const void* was, size_t old_bytes, size_t size_bytes,
                              bool is_large);

/** Nothing is wanted, there are no hooks, and the calling thread does nothing. For tests. */
void hak_instrument_reset_for_test(void);

HAK_END_DECLS

#endif /* HAKMEM_INSTRUMENT_INSTRUMENT_H_ */
