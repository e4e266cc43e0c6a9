/* Resizes a freed block of 4 MB. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(4000000);
  free(victim);
  char* resized = (char*)launder(realloc(victim, 5000000));
  free(resized);
  return crime_finish(4000000);
}
