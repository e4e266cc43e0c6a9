/* Purpose: a log-linear histogram: how often each value occurred, to within 3 %, in a fixed and small space.
 * Owns: its counters.
 * Invariants:
 *   1. A value below 32 has a bucket of its own; above, each doubling is cut into 32 buckets of one width.
 *   2. `max` is exact.
 * Threads: one writes; merge and read when no one does.  Cost: a few instructions a value; 15 KiB. */
#ifndef BENCH_SUPPORT_HISTOGRAM_H_
#define BENCH_SUPPORT_HISTOGRAM_H_

#include <stdint.h>

enum {
  BENCH_HISTOGRAM_STEPS = 32,
  BENCH_HISTOGRAM_STEP_BITS = 5,
  BENCH_HISTOGRAM_BUCKETS = 60 * BENCH_HISTOGRAM_STEPS
};

typedef struct bench_histogram {
  uint64_t counts[BENCH_HISTOGRAM_BUCKETS];
  uint64_t total;
  uint64_t max;
} bench_histogram;

/** The bucket of `value`. */
static inline unsigned bench_histogram_bucket(uint64_t value) {
  if (value < BENCH_HISTOGRAM_STEPS) return (unsigned)value;
  const unsigned shift = 63u - (unsigned)__builtin_clzll(value) - BENCH_HISTOGRAM_STEP_BITS;
  return shift * BENCH_HISTOGRAM_STEPS + (unsigned)(value >> shift);
}

/** The middle of a bucket. */
static inline double bench_histogram_middle(unsigned bucket) {
  if (bucket < 2 * BENCH_HISTOGRAM_STEPS) return (double)bucket;
  const unsigned shift = bucket / BENCH_HISTOGRAM_STEPS - 1;
  const double width = (double)(UINT64_C(1) << shift);
  return (double)(bucket - shift * BENCH_HISTOGRAM_STEPS) * width + (width - 1) / 2;
}

static inline void bench_histogram_add(bench_histogram* self, uint64_t value) {
  self->counts[bench_histogram_bucket(value)]++;
  self->total++;
  if (value > self->max) self->max = value;
}

/** Adds what `other` counted. */
static inline void bench_histogram_merge(bench_histogram* self, const bench_histogram* other) {
  for (unsigned i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++) self->counts[i] += other->counts[i];
  self->total += other->total;
  if (other->max > self->max) self->max = other->max;
}

/** The value that a share of `quantile`, in [0, 1], of all values does not exceed; 0 for an empty histogram. */
static inline double bench_histogram_quantile(const bench_histogram* self, double quantile) {
  const double rank = quantile * (double)self->total;
  uint64_t seen = 0;
  for (unsigned i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++) {
    seen += self->counts[i];
    if (seen == 0 || (double)seen < rank) continue;
    const double middle = bench_histogram_middle(i);
    return middle < (double)self->max ? middle : (double)self->max;
  }
  return (double)self->max;
}

#endif /* BENCH_SUPPORT_HISTOGRAM_H_ */
