#include "hakmem/purge/purge.h"

#include "hakmem/base/atomics.h"
#include "hakmem/config/config.h"
#include "hakmem/limits/limits.h"
#include "hakmem/os/latency.h"
#include "hakmem/os/os.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/surplus/surplus.h"
#include "hakmem/whale_cache/whale_cache.h"

enum {
  /* Purges run this often within one decay time, so memory leaves at most a quarter late. */
  PURGES_PER_DECAY = HAK_SURPLUS_AGES_PER_DECAY,
  PERIOD_MIN_MS = 10,
  PARKED_HEAPS_PER_PURGE = 16
};

static hak_atomic_u64 due_ms HAK_START_DATA;
static hak_atomic_u64 age_due_ms HAK_START_DATA;

/* Gives all that is free back. Returns the bytes of whales; the shared pool counts its own. */
static HAK_NOINLINE uint64_t give_all(uint64_t now_ms) {
  hak_shared_pool_drain_parked(UINT32_MAX);
  hak_shared_pool_drain_named();
  hak_shared_pool_drain_complete();
  hak_shared_pool_purge(now_ms, 0);
  return hak_whale_cache_purge(now_ms, 0);
}

/* Memory is short: what was asked for again after it went back has no credit any more. */
static HAK_NOINLINE void give_all_and_forget(uint64_t now_ms) {
  hak_shared_pool_age(HAK_SURPLUS_AGES_TO_FORGET);
  hak_whale_cache_age(HAK_SURPLUS_AGES_TO_FORGET);
  (void)give_all(now_ms);
}

static uint64_t at_least(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* True: what is due at `due` has to wait. Due later than a period from now is what a longer decay time has put off. */
static bool is_ahead(uint64_t now_ms, uint64_t due, uint64_t period_ms) {
  return now_ms < due && due - now_ms <= period_ms;
}

/* How many periods have passed; 0 where purges come more often than that, near a memory limit. */
static uint64_t periods_passed(uint64_t now_ms, uint64_t period_ms) {
  const uint64_t due = hak_u64_load_relaxed(&age_due_ms);
  if (is_ahead(now_ms, due, period_ms)) return 0;
  hak_u64_store_relaxed(&age_due_ms, now_ms + period_ms);
  return due == 0 || now_ms < due ? 1 : 1 + (now_ms - due) / period_ms;
}

uint64_t hak_purge_tick(void) {
  hak_limits_consider();
  uint64_t due = hak_u64_load_relaxed(&due_ms); /* before the clock: then it is no more than a period ahead of that */
  const uint64_t now_ms = hak_os_now_ms();
  const uint64_t decay_ms = hak_config_get(HAK_OPTION_DECAY_MS);
  const uint64_t period_ms = at_least(decay_ms / PURGES_PER_DECAY, PERIOD_MIN_MS);
  if (is_ahead(now_ms, due, period_ms)) return now_ms;
  const uint64_t next = now_ms + hak_limits_period_ms(period_ms);
  if (!hak_u64_cas_acq_rel(&due_ms, &due, next)) return now_ms; /* another thread does it */
  hak_shared_pool_set_clock(now_ms);
  const uint64_t ages = periods_passed(now_ms, period_ms);
  if (due == 0) return now_ms; /* the first tick of the process only starts the clock */
  const uint64_t start_ns = hak_latency_start();
  hak_shared_pool_drain_parked(PARKED_HEAPS_PER_PURGE);
  hak_shared_pool_drain_common();
  hak_shared_pool_drain_named();
  hak_shared_pool_drain_complete();
  hak_shared_pool_purge(now_ms, decay_ms);
  if (ages != 0) {
    hak_shared_pool_age(ages);
    hak_whale_cache_age(ages);
  }
  hak_whale_cache_purge(now_ms, decay_ms);
  if (HAK_UNLIKELY(hak_limits_is_short(now_ms))) give_all_and_forget(now_ms);
  hak_latency_end(HAK_LATENCY_PURGE, start_ns);
  return now_ms;
}

uint64_t hak_purge_all(void) {
  const uint64_t before = hak_shared_pool_purged_bytes();
  const uint64_t whale_bytes = give_all(hak_os_now_ms());
  return hak_shared_pool_purged_bytes() - before + whale_bytes;
}

bool hak_purge_has_work(void) { return hak_shared_pool_has_dirty() || hak_whale_cache_has_cached(); }
