/* Frees a pointer into the middle of a block, aligned as a block would be. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = (char*)crime_name_victim(crime_other(64) + 16);
  free(victim);
  return crime_finish(64);
}
