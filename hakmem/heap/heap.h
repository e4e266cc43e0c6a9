/* Purpose: the layout of a thread's heap, and the list of heaps without a thread.
 * Owns: the thread-local heap pointers, every hak_heap, the parked-heap lock and list, the common heap and its lock, the
 *   lock of the named heaps.
 * Invariants:
 *   1. In a bin, *top .. end[-1] are cached blocks, the next to go out at top. top == end: empty. top == begin: full.
 *      *end is NULL, and first is *top: the hit paths need not wait for top to know the block that it points to.
 *   2. A bin that was never used is all zero and touches no page of its slots.
 *   3. The registry word of a slab's units is the address of its bin; it lies in [heap, heap + HAK_HEAP_BINS_BYTES).
 *   4. A heap is never unmapped. It is active (one thread works on it), parked (nobody; on the parked list), or lost (its
 *      thread vanished in a fork amid a slow path; nobody touches it again).
 *   5. A parked heap is touched only under the parked-heap lock.
 *   6. The empty heap is all zero and never written: every operation on it takes the slow path.
 *   7. hak_heap_mallocs and hak_heap_frees are hak_heap_current or the empty heap each. While a heap's thread exchanges blocks
 *      with others, its hak_heap_frees is the empty heap.
 *   8. A named heap is no thread's: it is used under its lock, caches nothing, and each free of a block of its comes from
 *      afar. It stays one for good.
 * Threads: an active heap belongs to its thread, but for the mailboxes, which any thread may push to.
 * Ordering: park and adopt synchronise through the parked-heap lock. The slot store and the top store of a push are
 *   kept in program order for the sake of a fork between them.
 * Cost: a heap is three pages. A bin that caches more than the slots beside its header hold has some elsewhere, and one
 *   of up to 1 KiB a block that needs still more 8 KiB, of which what is in use is touched.
 * Fails: hak_heap_acquire returns NULL when the kernel has no memory.
 * Fork: lifecycle takes the lock around fork and parks the vanished threads' heaps in the child. */
#ifndef HAKMEM_HEAP_HEAP_H_
#define HAKMEM_HEAP_HEAP_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"
#include "hakmem/base/view_part.h"
#include "hakmem/mid_ace/mid_ace.h"
#include "hakmem/os/lock.h"
#include "hakmem/size_class/size_class.h"
#include "hakmem/slab/slab.h"

HAK_BEGIN_DECLS

enum {
  HAK_BIN_HEADER_BYTES = 72,
  /* A bin has room beside its header for the cap that it starts with. */
  HAK_BIN_SMALL_BYTES = 384,  /* classes up to 320 B */
  HAK_BIN_MEDIUM_BYTES = 256, /* up to 1 KiB */
  HAK_BIN_LARGE_BYTES = 128,
  HAK_BIN_SMALL_COUNT = HAK_SIZE_CLASS_OF_TINY(320) + 1, /* classes below this are small, and so on */
  HAK_BIN_MEDIUM_COUNT = HAK_SIZE_CLASS_OF_TINY(HAK_SIZE_CLASS_TINY_MAX_BYTES) + 1,
  HAK_HEAP_MEDIUM_OFFSET = HAK_BIN_SMALL_COUNT * HAK_BIN_SMALL_BYTES,
  HAK_HEAP_LARGE_OFFSET = HAK_HEAP_MEDIUM_OFFSET + (HAK_BIN_MEDIUM_COUNT - HAK_BIN_SMALL_COUNT) * HAK_BIN_MEDIUM_BYTES,
  /* Of every heap but the common one, so that a bin's address tells its place in its heap. */
  HAK_HEAP_ALIGN_BYTES = 16 * 1024,
  HAK_HEAP_BINS_BYTES = HAK_HEAP_LARGE_OFFSET + (HAK_SIZE_CLASS_COUNT - HAK_BIN_MEDIUM_COUNT) * HAK_BIN_LARGE_BYTES,
  /* Slots that a bin has at most. */
  HAK_BIN_TINY_SLOTS = 1087, /* up to 1 KiB: swings of a thousand, and the word that the last refill is over */
  HAK_BIN_SHARED_SLOTS = 55, /* up to 32 KiB */
  HAK_BIN_UNIT_SLOTS = 23,   /* 64 KiB to 256 KiB */
  /* And on the way there. */
  HAK_BIN_MIDDLE_SLOTS = 119
};

