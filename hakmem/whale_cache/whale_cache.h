/* Purpose: blocks too large for the shared pool, each a mapping of its own or a part of one; a bounded cache of freed ones.
 * Owns: the whales, their descriptors, the cache.
 * Invariants:
 *   1. A whale's base is a multiple of 64 KiB (or of the alignment asked for) and its size a multiple of 64 KiB.
 *   2. The registry word of a live whale's first unit is HAK_REGISTRY_WHALE; other units of it have word 0, so that a
 *      huge and mostly untouched whale costs no registry memory.
 *   3. A whale is live, cached, parked, or a spare descriptor. Cached bytes stay within the option, but for what the kernel
 *      refuses to unmap. A cached whale is cut where less is wanted, and joined with what lies cached beside it; as it is a part
 *      of one mapping, one call of the kernel's moves or grows it.
 *   4. No whale's memory is read or written here.
 *   5. A parked whale is still in the list of the live, and has no registry word. A thread has one at most, of
 *      HAK_WHALE_CACHE_PARK_MAX_BYTES, which has been in the cache since the last purge; the next one takes it out.
 * Threads: any; one lock, never held over a system call.
 * Ordering: the lock; a parked whale is released by the store that parks it, and acquired by the exchange that takes it.
 * Cost: parking is a few loads and stores, the way back one locked instruction besides; a hit of the cache is a lock and a search of the cache (at most HAK_WHALE_CACHE_ENTRIES).
 * Fails: NULL when the kernel has no memory.  Fork: lifecycle takes the lock around fork. */
#ifndef HAKMEM_WHALE_CACHE_WHALE_CACHE_H_
#define HAKMEM_WHALE_CACHE_WHALE_CACHE_H_

#include "hakmem/base/base.h"
#include "hakmem/base/view_part.h"
#include "hakmem/heap/heap.h"
#include "hakmem/os/lock.h"

HAK_BEGIN_DECLS

enum { HAK_WHALE_CACHE_ENTRIES = 64, HAK_WHALE_CACHE_PARK_MAX_BYTES = 8 * 1024 * 1024 };

typedef struct hak_whale {
  char* base;
  size_t size_bytes;
  uint64_t freed_ms;
  bool reused;             /* it came from the cache, whose limits allow it to lie idle. Sync: who has the whale */
  uint64_t mapping;        /* number of the mapping that it is part of. Sync: lock */
  bool joined;             /* it was several, cached beside each other. Sync: lock */
  uint32_t sample;         /* in the heap profile, while it is live; 0: none. Sync: who has the whale */
  struct hak_whale* newer; /* in the live list, the cache, or the spares. Sync: lock */
  struct hak_whale* older;
} hak_whale;

/** A live whale of at least `size_bytes` on a multiple of `alignment` (a power of two; at least 64 KiB is given).
 *  *zeroed: it reads as zero. NULL: no memory. */
hak_whale* hak_whale_cache_acquire(size_t size_bytes, size_t alignment, bool* zeroed);

/** Takes back a live whale: cached at time `now_ms`, or unmapped. */
void hak_whale_cache_release(hak_whale* whale, uint64_t now_ms);

/** Takes back a live whale without a look at limits and time, for the same thread's next hak_whale_cache_unpark. `heap` is
 *  the thread's. Returns how many it has parked with this one, for the caller to look at the clock now and then; 0: nothing
 *  is done, it has to be released. */
uint32_t hak_whale_cache_try_park(hak_whale* whale, hak_heap* heap);

/** The whale that the thread of `heap` has parked, if it is large enough and wastes at most a quarter; else NULL. */
hak_whale* hak_whale_cache_unpark(hak_heap* heap, size_t size_bytes);

/** Time has passed: hak_surplus_age. */
void hak_whale_cache_age(uint64_t ages);

/** Makes a live whale `size_bytes` or a little more long: where it lies, or by moving its pages, never by copying.
 *  whale->base may change. False: nothing changed. Shrinking always succeeds. */
bool hak_whale_cache_resize(hak_whale* whale, size_t size_bytes);

/** Parked whales are cached ones from `now_ms` on, or as old as what they are joined with. Unmaps cached whales that were
 *  freed `decay_ms` ago or earlier (0: all). Returns the bytes unmapped. */
uint64_t hak_whale_cache_purge(uint64_t now_ms, uint64_t decay_ms);

/** True when `ptr` lies in a live whale. O(live whales). */
bool hak_whale_cache_holds(const void* ptr);

/** Where the lists begin that hak_whale.older goes along, the youngest first: of the live, and those parked among them, and
 *  of the cached. For who looks at a process that has crashed: no lock is taken, what is found may be anything. */
const hak_whale* hak_whale_cache_newest_live(void);
const hak_whale* hak_whale_cache_newest_cached(void);

/** Parked whales count as cached. To take one again counts nowhere. */
typedef struct hak_whale_cache_figures {
  uint64_t live, live_bytes, cached, cached_bytes;
  uint64_t from_cache, from_new, resized_in_place, moved;
} hak_whale_cache_figures;

/** True while whales are cached; a hint, without the lock. */
bool hak_whale_cache_has_cached(void);

hak_whale_cache_figures hak_whale_cache_read_figures(void);

/** Bytes of live and cached whales that are in memory. Locks for a moment at a time, and never while it asks the kernel. */
uint64_t hak_whale_cache_resident_bytes(void);

/** Bytes that were asked for again soon after they went back to the kernel. */
uint64_t hak_whale_cache_again_bytes(void);

hak_lock* hak_whale_cache_lock(void);

/** For hakmem/view. */
extern const hak_view_part hak_whale_cache_view;

HAK_END_DECLS

#endif /* HAKMEM_WHALE_CACHE_WHALE_CACHE_H_ */
