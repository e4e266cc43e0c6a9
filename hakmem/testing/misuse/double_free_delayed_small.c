/* Frees a block twice, with one other block freed in between. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(64);
  char* other = crime_other(64);
  free(victim);
  free(other);
  free(victim);
  return crime_finish(64);
}
