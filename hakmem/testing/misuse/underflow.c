/* Writes 16 bytes before the start of a block, of two the one that lies higher: before the other there may be no memory. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* one = crime_other(64);
  char* other = crime_other(64);
  char* victim = (char*)crime_name_victim((uintptr_t)one < (uintptr_t)other ? other : one);
  memset(launder(victim - 16), 0x41, 16);
  free(other);
  free(one);
  return crime_finish(64);
}
