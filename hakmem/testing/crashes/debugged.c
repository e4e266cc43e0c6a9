/* For gdb: stops where its variables are worth a look. */
#include <stdlib.h>

#include "hakmem/heap/heap.h"
#include "hakmem/registry/registry.h"
#include "hakmem/slab/slab.h"
#include "hakmem/whale_cache/whale_cache.h"

char* volatile block, * volatile whale;
void* volatile freed;
const hak_heap* volatile heap;
const hak_bin* volatile bin;
const hak_slab* volatile slab;
const hak_slab* volatile span;
const hak_whale* volatile of_whale;
const struct hak_superslab* volatile superslab;

extern const struct hak_superslab* hak_superslab_described(const hak_slab* of); /* shared_pool/described.c */

int main(void) {
  block = malloc(100);
  freed = malloc(1000);
  free(freed);
  whale = malloc(3 << 20);
  heap = hak_heap_current;
  bin = hak_heap_bin(hak_heap_current, hak_size_class_of(1000));
  slab = (const hak_slab*)hak_registry_owner(block);
  span = (const hak_slab*)hak_registry_owner(malloc(1 << 20));
  superslab = hak_superslab_described(slab);
  of_whale = (const hak_whale*)hak_registry_owner(whale);
  abort();
}
