/* Resizes a freed block. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(64);
  free(victim);
  char* resized = (char*)launder(realloc(victim, 60));
  free(resized);
  return crime_finish(64);
}
