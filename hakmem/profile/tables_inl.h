/* Private to the profile: its tables. All of it under the profile lock. */
#ifndef HAKMEM_PROFILE_TABLES_INL_H_
#define HAKMEM_PROFILE_TABLES_INL_H_

#include "hakmem/profile/profile.h"

extern hak_profile_tables hak_profile_all;

enum { HAK_PROFILE_NOTHING = UINT32_MAX };

/** Index of the site of a stack, made where there is none yet; HAK_PROFILE_NOTHING: no room. */
uint32_t hak_profile_site_locked(const uint64_t* frames, uint32_t depth);

/** What a new sample is of. */
typedef struct hak_profile_block {
  void* address;
  size_t size_bytes;
  size_t block_bytes;
  void* twin;
  const hak_slab* twin_slab;
} hak_profile_block;

/** Index of a new sample of a site's; HAK_PROFILE_NOTHING: no room. */
uint32_t hak_profile_add_locked(uint32_t site, const hak_profile_block* block, uint64_t now_ms);

/** Index of the sample of the block at `address`, or HAK_PROFILE_NOTHING. */
uint32_t hak_profile_find_locked(const void* address);

/** Removes a sample, and returns what it was. */
hak_profile_sample hak_profile_remove_locked(uint32_t index, uint64_t now_ms);

/** The block of a sample lies at `address` from now on, is `block_bytes` long and serves `size_bytes`. */
void hak_profile_resize_locked(uint32_t index, void* address, size_t block_bytes, size_t size_bytes, uint64_t now_ms);

HAK_ALWAYS_INLINE hak_profile_site* hak_profile_site_at(uint32_t index) {
  enum { PER_CHUNK = HAK_PROFILE_CHUNK_BYTES / sizeof(hak_profile_site) };
  return &hak_profile_all.sites[index / PER_CHUNK][index % PER_CHUNK];
}

HAK_ALWAYS_INLINE hak_profile_sample* hak_profile_sample_at(uint32_t index) {
  enum { PER_CHUNK = HAK_PROFILE_CHUNK_BYTES / sizeof(hak_profile_sample) };
  return &hak_profile_all.samples[index / PER_CHUNK][index % PER_CHUNK];
}

#endif /* HAKMEM_PROFILE_TABLES_INL_H_ */
