#include "tools/trace/summary.h"

#include <string.h>

typedef struct block {
  uint64_t size;
  uint64_t born;  /* operation */
  uint32_t steps; /* of growth so far */
} block;

typedef struct counting {
  hak_trace_summary* out;
  block* blocks;
  uint64_t now; /* operation */
  uint64_t live_bytes;
  uint64_t live_blocks;
} counting;

unsigned hak_trace_place(uint64_t value) { return value == 0 ? 0 : 64 - (unsigned)__builtin_clzll(value); }

static void bear(counting* count, uint32_t number, uint64_t size) {
  count->blocks[number] = (block){size, count->now, 0};
  const unsigned place = hak_trace_place(size);
  count->out->sizes[place]++;
  count->out->size_bytes[place] += size;
  count->live_bytes += size;
  count->live_blocks++;
  if (count->live_bytes > count->out->peak_live_bytes) {
    count->out->peak_live_bytes = count->live_bytes;
    count->out->peak_live_blocks = count->live_blocks;
  }
}

static void end(counting* count, uint32_t number) {
  const block* of = &count->blocks[number];
  count->out->lifetimes[hak_trace_place(count->now - of->born)]++;
  count->live_bytes -= of->size;
  count->live_blocks--;
}

static void resize(counting* count, const hak_trace_op* op, uint32_t made) {
  hak_trace_summary* out = count->out;
  const block old = count->blocks[op->block];
  end(count, op->block);
  bear(count, made, op->size);
  out->grown += op->size > old.size;
  out->shrunk += op->size < old.size;
  out->same += op->size == old.size;
  count->blocks[made].steps = old.steps + (op->size > old.size);
  if (count->blocks[made].steps > out->longest_growth) {
    out->longest_growth = count->blocks[made].steps;
    out->longest_growth_bytes = op->size;
  }
}

static void visit(void* context, uint32_t thread, const hak_trace_op* op, uint32_t made) {
  counting* count = context;
  hak_trace_thread_summary* of = &count->out->threads[thread];
  if (op->kind == HAK_TRACE_MARK) return;
  count->now++;
  of->ops++;
  count->out->kinds[op->kind]++;
  if (op->has_failed) {
    count->out->failed++;
    return;
  }
  if (made != UINT32_MAX) of->blocks++;
  if (op->kind == HAK_TRACE_REALLOC) {
    resize(count, op, made);
  } else if (made != UINT32_MAX) {
    bear(count, made, op->kind == HAK_TRACE_CALLOC ? op->block * op->size : op->size);
  } else if (hak_trace_names_block((hak_trace_kind)op->kind)) {
    of->frees++;
    of->foreign_frees += op->is_foreign;
    end(count, op->block);
  }
}

bool hak_trace_summarise(const hak_trace* trace, hak_trace_summary* summary) {
  memset(summary, 0, sizeof(*summary));
  counting count = {.out = summary};
  hak_trace_error error;
  summary->threads_count = trace->threads_count;
  summary->threads = hak_trace_pages_take(trace->threads_count * sizeof(*summary->threads));
  count.blocks = hak_trace_pages_take(trace->blocks_count * sizeof(*count.blocks));
  const bool is_counted =
      summary->threads != NULL && count.blocks != NULL && hak_trace_walk(trace, visit, &count, &error);
  hak_trace_pages_give(count.blocks, trace->blocks_count * sizeof(*count.blocks));
  summary->last_live_bytes = count.live_bytes;
  summary->last_live_blocks = count.live_blocks;
  for (uint64_t i = 0; i < trace->marks_count; i++) {
    if (trace->marks[i].time_us > summary->duration_us) summary->duration_us = trace->marks[i].time_us;
  }
  return is_counted;
}

void hak_trace_summary_free(hak_trace_summary* summary) {
  hak_trace_pages_give(summary->threads, summary->threads_count * sizeof(*summary->threads));
}