/** Where in a heap the bin of a class lies, in bytes; a constant expression for a constant class. */
#define HAK_BIN_OFFSET(c)                                                                                        \
  ((c) < (int)HAK_BIN_SMALL_COUNT    ? (c)*HAK_BIN_SMALL_BYTES                                                   \
   : (c) < (int)HAK_BIN_MEDIUM_COUNT ? HAK_HEAP_MEDIUM_OFFSET + ((c)-HAK_BIN_SMALL_COUNT) * HAK_BIN_MEDIUM_BYTES \
                                     : HAK_HEAP_LARGE_OFFSET + ((c)-HAK_BIN_MEDIUM_COUNT) * HAK_BIN_LARGE_BYTES)

/** Slots beside the header of a bin, the NULL one behind the last not counted. */
#define HAK_BIN_NEAR_SLOTS(c)                                   \
  ((((c) < (int)HAK_BIN_SMALL_COUNT    ? HAK_BIN_SMALL_BYTES    \
     : (c) < (int)HAK_BIN_MEDIUM_COUNT ? HAK_BIN_MEDIUM_BYTES   \
                                       : HAK_BIN_LARGE_BYTES) - \
    HAK_BIN_HEADER_BYTES) /                                     \
       8 -                                                      \
   1)

/** Slots that a bin has at most. */
#define HAK_BIN_SLOTS(c)                                      \
  ((c) < (int)HAK_BIN_MEDIUM_COUNT     ? HAK_BIN_TINY_SLOTS   \
   : (c) < HAK_SIZE_CLASS_SHARED_COUNT ? HAK_BIN_SHARED_SLOTS \
                                       : HAK_BIN_UNIT_SLOTS)

/** One size class of one thread. */
typedef struct hak_bin {
  void** top;
  void** begin; /* between the two that a hit stores: as neighbours they would be one store, and top wait for first */
  void* first;
  void** end;
  /* The run: free blocks that have left their slab and not yet reached a slot. Bit i: run_base + i * stride. */
  uint64_t run_mask;
  char* run_base;
  uint32_t stride; /* block size in bytes; 0: never used */
  uint8_t size_class;
  bool run_zeroed;
  /* Consecutive misses (positive) or spills (negative): how sure we are that a phase of pure malloc or free is on. */
  int8_t streak;
  uint8_t slots_at;  /* hak_bin_slots_at: where `begin` points */
  hak_slab* current; /* the slab that runs come from; not in `partial` */
  /* All before is one cache line. */
  hak_slab* partial; /* other slabs with free blocks */
  void* near_slots[];
} hak_bin;

HAK_STATIC_ASSERT(sizeof(hak_bin) == HAK_BIN_HEADER_BYTES, "what heap.h says");

/** Where a bin's slots lie: beside its header, or in one of two blocks of descriptor memory. */
typedef enum hak_bin_slots_at { HAK_BIN_SLOTS_NEAR, HAK_BIN_SLOTS_MIDDLE, HAK_BIN_SLOTS_ALL } hak_bin_slots_at;

/** How many there are, the NULL one behind the last not counted. */
HAK_ALWAYS_INLINE uint32_t hak_bin_room(uint32_t size_class, uint32_t slots_at) {
  const uint32_t slots = (uint32_t)HAK_BIN_SLOTS(size_class);
  if (slots_at == HAK_BIN_SLOTS_NEAR) return (uint32_t)HAK_BIN_NEAR_SLOTS(size_class);
  return slots_at == HAK_BIN_SLOTS_MIDDLE && slots > HAK_BIN_MIDDLE_SLOTS ? (uint32_t)HAK_BIN_MIDDLE_SLOTS : slots;
}

struct hak_heap;

/** Where the slabs of one bin are posted when others have freed blocks of theirs. Its address stands for the owner. */
typedef struct hak_mailbox {
  hak_atomic_ptr head;   /* stack of hak_slab by pending_next. Sync: atomic seq */
  struct hak_heap* heap; /* constant */
} hak_mailbox;

/** Remote frees of one bitmap word on their way out. */
typedef struct hak_outbox_entry {
  hak_slab* slab; /* NULL: unused */
  uint64_t mask;
  uint32_t key;  /* the word, and the slab's class: hak_remote_free_key */
  uint32_t room; /* blocks that may still join before it is published */
} hak_outbox_entry;

enum { HAK_OUTBOX_ENTRIES = 16, HAK_HEAP_NAME_BYTES = 24 };

