#include "hakmem/profile/profile.h"

#include <errno.h>

#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"
#include "hakmem/base/control.h"
#include "hakmem/config/config.h"
#include "hakmem/instrument/instrument.h"
#include "hakmem/os/os.h"
#include "hakmem/profile/estimate.h"
#include "hakmem/profile/stack.h"
#include "hakmem/profile/tables_inl.h"
#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/whale_cache/whale_cache.h"

static hak_lock lock HAK_START_DATA;
static hak_atomic_u64 draws; /* counts random numbers */

/* Set while this thread takes a stack, for which libc may allocate. */
static __thread bool thread_is_sampling __attribute__((tls_model("initial-exec")));

hak_lock* hak_profile_lock(void) { return &lock; }

/* --- the interval --- */

static uint64_t mean_bytes(void) {
  const uint64_t mean = hak_u64_load_relaxed(&hak_control_words.profile_interval_bytes);
  return mean != 0 ? mean : hak_config_get(HAK_OPTION_PROFILE_BYTES);
}

static uint64_t next_distance(void) {
  /* Different in each process, forked ones among them: the clock counts in. */
  const uint64_t n = hak_u64_fetch_add_relaxed(&draws, 1);
  return hak_profile_distance(hak_profile_random(n ^ hak_os_now_ms() << 32), mean_bytes());
}

/* --- blocks of sampled slabs --- */

static hak_slab* partial[HAK_SIZE_CLASS_COUNT]; /* sampled slabs with free blocks. Sync: lock */

/* The lowest free block; NULL: there is no slab with one. */
static void* take_block_locked(uint32_t size_class) {
  hak_slab* slab = partial[size_class];
  if (slab == NULL) return NULL;
  const hak_slab_run run = hak_slab_take_run(slab);
  const uint32_t bit = hak_bits_lowest(run.mask);
  const uint32_t word = hak_slab_index(slab, run.base) / 64;
  hak_slab_give_word(slab, word, run.mask & (run.mask - 1));
  if (hak_slab_free_count(slab) == 0) hak_slab_list_remove(&partial[size_class], slab);
  return run.base + (size_t)bit * slab->block_bytes;
}

static void* take_block(uint32_t size_class) {
  hak_lock_take(&lock);
  void* block = take_block_locked(size_class);
  hak_lock_give(&lock);
  if (block != NULL) return block;
  hak_slab* slab = hak_shared_pool_acquire_sampled(size_class);
  if (slab == NULL) return NULL;
  hak_lock_take(&lock);
  hak_slab_list_push(&partial[size_class], slab);
  block = take_block_locked(size_class);
  hak_lock_give(&lock);
  return block;
}

/* *empty: the slab to release, if not NULL. False: the block was free. */
static bool give_block_locked(hak_slab* slab, uint32_t index, hak_slab** empty) {
  *empty = NULL;
  if (!hak_slab_give(slab, index)) return false;
  if (hak_slab_is_empty(slab)) {
    if (slab->listed) hak_slab_list_remove(&partial[slab->size_class], slab);
    *empty = slab;
  } else if (!slab->listed) {
    hak_slab_list_push(&partial[slab->size_class], slab);
  }
  return true;
}

static void give_block(void* block) {
  hak_slab* slab = (hak_slab*)hak_registry_owner(block);
  hak_slab* empty;
  hak_lock_take(&lock);
  HAK_CHECK(give_block_locked(slab, hak_slab_index(slab, block), &empty), block);
  hak_lock_give(&lock);
  if (empty != NULL) hak_shared_pool_release_sampled(empty);
}

bool hak_profile_keeps_twin(const void* block) {
  return ((const hak_slab*)hak_registry_owner(block))->size_class < HAK_SIZE_CLASS_SHARED_COUNT;
}

bool hak_profile_free_small(hak_slab* slab, uint32_t index, void** twin) {
  const uint64_t now_ms = hak_os_now_ms();
  hak_slab* empty = NULL;
  *twin = NULL;
  hak_lock_take(&lock);
  const uint32_t sample = hak_profile_find_locked(hak_slab_block(slab, index));
  if (sample != HAK_PROFILE_NOTHING) {
    *twin = hak_profile_remove_locked(sample, now_ms).twin;
    HAK_CHECK(give_block_locked(slab, index, &empty), slab->base);
  }
  hak_lock_give(&lock);
  if (empty != NULL) hak_shared_pool_release_sampled(empty);
  return sample != HAK_PROFILE_NOTHING;
}

/* --- samples --- */

/* Where the descriptor of a span or whale has the number of its sample + 1; NULL: it is none. */
static uint32_t* number_of(const void* block) {
  const uint64_t word = hak_registry_word(block);
  if (word == HAK_REGISTRY_WHALE) return &((hak_whale*)hak_registry_owner(block))->sample;
  return word == HAK_REGISTRY_SPAN ? &((hak_slab*)hak_registry_owner(block))->sample : NULL;
}

