/* Purpose: units of memory for slabs and spans, shared by all threads and size classes.
 * Owns: the SuperSlabs (2 MiB, 32 units, each unit in any class's hands), their descriptors, the tier index, the cache
 *   of empty SuperSlabs.
 * Invariants:
 *   1. A unit is free (its bit set in free_units) or held by exactly one slab, span, room, purge, or the empty cache.
 *   2. A SuperSlab with free units is in the index of its tier, once whoever changed its mask has returned.
 *   3. A unit whose dirty bit is clear reads as zero.
 *   4. Registry words of free units are 0.
 *   5. A released slab has every block free, remote bits all zero, and mailbox NULL.
 *   6. An empty SuperSlab has free_units 0 and is in the empty cache: nobody can claim from it there.
 *   7. The room of a span that grows is held by it, untouched and without registry words. Any thread may take it away.
 *   8. A parked span holds its units and room; its free_count is 1, and its first unit has no registry word. Its
 *      units were let lie idle before (hak_slab.reused). A thread has one at most, until the next purge.
 * Threads: any.
 * Ordering: units are claimed (acquire) and released (release) by read-modify-writes of free_units, which pair.
 * Lock: the pool lock guards the empty cache and the free descriptors; held over a few stores, never over a system call.
 * Cost: acquire and release of a slab about 100 ns, with one compare-and-swap and one store a unit.
 * Fails: NULL when every stage came up empty and the kernel has no memory.
 * Fork: lifecycle takes the pool lock around fork. Units held by a vanished thread's half-done acquire, release
 *   or purge stay lost, and so does a span on its way to a berth or from it; the sums by which surplus is told count them.
 *
 * Stages of an acquire, in turn:
 *   orphan's partial slab (not for a named heap) -> (what others have freed whole is released) -> unused units that are dirty,
 *   so that memory that is there is used before the kernel supplies more: of a SuperSlab (hot tier, then draining), or of an
 *   empty one -> other unused units (hot, draining) -> empty SuperSlab -> new mapping
 *   -> where the kernel has no memory, any SuperSlab: the stages before look at some dozens
 * Tiers by free units: 1..15 hot, fill these first; 16..31 draining, leave these alone, so that they empty and go
 * back whole; 32 empty. */
#ifndef HAKMEM_SHARED_POOL_SHARED_POOL_H_
#define HAKMEM_SHARED_POOL_SHARED_POOL_H_

#include "hakmem/base/base.h"
#include "hakmem/base/view_part.h"
#include "hakmem/heap/heap.h"
#include "hakmem/os/lock.h"
#include "hakmem/slab/slab.h"

HAK_BEGIN_DECLS

/** Maps SuperSlabs and makes `size_bytes` of them resident. They are open to everybody, and do not age before they have been
 *  used. Stops where there is no memory. */
void hak_shared_pool_prewarm(uint64_t size_bytes);

/** A slab of class `size_class` with free blocks, owned by that bin of `heap`: registered, not listed. NULL: no
 *  memory. */
hak_slab* hak_shared_pool_acquire(hak_heap* heap, uint32_t size_class);

/** Takes back a slab of `heap`'s with every block free, not listed and not current. */
void hak_shared_pool_release(hak_heap* heap, hak_slab* slab);

/** A slab of class `size_class` with every block free that belongs to no heap: for sampled blocks. Registered as such.
 *  NULL: no memory. */
hak_slab* hak_shared_pool_acquire_sampled(uint32_t size_class);

/** Takes it back, with every block free and not listed. */
void hak_shared_pool_release_sampled(hak_slab* slab);

/** A span of `units` (1 to 31) units as one block, registered. *zeroed: it reads as zero. NULL: no memory. */
hak_slab* hak_shared_pool_acquire_span(uint32_t units, bool* zeroed);

/** As hak_shared_pool_acquire_span, for a block that grows: free units behind it are held for it, where there are some, and not
 *  too many such blocks have room. They are anybody's as soon as there is no other room, or some time has passed. */
hak_slab* hak_shared_pool_acquire_growing(uint32_t units);

/** Takes back a span. */
void hak_shared_pool_release_span(hak_slab* slab);

/** Takes back a span without a look at limits and time, for the same thread's next hak_shared_pool_unpark_span. `heap` is
 *  the thread's. Returns how many it has parked with this one, for the caller to look at the clock now and then; 0: nothing
 *  is done, it has to be released. The next purge releases what is parked. */
uint32_t hak_shared_pool_try_park_span(hak_slab* slab, hak_heap* heap);

/** The span that the thread of `heap` has parked, if it is `units` units long, and one that grows or not, as `grows` says;
 *  else NULL. Its memory is dirty. */
