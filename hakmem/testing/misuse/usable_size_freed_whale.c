/* Asks for the size of a freed block of 4 MB. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(4000000);
  free(victim);
  const size_t size = malloc_usable_size(victim);
  (void)size;
  return crime_finish(4000000);
}
