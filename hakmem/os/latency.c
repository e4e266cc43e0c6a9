#include "hakmem/os/latency.h"

#include "hakmem/base/bits.h"
#include "hakmem/os/os_sys.h"

typedef struct histogram {
  hak_atomic_u64 buckets[HAK_LATENCY_BUCKETS];
  hak_atomic_u64 sum_ns;
} histogram;

static histogram histograms[HAK_LATENCY_COUNT]; /* Sync: atomic relaxed */

hak_atomic_u32 hak_latency_is_on HAK_START_DATA;

/* No pointers: each would be a relocation at the start of every process. */
static const char names[HAK_LATENCY_COUNT][8] = {"refill", "spill", "acquire", "merge",  "purge",
                                                 "whale",  "map",   "unmap",   "return", "lock"};

const char* hak_latency_name(hak_latency_cause cause) { return names[cause]; }

void hak_latency_switch(bool on) { hak_u32_store_relaxed(&hak_latency_is_on, on); }

uint64_t hak_latency_now_ns(void) { return hak_os_sys_clock_ns(); }

static uint32_t bucket_of(uint64_t ns) {
  const uint64_t parts = ns >> HAK_LATENCY_FIRST_SHIFT;
  const uint32_t bucket = parts == 0 ? 0 : hak_bits_highest(parts) + 1;
  return bucket < HAK_LATENCY_BUCKETS ? bucket : HAK_LATENCY_BUCKETS - 1;
}

HAK_SLOW void hak_latency_note(hak_latency_cause cause, uint64_t start_ns) {
  const uint64_t now_ns = hak_latency_now_ns();
  const uint64_t ns = now_ns > start_ns ? now_ns - start_ns : 0;
  hak_u64_fetch_add_relaxed(&histograms[cause].buckets[bucket_of(ns)], 1);
  hak_u64_fetch_add_relaxed(&histograms[cause].sum_ns, ns);
}

hak_latency_figures hak_latency_read(hak_latency_cause cause) {
  hak_latency_figures out;
  for (uint32_t i = 0; i < HAK_LATENCY_BUCKETS; i++) {
    out.buckets[i] = hak_u64_load_relaxed(&histograms[cause].buckets[i]);
  }
  out.sum_ns = hak_u64_load_relaxed(&histograms[cause].sum_ns);
  return out;
}

static const uint32_t first_shift = HAK_LATENCY_FIRST_SHIFT;

#define ROWS                               \
  HAK_VIEW_STRUCTURE("latency", histogram) \
  HAK_VIEW_FIELDS("latency", histogram, sum_ns) HAK_VIEW_ARRAYS("latency", histogram, buckets)
#define ROOTS(ROOT)             \
  ROOT("latencies", histograms) \
  ROOT("latency_names", names) ROOT("latency_first_shift", first_shift) ROOT("latency_is_on", hak_latency_is_on)
HAK_VIEW_PART(hak_latency_view, ROWS, ROOTS);
