/* The histogram's invariants. In C and without googletest: tools/bench builds all that is below bench/, and needs no
 * more than a compiler. */
#include "bench/support/histogram.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect(bool holds, const char* what, double value) {
  if (holds) return;
  fprintf(stderr, "%s: not so for %.17g\n", what, value);
  exit(1);
}

static bool is_near(double value, double wanted, double share) {
  return value >= wanted * (1 - share) && value <= wanted * (1 + share);
}

static void value_is_near_its_bucket(uint64_t value) {
  const unsigned bucket = bench_histogram_bucket(value);
  expect(bucket < BENCH_HISTOGRAM_BUCKETS, "there is a bucket", (double)value);
  const double middle = bench_histogram_middle(bucket);
  expect(is_near(middle, (double)value, 1.0 / 64), "the bucket's middle is near", (double)value);
  if (value < 64) expect(middle == (double)value, "a small value has a bucket of its own", (double)value);
}

static void buckets_are_fine_enough(void) {
  for (unsigned shift = 0; shift < 64; shift++) {
    const uint64_t power = UINT64_C(1) << shift;
    const uint64_t values[] = {power - 1, power, power + 1, power + power / 3, power + power / 2};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) value_is_near_its_bucket(values[i]);
  }
}

static void buckets_ascend(void) {
  for (unsigned bucket = 1; bucket < BENCH_HISTOGRAM_BUCKETS; bucket++) {
    expect(bench_histogram_middle(bucket) > bench_histogram_middle(bucket - 1), "middles ascend", bucket);
  }
  for (uint64_t value = 1; value < 100000; value++) {
    const unsigned step = bench_histogram_bucket(value) - bench_histogram_bucket(value - 1);
    expect(step <= 1, "no bucket is left out", (double)value);
  }
}

static void quantiles_are_ranks(void) {
  static bench_histogram histogram;
  expect(bench_histogram_quantile(&histogram, 0.5) == 0.0, "nothing was counted", 0);
  for (uint64_t value = 1; value <= 10000; value++) bench_histogram_add(&histogram, value);
  expect(histogram.total == 10000, "all are counted", (double)histogram.total);
  expect(bench_histogram_quantile(&histogram, 0) == 1.0, "the least is the first", 1);
  expect(bench_histogram_quantile(&histogram, 0.001) == 10.0, "ten of 10,000 are up to 10", 10);
  static const double shares[] = {0.5, 0.9, 0.99, 0.9999, 1.0};
  for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
    const double quantile = bench_histogram_quantile(&histogram, shares[i]);
    expect(is_near(quantile, 10000 * shares[i], 1.0 / 32) && quantile <= 10000.0, "quantile", shares[i]);
  }
}

static void one_in_ten_thousand_is_not_lost(void) {
  static bench_histogram histogram;
  for (unsigned i = 0; i < 9999; i++) bench_histogram_add(&histogram, 20);
  bench_histogram_add(&histogram, 1000003);
  expect(bench_histogram_quantile(&histogram, 0.9999) == 20.0, "all but one are fast", 0.9999);
  expect(is_near(bench_histogram_quantile(&histogram, 0.99991), 1000003, 1.0 / 64), "one is slow", 0.99991);
  expect(histogram.max == 1000003, "the slowest is exact", (double)histogram.max);
}

static void merged_is_as_counted_together(void) {
  static bench_histogram both, one, other;
  for (uint64_t i = 0; i < 5000; i++) {
    bench_histogram_add(&both, i * i);
    bench_histogram_add(i % 3 == 0 ? &one : &other, i * i);
  }
  bench_histogram_merge(&one, &other);
  expect(memcmp(&one, &both, sizeof one) == 0, "merged is as counted together", 0);
}

int main(void) {
  buckets_are_fine_enough();
  buckets_ascend();
  quantiles_are_ranks();
  one_in_ten_thousand_is_not_lost();
  merged_is_as_counted_together();
  return 0;
}
