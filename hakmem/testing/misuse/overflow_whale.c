/* Writes to the page behind a block of 4 MB. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(4000000);
  memset(launder(victim + malloc_usable_size(victim)), 0x41, 4096);
  free(victim);
  return crime_finish(4000000);
}
