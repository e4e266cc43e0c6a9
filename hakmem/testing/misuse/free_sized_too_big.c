/* Says on freeing that the block was larger than it can have been. */
#include "hakmem/testing/misuse/crime.h"

/* C23; not in every libc. */
__attribute__((weak)) void free_sized(void* ptr, size_t size);

int main(void) {
  char* victim = crime_victim(64);
  if (free_sized == NULL) {
    say("not offered");
    return 0;
  }
  free_sized(victim, 100);
  return crime_finish(64);
}
