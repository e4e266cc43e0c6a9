#include "hakmem/limits/limits.h"

#include <string.h>

#include "hakmem/config/config.h"
#include "hakmem/limits/group_inl.h"
#include "hakmem/os/os.h"

enum { STATE_UNKNOWN = 0, STATE_LOOKING = 1, STATE_DONE = 2 };

enum {
  /* Memory is short when so many eighths of the limit are pages that nobody but the program can give back. */
  SHORT_EIGHTHS = 7,
  /* Or somebody has waited for memory in so many hundredths of a percent of the last ten seconds. */
  SHORT_PRESSURE = 1000,
  /* Caches are emptied this often at most. */
  EMPTY_EVERY_MS = 1000,
  /* With half of the limit used, purges come this often. */
  NEAR_PERIOD_MS = 10
};

hak_atomic_u32 hak_limits_state;
hak_atomic_u32 hak_limits_epoch_now;

/* Sync: who has set `busy`, or the state to STATE_LOOKING; the figures are read by any. */
static hak_limits_group group;
static uint64_t emptied_ms;
static hak_atomic_u32 busy, is_closed;
static hak_atomic_u64 memory_bytes, used_bytes, milli_cpus, shortages;
static hak_atomic_u32 version;

static void lower(hak_option option, uint64_t value) {
  if (value < hak_config_get(option)) hak_config_set_default(option, value);
}

static void follow_memory_limit(uint64_t limit_bytes) {
  lower(HAK_OPTION_THREAD_CACHE_BYTES, limit_bytes / HAK_LIMITS_THREAD_CACHE_SHARE);
  lower(HAK_OPTION_WHALE_CACHE_BYTES, limit_bytes / HAK_LIMITS_WHALE_CACHE_SHARE);
  lower(HAK_OPTION_SUPERSLAB_CACHE, limit_bytes / HAK_LIMITS_SUPERSLAB_CACHE_SHARE / HAK_SUPERSLAB_BYTES);
  lower(HAK_OPTION_SURPLUS_BYTES, limit_bytes / HAK_LIMITS_SURPLUS_SHARE);
}

static bool is_switched_on(void) { return hak_config_get(HAK_OPTION_LIMITS) != 0; }

static void look(void) {
  uint32_t expected = STATE_UNKNOWN;
  if (!hak_u32_cas_acq_rel(&hak_limits_state, &expected, STATE_LOOKING)) return;
  if (is_switched_on()) {
    hak_limits_group_find(&group);
    hak_u64_store_relaxed(&memory_bytes, group.memory_bytes);
    hak_u64_store_relaxed(&milli_cpus, group.milli_cpus);
    hak_u32_store_relaxed(&version, group.version);
    if (group.memory_bytes != 0) follow_memory_limit(group.memory_bytes);
    if (group.memory_bytes != 0 || group.milli_cpus != 0) hak_u32_store_release(&hak_limits_epoch_now, 1);
  }
  hak_u32_store_release(&hak_limits_state, STATE_DONE); /* pairs with the load in is_short */
}

/* Switched off, the look is left for later. */
void hak_limits_consider_slow(void) {
  if (hak_os_mapped_bytes() >= HAK_LIMITS_FIRST_LOOK_BYTES && is_switched_on()) look();
}

/* True: pages that cannot be had back by writing or dropping files come near the limit, or the kernel says that there is a
 * want of memory. A group that reads files is at its limit all the time, and none the worse for it. */
static bool is_want(uint64_t used) {
  if (used >= group.memory_bytes / 8 * SHORT_EIGHTHS) {
    const uint64_t pinned = hak_limits_group_pinned_bytes(&group, used);
    if (pinned >= group.memory_bytes / 8 * SHORT_EIGHTHS) return true;
  }
  return hak_limits_group_pressure(&group) >= SHORT_PRESSURE;
}

bool hak_limits_is_short(uint64_t now_ms) {
  if (hak_u32_load_acquire(&hak_limits_state) != STATE_DONE || hak_u64_load_relaxed(&memory_bytes) == 0) return false;
  if (!is_switched_on() || hak_u32_load_relaxed(&is_closed) || hak_u32_exchange_acquire(&busy, 1)) return false;
  const uint64_t used = hak_limits_group_used_bytes(&group);
  hak_u64_store_relaxed(&used_bytes, used);
  const bool is_short = used >= group.memory_bytes / 2 && is_want(used);
  if (is_short) {
    hak_u64_fetch_add_relaxed(&shortages, 1);
    if (now_ms >= emptied_ms + EMPTY_EVERY_MS) {
      emptied_ms = now_ms;
      hak_u32_store_release(&hak_limits_epoch_now, hak_u32_load_relaxed(&hak_limits_epoch_now) + 1);
    }
  }
  hak_u32_store_release(&busy, 0);
  return is_short;
}

uint64_t hak_limits_period_ms(uint64_t period_ms) {
  const uint64_t limit_bytes = hak_u64_load_relaxed(&memory_bytes);
  if (limit_bytes == 0 || !is_switched_on() || hak_u64_load_relaxed(&used_bytes) < limit_bytes / 2) return period_ms;
  return period_ms < NEAR_PERIOD_MS ? period_ms : NEAR_PERIOD_MS;
}

uint32_t hak_limits_rank(uint32_t nth) {
  const uint64_t milli = hak_u64_load_relaxed(&milli_cpus);
  if (milli == 0 || nth >= HAK_LIMITS_LAST_RANK) return nth;
  return (uint64_t)nth * 1000 <= 2 * milli || nth == 1 ? nth : HAK_LIMITS_LAST_RANK;
}

void hak_limits_close(void) {
  look();
  hak_u32_store_relaxed(&is_closed, 1);
}

bool hak_limits_is_closed(void) { return hak_u32_load_relaxed(&is_closed) != 0; }

hak_limits_figures hak_limits_read_figures(void) {
  hak_limits_figures out;
  out.memory_bytes = hak_u64_load_relaxed(&memory_bytes);
  out.used_bytes = hak_u64_load_relaxed(&used_bytes);
  out.milli_cpus = hak_u64_load_relaxed(&milli_cpus);
  out.shortages = hak_u64_load_relaxed(&shortages);
  out.version = hak_u32_load_relaxed(&version);
  return out;
}

void hak_limits_after_fork(void) {
  hak_u32_store_relaxed(&busy, 0);
  /* Amid the first look: what was found by then is not known. */
  if (hak_u32_load_relaxed(&hak_limits_state) == STATE_LOOKING) hak_u32_store_relaxed(&hak_limits_state, STATE_UNKNOWN);
}

void hak_limits_reset_for_test(void) {
  memset(&group, 0, sizeof group);
  emptied_ms = 0;
  hak_u32_store_relaxed(&busy, 0);
  hak_u32_store_relaxed(&is_closed, 0);
  hak_u64_store_relaxed(&memory_bytes, 0);
  hak_u64_store_relaxed(&used_bytes, 0);
  hak_u64_store_relaxed(&milli_cpus, 0);
  hak_u64_store_relaxed(&shortages, 0);
  hak_u32_store_relaxed(&version, 0);
  hak_u32_store_relaxed(&hak_limits_epoch_now, 0);
  hak_u32_store_relaxed(&hak_limits_state, STATE_UNKNOWN);
}