typedef enum hak_heap_state {
  HAK_HEAP_ACTIVE = 1,
  HAK_HEAP_PARKED = 2,
  HAK_HEAP_LOST = 3,
  /** The heap for threads that are past their exit; used under its lock. */
  HAK_HEAP_COMMON = 4,
  /** One of blocks that belong together, whoever allocates them; used under the lock of all such. */
  HAK_HEAP_NAMED = 6
} hak_heap_state;

/** Counts of one heap. Sync: owner writes, reports read. */
typedef struct hak_heap_counters {
  hak_atomic_u64 refills, spills, remote_published, remote_merged;
  hak_atomic_u64 slabs_adopted, slabs_acquired, slabs_released;
  /* Blocks that refills have put into slots, and that have gone from there to their slabs or home. Hits are not counted;
   * what is known of them: hits of malloc - frees that were cached = refilled - spilled - held now. */
  hak_atomic_u64 refilled_blocks, spilled_blocks;
  hak_atomic_u64 written_through; /* frees that went to their slab at once: the cache may hold nothing */
  hak_atomic_u64 merges;          /* times that what other threads have freed was collected */
  /* Reviews of the bins' caps; times that idle caches were emptied because the process had to grow, and all of them because
   * too much was free. */
  hak_atomic_u64 reviews, growth_flushes, surplus_flushes;
  /* What of refills and spills each class has: the lower 32 bits, and 16 upper bits of both, those of spills above. A heap
   * has no room for 64 each. */
  hak_atomic_u32 class_refills[HAK_SIZE_CLASS_COUNT], class_spills[HAK_SIZE_CLASS_COUNT];
  hak_atomic_u32 class_carries[HAK_SIZE_CLASS_COUNT];
} hak_heap_counters;

typedef struct hak_heap {
  /** The bins, by HAK_BIN_OFFSET. */
  char bins[HAK_HEAP_BINS_BYTES];
  hak_outbox_entry outbox[HAK_OUTBOX_ENTRIES];
  /** 1 while the thread is in a slow path; read in the child of a fork. */
  hak_atomic_u32 in_slow_path;
  /** 1 while somebody merges what is posted in the mailboxes. Sync: who may, atomic rel/acq */
  hak_atomic_u32 is_draining;
  uint32_t slow_ticks;
  uint32_t surplus_seen; /* hak_shared_pool_surplus_count when the caches were last emptied for it */
  /* Frees of other threads' blocks that found none of their word in the out-box, since the thread came; halved an epoch. */
  uint32_t foreign_frees;
  /* The thread exchanges blocks with others: it caches whosever it frees, by one path for its own and theirs, which no branch
   * predictor could tell apart. Frees take that path unless each is to be seen. */
  bool is_exchanging, frees_exchange;
  uint32_t nth;         /* heaps at work when it was acquired, this one too */
  uint32_t limits_seen; /* hak_limits_epoch that its budget and caches follow; 0 when it was acquired */
  uint64_t growth_seen; /* hak_shared_pool_growth_count when idle caches were last emptied for it */
  uint64_t epoch_ms;    /* when the bins' caps were last reviewed */
  /* For hakmem/idle: slow_ticks when the thread last waited, and since when they are so; 0: the caches are empty since. */
  uint64_t idle_since_ms;
  uint32_t idle_ticks;
  uint32_t idle_waits; /* that have begun */
  /* hak_thread_pointer of the thread that had the heap last, for readers outside. Sync: owner */
  const void* thread_pointer;
  const void* caller; /* of the call that is being recorded: hak_instrument_begin. Sync: owner */
  hak_mid_ace_budget budget;
  hak_mid_ace_bin ace[HAK_SIZE_CLASS_COUNT];
  hak_heap_counters counters;
  hak_atomic_u32 state;           /* hak_heap_state. Sync: atomic; changed under the parked-heap lock */
  struct hak_heap* next_parked;   /* Sync: parked-heap lock */
  struct hak_heap* next_heap;     /* all heaps; constant once listed */
  char name[HAK_HEAP_NAME_BYTES]; /* of a named heap, with its end; constant */
  HAK_ALIGNED(HAK_CACHE_LINE_BYTES) hak_mailbox mailboxes[HAK_SIZE_CLASS_COUNT];
} hak_heap;

/** The heap of the calling thread; the empty heap before its first slow path and after its exit. */
extern __thread hak_heap* hak_heap_current __attribute__((tls_model("initial-exec")));

/** Where the hit paths of malloc and of free look: hak_heap_current, or the empty heap, on which they miss. The instrument
 *  box turns them, and an exchange of blocks the second; a load is a load whichever of the three it is of, so that this costs
 *  nothing. */
