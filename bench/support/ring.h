/* Purpose: a bounded ring of pointers from one thread to one other, cheap enough that it does not hide the allocator.
 * Owns: its array of slots; not what the pointers point to.
 * Invariants:
 *   1. head and tail only grow; 0 <= tail - head <= BENCH_RING_SLOTS.
 *   2. head_seen <= head and tail_seen <= tail: each side looks at the other's cache line only when it must.
 * Threads: one pushes, one other pops.  Ordering: each release store of tail or head pairs with the acquire load of it
 * on the other side.  Cost: a few instructions; one cache line moved for each stretch of slots. */
#ifndef BENCH_SUPPORT_RING_H_
#define BENCH_SUPPORT_RING_H_

#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { BENCH_RING_SLOTS = 1024, BENCH_SPINS = 128 };

typedef struct bench_ring {
  /* Sync: written by the popping thread. */
  alignas(64) _Atomic uint64_t head;
  uint64_t tail_seen;
  /* Sync: written by the pushing thread. */
  alignas(64) _Atomic uint64_t tail;
  uint64_t head_seen;
  /* Sync: published by tail, given back by head. */
  alignas(64) void* slots[BENCH_RING_SLOTS];
} bench_ring;

/** Adds `item`; false where the ring is full. */
static inline bool bench_ring_try_push(bench_ring* ring, void* item) {
  const uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
  if (tail - ring->head_seen == BENCH_RING_SLOTS) {
    ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
    if (tail - ring->head_seen == BENCH_RING_SLOTS) return false;
  }
  ring->slots[tail % BENCH_RING_SLOTS] = item;
  atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
  return true;
}

/** Takes the oldest item into `*item`; false where the ring is empty. */
static inline bool bench_ring_try_pop(bench_ring* ring, void** item) {
  const uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
  if (head == ring->tail_seen) {
    ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
    if (head == ring->tail_seen) return false;
  }
  *item = ring->slots[head % BENCH_RING_SLOTS];
  atomic_store_explicit(&ring->head, head + 1, memory_order_release);
  return true;
}

/** Waits a moment for the other side: spins first, then yields the core. `*spins` counts this wait's calls. */
static inline void bench_ring_wait(unsigned* spins) {
  if (++*spins < BENCH_SPINS) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  } else {
    sched_yield();
  }
}

#endif /* BENCH_SUPPORT_RING_H_ */
