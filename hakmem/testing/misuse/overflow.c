/* Writes 64 bytes past the end of a block. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(64);
  memset(launder(victim + 64), 0x41, 64);
  free(victim);
  return crime_finish(64);
}
