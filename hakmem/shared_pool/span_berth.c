#include "hakmem/heap/berth.h"
#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/shared_pool/superslab_inl.h"

/* Their sizes are units, twice, and one more of a span that grows. */
static hak_berth berths[HAK_BERTHS];

static uint64_t size_of(uint32_t units, bool grows) { return 2ull * units + grows; }

uint32_t hak_shared_pool_try_park_span(hak_slab* slab, hak_heap* heap) {
  if (!slab->reused) return 0;
  hak_berth* berth = hak_berth_of(berths, heap);
  if (berth == NULL || hak_berth_has_guest(berth)) return 0;
  hak_registry_set_word(slab->base, HAK_REGISTRY_NONE); /* the block; a pointer into it is misuse in any case */
  hak_u32_store_relaxed(&slab->free_count, 1);
  return hak_berth_park(berth, slab, size_of(slab->units, slab->asked_bytes != 0));
}

hak_slab* hak_shared_pool_unpark_span(hak_heap* heap, uint32_t units, bool grows) {
  hak_berth* berth = hak_berth_of(berths, heap);
  if (berth == NULL || !hak_berth_has_guest(berth)) return NULL;
  if (hak_u64_load_relaxed(&berth->size) != size_of(units, grows)) return NULL;
  hak_slab* slab = (hak_slab*)hak_berth_take(berth);
  if (slab == NULL) return NULL; /* a purge was faster */
  hak_u32_store_relaxed(&slab->free_count, 0);
  hak_registry_set_word(slab->base, HAK_REGISTRY_SPAN);
  return slab;
}

bool hak_span_berths_have_guests(void) { return hak_berths_have_guests(berths); }

static void settle(void* span, uint64_t now_ms) {
  (void)now_ms; /* the pool has a clock */
  hak_shared_pool_release_span((hak_slab*)span);
}

void hak_span_berths_settle(void) { hak_berths_settle(berths, settle, 0); }
