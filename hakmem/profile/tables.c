#include <string.h>

#include "hakmem/base/checks.h"
#include "hakmem/metadata/metadata.h"
#include "hakmem/profile/estimate.h"
#include "hakmem/profile/tables_inl.h"

enum { SITE_BUCKETS = 8192, SAMPLE_BUCKETS = 16384 };

hak_profile_tables hak_profile_all;

/* Indices + 1. Made with the first site: a process without a profile has not even the addresses to spare. */
static uint32_t* site_buckets;
static uint32_t* sample_buckets;
static uint32_t unused_samples;

const hak_profile_tables* hak_profile_read(void) { return &hak_profile_all; }

/* What a reader outside the process finds between the two is not whole. */
static void begin_change(uint64_t now_ms) {
  hak_profile_all.changes++;
  hak_profile_all.now_ms = now_ms;
  hak_compiler_barrier();
}

static void end_change(void) {
  hak_compiler_barrier();
  hak_profile_all.changes++;
}

/* --- sums --- */

static void add(hak_profile_sum* sum, uint64_t weight, uint64_t bytes) {
  sum->blocks += weight;
  sum->bytes += bytes;
}

static void subtract(hak_profile_sum* sum, uint64_t weight, uint64_t bytes) {
  sum->blocks -= weight;
  sum->bytes -= bytes;
}

/* The bytes that a sample stands for. */
static uint64_t weighted_bytes(uint64_t weight, uint64_t size_bytes) {
  uint64_t product;
  if (!__builtin_mul_overflow(weight, size_bytes, &product)) return product / HAK_PROFILE_WEIGHT_ONE;
  return weight / HAK_PROFILE_WEIGHT_ONE * size_bytes; /* larger than any sum of live bytes can be */
}

static uint64_t asked_bytes(const hak_profile_sample* sample) {
  return weighted_bytes(sample->weight, sample->size_bytes);
}

/* To be called before the live sum of a site changes: what was live at the peak is kept, if that is past. */
static void keep_peak(hak_profile_site* site) {
  if (site->peak_at == hak_profile_all.peak_at) return;
  site->peak_at = hak_profile_all.peak_at;
  site->peak = site->live;
}

static void gain(hak_profile_site* site, const hak_profile_sample* sample) {
  const uint64_t bytes = asked_bytes(sample);
  keep_peak(site);
  add(&site->live, sample->weight, bytes);
  add(&hak_profile_all.live, sample->weight, bytes);
  hak_profile_all.live_block_bytes += weighted_bytes(sample->weight, sample->block_bytes);
  if (hak_profile_all.live.bytes <= hak_profile_all.peak.bytes) return;
  /* A peak: what every site has now is what it has at the peak. */
  hak_profile_all.peak = hak_profile_all.live;
  hak_profile_all.peak_at++;
}

static void lose(hak_profile_site* site, const hak_profile_sample* sample) {
  const uint64_t bytes = asked_bytes(sample);
  keep_peak(site);
  subtract(&site->live, sample->weight, bytes);
  subtract(&hak_profile_all.live, sample->weight, bytes);
  hak_profile_all.live_block_bytes -= weighted_bytes(sample->weight, sample->block_bytes);
}

/* --- sites --- */

static uint64_t hash_frames(const uint64_t* frames, uint32_t depth) {
  uint64_t hash = depth;
  for (uint32_t i = 0; i < depth; i++) hash = hak_profile_random(hash ^ frames[i]);
  return hash;
}

static bool same_frames(const uint64_t* a, const uint64_t* b, uint32_t depth) {
  uint32_t same = 0;
  while (same < depth && a[same] == b[same]) same++;
  return same == depth;
}

static bool has_chunk(void** chunk) {
  if (*chunk == NULL) *chunk = hak_metadata_alloc(HAK_PROFILE_CHUNK_BYTES, 64);
  return *chunk != NULL;
}

static uint32_t new_site_locked(uint64_t hash, const uint64_t* frames, uint32_t depth) {
  enum { PER_CHUNK = HAK_PROFILE_CHUNK_BYTES / sizeof(hak_profile_site) };
  const uint64_t index = hak_profile_all.site_count;
  if (index == HAK_PROFILE_SITES_MAX) return HAK_PROFILE_NOTHING;
  if (!has_chunk((void**)&hak_profile_all.sites[index / PER_CHUNK])) return HAK_PROFILE_NOTHING;
  uint64_t* own_frames = (uint64_t*)hak_metadata_alloc((depth + (depth == 0)) * sizeof frames[0], sizeof frames[0]);
  if (own_frames == NULL) return HAK_PROFILE_NOTHING;
  memcpy(own_frames, frames, depth * sizeof frames[0]);
  hak_profile_site* site = hak_profile_site_at((uint32_t)index);
  uint32_t* bucket = &site_buckets[hash % SITE_BUCKETS];
  site->hash = hash;
  site->frames = own_frames;
  site->depth = depth;
  site->next = *bucket;
  site->peak_at = hak_profile_all.peak_at; /* nothing was live of it then */
  *bucket = (uint32_t)index + 1;
  hak_compiler_barrier();
  hak_profile_all.site_count = index + 1;
  return (uint32_t)index;
}

