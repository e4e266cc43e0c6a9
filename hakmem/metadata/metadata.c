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

/* Where the chunks are: base | which size. For reports; what is beyond the first 4 GiB of descriptors is not told: a heap of
 * 150 GiB has so many. The first ones lie where every process writes anyway. Sync: metadata.lock writes, any reads */
enum { CHUNKS_NEAR = 8, CHUNKS_MAX = 4096 };
static hak_atomic_u64 chunks_near[CHUNKS_NEAR] HAK_START_DATA;
static hak_atomic_u64 chunks_far[CHUNKS_MAX];
static hak_atomic_u64 chunk_count HAK_START_DATA;

static hak_atomic_u64* chunk_at(uint64_t index) {
  return index < CHUNKS_NEAR ? &chunks_near[index] : &chunks_far[index - CHUNKS_NEAR];
}

static void note_chunk_locked(const char* chunk, uint64_t size_index) {
  const uint64_t count = hak_u64_load_relaxed(&chunk_count);
  if (count >= CHUNKS_NEAR + CHUNKS_MAX) return;
  hak_u64_store_relaxed(chunk_at(count), (uint64_t)(uintptr_t)chunk | size_index);
  hak_u64_store_release(&chunk_count, count + 1); /* pairs with hak_metadata_resident_bytes */
}

uint64_t hak_metadata_resident_bytes(void) {
  uint64_t bytes = 0;
  const uint64_t count = hak_u64_load_acquire(&chunk_count);
  for (uint64_t i = 0; i < count; i++) {
    const uint64_t chunk = hak_u64_load_relaxed(chunk_at(i));
    bytes += hak_os_resident_bytes((const void*)(uintptr_t)(chunk & ~1ull), chunk_sizes[chunk & 1]);
  }
  return bytes;
}

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
    note_chunk_locked(chunk, i);
    return true;
  }
  return false;
}

/* What fits the smallest chunk, which lies on a page. */
static bool is_possible(size_t size_bytes, size_t alignment) {
  const size_t size_max = alignment <= 4096 ? 64 * 1024 : 64 * 1024 - 16 * 1024;
  return size_bytes <= size_max && hak_is_power_of_two(alignment) && alignment <= 16 * 1024;
}

void* hak_metadata_alloc(size_t size_bytes, size_t alignment) {
  HAK_CHECK(is_possible(size_bytes, alignment), NULL);
  hak_lock_take(&metadata.lock);
  char* block = fit_locked(size_bytes, alignment);
  if (block == NULL && add_chunk_locked()) block = fit_locked(size_bytes, alignment);
  hak_lock_give(&metadata.lock);
  if (block != NULL) hak_u64_fetch_add_relaxed(&metadata.used_bytes, size_bytes);
  return block;
}

hak_metadata_place hak_metadata_find(const void* address) {
  const uintptr_t page_bytes = hak_os_page_bytes();
  const uint64_t count = hak_u64_load_acquire(&chunk_count);
  for (uint64_t i = 0; i < count; i++) {
    const uint64_t chunk = hak_u64_load_relaxed(chunk_at(i));
    const size_t size_bytes = chunk_sizes[chunk & 1];
    const uintptr_t offset = (uintptr_t)address - (uintptr_t)(chunk & ~1ull);
    if (offset < size_bytes) return HAK_METADATA_DESCRIPTORS;
    if (offset < size_bytes + page_bytes || offset + page_bytes < page_bytes) return HAK_METADATA_GUARD;
  }
  return HAK_METADATA_NONE;
}

#define ROWS                                           \
  HAK_VIEW_STRUCTURE("metadata", __typeof__(metadata)) \
  HAK_VIEW_FIELDS("metadata", __typeof__(metadata), next, end, used_bytes)
#define ROOTS(ROOT)                         \
  ROOT("metadata", metadata)                \
  ROOT("metadata_chunk_count", chunk_count) \
  ROOT("metadata_chunks_near", chunks_near) ROOT("metadata_chunks_far", chunks_far)
HAK_VIEW_PART(hak_metadata_view, ROWS, ROOTS);
