#include "hakmem/heap/heap.c"

#include "hakmem/testing/schedules/doors.h"

uint32_t door_count_heaps(void) {
  uint32_t count = 0;
  for (hak_heap* heap = hak_heap_first(); heap != NULL; heap = heap->next_heap) {
    /* What new_heap wrote is there: readers need not look through a lock. */
    if (heap->mailboxes[0].heap != heap) hak_scheduled_fail("a heap is listed before it is ready");
    count++;
  }
  return count;
}
