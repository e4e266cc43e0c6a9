#include "hakmem/recorder/recorder.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "hakmem/base/thread.h"
#include "hakmem/config/config.h"
#include "hakmem/instrument/instrument.h"
#include "hakmem/metadata/metadata.h"
#include "hakmem/os/latency.h"

HAK_STATIC_ASSERT(sizeof(hak_recorder_ring) + HAK_RECORDER_ROWS_MAX * sizeof(hak_recorder_row) <= 64 * 1024,
                  "what hak_metadata_alloc gives at most");

static hak_atomic_ptr rings[HAK_RECORDER_RINGS_MAX]; /* Sync: atomic release, by who has counted it up */
static hak_atomic_u32 ring_count HAK_START_DATA;     /* may pass the end of the array; read in each child of a fork */
static hak_atomic_u64 missed;

/* Which of the rings the thread has, from 1 on; 0: none yet. Room for such variables is scarce. */
static __thread uint16_t own_number __attribute__((tls_model("initial-exec")));
enum { NEVER = UINT16_MAX }; /* it may have none */

uint32_t hak_recorder_ring_count(void) {
  const uint32_t count = hak_u32_load_relaxed(&ring_count);
  return count < HAK_RECORDER_RINGS_MAX ? count : HAK_RECORDER_RINGS_MAX;
}

const hak_recorder_ring* hak_recorder_ring_at(uint32_t index) {
  return (const hak_recorder_ring*)hak_ptr_load_acquire(&rings[index]);
}

static hak_recorder_ring* own_ring(void) {
  const uint16_t number = own_number;
  return number == 0 || number == NEVER ? NULL : (hak_recorder_ring*)hak_ptr_load_relaxed(&rings[number - 1]);
}

const hak_recorder_ring* hak_recorder_own(void) { return own_ring(); }

uint64_t hak_recorder_missed(void) { return hak_u64_load_relaxed(&missed); }

static void begin(hak_recorder_ring* ring) {
  hak_u64_store_relaxed(&ring->count, 0);
  ring->thread = (uint32_t)syscall(SYS_gettid);
  ring->thread_pointer = hak_thread_pointer();
}

/* Number of a ring that nobody had before; 0: there are enough, or no memory. */
static uint16_t new_ring(void) {
  if (hak_u32_load_relaxed(&ring_count) >= HAK_RECORDER_RINGS_MAX) return 0;
  const uint32_t capacity = (uint32_t)hak_config_get(HAK_OPTION_FLIGHT_RECORDER);
  const size_t bytes = sizeof(hak_recorder_ring) + capacity * sizeof(hak_recorder_row);
  hak_recorder_ring* ring = (hak_recorder_ring*)hak_metadata_alloc(bytes, HAK_CACHE_LINE_BYTES);
  if (ring == NULL) return 0;
  ring->capacity = capacity;
  hak_u32_store_relaxed(&ring->state, HAK_RECORDER_ACTIVE);
  begin(ring);
  const uint32_t index = hak_u32_fetch_add_relaxed(&ring_count, 1);
  if (index >= HAK_RECORDER_RINGS_MAX) return 0; /* others came first; the memory is lost, once a thread at most */
  hak_ptr_store_release(&rings[index], ring);    /* pairs with hak_recorder_ring_at */
  return (uint16_t)(index + 1);
}

/* Number of the ring that ended first; 0: none has. */
static uint16_t oldest_ended(void) {
  uint16_t oldest = 0;
  uint64_t oldest_ns = UINT64_MAX;
  for (uint32_t i = 0; i < hak_recorder_ring_count(); i++) {
    const hak_recorder_ring* ring = hak_recorder_ring_at(i);
    if (ring == NULL || hak_u32_load_relaxed(&ring->state) != HAK_RECORDER_ENDED) continue;
    const uint64_t ended_ns = hak_u64_load_relaxed(&ring->ended_ns);
    if (ended_ns >= oldest_ns) continue;
    oldest = (uint16_t)(i + 1);
    oldest_ns = ended_ns;
  }
  return oldest;
}