static size_t bytes_of(const void* block) {
  const void* owner = hak_registry_owner(block);
  return hak_registry_word(block) == HAK_REGISTRY_WHALE ? ((const hak_whale*)owner)->size_bytes
                                                        : ((const hak_slab*)owner)->block_bytes;
}

/* What the program gets for `block`. False: it cannot be sampled. */
static bool stand_in(void* block, hak_profile_block* out) {
  out->address = block;
  out->block_bytes = bytes_of(block);
  out->twin = NULL;
  out->twin_slab = NULL;
  if (number_of(block) != NULL) return true;
  if (hak_registry_word(block) <= HAK_REGISTRY_LAST_TAG) return false;
  hak_slab* slab = (hak_slab*)hak_registry_owner(block);
  if (slab->size_class < HAK_SIZE_CLASS_SHARED_COUNT) {
    out->twin = block;
    out->twin_slab = slab;
  }
  out->address = take_block(slab->size_class);
  return out->address != NULL;
}

/* Index of the new sample, or HAK_PROFILE_NOTHING. */
static uint32_t add_sample(const hak_profile_block* block, const uint64_t* frames, uint32_t depth, uint64_t now_ms) {
  hak_lock_take(&lock);
  hak_profile_all.mean_bytes = mean_bytes();
  if (hak_profile_all.started_ms == 0) hak_profile_all.started_ms = now_ms;
  const uint32_t site = hak_profile_site_locked(frames, depth);
  const uint32_t index =
      site == HAK_PROFILE_NOTHING ? HAK_PROFILE_NOTHING : hak_profile_add_locked(site, block, now_ms);
  if (index == HAK_PROFILE_NOTHING) hak_profile_all.dropped++;
  hak_lock_give(&lock);
  return index;
}

static void* sample_with(void* block, size_t size_bytes, const uint64_t* frames, uint32_t depth) {
  hak_profile_block sampled;
  sampled.size_bytes = size_bytes;
  if (!stand_in(block, &sampled)) return block;
  const uint32_t index = add_sample(&sampled, frames, depth, hak_os_now_ms());
  if (index == HAK_PROFILE_NOTHING) {
    if (sampled.address != block) give_block(sampled.address);
    return block;
  }
  if (sampled.address == block) *number_of(block) = index + 1;
  return sampled.address;
}

static HAK_NOINLINE void* sample(void* block, size_t size_bytes) {
  if (thread_is_sampling) return block;
  const int saved_errno = errno;
  uint64_t frames[HAK_PROFILE_FRAMES_MAX];
  thread_is_sampling = true;
  hak_compiler_barrier();
  const uint32_t depth = hak_profile_stack(frames, HAK_PROFILE_FRAMES_MAX);
  void* out = sample_with(block, size_bytes, frames, depth);
  hak_compiler_barrier();
  thread_is_sampling = false;
  errno = saved_errno;
  return out;
}

static void resample(void* block, const void* was, size_t size_bytes, bool is_sampled) {
  (void)was;
  const uint32_t* number = number_of(block);
  if (number == NULL) return;
  if (*number == 0) {
    if (is_sampled) (void)sample(block, size_bytes); /* a large block stays where it is */
    return;
  }
  const uint64_t now_ms = hak_os_now_ms();
  hak_lock_take(&lock);
  hak_profile_resize_locked(*number - 1, block, bytes_of(block), size_bytes, now_ms);
  hak_lock_give(&lock);
}

void hak_profile_forget_large(uint32_t* number) {
  const uint64_t now_ms = hak_os_now_ms();
  hak_lock_take(&lock);
  (void)hak_profile_remove_locked(*number - 1, now_ms);
  hak_lock_give(&lock);
  *number = 0;
}

/* --- on and off --- */

void hak_profile_set_hooks(void) { hak_instrument_hook_samples(next_distance, sample, resample); }

void hak_profile_begin(uint64_t interval_bytes) {
  hak_u64_store_relaxed(&hak_control_words.profile_interval_bytes, interval_bytes);
  hak_instrument_want(HAK_INSTRUMENT_SAMPLE, true);
}

void hak_profile_end(void) { hak_instrument_want(HAK_INSTRUMENT_SAMPLE, false); }

bool hak_profile_is_on(void) { return (hak_instrument_wanted() & HAK_INSTRUMENT_SAMPLE) != 0; }

const hak_profile_site* hak_profile_site_of_for_test(const void* ptr) {
  hak_lock_take(&lock);
  const uint32_t index = hak_profile_find_locked(ptr);
  const hak_profile_site* site =
      index == HAK_PROFILE_NOTHING ? NULL : hak_profile_site_at(hak_profile_sample_at(index)->site);
  hak_lock_give(&lock);
  return site;
}