extern __thread hak_heap* hak_heap_mallocs __attribute__((tls_model("initial-exec")));
extern __thread hak_heap* hak_heap_frees __attribute__((tls_model("initial-exec")));

extern hak_heap hak_heap_empty;

/** Byte offset of the bin for (size + 15) / 16, sizes up to HAK_SIZE_CLASS_TINY_MAX_BYTES. */
extern const uint16_t hak_heap_tiny_offset[HAK_SIZE_CLASS_TINY_MAX_BYTES / 16 + 1];

enum { HAK_HEAP_MID_STEP_BYTES = 256 };

/** Byte offset of the bin for ceil(size / HAK_HEAP_MID_STEP_BYTES), sizes above HAK_SIZE_CLASS_TINY_MAX_BYTES up to
 *  HAK_SIZE_CLASS_MAX_BYTES. */
extern const uint16_t hak_heap_mid_offset[HAK_SIZE_CLASS_MAX_BYTES / HAK_HEAP_MID_STEP_BYTES + 1];

HAK_ALWAYS_INLINE hak_bin* hak_heap_bin(hak_heap* heap, uint32_t size_class) {
  return (hak_bin*)(void*)(heap->bins + HAK_BIN_OFFSET(size_class));
}

HAK_ALWAYS_INLINE hak_mailbox* hak_heap_mailbox(hak_heap* heap, uint32_t size_class) {
  return &heap->mailboxes[size_class];
}

/** Blocks that a bin caches, and that it may. */
HAK_ALWAYS_INLINE uint32_t hak_bin_held(const hak_bin* bin) { return (uint32_t)(bin->end - bin->top); }
HAK_ALWAYS_INLINE uint32_t hak_bin_cap(const hak_bin* bin) { return (uint32_t)(bin->end - bin->begin); }

/** Owner: the cached blocks start at `top`. */
HAK_ALWAYS_INLINE void hak_bin_set_top(hak_bin* bin, void** top) {
  bin->top = top;
  bin->first = *top;
}

enum { HAK_HEAP_REFILLS_SHIFT = 0, HAK_HEAP_SPILLS_SHIFT = 16 };

/** Owner: counts one in class_refills or class_spills. */
HAK_ALWAYS_INLINE void hak_heap_count_in_class(hak_atomic_u32* lower, hak_atomic_u32* carries, uint32_t shift) {
  const uint32_t count = hak_u32_load_relaxed(lower) + 1;
  if (HAK_UNLIKELY(count == 0)) hak_u32_bump_single_writer(carries, 1u << shift);
  hak_u32_store_relaxed(lower, count);
}

/** Any thread: such a count. Off by 2^32 for who looks amid the one carry in so many. */
HAK_ALWAYS_INLINE uint64_t hak_heap_class_count(const hak_atomic_u32* lower, const hak_atomic_u32* carries,
                                                uint32_t shift) {
  const uint64_t upper = hak_u32_load_relaxed(carries) >> shift & 0xffff;
  return upper << 32 | hak_u32_load_relaxed(lower);
}

/** True when registry word `word` is a bin of `heap`. */
HAK_ALWAYS_INLINE bool hak_heap_owns_word(const hak_heap* heap, uint64_t word) {
  return word - (uint64_t)(uintptr_t)heap < HAK_HEAP_BINS_BYTES;
}

HAK_ALWAYS_INLINE bool hak_heap_is_real(const hak_heap* heap) { return heap != &hak_heap_empty; }

/** Where in its heap the bin lies that registry word `word` is, of any heap but the common one. */
HAK_ALWAYS_INLINE uint64_t hak_heap_offset_of_word(uint64_t word) { return word % HAK_HEAP_ALIGN_BYTES; }

/** That heap. */
HAK_ALWAYS_INLINE const hak_heap* hak_heap_of_word(uint64_t word) {
  return (const hak_heap*)(uintptr_t)(word - hak_heap_offset_of_word(word));
}

/** Private to heap.h. The current thread's frees hit, by the path that its heap has them take, or miss. */
HAK_ALWAYS_INLINE void hak_heap_turn_frees(hak_heap* heap, bool hit) {
  const bool exchanges = heap->is_exchanging;
  hak_heap_frees = hit && !exchanges ? heap : &hak_heap_empty;
  if (hak_heap_is_real(heap)) heap->frees_exchange = hit && exchanges;
}

