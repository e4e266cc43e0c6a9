/* string_builder: strings that grow by realloc, from --min to --max bytes, then are freed and begun anew.
 *
 * --step adds so many bytes at a time; with --step 0 a string grows by half of its size, as vectors do. --builders
 * strings grow in turn, so that with more than one no string has the end of the heap to itself.
 * One operation is one realloc (the first is a realloc of NULL, which is a malloc) or one free. After each, the first
 * byte of the string is read and checked, and the first byte of the added part and of each of its pages is written. */
#include "bench/support/args.h"
#include "bench/support/block.h"
#include "bench/support/team.h"

enum { CHUNK = 1024, MAX_BUILDERS = 1 << 20, MAX_BYTES = 1 << 30 };

static uint64_t opt_min = 8;
static uint64_t opt_max = 64;
static uint64_t opt_step = 8;
static uint64_t opt_builders = 1;

static const bench_option options[] = {
    {"min", "first size, bytes", &opt_min, 2, MAX_BYTES, NULL},
    {"max", "largest size, bytes", &opt_max, 2, MAX_BYTES, NULL},
    {"step", "growth, bytes; 0: half of the size", &opt_step, 0, MAX_BYTES, NULL},
    {"builders", "strings that grow in turn", &opt_builders, 1, MAX_BUILDERS, NULL},
};

static const bench_program program = {"string_builder", "growth by realloc", options,
                                      sizeof options / sizeof options[0]};

typedef struct builder {
  void* text; /* NULL: not begun */
  size_t size;
} builder;

/* The size after the next step; above --max where the string is complete. */
static size_t next_size(const builder* self) {
  if (self->text == NULL) return opt_min;
  return self->size + (opt_step != 0 ? opt_step : self->size / 2);
}

/* One operation on one string; `tag` is the builder's own. */
static void advance(builder* self, uint64_t tag) {
  const size_t size = next_size(self);
  if (size > opt_max) {
    bench_block_free(self->text, tag);
    self->text = NULL;
    self->size = 0;
    return;
  }
  self->text = bench_block_check(realloc(self->text, size));
  if (self->size == 0) {
    bench_block_mark(self->text, tag);
    bench_block_touch_pages(self->text, BENCH_PAGE_BYTES, size);
  } else {
    bench_block_verify(self->text, tag);
    bench_block_touch_pages(self->text, self->size, size);
  }
  self->size = size;
}

static uint64_t work(bench_team* team, unsigned index) {
  (void)index;
  builder* builders = bench_block_check(calloc(opt_builders, sizeof *builders));

  bench_team_begin(team);
  uint64_t ops = 0;
  uint64_t at = 0;
  uint64_t count;
  while ((count = bench_run_next(&team->run, ops, CHUNK)) != 0) {
    for (uint64_t done = 0; done < count; done++) {
      advance(&builders[at], at);
      at = at + 1 == opt_builders ? 0 : at + 1;
    }
    ops += count;
  }
  bench_team_end(team);

  for (uint64_t i = 0; i < opt_builders; i++) free(builders[i].text);
  free(builders);
  return ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  if (opt_min > opt_max) bench_args_reject(&program, "--min is above --max");
  return bench_team_run(&limits, 1, work);
}
