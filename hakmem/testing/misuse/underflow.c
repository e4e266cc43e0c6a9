/* Writes 16 bytes before the start of a block. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* before = crime_other(64);
  char* victim = crime_victim(64);
  memset(launder(victim - 16), 0x41, 16);
  free(victim);
  free(before);
  return crime_finish(64);
}
