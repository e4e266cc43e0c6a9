/* Purpose: a clock for single calls: the processor's own counter where there is one that user programs may read.
 * Owns: nothing.
 * Invariants:
 *   1. What comes before bench_ticks in program order is done when the counter is read, and what comes after has not
 *      begun, so that a call between two readings is timed alone.
 * Threads: any; on the processors that are supported the counters of all cores agree.  Cost: 10 to 40 ns. */
#ifndef BENCH_SUPPORT_TICKS_H_
#define BENCH_SUPPORT_TICKS_H_

#include <stdint.h>

#include "bench/support/run.h"

static inline uint64_t bench_ticks(void) {
#if defined(__x86_64__)
  uint32_t low;
  uint32_t high;
  __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
  return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
  uint64_t now;
  __asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(now) : : "memory");
  return now;
#else
  return bench_now_ns();
#endif
}

#endif /* BENCH_SUPPORT_TICKS_H_ */
