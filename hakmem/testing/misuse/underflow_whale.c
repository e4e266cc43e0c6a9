/* Writes 16 bytes before the start of a block of 4 MB. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* before = crime_other(4000000);
  char* victim = crime_victim(4000000);
  memset(launder(victim - 16), 0x41, 16);
  free(victim);
  free(before);
  return crime_finish(4000000);
}
