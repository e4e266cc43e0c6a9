/* Frees a pointer one byte into a block. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = (char*)crime_name_victim(crime_other(64) + 1);
  free(victim);
  return crime_finish(64);
}
