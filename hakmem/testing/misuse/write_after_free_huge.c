/* Writes to a block of 64 MB after freeing it. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(64000000);
  free(victim);
  memset(launder(victim), 0x41, 64);
  return crime_finish(64);
}
