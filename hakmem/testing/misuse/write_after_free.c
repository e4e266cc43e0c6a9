/* Writes to a block after freeing it, where an allocator that links free blocks through themselves has its list. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* other = crime_other(64);
  char* victim = crime_victim(64);
  free(other);
  free(victim);
  memset(launder(victim), 0x41, 64);
  return crime_finish(64);
}
