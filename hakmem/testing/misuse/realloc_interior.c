/* Resizes from the middle of a block. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = (char*)crime_name_victim(crime_other(64) + 16);
  char* resized = (char*)launder(realloc(victim, 100));
  free(resized);
  return crime_finish(64);
}
