/* Writes to a block of no bytes. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = (char*)crime_name_victim(malloc(0));
  memset(victim, 0x41, 32);
  free(victim);
  return crime_finish(1);
}
