/* Resizes from the middle of a freed block. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* block = crime_other(64);
  char* victim = (char*)crime_name_victim(block + 16);
  free(block);
  char* resized = (char*)launder(realloc(victim, 100));
  free(resized);
  return crime_finish(64);
}