/** Makes `heap` the calling thread's, with hits on the paths that `mallocs_hit` and `frees_hit` say. */
HAK_ALWAYS_INLINE void hak_heap_set_current(hak_heap* heap, bool mallocs_hit, bool frees_hit) {
  hak_heap_current = heap;
  hak_heap_mallocs = mallocs_hit ? heap : &hak_heap_empty;
  hak_heap_turn_frees(heap, frees_hit);
}

/** Owner: says whether the heap's thread exchanges blocks with others. */
void hak_heap_set_exchanging(hak_heap* heap, bool is_exchanging);

/** Brackets a slow path. The compiler may not move the heap's own stores out of the bracket. */
HAK_ALWAYS_INLINE void hak_heap_enter(hak_heap* heap) {
  hak_u32_store_relaxed(&heap->in_slow_path, hak_u32_load_relaxed(&heap->in_slow_path) + 1);
  hak_compiler_barrier();
}

HAK_ALWAYS_INLINE void hak_heap_leave(hak_heap* heap) {
  hak_compiler_barrier();
  hak_u32_store_relaxed(&heap->in_slow_path, hak_u32_load_relaxed(&heap->in_slow_path) - 1);
}

/** A heap for the calling thread: a parked one whole, with all its slabs, or a new one. Active. NULL: no memory.
 *  `cache_limit_bytes` is for the first thread at work; later ones get less (hak_mid_ace_limit). */
hak_heap* hak_heap_acquire(uint64_t cache_limit_bytes);

/** Owner: an empty bin's cache starts anew, with the cap that the budget allows. */
void hak_heap_start_cache(hak_heap* heap, hak_bin* bin);

/** Owner: a bin that holds no more than `cap` blocks may hold so many from now on, at most HAK_BIN_SLOTS. False where
 *  there is no memory for the slots: nothing has changed. */
bool hak_heap_set_cap(hak_bin* bin, uint32_t cap);

/** Owner: gives up an active heap, whose caches are flushed. */
void hak_heap_park(hak_heap* heap);

/** Private to heap.c; for the inline look that follows. Sync: parked-heap lock writes, any reads */
extern hak_atomic_u32 hak_heap_parked_total;

/** Number of parked heaps; a hint. */
HAK_ALWAYS_INLINE uint32_t hak_heap_parked_count(void) { return hak_u32_load_relaxed(&hak_heap_parked_total); }

/** A new named heap, listed among all heaps. `name` is shorter than HAK_HEAP_NAME_BYTES. NULL: no memory. */
hak_heap* hak_heap_make_named(const char* name);

/** The lock of all named heaps, held over the system calls of their slow paths. */
hak_lock* hak_heap_named_lock(void);

/** Private to heap.c; for the inline look that follows. Sync: parked-heap lock writes, any reads */
extern hak_atomic_u32 hak_heap_homing_total;

/** Number of heaps whose blocks no other thread is to cache, parked and named ones; a hint. */
HAK_ALWAYS_INLINE uint32_t hak_heap_homing_count(void) { return hak_u32_load_relaxed(&hak_heap_homing_total); }

/** True when blocks of a heap in this state go home from whoever frees them. */
HAK_ALWAYS_INLINE bool hak_heap_is_homing(uint32_t state) {
  return state == HAK_HEAP_PARKED || state == HAK_HEAP_NAMED;
}

/** The parked-heap lock, and under it the list: first heap, then heap->next_parked. */
hak_lock* hak_heap_parked_lock(void);
hak_heap* hak_heap_first_parked_locked(void);

/** Private to heap.c; for the inline look that follows. */
extern hak_heap hak_heap_common_place;

/** The heap of threads that have none, and its lock, the outermost of all. Lifecycle sets it up and says who uses it; it
 *  is not among hak_heap_first's. */
HAK_ALWAYS_INLINE hak_heap* hak_heap_common(void) { return &hak_heap_common_place; }
hak_lock* hak_heap_common_lock(void);

/** Every heap there ever was: first heap, then heap->next_heap. */
hak_heap* hak_heap_first(void);

/** In the child of a fork, under the lock: every active heap but `mine` is parked, or lost if it was in a slow path.
 *  The caches of those parked hold what they held: hak_heap_acquire and drains cope. */
void hak_heap_orphan_others_locked(hak_heap* mine);

/** For hakmem/view. */
extern const hak_view_part hak_heap_view;

HAK_END_DECLS

#endif /* HAKMEM_HEAP_HEAP_H_ */