static bool has_buckets(void) {
  if (site_buckets == NULL) site_buckets = (uint32_t*)hak_metadata_alloc(SITE_BUCKETS * sizeof(uint32_t), 64);
  if (sample_buckets == NULL) sample_buckets = (uint32_t*)hak_metadata_alloc(SAMPLE_BUCKETS * sizeof(uint32_t), 64);
  return site_buckets != NULL && sample_buckets != NULL;
}

uint32_t hak_profile_site_locked(const uint64_t* frames, uint32_t depth) {
  if (HAK_UNLIKELY(!has_buckets())) return HAK_PROFILE_NOTHING;
  const uint64_t hash = hash_frames(frames, depth);
  for (uint32_t next = site_buckets[hash % SITE_BUCKETS]; next != 0; next = hak_profile_site_at(next - 1)->next) {
    const hak_profile_site* site = hak_profile_site_at(next - 1);
    if (site->hash == hash && site->depth == depth && same_frames(site->frames, frames, depth)) {
      return next - 1;
    }
  }
  return new_site_locked(hash, frames, depth);
}

/* --- samples --- */

static uint32_t* bucket_of(uint64_t address) { return &sample_buckets[hak_profile_random(address) % SAMPLE_BUCKETS]; }

/* An unused sample, or HAK_PROFILE_NOTHING. */
static uint32_t take_sample_locked(void) {
  enum { PER_CHUNK = HAK_PROFILE_CHUNK_BYTES / sizeof(hak_profile_sample) };
  if (unused_samples != 0) {
    const uint32_t index = unused_samples - 1;
    unused_samples = hak_profile_sample_at(index)->next;
    return index;
  }
  const uint64_t index = hak_profile_all.sample_count;
  if (index == HAK_PROFILE_SAMPLES_MAX) return HAK_PROFILE_NOTHING;
  if (!has_chunk((void**)&hak_profile_all.samples[index / PER_CHUNK])) return HAK_PROFILE_NOTHING;
  hak_profile_all.sample_count = index + 1;
  return (uint32_t)index;
}

static void link_locked(uint32_t index) {
  hak_profile_sample* sample = hak_profile_sample_at(index);
  uint32_t* bucket = bucket_of(sample->address);
  sample->next = *bucket;
  *bucket = index + 1;
}

static void unlink_locked(uint32_t index) {
  uint32_t* at = bucket_of(hak_profile_sample_at(index)->address);
  while (*at != index + 1) at = &hak_profile_sample_at(*at - 1)->next; /* bounded: it is in its bucket */
  *at = hak_profile_sample_at(index)->next;
}

uint32_t hak_profile_add_locked(uint32_t site_index, const hak_profile_block* block, uint64_t now_ms) {
  begin_change(now_ms);
  const uint32_t index = take_sample_locked();
  if (index != HAK_PROFILE_NOTHING) {
    hak_profile_site* site = hak_profile_site_at(site_index);
    hak_profile_sample* sample = hak_profile_sample_at(index);
    sample->address = (uint64_t)(uintptr_t)block->address;
    sample->size_bytes = block->size_bytes;
    sample->block_bytes = block->block_bytes;
    sample->weight = hak_profile_weight(block->size_bytes, hak_profile_all.mean_bytes);
    sample->born_ms = now_ms;
    sample->twin = block->twin;
    sample->slab = block->twin_slab;
    sample->site = site_index;
    link_locked(index);
    const uint64_t bytes = asked_bytes(sample);
    add(&site->allocated, sample->weight, bytes);
    add(&hak_profile_all.allocated, sample->weight, bytes);
    gain(site, sample);
    site->samples++;
    hak_profile_all.live_samples++;
  }
  end_change();
  return index;
}

uint32_t hak_profile_find_locked(const void* address) {
  const uint64_t wanted = (uint64_t)(uintptr_t)address;
  if (HAK_UNLIKELY(sample_buckets == NULL)) return HAK_PROFILE_NOTHING;
  for (uint32_t next = *bucket_of(wanted); next != 0; next = hak_profile_sample_at(next - 1)->next) {
    if (hak_profile_sample_at(next - 1)->address == wanted) return next - 1;
  }
  return HAK_PROFILE_NOTHING;
}

hak_profile_sample hak_profile_remove_locked(uint32_t index, uint64_t now_ms) {
  hak_profile_sample* sample = hak_profile_sample_at(index);
  hak_profile_site* site = hak_profile_site_at(sample->site);
  const hak_profile_sample out = *sample;
  begin_change(now_ms);
  lose(site, sample);
  site->freed_age_ms += now_ms - sample->born_ms;
  site->freed_samples++;
  unlink_locked(index);
  memset(sample, 0, sizeof *sample);
  sample->next = unused_samples;
  unused_samples = index + 1;
  hak_profile_all.live_samples--;
  end_change();
  return out;
}

