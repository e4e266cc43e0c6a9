#include "hakmem/heap/heap.c"

#include "hakmem/testing/schedules/doors.h"

void door_use_bin(hak_heap* heap, uint32_t size_class) {
  hak_bin* bin = hak_heap_bin(heap, size_class);
  bin->stride = hak_size_class_table[size_class].block_bytes;
  bin->size_class = (uint8_t)size_class;
}

uint32_t door_count_heaps(void) {
  uint32_t count = 0;
  for (hak_heap* heap = hak_heap_first(); heap != NULL; heap = heap->next_heap) {
    /* What new_heap wrote is there: readers need not look through a lock. */
    if (heap->mailboxes[0].heap != heap) hak_scheduled_fail("a heap is listed before it is ready");
    count++;
  }
  return count;
}