hak_slab* hak_shared_pool_unpark_span(hak_heap* heap, uint32_t units, bool grows);

/** Makes a span `units` units long where it lies. False: what follows it is taken; nothing changed. */
bool hak_shared_pool_resize_span(hak_slab* slab, uint32_t units);

/** Makes a span that grows at least `units` units long, more than it is, where it lies; up to twice as long as it was, as
 *  far as its room goes, since each step is a locked instruction. False: what follows it is taken. */
bool hak_shared_pool_grow_span(hak_slab* slab, uint32_t units);

/** Drains the remote frees of up to `count` parked heaps, in rotation, and releases their empty slabs. Does nothing
 *  when somebody else holds the parked-heap lock. */
void hak_shared_pool_drain_parked(uint32_t count);

/** Releases the slabs of any heap all of whose blocks other threads have freed: their owners may sleep. */
void hak_shared_pool_drain_complete(void);

/** As hak_shared_pool_drain_parked for the common heap: its next user would do it too, but there may be none for long. */
void hak_shared_pool_drain_common(void);

/** The same for the named heaps. Does nothing when somebody else, or the caller, holds their lock. */
void hak_shared_pool_drain_named(void);

/** Gives memory back that has been free for `decay_ms` (0: all of it) at `now_ms`: dirty free units, empty
 *  SuperSlabs. Returns the bytes given back. */
uint64_t hak_shared_pool_purge(uint64_t now_ms, uint64_t decay_ms);

/** True: some free units, those of empty SuperSlabs among them, may be resident, or a SuperSlab is empty. */
bool hak_shared_pool_has_dirty(void);

/** Times that a release found too much free memory (surplus.h) and gave some back: what heaps cache should go, too. */
uint32_t hak_shared_pool_surplus_count(void);

/** SuperSlabs mapped up to now because no other had room: what heaps cache and do not need might have served. */
uint64_t hak_shared_pool_growth_count(void);

/** Time has passed: hak_surplus_age. */
void hak_shared_pool_age(uint64_t ages);

/** Bytes given back to the kernel up to now. */
uint64_t hak_shared_pool_purged_bytes(void);

/** Tells the pool the time, which releases are stamped with. */
void hak_shared_pool_set_clock(uint64_t now_ms);

typedef struct hak_shared_pool_figures {
  uint64_t superslabs;       /* mapped */
  uint64_t empty_superslabs; /* of these, in the empty cache */
  uint64_t free_units;       /* in the others */
  uint64_t room_units;       /* held for spans that grow */
  uint64_t dirty_free_units;
  uint64_t live_slabs, live_spans;
  uint64_t live_bytes; /* blocks that have left their slabs: with the program, or cached */
  uint64_t slab_bytes; /* units of live slabs and spans */
  uint64_t span_bytes; /* the spans' part of it */
  /* Acquires by stage. */
  uint64_t from_orphan, from_units, from_empty, from_new;
  /** Slabs released because others than their owners had freed all of them, and the blocks of these. */
  uint64_t complete, complete_blocks;
  uint64_t purged_bytes;
  uint64_t again_bytes; /* asked for again soon after it went back */
} hak_shared_pool_figures;

/** Walks the SuperSlabs. Figures of other threads' slabs may be a moment old. */
hak_shared_pool_figures hak_shared_pool_read_figures(void);

/** Slabs of each class: counts and taken blocks, added to the arrays (HAK_SIZE_CLASS_COUNT long). */
void hak_shared_pool_count_classes(uint64_t* slabs, uint64_t* taken_blocks);

/** Blocks of each class that other threads have freed and no one has merged yet, added to the array likewise. */
void hak_shared_pool_count_remote(uint64_t* blocks);

/** Bytes of SuperSlabs that are in memory. */
uint64_t hak_shared_pool_resident_bytes(void);

/** The SuperSlab in which an address lies: for who looks at a process that has crashed. */
typedef struct hak_shared_pool_place {
  const char* superslab; /* where its memory begins; NULL: there is none */
  uint32_t unit;
  bool is_empty;     /* it is cached, without a used unit */
  bool is_unit_free; /* anybody's */
} hak_shared_pool_place;

/** Walks the SuperSlabs, without a lock. */
hak_shared_pool_place hak_shared_pool_find(const void* address);

hak_lock* hak_shared_pool_lock(void);

/** For hakmem/view. */
extern const hak_view_part hak_superslab_view, hak_units_view, hak_give_back_view, hak_empty_cache_view,
    hak_figures_view;

HAK_END_DECLS

#endif /* HAKMEM_SHARED_POOL_SHARED_POOL_H_ */
