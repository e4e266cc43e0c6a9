/* HAKMEM's own names beside libc's malloc: two heaps that know nothing of each other. */
#include <malloc.h>
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"
#include <hakmem/hakmem.h>

int main(void) {
  for (size_t size = 1; size < 5000000; size *= 7) {
    char* ours = hak_malloc(size);
    char* libcs = malloc(size);
    EXPECT(ours != NULL && libcs != NULL);
    EXPECT(hak_is_in_heap(ours) && !hak_is_in_heap(libcs));
    memset(ours, 1, hak_malloc_usable_size(ours));
    memset(libcs, 2, malloc_usable_size(libcs));
    ours = hak_realloc(ours, size * 2);
    libcs = realloc(libcs, size * 2);
    EXPECT(ours != NULL && libcs != NULL && ours[size - 1] == 1 && libcs[size - 1] == 2);
    EXPECT(hak_is_in_heap(ours) && !hak_is_in_heap(libcs));
    hak_free(ours);
    free(libcs);
  }
  char* text = strdup("libc's own calls are libc's");
  EXPECT(!hak_is_in_heap(text));
  free(text);
  say("ok");
  return 0;
}
