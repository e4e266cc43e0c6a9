/* Frees a block twice that was asked for with an alignment. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* block = (char*)launder(memalign(4096, 100));
  EXPECT(block != NULL);
  char* victim = (char*)crime_name_victim(block);
  free(victim);
  free(victim);
  return crime_finish(100);
}