/* Of a block that has grown, all its bytes up to now have been counted, one after the other, each with the chance to make it
 * a sample: it stands for as many as a block that was allocated so large. One that has shrunk was sampled as what it was. */
void hak_profile_resize_locked(uint32_t index, void* address, size_t block_bytes, size_t size_bytes, uint64_t now_ms) {
  hak_profile_sample* sample = hak_profile_sample_at(index);
  hak_profile_site* site = hak_profile_site_at(sample->site);
  begin_change(now_ms);
  const uint64_t old_bytes = asked_bytes(sample);
  lose(site, sample);
  if (size_bytes > sample->size_bytes) {
    const uint64_t weight = hak_profile_weight(size_bytes, hak_profile_all.mean_bytes);
    if (weight < sample->weight) sample->weight = weight;
  }
  sample->size_bytes = size_bytes;
  sample->block_bytes = block_bytes;
  const uint64_t new_bytes = asked_bytes(sample);
  if (new_bytes > old_bytes) {
    add(&site->allocated, 0, new_bytes - old_bytes);
    add(&hak_profile_all.allocated, 0, new_bytes - old_bytes);
  }
  unlink_locked(index);
  sample->address = (uint64_t)(uintptr_t)address;
  link_locked(index);
  gain(site, sample);
  hak_profile_all.resized++;
  end_change();
}

/* --- questions --- */

hak_profile_filling hak_profile_read_filling(void) {
  hak_lock_take(hak_profile_lock());
  const hak_profile_filling out = {hak_profile_all.live.bytes, hak_profile_all.live_block_bytes,
                                   hak_profile_all.live_samples};
  hak_lock_give(hak_profile_lock());
  return out;
}

/* --- checks --- */

static bool sums_agree(const hak_profile_sum* live, uint64_t samples, const hak_profile_sum* allocated) {
  return live->blocks == hak_profile_all.live.blocks && live->bytes == hak_profile_all.live.bytes &&
         samples == hak_profile_all.live_samples && allocated->blocks == hak_profile_all.allocated.blocks &&
         allocated->bytes == hak_profile_all.allocated.bytes;
}

bool hak_profile_is_valid(void) {
  hak_profile_sum of_samples = {0, 0};
  hak_profile_sum of_sites = {0, 0};
  hak_profile_sum allocated = {0, 0};
  uint64_t samples = 0;
  uint64_t block_bytes = 0;
  hak_lock_take(hak_profile_lock());
  for (uint64_t i = 0; i < hak_profile_all.sample_count; i++) {
    const hak_profile_sample* sample = hak_profile_sample_at((uint32_t)i);
    if (sample->address == 0) continue;
    samples++;
    add(&of_samples, sample->weight, asked_bytes(sample));
    block_bytes += weighted_bytes(sample->weight, sample->block_bytes);
  }
  for (uint64_t i = 0; i < hak_profile_all.site_count; i++) {
    const hak_profile_site* site = hak_profile_site_at((uint32_t)i);
    add(&of_sites, site->live.blocks, site->live.bytes);
    add(&allocated, site->allocated.blocks, site->allocated.bytes);
  }
  const bool valid = sums_agree(&of_samples, samples, &allocated) && sums_agree(&of_sites, samples, &allocated) &&
                     block_bytes == hak_profile_all.live_block_bytes && hak_profile_all.changes % 2 == 0;
  hak_lock_give(hak_profile_lock());
  return valid;
}

#define ROWS                                                                                                        \
  HAK_VIEW_STRUCTURE("profile", hak_profile_tables)                                                                 \
  HAK_VIEW_FIELDS("profile", hak_profile_tables, changes, mean_bytes, started_ms, now_ms, peak_at, allocated, live, \
                  peak, site_count, sample_count, live_samples, dropped)                                            \
  HAK_VIEW_FIELDS("profile", hak_profile_tables, resized, live_block_bytes)                                         \
  HAK_VIEW_ARRAYS("profile", hak_profile_tables, sites, samples)                                                    \
  HAK_VIEW_STRUCTURE("profile_site", hak_profile_site)                                                              \
  HAK_VIEW_FIELDS("profile_site", hak_profile_site, hash, frames, allocated, live, peak, peak_at, samples,          \
                  freed_age_ms, freed_samples, depth)                                                               \
  HAK_VIEW_STRUCTURE("profile_sample", hak_profile_sample)                                                          \
  HAK_VIEW_FIELDS("profile_sample", hak_profile_sample, address, size_bytes, weight, born_ms, twin, slab, site,     \
                  block_bytes)
#define ROOTS(ROOT) ROOT("profile", hak_profile_all)
HAK_VIEW_PART(hak_profile_view, ROWS, ROOTS);
