#include "hakmem/metadata/metadata.h"

#include "hakmem/base/checks.h"
#include "hakmem/os/os.h"

/* Tried in turn: a process near its address-space limit gets by with the small one. */
static const size_t chunk_sizes[] = {1024 * 1024, 64 * 1024};

static struct {
  hak_lock lock;
  char* next; /* Sync: lock */
  char* end;  /* Sync: lock */
  hak_atomic_u64 used_bytes;
} metadata HAK_START_DATA;

hak_lock* hak_metadata_lock(void) { return &metadata.lock; }

uint64_t hak_metadata_used_bytes(void) { return hak_u64_load_relaxed(&metadata.used_bytes); }

static char* fit_locked(size_t size_bytes, size_t alignment) {
  char* start = (char*)hak_round_up((uintptr_t)metadata.next, alignment);
  if (metadata.next == NULL || start > metadata.end || (size_t)(metadata.end - start) < size_bytes) return NULL;
  metadata.next = start + size_bytes;
  return start;
}

static bool add_chunk_locked(void) {
  for (size_t i = 0; i < sizeof chunk_sizes / sizeof chunk_sizes[0]; i++) {
    char* chunk = hak_os_map_guarded(chunk_sizes[i]);
    if (chunk == NULL) continue;
    metadata.next = chunk;
    metadata.end = chunk + chunk_sizes[i];
    return true;
  }
  return false;
}

void* hak_metadata_alloc(size_t size_bytes, size_t alignment) {
  HAK_CHECK(size_bytes <= 64 * 1024 && hak_is_power_of_two(alignment) && alignment <= 4096, NULL);
  hak_lock_take(&metadata.lock);
  char* block = fit_locked(size_bytes, alignment);
  if (block == NULL && add_chunk_locked()) block = fit_locked(size_bytes, alignment);
  hak_lock_give(&metadata.lock);
  if (block != NULL) hak_u64_fetch_add_relaxed(&metadata.used_bytes, size_bytes);
  return block;
}

#define ROWS                                           \
  HAK_VIEW_STRUCTURE("metadata", __typeof__(metadata)) \
  HAK_VIEW_FIELDS("metadata", __typeof__(metadata), next, end, used_bytes)
#define ROOTS(ROOT) ROOT("metadata", metadata)
HAK_VIEW_PART(hak_metadata_view, ROWS, ROOTS);
