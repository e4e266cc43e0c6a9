/* Asks for the size of a freed block. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(64);
  free(victim);
  const size_t size = malloc_usable_size(victim);
  (void)size;
  return crime_finish(64);
}
