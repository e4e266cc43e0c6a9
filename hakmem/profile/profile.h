/* Purpose: the sampled heap profile: which call sites allocate, hold and pin memory.
 * Owns: samples, sites, the blocks that stand for sampled ones and their slabs, the profile lock.
 * Invariants:
 *   1. A sampled block is told by where it lies: small ones in slabs of their own, whose units have the registry word
 *      HAK_REGISTRY_SAMPLED; spans and whales by a number in their descriptor. No free of another block pays for a look.
 *   2. The small block that the program would have got is kept taken while its sample lives: the usual slabs are as full as
 *      they would be without the profile, and the slab of this `twin` is the one that the program's block would pin.
 *   3. Every sampled block has one sample; it goes with the block.
 *   4. Tables only grow, up to a bound; what does not fit is counted as dropped.
 *   5. A site's sums are those of its samples, each weighted by what it stands for (estimate.h).
 * Threads: any; one lock, never held over a system call but for metadata's.
 * Lock: the profile lock, see docs/lock_order.md. Held over table operations.
 * Ordering: the lock. Readers outside the process look at `changes` before and after.
 * Cost: off, none. On, two comparisons and a subtraction a malloc, besides the instrument's; 5 to 20 us a sample.
 * Fails: a sample that finds no memory is dropped.
 * Fork: lifecycle takes the lock around fork. The child's profile goes on from its parent's. */
#ifndef HAKMEM_PROFILE_PROFILE_H_
#define HAKMEM_PROFILE_PROFILE_H_

#include "hakmem/base/base.h"
#include "hakmem/base/view_part.h"
#include "hakmem/os/lock.h"
#include "hakmem/slab/slab.h"

HAK_BEGIN_DECLS

enum {
  /** Return addresses of a site at most. */
  HAK_PROFILE_FRAMES_MAX = 64,
  HAK_PROFILE_CHUNK_BYTES = 64 * 1024,
  HAK_PROFILE_SITES_MAX = 32 * 1024,
  HAK_PROFILE_SAMPLES_MAX = 256 * 1024
};

/** Blocks, in parts of HAK_PROFILE_WEIGHT_ONE, and their bytes: estimates for the whole program. */
typedef struct hak_profile_sum {
  uint64_t blocks;
  uint64_t bytes;
} hak_profile_sum;

/** A call site: one stack. Sync: profile lock */
typedef struct hak_profile_site {
  uint64_t hash;
  const uint64_t* frames;    /* depth of them, the innermost first, the library's own among them */
  hak_profile_sum allocated; /* up to now */
  hak_profile_sum live;
  hak_profile_sum peak;  /* live when all sites together were at their peak: */
  uint64_t peak_at;      /* valid if it is the profile's, else `live` is what was live then */
  uint64_t samples;      /* up to now */
  uint64_t freed_age_ms; /* of those that were freed, together */
  uint32_t depth;
  uint32_t next; /* in the same bucket, index + 1 */
  uint64_t freed_samples;
  uint64_t unused[3];
} hak_profile_site;

/** A sampled block. Sync: profile lock */
typedef struct hak_profile_sample {
  uint64_t address;    /* 0: unused */
  uint64_t size_bytes; /* asked for last */
  uint64_t weight;     /* for how many blocks it stands, in parts of HAK_PROFILE_WEIGHT_ONE */
  uint64_t born_ms;
  void* twin;           /* of a small block; else NULL */
  const hak_slab* slab; /* where the twin lies: the slab that the block would be in */
  uint32_t site;        /* index */
  uint32_t next;        /* in the same bucket, or of the unused; index + 1 */
  uint64_t block_bytes; /* of the block */
} hak_profile_sample;

HAK_STATIC_ASSERT(sizeof(hak_profile_site) == 128 && sizeof(hak_profile_sample) == 64, "chunks are full");

enum {
  HAK_PROFILE_SITE_CHUNKS = HAK_PROFILE_SITES_MAX / (HAK_PROFILE_CHUNK_BYTES / 128),
  HAK_PROFILE_SAMPLE_CHUNKS = HAK_PROFILE_SAMPLES_MAX / (HAK_PROFILE_CHUNK_BYTES / 64)
};

/** All that is known; the view's root `profile`. Sync: profile lock, but for what is atomic */
typedef struct hak_profile_tables {
  uint64_t changes; /* odd: amid a change */
  uint64_t mean_bytes;
  uint64_t started_ms;
  uint64_t now_ms;  /* when something changed last */
  uint64_t peak_at; /* counts the times that what is live was more than ever before */
  hak_profile_sum allocated, live, peak;
  uint64_t live_block_bytes; /* of the blocks that live.bytes lie in */
  uint64_t site_count;
  uint64_t sample_count; /* ever used at the same time */
  uint64_t live_samples;
  uint64_t dropped; /* samples without room, memory or stack */
  uint64_t resized; /* samples whose block has changed its size */
  hak_profile_site* sites[HAK_PROFILE_SITE_CHUNKS];
  hak_profile_sample* samples[HAK_PROFILE_SAMPLE_CHUNKS];
} hak_profile_tables;

/** Sets the hooks of hakmem/instrument, so that a profile can begin at any time. At process start. */
void hak_profile_set_hooks(void);

/** Samples from now on, once every `mean_bytes` (0: as the option has it), or no longer. Live samples stay. */
void hak_profile_begin(uint64_t mean_bytes);
void hak_profile_end(void);
bool hak_profile_is_on(void);

/** True: the program got a stand-in for this small block, and the block is to be kept taken. False: for a block of whole
 *  units, which is to be freed: there is no slab that it would pin. `block` lies in a slab. */
bool hak_profile_keeps_twin(const void* block);

/** Takes back the small sampled block with this index. *twin: what is to be freed in its place, if not NULL. False: it is
 *  free already. */
bool hak_profile_free_small(hak_slab* slab, uint32_t index, void** twin);

/** Forgets the sample of a span or whale that is about to be freed: *sample is its descriptor's, not 0, and is 0 then. */
void hak_profile_forget_large(uint32_t* sample);

/** Writes the profile to a file, "%p" in its name replaced by the process's number; an existing file is not touched: .1, .2
 *  and so on are tried. False: it could not be written. */
bool hak_profile_save(const char* path);

/** When the process ends: writes the profile, if there is one, to the file of the option, and says so on stderr where it
 *  cannot. Not in set-user-ID processes. */
void hak_profile_at_exit(void);

/** What is live of the site that allocated `ptr`, a sampled block. For tests. */
const hak_profile_site* hak_profile_site_of_for_test(const void* ptr);

/** The tables. Under the lock, or where nothing changes. */
const hak_profile_tables* hak_profile_read(void);

/** How full the live blocks of the samples are: bytes asked for of bytes that the blocks have, each for what it stands for. */
typedef struct hak_profile_filling {
  uint64_t asked_bytes, block_bytes;
  uint64_t samples;
} hak_profile_filling;

hak_profile_filling hak_profile_read_filling(void);

/** Sums of what is true: samples, sites and totals agree. Under no lock. Paranoid checks and tests. */
bool hak_profile_is_valid(void);

hak_lock* hak_profile_lock(void);

/** For hakmem/view. */
extern const hak_view_part hak_profile_view;

HAK_END_DECLS

#endif /* HAKMEM_PROFILE_PROFILE_H_ */
