/* All operations of a trace on one thread, in an order that the recorded process could have had. */
#include <inttypes.h>
#include <stdio.h>

#include "tools/trace/reader.h"

enum { UNBORN, BORN, FREED };

typedef struct walking {
  const hak_trace* trace;
  hak_trace_visit visit;
  void* context;
  hak_trace_error* error;
  uint8_t* states; /* of blocks */
  uint64_t* next;  /* of each thread: its next operation */
  uint64_t* born;  /* of each thread */
  uint64_t turn;   /* the mark that may be passed */
} walking;

typedef enum step { WENT, WAITS, IS_WRONG } step;

static step step_once(walking* walk, uint32_t thread) {
  const hak_trace_thread* of = &walk->trace->threads[thread];
  const hak_trace_op* op = &of->ops[walk->next[thread]];
  if (op->kind == HAK_TRACE_MARK) {
    if (op->size != walk->turn) return WAITS;
    walk->turn++;
  }
  if (hak_trace_names_block((hak_trace_kind)op->kind)) {
    uint8_t* state = &walk->states[op->block];
    if (*state == UNBORN) return WAITS;
    if (*state == FREED) {
      snprintf(walk->error->text, sizeof(walk->error->text),
               "is damaged: operation %" PRIu64 " of thread %" PRIu32 " names a block that was freed before it",
               walk->next[thread], thread);
      return IS_WRONG;
    }
    if (!op->has_failed) *state = FREED;
  }
  uint32_t made = UINT32_MAX;
  if (hak_trace_makes_block((hak_trace_kind)op->kind, op->has_failed)) {
    made = (uint32_t)(of->first_block + walk->born[thread]++);
    walk->states[made] = BORN;
  }
  walk->next[thread]++;
  walk->visit(walk->context, thread, op, made);
  return WENT;
}

/* As far as the thread comes. */
static step run_thread(walking* walk, uint32_t thread, bool* went) {
  const uint64_t end = walk->trace->threads[thread].ops_count;
  while (walk->next[thread] < end) {
    const step now = step_once(walk, thread);
    if (now != WENT) return now;
    *went = true;
  }
  return WAITS;
}

static bool walk_all(walking* walk) {
  const hak_trace* trace = walk->trace;
  for (bool went = true; went;) {
    went = false;
    /* Mostly it is the turn of whoever has the next mark. */
    while (walk->turn < trace->marks_count) {
      bool owner_went = false;
      if (run_thread(walk, trace->marks[walk->turn].thread, &owner_went) == IS_WRONG) return false;
      if (!owner_went) break;
      went = true;
    }
    for (uint32_t thread = 0; thread < trace->threads_count; thread++) {
      if (run_thread(walk, thread, &went) == IS_WRONG) return false;
    }
  }
  for (uint32_t thread = 0; thread < trace->threads_count; thread++) {
    if (walk->next[thread] == trace->threads[thread].ops_count) continue;
    snprintf(walk->error->text, sizeof(walk->error->text),
             "is damaged: operation %" PRIu64 " of thread %" PRIu32 " waits for one that waits for it",
             walk->next[thread], thread);
    return false;
  }
  return true;
}

bool hak_trace_walk(const hak_trace* trace, hak_trace_visit visit, void* context, hak_trace_error* error) {
  walking walk = {.trace = trace, .visit = visit, .context = context, .error = error};
  const size_t threads_bytes = trace->threads_count * sizeof(uint64_t);
  walk.states = hak_trace_pages_take(trace->blocks_count);
  walk.next = hak_trace_pages_take(threads_bytes);
  walk.born = hak_trace_pages_take(threads_bytes);
  const bool has_memory = walk.states != NULL && walk.next != NULL && walk.born != NULL;
  if (!has_memory) snprintf(error->text, sizeof(error->text), "needs more memory than is to be had");
  const bool is_walked = has_memory && walk_all(&walk);
  hak_trace_pages_give(walk.states, trace->blocks_count);
  hak_trace_pages_give(walk.next, threads_bytes);
  hak_trace_pages_give(walk.born, threads_bytes);
  return is_walked;
}
