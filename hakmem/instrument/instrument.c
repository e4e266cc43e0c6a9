#include "hakmem/instrument/instrument.h"

#include "hakmem/base/checks.h"

__thread uint32_t hak_instrument_mode __attribute__((tls_model("initial-exec")));

__thread uint64_t hak_instrument_bytes_left __attribute__((tls_model("initial-exec")));
/* The same while the thread records besides, and has to come by with every malloc. */
static __thread uint64_t bytes_left_aside __attribute__((tls_model("initial-exec")));

/* Sync: atomic release, acquire */
static struct { hak_atomic_ptr next, sample, resample, record, route; } hooks HAK_START_DATA;

void hak_instrument_hook_samples(hak_instrument_next_hook next, hak_instrument_sample_hook sample,
                                 hak_instrument_resample_hook resample) {
  hak_ptr_store_release(&hooks.sample, (void*)sample);
  hak_ptr_store_release(&hooks.resample, (void*)resample);
  hak_ptr_store_release(&hooks.next, (void*)next); /* last: where it is set, all are */
}

void hak_instrument_hook_records(hak_instrument_record_hook record) {
  hak_ptr_store_release(&hooks.record, (void*)record);
}

void hak_instrument_hook_routes(hak_instrument_route_hook route) { hak_ptr_store_release(&hooks.route, (void*)route); }

void hak_instrument_want(uint32_t mode, bool wanted) {
  HAK_ASSERT((mode & ~(uint32_t)HAK_INSTRUMENT_ALL) == 0);
  if (wanted) {
    hak_u64_fetch_or_seq(&hak_control_words.instrument, mode | HAK_INSTRUMENT_LOOK);
  } else {
    hak_u64_fetch_and_seq(&hak_control_words.instrument, ~(uint64_t)mode);
  }
}

/* Who writes the word from outside may ask for what has no hook in this process, or does not exist. */
static uint32_t possible_modes(uint32_t mode) {
  if (hak_ptr_load_acquire(&hooks.next) == NULL) mode &= ~(uint32_t)HAK_INSTRUMENT_SAMPLE;
  if (hak_ptr_load_acquire(&hooks.record) == NULL) mode &= ~(uint32_t)HAK_INSTRUMENT_RECORD;
  if (hak_ptr_load_acquire(&hooks.route) == NULL) mode &= ~(uint32_t)HAK_INSTRUMENT_ROUTE;
  return mode;
}

static uint64_t next_sample(void) {
  const hak_instrument_next_hook next = (hak_instrument_next_hook)hak_ptr_load_acquire(&hooks.next);
  return next();
}

static HAK_NOINLINE void change_mode(uint32_t mode) {
  const uint32_t begun = mode & ~hak_instrument_mode;
  if (hak_instrument_mode == HAK_INSTRUMENT_SAMPLE) bytes_left_aside = hak_instrument_bytes_left;
  hak_instrument_mode = mode;
  hak_instrument_set_heap(hak_heap_current);
  if ((begun & HAK_INSTRUMENT_SAMPLE) != 0) bytes_left_aside = next_sample();
  hak_instrument_bytes_left = mode == HAK_INSTRUMENT_SAMPLE ? bytes_left_aside : 0;
}

uint32_t hak_instrument_follow(void) {
  const uint32_t wanted = (uint32_t)hak_instrument_wanted() & HAK_INSTRUMENT_ALL;
  if (HAK_UNLIKELY(wanted != hak_instrument_mode)) {
    const uint32_t mode = possible_modes(wanted);
    if (mode != hak_instrument_mode) change_mode(mode);
  }
  return hak_instrument_mode;
}

void hak_instrument_set_heap(hak_heap* heap) {
  hak_heap_set_current(heap, hak_instrument_mode == 0, (hak_instrument_mode & HAK_INSTRUMENT_RECORD) == 0);
}

/* True: the countdown came to its end within these bytes. */
static inline bool count(size_t size_bytes) {
  uint64_t* left = hak_instrument_mode == HAK_INSTRUMENT_SAMPLE ? &hak_instrument_bytes_left : &bytes_left_aside;
  if (HAK_LIKELY(size_bytes < *left)) {
    *left -= size_bytes + 1;
    return false;
  }
  *left = next_sample();
  return true;
}

static void record(hak_instrument_op op, const void* ptr, size_t size_bytes) {
  const hak_instrument_record_hook hook = (hak_instrument_record_hook)hak_ptr_load_acquire(&hooks.record);
  hook(op, ptr, size_bytes);
}

hak_heap* hak_instrument_route(uint32_t mode, const void* caller) {
  if ((mode & HAK_INSTRUMENT_ROUTE) == 0) return NULL;
  const void* outer = hak_instrument_caller();
  const hak_instrument_route_hook route = (hak_instrument_route_hook)hak_ptr_load_acquire(&hooks.route);
  return route(outer != NULL ? outer : caller);
}

void* hak_instrument_on_malloc(uint32_t mode, void* block, size_t size_bytes) {
  if ((mode & HAK_INSTRUMENT_SAMPLE) != 0 && block != NULL && HAK_UNLIKELY(count(size_bytes))) {
    const hak_instrument_sample_hook sample = (hak_instrument_sample_hook)hak_ptr_load_acquire(&hooks.sample);
    block = sample(block, size_bytes);
  }
  if ((mode & HAK_INSTRUMENT_RECORD) != 0) record(HAK_INSTRUMENT_MALLOC, block, size_bytes);
  return block;
}

void hak_instrument_on_free(uint32_t mode, const void* ptr) {
  if ((mode & HAK_INSTRUMENT_RECORD) != 0) record(HAK_INSTRUMENT_FREE, ptr, 0);
}

void hak_instrument_on_resize(uint32_t mode, void* block, const void* was, size_t old_bytes, size_t size_bytes,
                              bool is_large) {
  const hak_instrument_resample_hook resample = (hak_instrument_resample_hook)hak_ptr_load_acquire(&hooks.resample);
  if (is_large && resample != NULL) {
    /* In every mode: the block may have become a sample in another. */
    const bool samples = (mode & HAK_INSTRUMENT_SAMPLE) != 0;
    resample(block, was, size_bytes, samples && size_bytes > old_bytes && count(size_bytes - old_bytes));
  }
  if ((mode & HAK_INSTRUMENT_RECORD) == 0) return;
  if (block == was) {
    record(HAK_INSTRUMENT_RESIZE, block, size_bytes);
  } else {
    record(HAK_INSTRUMENT_FREE, was, 0);
    record(HAK_INSTRUMENT_MALLOC, block, size_bytes);
  }
}

void hak_instrument_reset_for_test(void) {
  hak_u64_store_relaxed(&hak_control_words.instrument, 0);
  hak_ptr_store_release(&hooks.next, NULL);
  hak_ptr_store_release(&hooks.sample, NULL);
  hak_ptr_store_release(&hooks.resample, NULL);
  hak_ptr_store_release(&hooks.record, NULL);
  hak_ptr_store_release(&hooks.route, NULL);
  (void)hak_instrument_follow();
}