static uint16_t reused_ring(void) {
  /* Who is overtaken tries the next oldest: bounded by the rings there are. */
  for (uint32_t tries = 0; tries < HAK_RECORDER_RINGS_MAX; tries++) {
    const uint16_t number = oldest_ended();
    if (number == 0) return 0;
    hak_recorder_ring* ring = (hak_recorder_ring*)hak_ptr_load_acquire(&rings[number - 1]);
    uint32_t expected = HAK_RECORDER_ENDED;
    if (!hak_u32_cas_acq_rel(&ring->state, &expected, HAK_RECORDER_ACTIVE)) continue;
    begin(ring);
    return number;
  }
  return 0;
}

static HAK_SLOW void acquire(void) {
  own_number = NEVER; /* until there is one: what is called below may come back here */
  uint16_t number = new_ring();
  if (number == 0) number = reused_ring();
  if (number != 0) {
    own_number = number;
  } else {
    hak_u64_fetch_add_relaxed(&missed, 1);
  }
}

static void record(hak_instrument_op op, const void* ptr, size_t size_bytes) {
  if (HAK_UNLIKELY(own_number == 0)) acquire();
  hak_recorder_ring* ring = own_ring();
  if (ring == NULL || (op == HAK_INSTRUMENT_FREE && ptr == NULL)) return;
  const uint64_t count = hak_u64_load_relaxed(&ring->count);
  hak_recorder_row* row = &ring->rows[count % ring->capacity];
  row->time_ns = hak_latency_now_ns();
  row->ptr = ptr;
  row->caller = hak_instrument_caller();
  row->op_and_size = (uint64_t)op << HAK_RECORDER_OP_SHIFT | (size_bytes & ((1ull << HAK_RECORDER_OP_SHIFT) - 1));
  hak_u64_store_release(&ring->count, count + 1); /* pairs with readers */
}

void hak_recorder_start(void) {
  if (hak_config_get(HAK_OPTION_FLIGHT_RECORDER) == 0) return;
  hak_instrument_hook_records(record);
  hak_instrument_want(HAK_INSTRUMENT_RECORD, true);
}

static void end(hak_recorder_ring* ring, uint64_t now_ns) {
  hak_u64_store_relaxed(&ring->ended_ns, now_ns);
  uint32_t expected = HAK_RECORDER_ACTIVE;
  (void)hak_u32_cas_acq_rel(&ring->state, &expected, HAK_RECORDER_ENDED);
}

void hak_recorder_end_thread(void) {
  hak_recorder_ring* ring = own_ring();
  if (ring != NULL) end(ring, hak_latency_now_ns());
  own_number = NEVER;
}

void hak_recorder_after_fork(void) {
  if (hak_recorder_ring_count() == 0) return;
  const uint64_t now_ns = hak_latency_now_ns();
  hak_recorder_ring* own = own_ring();
  for (uint32_t i = 0; i < hak_recorder_ring_count(); i++) {
    hak_recorder_ring* ring = (hak_recorder_ring*)hak_ptr_load_relaxed(&rings[i]);
    if (ring != NULL && ring != own) end(ring, now_ns);
  }
  if (own != NULL) own->thread = (uint32_t)syscall(SYS_gettid);
}

void hak_recorder_reset_for_test(void) {
  for (uint32_t i = 0; i < HAK_RECORDER_RINGS_MAX; i++) hak_ptr_store_release(&rings[i], NULL);
  hak_u32_store_relaxed(&ring_count, 0);
  hak_u64_store_relaxed(&missed, 0);
  own_number = 0;
}

#define ROWS                                                                                                    \
  HAK_VIEW_STRUCTURE("recorder_ring", hak_recorder_ring)                                                        \
  HAK_VIEW_FIELDS("recorder_ring", hak_recorder_ring, count, state, capacity, thread, thread_pointer, ended_ns) \
  HAK_VIEW_STRUCTURE("recorder_row", hak_recorder_row)                                                          \
  HAK_VIEW_FIELDS("recorder_row", hak_recorder_row, time_ns, ptr, caller, op_and_size)
#define ROOTS(ROOT) ROOT("recorder_rings", rings) ROOT("recorder_ring_count", ring_count)
HAK_VIEW_PART(hak_recorder_view, ROWS, ROOTS);
